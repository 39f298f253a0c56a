//! What a compute node knows of itself, read from its kernel: `/proc` and cgroups (v1, v2 and both at once).
//!
//! Parsers are pure functions from text to values. They skip what they do not know, keep what is good beside what is
//! broken, and say on which line the fault is. [`Host`] and [`Cgroups`] read the files, below [`Roots`] that may be
//! mounted anywhere. What is not there is `None`, never an error: kernels differ, and groups vanish while one looks.

pub mod cgroup;
pub mod clock;
pub mod error;
pub mod files;
pub mod host;
pub mod text;

pub use cgroup::{Cgroups, Group, GroupKind, GroupPart, GroupParts, GroupReading, GuestNames, PodQos, Walk};
pub use error::{HypervisorError, Unreadable};
pub use files::{Files, Roots};
pub use host::{Host, host_name};
pub use text::{Fault, Parsed};
