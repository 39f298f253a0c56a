//! Reading JSON objects field by field with the coercions and messages of the original's framework (alarms-api §1).

use serde_json::{Map, Value};

use crate::python;

/// A client's mistake: status and `faultstring`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// HTTP status.
    pub status: u16,
    /// Text for the client.
    pub message: String,
}

impl Fault {
    /// Status 400.
    pub fn bad(message: impl Into<String>) -> Self {
        Self { status: 400, message: message.into() }
    }

    /// Status 401: an argument that is not the caller's to give.
    pub fn not_yours(message: impl Into<String>) -> Self {
        Self { status: 401, message: message.into() }
    }

    /// `Invalid input for field/attribute …`.
    pub fn field(name: &str, value: &str, message: &str) -> Self {
        Self::bad(format!("Invalid input for field/attribute {name}. Value: '{value}'. {message}"))
    }
}

/// A value the way Python's `str` shows it: what the original's messages quote.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => repr(other),
    }
}

fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => python::float(float),
            _ => number.to_string(),
        },
        Value::String(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        Value::Array(items) => format!("[{}]", items.iter().map(repr).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let items: Vec<_> = map.iter().map(|(key, value)| format!("'{key}': {}", repr(value))).collect();
            format!("{{{}}}", items.join(", "))
        }
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

/// An object a client sent, read field by field.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    map: &'a Map<String, Value>,
    /// The object as messages call it: `data`, `data.<type>_rule`.
    argument: &'a str,
}

impl<'a> Fields<'a> {
    /// The object, if it has no other than the `known` keys.
    pub fn new(value: &'a Value, argument: &'a str, known: &[&str]) -> Result<Self, Fault> {
        let Value::Object(map) = value else {
            return Err(Fault::field(argument, &shown(value), "Value not an object"));
        };
        let unknown: Vec<&str> = map.keys().map(String::as_str).filter(|key| !known.contains(key)).collect();
        if !unknown.is_empty() {
            return Err(Fault::bad(format!(
                "Unknown attribute for argument {argument}: {}",
                unknown.join(", ")
            )));
        }
        Ok(Self { map, argument })
    }

    /// Whether the key is there, even as null.
    pub fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// The raw value; null counts as absent.
    pub fn raw(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// The fault of an absent mandatory field.
    pub fn missing(key: &str) -> Fault {
        Fault::field(key, "None", "Mandatory field missing.")
    }

    /// Text; null and absent are `None`.
    pub fn text(&self, key: &str) -> Result<Option<&'a str>, Fault> {
        match self.raw(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(Fault::field(
                key,
                &shown(other),
                &format!("Wrong type. Expected '<class 'str'>', got '<class '{}'>'", type_name(other)),
            )),
        }
    }

    /// Text that must be there.
    pub fn mandatory_text(&self, key: &str) -> Result<&'a str, Fault> {
        self.text(key)?.ok_or_else(|| Self::missing(key))
    }

    /// A truth value.
    pub fn boolean(&self, key: &str) -> Result<Option<bool>, Fault> {
        let Some(value) = self.raw(key) else { return Ok(None) };
        let read = match value {
            Value::Bool(flag) => Some(*flag),
            Value::Number(number) => number.as_i64().map(|number| number != 0),
            Value::String(text) => boolean(text),
            _ => None,
        };
        read.map(Some).ok_or_else(|| {
            let whole = shown(&Value::Object(self.map.clone()));
            let message = format!("Value not an unambiguous boolean: {}", shown(value));
            Fault::field(self.argument, &whole, &message)
        })
    }

    /// A whole number in a range. Text and floats are taken too, floats truncated.
    pub fn integer(&self, key: &str, least: i64, most: i64) -> Result<Option<i64>, Fault> {
        let Some(value) = self.raw(key) else { return Ok(None) };
        let wrong = || {
            Fault::field(
                key,
                &shown(value),
                &format!("Wrong type. Expected '<class 'int'>', got '<class '{}'>'", type_name(value)),
            )
        };
        let number = match value {
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => whole,
                #[allow(clippy::cast_possible_truncation)]
                (None, Some(float)) if float.abs() < 9e15 => float.trunc() as i64,
                _ => return Err(wrong()),
            },
            Value::String(text) => text.trim().parse().map_err(|_| wrong())?,
            _ => return Err(wrong()),
        };
        if number < least {
            let message = format!("Value should be greater or equal to {least}");
            return Err(Fault::field(key, &number.to_string(), &message));
        }
        if number > most {
            let message = format!("Value should be lower or equal to {most}");
            return Err(Fault::field(key, &number.to_string(), &message));
        }
        Ok(Some(number))
    }

    /// A finite number; text is taken too.
    pub fn float(&self, key: &str) -> Result<Option<f64>, Fault> {
        let Some(value) = self.raw(key) else { return Ok(None) };
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
            _ => None,
        };
        number.map(Some).ok_or_else(|| {
            Fault::field(
                key,
                &shown(value),
                &format!("Wrong type. Expected '<class 'float'>', got '<class '{}'>'", type_name(value)),
            )
        })
    }

    /// One of a few words. Null is no word; absent is `None`.
    pub fn word(&self, key: &str, words: &[&str]) -> Result<Option<&'a str>, Fault> {
        let Some(value) = self.map.get(key) else { return Ok(None) };
        match value {
            Value::String(text) if words.contains(&text.as_str()) => Ok(Some(text)),
            other => {
                let message = format!("Value should be one of: {}", words.join(", "));
                Err(Fault::field(key, &shown(other), &message))
            }
        }
    }

    /// A list of texts.
    pub fn texts(&self, key: &str) -> Result<Option<Vec<String>>, Fault> {
        let Some(items) = self.list(key)? else { return Ok(None) };
        let texts = items.iter().map(|item| match item {
            Value::String(text) => Ok(text.clone()),
            other => Err(Fault::field(
                key,
                &shown(other),
                &format!("Wrong type. Expected '<class 'str'>', got '<class '{}'>'", type_name(other)),
            )),
        });
        texts.collect::<Result<_, _>>().map(Some)
    }

    /// A list.
    pub fn list(&self, key: &str) -> Result<Option<&'a [Value]>, Fault> {
        match self.raw(key) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(other) => {
                Err(Fault::field(key, &shown(other), &format!("Value not a valid list: {}", shown(other))))
            }
        }
    }

    /// A point in time.
    pub fn time(&self, key: &str) -> Result<Option<nephos_model::Timestamp>, Fault> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        crate::time::parse_iso8601(text)
            .map(Some)
            .ok_or_else(|| Fault::field(key, text, &format!("'{text}' is not a legal date/time string")))
    }
}

/// The words for true and false that bodies may use.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "true" | "on" | "y" | "yes" => Some(true),
        "0" | "f" | "false" | "off" | "n" | "no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fault<T: std::fmt::Debug>(result: Result<T, Fault>) -> String {
        result.unwrap_err().message
    }

    #[test]
    fn values_are_coerced_as_the_original_does() {
        let value = json!({"b": "yes", "n": 0, "i": "180", "f": 60.5, "x": "1.5", "z": null});
        let fields = Fields::new(&value, "data", &["b", "n", "i", "f", "x", "z"]).unwrap();
        assert_eq!(fields.boolean("b"), Ok(Some(true)));
        assert_eq!(fields.boolean("n"), Ok(Some(false)));
        assert_eq!(fields.integer("i", 1, 1_000), Ok(Some(180)));
        assert_eq!(fields.integer("f", 1, 1_000), Ok(Some(60)));
        assert_eq!(fields.float("x"), Ok(Some(1.5)));
        assert_eq!(fields.text("z"), Ok(None));
    }

    #[test]
    fn messages_are_the_originals() {
        let value = json!({"name": 5, "severity": "high", "granularity": 0, "periods": 101, "actions": "http://x", "enabled": "bad"});
        let fields = Fields::new(
            &value,
            "data",
            &["name", "severity", "granularity", "periods", "actions", "enabled"],
        )
        .unwrap();
        assert_eq!(
            fault(fields.text("name")),
            "Invalid input for field/attribute name. Value: '5'. Wrong type. Expected '<class 'str'>', got '<class 'int'>'"
        );
        assert_eq!(
            fault(fields.word("severity", &["critical", "low", "moderate"])),
            "Invalid input for field/attribute severity. Value: 'high'. Value should be one of: critical, low, moderate"
        );
        assert_eq!(
            fault(fields.integer("granularity", 1, 100)),
            "Invalid input for field/attribute granularity. Value: '0'. Value should be greater or equal to 1"
        );
        assert_eq!(
            fault(fields.integer("periods", 1, 100)),
            "Invalid input for field/attribute periods. Value: '101'. Value should be lower or equal to 100"
        );
        assert!(fault(fields.texts("actions")).ends_with("Value not a valid list: http://x"));
        assert!(fault(fields.boolean("enabled")).ends_with("Value not an unambiguous boolean: bad"));
        assert_eq!(
            fault(Fields::new(&value, "data", &[])).split(':').next(),
            Some("Unknown attribute for argument data")
        );
    }
}
