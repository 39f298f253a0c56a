//! Power losses and failing disks.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::{Owner, content, names, read_log};
use crate::disk::fs::FsFile;
use crate::disk::sim::{Op, SimFs};
use crate::disk::{Disk, LocalDisk};

fn disk(fs: &SimFs) -> LocalDisk<SimFs> {
    LocalDisk::on(Arc::new(fs.clone()), "/store/shard-0003".into()).unwrap()
}

/// What was answered with success until the power went.
#[derive(Default)]
struct Acknowledged {
    created: Vec<String>,
    written: Vec<String>,
    log: Option<Vec<u8>>,
}

/// Uses every way to write, until something fails.
fn use_it(fs: &SimFs, done: &mut Acknowledged) -> Result<(), crate::contract::StoreError> {
    let disk = LocalDisk::on(Arc::new(fs.clone()), "/store/shard-0003".into())?;
    if !disk.create("MANIFEST-1", b"owner 1")? {
        return Ok(());
    }
    done.created.push("MANIFEST-1".to_owned());
    let mut log = disk.log("log-1", Arc::new(Owner(1)))?;
    done.log = Some(Vec::new());
    for number in 0..6_usize {
        let bytes = content(700 * number + 1);
        log.append(&bytes)?;
        done.log.as_mut().unwrap().extend_from_slice(&bytes);
        let name = format!("segment-{number}");
        let mut writer = disk.writer(&name)?;
        writer.write(name.repeat(number * 400).as_bytes())?;
        writer.finish()?;
        done.written.push(name);
        let name = format!("small-{number}");
        assert!(disk.create(&name, name.repeat(100).as_bytes())?);
        done.created.push(name);
    }
    Ok(())
}

fn check(found: &SimFs, done: &Acknowledged, at: u64) {
    let disk = disk(found);
    let names = names(&disk);
    for name in done.created.iter().chain(&done.written) {
        assert!(names.contains(name), "{name} is gone after a power loss at {at}");
    }
    for name in &names {
        let found = disk.read(name).unwrap().unwrap();
        match name.split_once('-').unwrap() {
            ("MANIFEST", _) => assert_eq!(found, b"owner 1", "power loss at {at}"),
            ("small", _) => assert_eq!(found, name.repeat(100).as_bytes(), "power loss at {at}"),
            ("segment", number) => {
                let times = number.parse::<usize>().unwrap() * 400;
                assert!(found == name.repeat(times).as_bytes(), "{name} after a power loss at {at}");
            }
            ("log", _) => {
                let log = done.log.as_deref().unwrap_or_default();
                assert!(found.starts_with(log), "appends are missing after a power loss at {at}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(names.contains(&"log-1".to_owned()) || done.log.is_none(), "power loss at {at}");
}

#[test]
fn what_was_answered_survives_a_power_loss_at_any_operation() {
    let whole = SimFs::new(0);
    use_it(&whole, &mut Acknowledged::default()).unwrap();
    for seed in 0..12 {
        for at in 1..=whole.operations() {
            let fs = SimFs::new(seed * 1_000 + at);
            fs.crash_after(at);
            let mut done = Acknowledged::default();
            assert!(use_it(&fs, &mut done).is_err(), "operation {at} did not fail");
            check(&fs.recover(), &done, at);
        }
    }
}

#[test]
fn what_was_not_synced_may_be_lost_or_kept_in_any_combination() {
    // The simulation itself: were it kind, the test above would prove nothing.
    let (mut lost, mut kept, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let fs = SimFs::new(seed);
        let folder = Path::new("/store");
        super::super::fs::Fs::create_folder(&fs, folder).unwrap();
        let mut file = super::super::fs::Fs::create(&fs, &folder.join("f")).unwrap();
        super::super::fs::Fs::sync_folder(&fs, folder).unwrap();
        file.append(&[1; 2048]).unwrap();
        let found = super::super::fs::Fs::read(&fs.recover(), &folder.join("f")).unwrap();
        match found.iter().filter(|byte| **byte == 1).count() {
            0 => lost += 1,
            2048 => kept += 1,
            _ => torn += 1,
        }
    }
    assert!(lost > 20 && kept > 20 && torn > 20, "{lost} {kept} {torn}");
}

#[test]
fn a_failed_append_leaves_nothing_in_front_of_later_ones() {
    for seed in 0..200 {
        let fs = SimFs::new(seed);
        let disk = disk(&fs);
        let mut log = disk.log("log-1", Arc::new(Owner(1))).unwrap();
        let mut acknowledged = Vec::new();
        for number in 0..30_u64 {
            // Every now and then a write or sync fails, now and then the cut after it too.
            match (seed + number * 7) % 6 {
                0 => fs.fail(Op::Write, 0, ErrorKind::StorageFull),
                1 => fs.fail(Op::Sync, 0, ErrorKind::Other),
                2 => fs.fail(Op::Sync, 1, ErrorKind::Other),
                3 => fs.fail(Op::Write, 1, ErrorKind::StorageFull),
                _ => {}
            }
            let bytes = content(usize::try_from(seed % 7 * 400 + number).unwrap());
            match log.append(&bytes) {
                Ok(()) => acknowledged.extend_from_slice(&bytes),
                Err(error) => assert!(error.to_string().contains("log-1"), "{error}"),
            }
        }
        let recovered = LocalDisk::on(Arc::new(fs.recover()), "/store/shard-0003".into()).unwrap();
        let found = recovered.read("log-1").unwrap().unwrap();
        assert!(found.starts_with(&acknowledged), "seed {seed}: {} of {}", found.len(), acknowledged.len());
        // What follows is at most one failed append.
        let found = read_log(&recovered, "log-1");
        assert!(found.len() <= acknowledged.len() + 2_500, "seed {seed}");
    }
}

#[test]
fn a_full_disk_fails_writes_by_name_and_takes_them_again_when_there_is_room() {
    let fs = SimFs::new(5);
    let disk = disk(&fs);
    let mut log = disk.log("log-1", Arc::new(Owner(1))).unwrap();
    log.append(b"before").unwrap();
    fs.set_free(3);
    assert_eq!(disk.free_bytes().unwrap(), Some(3));
    for failed in [log.append(b"too much"), disk.create("MANIFEST-9", b"too much").map(drop)] {
        let text = failed.unwrap_err().to_string();
        assert!(text.contains("/store/shard-0003/"), "{text}");
    }
    let mut writer = disk.writer("segment-1").unwrap();
    assert!(writer.write(b"too much").and_then(|()| writer.finish()).is_err());
    assert_eq!(names(&disk), ["log-1"]);
    fs.set_free(1 << 20);
    log.append(b" after").unwrap();
    assert_eq!(read_log(&disk, "log-1"), b"before after");
}

#[test]
fn an_append_under_way_at_a_takeover_never_appears_in_what_was_read() {
    let fs = SimFs::new(6);
    let (old, new) = (disk(&fs), disk(&fs));
    let mut log = old.log("log-1", Arc::new(Owner(1))).unwrap();
    log.append(b"before").unwrap();
    assert!(new.create("MANIFEST-2", b"owner 2").unwrap());
    new.fence("log-1").unwrap();
    let _lost = log.append(b"late").unwrap_err();
    assert_eq!(read_log(&new, "log-1"), b"before");
    assert_eq!(read_log(&disk(&fs.recover()), "log-1"), b"before");
}

#[test]
fn flipped_bits_are_found_as_they_are() {
    let fs = SimFs::new(7);
    let disk = disk(&fs);
    assert!(disk.create("MANIFEST-1", b"abc").unwrap());
    fs.flip(Path::new("/store/shard-0003/MANIFEST-1"), 1, 0x20);
    assert_eq!(disk.read("MANIFEST-1").unwrap().unwrap(), b"aBc");
}
