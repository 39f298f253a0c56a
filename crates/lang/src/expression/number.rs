//! Python's arithmetic on whole numbers and floats.

use std::cmp::Ordering;

use super::value::{Arithmetic, EvaluationError, Sign, Value};

/// A number of either sort.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    #[allow(clippy::cast_precision_loss)]
    fn as_f64(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Float(value) => value,
        }
    }
}

/// The number that `value` is in arithmetic.
pub(super) fn operand(value: &Value<'_>) -> Option<Number> {
    match value {
        Value::Bool(value) => Some(Number::Int(i64::from(*value))),
        Value::Int(value) => Some(Number::Int(*value)),
        Value::Float(value) => Some(Number::Float(*value)),
        _ => None,
    }
}

pub(super) fn sign<'a>(sign: Sign, value: &Value<'_>) -> Result<Value<'a>, EvaluationError> {
    match (operand(value).ok_or(EvaluationError::Sign { kind: value.kind() })?, sign) {
        (Number::Int(value), Sign::Plus) => Ok(Value::Int(value)),
        (Number::Float(value), Sign::Plus) => Ok(Value::Float(value)),
        (Number::Float(value), Sign::Minus) => Ok(Value::Float(-value)),
        (Number::Int(value), Sign::Minus) => Ok(whole(value.checked_neg(), || -Number::Int(value).as_f64())),
    }
}

pub(super) fn compare(left: Number, right: Number) -> Option<Ordering> {
    match (left, right) {
        (Number::Int(left), Number::Int(right)) => Some(left.cmp(&right)),
        (left, right) => left.as_f64().partial_cmp(&right.as_f64()),
    }
}

pub(super) fn arithmetic<'a>(
    operator: Arithmetic,
    left: Number,
    right: Number,
) -> Result<Value<'a>, EvaluationError> {
    if let (Number::Int(left), Number::Int(right)) = (left, right)
        && let Some(value) = whole_arithmetic(operator, left, right)?
    {
        return Ok(value);
    }
    let (left, right) = (left.as_f64(), right.as_f64());
    let divides = matches!(operator, Arithmetic::Divide | Arithmetic::FloorDivide | Arithmetic::Remainder);
    if divides && right == 0.0 {
        return Err(EvaluationError::DivisionByZero);
    }
    Ok(Value::Float(match operator {
        Arithmetic::Add => left + right,
        Arithmetic::Subtract => left - right,
        Arithmetic::Multiply => left * right,
        Arithmetic::Divide => left / right,
        Arithmetic::FloorDivide => floor_divide(left, right),
        Arithmetic::Remainder => remainder(left, right),
        Arithmetic::Power => power(left, right)?,
    }))
}

fn whole<'a>(exact: Option<i64>, otherwise: impl Fn() -> f64) -> Value<'a> {
    exact.map_or_else(|| Value::Float(otherwise()), Value::Int)
}

/// What two whole numbers give; `None` where only a float can say it.
fn whole_arithmetic<'a>(
    operator: Arithmetic,
    left: i64,
    right: i64,
) -> Result<Option<Value<'a>>, EvaluationError> {
    let exact = match operator {
        Arithmetic::Add => left.checked_add(right),
        Arithmetic::Subtract => left.checked_sub(right),
        Arithmetic::Multiply => left.checked_mul(right),
        Arithmetic::FloorDivide | Arithmetic::Remainder if right == 0 => {
            return Err(EvaluationError::DivisionByZero);
        }
        Arithmetic::FloorDivide => left.checked_div(right).map(|quotient| {
            // Rust cuts towards zero, Python goes down.
            let inexact = left.wrapping_rem(right) != 0;
            quotient - i64::from(inexact && (left < 0) != (right < 0))
        }),
        Arithmetic::Remainder => {
            let rest = left.wrapping_rem(right);
            Some(if rest != 0 && (rest < 0) != (right < 0) { rest + right } else { rest })
        }
        Arithmetic::Power => u32::try_from(right).ok().and_then(|exponent| left.checked_pow(exponent)),
        Arithmetic::Divide => None,
    };
    Ok(exact.map(Value::Int))
}

/// The remainder that has the divisor's sign.
fn remainder(left: f64, right: f64) -> f64 {
    let rest = left % right;
    if rest == 0.0 {
        0.0_f64.copysign(right)
    } else if (rest < 0.0) != (right < 0.0) {
        rest + right
    } else {
        rest
    }
}

fn floor_divide(left: f64, right: f64) -> f64 {
    let quotient = (left - remainder(left, right)) / right;
    // The quotient is whole but for rounding.
    if quotient == 0.0 { 0.0_f64.copysign(left / right) } else { quotient.round() }
}

fn power(base: f64, exponent: f64) -> Result<f64, EvaluationError> {
    if base == 0.0 && exponent < 0.0 {
        return Err(EvaluationError::DivisionByZero);
    }
    let result = base.powf(exponent);
    let was_finite = base.is_finite() && exponent.is_finite();
    if was_finite && !result.is_finite() { Err(EvaluationError::Power) } else { Ok(result) }
}
