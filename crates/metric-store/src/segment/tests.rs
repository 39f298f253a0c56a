use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::disk::LocalDisk;

const NAME: &str = "segment-9.nseg";

fn disk(folder: &Path) -> Arc<dyn Disk> {
    Arc::new(LocalDisk::open(folder.to_owned()).unwrap())
}

fn open(folder: &Path, shard: u32) -> Result<Segment, StoreError> {
    Segment::open(disk(folder), shard, NAME, &[], &DamageLog::default())
}

fn id(number: u32) -> MetricId {
    MetricId(uuid::Uuid::from_u128(u128::from(number) << 90))
}

fn chunk(first: i64, rows: u32) -> PackedChunk {
    PackedChunk {
        first: Timestamp::from_secs(first),
        last: Timestamp::from_secs(first + i64::from(rows)),
        rows,
        bytes: vec![0xab; rows as usize],
    }
}

/// Every third metric is a deletion.
fn write(folder: &Path, metrics: u32) -> u64 {
    let mut writer = SegmentWriter::create(&disk(folder), 4, NAME).unwrap();
    for number in 0..metrics {
        let content = Content {
            born_after: 2,
            granularities: vec![
                (Granularity::from_secs(1).unwrap(), vec![chunk(-50, 3), chunk(7, number + 1)]),
                (Granularity::from_secs(60).unwrap(), Vec::new()),
                (Granularity::from_secs(3_600).unwrap(), vec![chunk(0, number * 200)]),
            ],
            state: number.to_le_bytes().to_vec(),
        };
        writer.push(id(number), u64::from(number) + 5, (number % 3 > 0).then_some(&content)).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn what_was_written_is_found_by_metric() {
    let folder = tempfile::tempdir().unwrap();
    for metrics in [0, 1, 255, 256, 257, 600] {
        let size = write(folder.path(), metrics);
        let segment = open(folder.path(), 4).unwrap();
        assert_eq!(segment.size(), size);
        let damage = DamageLog::default();
        let commits: Vec<u64> = segment.entries(&damage).map(|entry| entry.commit).collect();
        assert_eq!(commits, (5..u64::from(metrics) + 5).collect::<Vec<_>>());
        assert!(segment.find(id(metrics)).unwrap().is_none());
        for number in 0..metrics {
            let entry = segment.find(id(number)).unwrap().unwrap();
            assert_eq!((entry.metric, entry.commit), (id(number), u64::from(number) + 5));
            let Some(block) = entry.data else {
                assert_eq!(number % 3, 0);
                continue;
            };
            assert_eq!(*segment.state(&block).unwrap(), number.to_le_bytes());
            let chunks = block.chunks(Granularity::from_secs(1).unwrap());
            assert_eq!((chunks[1].first, chunks[1].rows), (Timestamp::from_secs(7), number + 1));
            assert_eq!(*segment.chunk(&block, chunks[1]).unwrap(), vec![0xab; number as usize + 1]);
            // Mostly beyond what was read at first.
            let [hourly] = block.chunks(Granularity::from_secs(3_600).unwrap()) else { panic!("one chunk") };
            assert_eq!(segment.chunk(&block, *hourly).unwrap().len(), number as usize * 200);
        }
    }
}

/// A file of which some reads fail after a part of them.
#[derive(Debug)]
struct Shaky {
    bytes: Vec<u8>,
    fails: AtomicBool,
}

impl Blob for Shaky {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        let mut buffer = Vec::new();
        self.read_into(offset, len, &mut buffer).map(|()| buffer)
    }

    fn read_into(&self, offset: u64, len: usize, buffer: &mut Vec<u8>) -> Result<(), StoreError> {
        let start = usize::try_from(offset).unwrap();
        let fails = self.fails.swap(false, Ordering::Relaxed);
        buffer.clear();
        buffer.extend_from_slice(&self.bytes[start..start + if fails { len / 2 } else { len }]);
        if fails { Err(StoreError::Closed) } else { Ok(()) }
    }
}

#[test]
fn what_a_failed_read_ahead_left_is_taken_for_nothing() {
    let bytes: Vec<u8> = (0..3 * READ_AHEAD).map(|at| (at / 1_000).to_le_bytes()[0]).collect();
    let file = Shaky { bytes, fails: AtomicBool::new(false) };
    let mut window = Window { start: 0, bytes: Vec::new() };
    let right = |offset: usize, len| file.bytes[offset..offset + len].to_vec();
    assert_eq!(window.read(&file, 0, 100).unwrap(), right(0, 100));
    file.fails.store(true, Ordering::Relaxed);
    assert!(window.read(&file, 2 * READ_AHEAD as u64, 100).is_err());
    // Neither as what lies there nor as what was there before.
    for offset in [50, READ_AHEAD - 60, 2 * READ_AHEAD, 3 * READ_AHEAD - 100] {
        assert_eq!(window.read(&file, offset as u64, 100).unwrap(), right(offset, 100), "at {offset}");
    }
}

#[test]
fn a_segment_that_was_not_finished_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = SegmentWriter::create(&disk(folder.path()), 4, NAME).unwrap();
    writer.push(id(1), 1, None).unwrap();
    drop(writer);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_doomed_segment_goes_with_its_last_reader() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 3);
    let segment = Arc::new(open(folder.path(), 4).unwrap());
    let reader = Arc::clone(&segment);
    segment.doom();
    drop(segment);
    assert!(reader.find(id(1)).unwrap().is_some());
    drop(reader);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_segment_cut_short_or_of_another_shard_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 40);
    assert!(matches!(open(folder.path(), 5), Err(StoreError::Damaged { .. })));
    let path = folder.path().join(NAME);
    let whole = std::fs::read(&path).unwrap();
    for len in [0, 10, HEADER, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..len]).unwrap();
        let error = open(folder.path(), 4).unwrap_err();
        assert!(
            matches!(&error, StoreError::Damaged { path: named, .. } if *named == path.display().to_string())
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_readers_panic(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut sealed = u32::try_from(noise.len()).unwrap().to_le_bytes().to_vec();
        sealed.extend_from_slice(&noise);
        sealed.extend_from_slice(&crc32fast::hash(&noise).to_le_bytes());
        let _outcomes = (
            [block::NANOS, block::VERSION].map(|version| {
                let read = |bytes: &Vec<u8>| block::read(version, bytes.clone(), 0, bytes.len()).is_ok();
                (read(&noise), read(&sealed))
            }),
            block::header_len(&noise).is_ok(),
            read_footer(&noise).is_ok(),
            check_header(&noise, 0, NAME).is_ok(),
            Index::read(&noise, (3, 2), 0).1.is_empty(),
        );
    }
}
