//! `message_signature`: HMAC-SHA256 over the flattened message.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use nephos_model::{Sample, Volume};
use serde_json::{Map, Value};
use sha2::Sha256;

use super::python::{push_float, push_int, push_str, sorted};

const SIGNATURE: &str = "message_signature";

/// Signs and verifies with one secret. An empty secret signs with the empty text and trusts everything.
#[derive(Clone)]
pub struct Signer {
    /// Already keyed, so that a signature costs two hash blocks less.
    keyed: Option<Hmac<Sha256>>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("signs", &self.signs()).finish_non_exhaustive()
    }
}

impl Signer {
    /// A signer with `secret` as its key.
    pub fn new(secret: &str) -> Self {
        // A key of any length fits HMAC.
        let keyed = Hmac::new_from_slice(secret.as_bytes()).ok().filter(|_| !secret.is_empty());
        Self { keyed }
    }

    /// Whether there is a secret.
    pub const fn signs(&self) -> bool {
        self.keyed.is_some()
    }

    /// The signature of any message: 64 hexadecimal digits, or empty without a secret.
    pub fn sign(&self, message: &Map<String, Value>) -> String {
        self.keyed.clone().map(|mac| hex(&digest(mac, message).finalize().into_bytes())).unwrap_or_default()
    }

    /// Whether the message carries its right signature; compares in constant time.
    pub fn verify(&self, message: &Map<String, Value>) -> bool {
        let Some(mac) = self.keyed.clone() else { return true };
        let claimed = message.get(SIGNATURE).and_then(Value::as_str).and_then(unhex);
        claimed.is_some_and(|claimed| digest(mac, message).verify_slice(&claimed).is_ok())
    }

    /// The signature of a sample in its wire form; `timestamp` is its time as it will be written.
    pub(super) fn sign_sample(&self, sample: &Sample, timestamp: &str) -> String {
        let Some(mut mac) = self.keyed.clone() else { return String::new() };
        let mut pairs = Pairs { text: String::with_capacity(256), path: String::new(), mac: &mut mac };
        pairs.add("counter_name", &sample.name);
        pairs.add("counter_type", sample.kind.as_str());
        pairs.add("counter_unit", &sample.unit);
        pairs.add_with("counter_volume", |text| match sample.volume {
            Volume::Int(int) => push_int(text, int),
            Volume::Uint(int) => push_int(text, int),
            // On the wire it is null.
            Volume::Float(float) if !float.is_finite() => text.push_str("None"),
            Volume::Float(float) => push_float(text, float),
        });
        pairs.add_with("message_id", |text| push_int(text, sample.id));
        pairs.add_with("monotonic_time", |text| match sample.monotonic_time {
            Some(seconds) if seconds.is_finite() => push_float(text, seconds),
            _ => text.push_str("None"),
        });
        pairs.add("project_id", sample.project_id.as_deref().unwrap_or("None"));
        pairs.add("project_name", sample.project_name.as_deref().unwrap_or("None"));
        pairs.add("resource_id", &sample.resource_id);
        pairs.flatten_under("resource_metadata", &sample.metadata);
        pairs.add("source", &sample.source);
        pairs.add("timestamp", timestamp);
        pairs.add("user_id", sample.user_id.as_deref().unwrap_or("None"));
        pairs.add("user_name", sample.user_name.as_deref().unwrap_or("None"));
        pairs.flush();
        hex(&mac.finalize().into_bytes())
    }
}

fn digest(mut mac: Hmac<Sha256>, message: &Map<String, Value>) -> Hmac<Sha256> {
    let mut pairs = Pairs { text: String::with_capacity(256), path: String::new(), mac: &mut mac };
    for (key, value) in sorted(message) {
        if key != SIGNATURE {
            pairs.add_value(key, value);
        }
    }
    pairs.flush();
    mac
}

/// Feeds `key` + `value` pairs to the hash in pieces.
struct Pairs<'a> {
    text: String,
    /// Names of the objects around the current key, each followed by a colon.
    path: String,
    mac: &'a mut Hmac<Sha256>,
}

impl Pairs<'_> {
    fn add(&mut self, key: &str, value: &str) {
        self.add_with(key, |text| text.push_str(value));
    }

    fn add_with(&mut self, key: &str, value: impl FnOnce(&mut String)) {
        self.text.push_str(&self.path);
        self.text.push_str(key);
        value(&mut self.text);
        if self.text.len() > 4_096 {
            self.flush();
        }
    }

    fn add_value(&mut self, key: &str, value: &Value) {
        match value {
            Value::Object(map) => self.flatten_under(key, map),
            other => self.add_with(key, |text| push_str(text, other)),
        }
    }

    fn flatten_under(&mut self, key: &str, map: &Map<String, Value>) {
        let outer = self.path.len();
        self.path.push_str(key);
        self.path.push(':');
        for (key, value) in sorted(map) {
            self.add_value(key, value);
        }
        self.path.truncate(outer);
    }

    fn flush(&mut self) {
        self.mac.update(self.text.as_bytes());
        self.text.clear();
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

/// Bytes of lower-case hexadecimal digits.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let nibble = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(nibble(high)? << 4 | nibble(low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cases() -> Vec<Value> {
        let file: Value = serde_json::from_str(include_str!("../../testdata/signature.json")).unwrap();
        file["cases"].as_array().unwrap().clone()
    }

    #[test]
    fn every_vector_of_the_original_is_met() {
        let cases = cases();
        assert!(cases.len() >= 10);
        for case in cases {
            let signer = Signer::new(case["secret"].as_str().unwrap());
            let mut message = case["message"].as_object().unwrap().clone();
            assert_eq!(signer.sign(&message), case["signature"].as_str().unwrap(), "{}", case["name"]);
            message.insert(SIGNATURE.to_owned(), case["signature"].clone());
            assert!(signer.verify(&message), "{}", case["name"]);
            message.insert("counter_name".to_owned(), "forged".into());
            assert_eq!(signer.verify(&message), !signer.signs(), "{}", case["name"]);
        }
    }

    #[test]
    fn missing_and_malformed_signatures_do_not_verify() {
        let signer = Signer::new("s");
        let right = signer.sign(&Map::new());
        for wrong in
            [Value::Null, "".into(), "zz".into(), "abc".into(), right.to_uppercase().into(), 5.into()]
        {
            let message = Map::from_iter([(SIGNATURE.to_owned(), wrong)]);
            assert!(!signer.verify(&message), "{message:?}");
        }
        assert!(!signer.verify(&Map::new()));
        assert!(signer.verify(&Map::from_iter([(SIGNATURE.to_owned(), right.into())])));
    }

    #[test]
    fn the_secret_is_never_printed() {
        assert_eq!(format!("{:?}", Signer::new("hush")), "Signer { signs: true, .. }");
    }
}
