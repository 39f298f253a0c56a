//! What reads meters.

use std::fmt::Debug;

use async_trait::async_trait;
use nephos_config::settings::Namespace;
use nephos_model::Sample;

use crate::meter::{Meter, Wanted};

/// Resources were left out because there are more than the bound allows.
pub const TOO_MANY: &str = "too_many";
/// Resources were left out because they are too young.
pub const TOO_YOUNG: &str = "too_young";

/// What one poll gave.
#[derive(Debug, Default)]
pub struct Polled {
    /// The samples: all of one resource and reading have one timestamp and share their metadata.
    pub samples: Vec<Sample>,
    /// Resources that were left out, with the reason.
    pub left_out: Vec<(&'static str, usize)>,
    /// What could not be read, each with a word for its kind; the rest was read all the same.
    pub faults: Vec<(&'static str, String)>,
}

/// Reads some meters of some resources.
#[async_trait]
pub trait Pollster: Send + Sync + Debug {
    /// Its name in logs and figures.
    fn name(&self) -> &'static str;
    /// The namespace that switches it on.
    fn namespace(&self) -> Namespace;
    /// Every meter it can read. Always the same.
    fn meters(&self) -> Vec<Meter>;
    /// Reads the wanted meters, and opens nothing that only others need. May be called from several tasks.
    async fn poll(&self, wanted: &Wanted) -> Polled;
}
