//! Walks a table key by key: notes which keys are known, records effective values, reports the rest.

use std::path::Path;

use crate::kind::{FilePath, Kind, quoted};
use crate::ledger::{Ledger, read_text};
use crate::names::nearest;
use crate::source::Origin;
use crate::tree::{Map, Node, Value};

/// What every name of the originals that has no meaning here yet is answered with.
pub(crate) const LATER: &str = "not in this version";

/// One table being read.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    map: Option<&'a Map>,
    path: String,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// A table at `path`; a fault and an empty section if it is something else.
    pub(crate) fn of(ledger: &mut Ledger, node: &'a Node, path: impl Into<String>) -> Self {
        let path = path.into();
        let map = match &node.value {
            Value::Map(map) => Some(map),
            Value::Null | Value::Invalid => None,
            other => {
                ledger.problem(
                    &node.origin,
                    path.as_str(),
                    format!("expected a table, found {}", other.kind()),
                );
                None
            }
        };
        Self { map, path, known: Vec::new() }
    }

    /// Path of a key in this section.
    pub(crate) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of a known key, unless it is absent or null.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<&'a Node> {
        self.known.push(key);
        self.map?.get(key).filter(|node| node.value != Value::Null)
    }

    /// A table inside this one; empty if absent.
    pub(crate) fn section(&mut self, ledger: &mut Ledger, key: &'static str) -> Self {
        let path = self.path_of(key);
        match self.take(key) {
            Some(node) => Section::of(ledger, node, path),
            None => Section { map: None, path, known: Vec::new() },
        }
    }

    /// A value with a default.
    pub(crate) fn value<K: Kind>(
        &mut self,
        ledger: &mut Ledger,
        key: &'static str,
        kind: &K,
        default: K::Out,
    ) -> K::Out {
        let found = self.parsed(ledger, key, kind);
        let (value, origin) = found.unwrap_or((default, Origin::Default));
        ledger.effective(&self.path, key, kind.show(&value), &origin);
        value
    }

    /// A value that may be absent.
    pub(crate) fn optional<K: Kind>(
        &mut self,
        ledger: &mut Ledger,
        key: &'static str,
        kind: &K,
    ) -> Option<K::Out> {
        let (value, origin) = self.parsed(ledger, key, kind)?;
        ledger.effective(&self.path, key, kind.show(&value), &origin);
        Some(value)
    }

    /// Where a key's value comes from.
    pub(crate) fn origin(&self, key: &str) -> Origin {
        self.map.and_then(|map| map.get(key)).map_or(Origin::Default, |node| node.origin.clone())
    }

    fn parsed<K: Kind>(
        &mut self,
        ledger: &mut Ledger,
        key: &'static str,
        kind: &K,
    ) -> Option<(K::Out, Origin)> {
        let node = self.take(key)?;
        if node.value == Value::Invalid {
            return None;
        }
        match kind.parse(ledger, node) {
            Ok(value) => Some((value, node.origin.clone())),
            Err(message) => {
                ledger.problem(&node.origin, self.path_of(key), message);
                None
            }
        }
    }

    /// A text that may be secret, given as `key` or as the path of a file in `key_file`; the higher layer wins.
    /// `show` makes it printable.
    pub(crate) fn secret(
        &mut self,
        ledger: &mut Ledger,
        (key, file_key): (&'static str, &'static str),
        show: impl FnOnce(&str) -> String,
    ) -> Option<(String, Origin)> {
        let (direct, file) = (self.take(key), self.take(file_key));
        let by_file = match (direct, file) {
            (Some(direct), Some(file)) if direct.origin.layer() == file.origin.layer() => {
                let message = format!("{key} and {file_key} cannot both be set");
                ledger.problem(&file.origin, self.path_of(file_key), message);
                return None;
            }
            (Some(direct), Some(file)) => file.origin.layer() > direct.origin.layer(),
            (None, Some(_)) => true,
            _ => false,
        };
        if by_file {
            let (path, origin) = self.parsed(ledger, file_key, &FilePath)?;
            let text = self.secret_file(ledger, file_key, &path, &origin)?;
            ledger.effective(&self.path, file_key, quoted(&path.display().to_string()), &origin);
            return Some((text, origin));
        }
        let node = direct?;
        match &node.value {
            Value::String(text) if !text.is_empty() => {
                ledger.effective(&self.path, key, quoted(&show(text)), &node.origin);
                Some((text.clone(), node.origin.clone()))
            }
            Value::Invalid => None,
            Value::String(_) => {
                ledger.problem(&node.origin, self.path_of(key), "it is empty");
                None
            }
            other => {
                let message = format!("expected a string, found {}", other.kind());
                ledger.problem(&node.origin, self.path_of(key), message);
                None
            }
        }
    }

    fn secret_file(&self, ledger: &mut Ledger, key: &str, path: &Path, origin: &Origin) -> Option<String> {
        let fault = match read_text(path) {
            Ok(text) => match text.trim_end_matches(['\r', '\n']) {
                "" => format!("{} is empty", path.display()),
                text => return Some(text.to_owned()),
            },
            Err(reason) => format!("cannot read {}: {reason}", path.display()),
        };
        ledger.problem(origin, self.path_of(key), fault);
        None
    }

    /// Keys of the originals that have no meaning here yet.
    pub(crate) fn later(&mut self, ledger: &mut Ledger, keys: &[&'static str]) {
        for key in keys {
            self.known.push(key);
            if let Some(entry) = self.map.and_then(|map| map.entry(key)) {
                ledger.problem(&entry.key_origin, self.path_of(key), format!("{key} is {LATER}"));
            }
        }
    }

    /// Reports every key nobody asked for.
    pub(crate) fn finish(self, ledger: &mut Ledger) {
        for entry in self.map.iter().flat_map(|map| &map.entries) {
            if self.known.contains(&entry.key.as_str()) {
                continue;
            }
            let hint = match nearest(&entry.key, self.known.iter().copied()) {
                Some(name) => format!(", did you mean {name:?}?"),
                None => format!("; known are {}", self.known.join(", ")),
            };
            let message = format!("unknown key {:?}{hint}", entry.key);
            ledger.problem(&entry.key_origin, self.path_of(&entry.key), message);
        }
    }
}

/// The items of a list at `path`; a fault if it is something else.
pub(crate) fn items<'a>(ledger: &mut Ledger, node: &'a Node, path: &str) -> Option<&'a [Node]> {
    match &node.value {
        Value::List(items) => Some(items),
        Value::Invalid => None,
        other => {
            ledger.problem(&node.origin, path, format!("expected a list, found {}", other.kind()));
            None
        }
    }
}

/// A text at `path`; a fault if it is something else.
pub(crate) fn text<'a>(ledger: &mut Ledger, node: &'a Node, path: &str) -> Option<&'a str> {
    match &node.value {
        Value::String(text) => Some(text),
        Value::Invalid => None,
        Value::List(_) | Value::Map(_) | Value::Null => {
            ledger.problem(&node.origin, path, format!("expected a string, found {}", node.value.kind()));
            None
        }
        _ => {
            let message = format!("expected a string, found {}: quote it", node.value.kind());
            ledger.problem(&node.origin, path, message);
            None
        }
    }
}

/// The texts of a list at `path`; items that are something else are reported and left out.
pub(crate) fn texts<'a>(ledger: &mut Ledger, node: &'a Node, path: &str) -> Option<Vec<(&'a str, &'a Node)>> {
    let items = items(ledger, node, path)?;
    let mut texts = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        if let Some(text) = text(ledger, item, &format!("{path}[{index}]")) {
            texts.push((text, item));
        }
    }
    Some(texts)
}
