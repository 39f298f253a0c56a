//! The Helm chart: what Helm renders hangs together, is confined, and is configuration the program accepts.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod chart {
    mod configuration;
    mod confinement;
    mod keys;
    mod network;
    mod objects;
    mod program;
    mod render;
    mod shapes;
}
