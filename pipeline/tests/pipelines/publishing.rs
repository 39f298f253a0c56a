//! Matching, publishers, reload.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nephos_coordination::{MemoryStateStore, StateStore};
use nephos_model::{Clock, ManualClock, Sample, SampleKind, Timestamp, Volume};
use nephos_pipeline::transformer::DropReason;
use nephos_pipeline::{Applied, Pipelines};

use crate::support::{KeepingBus, pipeline_file};

struct House {
    clock: Arc<ManualClock>,
    bus: Arc<KeepingBus>,
    store: Arc<MemoryStateStore>,
    pipelines: Pipelines,
}

fn house(text: &str) -> House {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000)));
    let bus = KeepingBus::new(None);
    let store = Arc::new(MemoryStateStore::new(Arc::clone(&clock) as _));
    let pipelines =
        Pipelines::new(Arc::clone(&bus) as _, Arc::clone(&store) as _, Arc::clone(&clock) as Arc<dyn Clock>);
    pipelines.apply(&pipeline_file(text));
    House { clock, bus, store, pipelines }
}

fn sample(name: &str, second: i64, volume: impl Into<Volume>) -> Sample {
    Sample::new(name, SampleKind::Cumulative, "B", volume, "r", Timestamp::from_secs(second))
}

const RATES: &str = r#"
sources:
  - {name: all, meters: ["*"], sinks: [plain]}
  - {name: counters, meters: ["disk.*.bytes", "net.?x"], sinks: [rates, plain]}
sinks:
  - {name: plain, publishers: ["nephos://"]}
  - name: rates
    transformers:
      - name: rate_of_change
        parameters: {source: {map_from: {name: "^(.*)$"}}, target: {map_to: {name: '\1.rate'}}}
    publishers: ["nephos://"]
"#;

#[tokio::test]
async fn a_sample_goes_through_every_pair_of_source_and_sink_that_wants_it() {
    let house = house(RATES);
    let batch = [sample("cpu", 0, 1_i64), sample("disk.read.bytes", 0, 1_i64), sample("net.rx", 0, 1_i64)];
    let processed = house.pipelines.process(&batch).await.unwrap();
    assert_eq!(house.bus.names(), ["cpu", "disk.read.bytes", "disk.read.bytes", "net.rx", "net.rx"]);
    assert_eq!(processed.published, 5);
    assert_eq!(processed.dropped.iter().collect::<Vec<_>>(), [(DropReason::NoPredecessor, 2)]);
    let next = house.pipelines.process(&[sample("net.rx", 10, 21_i64)]).await.unwrap();
    assert_eq!(next.published, 3);
    assert_eq!(house.bus.names().last().unwrap(), "net.rx.rate");
}

#[tokio::test]
async fn what_is_no_number_or_wanted_by_nobody_is_counted() {
    let house = house(
        "sources: [{name: s, meters: [cpu], sinks: [k]}]\nsinks: [{name: k, publishers: ['nephos://']}]",
    );
    let batch = [sample("cpu", 0, f64::NAN), sample("other", 0, 1_i64), sample("cpu", 1, f64::INFINITY)];
    let processed = house.pipelines.process(&batch).await.unwrap();
    assert_eq!(processed.published, 1);
    assert_eq!(
        processed.dropped.iter().collect::<Vec<_>>(),
        [(DropReason::NotANumber, 1), (DropReason::NoPipeline, 1)]
    );
    assert_eq!(processed.dropped.total(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failing_bus_is_tried_again_until_it_takes_the_samples() {
    let house = house(RATES);
    house.bus.failures.store(5, Ordering::Relaxed);
    house.pipelines.process(&[sample("cpu", 0, 1_i64)]).await.unwrap();
    assert_eq!(house.bus.names(), ["cpu"]);
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_fails_for_minutes_gives_the_batch_back_with_its_state_unwritten() {
    let house = house(RATES);
    house.pipelines.process(&[sample("net.rx", 0, 0_i64)]).await.unwrap();
    house.bus.failures.store(u64::MAX, Ordering::Relaxed);
    let clock = Arc::clone(&house.clock);
    let time = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            clock.advance(Duration::from_secs(1));
        }
    });
    let started = tokio::time::Instant::now();
    let error = house.pipelines.process(&[sample("net.rx", 10, 10_i64)]).await.unwrap_err();
    assert_eq!(error.to_string(), "samples could not be published to nephos://");
    assert!(started.elapsed() >= Duration::from_secs(290));
    time.abort();
    house.bus.failures.store(0, Ordering::Relaxed);
    house.pipelines.process(&[sample("net.rx", 10, 10_i64)]).await.unwrap();
    assert_eq!(house.bus.names().last().unwrap(), "net.rx.rate");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cannot_be_written_holds_nothing_up_for_long_and_recovers() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("later/samples");
    let house = house(&format!(
        "sources: [{{name: s, meters: ['*'], sinks: [k]}}]
sinks: [{{name: k, publishers: ['file://{}?json', 'nephos://', 'log://?level=debug']}}]",
        path.display()
    ));
    let clock = Arc::clone(&house.clock);
    let time = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            clock.advance(Duration::from_secs(1));
        }
    });
    let started = tokio::time::Instant::now();
    house.pipelines.process(&[sample("cpu", 0, 1_i64)]).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(90), "{:?}", started.elapsed());
    assert_eq!(house.bus.names(), ["cpu"]);
    let next = tokio::time::Instant::now();
    house.pipelines.process(&[sample("cpu", 1, 2_i64)]).await.unwrap();
    assert!(next.elapsed() < Duration::from_secs(1), "while it fails nobody waits for it again");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    house.pipelines.process(&[sample("cpu", 2, 3_i64)]).await.unwrap();
    time.abort();
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains("\"volume\":3") && text.lines().count() == 1, "{text}");
    assert_eq!(house.bus.names(), ["cpu", "cpu", "cpu"]);
}

#[tokio::test]
async fn a_new_file_keeps_publishers_and_state_by_their_names() {
    let house = house(RATES);
    house.pipelines.process(&[sample("net.rx", 0, 0_i64)]).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let url = format!("file://{}/samples", directory.path().display());
    let applied = house.pipelines.apply(&pipeline_file(&format!(
        "sources: [{{name: only, meters: [net.rx], sinks: [rates]}}]
sinks:
  - name: rates
    transformers: [{{name: rate_of_change, parameters: {{target: {{name: renamed, scale: 2}}}}}}]
    publishers: ['{url}', 'nephos://']"
    )));
    let opened = Applied { opened: vec![url.clone()], closed: vec![], kept: 1 };
    assert_eq!(applied, opened);
    house.pipelines.process(&[sample("net.rx", 10, 10_i64)]).await.unwrap();
    assert_eq!(house.bus.names(), ["net.rx", "net.rx", "renamed"]);
    assert_eq!(house.bus.samples.lock().unwrap().last().unwrap().volume, Volume::Float(2.0));
    let applied = house.pipelines.apply(&pipeline_file(RATES));
    assert_eq!(applied, Applied { opened: vec![], closed: vec![url], kept: 1 });
}

#[tokio::test]
async fn state_that_nobody_writes_for_a_day_is_forgotten() {
    let house = house(RATES);
    house.pipelines.process(&[sample("net.rx", 0, 0_i64)]).await.unwrap();
    house.clock.advance(Duration::from_secs(23 * 3600));
    house.pipelines.process(&[sample("net.tx", 0, 0_i64)]).await.unwrap();
    assert_eq!(house.pipelines.expire().await.unwrap(), 0);
    house.clock.advance(Duration::from_secs(2 * 3600));
    assert_eq!(house.pipelines.expire().await.unwrap(), 1);
    assert_eq!(house.store.expire(Duration::ZERO).await.unwrap(), 1);
}
