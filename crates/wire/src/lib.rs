//! Shapes of what crosses the wire, exact to the field name, with no I/O.

pub mod aodh;
pub mod gather;
pub mod gnocchi;
pub mod influx;
pub mod oslo;
pub mod prometheus;
pub mod python;
pub mod statsd;
pub mod time;
