use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::stream;
use nephos_timeseries::{Fill, Grid};
use proptest::prelude::*;

use super::*;
use crate::compute::{Computed, Refusal};

type Outcome = Result<Computed, Refusal>;

fn minute() -> Granularity {
    Granularity::from_secs(60).unwrap()
}

fn series(values: &[(i64, u64)]) -> Series {
    let points = SeriesPoints {
        granularity: minute(),
        timestamps: values.iter().map(|(nanos, _)| Timestamp::from_nanos(*nanos)).collect(),
        values: values.iter().map(|(_, bits)| f64::from_bits(*bits)).collect(),
    };
    let empty = SeriesPoints { granularity: minute(), timestamps: Vec::new(), values: Vec::new() };
    Series { granularities: vec![empty, points] }
}

/// Series of so many points, a minute apart.
fn regular(points: usize) -> Series {
    let value = |at: i64| (at * 60_000_000_000, f64::to_bits(1.5) + at.unsigned_abs());
    series(&(0..i64::try_from(points).unwrap()).map(value).collect::<Vec<_>>())
}

fn bits(all: &[Series]) -> Vec<Vec<Vec<(i64, u64)>>> {
    let of_list = |list: &SeriesPoints| {
        let points = list.timestamps.iter().zip(&list.values);
        points.map(|(time, value)| (time.as_nanos(), value.to_bits())).collect()
    };
    all.iter().map(|series| series.granularities.iter().map(of_list).collect()).collect()
}

fn outcomes() -> Vec<Outcome> {
    let times: Vec<Timestamp> = [-60, 0, 600].map(Timestamp::from_secs).to_vec();
    let column = |value: f64| (times.clone(), vec![value, f64::INFINITY, -0.0]);
    let grid = |columns| Grid::align(minute(), columns, Fill::Null);
    vec![
        Ok(Computed {
            grids: vec![grid(vec![column(1.0), column(2.0)]), grid(vec![]), grid(vec![column(3.0)])],
            aggregated: true,
            chosen: vec![Some(vec![7, 300]), None],
        }),
        Err(Refusal::Unaggregable("No overlap".to_owned())),
        Err(Refusal::TooMuch),
        Ok(Computed::default()),
        Err(Refusal::Malformed),
    ]
}

async fn frames<T: Item>(parts: Vec<Result<Vec<T>, StoreError>>) -> Vec<Bytes> {
    let mut outgoing = Outgoing::new(Vec::new(), stream::iter(parts).boxed());
    let mut frames = Vec::new();
    while let Some(frame) = outgoing.frame().await {
        frames.push(frame);
    }
    frames
}

/// The frames as one piece.
fn sent<T: Item>(parts: Vec<Vec<T>>) -> Vec<u8> {
    let parts = parts.into_iter().map(Ok).collect();
    futures_util::FutureExt::now_or_never(frames(parts)).unwrap().concat()
}

fn received<T: Item>(bytes: &[u8], piece: usize) -> Result<Vec<T>, Broken> {
    let mut incoming = Incoming::default();
    for piece in bytes.chunks(piece.max(1)) {
        incoming.take(piece)?;
    }
    incoming.finish().map(|Streamed(items)| items)
}

#[test]
fn what_came_of_computations_survives() {
    let expected = outcomes();
    let parts = vec![outcomes(), Vec::new(), outcomes()];
    let read: Vec<Outcome> = received(&sent(parts), 7).unwrap();
    assert_eq!(read, [expected.clone(), expected].concat());
    assert!(received::<Outcome>(&sent::<Outcome>(Vec::new()), 1).unwrap().is_empty());
}

#[tokio::test]
async fn no_frame_is_large_however_long_a_series_is() {
    let all = [regular(200_000), regular(0), regular(SLICE), regular(SLICE + 1)];
    let frames = frames(vec![Ok(all.to_vec())]).await;
    assert!(frames.len() > 20);
    assert!(frames.iter().all(|frame| frame.len() <= FULL + 20 * SLICE));
    assert_eq!(bits(&received::<Series>(&frames.concat(), 10_000).unwrap()), bits(&all));
}

#[tokio::test]
async fn items_are_read_when_the_frames_before_them_were_taken() {
    const PARTS: usize = 500;
    let read = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&read);
    let parts = stream::iter(0..PARTS).map(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(vec![regular(1_000), regular(3_000)])
    });
    let mut outgoing = Outgoing::new(Vec::new(), parts.boxed());
    let (mut taken, mut incoming) = (0, Incoming::<Series>::default());
    while let Some(frame) = outgoing.frame().await {
        taken += frame.len();
        incoming.take(&frame).unwrap();
        // Four thousand points take more than half a frame: whatever was taken, not three parts more were read.
        let begun = incoming.items.len() / 2 + 3;
        assert!(read.load(Ordering::Relaxed) <= begun, "{} of {begun}", read.load(Ordering::Relaxed));
    }
    assert_eq!(incoming.finish().unwrap().0.len(), 2 * PARTS);
    assert!(taken > PARTS * 4_000 * 9);
}

#[tokio::test]
async fn an_error_in_the_middle_is_told() {
    let damaged = StoreError::Damaged { path: "/d/s".to_owned(), reason: "checksum".to_owned() };
    let text = damaged.to_string();
    let bytes = frames(vec![Ok(vec![regular(20_000)]), Err(damaged), Ok(vec![regular(1)])]).await.concat();
    match received::<Series>(&bytes, 1_000) {
        Err(Broken::Told(error)) => assert_eq!(error.to_string(), text),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_that_stops_anywhere_is_none() {
    let bytes = sent(vec![vec![regular(300), regular(0)], vec![regular(9_000), regular(10)]]);
    assert_eq!(received::<Series>(&bytes, 100).unwrap().len(), 4);
    for len in (0..bytes.len()).step_by(61).chain(bytes.len() - 40..bytes.len()) {
        assert!(matches!(received::<Series>(&bytes[..len], 4_096), Err(Broken::Cut)), "{len}");
    }
    // Not even between two frames, nor with more behind its end.
    let first = 8 + u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
    assert!(matches!(received::<Series>(&bytes[..first], 4_096), Err(Broken::Cut)));
    for more in [&[0][..], &bytes] {
        let longer = [&bytes, more].concat();
        assert!(matches!(received::<Series>(&longer, 4_096), Err(Broken::Malformed(_))));
    }
}

#[test]
fn an_end_that_counts_otherwise_is_refused() {
    for (items, points) in [(0u8, 0u8), (1, 1), (2, 0)] {
        // One item with one empty list.
        let mut buf = vec![0; HEADER];
        buf.extend([ITEM, LIST]);
        put_signed(&mut buf, minute().as_nanos());
        buf.extend([0, END, items, points]);
        let refused = received::<Series>(&sealed(buf), 100);
        assert!(matches!(refused, Err(Broken::Malformed(_))), "{refused:?}");
    }
}

#[test]
fn columns_that_do_not_fit_their_grids_are_refused() {
    for columns in [1, 3] {
        let mut buf = vec![0; HEADER];
        buf.extend([ITEM, 0, 1, 1]);
        put_signed(&mut buf, minute().as_nanos());
        buf.extend([2, 0]);
        for _ in 0..columns {
            buf.push(LIST);
            put_signed(&mut buf, minute().as_nanos());
            buf.push(0);
        }
        buf.extend([END, 1, 0]);
        let refused = received::<Outcome>(&sealed(buf), 100);
        assert!(matches!(refused, Err(Broken::Malformed(_))), "{refused:?}");
    }
}

proptest! {
    #[test]
    fn series_survive_bit_for_bit(
        parts in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(any::<(i64, u64)>(), 0..30), 0..4),
            0..4,
        ),
        piece in 1..200usize,
    ) {
        let parts: Vec<Vec<Series>> =
            parts.iter().map(|part| part.iter().map(|values| series(values)).collect()).collect();
        let read = received::<Series>(&sent(parts.clone()), piece).unwrap();
        prop_assert_eq!(bits(&read), bits(&parts.concat()));
    }

    #[test]
    fn a_frame_that_is_not_what_was_sent_is_refused(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1..=u8::MAX), 1..4),
        piece in 1..5_000usize,
    ) {
        let whole = sent(vec![vec![regular(40), regular(5_000)], vec![regular(300)]]);
        let mut bytes = whole.clone();
        for (index, flip) in &flips {
            let at = index.index(bytes.len());
            bytes[at] ^= flip;
        }
        let read = received::<Series>(&bytes, piece);
        prop_assert!(read.is_err() || bytes == whole);
    }

    #[test]
    fn no_records_make_a_reader_panic(
        noise in prop::collection::vec(any::<u8>(), 0..100),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mutate = |bytes: Vec<u8>| {
            let mut records = bytes[HEADER..].to_vec();
            for (index, byte) in &flips {
                let at = index.index(records.len());
                records[at] = *byte;
            }
            records
        };
        let sent = [sent(vec![vec![regular(20), regular(3)]]), sent(vec![outcomes()])];
        for records in sent.into_iter().map(mutate).chain([noise]) {
            // With a checksum that is right, and without.
            let framed = sealed([&[0; HEADER][..], &records].concat());
            for bytes in [&framed[..], &records] {
                let _outcomes =
                    (received::<Series>(bytes, 11).is_ok(), received::<Outcome>(bytes, 11).is_ok());
            }
        }
    }
}
