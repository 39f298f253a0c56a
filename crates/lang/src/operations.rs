//! Operations on series (metrics-api §10.1), as JSON lists (`["aggregate", "mean", ["metric", …]]`) and as text
//! (`(aggregate mean (metric …))`).

mod text;

use std::collections::HashSet;
use std::fmt;

use foldhash::fast::RandomState;
use serde_json::Value;

use crate::arithmetic::{BinaryOperator, UnaryOperator};

pub use text::parse_text;

/// How deep operations nest.
pub const MAX_DEPTH: usize = 32;
/// Operations, numbers and references of one request.
pub const MAX_NODES: usize = 16_384;

/// What is computed from what.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// A number.
    Number(f64),
    /// The series of these references.
    Metric(Vec<Reference>),
    /// Across series, per timestamp.
    Aggregate {
        /// `mean`, `rate:sum`, …: one of [`AGGREGATES`].
        method: String,
        /// Of what.
        operand: Box<Operation>,
    },
    /// Per series, over consecutive points.
    Rolling {
        /// One of [`AGGREGATES`].
        method: String,
        /// Points, at least 1.
        window: usize,
        /// Of what.
        operand: Box<Operation>,
    },
    /// Per series, by steps of time.
    Resample {
        /// A statistic of archive policies, or `rate:` and one.
        method: String,
        /// Nanoseconds, positive.
        step: i64,
        /// Of what.
        operand: Box<Operation>,
    },
    /// Value by value.
    Binary(BinaryOperator, Box<[Operation; 2]>),
    /// Each value by itself.
    Unary(UnaryOperator, Box<Operation>),
    /// Difference to the previous point.
    RateOfChange {
        /// Whether it is divided by the seconds between the points.
        per_second: bool,
        /// Of what.
        operand: Box<Operation>,
    },
    /// How much a counter grew since its previous value; one that fell began anew from zero.
    Increase {
        /// Whether it is divided by the seconds between the points.
        per_second: bool,
        /// Of what.
        operand: Box<Operation>,
    },
    /// Some of the series: those with the largest, or smallest, value over the whole time.
    Rank {
        /// Whether the smallest are wanted.
        smallest: bool,
        /// How many series, at least 1.
        count: usize,
        /// One of [`RANKINGS`].
        method: String,
        /// Of what.
        operand: Box<Operation>,
    },
}

/// A series, or several by a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// Id of a metric, or a name or glob.
    pub name: String,
    /// Method of its archive policy.
    pub method: String,
}

/// Methods of `aggregate` and `rolling`, each also with `rate:` before it.
pub const AGGREGATES: [&str; 8] = ["mean", "median", "std", "min", "max", "sum", "var", "count"];
/// What `top` and `bottom` rank series by.
pub const RANKINGS: [&str; 10] =
    ["mean", "median", "std", "min", "max", "sum", "var", "count", "first", "last"];
/// Methods of `resample` beside percentiles, each also with `rate:` before it.
const RESAMPLES: [&str; 9] = ["mean", "median", "std", "min", "max", "sum", "count", "first", "last"];

/// Why a value is no operation; the text is the API's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An empty list.
    #[error("Operation must not be empty")]
    Empty,
    /// No list.
    #[error("Expected a tuple/list, got a {0}")]
    NoList(&'static str),
    /// A list with one element.
    #[error("Operation need at least one argument")]
    NoArgument,
    /// Unknown, or with arguments that it cannot have.
    #[error("'{0}' operation invalid")]
    Invalid(String),
    /// Too deep.
    #[error("Operations are nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// Too many.
    #[error("Operations have more than {MAX_NODES} parts")]
    TooMany,
}

impl Operation {
    /// Reads the JSON form. `timespan` turns a step into nanoseconds, if it is one.
    pub fn from_json(document: &Value, timespan: &dyn Fn(&Value) -> Option<i64>) -> Result<Self, Fault> {
        let mut reader = Reader { timespan, depth: 0, nodes: 0 };
        reader.operation(document)
    }

    /// Every reference in it, each once, in the order they stand there.
    pub fn references(&self) -> Vec<&Reference> {
        let mut found = Vec::new();
        self.collect(&mut found);
        let mut seen = HashSet::with_capacity_and_hasher(found.len(), RandomState::default());
        found.retain(|reference| seen.insert(*reference));
        found
    }

    fn collect<'o>(&'o self, found: &mut Vec<&'o Reference>) {
        match self {
            Self::Number(_) => {}
            Self::Metric(references) => found.extend(references),
            Self::Binary(_, sides) => sides.iter().for_each(|side| side.collect(found)),
            Self::Aggregate { operand, .. }
            | Self::Rolling { operand, .. }
            | Self::Resample { operand, .. }
            | Self::Unary(_, operand)
            | Self::RateOfChange { operand, .. }
            | Self::Increase { operand, .. }
            | Self::Rank { operand, .. } => operand.collect(found),
        }
    }

    /// Whether it is a number, whatever the series are.
    fn is_number(&self) -> bool {
        match self {
            Self::Number(_) => true,
            Self::Binary(_, sides) => sides.iter().all(Self::is_number),
            Self::Unary(_, operand) => operand.is_number(),
            _ => false,
        }
    }
}

/// The text form.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Metric(references) => {
                f.write_str("(metric")?;
                match references.as_slice() {
                    [Reference { name, method }] => write!(f, " {name} {method}")?,
                    many => {
                        for Reference { name, method } in many {
                            write!(f, " ({name} {method})")?;
                        }
                    }
                }
                f.write_str(")")
            }
            Self::Aggregate { method, operand } => write!(f, "(aggregate {method} {operand})"),
            Self::Rolling { method, window, operand } => write!(f, "(rolling {method} {window} {operand})"),
            #[allow(clippy::cast_precision_loss)]
            Self::Resample { method, step, operand } => {
                write!(f, "(resample {method} {} {operand})", *step as f64 / 1e9)
            }
            Self::Binary(operator, sides) => write!(f, "({} {} {})", operator.name(), sides[0], sides[1]),
            Self::Unary(operator, operand) => write!(f, "({} {operand})", operator.name()),
            Self::RateOfChange { per_second: false, operand } => write!(f, "(rateofchange {operand})"),
            Self::RateOfChange { per_second: true, operand } => write!(f, "(rateofchangesec {operand})"),
            Self::Increase { per_second: false, operand } => write!(f, "(increase {operand})"),
            Self::Increase { per_second: true, operand } => write!(f, "(increasesec {operand})"),
            Self::Rank { smallest, count, method, operand } => {
                let name = if *smallest { "bottom" } else { "top" };
                write!(f, "({name} {count} {method} {operand})")
            }
        }
    }
}

struct Reader<'a> {
    timespan: &'a dyn Fn(&Value) -> Option<i64>,
    depth: usize,
    nodes: usize,
}

impl Reader<'_> {
    fn count(&mut self) -> Result<(), Fault> {
        self.nodes += 1;
        if self.nodes > MAX_NODES { Err(Fault::TooMany) } else { Ok(()) }
    }

    fn operation(&mut self, value: &Value) -> Result<Operation, Fault> {
        let items = match value {
            Value::Array(items) => items,
            Value::Object(_) => return Err(Fault::NoList("dict")),
            Value::String(_) => return Err(Fault::NoList("str")),
            Value::Number(_) => return Err(Fault::NoList("number")),
            Value::Bool(_) => return Err(Fault::NoList("bool")),
            Value::Null => return Err(Fault::NoList("null")),
        };
        let (head, arguments) = match items.as_slice() {
            [] => return Err(Fault::Empty),
            [_] => return Err(Fault::NoArgument),
            [head, arguments @ ..] => (head, arguments),
        };
        let Value::String(name) = head else { return Err(Fault::Invalid(head.to_string())) };
        if self.depth == MAX_DEPTH {
            return Err(Fault::TooDeep);
        }
        self.count()?;
        self.depth += 1;
        let operation = self.named(name, arguments);
        self.depth -= 1;
        operation?.ok_or_else(|| Fault::Invalid(name.clone()))
    }

    /// An operation by its name; `None` if its arguments do not fit.
    fn named(&mut self, name: &str, arguments: &[Value]) -> Result<Option<Operation>, Fault> {
        Ok(match (name, arguments) {
            ("metric", references) => self.references(references)?.map(Operation::Metric),
            ("aggregate", [method, operand]) => match aggregate_method(method) {
                Some(method) => self.series(operand)?.map(|operand| Operation::Aggregate { method, operand }),
                None => None,
            },
            ("rolling", [method, window, operand]) => match (aggregate_method(method), window_of(window)) {
                (Some(method), Some(window)) => {
                    self.series(operand)?.map(|operand| Operation::Rolling { method, window, operand })
                }
                _ => None,
            },
            ("resample", [method, step, operand]) => match (resample_method(method), (self.timespan)(step)) {
                (Some(method), Some(step)) => {
                    self.series(operand)?.map(|operand| Operation::Resample { method, step, operand })
                }
                _ => None,
            },
            ("rateofchange" | "rateofchangesec", [operand]) => {
                let per_second = name == "rateofchangesec";
                self.series(operand)?.map(|operand| Operation::RateOfChange { per_second, operand })
            }
            ("increase" | "increasesec", [operand]) => {
                let per_second = name == "increasesec";
                self.series(operand)?.map(|operand| Operation::Increase { per_second, operand })
            }
            ("top" | "bottom", [count, method, operand]) => match (window_of(count), ranking(method)) {
                (Some(count), Some(method)) => {
                    let smallest = name == "bottom";
                    let rank = |operand| Operation::Rank { smallest, count, method, operand };
                    self.series(operand)?.map(rank)
                }
                _ => None,
            },
            ("clip", [operand, low]) => Some(self.binary(BinaryOperator::AtLeast, operand, low)?),
            ("clip", [operand, low, high]) => {
                let raised = self.binary(BinaryOperator::AtLeast, operand, low)?;
                let high = self.operand(high)?;
                Some(Operation::Binary(BinaryOperator::AtMost, Box::new([raised, high])))
            }
            (name, [operand]) => match UnaryOperator::parse(name) {
                Some(operator) => Some(Operation::Unary(operator, Box::new(self.operand(operand)?))),
                None => None,
            },
            (name, [left, right]) => match BinaryOperator::parse(name) {
                Some(operator) => Some(self.binary(operator, left, right)?),
                None => None,
            },
            _ => None,
        })
    }

    fn binary(&mut self, operator: BinaryOperator, left: &Value, right: &Value) -> Result<Operation, Fault> {
        Ok(Operation::Binary(operator, Box::new([self.operand(left)?, self.operand(right)?])))
    }

    /// An operation or a number.
    fn operand(&mut self, value: &Value) -> Result<Operation, Fault> {
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
            _ => None,
        };
        match number {
            Some(number) => {
                self.count()?;
                Ok(Operation::Number(number))
            }
            None => self.operation(value),
        }
    }

    /// An operation that gives series; `None` if it is a number.
    fn series(&mut self, value: &Value) -> Result<Option<Box<Operation>>, Fault> {
        let operand = self.operand(value)?;
        Ok((!operand.is_number()).then(|| Box::new(operand)))
    }

    /// `REF METHOD`, or lists of these.
    fn references(&mut self, items: &[Value]) -> Result<Option<Vec<Reference>>, Fault> {
        if let Some(reference) = reference(items) {
            return Ok(Some(vec![reference]));
        }
        let mut references = Vec::with_capacity(items.len());
        for item in items {
            self.count()?;
            let Some(reference) = item.as_array().and_then(|pair| reference(pair)) else { return Ok(None) };
            references.push(reference);
        }
        Ok(Some(references))
    }
}

fn reference(pair: &[Value]) -> Option<Reference> {
    match pair {
        [Value::String(name), Value::String(method)] => {
            Some(Reference { name: name.clone(), method: method.clone() })
        }
        _ => None,
    }
}

fn aggregate_method(value: &Value) -> Option<String> {
    let name = value.as_str()?;
    AGGREGATES.contains(&name.strip_prefix("rate:").unwrap_or(name)).then(|| name.to_owned())
}

fn ranking(value: &Value) -> Option<String> {
    let name = value.as_str()?;
    RANKINGS.contains(&name).then(|| name.to_owned())
}

fn resample_method(value: &Value) -> Option<String> {
    let name = value.as_str()?;
    let statistic = name.strip_prefix("rate:").unwrap_or(name);
    let percentile = statistic.strip_suffix("pct").filter(|rank| {
        rank.len() <= 2 && !rank.starts_with('0') && rank.parse::<u8>().is_ok() && !rank.starts_with('+')
    });
    (RESAMPLES.contains(&statistic) || percentile.is_some()).then(|| name.to_owned())
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn window_of(value: &Value) -> Option<usize> {
    let window = match value {
        Value::Number(number) => match number.as_u64() {
            Some(whole) => usize::try_from(whole).ok()?,
            None => number.as_f64().filter(|float| (1.0..9e15).contains(float))? as usize,
        },
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    (window > 0).then_some(window)
}

#[cfg(test)]
mod tests;
