//! What the process's surroundings say: its environment, user and host.

use std::collections::BTreeMap;
use std::fmt;

/// The process's surroundings. Tests give their own.
pub trait Env: fmt::Debug {
    /// Every environment variable that is text.
    fn variables(&self) -> BTreeMap<String, String>;
    /// Whether the process runs as root.
    fn is_root(&self) -> bool;
    /// The host's name.
    fn host_name(&self) -> String;
}

/// The real surroundings.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEnv;

impl Env for SystemEnv {
    fn variables(&self) -> BTreeMap<String, String> {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    fn is_root(&self) -> bool {
        rustix::process::geteuid().is_root()
    }

    fn host_name(&self) -> String {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }
}

/// Given surroundings.
#[derive(Clone, Debug)]
pub struct MapEnv {
    /// The variables.
    pub variables: BTreeMap<String, String>,
    /// Whether root runs the process.
    pub root: bool,
    /// The host's name.
    pub host: String,
}

impl MapEnv {
    /// An ordinary user on `host.example` with these variables.
    pub fn new<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self {
            variables: variables
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            root: false,
            host: "host.example".to_owned(),
        }
    }
}

impl Env for MapEnv {
    fn variables(&self) -> BTreeMap<String, String> {
        self.variables.clone()
    }

    fn is_root(&self) -> bool {
        self.root
    }

    fn host_name(&self) -> String {
        self.host.clone()
    }
}
