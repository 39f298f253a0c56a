//! The bulk call: what is needed exists afterwards.
//!
//! Most of the time everything does already, so first two statements look (resources by id, metrics by resource and
//! name); only what is missing or different is written, in one transaction. Others may create the same at the same
//! time: inserts step aside on a conflict, and whoever inserted fewer rows than wanted looks again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use nephos_model::{Metric, MetricId, Resource, ResourceId, Timestamp};
use nephos_sql::{Dialect, Kind, Row, SqlError, Tx, Value};
use nephos_timeseries::ArchivePolicy;

use super::write::{self, Mutable, STORED, STORED_KINDS, Stored, revise, same, stored};
use crate::catalog::Catalog;
use crate::contract::{EnsureMetric, EnsureResource, EnsuredMetric, IndexError};
use crate::instrument;
use crate::metrics;
use crate::sql_index::{SqlIndex, WriteError};

type Wanted<'a> = (ResourceId, &'a str);
type Known = HashMap<ResourceId, HashMap<String, Metric>>;
/// Metrics, and the projects of their resources.
type Created = HashMap<MetricId, Option<String>>;

/// What must be written.
#[derive(Debug)]
struct Work<'a> {
    now: Timestamp,
    catalog: &'a Catalog,
    resources: &'a BTreeMap<ResourceId, EnsureResource>,
    /// Resources that are not there, by id: a fixed order keeps two callers from waiting for each other in a circle.
    create: BTreeMap<ResourceId, Resource>,
    /// Resources whose values differ.
    change: BTreeMap<ResourceId, &'a EnsureResource>,
    /// Metrics that are not there.
    metrics: BTreeMap<Wanted<'a>, Metric>,
}

impl SqlIndex {
    pub(super) async fn ensure_all(
        &self,
        creator: Option<&str>,
        resources: &[EnsureResource],
        wanted: &[EnsureMetric],
        now: Timestamp,
    ) -> Result<Vec<Result<EnsuredMetric, IndexError>>, IndexError> {
        let resources = &merged(resources);
        let mut stale = false;
        loop {
            let there = self.resources_there(resources, wanted).await?;
            let mut known = Known::new();
            collect(
                &mut known,
                self.db
                    .list(
                        metrics_sql(self.db.dialect()),
                        &metrics::TABLE.map(|(_, kind)| kind),
                        &metrics_params(wanted),
                    )
                    .await?,
            )?;
            let catalog = &*self.catalog_for(resources, wanted, &known).await?;
            let work = Work::new(creator, now, catalog, resources, &there, wanted, &known);
            match self.write(&work, wanted, &mut known).await {
                Ok(()) => {
                    let answers = wanted
                        .iter()
                        .map(|metric| answer(catalog, &there, resources, metric, &known))
                        .collect::<Vec<_>>();
                    instrument::ensured(
                        answers.len(),
                        answers.iter().filter(|answer| answer.is_err()).count(),
                    );
                    return Ok(answers);
                }
                // A type or policy went a moment ago: once more with fresh knowledge, which names it.
                Err(error) if error.is_missing_reference() && !stale => {
                    stale = true;
                    self.catalogue.changed();
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A catalog that knows every type and policy that is needed, as far as they exist. `NotFound` of a type.
    async fn catalog_for(
        &self,
        resources: &BTreeMap<ResourceId, EnsureResource>,
        wanted: &[EnsureMetric],
        known: &Known,
    ) -> Result<Arc<Catalog>, IndexError> {
        let lacks_type = |catalog: &Catalog| {
            let mut types = resources.values().map(|resource| &resource.resource_type);
            types.find(|name| catalog.resource_type(name).is_none()).cloned()
        };
        let recent = self.catalogue.recent().await?;
        let complete = lacks_type(&recent).is_none()
            && wanted.iter().all(|metric| match find(known, metric) {
                Some(metric) => recent.policy(&metric.archive_policy_name).is_some(),
                None => policy_of(&recent, metric).is_ok(),
            });
        let catalog = if complete { recent } else { self.catalogue.fresh().await? };
        match lacks_type(&catalog) {
            Some(lacking) => Err(IndexError::not_found("resource type", lacking)),
            None => Ok(catalog),
        }
    }

    /// Resources that exist of those to ensure and those whose metrics are wanted.
    async fn resources_there(
        &self,
        resources: &BTreeMap<ResourceId, EnsureResource>,
        wanted: &[EnsureMetric],
    ) -> Result<HashMap<ResourceId, Stored>, IndexError> {
        let ids = resources.keys().copied().chain(wanted.iter().map(|metric| metric.resource_id));
        let any = self.db.dialect().any_of("id", 1, Kind::Bytes);
        let sql = format!("SELECT {STORED} FROM resource WHERE {any}");
        let rows = self.db.list(sql, &STORED_KINDS, &[id_list(ids)]).await?;
        rows.into_iter().map(|row| stored(row).map(|stored| (stored.id, stored))).collect()
    }

    async fn write(
        &self,
        work: &Work<'_>,
        wanted: &[EnsureMetric],
        known: &mut Known,
    ) -> Result<(), WriteError> {
        if work.create.is_empty() && work.change.is_empty() && work.metrics.is_empty() {
            return Ok(());
        }
        let version = self.known.version();
        let (created, others) =
            self.db.transaction(|tx| Box::pin(async move { write_all(tx, work, wanted).await })).await?;
        let created = work.metrics.values().filter_map(|metric| Some((metric, created.get(&metric.id)?)));
        self.known.created(version, created.map(|(metric, project)| (metric, project.as_deref())));
        if !work.change.is_empty() {
            self.known.changed();
        }
        instrument::created("resource", work.create.len());
        instrument::created("metric", work.metrics.len());
        match others {
            // Somebody else created some of them: what was read after the insert counts.
            Some(rows) => collect(known, rows)?,
            None => {
                for ((resource, name), metric) in &work.metrics {
                    known.entry(*resource).or_default().insert((*name).to_owned(), metric.clone());
                }
            }
        }
        Ok(())
    }
}

impl<'a> Work<'a> {
    fn new(
        creator: Option<&'a str>,
        now: Timestamp,
        catalog: &'a Catalog,
        resources: &'a BTreeMap<ResourceId, EnsureResource>,
        there: &HashMap<ResourceId, Stored>,
        wanted: &'a [EnsureMetric],
        known: &Known,
    ) -> Self {
        let (mut create, mut change, mut metrics) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (id, resource) in resources {
            match there.get(id) {
                None => drop(create.insert(*id, created(catalog, creator, resource, now))),
                Some(stored) if changed(catalog, stored, resource) != stored.values => {
                    change.insert(*id, resource);
                }
                Some(_) => {}
            }
        }
        for metric in wanted {
            let exists = there.contains_key(&metric.resource_id) || create.contains_key(&metric.resource_id);
            if !exists || find(known, metric).is_some() {
                continue;
            }
            if let Ok(policy) = policy_of(catalog, metric) {
                metrics.entry((metric.resource_id, metric.name.as_str())).or_insert_with(|| Metric {
                    id: MetricId::made_at(now),
                    creator: creator.map(str::to_owned),
                    name: Some(metric.name.clone()),
                    unit: metric.unit.clone(),
                    resource_id: Some(metric.resource_id),
                    archive_policy_name: policy.name.clone(),
                });
            }
        }
        Self { now, catalog, resources, create, change, metrics }
    }
}

/// Writes everything; the metrics that were created with the projects of their resources, and the rows of all if some
/// were not ours to insert.
async fn write_all(
    tx: &mut Tx<'_>,
    work: &Work<'_>,
    wanted: &[EnsureMetric],
) -> Result<(Created, Option<Vec<Row>>), WriteError> {
    let rows = work.create.values().map(write::values).collect::<Vec<_>>();
    let inserted = tx.insert("resource", &write::COLUMNS, rows, "ON CONFLICT (id) DO NOTHING").await?;
    let raced = inserted < work.create.len() as u64;
    let mut check = work.change.keys().copied().collect::<Vec<_>>();
    if raced {
        // Somebody else created some of them, perhaps knowing less.
        check.extend(work.create.keys().copied());
    }
    if !check.is_empty() {
        let any = tx.dialect().any_of("id", 1, Kind::Bytes);
        let lock = tx.dialect().for_update();
        let sql = format!("SELECT {STORED} FROM resource WHERE {any} ORDER BY id{lock}");
        for row in tx.read(sql, &[id_list(check.into_iter())]).await? {
            let old = stored(row)?;
            let Some(asked) = work.resources.get(&old.id) else { continue };
            // Looked at again under the lock: somebody else may have made the same change.
            let new = changed(work.catalog, &old, asked);
            if new != old.values {
                revise(tx, &old, &new, work.now).await?;
            }
        }
    }
    let mut created = Created::new();
    if !work.metrics.is_empty() {
        let rows = Value::Table(work.metrics.values().map(metrics::values).collect());
        created = metrics::inserted(tx.read(metrics::insert_free(tx.dialect()), &[rows]).await?)?;
    }
    if created.len() < work.metrics.len() {
        let rows = tx.read(metrics_sql(tx.dialect()), &metrics_params(wanted)).await?;
        return Ok((created, Some(rows)));
    }
    Ok((created, None))
}

/// One entry for each resource; later attributes win.
fn merged(resources: &[EnsureResource]) -> BTreeMap<ResourceId, EnsureResource> {
    let mut merged: BTreeMap<ResourceId, EnsureResource> = BTreeMap::new();
    for resource in resources {
        let earlier = merged.remove(&resource.id);
        let mut later = resource.clone();
        if let Some(earlier) = earlier {
            for (name, value) in earlier.attributes {
                later.attributes.entry(name).or_insert(value);
            }
            later.user_id = later.user_id.or(earlier.user_id);
            later.project_id = later.project_id.or(earlier.project_id);
        }
        merged.insert(later.id, later);
    }
    merged
}

/// A resource to insert. It starts at `now`, or at its end if it is known to have gone before.
fn created(catalog: &Catalog, creator: Option<&str>, asked: &EnsureResource, now: Timestamp) -> Resource {
    Resource {
        id: asked.id,
        original_resource_id: asked.original_resource_id.clone(),
        resource_type: asked.resource_type.clone(),
        creator: creator.map(str::to_owned),
        user_id: asked.user_id.clone(),
        project_id: asked.project_id.clone(),
        started_at: asked.ended_at.map_or(now, |ended_at| ended_at.min(now)),
        ended_at: asked.ended_at,
        revision_start: now,
        revision_end: None,
        revision: -1,
        attributes: known_attributes(catalog, &asked.resource_type, asked)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        metrics: BTreeMap::new(),
    }
}

/// The values a stored resource should have. Owners are replaced only by known ones; an end is never before the start.
fn changed(catalog: &Catalog, stored: &Stored, asked: &EnsureResource) -> Mutable {
    let mut new = stored.values.clone();
    if asked.user_id.is_some() {
        new.user_id.clone_from(&asked.user_id);
    }
    if asked.project_id.is_some() {
        new.project_id.clone_from(&asked.project_id);
    }
    new.ended_at = asked.ended_at.map(|ended_at| ended_at.max(new.started_at));
    for (name, value) in known_attributes(catalog, &stored.resource_type, asked) {
        if !same(stored.values.attributes.get(name), Some(value)) {
            new.attributes.insert(name.clone(), value.clone());
        }
    }
    new
}

/// Attributes asked for that the type has.
fn known_attributes<'a>(
    catalog: &'a Catalog,
    resource_type: &str,
    asked: &'a EnsureResource,
) -> impl Iterator<Item = (&'a String, &'a serde_json::Value)> {
    let definition = catalog.resource_type(resource_type);
    asked.attributes.iter().filter(move |(name, value)| {
        !value.is_null() && definition.is_some_and(|definition| definition.attributes.contains_key(*name))
    })
}

fn policy_of(catalog: &Catalog, metric: &EnsureMetric) -> Result<Arc<ArchivePolicy>, IndexError> {
    catalog.policy_for(metric.archive_policy_name.as_deref(), Some(&metric.name))
}

/// Metrics by resource and name.
fn metrics_sql(dialect: Dialect) -> String {
    let wanted = dialect.table(1, &[("resource_id", Kind::Bytes), ("name", Kind::Text)]);
    format!(
        "SELECT m.id, m.creator, m.name, m.unit, m.resource_id, m.archive_policy_name
         FROM {wanted} AS w JOIN metric AS m ON m.resource_id = w.resource_id AND m.name = w.name"
    )
}

fn metrics_params(wanted: &[EnsureMetric]) -> [Value; 1] {
    let places =
        wanted.iter().map(|metric| (metric.resource_id, metric.name.as_str())).collect::<BTreeSet<_>>();
    [Value::Table(places.into_iter().map(|(id, name)| vec![id.0.into(), name.into()]).collect())]
}

fn id_list(ids: impl Iterator<Item = ResourceId>) -> Value {
    let ids = ids.collect::<HashSet<_>>();
    Value::BytesList(ids.into_iter().map(|id| id.as_bytes().to_vec()).collect())
}

fn collect(known: &mut Known, rows: Vec<Row>) -> Result<(), SqlError> {
    for row in rows {
        let metric = metrics::metric(row)?;
        if let (Some(resource), Some(name)) = (metric.resource_id, metric.name.clone()) {
            known.entry(resource).or_default().insert(name, metric);
        }
    }
    Ok(())
}

fn find<'k>(known: &'k Known, wanted: &EnsureMetric) -> Option<&'k Metric> {
    known.get(&wanted.resource_id)?.get(&wanted.name)
}

fn answer(
    catalog: &Catalog,
    there: &HashMap<ResourceId, Stored>,
    resources: &BTreeMap<ResourceId, EnsureResource>,
    wanted: &EnsureMetric,
    known: &Known,
) -> Result<EnsuredMetric, IndexError> {
    let id = wanted.resource_id;
    if let Some(metric) = find(known, wanted) {
        let policy = catalog.policy(&metric.archive_policy_name).ok_or_else(|| meanwhile(wanted))?;
        return Ok(EnsuredMetric { metric: metric.clone(), policy: Arc::clone(policy) });
    }
    policy_of(catalog, wanted)?;
    if there.contains_key(&id) || resources.contains_key(&id) {
        return Err(meanwhile(wanted));
    }
    Err(IndexError::not_found("resource", id))
}

/// Somebody else deleted or created something between our looking, our writing and our looking again.
fn meanwhile(wanted: &EnsureMetric) -> IndexError {
    IndexError::Unavailable {
        reason: format!("metric {} of {} changed meanwhile", wanted.name, wanted.resource_id),
    }
}
