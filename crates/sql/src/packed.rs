//! Many rows of SQLite as one value.
//!
//! The driver sends each row on its own from the thread of the connection to whoever waits, and copies each value on the
//! way. For a page of rows that costs several times what finding them does, so SQLite writes them as one JSON text.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

use crate::dialect::Kind;
use crate::value::{Row, Value};

/// The statement that gives the rows of `sql`, whose columns are of these kinds, as one text.
pub(crate) fn statement(sql: &str, columns: &[Kind]) -> String {
    let names = (0..columns.len()).map(|number| format!("c{number}")).collect::<Vec<_>>();
    let values = names.iter().zip(columns).map(|(name, kind)| match kind {
        Kind::Bytes => format!("hex({name})"),
        // JSON's floats have fifteen digits here.
        Kind::Float => format!("iif({name} IS NULL, NULL, format('%!.17g', {name}))"),
        _ => name.clone(),
    });
    let values = values.collect::<Vec<_>>().join(", ");
    format!(
        "WITH page ({}) AS ({sql}) SELECT json_group_array(json_array({values})) FROM page",
        names.join(", ")
    )
}

/// The rows in such a text, or what is wrong with it.
pub(crate) fn rows(text: &str, columns: &[Kind]) -> Result<Vec<Row>, String> {
    let mut json = serde_json::Deserializer::from_str(text);
    Rows(columns).deserialize(&mut json).and_then(|rows| json.end().map(|()| rows)).map_err(|e| e.to_string())
}

struct Rows<'k>(&'k [Kind]);

impl<'de> DeserializeSeed<'de> for Rows<'_> {
    type Value = Vec<Row>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Row>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_> {
    type Value = Vec<Row>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Row>, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) = seq.next_element_seed(Cells(self.0))? {
            rows.push(row);
        }
        Ok(rows)
    }
}

struct Cells<'k>(&'k [Kind]);

impl<'de> DeserializeSeed<'de> for Cells<'_> {
    type Value = Row;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Row, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Cells<'_> {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a row of {} columns", self.0.len())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Row, A::Error> {
        let mut values = Vec::with_capacity(self.0.len());
        for kind in self.0 {
            let value = seq.next_element_seed(Cell(*kind))?;
            values.push(value.ok_or_else(|| A::Error::invalid_length(values.len(), &self))?);
        }
        Ok(Row(values))
    }
}

struct Cell(Kind);

impl<'de> DeserializeSeed<'de> for Cell {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Cell {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a column")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        i64::try_from(value).map(Value::Int).map_err(|_| E::custom("a whole number is too large"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        match self.0 {
            // Null in hexadecimal is an empty text.
            Kind::Bytes if text.is_empty() => Ok(Value::Null),
            Kind::Bytes => {
                bytes(text).map(Value::Bytes).ok_or_else(|| E::custom("bytes are not hexadecimal"))
            }
            Kind::Float => text.parse().map(Value::Float).map_err(|_| E::custom("a float is no number")),
            _ => Ok(Value::Text(text.to_owned())),
        }
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    const fn digit(letter: u8) -> Option<u8> {
        match letter {
            b'0'..=b'9' => Some(letter - b'0'),
            b'A'..=b'F' => Some(letter - b'A' + 10),
            b'a'..=b'f' => Some(letter - b'a' + 10),
            _ => None,
        }
    }
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let pair = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    rest.is_empty().then(|| pairs.iter().map(pair).collect())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rows_come_back_by_the_kinds_of_their_columns() {
        let kinds = [Kind::Bytes, Kind::Text, Kind::Int, Kind::Float];
        let text = r#"[["00fF","a\"\u0001é",-7,"0.5"],["",null,null,null]]"#;
        assert_eq!(
            rows(text, &kinds).unwrap(),
            [
                Row(vec![
                    Value::Bytes(vec![0, 255]),
                    Value::Text("a\"\u{1}é".to_owned()),
                    Value::Int(-7),
                    Value::Float(0.5)
                ]),
                Row(vec![Value::Null, Value::Null, Value::Null, Value::Null]),
            ]
        );
        assert_eq!(rows("[]", &kinds).unwrap(), []);
    }

    #[test]
    fn what_are_no_such_rows_is_told() {
        for (text, kinds, expected) in [
            ("[[1]]", &[Kind::Int, Kind::Int][..], "invalid length 1, expected a row of 2 columns"),
            ("[[1, 2]]", &[Kind::Int][..], "trailing characters"),
            ("[[\"0g\"]]", &[Kind::Bytes][..], "bytes are not hexadecimal"),
            ("[[\"abc\"]]", &[Kind::Bytes][..], "bytes are not hexadecimal"),
            ("[[18446744073709551615]]", &[Kind::Int][..], "a whole number is too large"),
            ("[[\"x\"]]", &[Kind::Float][..], "a float is no number"),
            ("[[0.5]]", &[Kind::Int][..], "invalid type: floating point `0.5`, expected a value of a column"),
            ("{}", &[Kind::Int][..], "invalid type: map, expected rows"),
            ("[[1]] x", &[Kind::Int][..], "trailing characters"),
        ] {
            let error = rows(text, kinds).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}\",0-9a-f: ]{0,40}") {
            if let Ok(rows) = rows(&text, &[Kind::Bytes, Kind::Text]) {
                prop_assert!(rows.iter().all(|row| row.0.len() == 2));
            }
        }
    }
}
