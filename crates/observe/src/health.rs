//! What `/readyz` says: named checks, each with the reason it fails.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

/// Says whether a dependency works right now, and if not, why.
pub type HealthCheck = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The checks of this process. Clones share one list.
#[derive(Clone, Default)]
pub struct Health {
    checks: Arc<RwLock<BTreeMap<String, HealthCheck>>>,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health").finish_non_exhaustive()
    }
}

impl Health {
    /// Adds or replaces the check called `name`. Checks must be quick: they look at a state that others keep up to date.
    pub fn register(&self, name: impl Into<String>, check: HealthCheck) {
        self.checks.write().unwrap_or_else(std::sync::PoisonError::into_inner).insert(name.into(), check);
    }

    /// Every check's result by name.
    pub fn report(&self) -> BTreeMap<String, Result<(), String>> {
        let checks = self.checks.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        checks.iter().map(|(name, check)| (name.clone(), check())).collect()
    }
}
