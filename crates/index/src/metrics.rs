//! Metrics.
//!
//! Deleting moves a row from `metric` to `deleted_metric`, where it waits for its data to be removed from the store: so
//! a name is free again at once, and nothing that reads live metrics has to tell them apart.

use std::collections::HashMap;

use async_trait::async_trait;
use nephos_model::{Metric, MetricId, ResourceId};
use nephos_sql::{Constraint, Dialect, Kind, Row, SqlError, Tx, Value};
use nephos_timeseries::ArchivePolicy;
use uuid::Uuid;

use crate::contract::{IndexError, KnownMetrics, MetricFilter, MetricIndex, NewMetric, Page};
use crate::creation::Creation;
use crate::instrument;
use crate::known;
use crate::page::{Column, Order};
use crate::query::{Conditions, created_in};
use crate::sql_index::{SqlIndex, WriteError};

const COLUMNS: &str = "id, creator, name, unit, resource_id, archive_policy_name";

/// The columns of both tables, for inserting many rows.
pub(crate) const TABLE: [(&str, Kind); 6] = [
    ("id", Kind::Bytes),
    ("creator", Kind::Text),
    ("name", Kind::Text),
    ("unit", Kind::Text),
    ("resource_id", Kind::Bytes),
    ("archive_policy_name", Kind::Text),
];

pub(crate) fn metric(mut row: Row) -> Result<Metric, SqlError> {
    Ok(Metric {
        id: MetricId(row.uuid(0)?),
        creator: row.take_opt_text(1)?,
        name: row.take_opt_text(2)?,
        unit: row.take_opt_text(3)?,
        resource_id: row.opt_uuid(4)?.map(ResourceId),
        archive_policy_name: row.take_text(5)?,
    })
}

pub(crate) fn values(metric: &Metric) -> Vec<Value> {
    vec![
        metric.id.0.into(),
        metric.creator.as_ref().into(),
        metric.name.as_ref().into(),
        metric.unit.as_ref().into(),
        metric.resource_id.map(|id| id.0).into(),
        (&metric.archive_policy_name).into(),
    ]
}

/// What an insertion of metrics returns for [`inserted`]. Whoever reads the project of a resource so keeps others from
/// changing it until the transaction ends, as the reference to it does anyway.
fn returning(dialect: Dialect) -> String {
    let lock = match dialect {
        Dialect::Postgres => " FOR KEY SHARE",
        Dialect::Sqlite => "",
    };
    format!("RETURNING id, (SELECT r.project_id FROM resource AS r WHERE r.id = metric.resource_id{lock})")
}

/// The statement that inserts those of many metrics, `$1`, whose names are free on their resources.
pub(crate) fn insert_free(dialect: Dialect) -> String {
    let tail = format!("ON CONFLICT (resource_id, name) DO NOTHING {}", returning(dialect));
    dialect.insert("metric", &TABLE, &tail)
}

/// Which metrics were inserted, and the projects of their resources.
pub(crate) fn inserted(rows: Vec<Row>) -> Result<HashMap<MetricId, Option<String>>, SqlError> {
    rows.into_iter().map(|mut row| Ok((MetricId(row.uuid(0)?), row.take_opt_text(1)?))).collect()
}

/// Hides the live metrics that fit `condition` on `$1`; they come back as they were.
pub(crate) async fn bury(tx: &mut Tx<'_>, condition: &str, value: Value) -> Result<Vec<Metric>, WriteError> {
    known::note(tx, condition, value.clone()).await?;
    let rows = tx.read(format!("DELETE FROM metric WHERE {condition} RETURNING {COLUMNS}"), &[value]).await?;
    let metrics = rows.into_iter().map(metric).collect::<Result<Vec<_>, _>>()?;
    tx.insert("deleted_metric", &TABLE, metrics.iter().map(values).collect(), "").await?;
    Ok(metrics)
}

#[async_trait]
impl MetricIndex for SqlIndex {
    async fn create_metric(&self, new: &NewMetric) -> Result<Metric, IndexError> {
        let policy =
            self.catalogue.policy_for(new.archive_policy_name.as_deref(), new.name.as_deref()).await?;
        let metric = fresh(new, &policy);
        if !self.create_together(Creation::Metric(metric.clone())).await? {
            return self.create_alone(new).await;
        }
        instrument::created("metric", 1);
        Ok(metric)
    }

    async fn metrics(&self, filter: &MetricFilter, page: &Page) -> Result<Vec<Metric>, IndexError> {
        let table = if filter.deleted { "deleted_metric" } else { "metric" };
        let order = Order::new(page, &[], &["id"], column)?;
        let mut conditions = Conditions::default();
        if let Some(ids) = &filter.ids {
            let number =
                conditions.bind(Value::BytesList(ids.iter().map(|id| id.as_bytes().to_vec()).collect()));
            conditions.push(self.db.dialect().any_of("id", number, Kind::Bytes));
        }
        conditions.equal("name", filter.name.as_ref());
        conditions.equal("unit", filter.unit.as_ref());
        conditions.equal("creator", filter.creator.as_ref());
        conditions.equal("archive_policy_name", filter.archive_policy_name.as_ref());
        conditions.equal("resource_id", filter.resource_id.map(|id| id.0));
        if let Some(project) = &filter.visible_to {
            self.visible_to(project, table, &mut conditions).await?;
        }
        if let Some(marker) = &page.marker {
            let bad = || IndexError::BadMarker(marker.clone());
            let id = marker.parse::<Uuid>().map_err(|_| bad())?;
            let sql = format!("SELECT {} FROM {table} WHERE id = $1", order.key());
            let row = self.db.read_one(sql, &[id.into()]).await?.ok_or_else(bad)?;
            order.after(row.into_values(), &mut conditions);
        }
        let sql = conditions.statement(&format!("SELECT {COLUMNS} FROM {table}"), &order.tail(page));
        let rows = self.db.list(sql, &TABLE.map(|(_, kind)| kind), conditions.params()).await?;
        Ok(rows.into_iter().map(metric).collect::<Result<_, _>>()?)
    }

    async fn metric(&self, id: MetricId) -> Result<Option<Metric>, IndexError> {
        let sql =
            "SELECT id, creator, name, unit, resource_id, archive_policy_name FROM metric WHERE id = $1";
        Ok(self.db.read_one(sql, &[id.0.into()]).await?.map(metric).transpose()?)
    }

    async fn resource_metric(&self, resource: ResourceId, name: &str) -> Result<Option<Metric>, IndexError> {
        let sql = "SELECT id, creator, name, unit, resource_id, archive_policy_name FROM metric
             WHERE resource_id = $1 AND name = $2";
        Ok(self.db.read_one(sql, &[resource.0.into(), name.into()]).await?.map(metric).transpose()?)
    }

    async fn known_metrics(&self, ids: &[MetricId]) -> Result<KnownMetrics, IndexError> {
        self.know(ids).await
    }

    async fn known_by_name(
        &self,
        places: &[(ResourceId, &str)],
    ) -> Result<Vec<Option<MetricId>>, IndexError> {
        self.know_named(places).await
    }

    async fn change_metric_policy(&self, id: MetricId, policy: &str) -> Result<String, IndexError> {
        let changed = self
            .db
            .transaction(|tx| {
                Box::pin(async move {
                    let lock = tx.dialect().for_update();
                    let sql = format!("SELECT archive_policy_name FROM metric WHERE id = $1{lock}");
                    let row = tx.read_one(sql, &[id.0.into()]).await?;
                    let mut row = row.ok_or_else(|| IndexError::not_found("metric", id))?;
                    known::note(tx, "id = $1", id.0.into()).await?;
                    let sql = "UPDATE metric SET archive_policy_name = $2 WHERE id = $1";
                    tx.execute(sql, &[id.0.into(), policy.into()]).await?;
                    Ok::<_, WriteError>(row.take_text(0)?)
                })
            })
            .await;
        self.known.changed();
        changed.map_err(|error| match error.is_missing_reference() {
            true => IndexError::not_found("archive policy", policy),
            false => error.into(),
        })
    }

    async fn delete_metric(&self, id: MetricId) -> Result<(), IndexError> {
        let buried =
            self.db.transaction(|tx| Box::pin(async move { bury(tx, "id = $1", id.0.into()).await })).await?;
        self.known.changed();
        if buried.is_empty() { Err(IndexError::not_found("metric", id)) } else { Ok(()) }
    }

    async fn deleted_metrics(&self, limit: u64) -> Result<Vec<MetricId>, IndexError> {
        let limit = limit.min(i64::MAX as u64);
        let rows =
            self.db.read(format!("SELECT id FROM deleted_metric ORDER BY id LIMIT {limit}"), &[]).await?;
        Ok(rows.iter().map(|row| row.uuid(0).map(MetricId)).collect::<Result<_, _>>()?)
    }

    async fn expunge_metrics(&self, ids: &[MetricId]) -> Result<(), IndexError> {
        let ids = Value::BytesList(ids.iter().map(|id| id.as_bytes().to_vec()).collect());
        let sql =
            format!("DELETE FROM deleted_metric WHERE {}", self.db.dialect().any_of("id", 1, Kind::Bytes));
        self.db.execute(sql, &[ids]).await?;
        self.known.trim().await
    }

    async fn count_metrics(&self) -> Result<u64, IndexError> {
        let row = self.db.read_one("SELECT count(*) FROM metric", &[]).await?;
        Ok(row.map_or(Ok(0), |row| row.unsigned(0))?)
    }
}

impl SqlIndex {
    async fn create_alone(&self, new: &NewMetric) -> Result<Metric, IndexError> {
        let mut stale = false;
        let returning = &returning(self.db.dialect());
        loop {
            let policy =
                self.catalogue.policy_for(new.archive_policy_name.as_deref(), new.name.as_deref()).await?;
            let metric = fresh(new, &policy);
            let sql = format!("INSERT INTO metric ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6) {returning}");
            let version = self.known.version();
            match self.db.write(sql, &values(&metric)).await {
                Ok(rows) => {
                    let projects = inserted(rows)?;
                    let project = projects.get(&metric.id).and_then(Option::as_deref);
                    self.known.created(version, std::iter::once((&metric, project)));
                    instrument::created("metric", 1);
                    return Ok(metric);
                }
                Err(error) if error.constraint() == Some(Constraint::Unique) => {
                    return Err(taken(new, &error));
                }
                Err(error) if error.constraint() == Some(Constraint::ForeignKey) => {
                    self.require_resource(new.resource_id).await?;
                    // The policy went a moment ago: once more with fresh knowledge.
                    if stale {
                        return Err(IndexError::not_found("archive policy", &policy.name));
                    }
                    stale = true;
                    self.catalogue.changed();
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Adds the condition that a project may see a metric. What few metrics of it there are is looked up; where they are
    /// many, a page of a listing meets enough of them on its way.
    async fn visible_to(
        &self,
        project: &str,
        table: &str,
        conditions: &mut Conditions,
    ) -> Result<(), IndexError> {
        const FEW: usize = 20_000;
        let dialect = self.db.dialect();
        let created = |column: &str, number: usize| created_in(dialect, column, number);
        if table == "metric" {
            let of_resources =
                "SELECT m.id FROM resource AS r JOIN metric AS m ON m.resource_id = r.id WHERE";
            let sql = format!(
                "SELECT id FROM metric WHERE {} UNION ALL {of_resources} r.project_id = $1
                 UNION ALL {of_resources} {} LIMIT {}",
                created("creator", 1),
                created("r.creator", 1),
                FEW + 1
            );
            let rows = self.db.list(sql, &[Kind::Bytes], &[project.into()]).await?;
            if rows.len() <= FEW {
                let ids = rows.iter().map(|row| row.bytes(0).map(<[u8]>::to_vec));
                let number = conditions.bind(Value::BytesList(ids.collect::<Result<_, _>>()?));
                conditions.push(dialect.any_of("id", number, Kind::Bytes));
                return Ok(());
            }
        }
        let number = conditions.bind(project);
        conditions.push(format!(
            "({} OR (SELECT r.project_id = ${number} OR {} FROM resource AS r WHERE r.id = {table}.resource_id))",
            created("creator", number),
            created("r.creator", number),
        ));
        Ok(())
    }

    /// `NotFound` if there is no such resource.
    async fn require_resource(&self, id: Option<ResourceId>) -> Result<(), IndexError> {
        let Some(id) = id else { return Ok(()) };
        let found = self.db.read_one("SELECT 1 FROM resource WHERE id = $1", &[id.0.into()]).await?;
        found.map(|_| ()).ok_or_else(|| IndexError::not_found("resource", id))
    }
}

fn fresh(new: &NewMetric, policy: &ArchivePolicy) -> Metric {
    Metric {
        id: new.id,
        creator: new.creator.clone(),
        name: new.name.clone(),
        unit: new.unit.clone(),
        resource_id: new.resource_id,
        archive_policy_name: policy.name.clone(),
    }
}

/// The id or the name on the resource is taken.
fn taken(new: &NewMetric, error: &SqlError) -> IndexError {
    match (error, &new.name) {
        // `metric.resource_id, metric.name` or `metric_resource_name`, against `metric.id` or `metric_pkey`.
        (SqlError::Constraint { name: Some(constraint), .. }, Some(name))
            if constraint.contains("resource") =>
        {
            IndexError::already_exists("named metric", name)
        }
        _ => IndexError::already_exists("metric", new.id),
    }
}

fn column(key: &str) -> Option<Column> {
    match key {
        "id" | "archive_policy_name" => Column::always(key),
        "creator" | "name" | "unit" | "resource_id" => Column::nullable(key),
        "status" => Some(Column::Constant),
        _ => None,
    }
}
