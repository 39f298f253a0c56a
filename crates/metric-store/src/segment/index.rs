//! The index of a segment: which metrics it has and where their blocks lie.

use std::sync::Arc;

use nephos_model::MetricId;

use crate::bytes::{Malformed, Reader, metric_from};

/// Entries that share a checksum: what a flipped bit in the index costs.
const PAGE: usize = 32;
/// A metric that lives: its id and its block's length. Blocks lie one behind the other, so that a page says once where
/// its first one does.
const LIVE: usize = 20;
/// A metric that was deleted: its id and the commit that did it.
const DELETED: usize = 24;
/// Guesses by value before halving: ids are random, so that few are needed.
const GUESSES: usize = 6;

/// Where a metric's block lies; without a block, `offset` is the commit that deleted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) metric: MetricId,
    pub(crate) offset: u64,
    pub(crate) len: usize,
}

/// Places in the order of ids.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Shared with other segments of the same metrics: most of them, since the same metrics are measured all the time.
    ids: Arc<Vec<u128>>,
    offsets: Vec<u64>,
    lens: Vec<u32>,
}

impl Index {
    fn with_capacity(places: usize) -> Self {
        Self {
            ids: Arc::new(Vec::with_capacity(places)),
            offsets: Vec::with_capacity(places),
            lens: Vec::with_capacity(places),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    fn place(&self, at: usize) -> Option<Place> {
        let metric = metric_from(self.ids.get(at)?.to_be_bytes());
        Some(Place { metric, offset: *self.offsets.get(at)?, len: *self.lens.get(at)? as usize })
    }

    /// All places in the order of ids.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> + '_ {
        (0..self.ids.len()).filter_map(|at| self.place(at))
    }

    /// Adds a place behind all others.
    pub(super) fn push(&mut self, metric: MetricId, offset: u64, len: u32) {
        Arc::make_mut(&mut self.ids).push(metric.0.as_u128());
        self.offsets.push(offset);
        self.lens.push(len);
    }

    /// The place of a metric.
    pub(crate) fn find(&self, metric: MetricId) -> Option<Place> {
        let wanted = metric.0.as_u128();
        let (mut low, mut high) = (0, self.ids.len());
        for _ in 0..GUESSES {
            let (first, last) = (*self.ids.get(low)?, *self.ids.get(high.checked_sub(1)?)?);
            if wanted < first || wanted > last {
                return None;
            }
            // Ids are random: where one lies among its neighbours tells about where it lies in the list.
            let (span, ahead) = ((last - first) >> 64, (wanted - first) >> 64);
            let width = (high - 1 - low) as u128;
            let ahead = (ahead * width).checked_div(span).unwrap_or(0);
            let guess = (low + usize::try_from(ahead).ok()?).min(high - 1);
            match self.ids.get(guess)?.cmp(&wanted) {
                std::cmp::Ordering::Equal => return self.place(guess),
                std::cmp::Ordering::Less => low = guess + 1,
                std::cmp::Ordering::Greater => high = guess,
            }
            if low >= high {
                return None;
            }
        }
        let at = self.ids.get(low..high)?.binary_search(&wanted).ok()?;
        self.place(low + at)
    }

    /// Numbers of metrics that live and of deleted ones.
    pub(super) fn counts(&self) -> (usize, usize) {
        let deleted = self.lens.iter().filter(|len| **len == 0).count();
        (self.ids.len() - deleted, deleted)
    }

    /// As bytes: pages of those that live, then pages of deleted ones.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let entries = || self.ids.iter().zip(&self.offsets).zip(&self.lens);
        let live: Vec<_> = entries().filter(|(_, len)| **len > 0).collect();
        let deleted: Vec<_> = entries().filter(|(_, len)| **len == 0).collect();
        let mut bytes = Vec::with_capacity(live.len() * (LIVE + 1) + deleted.len() * (DELETED + 1) + 24);
        for page in live.chunks(PAGE) {
            let start = bytes.len();
            bytes.extend(page.iter().take(1).flat_map(|((_, offset), _)| offset.to_le_bytes()));
            for ((id, _), len) in page {
                bytes.extend_from_slice(&id.to_be_bytes());
                bytes.extend_from_slice(&len.to_le_bytes());
            }
            end_page(&mut bytes, start);
        }
        for page in deleted.chunks(PAGE) {
            let start = bytes.len();
            for ((id, commit), _) in page {
                bytes.extend_from_slice(&id.to_be_bytes());
                bytes.extend_from_slice(&commit.to_le_bytes());
            }
            end_page(&mut bytes, start);
        }
        bytes
    }

    /// From bytes that lie at `offset` of the file, with these [counts](Self::counts); also says which pages are
    /// damaged.
    pub(super) fn read(bytes: &[u8], (live, deleted): (u32, u32), offset: u64) -> (Self, Vec<String>) {
        let most = |count: u32, entry: usize| Self::with_capacity((bytes.len() / entry).min(count as usize));
        let (mut index, mut gone, mut broken) = (most(live, LIVE), most(deleted, DELETED), Vec::new());
        let mut rest = Reader::new(bytes);
        let mut pages =
            |count: u32, head: usize, entry: usize, page: &mut dyn FnMut(&[u8]) -> Result<(), Malformed>| {
                let mut left = count as usize;
                while left > 0 {
                    let at = offset + (bytes.len() - rest.remaining()) as u64;
                    let count = left.min(PAGE);
                    let Ok(whole) = rest.take(head + count * entry + 4) else {
                        broken.push(format!("index at byte {at}: cut short"));
                        break;
                    };
                    if let Err(error) = checked(whole).and_then(&mut *page) {
                        broken.push(format!("index page at byte {at}: {error}"));
                    }
                    left -= count;
                }
            };
        pages(live, 8, LIVE, &mut |page| index.read_live(page));
        pages(deleted, 0, DELETED, &mut |page| gone.read_deleted(page));
        if !gone.ids.is_empty() {
            index = index.with(gone);
        }
        if !index.ids.is_sorted_by(|before, after| before < after) {
            broken.push("its index is out of order".to_owned());
            index = Self::default();
        }
        (index, broken)
    }

    /// Lets go of its ids for those of another index, if they are the same. Returns whether they are.
    pub(super) fn share(&mut self, other: &Self) -> bool {
        let same = self.ids == other.ids;
        if same {
            self.ids = Arc::clone(&other.ids);
        }
        same
    }

    fn read_live(&mut self, page: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(page);
        let mut offset = reader.u64()?;
        let ids = Arc::make_mut(&mut self.ids);
        while reader.remaining() > 0 {
            ids.push(u128::from_be_bytes(reader.array()?));
            let len = reader.u32()?;
            self.offsets.push(offset);
            self.lens.push(len);
            offset = offset.saturating_add(len.into());
        }
        Ok(())
    }

    fn read_deleted(&mut self, page: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(page);
        let ids = Arc::make_mut(&mut self.ids);
        while reader.remaining() > 0 {
            ids.push(u128::from_be_bytes(reader.array()?));
            self.offsets.push(reader.u64()?);
            self.lens.push(0);
        }
        Ok(())
    }

    /// Both in the order of ids.
    fn with(self, other: Self) -> Self {
        let entries =
            |index: Self| Arc::unwrap_or_clone(index.ids).into_iter().zip(index.offsets).zip(index.lens);
        let mut all: Vec<_> = entries(self).chain(entries(other)).collect();
        all.sort_unstable();
        let mut sorted = Self::with_capacity(all.len());
        for ((id, offset), len) in all {
            sorted.push(metric_from(id.to_be_bytes()), offset, len);
        }
        sorted
    }
}

/// Appends the checksum of a page that begins at `start`.
fn end_page(bytes: &mut Vec<u8>, start: usize) {
    let crc = crc32fast::hash(bytes.get(start..).unwrap_or_default());
    bytes.extend_from_slice(&crc.to_le_bytes());
}

/// A page without its checksum, which is right.
fn checked(page: &[u8]) -> Result<&[u8], Malformed> {
    let (body, crc) = page.split_last_chunk::<4>().ok_or(Malformed("cut short"))?;
    if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
        return Err(Malformed("checksum"));
    }
    Ok(body)
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_metric_is_found_and_no_other(
            ids in prop::collection::btree_set(prop_oneof![any::<u128>(), 0u128..2_000], 0..900),
            others in prop::collection::vec(prop_oneof![any::<u128>(), 0u128..2_000], 0..50),
        ) {
            let mut index = Index::default();
            let mut offset = 24;
            // Every third is deleted.
            for (at, id) in ids.iter().enumerate() {
                let (place, len) = if at % 3 == 2 { (at as u64, 0) } else { (offset, 7 + at as u32) };
                index.push(metric_from(id.to_be_bytes()), place, len);
                offset += u64::from(len);
            }
            let (live, deleted) = index.counts();
            prop_assert_eq!(deleted, ids.len() / 3);
            let (read, broken) = Index::read(&index.to_bytes(), (live as u32, deleted as u32), 0);
            prop_assert!(broken.is_empty());
            prop_assert!(read.places().eq(index.places()));
            let (mut shared, mut other) = (Index::default(), Index::default());
            for id in &ids {
                shared.push(metric_from(id.to_be_bytes()), 1, 1);
                other.push(metric_from((id ^ 1).to_be_bytes()), 1, 1);
            }
            prop_assert!(shared.share(&read) && Arc::ptr_eq(&shared.ids, &read.ids));
            prop_assert!(ids.is_empty() || !other.share(&read));
            prop_assert!(shared.places().all(|place| (place.offset, place.len) == (1, 1)));
            for id in &ids {
                let id = metric_from(id.to_be_bytes());
                prop_assert_eq!(read.find(id).map(|place| place.metric), Some(id));
            }
            for other in others {
                let found = index.find(metric_from(other.to_be_bytes()));
                prop_assert_eq!(found.is_some(), ids.contains(&other));
            }
        }

        #[test]
        fn a_flipped_bit_costs_its_page_and_nothing_else(at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut index = Index::default();
            for id in 0..1_000u128 {
                let len = if id < 800 { 7 } else { 0 };
                index.push(metric_from((id << 90).to_be_bytes()), 5 + id as u64 * 7, len);
            }
            let mut bytes = index.to_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let (index, broken) = Index::read(&bytes, (800, 200), 0);
            prop_assert_eq!(broken.len(), 1);
            prop_assert!([PAGE, 200 % PAGE].contains(&(1_000 - index.len())), "{}", index.len());
        }
    }
}
