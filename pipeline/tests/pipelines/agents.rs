//! Any number of agents, killed at any moment, give the series of one that never stopped.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use nephos_config::PipelineFile;
use nephos_coordination::{MemoryStateStore, StateStore};
use nephos_model::{ManualClock, Sample, SampleKind, Timestamp};
use nephos_pipeline::{PipelineError, Pipelines};
use proptest::prelude::*;
use serde_json::json;

use crate::support::{DawdlingStore, Dice, KeepingBus, Series, chain};

/// A rate; a rate of the rate in another unit, so that two states stand in one chain.
fn file() -> PipelineFile {
    chain(
        &json!([
            {"name": "rate_of_change", "parameters": {
                "target": {"name": "m.rate", "type": "gauge", "scale": "1.0 / (resource_metadata.n or 1)"}}},
            {"name": "unit_conversion", "parameters": {"target": {"unit": "k", "scale": 1000}}},
            {"name": "rate_of_change", "parameters": {"target": {"name": "m.rate.rate"}}},
        ]),
        &["nephos://"],
    )
}

fn simple_file() -> PipelineFile {
    chain(&json!([{"name": "rate_of_change", "parameters": {"target": {"name": "m.rate"}}}]), &["nephos://"])
}

fn sample(resource: usize, second: i64, volume: u32) -> Sample {
    let resource = format!("r{resource}");
    Sample::new("m", SampleKind::Cumulative, "B", i64::from(volume), resource, Timestamp::from_secs(second))
}

/// What one agent gives for these samples in the order of time.
async fn in_order(file: &PipelineFile, samples: &[Sample]) -> Series {
    let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
    let bus = KeepingBus::new(None);
    let store = Arc::new(MemoryStateStore::new(Arc::clone(&clock) as _));
    let pipelines = Pipelines::new(Arc::clone(&bus) as _, store, clock);
    pipelines.apply(file);
    let mut samples = samples.to_vec();
    samples.sort_by_key(|sample| sample.timestamp);
    for sample in samples {
        pipelines.process(&[sample]).await.unwrap();
    }
    bus.series()
}

/// Runs a future for so many polls at most.
async fn kill_after<F: Future>(future: F, mut polls: u64) -> Option<F::Output> {
    let mut future = Box::pin(future);
    std::future::poll_fn(move |context| {
        if polls == 0 {
            return Poll::Ready(None);
        }
        polls -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// Messages that are delivered until they are acknowledged, to whoever comes first.
#[derive(Debug)]
struct Queue(Mutex<VecDeque<Vec<Sample>>>);

async fn agent(queue: Arc<Queue>, pipelines: Arc<Pipelines>, dice: Arc<Dice>, kills: bool) {
    loop {
        let Some(message) = queue.0.lock().unwrap().pop_front() else { return };
        let polls = if kills && dice.roll(3) == 0 { dice.roll(14) } else { u64::MAX };
        let acknowledged = match kill_after(pipelines.process(&message), polls).await {
            // Done, but the acknowledgement may get lost.
            Some(Ok(_)) => !(kills && dice.roll(6) == 0),
            Some(Err(PipelineError::Contended { .. })) | None => false,
            Some(Err(error)) => panic!("{error}"),
        };
        if !acknowledged {
            queue.0.lock().unwrap().push_back(message);
        }
        dice.dawdle().await;
    }
}

async fn by_many(file: &PipelineFile, messages: Vec<Vec<Sample>>, agents: usize, seed: u64) -> Series {
    let dice = Arc::new(Dice::new(seed));
    let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
    let bus = KeepingBus::new(Some(Arc::clone(&dice)));
    let inner: Arc<dyn StateStore> = Arc::new(MemoryStateStore::new(Arc::clone(&clock) as _));
    let store = Arc::new(DawdlingStore { inner, dice: Arc::clone(&dice) });
    let queue = Arc::new(Queue(Mutex::new(messages.into())));
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..agents {
        let pipelines =
            Arc::new(Pipelines::new(Arc::clone(&bus) as _, Arc::clone(&store) as _, Arc::clone(&clock) as _));
        pipelines.apply(file);
        running.spawn(agent(Arc::clone(&queue), pipelines, Arc::clone(&dice), true));
    }
    while let Some(result) = running.join_next().await {
        result.unwrap();
    }
    bus.series()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn disorder_redelivery_and_kills_change_nothing(
        volumes in proptest::collection::vec(proptest::collection::vec(0_u32..1_000, 2..8), 1..3),
        shuffle in any::<u64>(),
        agents in 1_usize..5,
        size in 1_usize..4,
        two_states in any::<bool>(),
    ) {
        let file = if two_states { file() } else { simple_file() };
        let mut samples: Vec<Sample> = Vec::new();
        for (resource, volumes) in volumes.iter().enumerate() {
            for (position, volume) in volumes.iter().enumerate() {
                samples.push(sample(resource, position as i64 * 10, *volume));
            }
        }
        let dice = Dice::new(shuffle);
        let mut shuffled = samples.clone();
        for last in (1..shuffled.len()).rev() {
            shuffled.swap(last, usize::try_from(dice.roll(last as u64 + 1)).unwrap());
        }
        let messages = shuffled.chunks(size).map(<[Sample]>::to_vec).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (expected, found) = runtime.block_on(async {
            (in_order(&file, &samples).await, by_many(&file, messages, agents, shuffle ^ 0x55).await)
        });
        prop_assert_eq!(found, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_workers_on_the_same_resources_agree_with_one() {
    let file = simple_file();
    let samples: Vec<Sample> = (0_u32..8)
        .flat_map(|step| (0..20).map(move |r| sample(r, i64::from(step) * 10, step * step)))
        .collect();
    let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
    let bus = KeepingBus::new(None);
    let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::new(Arc::clone(&clock) as _));
    let pipelines = Arc::new(Pipelines::new(Arc::clone(&bus) as _, store, clock));
    pipelines.apply(&file);
    let messages: VecDeque<Vec<Sample>> = samples.chunks(10).map(<[Sample]>::to_vec).collect();
    let queue = Arc::new(Queue(Mutex::new(messages)));
    let mut working = tokio::task::JoinSet::new();
    for seed in 0..4 {
        let dice = Arc::new(Dice::new(seed));
        working.spawn(agent(Arc::clone(&queue), Arc::clone(&pipelines), dice, false));
    }
    while let Some(result) = working.join_next().await {
        result.unwrap();
    }
    assert_eq!(bus.series(), in_order(&file, &samples).await);
    assert_eq!(bus.series().len(), 7 * 20);
}
