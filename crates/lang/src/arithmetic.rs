//! Operators on numbers, under the names that clients of the metrics API know.

/// Two numbers into one. Truth is 1, falsehood 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOperator {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Greater.
    Gt,
    /// Less or equal.
    Le,
    /// Greater or equal.
    Ge,
    /// Remainder, with the sign of the divisor.
    Mod,
    /// Sum.
    Add,
    /// Difference.
    Sub,
    /// Product.
    Mul,
    /// Quotient.
    Div,
    /// Power.
    Pow,
    /// The larger; NaN only if both are.
    Max,
    /// The first, but at least the second.
    AtLeast,
    /// The first, but at most the second.
    AtMost,
}

/// One number into another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOperator {
    /// Without its sign.
    Abs,
    /// With the other sign.
    Neg,
    /// Cosine.
    Cos,
    /// Sine.
    Sin,
    /// Tangent.
    Tan,
    /// The whole number at or below.
    Floor,
    /// The whole number at or above.
    Ceil,
}

impl BinaryOperator {
    /// By any of its names.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "=" | "==" | "eq" => Self::Eq,
            "!=" | "≠" | "ne" => Self::Ne,
            "<" | "lt" => Self::Lt,
            ">" | "gt" => Self::Gt,
            "<=" | "≤" | "le" => Self::Le,
            ">=" | "≥" | "ge" => Self::Ge,
            "%" | "mod" => Self::Mod,
            "+" | "add" => Self::Add,
            "-" | "sub" => Self::Sub,
            "*" | "×" | "mul" => Self::Mul,
            "/" | "÷" | "div" => Self::Div,
            "**" | "^" | "pow" => Self::Pow,
            "max" => Self::Max,
            "clip_min" => Self::AtLeast,
            "clip_max" => Self::AtMost,
            _ => return None,
        })
    }

    /// The shortest of its names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Gt => ">",
            Self::Le => "<=",
            Self::Ge => ">=",
            Self::Mod => "%",
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Pow => "**",
            Self::Max => "max",
            Self::AtLeast => "clip_min",
            Self::AtMost => "clip_max",
        }
    }

    /// What it makes of two numbers.
    #[allow(clippy::float_cmp)]
    #[inline]
    pub fn apply(self, left: f64, right: f64) -> f64 {
        match self {
            Self::Eq => truth(left == right),
            Self::Ne => truth(left != right),
            Self::Lt => truth(left < right),
            Self::Gt => truth(left > right),
            Self::Le => truth(left <= right),
            Self::Ge => truth(left >= right),
            Self::Mod => remainder(left, right),
            Self::Add => left + right,
            Self::Sub => left - right,
            Self::Mul => left * right,
            Self::Div => left / right,
            Self::Pow => left.powf(right),
            Self::Max if left >= right || right.is_nan() => left,
            Self::AtLeast if left > right || left.is_nan() => left,
            Self::AtMost if left < right || left.is_nan() => left,
            Self::Max | Self::AtLeast | Self::AtMost => right,
        }
    }
}

impl UnaryOperator {
    /// By any of its names.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "abs" | "absolute" => Self::Abs,
            "neg" | "negative" => Self::Neg,
            "cos" => Self::Cos,
            "sin" => Self::Sin,
            "tan" => Self::Tan,
            "floor" => Self::Floor,
            "ceil" => Self::Ceil,
            _ => return None,
        })
    }

    /// The shortest of its names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Abs => "abs",
            Self::Neg => "neg",
            Self::Cos => "cos",
            Self::Sin => "sin",
            Self::Tan => "tan",
            Self::Floor => "floor",
            Self::Ceil => "ceil",
        }
    }

    /// What it makes of a number.
    #[inline]
    pub fn apply(self, value: f64) -> f64 {
        match self {
            Self::Abs => value.abs(),
            Self::Neg => -value,
            Self::Cos => value.cos(),
            Self::Sin => value.sin(),
            Self::Tan => value.tan(),
            Self::Floor => value.floor(),
            Self::Ceil => value.ceil(),
        }
    }
}

fn truth(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

fn remainder(left: f64, right: f64) -> f64 {
    let remainder = left % right;
    if remainder == 0.0 {
        remainder.copysign(right)
    } else if (remainder < 0.0) != (right < 0.0) {
        remainder + right
    } else {
        remainder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_operators() {
        use BinaryOperator::{Add, AtLeast, AtMost, Div, Eq, Ge, Gt, Le, Lt, Max, Mod, Mul, Ne, Pow, Sub};
        for operator in [Eq, Ne, Lt, Gt, Le, Ge, Mod, Add, Sub, Mul, Div, Pow, Max, AtLeast, AtMost] {
            assert_eq!(BinaryOperator::parse(operator.name()), Some(operator));
        }
        use UnaryOperator::{Abs, Ceil, Cos, Floor, Neg, Sin, Tan};
        for operator in [Abs, Neg, Cos, Sin, Tan, Floor, Ceil] {
            assert_eq!(UnaryOperator::parse(operator.name()), Some(operator));
        }
        assert_eq!(BinaryOperator::parse("plus"), None);
    }

    #[test]
    fn remainders_have_the_sign_of_the_divisor() {
        for (left, right, expected) in [
            (7.0, 3.0, 1.0),
            (-7.0, 3.0, 2.0),
            (7.0, -3.0, -2.0),
            (-7.0, -3.0, -1.0),
            (-6.0, 3.0, 0.0),
            (5.5, 2.0, 1.5),
        ] {
            assert_eq!(BinaryOperator::Mod.apply(left, right), expected, "{left} % {right}");
        }
        assert!(BinaryOperator::Mod.apply(1.0, 0.0).is_nan());
    }

    #[test]
    fn nan_is_ignored_by_max_and_kept_by_bounds() {
        assert_eq!(BinaryOperator::Max.apply(f64::NAN, 1.0), 1.0);
        assert_eq!(BinaryOperator::Max.apply(1.0, f64::NAN), 1.0);
        assert!(BinaryOperator::AtLeast.apply(f64::NAN, 1.0).is_nan());
        assert!(BinaryOperator::AtMost.apply(f64::NAN, 1.0).is_nan());
        assert_eq!(BinaryOperator::AtLeast.apply(0.0, 1.0), 1.0);
        assert_eq!(BinaryOperator::AtMost.apply(0.0, 1.0), 0.0);
        assert_eq!(BinaryOperator::Ne.apply(f64::NAN, f64::NAN), 1.0);
    }
}
