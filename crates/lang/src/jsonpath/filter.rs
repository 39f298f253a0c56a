//! Conditions of `[?…]`, and how values compare.

use std::cmp::Ordering;

use regex::Regex;
use serde_json::Value as Json;

use super::parser::Node;

/// One condition: holds for an element if any value at `path` does what it should.
#[derive(Clone, Debug)]
pub(super) struct Test {
    pub(super) path: Node,
    /// What a value must do; that there is one is enough without.
    pub(super) condition: Option<Condition>,
}

#[derive(Clone, Debug)]
pub(super) enum Condition {
    Compare(Comparison, Json),
    /// Anchored at the start.
    Matches(Regex),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    pub(super) fn from_symbol(symbol: &str) -> Option<Self> {
        Some(match symbol {
            "=" | "==" => Self::Equal,
            "!=" => Self::NotEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    fn holds(self, value: &Json, operand: &Json) -> bool {
        match self {
            Self::Equal => equal(value, operand),
            Self::NotEqual => !equal(value, operand),
            Self::Less => order(value, operand) == Some(Ordering::Less),
            Self::Greater => order(value, operand) == Some(Ordering::Greater),
            Self::LessOrEqual => matches!(order(value, operand), Some(Ordering::Less | Ordering::Equal)),
            Self::GreaterOrEqual => {
                matches!(order(value, operand), Some(Ordering::Greater | Ordering::Equal))
            }
        }
    }
}

impl Test {
    pub(super) fn comparing(path: Node, comparison: Comparison, operand: Json) -> Self {
        Self { path, condition: Some(Condition::Compare(comparison, operand)) }
    }

    pub(super) fn matching(path: Node, pattern: Regex) -> Self {
        Self { path, condition: Some(Condition::Matches(pattern)) }
    }

    /// Whether one of the values at `path` is enough. Null never is, unless any value is.
    pub(super) fn accepts(&self, value: &Json) -> bool {
        match &self.condition {
            None => true,
            Some(_) if value.is_null() => false,
            Some(Condition::Matches(pattern)) => value.as_str().is_some_and(|text| pattern.is_match(text)),
            Some(Condition::Compare(comparison, operand)) if operand.is_i64() || operand.is_boolean() => {
                whole_number(value).is_some_and(|value| comparison.holds(&Json::from(value), operand))
            }
            Some(Condition::Compare(comparison, operand)) => comparison.holds(value, operand),
        }
    }
}

/// What Python's `int(value)` gives: floats are cut, texts are read.
#[allow(clippy::cast_possible_truncation)]
fn whole_number(value: &Json) -> Option<i64> {
    match value {
        Json::Bool(value) => Some(i64::from(*value)),
        Json::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|float| float as i64)),
        Json::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A number in arithmetic and comparisons; truth values are 0 and 1.
pub(super) fn number(value: &Json) -> Option<f64> {
    match value {
        Json::Bool(value) => Some(f64::from(u8::from(*value))),
        other => other.as_f64(),
    }
}

fn equal(left: &Json, right: &Json) -> bool {
    order(left, right) == Some(Ordering::Equal) || left == right
}

/// The order of two numbers or two texts; other values have none.
pub(super) fn order(left: &Json, right: &Json) -> Option<Ordering> {
    if let (Some(left), Some(right)) = (left.as_i64(), right.as_i64()) {
        return Some(left.cmp(&right));
    }
    match (left, right) {
        (Json::String(left), Json::String(right)) => Some(left.cmp(right)),
        _ => number(left)?.partial_cmp(&number(right)?),
    }
}
