//! The envelope and the notification in it.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Why a message's body cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum OsloError {
    /// The body is no UTF-8.
    #[error("message body is not UTF-8")]
    NotUtf8(#[from] std::str::Utf8Error),
    /// The body, or the message in the envelope, is no JSON or lacks the shape of a notification.
    #[error("{part} is not a notification's JSON")]
    Json {
        /// What was being read.
        part: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// An envelope of a newer or older kind.
    #[error("envelope version {found:?} is not supported, only 2.0 is")]
    Version {
        /// The version it names.
        found: String,
    },
    /// A notification of another kind than was looked for.
    #[error("event type {found:?} carries no samples")]
    EventType {
        /// Its event type.
        found: String,
    },
}

impl OsloError {
    /// The whole chain on one line, for a dead letter's reason.
    pub fn reason(&self) -> String {
        match self {
            Self::Json { source, .. } => format!("{self}: {source}"),
            Self::NotUtf8(source) => format!("{self}: {source}"),
            Self::Version { .. } | Self::EventType { .. } => self.to_string(),
        }
    }
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "oslo.version")]
    version: Option<String>,
    #[serde(rename = "oslo.message")]
    message: Option<String>,
}

/// Takes the notification's JSON text out of its envelope. A body without an envelope (driver `messaging`) is the
/// notification itself.
fn open(body: &[u8]) -> Result<Cow<'_, str>, OsloError> {
    let json = |source| OsloError::Json { part: "message body", source };
    let text = std::str::from_utf8(body)?;
    let (text, envelope) = match serde_json::from_str::<Envelope>(text) {
        Ok(envelope) => (Cow::Borrowed(text), envelope),
        Err(error) => {
            let text = without_non_finite(text).ok_or(json(error))?;
            let envelope = serde_json::from_str(&text).map_err(json)?;
            (Cow::Owned(text), envelope)
        }
    };
    let (Some(version), Some(message)) = (envelope.version, envelope.message) else { return Ok(text) };
    if !is_supported(&version) {
        return Err(OsloError::Version { found: version });
    }
    Ok(Cow::Owned(message))
}

/// Opens a message's body and hands the notification in it to `then`.
pub fn read<T>(body: &[u8], then: impl FnOnce(Notification<'_>) -> T) -> Result<T, OsloError> {
    let text = open(body)?;
    match Notification::parse(&text) {
        Ok(notification) => Ok(then(notification)),
        // Python writes NaN where JSON knows none; one such reading must not take the others with it.
        Err(error) => {
            let text = without_non_finite(&text).ok_or(error)?;
            Notification::parse(&text).map(then)
        }
    }
}

/// Same major version, and a minor one that is not newer.
fn is_supported(version: &str) -> bool {
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    major.parse() == Ok(2_u32) && minor.parse() == Ok(0_u32)
}

/// `text` with Python's `NaN`, `Infinity` and `-Infinity` outside of strings replaced by `null`; `None` if it has none.
fn without_non_finite(text: &str) -> Option<String> {
    let mut clean = String::with_capacity(text.len());
    let (mut rest, mut in_string, mut found) = (text, false, false);
    while let Some(at) = rest.find(if in_string { ['"', '\\', '"'] } else { ['"', 'N', 'I'] }) {
        let (before, from) = rest.split_at(at);
        clean.push_str(before);
        let length = match (in_string, from.as_bytes().first()) {
            // An escape: whatever follows the backslash belongs to it.
            (true, Some(b'\\')) => 1 + from.chars().nth(1).map_or(0, char::len_utf8),
            (_, Some(b'"')) => {
                in_string = !in_string;
                1
            }
            _ => ["NaN", "Infinity"].iter().find(|word| from.starts_with(**word)).map_or(1, |word| {
                found = true;
                word.len()
            }),
        };
        let (token, after) = from.split_at(length);
        if !in_string && token.len() > 2 {
            if clean.ends_with('-') {
                clean.pop();
            }
            clean.push_str("null");
        } else {
            clean.push_str(token);
        }
        rest = after;
    }
    clean.push_str(rest);
    found.then_some(clean)
}

/// A notification, its payload not yet read.
#[derive(Clone, Debug, Default)]
pub struct Notification<'a> {
    /// Identifier of the notification.
    pub message_id: Option<Cow<'a, str>>,
    /// Who sent it.
    pub publisher_id: Option<Cow<'a, str>>,
    /// What happened.
    pub event_type: Cow<'a, str>,
    /// As sent, normally upper case.
    pub priority: Option<Cow<'a, str>>,
    /// As sent: UTC, space-separated, no zone.
    pub timestamp: Option<Cow<'a, str>>,
    /// One a send: tells redeliveries.
    pub unique_id: Option<Cow<'a, str>>,
    /// The `_context_*` values under their names without the prefix.
    pub context: Map<String, Value>,
    /// What it is about.
    pub payload: Option<&'a RawValue>,
}

impl<'a> Notification<'a> {
    fn parse(text: &'a str) -> Result<Self, OsloError> {
        serde_json::from_str(text).map_err(|source| OsloError::Json { part: "message", source })
    }
}

/// Text that is borrowed where it can be.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl<'de> Deserialize<'de> for Notification<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NotificationVisitor)
    }
}

struct NotificationVisitor;

impl<'de> Visitor<'de> for NotificationVisitor {
    type Value = Notification<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a notification")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = Notification::default();
        let mut event_type = None;
        while let Some(Text(key)) = map.next_key::<Text<'de>>()? {
            let text = match key.as_ref() {
                "message_id" => &mut found.message_id,
                "publisher_id" => &mut found.publisher_id,
                "event_type" => &mut event_type,
                "priority" => &mut found.priority,
                "timestamp" => &mut found.timestamp,
                "_unique_id" => &mut found.unique_id,
                "payload" => {
                    found.payload = Some(map.next_value()?);
                    continue;
                }
                other => {
                    match other.strip_prefix("_context_") {
                        Some(name) => drop(found.context.insert(name.to_owned(), map.next_value()?)),
                        None => drop(map.next_value::<IgnoredAny>()?),
                    }
                    continue;
                }
            };
            *text = map.next_value::<Option<Text<'de>>>()?.map(|Text(text)| text);
        }
        found.event_type = event_type.ok_or_else(|| serde::de::Error::missing_field("event_type"))?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(version: &str, message: &str) -> String {
        serde_json::json!({"oslo.version": version, "oslo.message": message}).to_string()
    }

    #[test]
    fn both_drivers_give_the_same_notification() {
        let inner = r#"{"event_type": "volume.create.end", "priority": "INFO", "payload": {"size": 1}, "extra": [1],
            "_context_user": "u", "_context_roles": ["admin"], "_unique_id": "4819", "_msg_id": "x"}"#;
        for body in [sealed("2.0", inner), inner.to_owned()] {
            let text = open(body.as_bytes()).unwrap();
            let notification = Notification::parse(&text).unwrap();
            assert_eq!(notification.event_type, "volume.create.end");
            assert_eq!(notification.priority.as_deref(), Some("INFO"));
            assert_eq!(notification.unique_id.as_deref(), Some("4819"));
            assert_eq!(notification.publisher_id, None);
            assert_eq!(
                Value::from(notification.context),
                serde_json::json!({"user": "u", "roles": ["admin"]})
            );
            assert_eq!(notification.payload.map(RawValue::get), Some(r#"{"size": 1}"#));
        }
    }

    #[test]
    fn only_version_2_0_is_opened() {
        for (version, accepted) in [
            ("2.0", true),
            ("2", true),
            ("2.1", false),
            ("1.0", false),
            ("3.0", false),
            ("x", false),
            ("", false),
        ] {
            assert_eq!(open(sealed(version, "{}").as_bytes()).is_ok(), accepted, "{version}");
        }
        let error = open(sealed("2.1", "{}").as_bytes()).unwrap_err();
        assert_eq!(error.reason(), "envelope version \"2.1\" is not supported, only 2.0 is");
    }

    #[test]
    fn broken_messages_are_refused_with_the_reason() {
        for (body, reason) in [
            (&b"\xff{}"[..], "message body is not UTF-8: invalid utf-8 sequence of 1 bytes from index 0"),
            (
                b"{",
                "message body is not a notification's JSON: EOF while parsing an object at line 1 column 1",
            ),
        ] {
            assert_eq!(open(body).unwrap_err().reason(), reason);
        }
        for inner in ["", "[]", "{}", r#"{"event_type": 1}"#, r#"{"event_type": null}"#] {
            assert!(Notification::parse(inner).is_err(), "{inner}");
        }
    }

    #[test]
    fn numbers_that_are_none_become_null_outside_of_strings_only() {
        for (text, clean) in [
            (r#"[NaN, 1]"#, Some(r#"[null, 1]"#)),
            (r#"[-Infinity, Infinity, -1]"#, Some(r#"[null, null, -1]"#)),
            (r#"{"NaN": NaN}"#, Some(r#"{"NaN": null}"#)),
            (r#"["\"NaN", "é\\", NaN, "Infinity"]"#, Some(r#"["\"NaN", "é\\", null, "Infinity"]"#)),
            (r#"["NaN"]"#, None),
            (r#"[Na, In]"#, None),
            (r#"["unclosed \"#, None),
        ] {
            assert_eq!(without_non_finite(text).as_deref(), clean, "{text}");
        }
    }
}
