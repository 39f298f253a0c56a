//! Every parser of what clients send, fed with changed forms of what they take: no input may make one panic, take more
//! than a second, or take more memory than bounded.
//!
//! The run is the same for the same seed. `make fuzz FUZZ_EXECUTIONS=10000000` makes it long; `FUZZ_SEED` makes another.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod fuzz {
    pub(crate) mod bodies;
    pub(crate) mod generator;
    pub(crate) mod parsers;
}

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use fuzz::generator::Generator;
use fuzz::parsers::PARSERS;

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
