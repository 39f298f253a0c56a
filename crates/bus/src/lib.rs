//! Messages between services: one contract, two transports (AMQP through lapin; in one process).

mod amqp;
mod batch;
pub mod contract;
mod in_process;
mod instrument;
mod retry;

pub use amqp::{AmqpBus, AmqpOptions};
pub use batch::partition_of;
pub use contract::{Bus, BusError, Consumer, Delivery, Destination, Subscription};
pub use in_process::{InProcessBus, InProcessOptions};
pub use retry::RetryPolicy;
