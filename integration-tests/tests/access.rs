//! Who may do what, and how much: the built binary, real clients.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "access/limits.rs"]
mod limits;
#[path = "access/modes.rs"]
mod modes;
#[path = "access/policy.rs"]
mod policy;
#[path = "access/support.rs"]
mod support;
#[path = "access/tls.rs"]
mod tls;
#[path = "access/users.rs"]
mod users;
