//! Pipelines as a process runs them, from the text of their file.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agents;
mod publishing;
mod support;
mod vectors;
