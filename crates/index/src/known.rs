//! Creators and policies of metrics, kept in memory: measures come for the same metrics over and over, and no statement
//! is run for them.
//!
//! What is kept stays until it changes. Every transaction that deletes a metric, moves it, or gives its resource another
//! project notes that in the table `metric_change` ([`note`]); every process reads there once a second, while it is
//! asked, and forgets what it finds. Policies are kept by name only: their contents are the catalogue's.
//!
//! What this process creates is kept when it is durable ([`Known::created`]), so that first measures need no statement
//! either. It is as good as read by the transaction that created it, because whoever changes a resource's project, or
//! deletes it, locks it first, and whoever creates metrics on it has locked it too: either the change notes them, or their
//! creation sees the change.

mod cache;
mod names;
mod order;
mod shard;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nephos_model::{Clock, Metric, MetricId, ResourceId};
use nephos_sql::{Db, Dialect, Tx, Value};

use crate::contract::{IndexError, KindPlace, KnownMetrics, MetricKind};
use crate::instrument;
use crate::sql_index::{SqlIndex, WriteError};
use cache::{Cache, Found, Kind};
use names::Names;

/// How old the knowledge may be of what other processes have done.
const MAX_AGE: Duration = Duration::from_secs(1);
/// How old while somebody else is already reading the changes.
const MAX_AGE_WAITING: Duration = Duration::from_secs(5);
/// How old when something is created: far from starting anew.
const MAX_AGE_CREATING: Duration = Duration::from_secs(60);
/// Who has not looked for so long starts anew.
const MAX_GAP: Duration = Duration::from_secs(600);
/// For how many seconds changes are kept: far longer than anybody goes without looking.
const KEEP: u64 = 3_600;

/// What is known of metrics, and of changes to them.
#[derive(Debug)]
pub(crate) struct Known {
    db: Db,
    clock: Arc<dyn Clock>,
    cache: Cache,
    names: Names,
    /// Changes made by this process.
    changes: AtomicU64,
    log: Mutex<Log>,
    /// Whether somebody reads the changes of other processes.
    is_reading: AtomicBool,
}

/// Kinds of the columns that a metric is loaded with.
const LOADED: [nephos_sql::Kind; 6] = {
    use nephos_sql::Kind::{Bytes, Text};
    [Bytes, Text, Text, Text, Bytes, Text]
};

/// How far the changes were read.
#[derive(Clone, Copy, Debug, Default)]
struct Log {
    /// Where to go on, once there was a first look.
    position: Option<i64>,
    /// When; before the statement was sent.
    read_at: Duration,
    /// How many of this process' own changes had been made then.
    changes: u64,
}

/// Notes, for all processes, that the live metrics that fit `condition` on `$1` are about to change.
pub(crate) async fn note(tx: &mut Tx<'_>, condition: &str, value: Value) -> Result<(), WriteError> {
    let (position, now) = (position(tx.dialect()), now(tx.dialect()));
    let sql = format!(
        "INSERT INTO metric_change (position, metric, changed_at) SELECT {position}, id, {now} FROM metric
         WHERE {condition}"
    );
    tx.execute(sql, &[value]).await?;
    Ok(())
}

fn position(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)",
        Dialect::Sqlite => "(SELECT coalesce(max(position), 0) + 1 FROM metric_change)",
    }
}

fn now(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "CAST(extract(epoch FROM clock_timestamp()) AS BIGINT)",
        Dialect::Sqlite => "unixepoch()",
    }
}

/// Where to go on after a look, and the metrics that changed since `$1`; at least one row.
fn changes_since(dialect: Dialect) -> &'static str {
    match dialect {
        // Transactions that are still running will show with numbers from the oldest of theirs on.
        Dialect::Postgres => {
            "SELECT s.next, c.metric
             FROM (SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT) AS next) AS s
             LEFT JOIN metric_change AS c ON c.position >= $1"
        }
        Dialect::Sqlite => {
            "SELECT s.next, c.metric FROM (SELECT coalesce(max(position), 0) + 1 AS next FROM metric_change) AS s
             LEFT JOIN metric_change AS c ON c.position >= $1"
        }
    }
}

impl Known {
    pub(crate) fn new(db: Db, clock: Arc<dyn Clock>) -> Self {
        Self {
            db,
            clock,
            cache: Cache::default(),
            names: Names::default(),
            changes: AtomicU64::new(0),
            log: Mutex::default(),
            is_reading: AtomicBool::new(false),
        }
    }

    /// To be called after every transaction that may have noted changes: the next question finds them.
    pub(crate) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    /// Sees to it that the cache is young enough to be used.
    async fn refresh(&self) -> Result<(), IndexError> {
        let now = self.clock.monotonic();
        let changes = self.changes.load(Ordering::SeqCst);
        let log = *self.lock();
        let age = now.saturating_sub(log.read_at);
        let is_young = |limit| log.position.is_some() && log.changes == changes && age < limit;
        if is_young(MAX_AGE) {
            return Ok(());
        }
        let is_first = !self.is_reading.swap(true, Ordering::SeqCst);
        if !is_first && is_young(MAX_AGE_WAITING) {
            return Ok(());
        }
        let _reading = is_first.then_some(Reading(&self.is_reading));
        self.read_changes(log, changes, now).await
    }

    async fn read_changes(&self, log: Log, changes: u64, now: Duration) -> Result<(), IndexError> {
        let is_lost = log.position.is_none() || now.saturating_sub(log.read_at) > MAX_GAP;
        let from = if is_lost { i64::MAX } else { log.position.unwrap_or(i64::MAX) };
        let rows = self.db.read(changes_since(self.db.dialect()), &[from.into()]).await?;
        let mut next = from;
        let mut changed = Vec::new();
        for row in &rows {
            next = row.int(0)?;
            changed.extend(row.opt_uuid(1)?.map(MetricId));
        }
        if is_lost {
            self.cache.clear();
        } else if !changed.is_empty() {
            self.cache.forget(&changed);
        }
        instrument::known_forgotten(changed.len());
        let mut held = self.lock();
        // Somebody who asked later may have been answered earlier.
        held.position = held.position.filter(|_| !is_lost).max(Some(next));
        held.read_at = held.read_at.max(now);
        held.changes = held.changes.max(changes);
        Ok(())
    }

    /// Forgets changes that everybody must have seen.
    pub(crate) async fn trim(&self) -> Result<(), IndexError> {
        let now = now(self.db.dialect());
        let sql = format!(
            "DELETE FROM metric_change WHERE changed_at < {now} - {KEEP}
             AND position < (SELECT max(position) FROM metric_change)"
        );
        self.db.execute(sql, &[]).await?;
        Ok(())
    }

    /// Begins to follow what other processes do, unless it is followed: so what is created now will still be known when
    /// it is asked for. Without a database nothing will.
    pub(crate) async fn follow(&self) {
        let log = *self.lock();
        let age = self.clock.monotonic().saturating_sub(log.read_at);
        if log.position.is_none() || age >= MAX_AGE_CREATING {
            let _not_followed = self.refresh().await;
        }
    }

    /// To be asked before the transaction whose metrics [`created`](Self::created) is told of.
    pub(crate) fn version(&self) -> u64 {
        self.cache.version()
    }

    /// Keeps metrics that were created, each with the project of its resource, if somebody asks here at all.
    pub(crate) fn created<'a>(
        &self,
        version: u64,
        metrics: impl Iterator<Item = (&'a Metric, Option<&'a str>)>,
    ) {
        let log = *self.lock();
        if log.position.is_none() || self.clock.monotonic().saturating_sub(log.read_at) > MAX_GAP {
            return;
        }
        let (mut created, mut places) = (Vec::new(), Vec::new());
        let mut last: Option<Arc<Kind>> = None;
        for (metric, project) in metrics {
            let kind = match last.take().filter(|kind| kind.is_of(metric, project)) {
                Some(kind) => kind,
                None => self.cache.shared(Kind {
                    policy: metric.archive_policy_name.clone(),
                    creator: metric.creator.as_deref().map(Arc::from),
                    project_id: project.map(Arc::from),
                }),
            };
            created.push((metric.id, Arc::clone(&kind)));
            places.push(metric.resource_id.zip(metric.name.as_deref()));
            last = Some(kind);
        }
        if created.is_empty() {
            return;
        }
        let stamp = self.cache.keep(version, &created);
        if self.names.are_asked() {
            self.names.keep(stamp, created.iter().map(|(id, _)| *id).zip(places));
        }
    }

    /// Reads the metrics that fit a condition on a column, and what the cache must be told when they are kept.
    async fn load(&self, column: &str, ids: Vec<Vec<u8>>) -> Result<(u64, Vec<Loaded>), IndexError> {
        let version = self.cache.version();
        let any = self.db.dialect().any_of(column, 1, nephos_sql::Kind::Bytes);
        let sql = format!(
            "SELECT m.id, m.archive_policy_name, m.creator, r.project_id, m.resource_id, m.name FROM metric AS m
             LEFT JOIN resource AS r ON r.id = m.resource_id WHERE {any}"
        );
        let mut loaded = Vec::with_capacity(ids.len());
        for mut row in self.db.list(sql, &LOADED, &[Value::BytesList(ids)]).await? {
            let (policy, creator, project_id) =
                (row.take_text(1)?, row.take_opt_text(2)?, row.take_opt_text(3)?);
            let kind =
                Kind { policy, creator: creator.map(Arc::from), project_id: project_id.map(Arc::from) };
            loaded.push(Loaded {
                id: MetricId(row.uuid(0)?),
                kind: self.cache.shared(kind),
                resource: row.opt_uuid(4)?.map(ResourceId),
                name: row.take_opt_text(5)?,
            });
        }
        instrument::known_loaded(loaded.len());
        Ok((version, loaded))
    }

    /// The metric at each place, read where it must be.
    async fn find_named(&self, places: &[(ResourceId, &str)]) -> Result<Vec<Option<MetricId>>, IndexError> {
        self.refresh().await?;
        let held = self.names.look_up(places).into_iter();
        let mut found: Vec<Option<MetricId>> = held
            .map(|held| held.filter(|(id, stamp)| self.cache.has(*id, *stamp)).map(|(id, _)| id))
            .collect();
        let lacking = places.iter().zip(&found).filter(|(_, id)| id.is_none()).map(|(place, _)| place.0);
        let lacking: BTreeSet<ResourceId> = lacking.collect();
        if lacking.is_empty() {
            return Ok(found);
        }
        let ids = lacking.iter().map(|id| id.as_bytes().to_vec()).collect();
        let (version, metrics) = self.load("m.resource_id", ids).await?;
        let kept: Vec<_> = metrics.iter().map(|metric| (metric.id, Arc::clone(&metric.kind))).collect();
        let stamp = self.cache.keep(version, &kept);
        let loaded = || metrics.iter().map(|metric| (metric.id, metric.resource.zip(metric.name.as_deref())));
        self.names.keep(stamp, loaded());
        let loaded: HashMap<_, _> = loaded().filter_map(|(id, place)| Some((place?, id))).collect();
        for (place, slot) in places.iter().zip(&mut found) {
            if slot.is_none() {
                *slot = loaded.get(place).copied();
            }
        }
        Ok(found)
    }

    /// What is known of each metric, read where it must be.
    async fn find(&self, ids: &[MetricId]) -> Result<Found, IndexError> {
        self.refresh().await?;
        let mut found = self.cache.look_up(ids);
        instrument::known_looked_up(found.searches, found.is_followed);
        if found.metrics.iter().any(Option::is_none) {
            let lacking = |(id, kind): (&MetricId, &Option<KindPlace>)| kind.is_none().then_some(*id);
            let lacking: Vec<MetricId> = ids.iter().zip(&found.metrics).filter_map(lacking).collect();
            let asked = lacking.iter().map(|id| id.as_bytes().to_vec()).collect();
            let (version, metrics) = self.load("m.id", asked).await?;
            let loaded: HashMap<MetricId, Arc<Kind>> =
                metrics.into_iter().map(|metric| (metric.id, metric.kind)).collect();
            // In the order in which they are asked for: so they will be the next time.
            let kept = lacking.iter().filter_map(|id| Some((*id, Arc::clone(loaded.get(id)?))));
            self.cache.keep(version, &kept.collect::<Vec<_>>());
            found.fill(ids, &loaded);
        }
        Ok(found)
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A metric as it was read.
struct Loaded {
    id: MetricId,
    kind: Arc<Kind>,
    resource: Option<ResourceId>,
    name: Option<String>,
}

/// While it lives, others need not read the changes.
struct Reading<'a>(&'a AtomicBool);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl SqlIndex {
    pub(crate) async fn know_named(
        &self,
        places: &[(ResourceId, &str)],
    ) -> Result<Vec<Option<MetricId>>, IndexError> {
        self.known.find_named(places).await
    }

    pub(crate) async fn know(&self, ids: &[MetricId]) -> Result<KnownMetrics, IndexError> {
        let found = self.known.find(ids).await?;
        let recent = self.catalogue.recent().await?;
        let mut kinds = Vec::with_capacity(found.kinds.len());
        for kind in found.kinds {
            let policy = match recent.policy(&kind.policy) {
                Some(policy) => Arc::clone(policy),
                None => self.catalogue.policy_for(Some(&kind.policy), None).await?,
            };
            let (creator, project_id) = (kind.creator.clone(), kind.project_id.clone());
            kinds.push(MetricKind { creator, project_id, policy });
        }
        Ok(KnownMetrics { metrics: found.metrics, kinds })
    }
}
