use proptest::prelude::*;

use super::*;

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
    let mut writer = SegmentWriter::create(folder, 4, 9).unwrap();
    for number in 0..metrics {
        let content = Content {
            born_after: 2,
            granularities: vec![
                (Granularity::from_secs(1).unwrap(), vec![chunk(-50, 3), chunk(7, number + 1)]),
                (Granularity::from_secs(60).unwrap(), Vec::new()),
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
    for metrics in [0, 1, 31, 32, 33, 200] {
        let size = write(folder.path(), metrics);
        let segment = Segment::open(folder.path(), 4, 9).unwrap();
        assert_eq!(segment.size, size);
        assert_eq!(segment.entries(&DamageLog::default()).count(), metrics as usize);
        assert_eq!(segment.find(id(metrics)).unwrap(), None);
        for number in 0..metrics {
            let entry = segment.find(id(number)).unwrap().unwrap();
            assert_eq!((entry.metric, entry.commit), (id(number), u64::from(number) + 5));
            let Some(data) = entry.data else {
                assert_eq!(number % 3, 0);
                continue;
            };
            let state = segment.read(data.state_offset, data.state_len as usize).unwrap();
            assert_eq!(state, number.to_le_bytes());
            let chunks = &data.granularities[0].1;
            assert_eq!((chunks[1].first, chunks[1].rows), (Timestamp::from_secs(7), number + 1));
            let bytes = segment.read(chunks[1].offset, chunks[1].len as usize).unwrap();
            assert_eq!(bytes, vec![0xab; number as usize + 1]);
        }
    }
}

#[test]
fn a_segment_that_was_not_finished_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = SegmentWriter::create(folder.path(), 4, 9).unwrap();
    writer.push(id(1), 1, None).unwrap();
    drop(writer);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_segment_cut_short_or_of_another_shard_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 40);
    assert!(matches!(Segment::open(folder.path(), 5, 9), Err(StoreError::Damaged { .. })));
    let path = segment_path(folder.path(), 9);
    let whole = std::fs::read(&path).unwrap();
    for len in [0, 10, HEADER, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..len]).unwrap();
        let error = Segment::open(folder.path(), 4, 9).unwrap_err();
        assert!(
            matches!(&error, StoreError::Damaged { path: named, .. } if *named == path.display().to_string())
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_index_readers_panic(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut sealed = noise.clone();
        sealed.extend_from_slice(&crc32fast::hash(&noise).to_le_bytes());
        let _outcomes = (
            read_group(&noise).is_ok(),
            read_group(&sealed).is_ok(),
            read_sparse(&noise).is_ok(),
            read_footer(&noise).is_ok(),
            check_header(&noise, 0, 0).is_ok(),
        );
    }
}
