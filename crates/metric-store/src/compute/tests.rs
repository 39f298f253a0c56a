//! Against answers that were recorded from the original: `recorded.json`.

mod folded;

use std::sync::Arc;

use nephos_model::MetricId;
use nephos_timeseries::{AggregationMethod, ArchivePolicy, PolicyItem, Stat};
use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;
use crate::contract::SeriesPoints;

fn number(value: &Json) -> f64 {
    value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap()
}

fn list(value: &Json) -> &[Json] {
    value.as_array().unwrap()
}

fn filling(case: &Json) -> Filling {
    let drop = |fill| Filling::Fill { fill, dropping: true };
    match &case["fill"] {
        Json::Null => Filling::Overlap(number(&case["needed_overlap"])),
        Json::String(word) => match word.as_str() {
            "null" => Filling::Fill { fill: Fill::Null, dropping: false },
            "dropna" => drop(Fill::Null),
            "ffill" => drop(Fill::Forward),
            "bfill" => drop(Fill::Backward),
            "full_ffill" => drop(Fill::ForwardThenBackward),
            "full_bfill" => drop(Fill::BackwardThenForward),
            other => panic!("{other}"),
        },
        value => Filling::Fill { fill: Fill::Value(number(value)), dropping: false },
    }
}

fn granularity(case: &Json) -> Granularity {
    Granularity::from_secs(case["granularity"].as_i64().unwrap()).unwrap()
}

fn computation(case: &Json) -> Computation {
    let mean = AggregationMethod::plain(Stat::Mean);
    let policy = Arc::new(ArchivePolicy {
        name: "p".to_owned(),
        back_window: 0,
        definition: vec![PolicyItem { granularity: granularity(case), points: None }],
        methods: vec![mean],
    });
    let seconds = |step: &Json| step.as_i64().map(|step| step * 1_000_000_000);
    let bound = |name: &str| case[name].as_bool().unwrap().then(|| Timestamp::from_secs(0));
    let request = |_: &Json| SeriesRequest {
        metric: MetricId::random(),
        policy: Arc::clone(&policy),
        method: mean,
        granularities: vec![granularity(case)],
        start: bound("start"),
        stop: bound("stop"),
        resample: None,
    };
    let operations = Arc::new(Operation::from_json(&case["operations"], &seconds).unwrap());
    let meant = |reference: &Reference| {
        let names = list(&case["series"]).iter().map(|series| series["name"].as_str().unwrap());
        (0..).zip(names).filter(|(_, name)| *name == reference.name).map(|(place, _)| place).collect()
    };
    let selection = operations.references().into_iter().map(meant).collect();
    let requests = list(&case["series"]).iter().map(request).collect();
    Computation { requests, work: Work::Operations { operations, selection, filling: filling(case) } }
}

fn series(case: &Json) -> Vec<Series> {
    let points = |series: &Json| SeriesPoints {
        granularity: granularity(case),
        timestamps: list(&series["timestamps"])
            .iter()
            .map(|at| Timestamp::from_secs(at.as_i64().unwrap()))
            .collect(),
        values: list(&series["values"]).iter().map(number).collect(),
    };
    list(&case["series"]).iter().map(|series| Series { granularities: vec![points(series)] }).collect()
}

/// Bit for bit, but for functions of which every machine has its own.
fn same(case: &Json, found: f64, expected: f64) -> bool {
    let text = case["operations"].to_string();
    let approximate = ["cos", "sin", "tan", "**"].iter().any(|name| text.contains(name));
    found == expected
        || (found.is_nan() && expected.is_nan())
        || (approximate && (found - expected).abs() <= expected.abs() * 1e-12)
}

fn check_rows(case: &Json, computed: &Computed, series: usize, expected: &Json) -> Result<(), String> {
    let dropping = matches!(filling(case), Filling::Fill { dropping: true, .. });
    let points = computed.grids.iter().flat_map(|grid| {
        let points = grid.timestamps().iter().zip(grid.column(series));
        let shown = points.filter(|(_, value)| !dropping || value.is_finite());
        shown.map(|(at, value)| (at.as_nanos(), grid.granularity().as_nanos(), *value))
    });
    let points: Vec<_> = points.collect();
    let rows = list(expected);
    let fits = |((at, granularity, value), row): (&(i64, i64, f64), &Json)| {
        row[0].as_i64() == Some(*at)
            && row[1].as_i64() == Some(*granularity)
            && same(case, *value, number(&row[2]))
    };
    if points.len() == rows.len() && points.iter().zip(rows).all(fits) {
        return Ok(());
    }
    Err(format!("{case}\ngives {points:?}"))
}

fn check(case: &Json, outcome: Result<Computed, Refusal>) -> Result<(), String> {
    let expected = &case["expected"];
    match outcome {
        Ok(computed) if computed.aggregated => check_rows(case, &computed, 0, &expected["aggregated"]),
        Ok(computed) => {
            let each = expected["each"].as_array().ok_or_else(|| format!("{case}\nis not aggregated"))?;
            each.iter().enumerate().try_for_each(|(at, rows)| check_rows(case, &computed, at, rows))
        }
        Err(Refusal::Unaggregable(reason)) => match expected["error"].as_str() {
            Some(text) if reason.starts_with(text) => Ok(()),
            _ => Err(format!("{case}\nis refused: {reason}")),
        },
        Err(other) => Err(format!("{case}\nis refused: {other}")),
    }
}

fn cases() -> Vec<Json> {
    serde_json::from_str(include_str!("recorded.json")).unwrap()
}

fn assert_none(wrong: &[String], of: usize) {
    let shown = wrong.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("\n\n");
    assert!(wrong.is_empty(), "{} of {of}:\n{shown}", wrong.len());
}

#[test]
fn answers_are_those_of_the_original() {
    let cases = cases();
    let outcome = |case| evaluate(&computation(case), series(case));
    let wrong: Vec<String> = cases.iter().filter_map(|case| check(case, outcome(case)).err()).collect();
    assert_none(&wrong, cases.len());
}

/// What owners come to who have every third series each.
fn shared(computation: &Computation, series: &[Series]) -> Option<Result<Computed, Refusal>> {
    let part = divide(&computation.work)?;
    let shares = (0..3).map(|owner| {
        let own = |at: &usize| at % 3 == owner;
        let places: Vec<usize> = (0..series.len()).filter(own).collect();
        let requests = places.iter().map(|at| computation.requests[*at].clone()).collect();
        let own = places.iter().map(|at| series[*at].clone()).collect();
        evaluate(&Computation { requests, work: part.work() }, own).unwrap()
    });
    Some(combine(computation, part, &shares.collect::<Vec<_>>()))
}

#[test]
fn several_owners_give_the_answers_of_one() {
    let cases = cases();
    let mut divided = 0;
    let mut wrong = Vec::new();
    for case in &cases {
        let computation = computation(case);
        let Some(outcome) = shared(&computation, &series(case)) else { continue };
        divided += 1;
        // With few series the sums are the same to the last bit or nearly so; the text of the case says what it is.
        wrong.extend(match (outcome, evaluate(&computation, series(case))) {
            (Err(left), Err(right)) if left == right => None,
            (Ok(left), Ok(right)) if are_close(&left, &right) => None,
            (left, right) => Some(format!("{case}\n{left:?}\n{right:?}")),
        });
    }
    assert_none(&wrong, divided);
    assert!(divided >= 10, "{divided}");
}

fn are_close(left: &Computed, right: &Computed) -> bool {
    let close = |a: f64, b: f64| {
        a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-12 * a.abs().max(b.abs())
    };
    left.aggregated == right.aggregated
        && left.grids.len() == right.grids.len()
        && left.grids.iter().zip(&right.grids).all(|(a, b)| {
            a.timestamps() == b.timestamps()
                && a.granularity() == b.granularity()
                && a.width() == b.width()
                && (0..a.width()).all(|at| a.column(at).iter().zip(b.column(at)).all(|(a, b)| close(*a, *b)))
        })
}

fn case(operations: Json, fill: Json, needed: f64, columns: &[Vec<Option<f64>>]) -> Json {
    let series = columns.iter().map(|column| {
        let points = (0..).zip(column).filter_map(|(at, value)| Some((at * 60, (*value)?)));
        let (timestamps, values): (Vec<i64>, Vec<f64>) = points.unzip();
        serde_json::json!({"name": "m", "timestamps": timestamps, "values": values})
    });
    serde_json::json!({
        "operations": operations, "granularity": 60, "fill": fill, "needed_overlap": needed, "start": false,
        "stop": false, "series": series.collect::<Vec<_>>(),
    })
}

proptest! {
    #[test]
    fn shares_of_any_series_make_the_whole(
        columns in prop::collection::vec(prop::collection::vec(prop::option::of(0.5..1e6f64), 6), 1..12),
        method in prop::sample::select(vec!["mean", "sum", "min", "max", "count", "rate:mean", "rate:sum"]),
        needed in prop::sample::select(vec![0.0, 30.0, 100.0]),
        fill in prop::sample::select(vec![Json::Null, "null".into(), "dropna".into()]),
    ) {
        let aggregate = serde_json::json!(["aggregate", method, ["metric", ["m", "mean"]]]);
        // Differences of nearly equal sums lose digits; halves and bounds do not.
        let operations = serde_json::json!(["/", ["+", aggregate, aggregate], 2]);
        let case = case(operations, fill, needed, &columns);
        let computation = computation(&case);
        let whole = evaluate(&computation, series(&case));
        match (shared(&computation, &series(&case)).unwrap(), whole) {
            (Ok(left), Ok(right)) if method.starts_with("rate:") => {
                prop_assert_eq!(left.grids[0].timestamps(), right.grids[0].timestamps());
                for (a, b) in left.grids[0].column(0).iter().zip(right.grids[0].column(0)) {
                    prop_assert!((a - b).abs() <= 1e-5 || (a.is_nan() && b.is_nan()), "{} {}", a, b);
                }
            }
            (Ok(left), Ok(right)) => prop_assert!(are_close(&left, &right), "{:?} {:?}", left, right),
            (left, right) => prop_assert_eq!(left, right),
        }
    }
}

#[test]
fn what_needs_all_series_in_one_place_is_not_divided() {
    let metric = || serde_json::json!(["metric", ["m", "mean"]]);
    let sum = || serde_json::json!(["aggregate", "sum", metric()]);
    for (operations, fill, divided) in [
        (sum(), "dropna", true),
        (serde_json::json!(["rolling", "mean", 2, ["neg", sum()]]), "null", true),
        (serde_json::json!(["+", sum(), sum()]), "null", true),
        (serde_json::json!(["+", sum(), ["aggregate", "max", metric()]]), "null", false),
        (serde_json::json!(["-", metric(), sum()]), "null", false),
        (serde_json::json!(["aggregate", "sum", ["neg", metric()]]), "null", false),
        (serde_json::json!(["aggregate", "median", metric()]), "null", false),
        (serde_json::json!(["aggregate", "std", metric()]), "null", false),
        (metric(), "null", false),
        (sum(), "ffill", false),
    ] {
        let case = case(operations, fill.into(), 0.0, &[vec![Some(1.0)]]);
        assert_eq!(divide(&computation(&case).work).is_some(), divided, "{case}");
    }
}

#[test]
fn windows_that_cost_too_much_are_refused() {
    let points = 40_000;
    let case = serde_json::json!({
        "operations": ["rolling", "median", 20_000, ["metric", ["m0", "mean"]]],
        "granularity": 1, "fill": "dropna", "needed_overlap": 0, "start": false, "stop": false,
        "series": [{"name": "m0", "timestamps": (0..points).collect::<Vec<_>>(), "values": vec![1.0; points]}],
    });
    let refusal = evaluate(&computation(&case), series(&case)).unwrap_err();
    assert_eq!(refusal.to_string(), "The operations would look at more than 268435456 values");
}
