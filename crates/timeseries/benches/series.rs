//! Merging, aggregating, packing and unpacking one metric's day of minute measures: nanoseconds a point, best of several
//! rounds. Run with `make bench`; compare rounds of one run, not of two machines.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::cast_precision_loss)]

use std::hint::black_box;
use std::time::Instant;

use nephos_model::{Granularity, Measure, Timestamp};
use nephos_timeseries::{
    AggregationMethod, ArchivePolicy, BucketColumns, Effort, Stat, aggregate, decode_raw, encode_raw,
    insert_run, sort_run,
};

const POINTS: i64 = 1_440;
const ROUNDS: usize = 200;

/// A counter with jitter in time, as pollsters give it.
fn measures() -> Vec<Measure> {
    (0..POINTS)
        .map(|at| {
            let jitter = (at * 7_919) % 1_000_003 * 1_000;
            Measure::new(Timestamp::from_nanos(at * 60_000_000_000 + jitter), (at * 1_234_567) as f64)
        })
        .collect()
}

fn report(what: &str, mut step: impl FnMut()) {
    let best = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            step();
            start.elapsed()
        })
        .min()
        .unwrap_or_default();
    println!("{what:<40} {:>8.1} ns a point", best.as_nanos() as f64 / POINTS as f64);
}

fn main() {
    let measures = measures();
    report("merge a day into an empty buffer", || {
        let (mut kept, mut run) = (Vec::new(), measures.clone());
        sort_run(&mut run);
        insert_run(&mut kept, &run);
        black_box(kept);
    });
    let (timestamps, values): (Vec<_>, Vec<_>) =
        measures.iter().map(|measure| (measure.timestamp, measure.value)).unzip();
    let hour = Granularity::from_secs(3_600).unwrap();
    for (what, methods) in [
        ("aggregate to hours, mean", vec![AggregationMethod::plain(Stat::Mean)]),
        ("aggregate to hours, default methods", ArchivePolicy::DEFAULT_METHODS.to_vec()),
        ("aggregate to hours, rate:95pct", vec![AggregationMethod::rate(Stat::Percentile(95))]),
    ] {
        report(what, || {
            let mut columns = BucketColumns::new(&methods);
            aggregate(&timestamps, &values, None, hour, Timestamp::MIN, &mut columns);
            black_box(columns);
        });
    }
    let packed = encode_raw(&timestamps, &values, Effort::Small).unwrap();
    println!("{:<40} {:>8.2} bytes a point", "packed", packed.len() as f64 / POINTS as f64);
    report("pack raw measures", || {
        black_box(encode_raw(&timestamps, &values, Effort::Small)).unwrap();
    });
    report("unpack raw measures", || {
        black_box(decode_raw(&packed)).unwrap();
    });
}
