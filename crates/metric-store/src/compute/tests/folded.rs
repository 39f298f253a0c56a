//! Series taken one by one against the same side by side.

use super::*;
use crate::compute::Folding;

/// What comes of series that are not kept; `None` if they are needed all at once.
fn folded(computation: &Computation, series: &[Series]) -> Option<Result<Computed, Refusal>> {
    let mut folding = Folding::of(computation)?;
    for (place, series) in series.iter().enumerate() {
        for SeriesPoints { granularity, timestamps, values } in &series.granularities {
            folding.add(place, *granularity, timestamps, values);
        }
    }
    folding.finish()
}

/// Every bit of a number, but that one NaN is as good as another.
fn bits(value: &f64) -> u64 {
    if value.is_nan() { u64::MAX } else { value.to_bits() }
}

/// Panics unless both are the same to the last bit.
fn assert_same(left: &Result<Computed, Refusal>, right: &Result<Computed, Refusal>) {
    let all = |computed: &Computed| {
        let grids = computed.grids.iter().map(|grid| {
            let columns = (0..grid.width()).map(|at| grid.column(at).iter().map(bits).collect());
            (grid.granularity(), grid.timestamps().to_vec(), columns.collect::<Vec<Vec<u64>>>())
        });
        (grids.collect::<Vec<_>>(), computed.aggregated, computed.chosen.clone())
    };
    match (left, right) {
        (Ok(left), Ok(right)) => assert_eq!(all(left), all(right)),
        (left, right) => assert_eq!(left, right),
    }
}

#[test]
fn series_that_are_not_kept_give_the_answers_of_the_original() {
    let cases = cases();
    let outcomes = cases.iter().filter_map(|case| Some((case, folded(&computation(case), &series(case))?)));
    let outcomes: Vec<_> = outcomes.collect();
    let of = outcomes.len();
    assert!(of >= 10, "{of}");
    let wrong: Vec<String> =
        outcomes.into_iter().filter_map(|(case, outcome)| check(case, outcome).err()).collect();
    assert_none(&wrong, of);
}

#[test]
fn only_aggregates_of_series_that_need_not_all_values_at_once_are_folded() {
    let metric = || serde_json::json!(["metric", ["m", "mean"]]);
    let of = |method: &str| serde_json::json!(["aggregate", method, metric()]);
    for (operations, is_folded) in [
        (of("mean"), true),
        (of("rate:max"), true),
        (serde_json::json!(["/", of("sum"), ["+", of("count"), of("sum")]]), true),
        (serde_json::json!(["resample", "mean", 300, ["neg", of("min")]]), true),
        (of("median"), false),
        (of("std"), false),
        (serde_json::json!(["-", metric(), of("mean")]), false),
        (serde_json::json!(["aggregate", "mean", ["neg", metric()]]), false),
        (serde_json::json!(["top", 1, "mean", metric()]), false),
    ] {
        let case = case(operations, Json::Null, 0.0, &[vec![Some(1.0), Some(2.0)]]);
        assert_eq!(folded(&computation(&case), &series(&case)).is_some(), is_folded, "{case}");
    }
}

/// Points that any series may have: many of them at the same times, and values of every kind.
fn points() -> impl Strategy<Value = Vec<(i64, f64)>> {
    let odd = vec![f64::NAN, -0.0, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300, 5e-324];
    let value = prop_oneof![
        12 => -1e6..1e6f64,
        2 => (-3i32..3).prop_map(f64::from),
        1 => prop::sample::select(odd),
    ];
    let whole = prop::collection::vec(value.clone(), 9).prop_map(|values| (2..).zip(values).collect());
    let some = prop::collection::btree_map(0i64..12, value.clone(), 0..6);
    let one = value.prop_map(|value| vec![(5, value)]);
    prop_oneof![4 => whole, 4 => some.prop_map(|all| all.into_iter().collect()), 1 => one]
}

fn fillings() -> impl Strategy<Value = Filling> {
    let fill = prop::sample::select(vec![
        Fill::Null,
        Fill::Value(7.25),
        Fill::Value(f64::NAN),
        Fill::Forward,
        Fill::Backward,
        Fill::ForwardThenBackward,
        Fill::BackwardThenForward,
    ]);
    let needed = prop::sample::select(vec![0.0, 10.0, 60.0, 100.0]);
    prop_oneof![
        3 => fill.prop_map(|fill| Filling::Fill { fill, dropping: false }),
        2 => needed.prop_map(Filling::Overlap),
    ]
}

const WIDTHS: [i64; 2] = [120, 60];

/// Requests of so many series, and operations of some shape on two aggregates of which each has some of them.
fn random(of: &[usize], methods: &[&str], shape: usize, filling: Filling, open: (bool, bool)) -> Computation {
    let widths = WIDTHS.map(|width| Granularity::from_secs(width).unwrap());
    let mean = AggregationMethod::plain(Stat::Mean);
    let policy = Arc::new(ArchivePolicy {
        name: "p".to_owned(),
        back_window: 0,
        definition: widths.map(|granularity| PolicyItem { granularity, points: None }).to_vec(),
        methods: vec![mean],
    });
    let request = |_: &usize| SeriesRequest {
        metric: MetricId::random(),
        policy: Arc::clone(&policy),
        method: mean,
        granularities: widths.to_vec(),
        start: (!open.0).then_some(Timestamp::EPOCH),
        stop: (!open.1).then_some(Timestamp::EPOCH),
        resample: None,
    };
    let aggregate = |at: usize| {
        let name = format!("m{at}");
        serde_json::json!(["aggregate", methods[at], ["metric", [name, "mean"]]])
    };
    let (first, second) = (aggregate(0), aggregate(1));
    let operations = match shape {
        0 => first,
        1 => serde_json::json!(["+", first, second]),
        2 => serde_json::json!(["resample", "sum", 240, ["aggregate", "max", second]]),
        3 => serde_json::json!(["-", ["rolling", "mean", 2, first], ["rolling", "mean", 2, first]]),
        _ => serde_json::json!(["rateofchange", ["abs", second]]),
    };
    let step = |step: &Json| step.as_i64().map(|step| step * 1_000_000_000);
    let operations = Arc::new(Operation::from_json(&operations, &step).unwrap());
    let meant = |reference: &&Reference| {
        let number = usize::from(reference.name == "m1");
        let meant = (0..).zip(of).filter(|(_, of)| **of == number || **of == 2);
        meant.map(|(place, _)| place).collect()
    };
    let selection = operations.references().iter().map(meant).collect();
    let requests = of.iter().map(request).collect();
    Computation { requests, work: Work::Operations { operations, selection, filling } }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn series_that_are_not_kept_come_to_the_same_to_the_last_bit(
        all in prop::collection::vec((points(), points(), 0usize..3), 1..14),
        methods in prop::collection::vec(
            prop::sample::select(vec!["mean", "sum", "min", "max", "count", "rate:mean", "rate:count"]), 2,
        ),
        shape in 0usize..5,
        filling in fillings(),
        open in any::<(bool, bool)>(),
        reduction in prop::sample::select(vec![Reduction::Sum, Reduction::Min, Reduction::Max]),
    ) {
        let of: Vec<usize> = all.iter().map(|(_, _, of)| *of).collect();
        let operated = random(&of, &methods, shape, filling, open);
        let shared = Computation { work: Work::Share(reduction), ..operated.clone() };
        let points = |width: i64, points: &[(i64, f64)]| SeriesPoints {
            granularity: Granularity::from_secs(width).unwrap(),
            timestamps: points.iter().map(|(at, _)| Timestamp::from_secs(at * width)).collect(),
            values: points.iter().map(|(_, value)| *value).collect(),
        };
        let [coarse, fine] = WIDTHS;
        let one = |(a, b, _): &(Vec<_>, Vec<_>, _)| Series { granularities: vec![points(coarse, a), points(fine, b)] };
        let series: Vec<Series> = all.iter().map(one).collect();
        for computation in [operated, shared] {
            let whole = evaluate(&computation, series.clone());
            match folded(&computation, &series) {
                Some(outcome) => assert_same(&outcome, &whole),
                // Nothing but a single timestamp needs all series at once here.
                None => {
                    let stamps = whole.iter().flat_map(|whole| &whole.grids).map(|grid| grid.timestamps().len());
                    prop_assert!(shape > 0 || stamps.min() <= Some(1), "{:?}", whole);
                }
            }
        }
    }
}
