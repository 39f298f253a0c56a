//! Prometheus remote write, versions 1.0 and 2.0: a Snappy block of a protobuf message, read in one pass over borrowed
//! bytes.
//!
//! A series becomes a metric named by its label `__name__`. What it is a metric *of* is a question of [`Mapping`].
//! Series that cannot be taken are told and left out; the others are taken.

mod protobuf;
mod series;

pub use protobuf::ProtobufFault;
pub use series::SeriesFault;

use protobuf::{Fields, Value};
use series::Series;

use crate::gather::{Full, Gathered, Gatherer};

/// Symbols of one message, at most.
const MAX_SYMBOLS: usize = 1 << 20;

/// A block of Snappy is never this many times smaller than what it holds: a copy of 64 bytes takes three.
const MAX_RATIO: usize = 32;

/// Which message a body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `prometheus.WriteRequest`.
    One,
    /// `io.prometheus.write.v2.Request`.
    Two,
}

/// Which resource a series belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// `<job>@<instance>`, as Gnocchi has it: further labels are not looked at, so series that differ by them only are one
    /// metric.
    Target,
    /// One for each set of labels, with the labels as its attributes: `<job>@<instance>{<label>="<value>",…}`, or
    /// `<job>@<instance>` for series without further labels.
    Labels,
}

/// Why a body is no message that can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrometheusFault {
    /// It is no Snappy block.
    #[error("the body is no block of Snappy")]
    Snappy,
    /// The message is larger than it may be.
    #[error("the message is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The message does not have its shape.
    #[error("the message cannot be read: {0}")]
    Protobuf(#[from] ProtobufFault),
    /// The message brings too much.
    #[error(transparent)]
    Full(#[from] Full),
    /// A table of symbols beyond all measure.
    #[error("the message has more than {MAX_SYMBOLS} symbols")]
    Symbols,
}

/// What a message brought.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// What can be taken.
    pub gathered: Gathered,
    /// Samples that only mark the end of a series: they are understood, and nothing is kept of them.
    pub stale: u64,
    /// Exemplars, of which nothing is kept.
    pub exemplars: u64,
    /// What could not be taken.
    pub refused: Refused,
}

/// What of a message could not be taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Refused {
    /// Samples.
    pub samples: u64,
    /// Native histograms.
    pub histograms: u64,
    /// The first of them: place of its series in the message, from 1, and why.
    pub first: Option<(usize, SeriesFault)>,
}

impl Refused {
    fn note(&mut self, series: usize, fault: SeriesFault) {
        self.first.get_or_insert((series, fault));
    }
}

/// What is in a Snappy block, if that is at most `limit` bytes.
pub fn decompress(block: &[u8], limit: usize) -> Result<Vec<u8>, PrometheusFault> {
    let length = snap::raw::decompress_len(block).map_err(|_| PrometheusFault::Snappy)?;
    if length > limit {
        return Err(PrometheusFault::TooLarge { limit });
    }
    if length > block.len().saturating_mul(MAX_RATIO) {
        return Err(PrometheusFault::Snappy);
    }
    snap::raw::Decoder::new().decompress_vec(block).map_err(|_| PrometheusFault::Snappy)
}

/// Reads a message; what it brings may take about `room` bytes.
pub fn read(
    message: &[u8],
    version: Version,
    mapping: Mapping,
    room: usize,
) -> Result<Written, PrometheusFault> {
    let symbols = match version {
        Version::One => Vec::new(),
        Version::Two => symbols(message)?,
    };
    let mut reading = Reading {
        series: Series::new(mapping),
        gatherer: Gatherer::new(room),
        written: Written::default(),
        number: 0,
    };
    let mut fields = Fields::of(message);
    while let Some(field) = fields.next()? {
        match (version, field) {
            (Version::One, (1, Value::Bytes(bytes))) => {
                reading.series.read_one(bytes)?;
                reading.take()?;
            }
            (Version::Two, (5, Value::Bytes(bytes))) => {
                reading.series.read_two(bytes, &symbols)?;
                reading.take()?;
            }
            (Version::One, (number @ 1, _)) | (Version::Two, (number @ 5, _)) => {
                return Err(ProtobufFault::OtherKind(number).into());
            }
            _ => {}
        }
    }
    Ok(Written { gathered: reading.gatherer.finish(), ..reading.written })
}

/// The texts that a message of version 2.0 refers to by number.
fn symbols(message: &[u8]) -> Result<Vec<&[u8]>, PrometheusFault> {
    let mut symbols = Vec::new();
    let mut fields = Fields::of(message);
    while let Some(field) = fields.next()? {
        match field {
            (4, Value::Bytes(text)) if symbols.len() < MAX_SYMBOLS => symbols.push(text),
            (4, Value::Bytes(_)) => return Err(PrometheusFault::Symbols),
            (4, _) => return Err(ProtobufFault::OtherKind(4).into()),
            _ => {}
        }
    }
    Ok(symbols)
}

/// A message while it is read.
struct Reading<'a> {
    series: Series<'a>,
    gatherer: Gatherer,
    written: Written,
    number: usize,
}

impl Reading<'_> {
    /// Takes the series that was read last.
    fn take(&mut self) -> Result<(), Full> {
        self.number += 1;
        self.gatherer.spend(self.series.text)?;
        let Written { stale, exemplars, refused, .. } = &mut self.written;
        *exemplars += self.series.exemplars;
        refused.histograms += self.series.histograms;
        match self.series.give(&mut self.gatherer) {
            Ok(given) => {
                *stale += given.stale;
                refused.samples += given.refused;
                if let Some(fault) = given.fault {
                    refused.note(self.number, fault);
                }
            }
            Err(series::Stop::Series(fault)) => {
                refused.samples += self.series.sample_count();
                refused.note(self.number, fault);
            }
            Err(series::Stop::Full(full)) => return Err(full),
        }
        if self.series.histograms > 0 {
            refused.note(self.number, SeriesFault::Histogram);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
