//! What goes into statements and comes out of them.

use std::borrow::Cow;

use nephos_model::Timestamp;
use uuid::Uuid;

use crate::error::SqlError;

/// The text of one statement, with parameters `$1`, `$2`, ….
///
/// Whoever builds text at run time answers for it: values belong into parameters, never into the text.
#[derive(Clone, Debug)]
pub struct Sql(pub(crate) Cow<'static, str>);

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<String> for Sql {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

/// A value of a parameter or column.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// SQL null of any type.
    Null,
    /// A whole number (`BIGINT`).
    Int(i64),
    /// A float (`DOUBLE PRECISION`).
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes (`BLOB`, `BYTEA`).
    Bytes(Vec<u8>),
    /// True or false; SQLite gives it back as a whole number, which [`Row::bool`] understands.
    Bool(bool),
    /// Parameter only: the list that [`Dialect::any_of`](crate::Dialect::any_of) searches with `Kind::Int`.
    IntList(Vec<i64>),
    /// Parameter only: the same with `Kind::Text`.
    TextList(Vec<String>),
    /// Parameter only: the same with `Kind::Bytes`.
    BytesList(Vec<Vec<u8>>),
    /// Parameter only: the rows of [`Dialect::table`](crate::Dialect::table). No lists inside; floats must be finite.
    Table(Vec<Vec<Value>>),
}

macro_rules! value_from {
    ($($from:ty => |$value:ident| $to:expr),* $(,)?) => { $(
        impl From<$from> for Value {
            fn from($value: $from) -> Self {
                $to
            }
        }
    )* };
}

value_from! {
    i64 => |value| Self::Int(value),
    u32 => |value| Self::Int(i64::from(value)),
    f64 => |value| Self::Float(value),
    bool => |value| Self::Bool(value),
    &str => |value| Self::Text(value.to_owned()),
    &String => |value| Self::Text(value.clone()),
    String => |value| Self::Text(value),
    &[u8] => |value| Self::Bytes(value.to_vec()),
    Vec<u8> => |value| Self::Bytes(value),
    Uuid => |value| Self::Bytes(value.as_bytes().to_vec()),
    Timestamp => |value| Self::Int(value.as_nanos()),
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl Value {
    /// The name of what it is, for errors.
    const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a float",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Bool(_) => "a boolean",
            Self::IntList(_) | Self::TextList(_) | Self::BytesList(_) | Self::Table(_) => "a list",
        }
    }
}

/// One row of an answer. Columns are addressed by position, from 0. Getters fail with [`SqlError::Column`] when there
/// is no such column or its value is of another kind, and those without `opt_` also on null.
#[derive(Clone, Debug, PartialEq)]
pub struct Row(pub(crate) Vec<Value>);

impl Row {
    fn value(&self, column: usize) -> &Value {
        self.0.get(column).unwrap_or(&Value::Null)
    }

    fn wrong(&self, column: usize, expected: &'static str) -> SqlError {
        SqlError::Column { column, expected, found: self.0.get(column).map_or("absent", Value::kind) }
    }

    /// All columns, to be used as parameters.
    pub fn into_values(self) -> Vec<Value> {
        self.0
    }

    /// Whether a column is null.
    pub fn is_null(&self, column: usize) -> bool {
        matches!(self.value(column), Value::Null)
    }

    /// A whole number.
    pub fn int(&self, column: usize) -> Result<i64, SqlError> {
        match self.value(column) {
            Value::Int(value) => Ok(*value),
            _ => Err(self.wrong(column, "a whole number")),
        }
    }

    /// A whole number or null.
    pub fn opt_int(&self, column: usize) -> Result<Option<i64>, SqlError> {
        if self.is_null(column) { Ok(None) } else { self.int(column).map(Some) }
    }

    /// A whole number that is not negative.
    pub fn unsigned(&self, column: usize) -> Result<u64, SqlError> {
        u64::try_from(self.int(column)?).map_err(|_| self.wrong(column, "a whole number from zero up"))
    }

    /// Nanoseconds since the epoch.
    pub fn timestamp(&self, column: usize) -> Result<Timestamp, SqlError> {
        self.int(column).map(Timestamp::from_nanos)
    }

    /// Nanoseconds since the epoch, or null.
    pub fn opt_timestamp(&self, column: usize) -> Result<Option<Timestamp>, SqlError> {
        Ok(self.opt_int(column)?.map(Timestamp::from_nanos))
    }

    /// A float; whole numbers are converted.
    #[allow(clippy::cast_precision_loss)]
    pub fn float(&self, column: usize) -> Result<f64, SqlError> {
        match self.value(column) {
            Value::Float(value) => Ok(*value),
            Value::Int(value) => Ok(*value as f64),
            _ => Err(self.wrong(column, "a float")),
        }
    }

    /// True or false; SQLite's 1 and 0 too.
    pub fn bool(&self, column: usize) -> Result<bool, SqlError> {
        match self.value(column) {
            Value::Bool(value) => Ok(*value),
            Value::Int(0) => Ok(false),
            Value::Int(1) => Ok(true),
            _ => Err(self.wrong(column, "a boolean")),
        }
    }

    /// Text.
    pub fn text(&self, column: usize) -> Result<&str, SqlError> {
        match self.value(column) {
            Value::Text(value) => Ok(value),
            _ => Err(self.wrong(column, "text")),
        }
    }

    /// Text or null.
    pub fn opt_text(&self, column: usize) -> Result<Option<&str>, SqlError> {
        if self.is_null(column) { Ok(None) } else { self.text(column).map(Some) }
    }

    /// Text, moved out: the column is null afterwards.
    pub fn take_text(&mut self, column: usize) -> Result<String, SqlError> {
        match self.0.get_mut(column).map(std::mem::take) {
            Some(Value::Text(value)) => Ok(value),
            other => {
                let found = other.as_ref().map_or("absent", Value::kind);
                Err(SqlError::Column { column, expected: "text", found })
            }
        }
    }

    /// Text or null, moved out.
    pub fn take_opt_text(&mut self, column: usize) -> Result<Option<String>, SqlError> {
        if self.is_null(column) { Ok(None) } else { self.take_text(column).map(Some) }
    }

    /// Bytes.
    pub fn bytes(&self, column: usize) -> Result<&[u8], SqlError> {
        match self.value(column) {
            Value::Bytes(value) => Ok(value),
            _ => Err(self.wrong(column, "bytes")),
        }
    }

    /// Bytes, moved out: the column is null afterwards.
    pub fn take_bytes(&mut self, column: usize) -> Result<Vec<u8>, SqlError> {
        match self.0.get_mut(column).map(std::mem::take) {
            Some(Value::Bytes(value)) => Ok(value),
            other => {
                let found = other.as_ref().map_or("absent", Value::kind);
                Err(SqlError::Column { column, expected: "bytes", found })
            }
        }
    }

    /// Sixteen bytes as a UUID.
    pub fn uuid(&self, column: usize) -> Result<Uuid, SqlError> {
        Uuid::from_slice(self.bytes(column)?).map_err(|_| self.wrong(column, "sixteen bytes"))
    }

    /// Sixteen bytes as a UUID, or null.
    pub fn opt_uuid(&self, column: usize) -> Result<Option<Uuid>, SqlError> {
        if self.is_null(column) { Ok(None) } else { self.uuid(column).map(Some) }
    }
}

impl Default for Value {
    /// Null.
    fn default() -> Self {
        Self::Null
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn getters_answer_their_own_kind_and_name_what_they_found_instead() {
        let mut row =
            Row(vec![Value::Int(7), Value::Text("x".into()), Value::Null, Value::Bytes(vec![1; 16])]);
        assert_eq!(row.int(0).unwrap(), 7);
        assert_eq!(row.float(0).unwrap(), 7.0);
        assert_eq!(row.text(1).unwrap(), "x");
        assert_eq!(row.opt_int(2).unwrap(), None);
        assert_eq!(row.uuid(3).unwrap(), Uuid::from_bytes([1; 16]));
        assert_eq!(row.int(1).unwrap_err().to_string(), "column 1 is text, not a whole number");
        assert_eq!(row.text(9).unwrap_err().to_string(), "column 9 is absent, not text");
        assert_eq!(row.take_text(1).unwrap(), "x");
        assert!(row.is_null(1));
    }

    #[test]
    fn booleans_of_both_databases_are_understood() {
        let row = Row(vec![Value::Bool(true), Value::Int(1), Value::Int(0), Value::Int(2)]);
        assert_eq!((row.bool(0).unwrap(), row.bool(1).unwrap(), row.bool(2).unwrap()), (true, true, false));
        assert!(row.bool(3).is_err());
    }
}
