//! `rate_of_change`: how fast a meter grows, a second, between a sample and its predecessor.

use nephos_config::pipeline::{ConversionSpec, Late};
use nephos_model::{Sample, SampleKind, Timestamp, Volume};

use super::conversion::Conversion;
use super::history::{Entry, History, Place};
use super::{DropReason, Grouping, Output, Refusal, Transformer};

/// Gives each sample's rate against its predecessor in time.
///
/// With `late = "emit"` a sample that comes late gives its rate against its true predecessor, and the rates of those
/// after it in the history are given again: its successor's changed, and the others may have been given by somebody
/// who did not know all of them. With `late = "drop"` it is the original's: a sample older than the last one is dropped.
#[derive(Debug)]
pub struct RateOfChange {
    conversion: Conversion,
}

impl RateOfChange {
    /// With these parameters; `source_unit` means nothing here.
    pub fn new(spec: ConversionSpec) -> Self {
        Self { conversion: Conversion::new(spec) }
    }

    /// Puts all of `input` where it belongs, then gives the rates from the first place touched on.
    fn emit_late(&self, history: &mut History, input: Vec<Sample>, output: &mut Output) {
        let mut first = usize::MAX;
        for sample in input {
            let entry = history.entry(sample);
            match history.place(&entry) {
                Place::Forgotten => output.drops.push(DropReason::Late),
                Place::At(at) => {
                    history.replace(at, entry);
                    first = first.min(at);
                }
                Place::Before(at) => {
                    history.insert(at, entry);
                    first = first.min(at);
                }
            }
        }
        let entries = history.entries();
        if first == 0 && !history.is_trimmed() {
            output
                .drops
                .extend(entries.first().filter(|entry| entry.is_fresh()).map(|_| DropReason::NoPredecessor));
        }
        for pair in entries.get(first.saturating_sub(1)..).unwrap_or_default().windows(2) {
            if let [earlier, later] = pair {
                let by_clock = later.seconds_by_clock(earlier).filter(|seconds| *seconds >= 0.0);
                let seconds = by_clock.unwrap_or_else(|| later.seconds_by_timestamp(earlier));
                self.rate(earlier, later, seconds, output);
            }
        }
    }

    /// Compares each sample with the last that was not dropped. A sample seen before gives what it gave then.
    fn drop_late(&self, history: &mut History, input: Vec<Sample>, output: &mut Output) {
        for sample in input {
            let entry = history.entry(sample);
            let seen = history.find(&entry);
            let earlier = match seen {
                Some(at) => at.checked_sub(1).and_then(|before| history.entries().get(before)),
                None => history.entries().last(),
            };
            let Some(earlier) = earlier else {
                output.drops.push(DropReason::NoPredecessor);
                if seen.is_none() {
                    history.insert(0, entry);
                }
                continue;
            };
            let seconds =
                entry.seconds_by_clock(earlier).unwrap_or_else(|| entry.seconds_by_timestamp(earlier));
            let in_order = self.rate(earlier, &entry, seconds, output);
            if in_order && seen.is_none() {
                history.insert(usize::MAX, entry);
            }
        }
    }

    /// Gives the rate of `later`; nothing, and `false`, if it is not later.
    fn rate(&self, earlier: &Entry, later: &Entry, seconds: f64, output: &mut Output) -> bool {
        let in_order = seconds >= 0.0;
        match later.sample().filter(|_| in_order) {
            Some(sample) => output.emit(self.derive(&sample, growth(earlier, later), seconds)),
            None => output.drops.push(DropReason::Late),
        }
        in_order
    }

    fn derive(&self, sample: &Sample, growth: f64, seconds: f64) -> Result<Sample, Refusal> {
        let rate = if seconds == 0.0 { 0.0 } else { growth / seconds };
        let scale = self.conversion.scale(sample)?.unwrap_or(1.0);
        self.conversion.derive(sample, Volume::Float(scale * rate))
    }
}

/// How much the meter grew. One that only counts up and is lower than before started again at zero, so its value is
/// the least that it grew by.
fn growth(earlier: &Entry, later: &Entry) -> f64 {
    let difference = difference(later.volume, earlier.volume);
    if difference < 0.0 && later.kind() == SampleKind::Cumulative {
        later.volume.as_f64()
    } else {
        difference
    }
}

/// Exact for whole numbers, also where floats would lose their last digits.
#[allow(clippy::cast_precision_loss)]
fn difference(later: Volume, earlier: Volume) -> f64 {
    let whole = |volume| match volume {
        Volume::Int(value) => Some(i128::from(value)),
        Volume::Uint(value) => Some(i128::from(value)),
        Volume::Float(_) => None,
    };
    match (whole(later), whole(earlier)) {
        (Some(later), Some(earlier)) => (later - earlier) as f64,
        _ => later.as_f64() - earlier.as_f64(),
    }
}

impl Transformer for RateOfChange {
    fn grouping(&self) -> Grouping {
        Grouping::MeterAndResource
    }

    fn step(&self, state: &mut Vec<u8>, _now: Timestamp, input: Vec<Sample>, output: &mut Output) {
        let mut history = History::decode(state).unwrap_or_else(|| {
            output.unreadable_states += 1;
            History::default()
        });
        match self.conversion.spec.late {
            Late::Emit => self.emit_late(&mut history, input, output),
            Late::Drop => self.drop_late(&mut history, input, output),
        }
        history.trim();
        history.encode(state);
    }
}
