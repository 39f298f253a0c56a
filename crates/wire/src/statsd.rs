//! StatsD: lines of datagrams, and what they amount to between two flushes.
//!
//! `<name>:<value>|<type>[|@<rate>]`, one a line. Counters (`c`) are summed up, each value divided by its rate; of gauges
//! (`g`) and timers (`ms`) the last value counts; a gauge with a sign is changed by that much; sets (`s`) count different
//! values. A line gives the metric `<name>|<type>`.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use nephos_model::Timestamp;

use crate::gather::{MAX_METRIC_NAME, without_slash};

/// Different values of all sets between two flushes, for each metric that is kept.
const SET_VALUES: usize = 64;

/// What a line tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event<'a> {
    /// Of what.
    pub name: &'a str,
    /// What.
    pub what: What<'a>,
}

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What<'a> {
    /// It happened so many times, the rate already reckoned in.
    Count(f64),
    /// It is so much.
    Gauge(f64),
    /// It is so much more.
    GaugeChange(f64),
    /// It took so long, in milliseconds.
    Timer(f64),
    /// This was seen.
    Seen(&'a str),
}

impl What<'_> {
    /// What stands for it in lines and names of metrics.
    pub const fn suffix(&self) -> &'static str {
        match self {
            Self::Count(_) => "c",
            Self::Gauge(_) | Self::GaugeChange(_) => "g",
            Self::Timer(_) => "ms",
            Self::Seen(_) => "s",
        }
    }
}

/// Why a line tells nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatsdFault {
    /// A line is text.
    #[error("it is no UTF-8, or has the character U+0000")]
    NoText,
    /// It does not have its shape.
    #[error("expected <name>:<value>|<type>[|@<rate>]")]
    Shape,
    /// Not a number.
    #[error("the value is no number")]
    Value,
    /// There is no such type.
    #[error("the type is none of c, g, ms and s")]
    Type,
    /// Only counters can be sampled, at a rate above 0 and up to 1.
    #[error("the sample rate is not between 0 and 1, or not of a counter")]
    Rate,
    /// The name is too long.
    #[error("the name is longer than {MAX_METRIC_NAME} bytes")]
    LongName,
}

/// Reads one line.
pub fn parse(line: &[u8]) -> Result<Event<'_>, StatsdFault> {
    let line = std::str::from_utf8(line).ok().filter(|line| !line.contains('\0'));
    let line = line.ok_or(StatsdFault::NoText)?;
    let mut parts = line.split('|');
    let (head, kind) = (parts.next().unwrap_or_default(), parts.next().ok_or(StatsdFault::Shape)?);
    let rate = parts.next();
    if parts.next().is_some() {
        return Err(StatsdFault::Shape);
    }
    let (name, value) = head.split_once(':').ok_or(StatsdFault::Shape)?;
    if name.is_empty() || value.contains(':') {
        return Err(StatsdFault::Shape);
    }
    if name.len() > MAX_METRIC_NAME {
        return Err(StatsdFault::LongName);
    }
    let what = match kind {
        "c" => What::Count(number(value)? / rate.map_or(Ok(1.0), sample_rate)?),
        "g" | "ms" | "s" if rate.is_some() => return Err(StatsdFault::Rate),
        "g" if value.starts_with(['+', '-']) => What::GaugeChange(number(value)?),
        "g" => What::Gauge(number(value)?),
        "ms" => What::Timer(number(value)?),
        "s" => What::Seen(value),
        _ => return Err(StatsdFault::Type),
    };
    Ok(Event { name, what })
}

fn number(text: &str) -> Result<f64, StatsdFault> {
    text.parse().ok().filter(|value: &f64| value.is_finite()).ok_or(StatsdFault::Value)
}

fn sample_rate(text: &str) -> Result<f64, StatsdFault> {
    let rate = text.strip_prefix('@').and_then(|text| text.parse().ok());
    rate.filter(|rate: &f64| *rate > 0.0 && *rate <= 1.0).ok_or(StatsdFault::Rate)
}

/// One metric between two flushes.
#[derive(Clone, Copy, Debug)]
struct Slot {
    value: f64,
    /// When it was touched last, if it was since the last flush.
    touched: Option<Timestamp>,
}

/// A value that is due.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// Name of the metric.
    pub metric: String,
    /// When it was told last.
    pub timestamp: Timestamp,
    /// The value.
    pub value: f64,
}

/// What became of a datagram's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Lines that were understood and taken.
    pub taken: u64,
    /// Lines that were not understood.
    pub faulty: u64,
    /// Lines for which there was no room.
    pub dropped: u64,
    /// Why the first faulty line is.
    pub first: Option<StatsdFault>,
}

/// What came since the last flush.
#[derive(Debug)]
pub struct Aggregator {
    slots: HashMap<String, Slot>,
    /// Digests of what was seen, by set.
    seen: HashSet<(u64, u64)>,
    hasher: RandomState,
    most: usize,
    /// Whether gauges at rest were already forgotten for want of room since the last flush.
    is_swept: bool,
    key: String,
}

impl Aggregator {
    /// Nothing yet; at most `most` metrics are kept.
    pub fn new(most: usize) -> Self {
        Self {
            slots: HashMap::new(),
            seen: HashSet::new(),
            hasher: RandomState::new(),
            most,
            is_swept: false,
            key: String::new(),
        }
    }

    /// Takes a datagram: lines, empty ones passed over.
    pub fn take(&mut self, datagram: &[u8], now: Timestamp) -> Tally {
        let mut tally = Tally::default();
        for line in datagram.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end) {
            if line.is_empty() {
                continue;
            }
            match parse(line) {
                Ok(event) if self.add(&event, now) => tally.taken += 1,
                Ok(_) => tally.dropped += 1,
                Err(fault) => {
                    tally.faulty += 1;
                    tally.first.get_or_insert(fault);
                }
            }
        }
        tally
    }

    /// Whether there was room for it.
    fn add(&mut self, event: &Event<'_>, now: Timestamp) -> bool {
        self.key.clear();
        self.key.extend([&without_slash(event.name), "|", event.what.suffix()]);
        if !self.slots.contains_key(&self.key) {
            if self.slots.len() >= self.most && !self.is_swept {
                self.is_swept = true;
                self.slots.retain(|_, slot| slot.touched.is_some());
            }
            if self.slots.len() >= self.most {
                return false;
            }
            self.slots.insert(self.key.clone(), Slot { value: 0.0, touched: None });
        }
        let Some(slot) = self.slots.get_mut(&self.key) else { return false };
        match event.what {
            What::Count(count) => slot.value += count,
            What::GaugeChange(change) => slot.value += change,
            What::Gauge(value) | What::Timer(value) => slot.value = value,
            What::Seen(value) => {
                let seen = (self.hasher.hash_one(&self.key), self.hasher.hash_one(value));
                if !self.seen.contains(&seen) {
                    if self.seen.len() >= self.most.saturating_mul(SET_VALUES) {
                        return false;
                    }
                    self.seen.insert(seen);
                    slot.value += 1.0;
                }
            }
        }
        slot.touched = Some(now);
        true
    }

    /// What is due now. Gauges stay known, for changes of them, as long as there is room; the rest is forgotten.
    pub fn flush(&mut self) -> Vec<Due> {
        self.seen.clear();
        self.is_swept = false;
        let mut due = Vec::new();
        self.slots.retain(|metric, slot| {
            if let Some(timestamp) = slot.touched.take() {
                due.push(Due { metric: metric.clone(), timestamp, value: slot.value });
            }
            metric.ends_with("|g")
        });
        due
    }
}

#[cfg(test)]
mod tests;
