use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::disk::LocalDisk;

const KEY: LogKey = LogKey { epoch: 3, seq: 1 };

/// An owner that nobody takes over from.
#[derive(Debug)]
struct Alone;

impl Succession for Alone {
    fn newest(&self) -> u64 {
        0
    }

    fn manifest(&self, number: u64) -> String {
        format!("none-{number}")
    }

    fn is_ours(&self, _manifest: &[u8]) -> bool {
        true
    }
}

fn disk(folder: &Path) -> Arc<dyn Disk> {
    Arc::new(LocalDisk::open(folder.to_owned()).unwrap())
}

fn log_path(folder: &Path) -> PathBuf {
    folder.join(KEY.name())
}

fn frames(path: &Path) -> (Vec<(u64, Vec<u8>)>, Replayed) {
    let mut seen = Vec::new();
    let found = replay(&fs::read(path).unwrap(), 0, KEY, |number, payload| {
        seen.push((number, payload.to_vec()));
        Ok(())
    });
    (seen, found)
}

fn part(bytes: &[u8]) -> Part {
    Part::new(|buf| buf.extend_from_slice(bytes))
}

fn written(folder: &Path, payloads: &[&[u8]]) -> Vec<u64> {
    let mut log = LogWriter::create(disk(folder), Arc::new(Alone), 0, KEY).unwrap();
    let mut ends = vec![log.len()];
    for (number, payload) in payloads.iter().enumerate() {
        log.append(number as u64, [&mut part(payload)]).unwrap();
        ends.push(log.len());
    }
    ends
}

#[test]
fn frames_come_back_in_order() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), &[b"one", b"", b"three"]);
    let (seen, found) = frames(&log_path(folder.path()));
    assert_eq!(seen, [(0, b"one".to_vec()), (1, Vec::new()), (2, b"three".to_vec())]);
    assert_eq!((found.torn, found.damage.len()), (0, 0));
    assert!(found.room > 0, "there is room for more");
}

#[test]
fn a_frame_of_one_part_is_the_frame_of_its_pieces() {
    let pieces: [&[u8]; 4] = [b"one call", b"", b"and ", b"another"];
    let whole = pieces.concat();
    let content = |parts: &[&[u8]]| {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogWriter::create(disk(folder.path()), Arc::new(Alone), 0, KEY).unwrap();
        // What came before leaves nothing behind.
        for _ in 0..2 {
            let mut parts: Vec<Part> = parts.iter().map(|bytes| part(bytes)).collect();
            log.append(7, &mut parts).unwrap();
        }
        let mut content = fs::read(log_path(folder.path())).unwrap();
        content.truncate(usize::try_from(log.len()).unwrap());
        (content, log.frames())
    };
    let alone = content(&[&whole]);
    assert_eq!(content(&pieces), alone);
    assert_eq!(content(&[&pieces[..2].concat(), &pieces[2..].concat()]), alone);
    assert_eq!(content(&[]), content(&[b""]), "a frame of nothing");
}

#[test]
fn a_tail_cut_anywhere_loses_only_the_frame_it_cuts_and_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let ends = written(folder.path(), &[b"first", b"second", b"third"]);
    let path = log_path(folder.path());
    let mut whole = fs::read(&path).unwrap();
    whole.truncate(usize::try_from(*ends.last().unwrap()).unwrap());
    for cut in 0..=whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let (seen, found) = frames(&path);
        let expected = ends[1..].iter().filter(|end| **end <= cut as u64).count();
        assert_eq!(seen.len(), expected, "cut at {cut}");
        assert!(found.damage.is_empty(), "cut at {cut}: {:?}", found.damage);
        assert_eq!(found.sound + found.torn + found.room, cut as u64);
    }
}

#[test]
fn zeros_at_the_end_are_room_and_no_write() {
    let folder = tempfile::tempdir().unwrap();
    let ends = written(folder.path(), &[b"first"]);
    let path = log_path(folder.path());
    let mut content = fs::read(&path).unwrap();
    let end = usize::try_from(ends[1]).unwrap();
    content.resize(end + 100, 0);
    for (torn, byte) in [(0, 0), (8, 1)] {
        content[end + 7] = byte;
        fs::write(&path, &content).unwrap();
        let (seen, found) = frames(&path);
        assert_eq!(seen.len(), 1);
        assert_eq!((found.sound, found.torn, found.room), (ends[1], torn, 100 - torn));
        assert!(found.damage.is_empty());
    }
}

#[test]
fn a_flipped_bit_before_a_sound_frame_is_named_and_costs_that_frame_alone() {
    let folder = tempfile::tempdir().unwrap();
    let ends = written(folder.path(), &[b"first", b"second", b"third"]);
    let path = log_path(folder.path());
    let whole = fs::read(&path).unwrap();
    for at in ends[1]..ends[2] {
        let mut content = whole.clone();
        content[usize::try_from(at).unwrap()] ^= 0x10;
        fs::write(&path, content).unwrap();
        let (seen, found) = frames(&path);
        assert_eq!(seen.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 2], "flip at {at}");
        assert_eq!(found.damage, [format!("bytes {} to {}", ends[1], ends[2])]);
    }
}

#[test]
fn a_file_of_another_shard_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), &[b"first"]);
    let found = replay(&fs::read(log_path(folder.path())).unwrap(), 7, KEY, |_, _| Ok(()));
    assert_eq!(found.damage, ["file header: belongs elsewhere"]);
}

#[test]
fn a_new_file_goes_on_where_the_old_one_ended() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = LogWriter::create(disk(folder.path()), Arc::new(Alone), 0, KEY).unwrap();
    log.append(1, [&mut part(b"old")]).unwrap();
    log.rotate().unwrap();
    log.append(2, [&mut part(b"new")]).unwrap();
    assert_eq!(frames(&log_path(folder.path())).1.room, 0, "no more is written to the old one");
    assert_eq!(list_logs(disk(folder.path()).as_ref()).unwrap(), [KEY, KEY.next()]);
    let mut seen = Vec::new();
    let content = fs::read(folder.path().join(KEY.next().name())).unwrap();
    replay(&content, 0, KEY.next(), |number, payload| {
        seen.push((number, payload.to_vec()));
        Ok(())
    });
    assert_eq!(seen, [(2, b"new".to_vec())]);
}

proptest! {
    #[test]
    fn no_bytes_make_replay_panic_or_invent_frames(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..6),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        written(folder.path(), &payloads.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let path = log_path(folder.path());
        let mut content = fs::read(&path).unwrap();
        for (index, byte) in changes {
            let at = index.index(content.len());
            content[at] = byte;
        }
        content.truncate(cut.index(content.len() + 1));
        fs::write(&path, &content).unwrap();
        let (seen, found) = frames(&path);
        prop_assert_eq!(found.sound + found.torn + found.room, content.len() as u64);
        for (number, payload) in seen {
            prop_assert_eq!(&payloads[usize::try_from(number).unwrap()], &payload);
        }
    }
}
