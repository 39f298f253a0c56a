//! Arithmetic across many series: milliseconds for all of them, best of several rounds. Run with `make bench`; compare
//! rounds of one run, not of two machines.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::cast_precision_loss)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use nephos_model::{Granularity, Timestamp};
use nephos_timeseries::{Fill, Grid};

const ROUNDS: usize = 20;

type Series = Vec<(Vec<Timestamp>, Vec<f64>)>;

/// Counters of `points` minutes, every seventh without its fifth minute if they are `ragged`.
fn series(width: i64, points: i64, ragged: bool) -> Series {
    let counter = |number: i64| {
        let minutes = (0..points).filter(move |at| !(ragged && number % 7 == 0 && *at == 5));
        let point = |at: i64| (Timestamp::from_secs(at * 60), (at * 1_234 + number * 77) as f64);
        minutes.map(point).unzip()
    };
    (0..width).map(counter).collect()
}

fn report(what: &str, series: &Series, step: impl Fn(Series)) {
    let round = |_| {
        let series = series.clone();
        let start = Instant::now();
        step(series);
        start.elapsed()
    };
    let best = (0..ROUNDS).map(round).min().unwrap_or(Duration::ZERO);
    println!("{what:<48} {:>8.3} ms", best.as_secs_f64() * 1e3);
}

fn main() {
    let minute = Granularity::from_secs(60).unwrap();
    let five = Granularity::from_secs(300).unwrap();
    let align = |series| Grid::align(minute, series, Fill::Null);
    let mean = "mean".parse().unwrap();
    for (what, ragged) in [("1,000 x 1,440", false), ("1,000 x 1,440 with gaps", true)] {
        let day = series(1_000, 1_440, ragged);
        report(&format!("{what}: align"), &day, |series| {
            black_box(align(series));
        });
        report(&format!("{what}: mean"), &day, |series| {
            black_box(align(series).aggregate(mean));
        });
        report(&format!("{what}: mean by 5 min, mean"), &day, |series| {
            let resampled = align(series).resample("mean".parse().unwrap(), five);
            black_box(resampled.aggregate(mean));
        });
    }
    let day = series(1_000, 1_440, false);
    report("1,000 x 1,440: median", &day, |series| {
        black_box(align(series).aggregate("median".parse().unwrap()));
    });
    let hours = series(100, 360, false);
    report("100 x 360: rate", &hours, |series| {
        black_box(align(series).differences_by_second());
    });
    let panel = series(20, 360, false);
    report("20 x 360: rolling mean of 10", &panel, |series| {
        black_box(align(series).rolling(mean, 10).unwrap());
    });
}
