//! `/v1/batch`: measures of many metrics.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use foldhash::fast::RandomState;
use nephos_model::{ResourceId, Timestamp};
use nephos_wire::gnocchi::measures::{Entries, MaybeObject, NamedMeasures, PostedMeasures, read_body};
use nephos_wire::gnocchi::scan::{self, ByMetric, Columns, Pieces, Unsure};
use nephos_wire::gnocchi::{Invalid, Step, parse_uuid, resource_id};
use uuid::Uuid;

use super::measures::NewMeasure;
use super::{GnocchiRoutes, bodies};
use crate::failure::Failure;
use crate::http::{Args, Payload, Unread, reply};
use crate::routes::Doc;
use crate::service::batch::{self, NamedBatch, NamedRun, ResourceRuns};
use crate::state::{ApiState, Who};

const TAG: &str = "measures";

/// Whether one of so many metrics stands twice in a batch is found out by a thread that may take its time.
const MANY: usize = 20_000;

pub(super) fn add(routes: GnocchiRoutes) -> GnocchiRoutes {
    routes
        .post(
            "/v1/batch/metrics/measures",
            by_metric,
            Doc::new("postBatchByMetric", TAG, "Takes measures by metric id, all or nothing")
                .body::<HashMap<String, Vec<NewMeasure>>>()
                .gives_nothing(202)
                .fails(&[400, 401, 403, 413, 415, 503]),
        )
        .post(
            "/v1/batch/resources/metrics/measures",
            by_resource,
            Doc::new(
                "postBatchByResource",
                TAG,
                "Takes measures by resource and metric name, all or nothing",
            )
            .query(&[("create_metrics", "Whether metrics that are not there are created")])
            .body::<HashMap<String, HashMap<String, Vec<NewMeasure>>>>()
            .gives_nothing(202)
            .fails(&[400, 401, 403, 413, 415, 503]),
        )
}

/// An error below the given keys.
fn under(keys: &[&str], message: impl Into<String>, about_value: bool) -> Failure {
    let path = keys.iter().map(|key| Step::Key((*key).to_owned())).collect();
    Failure::from(Invalid { message: message.into(), path, about_value })
}

/// Appends checked measures to columns.
fn check(posted: &PostedMeasures<'_>, now: Timestamp, columns: &mut Columns) -> Result<(), Failure> {
    let measures = posted.check(now).map_err(|error| Invalid::whole(error.to_string()))?;
    columns.timestamps.extend(measures.iter().map(|measure| measure.timestamp));
    columns.values.extend(measures.iter().map(|measure| measure.value));
    Ok(())
}

fn not_a_dictionary() -> Failure {
    Failure::from(Invalid::whole("expected a dictionary"))
}

/// A batch in which the measures of each metric are one run.
pub fn merge_repeated(batch: ByMetric) -> ByMetric {
    if are_distinct(&batch.ids) {
        return batch;
    }
    let mut runs = BTreeMap::<Uuid, Columns>::new();
    let mut start = 0;
    for (id, end) in batch.ids.iter().zip(batch.ends) {
        let run = runs.entry(*id).or_default();
        run.timestamps.extend(batch.columns.timestamps.get(start..end).unwrap_or_default());
        run.values.extend(batch.columns.values.get(start..end).unwrap_or_default());
        start = end;
    }
    runs_in_a_row(runs)
}

fn runs_in_a_row(runs: BTreeMap<Uuid, Columns>) -> ByMetric {
    let mut batch = ByMetric::default();
    for (id, run) in runs {
        batch.ids.push(id);
        batch.columns.timestamps.extend(run.timestamps);
        batch.columns.values.extend(run.values);
        batch.ends.push(batch.columns.values.len());
    }
    batch
}

/// Whether no id stands twice. Places instead of ids are hashed, so that the table of thousands of them stays small.
fn are_distinct(ids: &[Uuid]) -> bool {
    // Metrics have ascending ids as they are made, and are mostly measured in that order.
    if ids.is_sorted_by(|before, after| before < after) {
        return true;
    }
    let size = (ids.len() * 2).next_power_of_two();
    let mut places = vec![u32::MAX; size];
    let hasher = RandomState::default();
    ids.iter().zip(0..).all(|(id, place)| {
        let mut slot = usize::try_from(hasher.hash_one(id)).unwrap_or_default();
        loop {
            slot &= size - 1;
            match ids.get(places[slot] as usize) {
                None => break,
                Some(other) if other == id => return false,
                Some(_) => slot += 1,
            }
        }
        places[slot] = place;
        true
    })
}

/// A batch by metric in whatever form. What stands under several texts of one id is one run.
pub fn parse_by_metric(bytes: &[u8], now: Timestamp) -> Result<ByMetric, Failure> {
    let mut spare = None;
    let body: MaybeObject<Entries<'_, PostedMeasures<'_>>> =
        read_body(bytes, &mut spare).map_err(|_| Failure::UndecodableBody)?;
    let mut runs = BTreeMap::<Uuid, Columns>::new();
    for (key, posted) in body.0.ok_or_else(not_a_dictionary)?.0 {
        let id =
            parse_uuid(&key).ok_or_else(|| under(&[&key], "badly formed hexadecimal UUID string", false))?;
        check(&posted, now, runs.entry(id).or_default())?;
    }
    Ok(runs_in_a_row(runs))
}

/// A batch by resource in the usual form, in which no metric stands twice.
pub fn scan_by_resource(bytes: &[u8], creator: Option<&str>) -> Option<NamedBatch> {
    let scan::ByResource { resources: scanned, metrics, columns } = scan::by_resource(bytes)?;
    let mut resources = Vec::with_capacity(scanned.len());
    let (mut metrics, mut seen, mut start) = (metrics.into_iter(), HashSet::new(), 0);
    let mut taken = 0;
    for (original, last) in scanned {
        let id = resource_id(original, creator).ok().filter(|id| seen.insert(*id))?;
        let mut runs = Vec::with_capacity(last - taken);
        for named in metrics.by_ref().take(last - taken) {
            bodies::check_metric_name(named.name).ok()?;
            named.unit.map_or(Ok(()), bodies::check_unit).ok()?;
            runs.push(NamedRun {
                name: named.name.to_owned(),
                archive_policy_name: named.archive_policy_name.map(str::to_owned),
                unit: named.unit.map(str::to_owned),
                measures: start..named.end,
            });
            start = named.end;
        }
        taken = last;
        runs.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        if runs.windows(2).any(|pair| matches!(pair, [a, b] if a.name == b.name)) {
            return None;
        }
        resources.push(ResourceRuns { id, original_id: original.to_owned(), runs });
    }
    resources.sort_unstable_by_key(|resource| resource.id);
    Some(NamedBatch { resources, columns })
}

/// A run in whatever form, before the measures of one metric have come together.
struct LooseRun {
    run: NamedRun,
    columns: Columns,
}

/// A batch by resource in whatever form.
pub fn parse_by_resource(bytes: &[u8], creator: Option<&str>, now: Timestamp) -> Result<NamedBatch, Failure> {
    let mut spare = None;
    let body: MaybeObject<Entries<'_, MaybeObject<Entries<'_, NamedMeasures<'_>>>>> =
        read_body(bytes, &mut spare).map_err(|_| Failure::UndecodableBody)?;
    let mut batch = BTreeMap::<ResourceId, (String, Vec<LooseRun>)>::new();
    for (original, named) in body.0.ok_or_else(not_a_dictionary)?.0 {
        let id =
            resource_id(&original, creator).map_err(|error| under(&[&original], error.to_string(), false))?;
        let named = named.0.ok_or_else(|| under(&[&original], "expected a dictionary", true))?;
        let (_, runs) = batch.entry(id).or_insert_with(|| (original.clone().into_owned(), Vec::new()));
        for (name, posted) in named.0 {
            runs.push(loose_run(&original, &name, posted, now)?);
        }
    }
    let mut columns = Columns::default();
    let resources = batch.into_iter().map(|(id, (original_id, runs))| {
        let runs = merge_same_names(runs, &mut columns);
        ResourceRuns { id, original_id, runs }
    });
    let resources = resources.collect();
    Ok(NamedBatch { resources, columns })
}

fn loose_run(
    resource: &str,
    name: &str,
    posted: NamedMeasures<'_>,
    now: Timestamp,
) -> Result<LooseRun, Failure> {
    if let Some(key) = posted.unknown_key {
        return Err(under(&[resource, name, &key], "extra keys not allowed", false));
    }
    bodies::check_metric_name(name).map_err(|text| under(&[resource, name], text, false))?;
    if let Some(unit) = &posted.unit {
        bodies::check_unit(unit)
            .map_err(|invalid| under(&[resource, name, "unit"], invalid.message, true))?;
    }
    let mut columns = Columns::default();
    check(&posted.measures, now, &mut columns)?;
    let run = NamedRun {
        name: name.to_owned(),
        archive_policy_name: posted.archive_policy_name.map(std::borrow::Cow::into_owned),
        unit: posted.unit.map(std::borrow::Cow::into_owned),
        measures: 0..0,
    };
    Ok(LooseRun { run, columns })
}

/// The same resource may come under several texts of its id, and so the same metric more than once.
fn merge_same_names(mut loose: Vec<LooseRun>, columns: &mut Columns) -> Vec<NamedRun> {
    loose.sort_by(|a, b| a.run.name.cmp(&b.run.name));
    let mut merged: Vec<NamedRun> = Vec::with_capacity(loose.len());
    for LooseRun { run, columns: own } in loose {
        let start = columns.values.len();
        columns.timestamps.extend(own.timestamps);
        columns.values.extend(own.values);
        let end = columns.values.len();
        match merged.last_mut() {
            Some(last) if last.name == run.name => last.measures.end = end,
            _ => merged.push(NamedRun { measures: start..end, ..run }),
        }
    }
    merged
}

/// A batch by metric: what the scanner is not sure of is read thoroughly.
pub async fn read_by_metric(scanned: Result<ByMetric, Unsure>, now: Timestamp) -> Result<ByMetric, Failure> {
    let batch = match scanned {
        Ok(batch) => batch,
        Err(Unsure { mut read, rest }) => {
            let rest = Payload::json_text(rest);
            let others = match rest.scan(scan::by_metric).await {
                Some(others) => others,
                None => rest.parse(move |bytes| parse_by_metric(bytes, now)).await?,
            };
            read.extend(others);
            read
        }
    };
    if batch.ids.len() < MANY {
        return Ok(merge_repeated(batch));
    }
    tokio::task::spawn_blocking(move || merge_repeated(batch)).await.map_err(|_| Failure::Internal)
}

async fn by_metric(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    body: Unread,
) -> Result<Response, Failure> {
    let expected = body.expect_type("application/json");
    let mut pieces = Pieces::new(body.announced());
    body.each(|piece| pieces.take(&piece)).await?;
    expected?;
    let batch = read_by_metric(pieces.end(), state.clock.now()).await?;
    batch::by_metric(&state, &caller, batch).await?;
    Ok(reply::accepted())
}

async fn by_resource(
    State(state): State<Arc<ApiState>>,
    Who(caller): Who,
    args: Args,
    payload: Payload,
) -> Result<Response, Failure> {
    let create = args.flag("create_metrics")?;
    payload.expect_type("application/json")?;
    let creator = caller.creator.clone();
    let scanned = payload.scan(move |bytes| scan_by_resource(bytes, creator.as_deref())).await;
    let batch = match scanned {
        Some(batch) => batch,
        None => {
            let (now, creator) = (state.clock.now(), caller.creator.clone());
            payload.parse(move |bytes| parse_by_resource(bytes, creator.as_deref(), now)).await?
        }
    };
    batch::by_resource(&state, &caller, batch, create).await?;
    Ok(reply::accepted())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_of_a_metric_that_stands_twice_are_one_run() {
        for count in [1_u128, 2, 3, 8, 100, 1_000] {
            let mut ids: Vec<Uuid> = (0..count).map(|number| Uuid::from_u128(number << 64)).collect();
            let body = |ids: &[Uuid]| {
                let runs = ids.iter().map(|id| format!(r#""{id}":[{{"timestamp":1,"value":2}}]"#));
                format!("{{{}}}", runs.collect::<Vec<_>>().join(","))
            };
            let scanned = || scan::by_metric(body(&ids).as_bytes()).unwrap();
            assert_eq!(merge_repeated(scanned()), scanned());
            ids.push(ids[ids.len() / 2]);
            let merged = merge_repeated(scan::by_metric(body(&ids).as_bytes()).unwrap());
            assert_eq!(merged, parse_by_metric(body(&ids).as_bytes(), Timestamp::from_secs(0)).unwrap());
            assert_eq!(merged.ids.len(), ids.len() - 1);
        }
    }

    #[tokio::test]
    async fn a_metric_that_stands_twice_among_very_many_is_one_run() {
        let mut scanned = ByMetric::default();
        for number in (0..=MANY).chain([7]) {
            scanned.ids.push(Uuid::from_u128(number as u128));
            scanned.columns.timestamps.push(Timestamp::from_secs(60));
            scanned.columns.values.push(1.0);
            scanned.ends.push(scanned.columns.values.len());
        }
        let batch = read_by_metric(Ok(scanned), Timestamp::from_secs(0)).await.unwrap();
        assert_eq!((batch.ids.len(), batch.columns.values.len()), (MANY + 1, MANY + 2));
        let before = |at: usize| at.checked_sub(1).map_or(0, |before| batch.ends[before]);
        let long: Vec<usize> = (0..=MANY).filter(|at| batch.ends[*at] - before(*at) > 1).collect();
        assert_eq!(long, [7]);
    }
}
