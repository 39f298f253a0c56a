//! Our own logs, metrics, health endpoints, clock, back-off and shutdown.

pub mod backoff;
pub mod clock;
pub mod health;
pub mod http;
pub mod logs;
pub mod meters;
pub mod shutdown;

pub use backoff::Backoff;
pub use clock::SystemClock;
pub use health::{Health, HealthCheck};
pub use logs::{LogControl, LogError, LogFormat};
pub use meters::Metrics;
pub use shutdown::Shutdown;
