//! What whoever runs Nephos meets: its commands, how it starts and why it refuses to, reloading, and what it answers to
//! bad input.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod operator {
    mod backup;
    mod bad_input;
    mod check_config;
    mod commands;
    mod databases;
    mod reload;
    mod start;
    mod support;
}
