//! One series of a message: its labels, its samples, and where they belong.

use std::fmt::Write;

use nephos_model::Timestamp;

use super::Mapping;
use super::protobuf::{Fields, ProtobufFault, Value, number};
use crate::gather::{Full, Gatherer, MAX_METRIC_NAME, id_text, without_slash};

/// The value by which a series says that it ended: a NaN that no computation gives.
const STALE: u64 = 0x7ff0_0000_0000_0002;

/// What stands for a label that a series lacks.
const NONE: &str = "none";

/// Labels of one series, at most.
const MAX_LABELS: usize = 1_024;

/// Bytes of all labels of one series, at most: a table of symbols lets a few bytes stand for very much.
const MAX_TEXT: usize = 1 << 20;

/// Longest unit that a metric can have, in characters.
const MAX_UNIT: usize = 31;

/// Why a series, or a sample of it, cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeriesFault {
    /// Without a name there is no metric.
    #[error("the label __name__ is missing")]
    NoName,
    /// A longer one than a metric can have.
    #[error("the label __name__ is longer than {MAX_METRIC_NAME} bytes")]
    LongName,
    /// Labels are text.
    #[error("a label is no UTF-8, or has the character U+0000")]
    NoText,
    /// A name without a value, or a value without a name.
    #[error("its labels do not come in pairs")]
    Unpaired,
    /// A number beyond the table of symbols.
    #[error("there is no symbol {0}")]
    NoSymbol(u64),
    /// More labels than any real series has.
    #[error("it has more than {MAX_LABELS} labels, or more than {MAX_TEXT} bytes of them")]
    ManyLabels,
    /// Before 1970, or after 2262.
    #[error("the timestamp {0} ms is out of range")]
    Timestamp(i64),
    /// Only floats are kept.
    #[error("native histograms are not kept")]
    Histogram,
}

/// Why nothing was taken of a series.
#[derive(Debug)]
pub(super) enum Stop {
    /// The series is at fault.
    Series(SeriesFault),
    /// There is no room.
    Full(Full),
}

impl From<Full> for Stop {
    fn from(full: Full) -> Self {
        Self::Full(full)
    }
}

/// What became of a series' samples, besides those that were taken.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) stale: u64,
    pub(super) refused: u64,
    pub(super) fault: Option<SeriesFault>,
}

/// One series; its lists are used again for the next.
#[derive(Debug)]
pub(super) struct Series<'a> {
    mapping: Mapping,
    labels: Vec<(&'a str, &'a str)>,
    samples: Vec<(i64, f64)>,
    unit: Option<&'a str>,
    fault: Option<SeriesFault>,
    /// Bytes of the labels.
    pub(super) text: usize,
    pub(super) histograms: u64,
    pub(super) exemplars: u64,
    id: String,
}

impl<'a> Series<'a> {
    pub(super) fn new(mapping: Mapping) -> Self {
        Self {
            mapping,
            labels: Vec::new(),
            samples: Vec::new(),
            unit: None,
            fault: None,
            text: 0,
            histograms: 0,
            exemplars: 0,
            id: String::new(),
        }
    }

    fn clear(&mut self) {
        self.labels.clear();
        self.samples.clear();
        (self.unit, self.fault) = (None, None);
        (self.text, self.histograms, self.exemplars) = (0, 0, 0);
    }

    pub(super) fn sample_count(&self) -> u64 {
        self.samples.len() as u64
    }

    /// Reads a series of version 1.0.
    pub(super) fn read_one(&mut self, message: &'a [u8]) -> Result<(), ProtobufFault> {
        self.clear();
        let mut fields = Fields::of(message);
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Bytes(label)) => {
                    let (name, value) = texts(label)?;
                    self.label(name, value);
                }
                (2, Value::Bytes(sample)) => self.sample(sample)?,
                (3, _) => self.exemplars += 1,
                (4, _) => self.histograms += 1,
                (number @ (1 | 2), _) => return Err(ProtobufFault::OtherKind(number)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads a series of version 2.0, whose texts are in a table.
    pub(super) fn read_two(&mut self, message: &'a [u8], symbols: &[&'a [u8]]) -> Result<(), ProtobufFault> {
        self.clear();
        let mut name = None;
        let mut fields = Fields::of(message);
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Bytes(mut packed)) => {
                    while !packed.is_empty() {
                        let reference = number(&mut packed)?;
                        self.reference(reference, symbols, &mut name);
                    }
                }
                (1, Value::Number(reference)) => self.reference(reference, symbols, &mut name),
                (2, Value::Bytes(sample)) => self.sample(sample)?,
                (3, _) => self.histograms += 1,
                (4, _) => self.exemplars += 1,
                (5, Value::Bytes(metadata)) => self.unit = unit(metadata, symbols)?,
                (number @ (1 | 2 | 5), _) => return Err(ProtobufFault::OtherKind(number)),
                _ => {}
            }
        }
        if name.is_some() {
            self.fault.get_or_insert(SeriesFault::Unpaired);
        }
        Ok(())
    }

    /// Names and values come in turn.
    fn reference(&mut self, reference: u64, symbols: &[&'a [u8]], name: &mut Option<&'a [u8]>) {
        let symbol = usize::try_from(reference).ok().and_then(|place| symbols.get(place).copied());
        let Some(symbol) = symbol else {
            self.fault.get_or_insert(SeriesFault::NoSymbol(reference));
            return;
        };
        match name.take() {
            None => *name = Some(symbol),
            Some(name) => self.label(name, symbol),
        }
    }

    fn label(&mut self, name: &'a [u8], value: &'a [u8]) {
        let text = self.text + name.len() + value.len();
        if text > MAX_TEXT || self.labels.len() == MAX_LABELS {
            self.fault.get_or_insert(SeriesFault::ManyLabels);
            return;
        }
        self.text = text;
        match (std::str::from_utf8(name), std::str::from_utf8(value)) {
            // A label without value is the same as none.
            (Ok(_), Ok("")) => {}
            (Ok(name), Ok(value)) if !name.contains('\0') && !value.contains('\0') => {
                self.labels.push((name, value));
            }
            _ => {
                self.fault.get_or_insert(SeriesFault::NoText);
            }
        }
    }

    fn sample(&mut self, message: &[u8]) -> Result<(), ProtobufFault> {
        let (mut value, mut timestamp) = (0.0, 0);
        let mut fields = Fields::of(message);
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Fixed64(bytes)) => value = f64::from_le_bytes(bytes),
                (2, Value::Number(bits)) => timestamp = bits.cast_signed(),
                (number @ (1 | 2), _) => return Err(ProtobufFault::OtherKind(number)),
                _ => {}
            }
        }
        self.samples.push((timestamp, value));
        Ok(())
    }

    fn value_of(&self, name: &str) -> Option<&'a str> {
        self.labels.iter().find(|(own, _)| *own == name).map(|(_, value)| *value)
    }

    /// Hands the samples to where they belong.
    pub(super) fn give(&mut self, gatherer: &mut Gatherer) -> Result<Given, Stop> {
        if let Some(fault) = self.fault {
            return Err(Stop::Series(fault));
        }
        let mut given = Given::default();
        let Some(name) = self.value_of("__name__") else { return Err(Stop::Series(SeriesFault::NoName)) };
        if name.len() > MAX_METRIC_NAME {
            return Err(Stop::Series(SeriesFault::LongName));
        }
        let mut metric = None;
        for at in 0..self.samples.len() {
            let Some((millis, value)) = self.samples.get(at).copied() else { break };
            if value.to_bits() == STALE {
                given.stale += 1;
                continue;
            }
            let nanos = millis.checked_mul(1_000_000).filter(|nanos| *nanos >= 0);
            let Some(nanos) = nanos else {
                given.refused += 1;
                given.fault.get_or_insert(SeriesFault::Timestamp(millis));
                continue;
            };
            let metric = match metric {
                Some(metric) => metric,
                None => *metric.insert(self.metric(gatherer, name)?),
            };
            gatherer.push(metric, Timestamp::from_nanos(nanos), value)?;
        }
        Ok(given)
    }

    fn metric(&mut self, gatherer: &mut Gatherer, name: &str) -> Result<crate::gather::MetricNumber, Full> {
        let job = self.value_of("job").unwrap_or(NONE);
        let instance = self.value_of("instance").unwrap_or(NONE);
        self.id.clear();
        self.id.extend([job, "@", instance]);
        if self.mapping == Mapping::Labels {
            self.labels.retain(|(name, _)| !matches!(*name, "__name__" | "job" | "instance"));
            self.labels.sort_unstable();
            self.labels.dedup_by_key(|(name, _)| *name);
            write_labels(&mut self.id, &self.labels);
        }
        let labels: &[(&str, &str)] = match self.mapping {
            Mapping::Target => &[],
            Mapping::Labels => &self.labels,
        };
        let attributes = || {
            let own = [("job", job), ("instance", instance)];
            let all = own.iter().chain(labels);
            all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let resource = gatherer.resource(&id_text(&self.id), attributes)?;
        gatherer.metric(resource, &without_slash(name), self.unit)
    }
}

/// `{a="b",c="d"}`, as Prometheus writes labels; nothing if there are none.
fn write_labels(id: &mut String, labels: &[(&str, &str)]) {
    for (place, (name, value)) in labels.iter().enumerate() {
        id.push(if place == 0 { '{' } else { ',' });
        // Writing to a string cannot fail.
        let _written = write!(id, "{name}={value:?}");
    }
    if !labels.is_empty() {
        id.push('}');
    }
}

/// Name and value of a label of version 1.0.
fn texts(label: &[u8]) -> Result<(&[u8], &[u8]), ProtobufFault> {
    let (mut name, mut value): (&[u8], &[u8]) = (b"", b"");
    let mut fields = Fields::of(label);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(text)) => name = text,
            (2, Value::Bytes(text)) => value = text,
            (number @ (1 | 2), _) => return Err(ProtobufFault::OtherKind(number)),
            _ => {}
        }
    }
    Ok((name, value))
}

/// The unit that metadata of version 2.0 tell, unless no metric can have it.
fn unit<'a>(metadata: &[u8], symbols: &[&'a [u8]]) -> Result<Option<&'a str>, ProtobufFault> {
    let mut unit = None;
    let mut fields = Fields::of(metadata);
    while let Some(field) = fields.next()? {
        if let (4, Value::Number(reference)) = field {
            let symbol = usize::try_from(reference).ok().and_then(|place| symbols.get(place).copied());
            unit = symbol.and_then(|text| std::str::from_utf8(text).ok());
        }
    }
    Ok(unit.filter(|unit| !unit.is_empty() && unit.chars().count() <= MAX_UNIT))
}
