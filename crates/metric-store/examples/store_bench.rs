//! Runs the benchmark of the engine, for profilers: `store_bench FOLDER [INSTANCES] [READINGS] [LAST FIGURE]`.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use nephos_metric_store::bench::{BenchOptions, run};

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number =
        |at: usize, otherwise: u64| args.get(at).map_or(otherwise, |text| text.parse().expect("a number"));
    let options = BenchOptions {
        folder: args.get(1).expect("a folder").into(),
        instances: number(2, 100),
        readings: usize::try_from(number(3, 480)).unwrap(),
        seed: 1,
        runs: 1_000,
        clock: Arc::new(nephos_observe::SystemClock::default()),
    };
    run(&options, &mut |figure| {
        let goal = figure.goal.map(|goal| format!("  (goal {goal})")).unwrap_or_default();
        println!("{:<55} {:>10.3} {}{goal}", figure.name, figure.value, figure.unit);
        if args.get(4).is_some_and(|last| figure.name.starts_with(last.as_str())) {
            std::process::exit(0);
        }
    })
    .await
    .expect("the store answers");
}
