//! Packing and unpacking chunks of cloud telemetry: bytes and nanoseconds a value by kind of meter, rows a chunk and
//! effort, beside `pco` alone. Run with `cargo bench -p nephos-timeseries --bench chunks`; times are the best of several
//! rounds, to be compared within one run.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation
)]

use std::hint::black_box;
use std::time::Instant;

use nephos_model::{Granularity, Timestamp};
use nephos_timeseries::{
    AggregationMethod, BucketColumns, Chunk, Effort, Scratch, Stat, aggregate, encode_columns,
    encode_columns_into, encode_raw,
};

const SERIES: u64 = 12;
const MEAN: AggregationMethod = AggregationMethod::plain(Stat::Mean);

/// A small generator, so that every run has the same data.
struct Noise(u64);

impl Noise {
    /// Evenly from 0 to 1.
    fn even(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64) / (1_u64 << 53) as f64
    }

    /// About normal, of deviation 1.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.even()).sum::<f64>() - 6.0
    }

    fn lognormal(&mut self, mean: f64, deviation: f64) -> f64 {
        (mean + deviation * self.normal()).exp()
    }
}

type Meter = (&'static str, fn(&mut Noise, usize) -> Vec<f64>);

/// What instances of a cloud report each minute.
const METERS: [Meter; 11] = [
    ("constant", |noise, rows| vec![(noise.even() * 8.0).ceil() * 2048.0; rows]),
    ("cpu ns", |noise, rows| {
        counter(rows, load(noise, rows), |noise, load| load * 2.4e11 * (1.0 + 0.02 * noise.normal()))
    }),
    ("cpu %", |noise, rows| {
        let mut own = Noise(noise.0 ^ 7);
        load(noise, rows).into_iter().map(|load| load * 100.0 * (1.0 + 0.02 * own.normal())).collect()
    }),
    ("memory MiB", |noise, rows| {
        let mut used = 3000.0;
        (0..rows)
            .map(|_| {
                used += if noise.even() < 0.4 { noise.normal() * 10.0 } else { 0.0 };
                used.floor()
            })
            .collect()
    }),
    ("disk bytes", |noise, rows| {
        counter(rows, load(noise, rows), |noise, load| {
            (load * noise.lognormal(4.0, 1.0)).floor()
                * (16384.0 * (0.5 + 1.5 * noise.even()) / 512.0).floor()
                * 512.0
        })
    }),
    ("requests", |noise, rows| {
        counter(rows, load(noise, rows), |noise, load| load * noise.lognormal(5.0, 1.0))
    }),
    ("latency ns", |noise, rows| {
        counter(rows, load(noise, rows), |noise, load| {
            (load * noise.lognormal(5.0, 1.0)).floor() * noise.lognormal(12.0, 0.5)
        })
    }),
    ("net bytes", |noise, rows| {
        counter(rows, load(noise, rows), |noise, load| {
            (load * noise.lognormal(6.0, 0.7)) * (80.0 + 820.0 * noise.even())
        })
    }),
    ("drops", |noise, rows| {
        counter(rows, load(noise, rows), |noise, _| f64::from(u8::from(noise.even() < 0.002)))
    }),
    // One of five levels, and a little beside it.
    ("levels", |noise, rows| {
        let levels: Vec<f64> = (0..5).map(|_| (noise.even() * 1e7).floor()).collect();
        let at = |noise: &mut Noise| levels[(noise.even() * 5.0) as usize] + (noise.even() * 9.0).floor();
        (0..rows).map(|_| at(noise)).collect()
    }),
    // Degrees in steps of an eighth of a degree Fahrenheit, as Celsius.
    ("steps", |noise, rows| {
        (0..rows).map(|_| ((40.0 + (noise.normal() * 12.0).floor()) / 8.0 - 32.0) / 1.8).collect()
    }),
];

/// A slow wave with noise that remembers.
fn load(noise: &mut Noise, rows: usize) -> Vec<f64> {
    let (level, phase, mut drift) = (0.05 + 0.5 * noise.even(), noise.even() * 6.0, 0.0);
    (0..rows)
        .map(|row| {
            drift = 0.9 * drift + 0.11 * noise.normal();
            let wave = 1.0 + 0.5 * (row as f64 / 229.0 + phase).sin();
            (level * wave + drift).clamp(0.001, 1.0)
        })
        .collect()
}

/// Sums of steps, begun anew now and then.
fn counter(rows: usize, loads: Vec<f64>, step: fn(&mut Noise, f64) -> f64) -> Vec<f64> {
    let mut noise = Noise(loads.first().map_or(1, |load| load.to_bits()));
    let mut sum = (noise.even() * 1e9).floor();
    let rows = loads.into_iter().take(rows);
    rows.map(|load| {
        sum = if noise.even() < 1e-4 { 0.0 } else { sum } + step(&mut noise, load).floor();
        sum
    })
    .collect()
}

/// Nanoseconds of the fastest of several rounds.
fn best(rounds: usize, mut step: impl FnMut()) -> f64 {
    let time = |_| {
        let start = Instant::now();
        step();
        start.elapsed().as_nanos() as f64
    };
    (0..rounds).map(time).fold(f64::INFINITY, f64::min)
}

fn pco_alone(values: &[f64]) -> usize {
    let config = pco::ChunkConfig::default().with_compression_level(4);
    pco::standalone::simple_compress(values, &config).unwrap().len()
}

fn report(meter: &Meter, rows: usize, totals: &mut [f64; 8]) {
    let minute = Granularity::from_secs(60).unwrap();
    let series: Vec<Vec<f64>> = (1..=SERIES).map(|seed| meter.1(&mut Noise(seed * 77), rows)).collect();
    let buckets: Vec<BucketColumns> = series
        .iter()
        .map(|values| {
            let timestamps: Vec<_> =
                (0..rows as i64).map(|row| Timestamp::from_secs(1_750_000_020 + row * 60)).collect();
            let mut columns = BucketColumns::new(&[MEAN]);
            aggregate(&timestamps, values, None, minute, Timestamp::MIN, &mut columns);
            columns
        })
        .collect();
    let (mut scratch, mut out, mut timestamps, mut values) =
        (Scratch::default(), Vec::new(), Vec::new(), Vec::new());
    let mut figures = [0.0; 8];
    for (at, effort) in [Effort::Quick, Effort::Small].into_iter().enumerate() {
        let chunks: Vec<Vec<u8>> = buckets.iter().map(|one| encode_columns(one, effort).unwrap()).collect();
        figures[at] = chunks.iter().map(Vec::len).sum::<usize>() as f64;
        figures[3 + at] = best(20, || {
            for one in &buckets {
                out.clear();
                encode_columns_into(one, effort, &mut scratch, &mut out).unwrap();
                black_box(&out);
            }
        });
        figures[5 + at] = best(60, || {
            for bytes in &chunks {
                timestamps.clear();
                values.clear();
                let chunk = Chunk::parse(bytes).unwrap();
                let all = Timestamp::MIN..Timestamp::MAX;
                chunk.read(MEAN, all, &mut scratch, &mut timestamps, &mut values).unwrap();
                black_box(&values);
            }
        });
    }
    figures[2] = series.iter().map(|values| pco_alone(values)).sum::<usize>() as f64;
    figures[7] = best(5, || series.iter().for_each(|values| _ = black_box(pco_alone(values))));
    print_row(meter.0, &figures.map(|figure| figure / (rows as f64 * SERIES as f64)));
    totals.iter_mut().zip(figures).for_each(|(total, figure)| *total += figure);
}

fn print_row(name: &str, figures: &[f64; 8]) {
    print!("{name:<12}");
    figures.iter().for_each(|figure| print!(" {figure:>10.3}"));
    println!();
}

fn main() {
    for rows in [60, 240, 480, 1440, 4096] {
        println!(
            "\n{rows} rows    bytes: quick      small      pco 4 | ns: enc quick  small  dec quick  small  enc pco 4"
        );
        let mut totals = [0.0; 8];
        METERS.iter().for_each(|meter| report(meter, rows, &mut totals));
        print_row("mean", &totals.map(|total| total / (rows as f64 * SERIES as f64 * METERS.len() as f64)));
    }
    println!("\nraw timestamps, a fifth of them late by milliseconds");
    let mut noise = Noise(5);
    let mut late = || if noise.even() < 0.2 { (noise.normal() * 15.0) as i64 } else { 0 };
    let timestamps: Vec<Timestamp> =
        (0..1440).map(|row| Timestamp::from_nanos((row * 60_000 + late()) * 1_000_000)).collect();
    for effort in [Effort::Quick, Effort::Small] {
        let size = encode_raw(&timestamps, &[0.0; 1440], effort).unwrap().len();
        let time = best(50, || drop(black_box(encode_raw(&timestamps, &[0.0; 1440], effort))));
        println!("{effort:?}: {:.3} bytes, {:.1} ns", size as f64 / 1440.0, time / 1440.0);
    }
}
