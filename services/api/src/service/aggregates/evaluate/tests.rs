//! Against answers that were recorded from the original: `recorded.json`.

use std::sync::Arc;

use nephos_metric_store::SeriesPoints;
use nephos_model::MetricId;
use nephos_timeseries::{AggregationMethod, ArchivePolicy, PolicyItem, Stat};
use serde_json::Value as Json;

use super::*;
use crate::service::aggregates::{Source, Window};

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

fn plan(case: &Json) -> Plan {
    let granularity = Granularity::from_secs(case["granularity"].as_i64().unwrap()).unwrap();
    let mean = AggregationMethod::plain(Stat::Mean);
    let policy = Arc::new(ArchivePolicy {
        name: "p".to_owned(),
        back_window: 0,
        definition: vec![PolicyItem { granularity, points: None }],
        methods: vec![mean],
    });
    let seconds = |step: &Json| step.as_i64().map(|step| step * 1_000_000_000);
    let sources = list(&case["series"]).iter().map(|series| Source {
        metric: MetricId::random(),
        policy: Arc::clone(&policy),
        found: None,
        references: vec![Reference {
            name: series["name"].as_str().unwrap().to_owned(),
            method: "mean".to_owned(),
        }],
    });
    let bound = |name: &str| case[name].as_bool().unwrap().then(|| Timestamp::from_secs(0));
    let window = Window { start: bound("start"), stop: bound("stop"), granularity: None };
    let operations = Operation::from_json(&case["operations"], &seconds).unwrap();
    Plan::new(sources.collect(), Arc::new(operations), window, filling(case)).unwrap()
}

fn series(case: &Json) -> Vec<Series> {
    let granularity = Granularity::from_secs(case["granularity"].as_i64().unwrap()).unwrap();
    let points = |series: &Json| SeriesPoints {
        granularity,
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
    let points = computed.grids.iter().flat_map(|grid| {
        computed.points(grid, series).map(|(at, value)| (at.as_nanos(), grid.granularity().as_nanos(), value))
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

fn check(case: &Json) -> Result<(), String> {
    let expected = &case["expected"];
    match evaluate(plan(case), series(case)) {
        Ok(computed) if computed.aggregated => check_rows(case, &computed, 0, &expected["aggregated"]),
        Ok(computed) => {
            let each = expected["each"].as_array().ok_or_else(|| format!("{case}\nis not aggregated"))?;
            each.iter().enumerate().try_for_each(|(at, rows)| check_rows(case, &computed, at, rows))
        }
        Err(Problem::Detailed { reason: Some(reason), .. }) => match expected["error"].as_str() {
            Some(text) if reason.starts_with(text) => Ok(()),
            _ => Err(format!("{case}\nis refused: {reason}")),
        },
        Err(other) => Err(format!("{case}\nis refused: {other}")),
    }
}

#[test]
fn answers_are_those_of_the_original() {
    let recorded = include_str!("recorded.json");
    let cases: Json = serde_json::from_str(recorded).unwrap();
    let wrong: Vec<String> = list(&cases).iter().filter_map(|case| check(case).err()).collect();
    let shown = wrong.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("\n\n");
    assert!(wrong.is_empty(), "{} of {}:\n{shown}", wrong.len(), list(&cases).len());
}

#[test]
fn windows_that_cost_too_much_are_refused() {
    let points = 40_000;
    let case = serde_json::json!({
        "operations": ["rolling", "median", 20_000, ["metric", ["m0", "mean"]]],
        "granularity": 1, "fill": "dropna", "needed_overlap": 0, "start": false, "stop": false,
        "series": [{"name": "m0", "timestamps": (0..points).collect::<Vec<_>>(), "values": vec![1.0; points]}],
    });
    let Err(Problem::Bad(text)) = evaluate(plan(&case), series(&case)) else { panic!("computed") };
    assert_eq!(text, "The operations would look at more than 268435456 values");
}
