//! Measures in the protocols of other systems: what was answered, or flushed, is there after `kill -9`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod ingest {
    mod influx;
    mod prometheus;
    mod statsd;
    mod support;
}
