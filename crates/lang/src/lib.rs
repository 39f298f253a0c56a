//! Small languages that definitions, pipelines and requests are written in: JSONPath, arithmetic expressions, name
//! patterns, cron, filters of resources, operations on series, rules of access.
//!
//! Everything here is pure: a text is parsed once into a value that is cheap to run many times. Parsers bound the
//! length and nesting they accept, and evaluation bounds its own work, so that no text and no data can stop a process.

pub mod access;
pub mod arithmetic;
pub mod cron;
pub mod expression;
pub mod filter;
pub mod glob;
pub mod jsonpath;
pub mod operations;
pub mod predicate;
mod replacement;

pub use replacement::Replacement;

/// Where and why a text is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at offset {offset})")]
pub struct SyntaxError {
    /// What is wrong, in lower case without a full stop.
    pub message: String,
    /// Bytes from the start of the text to the place of the fault; at most the text's length.
    pub offset: usize,
}

impl SyntaxError {
    pub(crate) fn new(message: impl Into<String>, offset: usize) -> Self {
        Self { message: message.into(), offset }
    }
}
