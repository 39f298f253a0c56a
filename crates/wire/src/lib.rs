//! Shapes of what crosses the wire, exact to the field name, with no I/O.

pub mod gnocchi;
