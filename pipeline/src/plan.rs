//! A pipeline file made ready to run.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use nephos_config::pipeline::{NameFilter, PipelineFile};

use crate::transformer::{self, Transformer};

/// Most meter names whose way is remembered; further ones are matched each time.
const MAX_ROUTES: usize = 16_384;

/// Sources and the sinks they lead to.
#[derive(Debug)]
pub(crate) struct Plan {
    sources: Vec<Source>,
    pub(crate) sinks: Vec<Sink>,
    /// By meter name, the positions of the sinks it goes to: one for each source that leads there.
    routes: RwLock<HashMap<Box<str>, Arc<[usize]>>>,
    /// Transformers whose expression failed and that was said.
    reported: Mutex<HashSet<(usize, usize)>>,
}

#[derive(Debug)]
struct Source {
    meters: NameFilter,
    sinks: Vec<usize>,
}

/// A chain of transformers.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) name: String,
    pub(crate) transformers: Vec<Box<dyn Transformer>>,
}

impl Plan {
    /// Makes a plan of a file.
    pub(crate) fn build(file: &PipelineFile) -> Self {
        let position = |name: &String| file.sinks.iter().position(|sink| sink.name == *name);
        let sources = file.sources.iter().map(|source| Source {
            meters: source.meters.clone(),
            sinks: source.sinks.iter().filter_map(position).collect(),
        });
        let sinks = file.sinks.iter().map(|sink| Sink {
            name: sink.name.clone(),
            transformers: sink.transformers.iter().map(transformer::build).collect(),
        });
        Self {
            sources: sources.collect(),
            sinks: sinks.collect(),
            routes: RwLock::default(),
            reported: Mutex::default(),
        }
    }

    /// The positions of the sinks that samples of this meter go to.
    pub(crate) fn route(&self, meter: &str) -> Arc<[usize]> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(route) = routes.get(meter) {
            return Arc::clone(route);
        }
        drop(routes);
        let matching = self.sources.iter().filter(|source| source.meters.matches(meter));
        let route: Arc<[usize]> = matching.flat_map(|source| source.sinks.iter().copied()).collect();
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        if routes.len() < MAX_ROUTES {
            routes.insert(meter.into(), Arc::clone(&route));
        }
        route
    }

    /// Whether this is the first time that `transformer` of `sink` fails.
    pub(crate) fn is_news(&self, sink: usize, transformer: usize) -> bool {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner).insert((sink, transformer))
    }
}
