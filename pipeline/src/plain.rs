//! The sample's plain model: the field names that expressions and files use (telemetry-pipeline §2.1).

use std::borrow::Cow;

use nephos_lang::expression::{Names, Value};
use nephos_model::{Metadata, Sample, Volume};
use nephos_wire::python;
use nephos_wire::time::naive_utc;
use serde::{Serialize, Serializer};
use serde_json::Value as Json;
use uuid::Uuid;

/// The fields as an expression sees them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'s>(pub(crate) &'s Sample);

impl Names for Fields<'_> {
    fn resolve<'a>(&'a self, name: &str) -> Option<Value<'a>> {
        let sample = self.0;
        Some(match name {
            "name" => text(&sample.name),
            "type" => text(sample.kind.as_str()),
            "unit" => text(&sample.unit),
            "volume" => match sample.volume {
                Volume::Int(value) => Value::Int(value),
                other => Value::Float(other.as_f64()),
            },
            "user_id" => optional(sample.user_id.as_deref()),
            "user_name" => optional(sample.user_name.as_deref()),
            "project_id" => optional(sample.project_id.as_deref()),
            "project_name" => optional(sample.project_name.as_deref()),
            "resource_id" => text(&sample.resource_id),
            "timestamp" => Value::Text(Cow::Owned(naive_utc(sample.timestamp, 'T'))),
            "source" => text(&sample.source),
            "id" => Value::Text(Cow::Owned(sample.id.to_string())),
            "monotonic_time" => sample.monotonic_time.map_or(Value::None, Value::Float),
            "resource_metadata" => Value::Object(&sample.metadata),
            _ => return None,
        })
    }
}

fn text(text: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(text))
}

fn optional(field: Option<&str>) -> Value<'_> {
    field.map_or(Value::None, text)
}

#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    r#type: &'static str,
    unit: &'a str,
    #[serde(serialize_with = "number")]
    volume: Volume,
    user_id: Option<&'a str>,
    user_name: Option<&'a str>,
    project_id: Option<&'a str>,
    project_name: Option<&'a str>,
    resource_id: &'a str,
    timestamp: String,
    resource_metadata: &'a Metadata,
    source: &'a str,
    id: Uuid,
    monotonic_time: Option<f64>,
}

fn number<S: Serializer>(volume: &Volume, serializer: S) -> Result<S::Ok, S::Error> {
    match *volume {
        Volume::Int(value) => serializer.serialize_i64(value),
        Volume::Uint(value) => serializer.serialize_u64(value),
        Volume::Float(value) => serializer.serialize_f64(value),
    }
}

/// The sample as one JSON object, without a line end.
pub(crate) fn json(sample: &Sample) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Line {
        name: &sample.name,
        r#type: sample.kind.as_str(),
        unit: &sample.unit,
        volume: sample.volume,
        user_id: sample.user_id.as_deref(),
        user_name: sample.user_name.as_deref(),
        project_id: sample.project_id.as_deref(),
        project_name: sample.project_name.as_deref(),
        resource_id: &sample.resource_id,
        timestamp: naive_utc(sample.timestamp, 'T'),
        resource_metadata: &sample.metadata,
        source: &sample.source,
        id: sample.id,
        monotonic_time: sample.monotonic_time,
    })
}

/// The sample as Python prints a dict, without a line end.
pub(crate) fn python_dict(sample: &Sample) -> String {
    let mut out = String::with_capacity(512);
    let optional = |out: &mut String, field: Option<&str>| match field {
        Some(text) => push_text(out, text),
        None => out.push_str("None"),
    };
    out.push('{');
    for (key, field) in [("name", &*sample.name), ("type", sample.kind.as_str()), ("unit", &*sample.unit)] {
        push_key(&mut out, key);
        push_text(&mut out, field);
    }
    push_key(&mut out, "volume");
    match sample.volume {
        Volume::Int(value) => out.push_str(&value.to_string()),
        Volume::Uint(value) => out.push_str(&value.to_string()),
        Volume::Float(value) => out.push_str(&python::float(value)),
    }
    for (key, field) in [
        ("user_id", &sample.user_id),
        ("user_name", &sample.user_name),
        ("project_id", &sample.project_id),
        ("project_name", &sample.project_name),
    ] {
        push_key(&mut out, key);
        optional(&mut out, field.as_deref());
    }
    push_key(&mut out, "resource_id");
    push_text(&mut out, &sample.resource_id);
    push_key(&mut out, "timestamp");
    push_text(&mut out, &naive_utc(sample.timestamp, 'T'));
    push_key(&mut out, "resource_metadata");
    push_object(&mut out, &sample.metadata);
    push_key(&mut out, "source");
    push_text(&mut out, &sample.source);
    push_key(&mut out, "id");
    push_text(&mut out, &sample.id.to_string());
    push_key(&mut out, "monotonic_time");
    match sample.monotonic_time {
        Some(seconds) => out.push_str(&python::float(seconds)),
        None => out.push_str("None"),
    }
    out.push('}');
    out
}

/// `'key': `, after a comma unless it is the first.
fn push_key(out: &mut String, key: &str) {
    if !out.ends_with('{') {
        out.push_str(", ");
    }
    push_text(out, key);
    out.push_str(": ");
}

fn push_object(out: &mut String, members: &Metadata) {
    out.push('{');
    for (position, (key, value)) in members.iter().enumerate() {
        if position > 0 {
            out.push_str(", ");
        }
        push_text(out, key);
        out.push_str(": ");
        push_value(out, value);
    }
    out.push('}');
}

fn push_value(out: &mut String, value: &Json) {
    match value {
        Json::Null => out.push_str("None"),
        Json::Bool(true) => out.push_str("True"),
        Json::Bool(false) => out.push_str("False"),
        Json::Number(value) if value.is_f64() => {
            out.push_str(&python::float(value.as_f64().unwrap_or(f64::NAN)));
        }
        Json::Number(value) => out.push_str(&value.to_string()),
        Json::String(text) => push_text(out, text),
        Json::Array(values) => {
            out.push('[');
            for (position, value) in values.iter().enumerate() {
                if position > 0 {
                    out.push_str(", ");
                }
                push_value(out, value);
            }
            out.push(']');
        }
        Json::Object(members) => push_object(out, members),
    }
}

/// Python's `repr` of a text.
fn push_text(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if character == quote => out.extend(['\\', quote]),
            _ if is_printable(character) => out.push(character),
            _ => match u32::from(character) {
                code @ ..=0xff => out.push_str(&format!("\\x{code:02x}")),
                code @ ..=0xffff => out.push_str(&format!("\\u{code:04x}")),
                code => out.push_str(&format!("\\U{code:08x}")),
            },
        }
    }
    out.push(quote);
}

/// Whether Python shows a character as it is: not controls, not separators other than the space, not what only formats.
fn is_printable(character: char) -> bool {
    let formats = matches!(
        character,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{10ffff}'
    );
    character == ' ' || !(character.is_control() || character.is_whitespace() || formats)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nephos_model::{SampleKind, Timestamp};
    use serde_json::json;

    use super::*;

    fn sample() -> Sample {
        let mut sample = Sample::new(
            "cpu",
            SampleKind::Cumulative,
            "ns",
            5.0,
            "it's",
            Timestamp::from_nanos(1_779_318_500_955_093_000),
        );
        sample.id = Uuid::from_u128(7);
        sample.project_id = Some("p\"1'\u{7f}é\u{2028}\n\\".to_owned());
        let metadata = json!({"a": [1, 2.5, null, true], "b": {"c": false}, "d": 1e22});
        sample.metadata = Arc::new(metadata.as_object().unwrap().clone());
        sample
    }

    #[test]
    fn a_line_of_json_has_the_plain_names_in_their_order() {
        assert_eq!(
            json(&sample()).unwrap(),
            concat!(
                r#"{"name":"cpu","type":"cumulative","unit":"ns","volume":5.0,"user_id":null,"user_name":null,"#,
                "\"project_id\":\"p\\\"1'\u{7f}é\u{2028}\\n\\\\\",",
                r#""project_name":null,"resource_id":"it's","timestamp":"2026-05-20T23:08:20.955093","#,
                r#""resource_metadata":{"a":[1,2.5,null,true],"b":{"c":false},"d":1e+22},"source":"openstack","#,
                r#""id":"00000000-0000-0000-0000-000000000007","monotonic_time":null}"#
            )
        );
    }

    #[test]
    fn a_line_of_python_is_what_python_prints() {
        assert_eq!(
            python_dict(&sample()),
            concat!(
                "{'name': 'cpu', 'type': 'cumulative', 'unit': 'ns', 'volume': 5.0, 'user_id': None, ",
                "'user_name': None, 'project_id': 'p\"1\\'\\x7fé\\u2028\\n\\\\', 'project_name': None, ",
                "'resource_id': \"it's\", 'timestamp': '2026-05-20T23:08:20.955093', ",
                "'resource_metadata': {'a': [1, 2.5, None, True], 'b': {'c': False}, 'd': 1e+22}, ",
                "'source': 'openstack', 'id': '00000000-0000-0000-0000-000000000007', 'monotonic_time': None}"
            )
        );
    }

    #[test]
    fn expressions_see_every_plain_field() {
        let sample = sample();
        let fields = Fields(&sample);
        for (name, expected) in [
            ("name", text("cpu")),
            ("type", text("cumulative")),
            ("unit", text("ns")),
            ("volume", Value::Float(5.0)),
            ("user_id", Value::None),
            ("resource_id", text("it's")),
            ("timestamp", text("2026-05-20T23:08:20.955093")),
            ("source", text("openstack")),
            ("id", text("00000000-0000-0000-0000-000000000007")),
            ("monotonic_time", Value::None),
            ("resource_metadata", Value::Object(&sample.metadata)),
        ] {
            assert_eq!(fields.resolve(name), Some(expected), "{name}");
        }
        assert_eq!(fields.resolve("counter_name"), None);
    }
}
