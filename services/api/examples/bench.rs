//! What requests about measures cost the server: its CPU time, without the client's.
//!
//! `cargo build --release -p nephos-api --examples && target/release/examples/bench [SERVER] [FOLDER]`
//!
//! Starts `SERVER` (by default the example `serve` beside this one) as a process of its own below `FOLDER` (by default a
//! temporary one), sends it requests over keep-alive connections and reads from `/proc` what it used. Linux only.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for people, with threads of its own"
)]

use std::error::Error;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const METRICS: usize = 5_000;
/// 2026-01-01T00:00:00Z.
const START: usize = 1_767_225_600;
const DAY: usize = 86_400;

/// A keep-alive connection.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn connect(address: &str) -> Outcome<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self { stream: BufReader::with_capacity(1 << 16, stream) })
    }

    /// Sends a whole request; the answer's body.
    fn call(&mut self, request: &[u8]) -> Outcome<Vec<u8>> {
        self.stream.get_mut().write_all(request)?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        if status.starts_with('2') {
            return Ok(body);
        }
        Err(format!("status {status}: {}", String::from_utf8_lossy(&body)).into())
    }
}

/// `admin:` in base 64.
fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic YWRtaW46\r\nAccept: application/json\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The server, ended with this value.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(program: &PathBuf, folder: &PathBuf) -> Outcome<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let child = Command::new(program).arg(folder).arg(&address).spawn()?;
        let server = Self { child, address };
        for _ in 0..200 {
            if TcpStream::connect(&server.address).is_ok() {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err("the server does not listen".into())
    }

    /// CPU seconds of all its threads so far; the kernel counts in hundredths.
    fn cpu(&self) -> Outcome<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        Ok((ticks(11) + ticks(12)) / 100.0)
    }

    /// Runs `work` and shows what one of its `count` units cost the server.
    fn measure(
        &self,
        what: &str,
        unit: &str,
        count: usize,
        work: impl FnOnce() -> Outcome<()>,
    ) -> Outcome<()> {
        let (cpu, began) = (self.cpu()?, Instant::now());
        work()?;
        let (took, used) = (began.elapsed().as_secs_f64(), self.cpu()? - cpu);
        #[allow(clippy::cast_precision_loss)]
        let each = used * 1e6 / count as f64;
        println!("{what:<44} {each:>10.3} µs CPU a {unit:<8} ({count} in {took:.2} s, {used:.2} s CPU)");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// An ISO time `second` seconds after the start, with milliseconds.
fn time(second: usize) -> String {
    let (days, second) = (second / DAY, second % DAY);
    format!("2026-01-{:02}T{:02}:{:02}:{:02}.250", days + 1, second / 3_600, second / 60 % 60, second % 60)
}

/// A value as meters give them: a counter or a gauge with decimals.
fn value(metric: usize, step: usize) -> String {
    match metric % 4 {
        0 => (metric * 1_000_003 + step * 7_919).to_string(),
        1 => format!("{}.{}", metric % 97, step % 100),
        2 => "4096".to_owned(),
        _ => format!("0.{:016}", (metric * 7_919 + step * 104_729 + 1_234_567) * 1_000_003 % 10_000_000_000),
    }
}

fn batch(ids: &[String], steps: std::ops::Range<usize>, offset: usize) -> Vec<u8> {
    let mut body = String::from("{");
    for (metric, id) in ids.iter().enumerate() {
        let separator = if metric == 0 { "" } else { "," };
        let _ok = write!(body, "{separator}\"{id}\":[");
        for step in steps.clone() {
            let separator = if step == steps.start { "" } else { "," };
            let (time, value) = (time(offset + step * 60), value(metric, step));
            let _ok = write!(body, "{separator}{{\"timestamp\":\"{time}\",\"value\":{value}}}");
        }
        body.push(']');
    }
    body.push('}');
    request("POST", "/v1/batch/metrics/measures", &body)
}

fn create(client: &mut Client, count: usize) -> Outcome<Vec<String>> {
    let policy = r#"{"name": "bench", "aggregation_methods": ["mean"],
        "definition": [{"granularity": "60s", "points": 60000}]}"#;
    client.call(&request("POST", "/v1/archive_policy", policy))?;
    let new = request("POST", "/v1/metric", r#"{"archive_policy_name": "bench"}"#);
    let mut ids = Vec::with_capacity(count);
    for _ in 0..count {
        let answer = String::from_utf8(client.call(&new)?)?;
        let id = answer.split("\"id\": \"").nth(1).and_then(|rest| rest.get(..36)).ok_or("no id")?;
        ids.push(id.to_owned());
    }
    Ok(ids)
}

/// Sends requests over 64 connections, each its own share of the metrics.
fn crowd(address: &str, ids: &[String], rounds: usize) -> Outcome<()> {
    let mut threads = Vec::new();
    for ids in ids.chunks(ids.len().div_ceil(64)) {
        let (ids, address) = (ids.to_vec(), address.to_owned());
        threads.push(std::thread::spawn(move || -> Outcome<()> {
            let mut client = Client::connect(&address)?;
            for round in 0..rounds {
                let id = ids.get(round % ids.len()).map(String::as_str).unwrap_or_default();
                let time = time(20 * DAY + round);
                let body = format!("[{{\"timestamp\": \"{time}\", \"value\": {round}.5}}]");
                client.call(&request("POST", &format!("/v1/metric/{id}/measures"), &body))?;
            }
            Ok(())
        }));
    }
    for thread in threads {
        thread.join().map_err(|_| "a client ended")??;
    }
    Ok(())
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let beside = std::env::current_exe()?.with_file_name("serve");
    let program = arguments.next().map_or(beside, PathBuf::from);
    let temporary = tempfile::tempdir()?;
    let folder = arguments.next().map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let server = Server::start(&program, &folder)?;
    let mut client = Client::connect(&server.address)?;
    let mut ids = create(&mut client, METRICS + 1)?;
    let one = ids.pop().ok_or("no metric")?;

    let live: Vec<Vec<u8>> = (0..120).map(|step| batch(&ids, step..step + 1, 0)).collect();
    let send = |client: &mut Client, requests: &[Vec<u8>]| -> Outcome<()> {
        requests.iter().try_for_each(|request| client.call(request).map(drop))
    };
    let (first, rest) = live.split_at(20);
    send(&mut client, first)?;
    server.measure("live: 5,000 metrics × 1 point", "point", rest.len() * METRICS, || {
        send(&mut client, rest)
    })?;

    let some = ids.get(..500).unwrap_or_default();
    let bulk: Vec<Vec<u8>> = (0..5).map(|part| batch(some, part * 240..part * 240 + 240, DAY)).collect();
    server.measure("bulk: 500 metrics × 240 points", "point", 5 * 500 * 240, || send(&mut client, &bulk))?;

    client.call(&batch(std::slice::from_ref(&one), 0..43_200, 0))?;
    let path = |rest: &str| request("GET", &format!("/v1/metric/{one}/measures{rest}"), "");
    let all = path("");
    let points = client.call(&all)?.iter().filter(|byte| **byte == b'[').count() - 1;
    server.measure(&format!("GET {points} points"), "request", 200, || {
        (0..200).try_for_each(|_| client.call(&all).map(drop))
    })?;
    let start = START + 29 * DAY;
    let hour = path(&format!("?start={start}&stop={}", start + 3_600));
    server.measure("GET 60 points", "request", 5_000, || {
        (0..5_000).try_for_each(|_| client.call(&hour).map(drop))
    })?;
    let address = Arc::<str>::from(server.address.as_str());
    server.measure("POST 1 measure, 64 clients", "request", 64 * 200, || crowd(&address, &ids, 200))?;
    Ok(())
}
