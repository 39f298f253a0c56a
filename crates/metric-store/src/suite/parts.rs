//! Answers of many points, whole and part by part.

use super::*;
use crate::contract::{Progress, Series};

const METRICS: u32 = 30;
const MINUTES: i64 = 4_000;

fn value(metric: u32, minute: i64) -> f64 {
    f64::from(metric) * 1e4 + f64::from(i32::try_from(minute).unwrap())
}

/// Series of the requests, read part by part.
async fn series_in_parts(store: &dyn MetricStore, requests: &Arc<Vec<SeriesRequest>>) -> Vec<Series> {
    let (mut all, mut so_far) = (Vec::new(), Progress::default());
    while so_far.answered < requests.len() {
        let part = store.query_next(requests, &mut so_far).await.unwrap();
        assert!(!part.is_empty());
        all.extend(part);
        assert_eq!(so_far.answered, all.len());
    }
    all
}

async fn outcomes_in_parts(
    store: &dyn MetricStore,
    computations: &Arc<Vec<Computation>>,
) -> Vec<Result<Computed, Refusal>> {
    let (mut all, mut so_far) = (Vec::new(), Progress::default());
    while so_far.answered < computations.len() {
        let part = store.compute_next(computations, &mut so_far).await.unwrap();
        assert!(!part.is_empty());
        all.extend(part);
        assert_eq!(so_far.answered, all.len());
    }
    all
}

/// Many series of many points, and what is computed from them, come whole and in their order.
pub async fn long_answers_are_the_same_whole_and_in_parts(subject: &mut dyn Subject) {
    let policy = policy(0, &[(MINUTE, None), (HOUR, None)], &["max"]);
    let metrics: Vec<MetricId> = (0..METRICS).map(|_| MetricId::random()).collect();
    let measures = |number| (0..MINUTES).map(move |minute| (minute * MINUTE, value(number, minute)));
    let runs = (0..).zip(&metrics).map(|(number, metric)| {
        let measures: Vec<(i64, f64)> = measures(number).collect();
        run(*metric, &policy, &measures)
    });
    subject.store().append_runs(runs.collect()).await.unwrap();
    let request = |metric: &MetricId| SeriesRequest {
        granularities: vec![width(MINUTE), width(HOUR)],
        ..request(*metric, &policy, "max", MINUTE)
    };
    let requests: Arc<Vec<SeriesRequest>> = Arc::new(metrics.iter().map(request).collect());
    let of = |metrics: &[MetricId]| {
        let reference = Reference { name: "m".to_owned(), method: "max".to_owned() };
        let operations = Arc::new(Operation::Metric(vec![reference]));
        let selection = vec![(0..u32::try_from(metrics.len()).unwrap()).collect()];
        let filling = Filling::Fill { fill: Fill::Null, dropping: true };
        let work = Work::Operations { operations, selection, filling };
        Computation { requests: metrics.iter().map(request).collect(), work }
    };
    let many = [of(&metrics), of(&metrics[3..5]), of(&metrics[..1]), of(&metrics[10..])];
    let computations: Arc<Vec<Computation>> = Arc::new(many.to_vec());
    for place in ["memory", "segments"] {
        let store = subject.store();
        let series = store.query(requests.to_vec()).await.unwrap();
        assert_eq!(series.len(), metrics.len());
        for (number, series) in (0..).zip(&series) {
            let [hours, minutes] = series.granularities.as_slice() else { panic!("{series:?}") };
            let expected = measures(number).map(|(_, value)| value);
            assert!(minutes.values.iter().copied().eq(expected), "in {place}: {number}");
            assert!(minutes.timestamps.iter().zip(0..).all(|(at, minute)| at.as_secs() == minute * MINUTE));
            let expected = (0..MINUTES).step_by(60).map(|hour| value(number, (hour + 59).min(MINUTES - 1)));
            assert!(hours.values.iter().copied().eq(expected), "in {place}: {number}");
        }
        assert!(series == series_in_parts(store.as_ref(), &requests).await, "in {place}");
        let outcomes = store.compute(computations.to_vec()).await.unwrap();
        for (first, (computation, outcome)) in [0, 3, 0, 10].into_iter().zip(many.iter().zip(&outcomes)) {
            let computed = outcome.as_ref().unwrap();
            assert_eq!(computed.grids.len(), 2);
            for (at, grid) in computed.grids.iter().enumerate() {
                assert_eq!(grid.width(), computation.requests.len());
                for column in 0..grid.width() {
                    let expected = &series[first + column].granularities[at];
                    assert!(grid.column(column) == expected.values, "in {place}: {first} and {column}");
                    assert!(grid.timestamps() == expected.timestamps, "in {place}: {first} and {column}");
                }
            }
        }
        assert!(outcomes == outcomes_in_parts(store.as_ref(), &computations).await, "in {place}");
        subject.compact().await;
    }
}
