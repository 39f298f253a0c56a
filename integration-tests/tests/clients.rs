//! The real command-line clients of Gnocchi and Aodh against the built binary, and the commands it prints at start.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod clients {
    mod alarms;
    mod every_command;
    mod hints;
    mod metrics;
    mod shell;
    mod support;
}
