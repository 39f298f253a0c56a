//! Raw measures that a checkpoint wrote: they may still change, but few do. In memory they stay as the segment has them,
//! bit-packed, until something is to change one of them.

use nephos_model::{Measure, Timestamp};
use nephos_timeseries::{Chunk, Scratch};

use super::MetricState;
use crate::pack::Columns;

/// Fewer measures take less as they are. Tests have few.
const WORTH_PACKING: usize = if cfg!(test) { 2 } else { 8 };

/// The oldest raw measures of a metric.
#[derive(Clone, Debug, Default)]
pub(crate) struct Packed {
    /// Counts what changed the metric's measures otherwise than by newer ones.
    changes: u32,
    measures: u32,
    first: Timestamp,
    last: Timestamp,
    /// A chunk of raw measures; of none, nothing.
    bytes: Box<[u8]>,
}

impl Packed {
    /// The measures of a metric that a checkpoint left, of which this is the chunk; `None` if it does not pay.
    pub(crate) fn of(state: &MetricState, bytes: &[u8]) -> Option<Box<Self>> {
        let (first, last) = (state.raw.first()?.timestamp, state.raw.last()?.timestamp);
        let measures = u32::try_from(state.raw.len()).ok()?;
        let changes = state.changes();
        let bytes = Box::from(bytes);
        let worth = state.raw.len() >= WORTH_PACKING;
        worth.then(|| Box::new(Self { changes, measures, first, last, bytes }))
    }
}

impl Packed {
    /// How often the metric's measures had changed otherwise than by newer ones.
    pub(crate) const fn changes(&self) -> u32 {
        self.changes
    }
}

impl MetricState {
    /// Those of its measures that are packed, if any are.
    fn packed(&self) -> Option<&Packed> {
        self.aside.packed.as_deref().filter(|packed| packed.measures > 0)
    }

    /// Number of its raw measures.
    pub(crate) fn measures(&self) -> usize {
        self.raw.len() + self.packed().map_or(0, |packed| packed.measures as usize)
    }

    /// The time of the newest measure that is there.
    pub(crate) fn last_raw(&self) -> Timestamp {
        let packed = || self.packed().map_or(Timestamp::MIN, |packed| packed.last);
        self.raw.last().map_or_else(packed, |measure| measure.timestamp)
    }

    /// The time of the oldest one; the latest time if there is none.
    pub(super) fn first_raw(&self) -> Timestamp {
        let raw = || self.raw.first().map_or(Timestamp::MAX, |measure| measure.timestamp);
        self.packed().map_or_else(raw, |packed| packed.first)
    }

    /// Whether measures from some time on are packed.
    pub(crate) fn is_packed_from(&self, from: Timestamp) -> bool {
        self.packed().is_some_and(|packed| packed.last >= from)
    }

    /// Puts all its measures into columns.
    pub(crate) fn fill(&self, columns: &mut Columns, scratch: &mut Scratch) {
        columns.clear();
        if let Some(packed) = self.packed() {
            let Columns { timestamps, values } = &mut *columns;
            let all = Timestamp::MIN..Timestamp::MAX;
            let read = Chunk::parse(&packed.bytes)
                .and_then(|chunk| chunk.read_raw(all, scratch, timestamps, values));
            if let Err(error) = read {
                // Never written, never read: memory itself is at fault.
                tracing::error!(first = ?packed.first, error = %error, "measures in memory are damaged");
            }
        }
        columns.add(&self.raw);
    }

    /// Makes all its measures changeable.
    pub(crate) fn unpack(&mut self, scratch: &mut Scratch) {
        if self.packed().is_none() {
            return;
        }
        let mut columns = Columns::default();
        self.fill(&mut columns, scratch);
        let measures = columns.timestamps.iter().zip(&columns.values);
        self.raw.clear();
        self.raw.reserve_exact(columns.timestamps.len());
        self.raw.extend(measures.map(|(timestamp, value)| Measure::new(*timestamp, *value)));
        let changes = self.changes();
        self.aside.packed = (changes > 0).then(|| Box::new(Packed { changes, ..Packed::default() }));
    }

    /// How often its measures changed otherwise than by newer ones.
    pub(crate) fn changes(&self) -> u32 {
        self.aside.packed.as_ref().map_or(0, |packed| packed.changes)
    }

    /// Before its measures change otherwise than by newer ones, or what is kept of them.
    pub(super) fn disturb(&mut self) {
        self.unpack(&mut Scratch::default());
        let packed = self.aside.packed.get_or_insert_default();
        packed.changes = packed.changes.wrapping_add(1).max(1);
    }

    /// [`seal`](Self::seal) of a metric that only got newer measures since a checkpoint copied it: what was left of the
    /// copy stands for all up to the newest that it had.
    pub(crate) fn seal_packed(&mut self, sealed: Timestamp, newest: Timestamp, rest: Box<Packed>) -> usize {
        // Few came meanwhile: mostly none.
        let newer = self.raw.iter().rev().take_while(|measure| measure.timestamp > newest).count();
        let copied = self.raw.len() - newer;
        self.raw.drain(..copied);
        self.aside.packed = Some(rest);
        self.aside.sealed = sealed;
        self.forget_past();
        copied
    }
}
