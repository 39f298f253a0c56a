//! The last samples of one series, in order, as they are kept in the state store.
//!
//! Samples are kept whole, so that the output of one can be given again when a predecessor turns up late. What hardly
//! changes between samples of a series (names, owners, metadata) is a *context* that they share.
//!
//! Format 1: `'H'`, `1`, flags (bit 0: elder samples were cut off); the number of contexts, then for each its kind,
//! its clock's origin and its body as bytes; the number of samples, then for each timestamp, volume, id, monotonic time
//! and the index of its context. A format once released is read for ever: `testdata/history/`.

use std::borrow::Cow;
use std::sync::Arc;

use nephos_model::{Metadata, Sample, SampleKind, Timestamp, Volume};
use uuid::Uuid;

use super::codec::{Reader, push_bytes, push_length, push_optional};

/// Most samples that are kept.
const MAX_SAMPLES: usize = 8;
/// Samples older than the newest by more than this are not kept, save the newest's predecessor.
const MAX_AGE_NANOS: i64 = 3_600_000_000_000;

const MAGIC: u8 = b'H';
const FORMAT: u8 = 1;
const TRIMMED: u8 = 1;

/// The last samples of one series.
#[derive(Debug, Default)]
pub(super) struct History {
    entries: Vec<Entry>,
    trimmed: bool,
}

/// One sample of a history.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) timestamp: Timestamp,
    pub(super) volume: Volume,
    pub(super) monotonic: Option<f64>,
    id: Uuid,
    context: Arc<Context>,
    /// The sample itself, if it was put in just now.
    fresh: Option<Sample>,
}

#[derive(Debug, PartialEq, Eq)]
struct Context {
    kind: SampleKind,
    /// Which clock monotonic times are of.
    origin: Option<String>,
    /// What else a sample has, encoded: it is rarely needed.
    body: Vec<u8>,
}

/// Where a sample belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Before the entry of this index, which may be the end.
    Before(usize),
    /// Where this entry stands: it has the same timestamp.
    At(usize),
    /// Before everything known, though there was more once: its neighbours are forgotten.
    Forgotten,
}

impl Entry {
    /// Whether this was put in by the current step.
    pub(super) fn is_fresh(&self) -> bool {
        self.fresh.is_some()
    }

    pub(super) fn kind(&self) -> SampleKind {
        self.context.kind
    }

    /// Seconds since `earlier` by a clock that both samples know: the same one, or the only one of a sender that does
    /// not say.
    pub(super) fn seconds_by_clock(&self, earlier: &Self) -> Option<f64> {
        let same_clock = self.context.origin == earlier.context.origin;
        Some(self.monotonic? - earlier.monotonic?).filter(|_| same_clock)
    }

    /// Seconds since `earlier` by the wall clock.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn seconds_by_timestamp(&self, earlier: &Self) -> f64 {
        self.timestamp.nanos_since(earlier.timestamp) as f64 / 1e9
    }

    /// The sample as it came in; `None` if its stored form is damaged.
    pub(super) fn sample(&self) -> Option<Cow<'_, Sample>> {
        match &self.fresh {
            Some(sample) => Some(Cow::Borrowed(sample)),
            None => self.restore().map(Cow::Owned),
        }
    }

    fn restore(&self) -> Option<Sample> {
        let mut body = Reader::new(&self.context.body);
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Some(Sample {
            id: self.id,
            name: body.text()?.to_owned(),
            kind: self.context.kind,
            unit: body.text()?.to_owned(),
            volume: self.volume,
            resource_id: body.text()?.to_owned(),
            source: Arc::from(body.text()?),
            user_id: owned(body.optional()?),
            user_name: owned(body.optional()?),
            project_id: owned(body.optional()?),
            project_name: owned(body.optional()?),
            metadata: Arc::new(serde_json::from_slice::<Metadata>(body.bytes()?).ok()?),
            timestamp: self.timestamp,
            monotonic_time: self.monotonic,
        })
    }

    /// Whether this sample was taken before `other`.
    ///
    /// The timestamps say so, unless a clock that cannot run backwards (of one boot of one host) says otherwise and
    /// the counter agrees with it: then the wall clock was set back in between.
    fn precedes(&self, other: &Self) -> bool {
        let by_timestamp = self.timestamp < other.timestamp;
        let counts = self.kind() == SampleKind::Cumulative && other.kind() == SampleKind::Cumulative;
        if counts && self.context.origin.is_some() {
            let by_clock = other.seconds_by_clock(self).unwrap_or(0.0);
            let grown = other.volume.as_f64() - self.volume.as_f64();
            if (by_clock > 0.0 && grown >= 0.0) || (by_clock < 0.0 && grown <= 0.0) {
                return by_clock > 0.0;
            }
        }
        by_timestamp
    }
}

impl Context {
    fn of(sample: &Sample) -> Self {
        let mut body = Vec::with_capacity(512);
        push_bytes(&mut body, sample.name.as_bytes());
        push_bytes(&mut body, sample.unit.as_bytes());
        push_bytes(&mut body, sample.resource_id.as_bytes());
        push_bytes(&mut body, sample.source.as_bytes());
        push_optional(&mut body, sample.user_id.as_deref());
        push_optional(&mut body, sample.user_name.as_deref());
        push_optional(&mut body, sample.project_id.as_deref());
        push_optional(&mut body, sample.project_name.as_deref());
        // A map of JSON values always has a text.
        push_bytes(&mut body, &serde_json::to_vec(&*sample.metadata).unwrap_or_default());
        let origin = sample.metadata_str(Sample::MONOTONIC_ORIGIN).map(str::to_owned);
        Self { kind: sample.kind, origin, body }
    }
}

impl History {
    /// What `encode` wrote; empty for no bytes; `None` for anything else.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let mut reader = Reader::new(bytes);
        if reader.array()? != [MAGIC, FORMAT] {
            return None;
        }
        let trimmed = reader.byte()? & TRIMMED != 0;
        let mut contexts = Vec::new();
        for _ in 0..reader.length()? {
            contexts.push(Arc::new(Context {
                kind: decode_kind(reader.byte()?)?,
                origin: reader.optional()?.map(str::to_owned),
                body: reader.bytes()?.to_vec(),
            }));
        }
        let mut entries = Vec::new();
        for _ in 0..reader.length()? {
            entries.push(Entry {
                timestamp: Timestamp::from_nanos(i64::from_le_bytes(reader.array()?)),
                volume: decode_volume(&mut reader)?,
                id: Uuid::from_bytes(reader.array()?),
                monotonic: match reader.byte()? {
                    0 => None,
                    _ => Some(f64::from_le_bytes(reader.array()?)),
                },
                context: Arc::clone(contexts.get(reader.length()?)?),
                fresh: None,
            });
        }
        reader.is_empty().then_some(Self { entries, trimmed })
    }

    /// Replaces `out` by the stored form.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut contexts: Vec<&Arc<Context>> = Vec::new();
        let indexes: Vec<usize> = self
            .entries
            .iter()
            .map(|entry| {
                let known = contexts
                    .iter()
                    .position(|context| Arc::ptr_eq(context, &entry.context) || **context == entry.context);
                known.unwrap_or_else(|| {
                    contexts.push(&entry.context);
                    contexts.len() - 1
                })
            })
            .collect();
        out.clear();
        out.extend([MAGIC, FORMAT, if self.trimmed { TRIMMED } else { 0 }]);
        push_length(out, contexts.len());
        for context in contexts {
            out.push(encode_kind(context.kind));
            push_optional(out, context.origin.as_deref());
            push_bytes(out, &context.body);
        }
        push_length(out, self.entries.len());
        for (entry, context) in self.entries.iter().zip(indexes) {
            out.extend(entry.timestamp.as_nanos().to_le_bytes());
            encode_volume(out, entry.volume);
            out.extend(entry.id.as_bytes());
            match entry.monotonic {
                Some(seconds) => {
                    out.push(1);
                    out.extend(seconds.to_le_bytes());
                }
                None => out.push(0),
            }
            push_length(out, context);
        }
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether elder samples were cut off.
    pub(super) fn is_trimmed(&self) -> bool {
        self.trimmed
    }

    /// An entry for `sample`, to be put in.
    pub(super) fn entry(&self, sample: Sample) -> Entry {
        let context = Context::of(&sample);
        // Successive samples of a series mostly share theirs.
        let shared = self.entries.last().map(|last| &last.context).filter(|last| ***last == context);
        Entry {
            timestamp: sample.timestamp,
            volume: sample.volume,
            monotonic: sample.monotonic_time,
            id: sample.id,
            context: shared.map_or_else(|| Arc::new(context), Arc::clone),
            fresh: Some(sample),
        }
    }

    /// Where `entry` belongs.
    pub(super) fn place(&self, entry: &Entry) -> Place {
        let mut at = self.entries.len();
        for known in self.entries.iter().rev() {
            if known.timestamp == entry.timestamp {
                return Place::At(at - 1);
            }
            if !entry.precedes(known) {
                return Place::Before(at);
            }
            at -= 1;
        }
        if self.trimmed { Place::Forgotten } else { Place::Before(0) }
    }

    /// The entry of the very same reading.
    pub(super) fn find(&self, entry: &Entry) -> Option<usize> {
        self.entries.iter().position(|known| {
            known.timestamp == entry.timestamp
                && known.volume == entry.volume
                && known.monotonic == entry.monotonic
        })
    }

    /// Puts `entry` in before the one at `index`; at the end if there is none.
    pub(super) fn insert(&mut self, index: usize, entry: Entry) {
        self.entries.insert(index.min(self.entries.len()), entry);
    }

    /// Puts `entry` in the place of the one at `index`.
    pub(super) fn replace(&mut self, index: usize, entry: Entry) {
        if let Some(known) = self.entries.get_mut(index) {
            *known = entry;
        }
    }

    /// Cuts off what is too old or too much.
    pub(super) fn trim(&mut self) {
        let length = self.entries.len();
        let Some(newest) = self.entries.last().map(|entry| entry.timestamp) else { return };
        let old = |entry: &&Entry| newest.nanos_since(entry.timestamp) > MAX_AGE_NANOS;
        let aged = self.entries.iter().take(length.saturating_sub(2)).take_while(old).count();
        let cut = aged.max(length.saturating_sub(MAX_SAMPLES));
        self.trimmed |= cut > 0;
        self.entries.drain(..cut);
    }
}

fn encode_kind(kind: SampleKind) -> u8 {
    match kind {
        SampleKind::Gauge => 0,
        SampleKind::Delta => 1,
        SampleKind::Cumulative => 2,
    }
}

fn decode_kind(byte: u8) -> Option<SampleKind> {
    [SampleKind::Gauge, SampleKind::Delta, SampleKind::Cumulative].get(usize::from(byte)).copied()
}

fn encode_volume(out: &mut Vec<u8>, volume: Volume) {
    let (tag, bytes) = match volume {
        Volume::Int(value) => (0, value.to_le_bytes()),
        Volume::Uint(value) => (1, value.to_le_bytes()),
        Volume::Float(value) => (2, value.to_le_bytes()),
    };
    out.push(tag);
    out.extend(bytes);
}

fn decode_volume(reader: &mut Reader<'_>) -> Option<Volume> {
    let tag = reader.byte()?;
    let bytes = reader.array()?;
    match tag {
        0 => Some(Volume::Int(i64::from_le_bytes(bytes))),
        1 => Some(Volume::Uint(u64::from_le_bytes(bytes))),
        2 => Some(Volume::Float(f64::from_le_bytes(bytes))),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
