//! Creating metrics and resources: those that come at the same time go into one transaction.
//!
//! All of them are inserted by one or two statements, where each steps aside for what is there already. Whoever could not
//! be created so, and everybody if the database refused the statement, is told to try by itself, which finds out what is
//! in its way: so each gets the answer it would have got alone, and nobody suffers for a neighbour. Nobody is answered
//! before the commit.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use nephos_model::{Metric, MetricId, Resource, ResourceId};
use nephos_sql::{Db, Dialect, SqlError, Value};

use crate::contract::IndexError;
use crate::gather::{Gather, Waiting};
use crate::instrument;
use crate::known::Known;
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
        let (db, known) = (self.db.clone(), Arc::clone(&self.known));
        let serve = move |waiting| serve(db.clone(), Arc::clone(&known), waiting);
        let outcome = self.creations.call(creation, serve).await;
        match outcome {
            Some(Outcome::Created) => Ok(true),
            Some(Outcome::Alone) => Ok(false),
            Some(Outcome::Unavailable(reason)) => Err(IndexError::Unavailable { reason }),
            None => Err(IndexError::Unavailable { reason: "the program is ending".to_owned() }),
        }
    }
}

/// Creates what it can, and answers all.
async fn serve(db: Db, known: Arc<Known>, waiting: Vec<Waiting<Creation, Outcome>>) {
    let mut ids = HashSet::new();
    let is_first = |waiting: &Waiting<Creation, Outcome>| match &waiting.call {
        Creation::Metric(_) => true,
        Creation::Resource(resource, _) => ids.insert(resource.id),
    };
    let (together, doubled): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_first);
    known.follow().await;
    let version = known.version();
    let inserted = insert(&db, &Rows::of(together.iter().map(|waiting| &waiting.call))).await;
    instrument::created_together(together.len(), inserted.is_ok());
    if let Ok(inserted) = &inserted {
        known.created(version, together.iter().flat_map(|waiting| inserted.metrics_of(&waiting.call)));
    }
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

    /// The metrics of their own.
    fn metrics(&self) -> Value {
        Value::Table(self.metrics.iter().map(|metric| metrics::values(metric)).collect())
    }
}

/// What was not there before.
#[derive(Debug, Default)]
struct Inserted {
    /// With their metrics.
    resources: HashSet<ResourceId>,
    /// Of their own, with the projects of their resources.
    metrics: HashMap<MetricId, Option<String>>,
}

impl Inserted {
    fn has(&self, creation: &Creation) -> bool {
        match creation {
            Creation::Metric(metric) => self.metrics.contains_key(&metric.id),
            Creation::Resource(resource, _) => self.resources.contains(&resource.id),
        }
    }

    /// The metrics that a creation has brought, and the project of their resource.
    fn metrics_of<'a>(
        &'a self,
        creation: &'a Creation,
    ) -> impl Iterator<Item = (&'a Metric, Option<&'a str>)> {
        let (metrics, project) = match creation {
            _ if !self.has(creation) => (&[][..], None),
            Creation::Metric(metric) => {
                let project = self.metrics.get(&metric.id).and_then(Option::as_deref);
                (std::slice::from_ref(metric), project)
            }
            Creation::Resource(resource, metrics) => (&metrics[..], resource.project_id.as_deref()),
        };
        metrics.iter().map(move |metric| (metric, project))
    }
}

/// Inserts what is not there yet.
async fn insert(db: &Db, rows: &Rows<'_>) -> Result<Inserted, SqlError> {
    if rows.resources.is_empty() {
        let created = db.write(metrics::insert_free(db.dialect()), &[rows.metrics()]).await?;
        return Ok(Inserted { resources: HashSet::new(), metrics: metrics::inserted(created)? });
    }
    db.transaction(|tx| {
        Box::pin(async move {
            let tail = "ON CONFLICT (id) DO NOTHING RETURNING id";
            let sql = tx.dialect().insert(RESOURCE, &resources::COLUMNS, tail);
            let created = tx.read(sql, &[rows.resources()]).await?;
            let resources: HashSet<ResourceId> =
                created.iter().map(|row| row.uuid(0).map(ResourceId)).collect::<Result<_, _>>()?;
            tx.insert("metric", &metrics::TABLE, rows.metrics_of(&resources), "").await?;
            let mut created = Vec::new();
            if !rows.metrics.is_empty() {
                created = tx.read(metrics::insert_free(tx.dialect()), &[rows.metrics()]).await?;
            }
            Ok(Inserted { resources, metrics: metrics::inserted(created)? })
        })
    })
    .await
}
