//! Messages between services: one contract, two transports (AMQP through lapin; in one process).

pub mod contract;

pub use contract::{Bus, BusError, Consumer, Delivery, Destination, Subscription};
