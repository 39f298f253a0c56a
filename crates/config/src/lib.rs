//! Configuration: `nephos.toml` with its environment variables and flags, and the YAML files it refers to.
//!
//! Texts become trees whose values know their place ([`source`]); the settings' tree gets variables and flags laid
//! over it; then each part is read key by key into its type. Reading never stops at the first fault: [`load()`] gives
//! either everything, or every fault of every file in one [`ConfigError`] that shows the line and the place of each.

pub mod env;
pub mod load;
pub mod location;
pub mod names;
pub mod pipeline;
pub mod polling;
pub mod problem;
pub mod resources;
pub mod settings;
pub mod shipped;
pub mod source;

mod access;
mod entry;
mod kind;
mod ledger;
mod merge;
mod quantity;
mod section;
mod toml;
mod tree;
mod yaml;

pub use env::{Env, MapEnv, SystemEnv};
pub use load::{Inputs, Loaded, load, print_effective};
pub use location::SecretUrl;
pub use names::{Glob, NameFilter};
pub use pipeline::PipelineFile;
pub use polling::PollingFile;
pub use problem::{ConfigError, Problem};
pub use resources::ResourcesFile;
pub use settings::{Mode, Service, Settings};
