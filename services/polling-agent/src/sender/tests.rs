use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use nephos_bus::{Consumer, Subscription};
use nephos_model::{Sample, SampleKind, Timestamp};
use uuid::Uuid;

use super::*;

/// A bus that can be switched off, and notes what reached it and how often.
#[derive(Debug, Default)]
struct Fake {
    away: AtomicBool,
    stuck: AtomicBool,
    got: Mutex<HashMap<Uuid, usize>>,
    tried: Mutex<HashSet<Uuid>>,
    sizes: Mutex<Vec<usize>>,
}

#[async_trait]
impl Bus for Fake {
    async fn publish(&self, destination: Destination, samples: Vec<Sample>) -> Result<(), BusError> {
        assert_eq!(destination, Destination::Polling);
        self.tried.lock().unwrap().extend(samples.iter().map(|sample| sample.id));
        if self.stuck.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        if self.away.load(Ordering::SeqCst) {
            return Err(BusError::Unavailable { url: "amqp://there".to_owned(), reason: "away".to_owned() });
        }
        self.sizes.lock().unwrap().push(samples.len());
        let mut got = self.got.lock().unwrap();
        for sample in samples {
            *got.entry(sample.id).or_default() += 1;
        }
        Ok(())
    }

    async fn subscribe(&self, _: Subscription, _: u16) -> Result<Box<dyn Consumer>, BusError> {
        Err(BusError::Closed)
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn close(&self) {}
}

fn samples(count: usize) -> Vec<Sample> {
    (0..count).map(|_| Sample::new("m", SampleKind::Gauge, "", 1_i64, "r", Timestamp::EPOCH)).collect()
}

struct Running {
    bus: Arc<Fake>,
    outbox: Arc<Outbox>,
    drain: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn start(most: usize) -> Running {
    let (bus, outbox) = (Arc::new(Fake::default()), Arc::new(Outbox::new(most, 100)));
    let drain = CancellationToken::new();
    let task = {
        let (bus, outbox, drain) = (Arc::clone(&bus), Arc::clone(&outbox), drain.clone());
        tokio::spawn(async move { run(&outbox, bus.as_ref(), &drain, Duration::from_secs(5)).await })
    };
    Running { bus, outbox, drain, task }
}

impl Running {
    async fn end(self) -> Arc<Fake> {
        self.drain.cancel();
        self.task.await.unwrap();
        self.bus
    }
}

#[tokio::test(start_paused = true)]
async fn everything_is_sent_once_in_batches() {
    let running = start(100_000);
    running.outbox.push(samples(9_950));
    let bus = running.end().await;
    assert_eq!(bus.got.lock().unwrap().len(), 9_950);
    assert!(bus.got.lock().unwrap().values().all(|times| *times == 1));
    assert!(bus.sizes.lock().unwrap().iter().all(|size| *size <= 100));
}

#[tokio::test(start_paused = true)]
async fn batches_are_under_way_together() {
    let running = start(100_000);
    let began = Instant::now();
    running.outbox.push(samples(5_000));
    running.end().await;
    assert!(began.elapsed() < Duration::from_millis(50), "50 messages of 10 ms: {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_failed_is_sent_again_with_the_same_ids() {
    let running = start(100_000);
    running.bus.away.store(true, Ordering::SeqCst);
    let sent = samples(350);
    let ids: HashSet<Uuid> = sent.iter().map(|sample| sample.id).collect();
    running.outbox.push(sent);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(running.outbox.held(), 350, "nothing is given up while there is room");
    running.bus.away.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(15)).await;
    let bus = running.end().await;
    assert_eq!(bus.got.lock().unwrap().keys().copied().collect::<HashSet<_>>(), ids);
    assert_eq!(*bus.tried.lock().unwrap(), ids, "no other ids were ever tried");
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_is_away_is_asked_ever_more_seldom() {
    let running = start(100_000);
    running.bus.away.store(true, Ordering::SeqCst);
    running.outbox.push(samples(1_000));
    let counting = Arc::clone(&running.bus);
    tokio::time::sleep(Duration::from_secs(120)).await;
    counting.tried.lock().unwrap().clear();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(counting.tried.lock().unwrap().len(), 100, "only the oldest batch, again and again");
    counting.away.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(running.end().await.got.lock().unwrap().len(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn the_end_does_not_wait_for_ever() {
    let running = start(100_000);
    running.bus.stuck.store(true, Ordering::SeqCst);
    running.outbox.push(samples(10));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    running.end().await;
    assert!(began.elapsed() <= Duration::from_secs(6));
}
