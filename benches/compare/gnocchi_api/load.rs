//! Sends prepared HTTP requests over keep-alive connections and prints as JSON how that went.
//!
//! `load ADDRESS FILE CONNECTIONS SECONDS [again]`
//!
//! FILE holds requests as they go over the wire, each behind its length (32 bits, little-endian). The connections take them
//! in order, each sends its next one when it has the answer to the last, until all were sent (`again`: then from the
//! beginning) or the time is over. Standard library only: compiled by itself, with `rustc -O`.

mod client;

use std::io::{Error, Result, Write};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What the threads share.
struct Work {
    address: String,
    bytes: Vec<u8>,
    requests: Vec<Range<usize>>,
    again: bool,
    next: AtomicUsize,
    end: Instant,
}

impl Work {
    /// The next request; `None` when there is no more to do.
    fn take(&self) -> Option<&[u8]> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        if Instant::now() >= self.end || (!self.again && index >= self.requests.len()) {
            return None;
        }
        Some(&self.bytes[self.requests[index % self.requests.len()].clone()])
    }
}

/// What a connection saw.
#[derive(Default)]
struct Seen {
    /// Of each answered request, in nanoseconds.
    latencies: Vec<u64>,
    failed: usize,
    first_failure: Option<String>,
}

fn split(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut requests = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let length = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        requests.push(at + 4..at + 4 + length as usize);
        at += 4 + length as usize;
    }
    requests
}

fn connection(work: &Work) -> Result<Seen> {
    let mut stream = client::open(&work.address)?;
    let (mut seen, mut line, mut body) = (Seen::default(), String::new(), Vec::new());
    while let Some(request) = work.take() {
        let began = Instant::now();
        stream.get_mut().write_all(request)?;
        let failure = match client::answer(&mut stream, &mut line, &mut body) {
            Ok(status) if status / 100 == 2 => {
                seen.latencies.push(began.elapsed().as_nanos() as u64);
                continue;
            }
            Ok(status) => format!("status {status}: {}", String::from_utf8_lossy(&body)),
            Err(error) => {
                stream = client::open(&work.address)?;
                error.to_string()
            }
        };
        seen.failed += 1;
        seen.first_failure.get_or_insert(failure);
    }
    Ok(seen)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, file, connections, seconds, again @ ..] = arguments.as_slice() else {
        return Err(Error::other("usage: load ADDRESS FILE CONNECTIONS SECONDS [again]"));
    };
    let bytes = std::fs::read(file)?;
    let requests = split(&bytes);
    let connections: usize = connections.parse().map_err(Error::other)?;
    let seconds = Duration::from_secs_f64(seconds.parse().map_err(Error::other)?);
    let (address, again, next) = (address.clone(), !again.is_empty(), AtomicUsize::new(0));
    let began = Instant::now();
    let work = Work { address, bytes, requests, again, next, end: began + seconds };
    let seen: Vec<Seen> = thread::scope(|scope| {
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(|| connection(&work))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Result<_>>()
    })?;
    let took = began.elapsed().as_secs_f64();
    let mut latencies: Vec<u64> = seen.iter().flat_map(|seen| seen.latencies.iter().copied()).collect();
    latencies.sort_unstable();
    let micros = |part: f64| {
        let index = ((latencies.len() as f64 * part) as usize).min(latencies.len().saturating_sub(1));
        latencies.get(index).map_or(0.0, |nanos| *nanos as f64 / 1e3)
    };
    let failed: usize = seen.iter().map(|seen| seen.failed).sum();
    let why = seen.iter().find_map(|seen| seen.first_failure.clone()).unwrap_or_default();
    println!(
        "{{\"answered\": {}, \"failed\": {failed}, \"seconds\": {took}, \"median_us\": {}, \"p99_us\": {}, \"why\": {:?}}}",
        latencies.len(),
        micros(0.5),
        micros(0.99),
        why.escape_default().to_string(),
    );
    Ok(())
}
