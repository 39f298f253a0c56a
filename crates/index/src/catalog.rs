//! Policies, rules and resource types, kept in memory for at most a second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nephos_lang::glob;
use nephos_model::{Clock, ResourceType};
use nephos_sql::{Db, Row};
use nephos_timeseries::ArchivePolicy;

use crate::codec;
use crate::contract::{IndexError, PolicyRule};
use crate::instrument;

/// How old an entry may be that another process has changed meanwhile.
const MAX_AGE: Duration = Duration::from_secs(1);

const LOAD: &str = "SELECT 0, name, definition, methods, back_window FROM archive_policy
    UNION ALL SELECT 1, name, metric_pattern, archive_policy_name, 0 FROM archive_policy_rule
    UNION ALL SELECT 2, name, attributes, state, 0 FROM resource_type";

/// Everything, as of one moment.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    policies: HashMap<String, Arc<ArchivePolicy>>,
    rules: Vec<PolicyRule>,
    types: HashMap<String, Arc<ResourceType>>,
}

/// Hands out a [`Catalog`] and reads a new one when it is too old. What this process changes it sees at once.
#[derive(Debug)]
pub(crate) struct Catalogue {
    db: Db,
    clock: Arc<dyn Clock>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// Counts changes by this process: what was read before one must not be kept after it.
    changes: u64,
    catalog: Option<(Duration, Arc<Catalog>)>,
}

impl Catalogue {
    pub(crate) fn new(db: Db, clock: Arc<dyn Clock>) -> Self {
        Self { db, clock, held: Mutex::default() }
    }

    /// At most a second old.
    pub(crate) async fn recent(&self) -> Result<Arc<Catalog>, IndexError> {
        let now = self.clock.monotonic();
        let held = self.lock().catalog.as_ref().map(|(loaded, catalog)| (*loaded, Arc::clone(catalog)));
        match held {
            Some((loaded, catalog)) if now.saturating_sub(loaded) < MAX_AGE => Ok(catalog),
            _ => self.fresh().await,
        }
    }

    /// As it is now.
    pub(crate) async fn fresh(&self) -> Result<Arc<Catalog>, IndexError> {
        let (now, changes) = (self.clock.monotonic(), self.lock().changes);
        let mut catalog = Catalog::default();
        for row in self.db.read(LOAD, &[]).await? {
            catalog.add(row)?;
        }
        sort_rules(&mut catalog.rules);
        instrument::catalogue_loaded();
        let catalog = Arc::new(catalog);
        let mut held = self.lock();
        if held.changes == changes {
            held.catalog = Some((now, Arc::clone(&catalog)));
        }
        Ok(catalog)
    }

    /// To be called after every change of what is in here.
    pub(crate) fn changed(&self) {
        let mut held = self.lock();
        held.changes += 1;
        held.catalog = None;
    }

    /// Looks something up, in a fresh catalog if the recent one lacks it.
    pub(crate) async fn find<T>(
        &self,
        look: impl Fn(&Catalog) -> Option<T>,
    ) -> Result<Option<T>, IndexError> {
        if let Some(found) = look(&*self.recent().await?) {
            return Ok(Some(found));
        }
        Ok(look(&*self.fresh().await?))
    }

    /// The policy of a new metric: the named one, or the first matching rule's. `NotFound`, `NoPolicyMatch`.
    pub(crate) async fn policy_for(
        &self,
        policy: Option<&str>,
        metric: Option<&str>,
    ) -> Result<Arc<ArchivePolicy>, IndexError> {
        self.find(|catalog| catalog.policy_for(policy, metric).ok()).await?.ok_or_else(|| match policy {
            Some(name) => IndexError::not_found("archive policy", name),
            None => IndexError::NoPolicyMatch(metric.unwrap_or_default().to_owned()),
        })
    }

    /// One resource type; `NotFound`.
    pub(crate) async fn resource_type(&self, name: &str) -> Result<Arc<ResourceType>, IndexError> {
        self.find(|catalog| catalog.resource_type(name).cloned())
            .await?
            .ok_or_else(|| IndexError::not_found("resource type", name))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Catalog {
    fn add(&mut self, mut row: Row) -> Result<(), IndexError> {
        let name = row.take_text(1)?;
        match row.int(0)? {
            0 => {
                let policy = codec::policy(name.clone(), row.int(4)?, row.text(2)?, row.text(3)?)?;
                self.policies.insert(name, Arc::new(policy));
            }
            1 => self.rules.push(PolicyRule {
                name,
                metric_pattern: row.take_text(2)?,
                archive_policy_name: row.take_text(3)?,
            }),
            _ => {
                let resource_type = codec::resource_type(name.clone(), row.text(2)?, row.text(3)?)?;
                self.types.insert(name, Arc::new(resource_type));
            }
        }
        Ok(())
    }

    pub(crate) fn policy(&self, name: &str) -> Option<&Arc<ArchivePolicy>> {
        self.policies.get(name)
    }

    pub(crate) fn resource_type(&self, name: &str) -> Option<&Arc<ResourceType>> {
        self.types.get(name)
    }

    /// As [`Catalogue::policy_for`], from this catalog alone.
    pub(crate) fn policy_for(
        &self,
        policy: Option<&str>,
        metric: Option<&str>,
    ) -> Result<Arc<ArchivePolicy>, IndexError> {
        let metric = metric.unwrap_or_default();
        let name = match policy {
            Some(name) => name,
            None => self
                .rules
                .iter()
                .find(|rule| glob::matches(&rule.metric_pattern, metric))
                .map(|rule| rule.archive_policy_name.as_str())
                .ok_or_else(|| IndexError::NoPolicyMatch(metric.to_owned()))?,
        };
        self.policy(name).cloned().ok_or_else(|| IndexError::not_found("archive policy", name))
    }
}

/// The order of matching (metrics-api §4.1): pattern descending by bytes, then name.
pub(crate) fn sort_rules(rules: &mut [PolicyRule]) {
    rules.sort_by(|a, b| b.metric_pattern.cmp(&a.metric_pattern).then_with(|| a.name.cmp(&b.name)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_tried_in_descending_byte_order_of_their_patterns() {
        let mut rules = ["*", "B", "b*", "[ab]*", "a", "b.?", "b.*", "*"]
            .iter()
            .enumerate()
            .map(|(number, pattern)| PolicyRule {
                name: format!("rule {}", 9 - number),
                metric_pattern: (*pattern).to_owned(),
                archive_policy_name: String::new(),
            })
            .collect::<Vec<_>>();
        sort_rules(&mut rules);
        let order = rules.iter().map(|rule| rule.metric_pattern.as_str()).collect::<Vec<_>>();
        assert_eq!(order, ["b.?", "b.*", "b*", "a", "[ab]*", "B", "*", "*"]);
        assert!(rules[6].name < rules[7].name);
    }
}
