use std::sync::Arc;

use nephos_config::pipeline::{ConversionSpec, Late, Scale, TargetSpec};
use nephos_lang::expression::Expression;
use nephos_model::{SampleKind, Volume};
use serde_json::json;

use super::*;

fn sample(second: i64, volume: impl Into<Volume>) -> Sample {
    let mut sample =
        Sample::new("bytes", SampleKind::Cumulative, "B", volume, "r1", Timestamp::from_secs(second));
    sample.id = Uuid::from_u128(u128::from(second.unsigned_abs()) + 1_000);
    sample
}

fn rate(late: Late) -> RateOfChange {
    let target = TargetSpec { name: Some("rate".to_owned()), ..TargetSpec::default() };
    RateOfChange::new(ConversionSpec { target, late, ..ConversionSpec::default() })
}

/// What a step gave: (second, volume), and its drops.
type Step = (Vec<(i64, f64)>, Vec<DropReason>);

/// Steps with one batch after the other; what each gave.
fn steps(transformer: &dyn Transformer, batches: &[&[Sample]]) -> Vec<Step> {
    let mut state = Vec::new();
    let step = |batch: &&[Sample]| {
        let mut output = Output::default();
        transformer.step(&mut state, Timestamp::EPOCH, batch.to_vec(), &mut output);
        let seen = output.samples.iter().map(|s| (s.timestamp.as_secs(), s.volume.as_f64())).collect();
        (seen, output.drops)
    };
    batches.iter().map(step).collect()
}

fn outputs(transformer: &dyn Transformer, batches: &[&[Sample]]) -> Vec<Vec<(i64, f64)>> {
    steps(transformer, batches).into_iter().map(|(seen, _)| seen).collect()
}

#[test]
fn a_late_sample_gives_its_rate_and_its_successors_again() {
    let samples = [sample(0, 0_i64), sample(20, 400_i64), sample(10, 100_i64)];
    let each: Vec<&[Sample]> = samples.chunks(1).collect();
    assert_eq!(outputs(&rate(Late::Emit), &each), [vec![], vec![(20, 20.0)], vec![(10, 10.0), (20, 30.0)]]);
    assert_eq!(outputs(&rate(Late::Drop), &each), [vec![], vec![(20, 20.0)], vec![]]);
}

#[test]
fn a_batch_gives_each_rate_once_in_whatever_order_it_is() {
    let batch = [sample(30, 900_i64), sample(0, 0_i64), sample(20, 400_i64), sample(10, 100_i64)];
    assert_eq!(outputs(&rate(Late::Emit), &[&batch]), [vec![(10, 10.0), (20, 30.0), (30, 50.0)]]);
}

#[test]
fn a_late_first_sample_gives_the_former_first_its_rate() {
    let samples = [sample(10, 100_i64), sample(0, 0_i64)];
    let each: Vec<&[Sample]> = samples.chunks(1).collect();
    assert_eq!(
        steps(&rate(Late::Emit), &each),
        [(vec![], vec![DropReason::NoPredecessor]), (vec![(10, 10.0)], vec![DropReason::NoPredecessor])]
    );
}

#[test]
fn a_sample_delivered_again_gives_the_same_output_with_the_same_id() {
    for late in [Late::Emit, Late::Drop] {
        let transformer = rate(late);
        let mut state = Vec::new();
        let mut seen = Vec::new();
        for again in [sample(0, 0_i64), sample(10, 100_i64), sample(10, 100_i64), sample(10, 100_i64)] {
            let mut output = Output::default();
            transformer.step(&mut state, Timestamp::EPOCH, vec![again], &mut output);
            seen.push(output.samples);
        }
        assert_eq!(seen[0], []);
        assert_eq!(seen[1].len(), 1);
        assert_eq!(seen[1], seen[2], "{late:?}");
        assert_eq!(seen[1], seen[3], "{late:?}");
    }
}

#[test]
fn a_batch_delivered_again_from_before_the_history_changes_nothing() {
    let transformer = rate(Late::Emit);
    let batch: Vec<Sample> = (0..20).map(|n| sample(n * 10, n * n)).collect();
    let [first, again] = outputs(&transformer, &[&batch, &batch]).try_into().unwrap();
    assert_eq!(first.len(), 19);
    // Only the eight that are remembered can be told again, save the eldest of them.
    assert_eq!(again, first[12..]);
}

#[test]
fn too_late_a_sample_is_dropped_and_spoils_nothing() {
    let transformer = rate(Late::Emit);
    let batch: Vec<Sample> = (10..20).map(|n| sample(n * 10, n * 100)).collect();
    let late = sample(50, 7_i64);
    let next = sample(200, 2_000_i64);
    let seen = steps(&transformer, &[&batch, std::slice::from_ref(&late), std::slice::from_ref(&next)]);
    assert_eq!(seen[1], (vec![], vec![DropReason::Late]));
    assert_eq!(seen[2], (vec![(200, 10.0)], vec![]));
}

#[test]
fn a_corrected_reading_replaces_the_old_one() {
    let samples = [sample(0, 0_i64), sample(10, 100_i64), sample(20, 200_i64), sample(10, 50_i64)];
    let each: Vec<&[Sample]> = samples.chunks(1).collect();
    assert_eq!(outputs(&rate(Late::Emit), &each)[3], [(10, 5.0), (20, 15.0)]);
}

#[test]
fn monotonic_time_counts_only_between_samples_of_one_clock_and_forwards() {
    let at = |second, monotonic: Option<f64>, origin: Option<&str>| {
        let mut sample = sample(second, second * 60);
        sample.monotonic_time = monotonic;
        let metadata = origin.map_or(json!({}), |origin| json!({"monotonic_origin": origin}));
        sample.metadata = Arc::new(metadata.as_object().unwrap().clone());
        sample
    };
    for (first, second, expected, why) in [
        (at(0, Some(5.0), None), at(60, Some(35.0), None), 120.0, "both without origin"),
        (at(0, Some(5.0), Some("a")), at(60, Some(35.0), Some("a")), 120.0, "one origin"),
        (at(0, Some(5.0), Some("a")), at(60, Some(35.0), Some("b")), 60.0, "two origins"),
        (at(0, Some(5.0), Some("a")), at(60, Some(35.0), None), 60.0, "one origin unknown"),
        (at(0, Some(5.0), None), at(60, None, None), 60.0, "one time unknown"),
        (at(0, Some(35.0), None), at(60, Some(5.0), None), 60.0, "backwards"),
        (at(0, Some(35.0), Some("a")), at(60, Some(5.0), Some("a")), 60.0, "backwards against the counter"),
        (at(0, Some(f64::NAN), None), at(60, Some(5.0), None), 60.0, "not a number"),
        (at(0, Some(5.0), None), at(60, Some(5.0), None), 0.0, "no time passed"),
    ] {
        assert_eq!(outputs(&rate(Late::Emit), &[&[first], &[second]])[1], [(60, expected)], "{why}");
    }
}

#[test]
fn a_wall_clock_set_back_makes_no_false_reset() {
    let at = |second, monotonic: f64, volume: i64| {
        let mut sample = sample(second, volume);
        sample.monotonic_time = Some(monotonic);
        sample.metadata = Arc::new(json!({"monotonic_origin": "a"}).as_object().unwrap().clone());
        sample
    };
    let samples = [
        at(100, 0.0, 1_000_000),
        at(110, 10.0, 1_000_100),
        at(90, 20.0, 1_000_200),
        at(100, 30.0, 1_000_300),
    ];
    let each: Vec<&[Sample]> = samples.chunks(1).take(3).collect();
    assert_eq!(outputs(&rate(Late::Emit), &each), [vec![], vec![(110, 10.0)], vec![(90, 10.0)]]);
}

#[test]
fn counters_that_start_again_count_from_zero_and_large_ones_stay_exact() {
    let large = i64::MAX - 100;
    for (first, second, expected) in [
        (Volume::Int(1_000), Volume::Int(50), 5.0),
        (Volume::Int(large), Volume::Int(large + 30), 3.0),
        (Volume::Uint(u64::MAX - 20), Volume::Uint(u64::MAX), 2.0),
        (Volume::Int(10), Volume::Float(40.0), 3.0),
        (Volume::Float(1e300), Volume::Float(f64::INFINITY), f64::INFINITY),
    ] {
        assert_eq!(
            outputs(&rate(Late::Emit), &[&[sample(0, first)], &[sample(10, second)]])[1],
            [(10, expected)]
        );
    }
    let infinite = [sample(0, f64::INFINITY), sample(10, f64::INFINITY)];
    assert_eq!(
        steps(&rate(Late::Emit), &[&infinite])[0].1,
        [DropReason::NoPredecessor, DropReason::NotANumber]
    );
}

#[test]
fn derived_samples_keep_the_owner_and_lose_the_rest() {
    let mut input = sample(0, 5_i64);
    input.user_id = Some("u".to_owned());
    input.user_name = Some("user".to_owned());
    input.project_id = Some("p".to_owned());
    input.project_name = Some("project".to_owned());
    input.source = Arc::from("hardware");
    input.monotonic_time = Some(1.0);
    input.metadata = Arc::new(json!({"a": 1}).as_object().unwrap().clone());
    let target =
        TargetSpec { name: Some("m".to_owned()), unit: Some("k".to_owned()), ..TargetSpec::default() };
    let transformer = UnitConversion::new(ConversionSpec { target, ..ConversionSpec::default() });
    let mut output = Output::default();
    transformer.step(&mut Vec::new(), Timestamp::EPOCH, vec![input.clone()], &mut output);
    let expected = Sample {
        id: Uuid::new_v5(&input.id, b"m"),
        name: "m".to_owned(),
        unit: "k".to_owned(),
        user_name: None,
        project_name: None,
        source: Arc::from("openstack"),
        monotonic_time: None,
        ..input
    };
    assert_eq!(output.samples, [expected]);
}

#[test]
fn an_expression_without_value_drops_only_its_sample() {
    let scale = Scale::Expression(Expression::parse("volume / resource_metadata.n").unwrap());
    let target = TargetSpec { scale, ..TargetSpec::default() };
    let transformer = UnitConversion::new(ConversionSpec { target, ..ConversionSpec::default() });
    let with = |n: i64| {
        let mut sample = sample(n, 6_i64);
        sample.metadata = Arc::new(json!({"n": n}).as_object().unwrap().clone());
        sample
    };
    let mut output = Output::default();
    let input = vec![with(2), with(0), sample(9, 6_i64), with(3)];
    transformer.step(&mut Vec::new(), Timestamp::EPOCH, input, &mut output);
    assert_eq!(
        output.samples.iter().map(|s| s.volume).collect::<Vec<_>>(),
        [Volume::Float(3.0), Volume::Float(2.0)]
    );
    assert_eq!(output.drops, [DropReason::Expression, DropReason::Expression]);
    assert_eq!(output.fault, Some(EvaluationError::DivisionByZero));
}

#[test]
fn unreadable_state_is_begun_anew() {
    let mut state = b"from the future".to_vec();
    let mut output = Output::default();
    rate(Late::Emit).step(&mut state, Timestamp::EPOCH, vec![sample(0, 0_i64)], &mut output);
    assert_eq!(output.unreadable_states, 1);
    rate(Late::Emit).step(&mut state, Timestamp::EPOCH, vec![sample(10, 10_i64)], &mut output);
    assert_eq!((output.unreadable_states, output.samples.len()), (1, 1));
}

#[test]
fn groups_are_what_a_database_can_hold() {
    let group = |name: &str, resource: &str| {
        let sample = Sample::new(name, SampleKind::Gauge, "", 1_i64, resource, Timestamp::EPOCH);
        Grouping::MeterAndResource.group(&sample).unwrap()
    };
    assert_eq!(group("cpu", "r1"), "cpu\u{1f}r1");
    assert_ne!(group("a", "bc"), group("ab", "c"));
    for (name, resource) in [("cpu", "r\0"), ("cpu", "é".repeat(300).as_str())] {
        let group = group(name, resource);
        assert!(group.len() < 100 && !group.contains('\0'), "{group}");
    }
    assert_ne!(group("cpu", "r\0"), group("cpu", "s\0"));
}
