//! What the built binary keeps, in the metric store and in the index: what an operator does with it, and what it must go
//! through unharmed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod store {
    mod commands;
    mod creations;
    mod faults;
}
