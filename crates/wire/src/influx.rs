//! InfluxDB's line protocol, and the one statement of its query language that Gnocchi knows.
//!
//! Each numeric field of a line is a point of the metric `<measurement>.<field>@<tag>=<value>,…` (tags by name) of the
//! resource that one of the tags names. Lines that cannot be read are told and left out; the others are taken.

mod line;
mod query;

pub use line::LineFault;
pub use query::create_database;

use std::borrow::Cow;

use nephos_model::Timestamp;

use crate::gather::{Full, Gathered, Gatherer, MAX_METRIC_NAME, id_text};
use line::Line;

/// What timestamps count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Precision {
    /// Nanoseconds.
    #[default]
    Nanos,
    /// Microseconds.
    Micros,
    /// Milliseconds.
    Millis,
    /// Seconds.
    Seconds,
    /// Minutes.
    Minutes,
    /// Hours.
    Hours,
}

impl Precision {
    /// From the argument of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "ns" | "n" => Self::Nanos,
            "us" | "u" | "µ" | "µs" => Self::Micros,
            "ms" => Self::Millis,
            "s" => Self::Seconds,
            "m" => Self::Minutes,
            "h" => Self::Hours,
            _ => return None,
        })
    }

    const fn nanos(self) -> i64 {
        match self {
            Self::Nanos => 1,
            Self::Micros => 1_000,
            Self::Millis => 1_000_000,
            Self::Seconds => 1_000_000_000,
            Self::Minutes => 60_000_000_000,
            Self::Hours => 3_600_000_000_000,
        }
    }
}

/// How lines are to be understood.
#[derive(Clone, Debug)]
pub struct Options {
    /// The tag that names the resource.
    pub tag: String,
    /// What timestamps count.
    pub precision: Precision,
    /// The time of lines that tell none.
    pub now: Timestamp,
    /// About how many bytes what a text brings may take.
    pub room: usize,
}

/// What a text brought.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// What can be taken.
    pub gathered: Gathered,
    /// Lines, the last without end too.
    pub lines: u64,
    /// Lines that cannot be taken.
    pub refused: u64,
    /// The first of them, counted from 0 at the beginning of the text, and why.
    pub first: Option<(u64, LineFault)>,
}

/// Reads lines.
pub fn read(text: &[u8], options: &Options) -> Result<Written, Full> {
    let mut gatherer = Gatherer::new(options.room);
    let mut written = Written::default();
    let (mut line, mut name) = (Line::default(), String::new());
    for bytes in text.split_inclusive(|byte| *byte == b'\n') {
        let number = written.lines;
        written.lines += 1;
        let taken = line.read(bytes.trim_ascii_end()).and_then(|()| place(&mut line, options));
        match taken {
            Ok(Some((resource, timestamp))) => {
                let resource = gatherer.resource(&id_text(&resource), Vec::new)?;
                for (field, value) in &line.numbers {
                    line.write_name(field, &mut name);
                    gatherer.spend(name.len())?;
                    let metric = gatherer.metric(resource, &name, None)?;
                    gatherer.push(metric, timestamp, *value)?;
                }
            }
            Ok(None) => {}
            Err(fault) => {
                written.refused += 1;
                written.first.get_or_insert((number, fault));
            }
        }
    }
    Ok(Written { gathered: gatherer.finish(), ..written })
}

/// The resource that a line is about, whose tag it loses, and when it was true; nothing for lines without numbers.
fn place<'a>(line: &mut Line<'a>, options: &Options) -> Result<Option<(Cow<'a, str>, Timestamp)>, LineFault> {
    let Some(longest) = line.numbers.iter().map(|(field, _)| field.len()).max() else { return Ok(None) };
    let resource = line.take_tag(&options.tag).ok_or(LineFault::NoTag)?;
    let timestamp = match line.timestamp {
        None => options.now,
        Some(count) => {
            let nanos = count.checked_mul(options.precision.nanos()).filter(|nanos| *nanos >= 0);
            Timestamp::from_nanos(nanos.ok_or(LineFault::Timestamp)?)
        }
    };
    if line.name_length().saturating_add(longest) > MAX_METRIC_NAME {
        return Err(LineFault::LongName);
    }
    Ok(Some((resource, timestamp)))
}

#[cfg(test)]
mod tests;
