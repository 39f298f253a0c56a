//! Shapes of what crosses the wire, exact to the field name, with no I/O.

pub mod aodh;
pub mod gnocchi;
pub mod oslo;
pub mod python;
pub mod time;
