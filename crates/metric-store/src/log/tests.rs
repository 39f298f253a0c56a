use std::cell::Cell;

use proptest::prelude::*;

use super::*;

fn frames(path: &Path) -> (Vec<(u64, Vec<u8>)>, Replayed) {
    let mut seen = Vec::new();
    let found = replay(path, 0, 1, |number, payload| {
        seen.push((number, payload.to_vec()));
        Ok(())
    })
    .unwrap();
    (seen, found)
}

fn written(folder: &Path, payloads: &[&[u8]]) -> Vec<u64> {
    let mut log = LogWriter::<File>::create(folder, 0, 1).unwrap();
    let mut ends = vec![log.len()];
    for (number, payload) in payloads.iter().enumerate() {
        log.append(number as u64, [*payload]).unwrap();
        ends.push(log.len());
    }
    ends
}

#[test]
fn frames_come_back_in_order() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), &[b"one", b"", b"three"]);
    let (seen, found) = frames(&log_path(folder.path(), 1));
    assert_eq!(seen, [(0, b"one".to_vec()), (1, Vec::new()), (2, b"three".to_vec())]);
    assert_eq!((found.torn, found.damage.len()), (0, 0));
}

#[test]
fn a_tail_cut_anywhere_loses_only_the_frame_it_cuts_and_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let ends = written(folder.path(), &[b"first", b"second", b"third"]);
    let path = log_path(folder.path(), 1);
    let whole = fs::read(&path).unwrap();
    for cut in 0..=whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let (seen, found) = frames(&path);
        let expected = ends[1..].iter().filter(|end| **end <= cut as u64).count();
        assert_eq!(seen.len(), expected, "cut at {cut}");
        assert!(found.damage.is_empty(), "cut at {cut}: {:?}", found.damage);
        assert_eq!(found.sound + found.torn, cut as u64);
    }
}

#[test]
fn a_tail_of_zeros_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let ends = written(folder.path(), &[b"first"]);
    let path = log_path(folder.path(), 1);
    let mut content = fs::read(&path).unwrap();
    content.resize(content.len() + 100, 0);
    fs::write(&path, content).unwrap();
    let (seen, found) = frames(&path);
    assert_eq!(seen.len(), 1);
    assert_eq!((found.sound, found.torn), (ends[1], 100));
    assert!(found.damage.is_empty());
}

#[test]
fn a_flipped_bit_before_a_sound_frame_is_named_and_costs_that_frame_alone() {
    let folder = tempfile::tempdir().unwrap();
    let ends = written(folder.path(), &[b"first", b"second", b"third"]);
    let path = log_path(folder.path(), 1);
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
    let found = replay(&log_path(folder.path(), 1), 7, 1, |_, _| Ok(())).unwrap();
    assert_eq!(found.damage, ["file header: belongs elsewhere"]);
}

#[test]
fn a_new_file_goes_on_where_the_old_one_ended() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = LogWriter::<File>::create(folder.path(), 0, 1).unwrap();
    log.append(1, [b"old".as_slice()]).unwrap();
    log.rotate().unwrap();
    log.append(2, [b"new".as_slice()]).unwrap();
    assert_eq!(list_logs(folder.path()).unwrap(), [1, 2]);
    let mut seen = Vec::new();
    replay(&log_path(folder.path(), 2), 0, 2, |number, payload| {
        seen.push((number, payload.to_vec()));
        Ok(())
    })
    .unwrap();
    assert_eq!(seen, [(2, b"new".to_vec())]);
}

thread_local! {
    /// Bytes the disk of the double still takes.
    static ROOM: Cell<usize> = const { Cell::new(usize::MAX) };
    static CUTS_FAIL: Cell<bool> = const { Cell::new(false) };
}

/// A file on a disk that can be full, and that can refuse to be mended.
struct FullDisk(File);

impl Write for FullDisk {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let len = buf.len().min(ROOM.get());
        if len == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        ROOM.set(ROOM.get() - len);
        self.0.write(&buf[..len])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl LogFile for FullDisk {
    fn create(path: &Path) -> io::Result<Self> {
        <File as LogFile>::create(path).map(Self)
    }

    fn sync(&mut self) -> io::Result<()> {
        LogFile::sync(&mut self.0)
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        if CUTS_FAIL.get() { Err(io::ErrorKind::Other.into()) } else { self.0.cut(len) }
    }
}

#[test]
fn a_write_that_fills_the_disk_leaves_no_trace_and_the_next_one_succeeds() {
    for (room, cuts_fail) in [(0, false), (7, false), (25, false), (7, true)] {
        let folder = tempfile::tempdir().unwrap();
        ROOM.set(usize::MAX);
        CUTS_FAIL.set(cuts_fail);
        let mut log = LogWriter::<FullDisk>::create(folder.path(), 0, 1).unwrap();
        log.append(1, [b"before".as_slice()]).unwrap();
        ROOM.set(room);
        assert!(matches!(log.append(2, [b"refused".as_slice()]), Err(StoreError::Io { .. })));
        ROOM.set(usize::MAX);
        if cuts_fail {
            assert!(
                log.append(2, [b"refused".as_slice()]).is_err(),
                "nothing is written behind a torn frame"
            );
            CUTS_FAIL.set(false);
        }
        log.append(2, [b"after".as_slice()]).unwrap();
        let (seen, found) = frames(&log_path(folder.path(), 1));
        assert_eq!(seen, [(1, b"before".to_vec()), (2, b"after".to_vec())]);
        assert!(found.damage.is_empty());
    }
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
        let path = log_path(folder.path(), 1);
        let mut content = fs::read(&path).unwrap();
        for (index, byte) in changes {
            let at = index.index(content.len());
            content[at] = byte;
        }
        content.truncate(cut.index(content.len() + 1));
        fs::write(&path, &content).unwrap();
        let (seen, found) = frames(&path);
        prop_assert_eq!(found.sound + found.torn, content.len() as u64);
        for (number, payload) in seen {
            prop_assert_eq!(&payloads[usize::try_from(number).unwrap()], &payload);
        }
    }
}
