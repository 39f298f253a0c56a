//! The metric store of the built binary: what an operator does with it, and what it must go through unharmed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod store {
    mod commands;
    mod faults;
}
