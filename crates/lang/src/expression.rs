//! Arithmetic on a sample's fields: the closed language of a transformer's `scale` (telemetry-pipeline §12).
//!
//! A subset of Python's expressions with Python's meaning: `+ - * / // % **`, comparisons (also chained), `and or not`,
//! `x if c else y`, parentheses, numbers, strings, indexing and dotted names. A name or key that does not exist is an
//! empty object, which counts as false, so `(resource_metadata.cpu_number or 1)` is 1 when nobody knows the number.
//!
//! A text is compiled into a list of steps for a small stack machine whose jumps only go forward, so evaluation never
//! takes more steps than the text has and needs no recursion.

mod lexer;
mod number;
mod parser;
mod value;

use crate::SyntaxError;
use parser::Step;
pub use value::{EvaluationError, Names, Value};

/// Longest text of an expression, in bytes.
pub const MAX_LENGTH: usize = 4096;

/// A parsed expression. Two are equal when their texts are.
#[derive(Clone, Debug)]
pub struct Expression {
    source: String,
    steps: Vec<Step>,
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Expression {
    /// Parses a text of at most [`MAX_LENGTH`] bytes.
    pub fn parse(source: &str) -> Result<Self, SyntaxError> {
        if source.len() > MAX_LENGTH {
            return Err(SyntaxError::new(format!("longer than {MAX_LENGTH} bytes"), MAX_LENGTH));
        }
        Ok(Self { source: source.to_owned(), steps: parser::compile(source)? })
    }

    /// The text it was parsed from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Its value, with names looked up in `names`.
    pub fn evaluate<'a>(&'a self, names: &'a dyn Names) -> Result<Value<'a>, EvaluationError> {
        let mut stack: Vec<Value<'a>> = Vec::with_capacity(8);
        let mut at = 0;
        while let Some(step) = self.steps.get(at) {
            at += 1 + perform(step, &mut stack, names)?;
        }
        stack.pop().ok_or(EvaluationError::Empty)
    }

    /// Its value as a float; an error if it is no number. Booleans count as 0 and 1.
    pub fn evaluate_number(&self, names: &dyn Names) -> Result<f64, EvaluationError> {
        let value = self.evaluate(names)?;
        value.as_number().ok_or(EvaluationError::NotANumber { kind: value.kind() })
    }
}

/// Does one step and returns how many of the following ones to skip.
fn perform<'a>(
    step: &'a Step,
    stack: &mut Vec<Value<'a>>,
    names: &'a dyn Names,
) -> Result<usize, EvaluationError> {
    // The parser only writes steps that find their operands; `Empty` would say that it did not.
    let mut pop = || stack.pop().ok_or(EvaluationError::Empty);
    let mut skip = 0;
    let result = match step {
        Step::Push(constant) => constant.value(),
        Step::Load(name) => names.resolve(name).unwrap_or(Value::Missing),
        Step::Attribute(name) => value::attribute(&pop()?, name)?,
        Step::Index => {
            let index = pop()?;
            value::index(&pop()?, &index)?
        }
        Step::Not => Value::Bool(!pop()?.is_true()),
        Step::Sign(sign) => number::sign(*sign, &pop()?)?,
        Step::Arithmetic(operator) => {
            let right = pop()?;
            value::arithmetic(*operator, pop()?, right)?
        }
        Step::Compare(comparison) => {
            let right = pop()?;
            Value::Bool(value::compare(*comparison, &pop()?, &right)?)
        }
        Step::CompareNext(comparison, jump) => {
            let right = pop()?;
            if value::compare(*comparison, &pop()?, &right)? {
                right
            } else {
                skip = *jump;
                Value::Bool(false)
            }
        }
        Step::KeepOrSkip { keep_if, jump } => {
            let value = pop()?;
            if value.is_true() != *keep_if {
                return Ok(0);
            }
            skip = *jump;
            value
        }
        Step::SkipIfFalse(jump) => return Ok(if pop()?.is_true() { 0 } else { *jump }),
        Step::Skip(jump) => return Ok(*jump),
    };
    stack.push(result);
    Ok(skip)
}

#[cfg(test)]
mod tests;
