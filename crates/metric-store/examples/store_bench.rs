//! Runs the benchmark of the engine, for profilers: `store_bench FOLDER [INSTANCES] [READINGS] [PART] [RUNS]`.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use nephos_metric_store::bench::{BenchOptions, Part, run};

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number =
        |at: usize, otherwise: u64| args.get(at).map_or(otherwise, |text| text.parse().expect("a number"));
    let named = |name: &String| Part::ALL.iter().find(|(known, _)| known == name).expect("a part").1;
    let options = BenchOptions {
        parts: args.get(4).map_or(Part::TABLE.to_vec(), |name| vec![named(name)]),
        folder: args.get(1).expect("a folder").into(),
        instances: number(2, 100),
        readings: usize::try_from(number(3, 480)).unwrap(),
        seed: 1,
        runs: usize::try_from(number(5, 1_000)).unwrap(),
        clock: Arc::new(nephos_observe::SystemClock::default()),
    };
    run(&options, &mut |figure| {
        let goal = figure.goal.map(|goal| format!("  (goal {goal})")).unwrap_or_default();
        println!("{:<55} {:>10.3} {}{goal}", figure.name, figure.value, figure.unit);
    })
    .await
    .expect("the store answers");
}
