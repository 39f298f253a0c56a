//! Our own logs, metrics, health endpoints, clock and shutdown.

pub mod clock;
pub mod health;
pub mod shutdown;

pub use clock::SystemClock;
pub use health::{Health, HealthCheck};
pub use shutdown::Shutdown;
