//! What every place of a shard's files promises, tried on each.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use super::sim::SimFs;
use super::{Disk, ObjectPlace, Place, Succession};
use crate::contract::StoreError;
use crate::disk::object::tests::{bucket, runtime};

mod engine;
mod power;

/// A place under test, with what it needs to exist.
struct Subject {
    place: Place,
    _folder: Option<TempDir>,
}

impl Subject {
    /// The shard as a process of its own sees it.
    fn disk(&self) -> Arc<dyn Disk> {
        self.place.shard(3).unwrap()
    }
}

fn folder() -> Subject {
    let folder = tempfile::tempdir().unwrap();
    Subject { place: Place::Folder(folder.path().join("store")), _folder: Some(folder) }
}

fn simulated() -> Subject {
    Subject { place: Place::Simulated(SimFs::new(1)), _folder: None }
}

fn memory() -> Subject {
    Subject { place: Place::Object(ObjectPlace::memory(runtime())), _folder: None }
}

fn s3() -> Subject {
    Subject { place: Place::Object(ObjectPlace::s3(&bucket(), runtime()).unwrap()), _folder: None }
}

macro_rules! suite {
    ($($name:ident)*) => {
        mod on_a_folder { $(#[test] fn $name() { super::$name(&super::folder()); })* }
        mod on_a_simulated_folder { $(#[test] fn $name() { super::$name(&super::simulated()); })* }
        mod on_objects_in_memory { $(#[test] fn $name() { super::$name(&super::memory()); })* }
        mod on_s3 { $(#[test] fn $name() { super::$name(&super::s3()); })* }
    };
}

suite! {
    of_many_creators_one_succeeds
    a_small_file_is_read_as_it_was_created
    a_large_file_appears_when_it_is_finished
    a_file_is_read_anywhere
    a_log_reads_as_its_appends
    a_log_starts_once
    a_fenced_writer_is_told_and_changes_nothing
    a_log_fenced_before_it_starts_does_not_start
    a_log_started_after_a_takeover_does_not_start
    a_fence_outlives_the_log
    an_owner_that_comes_back_is_fenced_too
    what_was_acknowledged_during_a_takeover_is_read
    removed_files_are_gone
    shards_do_not_see_each_other
    errors_name_the_file
}

/// The n-th owner of the shard; its manifest says so.
#[derive(Debug)]
struct Owner(u64);

impl Owner {
    fn take_over(self, disk: &dyn Disk) -> Arc<Self> {
        assert!(disk.create(&format!("MANIFEST-{}", self.0), self.content().as_bytes()).unwrap());
        Arc::new(self)
    }

    fn content(&self) -> String {
        format!("owner {}", self.0)
    }
}

impl Succession for Owner {
    fn newest(&self) -> u64 {
        self.0
    }

    fn manifest(&self, number: u64) -> String {
        format!("MANIFEST-{number}")
    }

    fn is_ours(&self, manifest: &[u8]) -> bool {
        manifest == self.content().as_bytes()
    }
}

fn names(disk: &dyn Disk) -> Vec<String> {
    let mut names = disk.list().unwrap();
    names.sort();
    names
}

fn lost(result: Result<(), StoreError>) {
    assert!(matches!(result, Err(StoreError::NoOwner { .. })), "{result:?}");
}

fn of_many_creators_one_succeeds(subject: &Subject) {
    for round in 0..4 {
        let name = format!("MANIFEST-{round}");
        let winners: Vec<String> = std::thread::scope(|scope| {
            let attempt = |number: u32| {
                let (disk, name) = (subject.disk(), &name);
                let content = format!("creator {number}");
                scope.spawn(move || disk.create(name, content.as_bytes()).unwrap().then_some(content))
            };
            let all: Vec<_> = (0..8).map(attempt).collect();
            all.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(winners.len(), 1, "{winners:?}");
        assert_eq!(subject.disk().read(&name).unwrap().unwrap(), winners[0].as_bytes());
    }
}

fn a_small_file_is_read_as_it_was_created(subject: &Subject) {
    let disk = subject.disk();
    assert_eq!(disk.read("MANIFEST-1").unwrap(), None);
    assert!(disk.create("MANIFEST-1", b"first").unwrap());
    assert!(!disk.create("MANIFEST-1", b"second").unwrap());
    // Not even with the same content: another may have written it.
    assert!(!disk.create("MANIFEST-1", b"first").unwrap());
    assert_eq!(subject.disk().read("MANIFEST-1").unwrap().unwrap(), b"first");
    assert_eq!(names(disk.as_ref()), ["MANIFEST-1"]);
}

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from((at * 31 + at / 251) % 256).unwrap()).collect()
}

fn a_large_file_appears_when_it_is_finished(subject: &Subject) {
    let disk = subject.disk();
    // Several parts of an upload, the last of them short; written in pieces of all sizes.
    let whole = content((17 << 20) + 5);
    let mut writer = disk.writer("segment-1").unwrap();
    let mut rest = whole.as_slice();
    for size in [1, 1000, 300_000, 9 << 20].into_iter().cycle() {
        let (piece, later) = rest.split_at(size.min(rest.len()));
        writer.write(piece).unwrap();
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    assert!(disk.open("segment-1").is_err());
    assert_eq!(names(disk.as_ref()), Vec::<String>::new());
    writer.finish().unwrap();
    assert_eq!(names(disk.as_ref()), ["segment-1"]);
    let blob = subject.disk().open("segment-1").unwrap();
    assert_eq!(blob.len(), whole.len() as u64);
    assert!(blob.read(0, whole.len()).unwrap() == whole);

    let mut writer = disk.writer("segment-2").unwrap();
    writer.write(&whole).unwrap();
    drop(writer);
    assert_eq!(names(disk.as_ref()), ["segment-1"]);
    // The name is free for another attempt.
    let mut writer = disk.writer("segment-2").unwrap();
    writer.write(b"short").unwrap();
    writer.finish().unwrap();
    assert_eq!(disk.read("segment-2").unwrap().unwrap(), b"short");
}

fn a_file_is_read_anywhere(subject: &Subject) {
    let disk = subject.disk();
    let whole = content(900_000);
    let mut writer = disk.writer("segment-1").unwrap();
    writer.write(&whole).unwrap();
    writer.finish().unwrap();
    let blob = disk.open("segment-1").unwrap();
    let page = 256 << 10;
    for (offset, len) in
        [(0, 1), (899_999, 1), (page - 1, 2), (page, page), (5, 3 * page), (0, 900_000), (900_000, 0), (7, 0)]
    {
        let found = blob.read(offset as u64, len).unwrap();
        assert!(found == whole[offset..offset + len], "{len} bytes at {offset}");
    }
    // From front to back in small steps.
    let steps: Vec<u8> = (0..900).flat_map(|step| blob.read(step * 1000, 1000).unwrap()).collect();
    assert!(steps == whole);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (blob, whole) = (&blob, &whole);
            scope.spawn(move || {
                for step in 0..50 {
                    let offset = (step * 131_071 + thread * 7_919) % 890_000;
                    assert!(blob.read(offset as u64, 9_000).unwrap() == whole[offset..offset + 9_000]);
                }
            });
        }
    });
    for (offset, len) in [(900_000, 1), (899_999, 2), (u64::MAX, 2)] {
        let text = blob.read(offset, len).unwrap_err().to_string();
        assert!(text.contains("segment-1"), "{text}");
    }
}

/// What was appended to a log, unless it ended with zeros.
fn read_log(disk: &dyn Disk, name: &str) -> Vec<u8> {
    let mut content = disk.read(name).unwrap().unwrap();
    content.truncate(content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
    content
}

fn a_log_reads_as_its_appends(subject: &Subject) {
    let disk = subject.disk();
    let mut log = disk.log("log-1", Owner(1).take_over(disk.as_ref())).unwrap();
    assert_eq!(disk.read("log-1").unwrap().unwrap(), b"");
    let mut whole = Vec::new();
    for number in 0..40_usize {
        let piece = content(number * 37 + 1);
        log.append(&piece).unwrap();
        whole.extend_from_slice(&piece);
    }
    let read = subject.disk().read("log-1").unwrap().unwrap();
    assert!(read.starts_with(&whole) && read[whole.len()..].iter().all(|byte| *byte == 0));
    log.finish().unwrap();
    assert!(subject.disk().read("log-1").unwrap().unwrap() == whole);
    log.append(b"more").unwrap();
    assert!(
        subject.disk().read("log-1").unwrap().unwrap().starts_with(&[&whole, b"more".as_slice()].concat())
    );
    assert_eq!(names(disk.as_ref()), ["MANIFEST-1", "log-1"]);
}

fn a_log_starts_once(subject: &Subject) {
    let disk = subject.disk();
    let owner = Owner(1).take_over(disk.as_ref());
    let mut log = disk.log("log-1", Arc::clone(&owner) as Arc<dyn Succession>).unwrap();
    log.append(b"first").unwrap();
    assert!(subject.disk().log("log-1", owner).is_err());
    log.append(b" second").unwrap();
    assert_eq!(read_log(disk.as_ref(), "log-1"), b"first second");
}

fn a_fenced_writer_is_told_and_changes_nothing(subject: &Subject) {
    let (old, new) = (subject.disk(), subject.disk());
    let mut log = old.log("log-1", Owner(1).take_over(old.as_ref())).unwrap();
    log.append(b"before").unwrap();
    Owner(2).take_over(new.as_ref());
    new.fence("log-1").unwrap();
    assert_eq!(read_log(new.as_ref(), "log-1"), b"before");
    lost(log.append(b"after"));
    lost(log.append(b"after all"));
    assert_eq!(read_log(new.as_ref(), "log-1"), b"before");
    new.fence("no such log").unwrap();
}

fn a_log_fenced_before_it_starts_does_not_start(subject: &Subject) {
    let (old, new) = (subject.disk(), subject.disk());
    let owner = Owner(1).take_over(old.as_ref());
    Owner(2).take_over(new.as_ref());
    new.fence("log-1").unwrap();
    lost(old.log("log-1", owner).map(drop));
}

fn a_log_started_after_a_takeover_does_not_start(subject: &Subject) {
    let (old, new) = (subject.disk(), subject.disk());
    let owner = Owner(1).take_over(old.as_ref());
    Owner(2).take_over(new.as_ref());
    lost(old.log("log-1", owner).map(drop));
}

fn a_fence_outlives_the_log(subject: &Subject) {
    let (old, new) = (subject.disk(), subject.disk());
    let mut log = old.log("log-1", Owner(1).take_over(old.as_ref())).unwrap();
    log.append(b"before").unwrap();
    Owner(2).take_over(new.as_ref());
    new.fence("log-1").unwrap();
    new.remove("log-1").unwrap();
    lost(log.append(b"after"));
    lost(log.append(b"after all"));
    // Whatever that left behind is no log.
    assert_eq!(new.read("log-1").unwrap(), None);
    new.fence("log-1").unwrap();
    new.remove("log-1").unwrap();
    assert_eq!(names(new.as_ref()), ["MANIFEST-1", "MANIFEST-2"]);
}

fn an_owner_that_comes_back_is_fenced_too(subject: &Subject) {
    let (first, second, third) = (subject.disk(), subject.disk(), subject.disk());
    let mut old = first.log("log-1", Owner(1).take_over(first.as_ref())).unwrap();
    old.append(b"one ").unwrap();
    let owner = Owner(2).take_over(second.as_ref());
    second.fence("log-1").unwrap();
    let mut new = second.log("log-2", owner).unwrap();
    new.append(b"two").unwrap();
    Owner(3).take_over(third.as_ref());
    for name in ["log-1", "log-2"] {
        third.fence(name).unwrap();
    }
    lost(new.append(b"late"));
    lost(old.append(b"later"));
    assert_eq!(read_log(third.as_ref(), "log-1"), b"one ");
    assert_eq!(read_log(third.as_ref(), "log-2"), b"two");
    assert_eq!(names(third.as_ref()), ["MANIFEST-1", "MANIFEST-2", "MANIFEST-3", "log-1", "log-2"]);
}

fn what_was_acknowledged_during_a_takeover_is_read(subject: &Subject) {
    for round in 0..3_u64 {
        let (old, new) = (subject.disk(), subject.disk());
        let name = format!("log-{round}");
        let mut log = old.log(&name, Owner(2 * round + 1).take_over(old.as_ref())).unwrap();
        let started = AtomicBool::new(false);
        let (acknowledged, found) = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for number in 1..100_000_u32 {
                    if log.append(&number.to_le_bytes()).is_err() {
                        return number - 1;
                    }
                    started.store(number > 5, Ordering::Relaxed);
                }
                panic!("nothing stopped it");
            });
            while !started.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            Owner(2 * round + 2).take_over(new.as_ref());
            new.fence(&name).unwrap();
            let found = new.read(&name).unwrap().unwrap();
            (writer.join().unwrap(), found)
        });
        let numbers: Vec<u32> =
            found.chunks(4).map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap())).collect();
        let numbers: Vec<u32> = numbers.into_iter().take_while(|number| *number != 0).collect();
        assert_eq!(numbers, (1..=u32::try_from(numbers.len()).unwrap()).collect::<Vec<_>>());
        assert!(found[4 * numbers.len()..].iter().all(|byte| *byte == 0));
        assert!(numbers.len() >= usize::try_from(acknowledged).unwrap(), "{acknowledged} were answered");
        assert!(new.read(&name).unwrap().unwrap() == found, "it changed after it was read");
    }
}

fn removed_files_are_gone(subject: &Subject) {
    let disk = subject.disk();
    let mut log = disk.log("log-1", Owner(1).take_over(disk.as_ref())).unwrap();
    for number in 0..5_u8 {
        log.append(&[number]).unwrap();
    }
    drop(log);
    let mut writer = disk.writer("segment-1").unwrap();
    writer.write(b"x").unwrap();
    writer.finish().unwrap();
    for name in ["log-1", "segment-1", "MANIFEST-1", "never there"] {
        disk.remove(name).unwrap();
        assert_eq!(disk.read(name).unwrap(), None, "{name}");
    }
    assert_eq!(names(disk.as_ref()), Vec::<String>::new());
    assert!(disk.create("MANIFEST-1", b"again").unwrap());
}

fn shards_do_not_see_each_other(subject: &Subject) {
    let (three, thirty) = (subject.disk(), subject.place.shard(30).unwrap());
    let root = subject.place.root().unwrap();
    assert!(three.create("MANIFEST-1", b"three").unwrap());
    assert!(thirty.create("MANIFEST-1", b"thirty").unwrap());
    assert!(root.create("FORMAT", b"root").unwrap());
    assert_eq!(thirty.read("MANIFEST-1").unwrap().unwrap(), b"thirty");
    assert_eq!(names(thirty.as_ref()), ["MANIFEST-1"]);
    assert_eq!(names(root.as_ref()), ["FORMAT", "shard-0003", "shard-0030"]);
}

fn errors_name_the_file(subject: &Subject) {
    let disk = subject.disk();
    let name = disk.describe("segment-7");
    assert!(name.ends_with("shard-0003/segment-7"), "{name}");
    let text = disk.open("segment-7").unwrap_err().to_string();
    assert!(text.contains(&name), "{text}");
}

#[test]
fn what_an_owner_before_never_finished_is_removed_with_its_name() {
    let subject = folder();
    let Place::Folder(folder) = &subject.place else { unreachable!() };
    let old = subject.disk();
    let mut writer = old.writer("segment-1").unwrap();
    writer.write(b"half").unwrap();
    std::mem::forget(writer);
    let unfinished = || {
        let files = std::fs::read_dir(folder.join("shard-0003")).unwrap();
        let paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        paths.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "tmp")).count()
    };
    assert_eq!(unfinished(), 1);
    let new = subject.disk();
    let mut ours = new.writer("segment-2").unwrap();
    ours.write(b"whole").unwrap();
    new.log("log-1", Owner(1).take_over(new.as_ref())).unwrap();
    assert_eq!(unfinished(), 1);
    ours.finish().unwrap();
    assert_eq!(names(new.as_ref()), ["MANIFEST-1", "log-1", "segment-2"]);
    assert_eq!(unfinished(), 0);
}
