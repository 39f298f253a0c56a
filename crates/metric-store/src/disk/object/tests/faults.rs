//! What is answered is there once, whatever the server and the network do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::proxy::{Fate, Proxy};
use super::{bucket, runtime, server};
use crate::contract::StoreError;
use crate::disk::{Disk, Succession};

use super::super::{Bucket, ObjectDisk, s3};

const ATTEMPT: Duration = Duration::from_millis(700);
const PATIENCE: Duration = Duration::from_millis(2_500);

/// Nobody ever comes after this owner.
#[derive(Debug)]
struct Alone;

impl Succession for Alone {
    fn newest(&self) -> u64 {
        0
    }

    fn manifest(&self, number: u64) -> String {
        format!("MANIFEST-{number}")
    }

    fn is_ours(&self, _manifest: &[u8]) -> bool {
        true
    }
}

/// A bucket behind a proxy, and the same without.
struct Subject {
    proxy: Proxy,
    spoilt: ObjectDisk,
    direct: ObjectDisk,
}

impl Subject {
    fn new() -> Self {
        let proxy = Proxy::start(&server());
        let mut options = bucket();
        let prefix: object_store::path::Path = "shard-0000".into();
        let disk = |bucket: Bucket| ObjectDisk {
            bucket: Arc::new(bucket),
            prefix: prefix.clone(),
            window: Duration::ZERO,
        };
        let direct = disk(s3::connect(&options, runtime()).unwrap());
        options.endpoint = Some(proxy.url.clone());
        let spoilt = s3::connect(&options, runtime()).unwrap().with_patience(ATTEMPT, PATIENCE);
        Self { proxy, spoilt: disk(spoilt), direct }
    }

    /// The first request whose line has all these words meets that fate, all others are fine.
    fn once(&self, words: &'static [&'static str], fate: Fate) -> Arc<AtomicU32> {
        let met = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&met);
        self.proxy.set(move |line| {
            let hit = words.iter().all(|word| line.contains(word)) && count.load(Ordering::Relaxed) == 0;
            count.fetch_add(u32::from(hit), Ordering::Relaxed);
            if hit { fate } else { Fate::Fine }
        });
        met
    }

    /// What a new owner reads.
    fn log(&self) -> Vec<u8> {
        self.direct.fence("log-1").unwrap();
        self.direct.read("log-1").unwrap().unwrap()
    }
}

/// Numbers below `below`, the same for one seed.
fn random(seed: u32) -> impl FnMut(u32) -> u32 + Send {
    let mut state = u64::from(seed) + 1;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((state >> 33) % u64::from(below)).unwrap()
    }
}

fn numbers(log: &[u8]) -> Vec<u32> {
    log.chunks(4).map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

#[test]
fn appends_answered_under_any_faults_are_read_once_and_in_order() {
    // Most of it is waiting.
    std::thread::scope(|scope| {
        for seed in 0..6 {
            scope.spawn(move || append_under_faults(seed));
        }
    });
}

fn append_under_faults(seed: u32) {
    let subject = Subject::new();
    let mut log = subject.spoilt.log("log-1", Arc::new(Alone)).unwrap();
    let mut dice = random(seed);
    subject.proxy.set(move |_| match dice(12) {
        0 => Fate::Status(500),
        1 => Fate::Status(503),
        2 => Fate::Cut,
        3 => Fate::Lost,
        4 => Fate::Half,
        // Some of them arrive after the next try, some after the append was given up.
        5 => Fate::Late(Duration::from_millis(1_000)),
        6 => Fate::Late(Duration::from_millis(4_000)),
        _ => Fate::Fine,
    });
    let mut acknowledged = Vec::new();
    for number in 0..25_u32 {
        match log.append(&number.to_le_bytes()) {
            Ok(()) => acknowledged.push(number),
            Err(error) => assert!(!matches!(error, StoreError::NoOwner { .. }), "nobody took it over"),
        }
    }
    subject.proxy.set(|_| Fate::Fine);
    let found = numbers(&subject.log());
    assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "seed {seed}: {found:?}");
    let missing: Vec<&u32> = acknowledged.iter().filter(|number| !found.contains(number)).collect();
    assert!(missing.is_empty(), "seed {seed}: {missing:?} of {found:?}");
    assert!(acknowledged.len() > 10, "seed {seed}: only {acknowledged:?}");
}

#[test]
fn a_lost_answer_is_told_from_another_owner() {
    let subject = Subject::new();
    let mut log = subject.spoilt.log("log-1", Arc::new(Alone)).unwrap();
    let met = subject.once(&["PUT", "log-1"], Fate::Lost);
    log.append(b"one ").unwrap();
    assert_eq!(met.load(Ordering::Relaxed), 1);
    log.append(b"two").unwrap();
    assert_eq!(subject.log(), b"one two");

    let met = subject.once(&["PUT", "MANIFEST-1"], Fate::Lost);
    assert!(subject.spoilt.create("MANIFEST-1", b"ours").unwrap());
    assert_eq!(met.load(Ordering::Relaxed), 1);
    subject.proxy.set(|_| Fate::Fine);
    assert!(!subject.spoilt.create("MANIFEST-1", b"ours").unwrap());
}

#[test]
fn an_append_that_arrives_after_it_was_given_up_stands_before_the_next() {
    let subject = Subject::new();
    let mut log = subject.spoilt.log("log-1", Arc::new(Alone)).unwrap();
    // The first try is held up, and nothing else gets through.
    let first = AtomicU32::new(0);
    subject.proxy.set(move |line| match line.contains("PUT") && first.fetch_add(1, Ordering::Relaxed) == 0 {
        true => Fate::Late(PATIENCE + Duration::from_millis(500)),
        false => Fate::Status(503),
    });
    log.append(b"one ").unwrap_err();
    subject.proxy.set(|_| Fate::Fine);
    let end = std::time::Instant::now() + Duration::from_secs(30);
    while subject.direct.read("log-1").unwrap().unwrap().is_empty() {
        assert!(std::time::Instant::now() < end, "it never arrived");
    }
    log.append(b"two").unwrap();
    assert_eq!(subject.log(), b"one two");
}

#[test]
fn an_append_under_way_during_a_takeover_fails_however_late_it_arrives() {
    let subject = Subject::new();
    let mut log = subject.spoilt.log("log-1", Arc::new(Alone)).unwrap();
    log.append(b"before").unwrap();
    let met = subject.once(&["PUT", "log-1"], Fate::Late(Duration::from_millis(600)));
    std::thread::scope(|scope| {
        let late = scope.spawn(|| log.append(b"after"));
        while met.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        assert_eq!(subject.log(), b"before");
        let outcome = late.join().unwrap();
        assert!(matches!(outcome, Err(StoreError::NoOwner { .. })), "{outcome:?}");
    });
    assert_eq!(subject.log(), b"before");
}

#[test]
fn an_outage_is_told_by_object_and_status_and_ends_without_a_restart() {
    let subject = Subject::new();
    let mut log = subject.spoilt.log("log-1", Arc::new(Alone)).unwrap();
    subject.proxy.set(|_| Fate::Status(503));
    let text = |error: StoreError| format!("{:#}", Explained(error));
    let name = subject.spoilt.describe("log-1");
    assert!(name.starts_with("s3://") && name.ends_with("/shard-0000/log-1"), "{name}");
    let failed = text(log.append(b"one").unwrap_err());
    assert!(failed.contains(&name) && failed.contains("503"), "{failed}");
    let failed = text(subject.spoilt.read("segment-1").unwrap_err());
    assert!(failed.contains("/shard-0000/segment-1") && failed.contains("503"), "{failed}");
    subject.proxy.set(|_| Fate::Late(Duration::from_secs(60)));
    let failed = text(subject.spoilt.list().unwrap_err());
    assert!(failed.contains("no answer in time"), "{failed}");
    subject.proxy.set(|_| Fate::Fine);
    log.append(b"two").unwrap();
    assert_eq!(subject.log(), b"two");
}

/// An error with its cause.
struct Explained(StoreError);

impl std::fmt::Display for Explained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        std::error::Error::source(&self.0).map_or(Ok(()), |cause| write!(f, ": {cause}"))
    }
}

#[test]
fn large_files_are_whole_or_absent_under_any_faults() {
    let whole: Vec<u8> = (0..(18_u32 << 20)).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
    for seed in 0..3 {
        let subject = Subject::new();
        let mut dice = random(seed + 100);
        subject.proxy.set(move |_| match dice(8) {
            0 => Fate::Status(500),
            1 => Fate::Lost,
            2 => Fate::Cut,
            3 => Fate::Half,
            _ => Fate::Fine,
        });
        let mut writer = subject.spoilt.writer("segment-1").unwrap();
        let written = writer.write(&whole).and_then(|()| writer.finish());
        let found = subject.direct.read("segment-1").unwrap();
        match written {
            Ok(()) => assert!(found.unwrap() == whole, "seed {seed}"),
            Err(error) => assert!(found.is_none_or(|found| found == whole), "seed {seed}: {error}"),
        }
        // Reading through the same faults gives the same bytes or an error.
        if let Ok(blob) = subject.spoilt.open("segment-1") {
            for offset in [0, 5 << 20, 17 << 20] {
                if let Ok(bytes) = blob.read(offset, 600_000) {
                    let start = usize::try_from(offset).unwrap();
                    assert!(bytes == whole[start..start + 600_000], "seed {seed}");
                }
            }
        }
    }
}

#[test]
fn a_bucket_that_is_not_there_is_told_at_once() {
    let mut options = bucket();
    options.bucket = "no-such-bucket".to_owned();
    let bucket = s3::connect(&options, runtime()).unwrap();
    let disk = ObjectDisk { bucket: Arc::new(bucket), prefix: "shard-0000".into(), window: Duration::ZERO };
    let started = std::time::Instant::now();
    let error = disk.create("MANIFEST-1", b"x").unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(8), "it was tried again in vain");
    let text = format!("{}", Explained(error));
    assert!(text.contains("s3://no-such-bucket/shard-0000/MANIFEST-1") && text.contains("404"), "{text}");
}
