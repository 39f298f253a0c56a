use std::fs;

use async_trait::async_trait;
use nephos_config::settings::Namespace;
use nephos_config::{Inputs, MapEnv, Mode, load};
use nephos_model::{ManualClock, Sample, SampleKind, Timestamp};

use super::*;
use crate::meter::Meter;
use crate::pollster::Polled;

/// Notes when it was asked for what, and takes its time.
#[derive(Debug)]
struct Fake {
    epoch: Instant,
    takes: Duration,
    calls: Mutex<Vec<(Duration, Vec<&'static str>)>>,
}

const METERS: [&str; 3] = ["cpu", "host.load.1min", "cgroup.pids"];

#[async_trait]
impl Pollster for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn namespace(&self) -> Namespace {
        Namespace::Compute
    }

    fn meters(&self) -> Vec<Meter> {
        let meter = |name| Meter {
            name,
            kind: SampleKind::Gauge,
            unit: "",
            description: "",
            resource_types: &["host"],
        };
        METERS.map(meter).to_vec()
    }

    async fn poll(&self, wanted: &Wanted) -> Polled {
        let names: Vec<&'static str> = METERS.into_iter().filter(|name| wanted.contains(name)).collect();
        self.calls.lock().unwrap().push((self.epoch.elapsed(), names.clone()));
        tokio::time::sleep(self.takes).await;
        let sample = |name: &&str| Sample::new(*name, SampleKind::Gauge, "", 1_i64, "r", Timestamp::EPOCH);
        Polled { samples: names.iter().map(sample).collect(), ..Polled::default() }
    }
}

fn file(yaml: &str) -> PollingFile {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("polling.yaml"), yaml).unwrap();
    let path = dir.path().join("polling.yaml").to_string_lossy().into_owned();
    let env = MapEnv::new([("HOME", "/nowhere")]);
    let flags = [("polling.config".to_owned(), path)];
    let inputs = Inputs { mode: Mode::Embedded, config: None, flags: &flags, env: &env };
    load(&inputs).unwrap().polling
}

struct Running {
    fake: Arc<Fake>,
    clock: Arc<ManualClock>,
    outbox: Arc<Outbox>,
    lanes: Lanes,
}

fn start(takes: Duration) -> Running {
    let fake = Arc::new(Fake { epoch: Instant::now(), takes, calls: Mutex::default() });
    let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
    let outbox = Arc::new(Outbox::new(1_000_000, 100));
    let pollster: Arc<dyn Pollster> = Arc::<Fake>::clone(&fake);
    let lanes = Lanes::new(Shared {
        pollsters: vec![pollster],
        clock: Arc::<ManualClock>::clone(&clock),
        outbox: Arc::clone(&outbox),
        host: "node1".to_owned(),
        first_run: FirstRun::AtOnce,
        told: Mutex::default(),
    });
    Running { fake, clock, outbox, lanes }
}

impl Running {
    fn calls(&self) -> Vec<(Duration, Vec<&'static str>)> {
        std::mem::take(&mut self.fake.calls.lock().unwrap())
    }
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn sources_of_one_schedule_are_read_together_and_meters_once() {
    let mut running = start(Duration::ZERO);
    running.lanes.apply(&file(
        "sources:\n\
         - {name: a, interval: 10, meters: [cpu]}\n\
         - {name: b, interval: 10, meters: [cpu, host.*]}\n\
         - {name: c, interval: 30, meters: ['cgroup.*']}\n",
    ));
    pass(1).await;
    let mut calls: Vec<Vec<&str>> = running.calls().into_iter().map(|(_, names)| names).collect();
    calls.sort();
    assert_eq!(calls, [vec!["cgroup.pids"], vec!["cpu", "host.load.1min"]]);
    assert_eq!(running.outbox.held(), 3);
    running.lanes.stop().await;
}

#[tokio::test(start_paused = true)]
async fn runs_keep_their_interval_without_drift() {
    let mut running = start(Duration::from_millis(300));
    running.lanes.apply(&file("sources: [{name: a, interval: 10, meters: ['*']}]"));
    pass(1_000).await;
    let times: Vec<Duration> = running.calls().into_iter().map(|(at, _)| at).collect();
    assert!(times[0] < Duration::from_millis(10), "at once: {:?}", times[0]);
    assert!((99..=101).contains(&times.len()), "{}", times.len());
    let (first, last) = (times[1], times[times.len() - 1]);
    let expected = Duration::from_secs(10) * u32::try_from(times.len() - 2).unwrap();
    assert!((last - first).abs_diff(expected) < Duration::from_millis(5), "{:?}", last - first);
    running.lanes.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_run_delays_the_next_and_never_overlaps_it() {
    let mut running = start(Duration::from_secs(25));
    running.lanes.apply(&file("sources: [{name: a, interval: 10, meters: ['*']}]"));
    pass(99).await;
    let times: Vec<Duration> = running.calls().into_iter().map(|(at, _)| at).collect();
    assert_eq!(times.len(), 4);
    for pair in times.windows(2) {
        let gap = pair[1] - pair[0];
        assert!(gap >= Duration::from_secs(25) && gap < Duration::from_secs(26), "{gap:?}");
    }
    running.lanes.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_changes_what_is_read_and_keeps_the_pace_of_schedules_that_stay() {
    let mut running = start(Duration::ZERO);
    running.lanes.apply(&file(
        "sources:\n\
         - {name: a, interval: 10, meters: [cpu]}\n\
         - {name: b, interval: 7, meters: [cgroup.pids]}\n",
    ));
    pass(25).await;
    let before = running.calls();
    running.lanes.apply(&file("sources: [{name: other, interval: 10, meters: ['host.*']}]"));
    pass(30).await;
    let after = running.calls();
    assert!(after.iter().all(|(_, names)| *names == ["host.load.1min"]), "{after:?}");
    assert_eq!(after.len(), 3, "no run at once, and none every 7 seconds: {after:?}");
    let (last, _) = before.iter().rfind(|(_, names)| *names == ["cpu"]).unwrap();
    let gap = after[0].0 - *last;
    assert!(gap.abs_diff(Duration::from_secs(10)) < Duration::from_millis(5), "{gap:?}");
    running.lanes.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cron_source_runs_at_its_times_also_after_the_clock_was_set_back() {
    let mut running = start(Duration::ZERO);
    running.lanes.ticking = true;
    running.lanes.apply(&file("sources: [{name: a, cron: '0 * * * *', meters: [cpu]}]"));
    let mut count = 0;
    let mut runs_at = Vec::new();
    // The wall clock in seconds, second by second; it is set back from 2:10 to 0:50.
    for second in (0..7_800).chain(3_000..3_700) {
        running.clock.set(Timestamp::from_secs(second));
        count += 1;
        running.lanes.ticks.send_replace(count);
        tokio::time::sleep(Duration::from_millis(1)).await;
        runs_at.extend(running.calls().iter().map(|_| second));
    }
    assert_eq!(runs_at, [3_600, 7_200, 3_600]);
    running.lanes.stop().await;
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_the_run_under_way() {
    let mut running = start(Duration::from_secs(3));
    running.lanes.apply(&file("sources: [{name: a, interval: 10, meters: [cpu]}]"));
    pass(1).await;
    running.lanes.stop().await;
    assert_eq!(running.outbox.held(), 1, "its samples are not lost");
}

#[tokio::test(start_paused = true)]
async fn sources_that_match_nothing_make_no_lane() {
    let mut running = start(Duration::ZERO);
    running.lanes.apply(&file("sources: [{name: a, interval: 10, meters: [nonsense], discovery: ['x:y']}]"));
    assert!(running.lanes.running.is_empty());
    running.lanes.stop().await;
}
