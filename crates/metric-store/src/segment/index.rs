//! The index of a segment: which metrics it has and where their blocks lie.

use nephos_model::MetricId;

use crate::bytes::{Malformed, Reader, metric_from};

/// Entries that share a checksum: what a flipped bit in the index costs.
const PAGE: usize = 32;
const ENTRY: usize = 28;
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
    ids: Vec<u128>,
    offsets: Vec<u64>,
    lens: Vec<u32>,
}

impl Index {
    pub(crate) const fn len(&self) -> usize {
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
        self.ids.push(metric.0.as_u128());
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

    /// As bytes.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.ids.len() * ENTRY + self.ids.len().div_ceil(PAGE) * 4);
        let entries = self.ids.iter().zip(&self.offsets).zip(&self.lens);
        let mut start = 0;
        for (at, ((id, offset), len)) in entries.enumerate() {
            bytes.extend_from_slice(&id.to_be_bytes());
            bytes.extend_from_slice(&offset.to_le_bytes());
            bytes.extend_from_slice(&len.to_le_bytes());
            if (at + 1).is_multiple_of(PAGE) || at + 1 == self.ids.len() {
                let crc = crc32fast::hash(bytes.get(start..).unwrap_or_default());
                bytes.extend_from_slice(&crc.to_le_bytes());
                start = bytes.len();
            }
        }
        bytes
    }

    /// From bytes that lie at `offset` of the file; also says which pages are damaged.
    pub(super) fn read(bytes: &[u8], entries: u64, offset: u64) -> (Self, Vec<String>) {
        let mut index = Self::default();
        let mut broken = Vec::new();
        let mut rest = Reader::new(bytes);
        let mut left = usize::try_from(entries).unwrap_or(usize::MAX);
        while left > 0 {
            let at = offset + (bytes.len() - rest.remaining()) as u64;
            let count = left.min(PAGE);
            let Ok(page) = rest.take(count * ENTRY + 4) else {
                broken.push(format!("index at byte {at}: cut short"));
                break;
            };
            if let Err(error) = index.read_page(page) {
                broken.push(format!("index page at byte {at}: {error}"));
            }
            left -= count;
        }
        if !index.ids.is_sorted_by(|before, after| before < after) {
            broken.push("its index is out of order".to_owned());
            index = Self::default();
        }
        (index, broken)
    }

    fn read_page(&mut self, page: &[u8]) -> Result<(), Malformed> {
        let (body, crc) = page.split_last_chunk::<4>().ok_or(Malformed("cut short"))?;
        if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
            return Err(Malformed("checksum"));
        }
        let mut reader = Reader::new(body);
        while reader.remaining() > 0 {
            self.ids.push(u128::from_be_bytes(reader.array()?));
            self.offsets.push(reader.u64()?);
            self.lens.push(reader.u32()?);
        }
        Ok(())
    }
}

#[cfg(test)]
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
            for (at, id) in ids.iter().enumerate() {
                index.push(metric_from(id.to_be_bytes()), at as u64 * 10, 7);
            }
            let (index, broken) = Index::read(&index.to_bytes(), ids.len() as u64, 0);
            prop_assert!(broken.is_empty());
            for (at, id) in ids.iter().enumerate() {
                let found = index.find(metric_from(id.to_be_bytes()));
                prop_assert_eq!(found.map(|place| place.offset), Some(at as u64 * 10));
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
                index.push(metric_from((id << 90).to_be_bytes()), 5, 7);
            }
            let mut bytes = index.to_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let (index, broken) = Index::read(&bytes, 1_000, 0);
            prop_assert_eq!(broken.len(), 1);
            prop_assert!(index.len() == 1_000 - PAGE || index.len() == 1_000 - 1_000 % PAGE, "{}", index.len());
        }
    }
}
