//! `pipeline.yaml`: which samples pass which transformers to which publishers (telemetry-pipeline §11, §12).

use std::borrow::Cow;
use std::path::PathBuf;

use nephos_lang::Replacement;
use nephos_lang::expression::Expression;
use nephos_model::SampleKind;
use regex::Regex;

pub use crate::names::NameFilter;

mod publisher;
mod read;
mod transformer;

pub(crate) use read::read;

/// A whole `pipeline.yaml`. Every sample goes through each (source, sink) pair whose source matches.
#[derive(Clone, Debug)]
pub struct PipelineFile {
    /// Sources in file order, no two of one name.
    pub sources: Vec<PipelineSource>,
    /// Sinks in file order, no two of one name.
    pub sinks: Vec<PipelineSink>,
}

impl PipelineFile {
    /// The sink of this name; every name in [`PipelineSource::sinks`] has one.
    pub fn sink(&self, name: &str) -> Option<&PipelineSink> {
        self.sinks.iter().find(|sink| sink.name == name)
    }
}

/// Which samples go to which sinks.
#[derive(Clone, Debug, PartialEq)]
pub struct PipelineSource {
    /// Its name.
    pub name: String,
    /// Which meters.
    pub meters: NameFilter,
    /// Names of sinks, at least one.
    pub sinks: Vec<String>,
}

/// A chain of transformers and the publishers at its end. One object however many sources use it.
#[derive(Clone, Debug)]
pub struct PipelineSink {
    /// Its name.
    pub name: String,
    /// Transformers in order.
    pub transformers: Vec<TransformerSpec>,
    /// Publishers, at least one.
    pub publishers: Vec<PublisherSpec>,
}

/// One transformer with its parameters.
#[derive(Clone, Debug)]
pub enum TransformerSpec {
    /// Rate of change between a sample and its predecessor.
    RateOfChange(ConversionSpec),
    /// Another unit, another name, a scaled volume.
    UnitConversion(ConversionSpec),
}

impl TransformerSpec {
    /// Its name in the file.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RateOfChange(_) => "rate_of_change",
            Self::UnitConversion(_) => "unit_conversion",
        }
    }
}

/// Parameters of both transformers.
#[derive(Clone, Debug, Default)]
pub struct ConversionSpec {
    /// Samples of another unit pass unchanged (`unit_conversion` only).
    pub source_unit: Option<String>,
    /// What is searched in a sample's name and unit.
    pub map_from: MapPair,
    /// What the output looks like.
    pub target: TargetSpec,
    /// What becomes of a sample older than its predecessor (`rate_of_change` only).
    pub late: Late,
}

impl ConversionSpec {
    /// The output's name for an input's: the mapping if it gives something, else `target.name`, else the input's.
    pub fn target_name<'a>(&'a self, name: &'a str) -> Cow<'a, str> {
        mapped(
            name,
            self.map_from.name.as_ref(),
            self.target.map_to_name.as_ref(),
            self.target.name.as_deref(),
        )
    }

    /// The output's unit for an input's, by the same rule.
    pub fn target_unit<'a>(&'a self, unit: &'a str) -> Cow<'a, str> {
        mapped(
            unit,
            self.map_from.unit.as_ref(),
            self.target.map_to_unit.as_ref(),
            self.target.unit.as_deref(),
        )
    }
}

fn mapped<'a>(
    text: &'a str,
    from: Option<&Regex>,
    to: Option<&Replacement>,
    fixed: Option<&'a str>,
) -> Cow<'a, str> {
    if let (Some(from), Some(to)) = (from, to) {
        let replaced = to.replace_all(from, text);
        if !replaced.is_empty() {
            return Cow::Owned(replaced);
        }
    }
    Cow::Borrowed(fixed.unwrap_or(text))
}

/// Expressions searched in names and units; every match anywhere is replaced.
#[derive(Clone, Debug, Default)]
pub struct MapPair {
    /// Searched in the name.
    pub name: Option<Regex>,
    /// Searched in the unit.
    pub unit: Option<Regex>,
}

/// What a transformer's output looks like.
#[derive(Clone, Debug, Default)]
pub struct TargetSpec {
    /// Its name.
    pub name: Option<String>,
    /// Its unit.
    pub unit: Option<String>,
    /// Its kind; the input's if absent.
    pub kind: Option<SampleKind>,
    /// How volumes are scaled.
    pub scale: Scale,
    /// Greatest volume.
    pub max: Option<f64>,
    /// Replacement in the name for `map_from.name`; present only with it.
    pub map_to_name: Option<Replacement>,
    /// Replacement in the unit for `map_from.unit`; present only with it.
    pub map_to_unit: Option<Replacement>,
}

/// How volumes are scaled.
#[derive(Clone, Debug, Default)]
pub enum Scale {
    /// Not at all.
    #[default]
    None,
    /// Multiplied.
    Factor(f64),
    /// By an expression over the sample: its value replaces the volume, or for a rate multiplies it.
    Expression(Expression),
}

/// What becomes of a sample older than its predecessor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Late {
    /// It gives its own rate, and its successor's is given again.
    #[default]
    Emit,
    /// It is dropped.
    Drop,
}

/// Where a sink's samples go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublisherSpec {
    /// The url as written, `://` appended if it was missing. Equal urls are one publisher.
    pub url: String,
    /// Which publisher that is.
    pub kind: PublisherKind,
}

/// The publishers there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublisherKind {
    /// To the collector.
    Nephos,
    /// To a file.
    File(FilePublisher),
    /// To the log, one structured line a sample.
    Log {
        /// At which level.
        level: LogLevel,
    },
}

/// Parameters of `file://`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePublisher {
    /// The file, absolute.
    pub path: PathBuf,
    /// When and how it is rotated; never if absent.
    pub rotation: Option<Rotation>,
    /// One JSON object a line instead of Python's notation.
    pub json: bool,
}

/// Rotation of a file by size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Size in bytes the file may reach.
    pub max_bytes: u64,
    /// How many older files are kept (`.1` is the newest).
    pub backup_count: u32,
}

/// Level of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Error.
    Error,
    /// Warning.
    Warn,
    /// Information.
    Info,
    /// Debugging.
    Debug,
    /// Tracing.
    Trace,
}
