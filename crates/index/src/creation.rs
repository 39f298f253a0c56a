//! Creating metrics and resources: those that come at the same time go into one transaction.
//!
//! All of them are inserted by one or two statements, where each steps aside for what is there already. Whoever could not
//! be created so, and everybody if the database refused the statement, is told to try by itself, which finds out what is
//! in its way: so each gets the answer it would have got alone, and nobody suffers for a neighbour. Nobody is answered
//! before the commit.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use nephos_model::{Metric, MetricId, Resource, ResourceId};
use nephos_sql::{Db, Dialect, Row, SqlError, Value};
use uuid::Uuid;

use crate::contract::IndexError;
use crate::gather::{Gather, Waiting};
use crate::instrument;
use crate::metrics;
use crate::resources::{self, RESOURCE};
use crate::sql_index::SqlIndex;

/// Rows of one transaction, unless one creation has more.
const ROWS: usize = 5_000;

/// What is to be created.
#[derive(Debug)]
pub(crate) enum Creation {
    /// A metric.
    Metric(Metric),
    /// A resource, and metrics of different names for it.
    Resource(Resource, Vec<Metric>),
}

impl Creation {
    fn rows(&self) -> usize {
        match self {
            Self::Metric(_) => 1,
            Self::Resource(_, metrics) => 1 + metrics.len(),
        }
    }
}

/// What became of a creation.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is there, and durable.
    Created,
    /// Nothing of it is there: it is to be tried alone.
    Alone,
    /// The database is away; whether it is there is unknown.
    Unavailable(String),
}

/// Creations that wait for each other.
pub(crate) type Creations = Gather<Creation, Outcome>;

/// For a database. SQLite has one writer; on PostgreSQL one transaction is filled while another is being committed.
pub(crate) fn creations(dialect: Dialect) -> Arc<Creations> {
    let runs = match dialect {
        Dialect::Sqlite => 1,
        Dialect::Postgres => 2,
    };
    Arc::new(Gather::new(runs, ROWS, Creation::rows))
}

impl SqlIndex {
    /// Creates something together with what others create at this time; whether that went well. If not, nothing of it is
    /// there, and it is to be tried alone.
    pub(crate) async fn create_together(&self, creation: Creation) -> Result<bool, IndexError> {
        let db = self.db.clone();
        let outcome = self.creations.call(creation, move |waiting| serve(db.clone(), waiting)).await;
        match outcome {
            Some(Outcome::Created) => Ok(true),
            Some(Outcome::Alone) => Ok(false),
            Some(Outcome::Unavailable(reason)) => Err(IndexError::Unavailable { reason }),
            None => Err(IndexError::Unavailable { reason: "the program is ending".to_owned() }),
        }
    }
}

/// Creates what it can, and answers all.
async fn serve(db: Db, waiting: Vec<Waiting<Creation, Outcome>>) {
    let mut ids = HashSet::new();
    let is_first = |waiting: &Waiting<Creation, Outcome>| match &waiting.call {
        Creation::Metric(_) => true,
        Creation::Resource(resource, _) => ids.insert(resource.id),
    };
    let (together, doubled): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_first);
    let inserted = insert(&db, &Rows::of(together.iter().map(|waiting| &waiting.call))).await;
    instrument::created_together(together.len(), inserted.is_ok());
    for waiting in together {
        let outcome = match &inserted {
            Ok(inserted) if inserted.has(&waiting.call) => Outcome::Created,
            Err(SqlError::Unavailable { reason }) => Outcome::Unavailable(reason.clone()),
            _ => Outcome::Alone,
        };
        waiting.answer(outcome);
    }
    // Of the same id as one before: by now that one is there, or has left the place free.
    for waiting in doubled {
        waiting.answer(Outcome::Alone);
    }
}

/// What is inserted, in a fixed order: no two transactions wait for each other in a circle.
#[derive(Debug, Default)]
struct Rows<'a> {
    resources: BTreeMap<ResourceId, (&'a Resource, &'a [Metric])>,
    metrics: Vec<&'a Metric>,
}

impl<'a> Rows<'a> {
    fn of(creations: impl Iterator<Item = &'a Creation>) -> Self {
        let mut rows = Self::default();
        for creation in creations {
            match creation {
                Creation::Metric(metric) => rows.metrics.push(metric),
                Creation::Resource(resource, metrics) => {
                    rows.resources.insert(resource.id, (resource, metrics));
                }
            }
        }
        rows.metrics.sort_unstable_by_key(|metric| (metric.resource_id, &metric.name, metric.id));
        rows
    }

    fn resources(&self) -> Value {
        Value::Table(self.resources.values().map(|(resource, _)| resources::values(resource)).collect())
    }

    fn metrics_of(&self, created: &HashSet<ResourceId>) -> Vec<Vec<Value>> {
        let created = self.resources.iter().filter(|(id, _)| created.contains(id));
        created.flat_map(|(_, (_, metrics))| metrics.iter()).map(metrics::values).collect()
    }

    /// The statement for the metrics of their own, and its parameter.
    fn metrics(&self, dialect: Dialect) -> (String, Value) {
        let tail = "ON CONFLICT (resource_id, name) DO NOTHING RETURNING id";
        let values = self.metrics.iter().map(|metric| metrics::values(metric)).collect();
        (dialect.insert("metric", &metrics::TABLE, tail), Value::Table(values))
    }
}

/// What was not there before.
#[derive(Debug, Default)]
struct Inserted {
    /// With their metrics.
    resources: HashSet<ResourceId>,
    metrics: HashSet<MetricId>,
}

impl Inserted {
    fn has(&self, creation: &Creation) -> bool {
        match creation {
            Creation::Metric(metric) => self.metrics.contains(&metric.id),
            Creation::Resource(resource, _) => self.resources.contains(&resource.id),
        }
    }
}

fn ids<I: Eq + Hash>(rows: &[Row], id: fn(Uuid) -> I) -> Result<HashSet<I>, SqlError> {
    rows.iter().map(|row| row.uuid(0).map(id)).collect()
}

/// Inserts what is not there yet.
async fn insert(db: &Db, rows: &Rows<'_>) -> Result<Inserted, SqlError> {
    if rows.resources.is_empty() {
        let (sql, values) = rows.metrics(db.dialect());
        let created = db.write(sql, &[values]).await?;
        return Ok(Inserted { resources: HashSet::new(), metrics: ids(&created, MetricId)? });
    }
    db.transaction(|tx| {
        Box::pin(async move {
            let tail = "ON CONFLICT (id) DO NOTHING RETURNING id";
            let sql = tx.dialect().insert(RESOURCE, &resources::COLUMNS, tail);
            let resources = ids(&tx.read(sql, &[rows.resources()]).await?, ResourceId)?;
            tx.insert("metric", &metrics::TABLE, rows.metrics_of(&resources), "").await?;
            let mut metrics = HashSet::new();
            if !rows.metrics.is_empty() {
                let (sql, values) = rows.metrics(tx.dialect());
                metrics = ids(&tx.read(sql, &[values]).await?, MetricId)?;
            }
            Ok(Inserted { resources, metrics })
        })
    })
    .await
}
