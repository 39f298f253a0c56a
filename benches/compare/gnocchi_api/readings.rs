//! Creates the metrics of many instances, and sends readings of all of them, one measure a metric.
//!
//! `readings ADDRESS AUTHORIZATION create FILE INSTANCES`: resources with 20 metrics each, their ids into FILE.
//! `readings ADDRESS AUTHORIZATION send FILE FROM TO`: those readings, a minute apart, 5,000 measures a request, two
//! connections; each metric's measures arrive in order. Standard library only: compiled by itself, with `rustc -O`.

mod client;

use std::fmt::Write as _;
use std::io::{Error, Result, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Meters and their kinds: counters, gauges, constants, and a full double.
const METERS: [(&str, char); 20] = [
    ("cpu", 'C'),
    ("vcpus", 'K'),
    ("memory", 'K'),
    ("memory_usage", 'G'),
    ("memory_resident", 'G'),
    ("memory_swap_in", 'C'),
    ("disk_device_read_bytes", 'C'),
    ("disk_device_read_requests", 'C'),
    ("disk_device_write_bytes", 'C'),
    ("disk_device_write_requests", 'C'),
    ("disk_device_read_latency", 'C'),
    ("disk_device_write_latency", 'C'),
    ("disk_device_capacity", 'K'),
    ("disk_device_allocation", 'G'),
    ("network_incoming_bytes", 'C'),
    ("network_incoming_packets", 'C'),
    ("network_outgoing_bytes", 'C'),
    ("network_outgoing_packets", 'C'),
    ("network_incoming_packets_drop", 'C'),
    ("cpu_util", 'D'),
];
const POLICY: &str = "medium";
const CREATORS: usize = 16;
const SENDERS: usize = 2;
const MEASURES: usize = 5_000;

struct Server<'a> {
    address: &'a str,
    authorization: &'a str,
}

impl Server<'_> {
    /// Posts bodies made by `next`, one after the other, until there are no more; `each` sees the answers.
    fn post(
        &self,
        path: &str,
        mut next: impl FnMut(&mut String) -> bool,
        mut each: impl FnMut(&str) -> Result<()>,
    ) -> Result<()> {
        let mut stream = client::open(self.address)?;
        let (mut body, mut head, mut line, mut answer) = (String::new(), String::new(), String::new(), Vec::new());
        loop {
            body.clear();
            if !next(&mut body) {
                return Ok(());
            }
            head.clear();
            let (authorization, length) = (self.authorization, body.len());
            write!(
                head,
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {authorization}\r\n\
                 Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
            )
            .map_err(Error::other)?;
            stream.get_mut().write_all(head.as_bytes())?;
            stream.get_mut().write_all(body.as_bytes())?;
            let status = client::answer(&mut stream, &mut line, &mut answer)?;
            let text = String::from_utf8_lossy(&answer);
            if status / 100 != 2 {
                return Err(Error::other(format!("{path}: status {status}: {text}")));
            }
            each(&text)?;
        }
    }
}

/// Runs one function in so many threads.
fn in_threads<T: Send>(number: usize, work: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..number).map(|number| scope.spawn(move || work(number))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

/// The ids of an instance's metrics in an answer, in the order of the meters.
fn ids_in(answer: &str) -> Result<Vec<String>> {
    let id = |(name, _): &(&str, char)| {
        let key = format!("\"{name}\":");
        let rest = answer.split(&key).nth(1).map(str::trim_start).and_then(|rest| rest.strip_prefix('"'));
        let id = rest.and_then(|rest| rest.get(..36)).map(str::to_owned);
        id.ok_or_else(|| Error::other(format!("no id of {name} in {answer}")))
    };
    METERS.iter().map(id).collect()
}

fn create(server: &Server<'_>, file: &str, instances: usize) -> Result<()> {
    let next = AtomicUsize::new(0);
    let metrics: Vec<String> =
        METERS.iter().map(|(name, _)| format!("\"{name}\":{{\"archive_policy_name\":\"{POLICY}\"}}")).collect();
    let metrics = metrics.join(",");
    let made = in_threads(CREATORS, |_| {
        let mut ids = Vec::new();
        let body = |body: &mut String| {
            let number = next.fetch_add(1, Ordering::Relaxed);
            write!(body, "{{\"id\":\"instance-{number}\",\"metrics\":{{{metrics}}}}}").is_ok() && number < instances
        };
        server.post("/v1/resource/generic", body, |answer| {
            ids.extend(ids_in(answer)?);
            Ok(())
        })?;
        Ok(ids)
    })?;
    std::fs::write(file, made.concat().concat())
}

/// Bits that look random, of two numbers.
fn mix(a: usize, b: usize) -> u64 {
    let mut bits = (a as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (b as u64).wrapping_mul(0xd1b5_4a32_d192_ed03);
    bits = (bits ^ bits >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits ^ bits >> 29
}

/// One measure of a metric at a reading.
fn measure(body: &mut String, metric: usize, reading: usize) -> std::fmt::Result {
    let (instance, seed) = (metric / METERS.len(), mix(metric, 0));
    let jitter = if mix(instance, reading) % 5 == 0 { mix(reading, instance) % 31 } else { 15 };
    let millis = mix(instance, 1) % 50_000 + 100 + jitter;
    let (day, minute) = (reading / 1_440 + 1, reading % 1_440);
    write!(
        body,
        "[{{\"timestamp\":\"2026-09-{day:02}T{:02}:{:02}:{:02}.{:03}\",\"value\":",
        minute / 60,
        minute % 60,
        millis / 1_000,
        millis % 1_000
    )?;
    let noise = mix(metric, reading);
    match METERS[metric % METERS.len()].1 {
        'C' => {
            let rate = 1 << (seed % 30);
            write!(body, "{}", (seed >> 30) + rate * reading as u64 + noise % rate)?;
        }
        'G' => write!(body, "{}", (seed >> 50) + noise % 64)?,
        'K' => write!(body, "{}", 1 << (seed % 40))?,
        _ => write!(body, "{:?}", (noise >> 11) as f64 / (1_u64 << 53) as f64 * 100.0)?,
    }
    body.push_str("}]");
    Ok(())
}

fn send(server: &Server<'_>, file: &str, from: usize, to: usize) -> Result<()> {
    let text = std::fs::read_to_string(file)?;
    let ids: Vec<&str> = (0..text.len() / 36).map(|at| &text[at * 36..(at + 1) * 36]).collect();
    let requests = ids.len().div_ceil(MEASURES);
    in_threads(SENDERS, |sender| {
        // Each sender has metrics of its own, so that their readings stay in order.
        let mut work = (from..to).flat_map(|reading| {
            (0..requests).filter(move |at| at % SENDERS == sender).map(move |request| (reading, request))
        });
        let body = |body: &mut String| {
            let Some((reading, request)) = work.next() else { return false };
            let metrics = (request * MEASURES..ids.len()).take(MEASURES);
            for metric in metrics {
                let before = if body.is_empty() { '{' } else { ',' };
                if write!(body, "{before}\"{}\":", ids[metric]).is_err() || measure(body, metric, reading).is_err() {
                    return false;
                }
            }
            body.push('}');
            true
        };
        server.post("/v1/batch/metrics/measures", body, |_| Ok(()))
    })?;
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<usize>().map_err(Error::other);
    match arguments.as_slice() {
        [address, authorization, "create", file, instances] => {
            create(&Server { address, authorization }, file, number(instances)?)
        }
        [address, authorization, "send", file, from, to] => {
            send(&Server { address, authorization }, file, number(from)?, number(to)?)
        }
        _ => Err(Error::other("usage: readings ADDRESS AUTHORIZATION (create FILE INSTANCES | send FILE FROM TO)")),
    }
}
