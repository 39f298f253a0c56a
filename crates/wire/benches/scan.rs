//! Bodies of measures into columns: nanoseconds a measure, best of several rounds. Run with `make bench`; compare rounds of
//! one run, not of two machines.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::cast_precision_loss)]

use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

use nephos_wire::gnocchi::scan;
use uuid::Uuid;

const ROUNDS: usize = 200;
const MEASURES: u32 = 5_000;

fn main() {
    let counters: fn(u32) -> String = |at| format!("{}", u64::from(at) * 198_011_981);
    let gauges: fn(u32) -> String = |at| format!("{:?}", f64::from(at) / 7.0);
    for (what, value) in [("counters", counters), ("gauges", gauges)] {
        let batch = batch(value);
        report(&format!("a measure a metric, {what}"), batch.as_bytes(), |body| {
            black_box(scan::by_metric(body).unwrap());
        });
        let list: Vec<String> = (0..MEASURES).map(|at| measure(at, at, value)).collect();
        report(&format!("one metric, {what}"), format!("[{}]", list.join(", ")).as_bytes(), |body| {
            black_box(scan::list(body).unwrap());
        });
    }
}

/// One measure, its time to the millisecond.
fn measure(at: u32, number: u32, value: fn(u32) -> String) -> String {
    let millis = at % 1_000;
    let clock = format!("{:02}:{:02}:{:02}.{millis:03}", at / 3_600, at / 60 % 60, at % 60);
    format!("{{\"timestamp\":\"2026-09-21T{clock}\",\"value\":{}}}", value(number))
}

/// One measure of each of many metrics, twenty of them at the same time.
fn batch(value: fn(u32) -> String) -> String {
    let mut body = String::from("{");
    for at in 0..MEASURES {
        let id = Uuid::from_u128(u128::from(at).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834));
        let comma = if at == 0 { "" } else { "," };
        write!(body, "{comma}\"{id}\":[{}]", measure(at / 20, at, value)).unwrap();
    }
    body.push('}');
    body
}

fn report(what: &str, body: &[u8], step: impl Fn(&[u8])) {
    let round = |_| {
        let start = Instant::now();
        step(body);
        start.elapsed()
    };
    let best = (0..ROUNDS).map(round).min().unwrap_or(Duration::ZERO);
    let measures = f64::from(MEASURES);
    let bytes = body.len() as f64 / measures;
    println!("{what:<32} {:>8.1} ns ({bytes:.0} bytes)", best.as_secs_f64() * 1e9 / measures);
}
