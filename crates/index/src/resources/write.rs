//! Creating, changing and deleting resources.

use std::collections::BTreeMap;

use nephos_model::{Metric, MetricId, Resource, ResourceId, Timestamp};
use nephos_sql::{Kind, Row, Tx, Value};

use super::RESOURCE;
use super::read::complete;
use crate::codec;
use crate::contract::{IndexError, NewResource, ResourceMetrics, ResourceUpdate};
use crate::creation::Creation;
use crate::instrument;
use crate::known;
use crate::metrics::{TABLE as METRIC_COLUMNS, bury, values as metric_values};
use crate::sql_index::{SqlIndex, WriteError};
use crate::types::GENERIC;

/// Columns of a new resource, for inserting many rows.
pub(crate) const COLUMNS: [(&str, Kind); 10] = [
    ("id", Kind::Bytes),
    ("resource_type", Kind::Text),
    ("original_resource_id", Kind::Text),
    ("creator", Kind::Text),
    ("user_id", Kind::Text),
    ("project_id", Kind::Text),
    ("started_at", Kind::Int),
    ("ended_at", Kind::Int),
    ("revision_start", Kind::Int),
    ("attributes", Kind::Text),
];

/// The row of a new resource.
pub(crate) fn values(resource: &Resource) -> Vec<Value> {
    vec![
        resource.id.0.into(),
        (&resource.resource_type).into(),
        (&resource.original_resource_id).into(),
        resource.creator.as_ref().into(),
        resource.user_id.as_ref().into(),
        resource.project_id.as_ref().into(),
        resource.started_at.into(),
        resource.ended_at.into(),
        resource.revision_start.into(),
        codec::write_attributes(&resource.attributes).into(),
    ]
}

/// What a change can touch of a stored resource.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mutable {
    pub(super) user_id: Option<String>,
    pub(super) project_id: Option<String>,
    pub(super) started_at: Timestamp,
    pub(super) ended_at: Option<Timestamp>,
    pub(super) attributes: BTreeMap<String, serde_json::Value>,
}

/// A stored resource, locked for a change.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) id: ResourceId,
    pub(super) resource_type: String,
    pub(super) revision_start: Timestamp,
    pub(super) values: Mutable,
}

pub(super) const STORED: &str =
    "id, resource_type, revision_start, user_id, project_id, started_at, ended_at, attributes";

pub(super) const STORED_KINDS: [Kind; 8] =
    [Kind::Bytes, Kind::Text, Kind::Int, Kind::Text, Kind::Text, Kind::Int, Kind::Int, Kind::Text];

pub(super) fn stored(mut row: Row) -> Result<Stored, IndexError> {
    Ok(Stored {
        id: ResourceId(row.uuid(0)?),
        resource_type: row.take_text(1)?,
        revision_start: row.timestamp(2)?,
        values: Mutable {
            user_id: row.take_opt_text(3)?,
            project_id: row.take_opt_text(4)?,
            started_at: row.timestamp(5)?,
            ended_at: row.opt_timestamp(6)?,
            attributes: codec::attributes(row.text(7)?)?,
        },
    })
}

/// The least time between two revisions of a resource: what clients see of a time.
const REVISION_STEP: i64 = 1_000;

/// Makes a revision: the stored values go to the history, the new ones take their place. `now` is moved past the start
/// of the stored revision, should a clock have gone backwards: revisions follow each other, each visibly later.
pub(super) async fn revise(
    tx: &mut Tx<'_>,
    old: &Stored,
    new: &Mutable,
    now: Timestamp,
) -> Result<Timestamp, WriteError> {
    let now = now.max(old.revision_start.plus_nanos(REVISION_STEP));
    tx.execute(
        "INSERT INTO resource_history (id, revision, resource_type, original_resource_id, creator, user_id,
             project_id, started_at, ended_at, revision_start, revision_end, attributes)
         SELECT id, next_revision, resource_type, original_resource_id, creator, user_id,
             project_id, started_at, ended_at, revision_start, CAST($2 AS BIGINT), attributes
         FROM resource WHERE id = $1",
        &[old.id.0.into(), now.into()],
    )
    .await?;
    if new.project_id != old.values.project_id {
        known::note(tx, "resource_id = $1", old.id.0.into()).await?;
    }
    tx.execute(
        "UPDATE resource SET next_revision = next_revision + 1, revision_start = $2, user_id = $3, project_id = $4,
             started_at = $5, ended_at = $6, attributes = $7
         WHERE id = $1",
        &[
            old.id.0.into(),
            now.into(),
            new.user_id.as_ref().into(),
            new.project_id.as_ref().into(),
            new.started_at.into(),
            new.ended_at.into(),
            codec::write_attributes(&new.attributes).into(),
        ],
    )
    .await?;
    instrument::created("revision", 1);
    Ok(now)
}

/// Whether two attribute values are the same to a client: numbers by value, an unset one like null.
pub(super) fn same(a: Option<&serde_json::Value>, b: Option<&serde_json::Value>) -> bool {
    use serde_json::Value::{Null, Number};
    match (a.unwrap_or(&Null), b.unwrap_or(&Null)) {
        (Number(a), Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

/// The metrics a resource is to get, with their policies found.
#[derive(Debug, Default)]
struct Plan {
    attach: Vec<(String, MetricId)>,
    create: Vec<Metric>,
}

impl Plan {
    fn ids(&self) -> impl Iterator<Item = (String, MetricId)> {
        let created = self.create.iter().filter_map(|metric| Some((metric.name.clone()?, metric.id)));
        self.attach.iter().cloned().chain(created)
    }

    /// The metrics to create, with the project of their resource.
    fn created<'a>(
        &'a self,
        project: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Metric, Option<&'a str>)> {
        self.create.iter().map(move |metric| (metric, project))
    }
}

impl SqlIndex {
    async fn plan(
        &self,
        creator: Option<&str>,
        resource: ResourceId,
        wanted: &BTreeMap<String, ResourceMetrics>,
        now: Timestamp,
    ) -> Result<Plan, IndexError> {
        let mut plan = Plan::default();
        for (name, metric) in wanted {
            match metric {
                ResourceMetrics::Existing(id) => plan.attach.push((name.clone(), *id)),
                ResourceMetrics::New { archive_policy_name, unit } => {
                    let policy =
                        self.catalogue.policy_for(archive_policy_name.as_deref(), Some(name)).await?;
                    plan.create.push(Metric {
                        id: MetricId::made_at(now),
                        creator: creator.map(str::to_owned),
                        name: Some(name.clone()),
                        unit: unit.clone(),
                        resource_id: Some(resource),
                        archive_policy_name: policy.name.clone(),
                    });
                }
            }
        }
        Ok(plan)
    }

    pub(super) async fn insert_resource(&self, new: &NewResource) -> Result<Resource, IndexError> {
        if new.ended_at.is_some_and(|ended_at| ended_at < new.started_at) {
            return Err(IndexError::StartAfterEnd);
        }
        let definition = self.catalogue.resource_type(&new.resource_type).await?;
        let plan = self.plan(new.creator.as_deref(), new.id, &new.metrics, new.now).await?;
        let mut resource = fresh(new);
        // What takes metrics over that are there has to look at them.
        let is_created = plan.attach.is_empty()
            && self.create_together(Creation::Resource(resource.clone(), plan.create.clone())).await?;
        if !is_created {
            return self.insert_resource_alone(new).await;
        }
        instrument::created(RESOURCE, 1);
        instrument::created("metric", plan.create.len());
        resource.metrics = plan.ids().collect();
        complete(&mut resource, &definition);
        Ok(resource)
    }

    async fn insert_resource_alone(&self, new: &NewResource) -> Result<Resource, IndexError> {
        let mut stale = false;
        loop {
            let definition = self.catalogue.resource_type(&new.resource_type).await?;
            let plan = self.plan(new.creator.as_deref(), new.id, &new.metrics, new.now).await?;
            let mut resource = fresh(new);
            let version = self.known.version();
            match self.insert_planned(&resource, &plan).await {
                Ok(()) => {
                    self.known.created(version, plan.created(resource.project_id.as_deref()));
                    self.known.changed();
                    instrument::created("resource", 1);
                    instrument::created("metric", plan.create.len());
                    resource.metrics = plan.ids().collect();
                    complete(&mut resource, &definition);
                    return Ok(resource);
                }
                // The type or a policy went a moment ago: once more with fresh knowledge, which names it.
                Err(error) if error.is_missing_reference() && !stale => {
                    stale = true;
                    self.catalogue.changed();
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn insert_planned(&self, resource: &Resource, plan: &Plan) -> Result<(), WriteError> {
        const INSERT: &str =
            "INSERT INTO resource (id, resource_type, original_resource_id, creator, user_id,
                 project_id, started_at, ended_at, revision_start, attributes)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING";
        let row = &values(resource);
        let taken = || Err(IndexError::already_exists(RESOURCE, resource.id).into());
        if plan.attach.is_empty() && plan.create.is_empty() {
            return if self.db.execute(INSERT, row).await? == 0 { taken() } else { Ok(()) };
        }
        self.db
            .transaction(|tx| {
                Box::pin(async move {
                    if tx.execute(INSERT, row).await? == 0 {
                        return taken();
                    }
                    give(tx, resource.creator.as_deref(), resource.id, plan).await
                })
            })
            .await
    }

    pub(super) async fn change_resource(
        &self,
        resource_type: &str,
        id: ResourceId,
        update: &ResourceUpdate,
    ) -> Result<Resource, IndexError> {
        let mut stale = false;
        loop {
            let plan = match &update.metrics {
                Some(wanted) => Some(self.plan(update.creator.as_deref(), id, wanted, update.now).await?),
                None => None,
            };
            let version = self.known.version();
            match self.change_planned(resource_type, id, update, plan.as_ref()).await {
                Ok(project) => {
                    let created = plan.iter().flat_map(|plan| plan.created(project.as_deref()));
                    self.known.created(version, created);
                    self.known.changed();
                    break;
                }
                Err(error) if error.is_missing_reference() && !stale => {
                    stale = true;
                    self.catalogue.changed();
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.read_resource(resource_type, id).await?.ok_or_else(|| IndexError::not_found(RESOURCE, id))
    }

    /// The project that the resource has now.
    async fn change_planned(
        &self,
        resource_type: &str,
        id: ResourceId,
        update: &ResourceUpdate,
        plan: Option<&Plan>,
    ) -> Result<Option<String>, WriteError> {
        self.db
            .transaction(|tx| {
                Box::pin(async move {
                    let old = lock(tx, resource_type, id).await?;
                    let new = changed(&old.values, update);
                    if new.ended_at.is_some_and(|ended_at| ended_at < new.started_at) {
                        return Err(IndexError::StartAfterEnd.into());
                    }
                    if new != old.values {
                        revise(tx, &old, &new, update.now).await?;
                    }
                    let Some(plan) = plan else { return Ok(new.project_id) };
                    if update.append_metrics {
                        refuse_clashes(tx, id, plan).await?;
                    } else {
                        known::note(tx, "resource_id = $1", id.0.into()).await?;
                        tx.execute(
                            "UPDATE metric SET resource_id = NULL WHERE resource_id = $1",
                            &[id.0.into()],
                        )
                        .await?;
                    }
                    give(tx, update.creator.as_deref(), id, plan).await?;
                    Ok(new.project_id)
                })
            })
            .await
    }

    pub(super) async fn remove_resource(
        &self,
        resource_type: &str,
        id: ResourceId,
    ) -> Result<Vec<MetricId>, IndexError> {
        let buried = self
            .db
            .transaction(|tx| {
                Box::pin(async move {
                    lock(tx, resource_type, id).await?;
                    let buried = bury(tx, "resource_id = $1", id.0.into()).await?;
                    tx.execute("DELETE FROM resource WHERE id = $1", &[id.0.into()]).await?;
                    Ok::<_, WriteError>(buried)
                })
            })
            .await?;
        self.known.changed();
        Ok(buried.into_iter().map(|metric| metric.id).collect())
    }
}

fn fresh(new: &NewResource) -> Resource {
    Resource {
        id: new.id,
        original_resource_id: new.original_resource_id.clone(),
        resource_type: new.resource_type.clone(),
        creator: new.creator.clone(),
        user_id: new.user_id.clone(),
        project_id: new.project_id.clone(),
        started_at: new.started_at,
        ended_at: new.ended_at,
        revision_start: new.now,
        revision_end: None,
        revision: -1,
        attributes: new.attributes.clone(),
        metrics: BTreeMap::new(),
    }
}

/// Reads a resource and keeps others from changing it, or giving it metrics, until the transaction ends.
async fn lock(tx: &mut Tx<'_>, resource_type: &str, id: ResourceId) -> Result<Stored, WriteError> {
    let sql = format!("SELECT {STORED} FROM resource WHERE id = $1{}", tx.dialect().for_update());
    let found = tx.read_one(sql, &[id.0.into()]).await?.map(stored).transpose()?;
    Ok(found
        .filter(|found| resource_type == GENERIC || found.resource_type == resource_type)
        .ok_or_else(|| IndexError::not_found(RESOURCE, id))?)
}

/// The values after an update; attributes that are the same to a client keep their stored form.
fn changed(old: &Mutable, update: &ResourceUpdate) -> Mutable {
    let mut new = old.clone();
    if let Some(user_id) = &update.user_id {
        new.user_id.clone_from(user_id);
    }
    if let Some(project_id) = &update.project_id {
        new.project_id.clone_from(project_id);
    }
    new.started_at = update.started_at.unwrap_or(old.started_at);
    new.ended_at = update.ended_at.unwrap_or(old.ended_at);
    for (name, value) in &update.attributes {
        if !same(old.attributes.get(name), Some(value)) {
            new.attributes.insert(name.clone(), value.clone());
        }
    }
    new
}

async fn refuse_clashes(tx: &mut Tx<'_>, id: ResourceId, plan: &Plan) -> Result<(), WriteError> {
    let names = Value::TextList(plan.ids().map(|(name, _)| name).collect());
    let any = tx.dialect().any_of("name", 2, Kind::Text);
    let sql = format!("SELECT name FROM metric WHERE resource_id = $1 AND {any} ORDER BY name");
    match tx.read_one(sql, &[id.0.into(), names]).await? {
        Some(row) => Err(IndexError::already_exists("named metric", row.text(0)?).into()),
        None => Ok(()),
    }
}

/// Attaches and creates the planned metrics. Names are free: the resource is locked or new.
async fn give(
    tx: &mut Tx<'_>,
    creator: Option<&str>,
    resource: ResourceId,
    plan: &Plan,
) -> Result<(), WriteError> {
    for (name, id) in &plan.attach {
        known::note(tx, "id = $1", id.0.into()).await?;
        let attached = tx
            .execute(
                "UPDATE metric SET resource_id = $1, name = $2
                 WHERE id = $3 AND creator IS NOT DISTINCT FROM CAST($4 AS TEXT)",
                &[resource.0.into(), name.into(), id.0.into(), creator.into()],
            )
            .await?;
        if attached == 0 {
            return Err(IndexError::not_found("metric", id).into());
        }
    }
    tx.insert("metric", &METRIC_COLUMNS, plan.create.iter().map(metric_values).collect(), "").await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_compared_as_a_client_sees_them() {
        for (a, b, expected) in [
            (Some(json!(1)), Some(json!(1.0)), true),
            (Some(json!(1)), Some(json!(2)), false),
            (None, Some(json!(null)), true),
            (None, Some(json!("")), false),
            (Some(json!("a")), Some(json!("a")), true),
            (Some(json!("1")), Some(json!(1)), false),
            (Some(json!(true)), Some(json!(1)), false),
        ] {
            assert_eq!(same(a.as_ref(), b.as_ref()), expected, "{a:?} {b:?}");
        }
    }
}
