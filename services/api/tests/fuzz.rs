//! Every parser of what clients send, fed with changed forms of what they take: no input may make one panic, take more
//! than a second, or take more memory than bounded. And every route that is described, asked with requests that are
//! changed in the same way: none may fail.
//!
//! The run is the same for the same seed. `make fuzz FUZZ_EXECUTIONS=10000000` makes it long; `FUZZ_SEED` makes another.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod fuzz {
    pub(crate) mod bodies;
    pub(crate) mod generator;
    pub(crate) mod parsers;
    pub(crate) mod requests;
}
#[path = "scenarios/server.rs"]
mod server;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fuzz::generator::Generator;
use fuzz::parsers::PARSERS;
use fuzz::requests::{self, Request, Things};
use nephos_identity::Basic;
use serde_json::json;
use server::{Server, send};

/// Executions of the run that belongs to every test run.
const EXECUTIONS: u64 = 20_000;

/// How long one input may take.
const LONGEST: Duration = Duration::from_secs(1);

/// How much memory all inputs together may have taken at any moment, in bytes.
const MEMORY: u64 = 512 << 20;

/// What became of one parser's inputs.
#[derive(Default)]
struct Tally {
    executions: u64,
    taken: u64,
    bytes: u64,
    longest: Duration,
}

#[allow(clippy::disallowed_methods)]
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect(name))
}

/// The most memory this process ever had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1_024
}

fn shown(input: &[u8]) -> String {
    input.iter().flat_map(|byte| std::ascii::escape_default(*byte)).map(char::from).collect()
}

#[test]
fn no_input_is_a_panic_or_takes_long_or_much() {
    let executions = setting("FUZZ_EXECUTIONS", EXECUTIONS);
    let seed = setting("FUZZ_SEED", 1);
    let before = peak();
    let mut generator = Generator::new(seed);
    let mut tallies: Vec<Tally> = PARSERS.iter().map(|_| Tally::default()).collect();
    let mut input = Vec::new();
    let started = Instant::now();
    for execution in 0..executions {
        let number = usize::try_from(execution).unwrap() % PARSERS.len();
        let parser = &PARSERS[number];
        generator.next(parser.corpus, &mut input);
        let begun = Instant::now();
        let taken = catch_unwind(AssertUnwindSafe(|| (parser.parse)(&input)));
        let took = begun.elapsed();
        let told = || format!("{} of seed {seed}: {}", parser.name, shown(&input));
        let taken = taken.unwrap_or_else(|_| panic!("a panic: {}", told()));
        assert!(took < LONGEST, "{took:?}: {}", told());
        let tally = &mut tallies[number];
        tally.executions += 1;
        tally.taken += u64::from(taken);
        tally.bytes += input.len() as u64;
        tally.longest = tally.longest.max(took);
        if execution % 4_096 == 0 {
            assert!(peak().saturating_sub(before) < MEMORY, "{} bytes by execution {execution}", peak());
        }
    }
    let grown = peak().saturating_sub(before);
    println!(
        "{executions} executions, seed {seed}, {:?}, {} MiB more at most",
        started.elapsed(),
        grown >> 20
    );
    for (parser, tally) in PARSERS.iter().zip(&tallies) {
        let Tally { executions, taken, bytes, longest } = tally;
        println!(
            "{:24} {executions:9} executions {taken:9} taken {bytes:11} bytes, longest {longest:?}",
            parser.name
        );
        // Inputs that are all refused, or all taken, would try nothing.
        if *executions > 500 {
            assert!(*taken > 0 && taken < executions, "{}: {taken} of {executions} taken", parser.name);
        }
    }
    assert!(grown < MEMORY, "{grown} bytes");
}

/// So many times fewer requests than inputs of parsers, but at least so many.
const DEARER: u64 = 100;
const REQUESTS: u64 = 1_000;

/// Requests between two times that what they are about is made again.
const LIFE: u64 = 32;

const RESOURCE: &str = "/v1/resource/t/5b7ebb0e-4c5a-4a5e-8f5e-6c6f0a3f1d1a";

/// Makes what requests are about, as far as earlier ones have deleted it.
async fn things(server: &Server) -> Things {
    let rule = json!({"metric": "cpu", "resource_id": "r", "resource_type": "t", "threshold": 60,
        "aggregation_method": "mean", "comparison_operator": "gt"});
    let low = json!({"name": "low", "definition": [
        {"granularity": 60, "points": 60}, {"granularity": "1 day", "points": 7}]});
    let default = json!({"name": "default", "metric_pattern": "*", "archive_policy_name": "low"});
    let optional = |kind: &str| json!({"type": kind, "required": false});
    let attributes = json!({"name": {"type": "string"}, "int": optional("number"), "uuid": optional("uuid"),
        "bool": optional("bool"), "when": optional("datetime")});
    let mut made = Vec::new();
    for (path, body) in [
        ("/v1/archive_policy", low),
        ("/v1/archive_policy_rule", default),
        ("/v1/resource_type", json!({"name": "t", "attributes": attributes})),
        ("/v1/resource/t", json!({"id": RESOURCE.rsplit('/').next(), "name": "x"})),
        (&*format!("{RESOURCE}/metric"), json!({"cpu": {"archive_policy_name": "low"}})),
        ("/v1/metric", json!({"archive_policy_name": "low"})),
        (
            "/v2/alarms",
            json!({"name": "a", "type": "gnocchi_resources_threshold", "gnocchi_resources_threshold_rule": rule}),
        ),
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: h\r\nauthorization: basic YWRtaW46\r\ncontent-type: application/json\r\n"
        );
        made.push(send(server.address, &head, &serde_json::to_vec(&body).unwrap()).await.body);
    }
    let [.., metric, alarm] = made.as_slice() else { unreachable!() };
    let names = [("type", "t"), ("name", "cpu"), ("policy", "low"), ("rule", "default")];
    let mut things: Things = names.map(|(place, name)| (place, name.to_owned())).into();
    things.insert("resource", RESOURCE.rsplit('/').next().unwrap().to_owned());
    things.insert("metric", requests::id_of(metric, "/id").expect(metric));
    things.insert("alarm", requests::id_of(alarm, "/alarm_id").expect(alarm));
    things
}

#[tokio::test]
async fn any_request_is_answered() {
    let executions = (setting("FUZZ_EXECUTIONS", EXECUTIONS) / DEARER).max(REQUESTS);
    let seed = setting("FUZZ_SEED", 1);
    let server = Server::start(Arc::new(Basic)).await;
    let all = requests::all();
    let mut generator = Generator::new(seed);
    let mut tallies = vec![(0u64, 0u64, Duration::ZERO); all.len()];
    let mut about = Things::new();
    for execution in 0..executions {
        if execution % LIFE == 0 {
            about = things(&server).await;
            server.clock.advance(Duration::from_secs(1));
            nephos_api::housekeeping(server.index.as_ref(), server.store.as_ref()).await.unwrap();
        }
        let number = generator.below(all.len());
        let Request { head, body } = all[number].request(&about, &mut generator);
        let told = || format!("{head:?} {}", shown(&body));
        let own = all[number].is_about_alarms() && execution % 2 == 0;
        let address = if own { server.aodh } else { server.address };
        let (mut answer, mut took) = (None, LONGEST);
        // Others may have had the machine just then: asked again it must not take as long.
        for _ in 0..3 {
            let begun = Instant::now();
            let sent = tokio::time::timeout(10 * LONGEST, send(address, &head, &body)).await;
            answer = Some(sent.unwrap_or_else(|_| panic!("no answer: {}", told())));
            took = begun.elapsed();
            if took < LONGEST {
                break;
            }
        }
        let answer = answer.unwrap();
        assert!(took < LONGEST, "{took:?}: {}", told());
        assert!(answer.status < 500 || answer.status == 501, "{} {}: {}", answer.status, answer.body, told());
        let has_type = answer.headers.contains_key("content-type");
        assert!(has_type || answer.body.is_empty(), "{:?}: {}", answer.headers, told());
        let (asked, taken, longest) = &mut tallies[number];
        *asked += 1;
        *taken += u64::from(answer.status < 400);
        *longest = (*longest).max(took);
    }
    for (operation, (asked, taken, longest)) in all.iter().zip(&tallies) {
        println!("{operation:64} {asked:9} requests {taken:9} taken, longest {longest:?}");
    }
    let taken: u64 = tallies.iter().map(|(_, taken, _)| taken).sum();
    assert!(taken > executions / 4 && taken < executions, "{taken} of {executions} taken");
    server.stop().await;
}
