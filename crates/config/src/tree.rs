//! What TOML and YAML have in common: a tree of values that know where they stand.

use crate::source::Origin;

/// Most values of one file, counted after aliases are followed.
pub(crate) const MAX_NODES: usize = 20_000;
/// Deepest nesting of one file.
pub(crate) const MAX_DEPTH: usize = 64;
/// Largest file in bytes.
pub(crate) const MAX_BYTES: u64 = 1024 * 1024;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    String(String),
    List(Vec<Node>),
    Map(Map),
    /// Its fault is reported already; whoever meets it passes by.
    Invalid,
}

/// Keys in the order of the file, no two equal.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Map {
    pub(crate) entries: Vec<Entry>,
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_origin: Origin,
    pub(crate) node: Node,
}

impl Value {
    /// What it is, in a sentence.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a number",
            Self::String(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a table",
            Self::Invalid => "an invalid value",
        }
    }
}

impl Map {
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    pub(crate) fn entry_mut(&mut self, key: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.key == key)
    }
}

impl Node {
    pub(crate) fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// How many values it holds, itself included, and how deeply they nest.
    pub(crate) fn size(&self) -> (usize, usize) {
        let fold = |(count, depth): (usize, usize), node: &Self| {
            let (inner, height) = node.size();
            (count + inner, depth.max(height + 1))
        };
        match &self.value {
            Value::List(items) => items.iter().fold((1, 1), fold),
            Value::Map(map) => map.entries.iter().map(|entry| &entry.node).fold((1, 1), fold),
            _ => (1, 1),
        }
    }
}
