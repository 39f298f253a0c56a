//! Values of expressions, and what can be done with them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::Debug;

use serde_json::{Map, Value as Json};

use super::number;

/// What an expression works on.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// What an unknown name or key gives: an empty object. It counts as false and cannot be calculated with.
    Missing,
    /// JSON's null.
    None,
    /// A truth value; 0 or 1 in arithmetic.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A float; also what whole numbers turn into when they leave the range of `i64`.
    Float(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// A list.
    List(&'a [Json]),
    /// An object.
    Object(&'a Map<String, Json>),
}

/// Where an expression finds its names.
pub trait Names: Debug {
    /// The value called `name`, or `None` if there is nothing of that name.
    fn resolve<'a>(&'a self, name: &str) -> Option<Value<'a>>;
}

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// Two operands that do not go together.
    #[error("{operator} cannot join {left} and {right}")]
    Operands {
        /// The operator's sign.
        operator: &'static str,
        /// What stands at its left.
        left: &'static str,
        /// What stands at its right.
        right: &'static str,
    },
    /// A sign before something that is no number.
    #[error("a sign cannot stand before {kind}")]
    Sign {
        /// What it stands before.
        kind: &'static str,
    },
    /// A key or index of something that has none of that sort.
    #[error("{kind} has no member {member}")]
    Member {
        /// What was asked.
        kind: &'static str,
        /// For which member.
        member: String,
    },
    /// Division by zero, or zero to a negative power.
    #[error("division by zero")]
    DivisionByZero,
    /// A power beyond the range of floats, or no real number.
    #[error("the power is not a number that fits")]
    Power,
    /// A text longer than is useful.
    #[error("the text grows too long")]
    TooLong,
    /// A number was wanted.
    #[error("the result is {kind}, not a number")]
    NotANumber {
        /// What came instead.
        kind: &'static str,
    },
    /// There was nothing to evaluate.
    #[error("the expression is empty")]
    Empty,
}

/// Longest text that joining may make, in bytes.
const MAX_TEXT: usize = 64 * 1024;

impl<'a> From<&'a Json> for Value<'a> {
    fn from(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::None,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(value) => match value.as_i64() {
                Some(value) => Self::Int(value),
                None => Self::Float(value.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(value) => Self::Text(Cow::Borrowed(value)),
            Json::Array(values) => Self::List(values),
            Json::Object(members) => Self::Object(members),
        }
    }
}

impl Value<'_> {
    /// Whether it counts as true: numbers other than zero, and what is not empty.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Missing | Self::None => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(value) => !value.is_empty(),
            Self::List(values) => !values.is_empty(),
            Self::Object(members) => !members.is_empty(),
        }
    }

    /// As a float, if it is a number or a truth value.
    #[allow(clippy::cast_precision_loss)]
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Bool(value) => Some(f64::from(u8::from(*value))),
            Self::Int(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// What it is, in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Missing => "a missing value",
            Self::None => "null",
            Self::Bool(_) => "a truth value",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// An operator between numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Remainder,
    Power,
}

impl Arithmetic {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Add, "+"),
        (Self::Subtract, "-"),
        (Self::Multiply, "*"),
        (Self::Divide, "/"),
        (Self::FloorDivide, "//"),
        (Self::Remainder, "%"),
        (Self::Power, "**"),
    ];

    pub(super) fn from_symbol(symbol: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known)| *known == symbol).map(|(operator, _)| operator)
    }

    fn symbol(self) -> &'static str {
        Self::ALL.into_iter().find(|(operator, _)| *operator == self).map_or("?", |(_, symbol)| symbol)
    }
}

/// A sign before a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Plus,
    Minus,
}

/// An operator that gives a truth value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
}

impl Comparison {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Less, "<"),
        (Self::LessOrEqual, "<="),
        (Self::Equal, "=="),
        (Self::NotEqual, "!="),
        (Self::GreaterOrEqual, ">="),
        (Self::Greater, ">"),
    ];

    pub(super) fn from_symbol(symbol: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known)| *known == symbol).map(|(comparison, _)| comparison)
    }

    fn symbol(self) -> &'static str {
        Self::ALL.into_iter().find(|(comparison, _)| *comparison == self).map_or("?", |(_, symbol)| symbol)
    }

    fn holds(self, ordering: Option<Ordering>) -> bool {
        match self {
            Self::Less => ordering == Some(Ordering::Less),
            Self::LessOrEqual => matches!(ordering, Some(Ordering::Less | Ordering::Equal)),
            Self::Equal => ordering == Some(Ordering::Equal),
            Self::NotEqual => ordering != Some(Ordering::Equal),
            Self::GreaterOrEqual => matches!(ordering, Some(Ordering::Greater | Ordering::Equal)),
            Self::Greater => ordering == Some(Ordering::Greater),
        }
    }
}

pub(super) fn arithmetic<'a>(
    operator: Arithmetic,
    left: Value<'a>,
    right: Value<'a>,
) -> Result<Value<'a>, EvaluationError> {
    match (operator, number::operand(&left), number::operand(&right)) {
        (_, Some(left), Some(right)) => number::arithmetic(operator, left, right),
        (Arithmetic::Add, ..) => match (left, right) {
            (Value::Text(left), Value::Text(right)) if left.len() + right.len() > MAX_TEXT => {
                Err(EvaluationError::TooLong)
            }
            (Value::Text(left), Value::Text(right)) => Ok(Value::Text(left + right)),
            (left, right) => Err(operands("+", &left, &right)),
        },
        _ => Err(operands(operator.symbol(), &left, &right)),
    }
}

fn operands(operator: &'static str, left: &Value<'_>, right: &Value<'_>) -> EvaluationError {
    EvaluationError::Operands { operator, left: left.kind(), right: right.kind() }
}

/// Values of different kinds are unequal and have no order. Objects equal nothing, as in the original.
pub(super) fn compare(
    comparison: Comparison,
    left: &Value<'_>,
    right: &Value<'_>,
) -> Result<bool, EvaluationError> {
    let ordering = match (number::operand(left), number::operand(right)) {
        (Some(left), Some(right)) => number::compare(left, right),
        _ => match (left, right) {
            (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
            _ if !matches!(comparison, Comparison::Equal | Comparison::NotEqual) => {
                return Err(operands(comparison.symbol(), left, right));
            }
            (Value::None, Value::None) => Some(Ordering::Equal),
            (Value::List(left), Value::List(right)) if left == right => Some(Ordering::Equal),
            _ => None,
        },
    };
    Ok(comparison.holds(ordering))
}

/// `value.name`
pub(super) fn attribute<'a>(value: &Value<'a>, name: &str) -> Result<Value<'a>, EvaluationError> {
    match value {
        Value::Missing => Ok(Value::Missing),
        Value::Object(members) => Ok(members.get(name).map_or(Value::Missing, Value::from)),
        _ => Err(EvaluationError::Member { kind: value.kind(), member: name.to_owned() }),
    }
}

/// `value[index]`
pub(super) fn index<'a>(value: &Value<'a>, index: &Value<'_>) -> Result<Value<'a>, EvaluationError> {
    let found = match (value, index) {
        (Value::Missing, _) => Some(Value::Missing),
        (Value::Object(_), Value::Text(name)) => return attribute(value, name),
        // Keys of JSON objects are texts: any other key is just not there.
        (Value::Object(_), _) => Some(Value::Missing),
        (Value::List(values), Value::Int(index)) => {
            position(*index, values.len()).and_then(|at| values.get(at)).map(Value::from)
        }
        (Value::Text(text), Value::Int(index)) => position(*index, text.chars().count())
            .and_then(|at| text.chars().nth(at))
            .map(|character| Value::Text(Cow::Owned(character.to_string()))),
        _ => None,
    };
    found.ok_or_else(|| EvaluationError::Member {
        kind: value.kind(),
        member: match index {
            Value::Int(index) => index.to_string(),
            Value::Text(name) => name.to_string(),
            other => other.kind().to_owned(),
        },
    })
}

/// Where index `index` points in a list of `length`: negative ones count from the end.
fn position(index: i64, length: usize) -> Option<usize> {
    match usize::try_from(index) {
        Ok(at) => Some(at),
        Err(_) => length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?),
    }
}
