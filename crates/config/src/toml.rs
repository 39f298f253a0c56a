//! TOML into the tree.

use std::ops::Range;

use toml_edit::{Item, Key, TableLike};

use crate::ledger::Ledger;
use crate::source::{FileId, Places};
use crate::tree::{Entry, MAX_DEPTH, Map, Node, Value};

/// The whole file as a table; `None` after a fault that leaves no tree.
pub(crate) fn parse(ledger: &mut Ledger, file: FileId, text: &str) -> Option<Node> {
    let places = Places::new(file, text);
    match toml_edit::Document::parse(text) {
        Ok(document) => {
            let mut reader = Reader { places, ledger };
            let entries = reader.table(document.as_table(), 1);
            Some(Node { value: Value::Map(entries), origin: reader.places.origin(0, 0) })
        }
        Err(error) => {
            let span = error.span().unwrap_or(0..0);
            let message = error.message().trim().replace('\n', ", ");
            ledger.problem(&places.origin(span.start, span.end), "", format!("not TOML: {message}"));
            None
        }
    }
}

struct Reader<'a> {
    places: Places<'a>,
    ledger: &'a mut Ledger,
}

impl Reader<'_> {
    fn table(&mut self, table: &dyn TableLike, depth: usize) -> Map {
        let mut map = Map::default();
        for (name, item) in table.iter() {
            let key_span = table.key(name).and_then(Key::span);
            let key_range = key_span.clone().unwrap_or(0..0);
            let key_origin = self.places.origin(key_range.start, key_range.end);
            let node = self.item(item, key_span, depth + 1);
            map.entries.push(Entry { key: name.to_owned(), key_origin, node });
        }
        map
    }

    /// `fallback` is the key's place, for values that have none of their own (implicit tables).
    fn item(&mut self, item: &Item, fallback: Option<Range<usize>>, depth: usize) -> Node {
        let span = match item {
            // A table's own place is its whole body; its name says more.
            Item::Table(_) | Item::ArrayOfTables(_) => fallback.or_else(|| item.span()),
            _ => item.span().or(fallback),
        }
        .unwrap_or(0..0);
        let origin = self.places.origin(span.start, span.end);
        if depth > MAX_DEPTH {
            self.ledger.problem(&origin, "", format!("values nest deeper than {MAX_DEPTH} levels"));
            return Node { value: Value::Invalid, origin };
        }
        let value = match item {
            Item::None => Value::Null,
            Item::Table(table) => Value::Map(self.table(table, depth)),
            Item::ArrayOfTables(tables) => {
                let item = |table: &toml_edit::Table| {
                    let span = table.span().unwrap_or(0..0);
                    Node {
                        origin: self.places.origin(span.start, span.end),
                        value: Value::Map(self.table(table, depth + 1)),
                    }
                };
                Value::List(tables.iter().map(item).collect())
            }
            Item::Value(value) => return self.value(value, origin, depth),
        };
        Node { value, origin }
    }

    fn value(&mut self, value: &toml_edit::Value, origin: crate::source::Origin, depth: usize) -> Node {
        let value = match value {
            toml_edit::Value::String(text) => Value::String(text.value().clone()),
            toml_edit::Value::Integer(number) => Value::Int(*number.value()),
            toml_edit::Value::Float(number) => Value::Float(*number.value()),
            toml_edit::Value::Boolean(value) => Value::Bool(*value.value()),
            toml_edit::Value::Datetime(_) => {
                self.ledger.problem(&origin, "", "no setting is a date; quote it if it is a name");
                Value::Invalid
            }
            toml_edit::Value::Array(items) => {
                let items = items.iter().map(|item| {
                    let span = item.span().unwrap_or(0..0);
                    let origin = self.places.origin(span.start, span.end);
                    self.value(item, origin, depth + 1)
                });
                Value::List(items.collect())
            }
            toml_edit::Value::InlineTable(table) => Value::Map(self.table(table, depth)),
        };
        Node { value, origin }
    }
}
