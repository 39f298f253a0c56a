//! What tests of the built binary share: starting it, waiting for it, talking to the servers around it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, clippy::missing_panics_doc)]

pub mod cluster;
pub mod counting;
pub mod hook;
pub mod http;
pub mod lives;
pub mod process;
pub mod servers;
pub mod wait;

pub use cluster::Cluster;
pub use hook::Hook;
pub use http::Http;
pub use process::Nephos;
pub use servers::Servers;
pub use wait::wait_for;
