//! Configuration as a whole, through [`nephos_config::load`] alone.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "config/access.rs"]
mod access;
#[path = "config/bucket.rs"]
mod bucket;
#[path = "config/pipeline.rs"]
mod pipeline;
#[path = "config/polling.rs"]
mod polling;
#[path = "config/resources.rs"]
mod resources;
#[path = "config/robust.rs"]
mod robust;
#[path = "config/settings.rs"]
mod settings;
#[path = "config/shipped.rs"]
mod shipped;
#[path = "config/statsd.rs"]
mod statsd;
#[path = "config/support.rs"]
mod support;
