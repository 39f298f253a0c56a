//! How a value is found: a path, a constant, or several paths of which the first match counts.

use nephos_lang::jsonpath::Path;

use super::Definition;
use crate::ledger::Ledger;
use crate::section::{LATER, Section};
use crate::tree::{Node, Value};

const PLUGINS: [&str; 4] = ["split", "bitfield", "timedelta", "map"];

/// A definition value; `None` after a fault. `name` is what it defines.
pub(super) fn read(ledger: &mut Ledger, node: &Node, path: &str, name: &str) -> Option<Definition> {
    match &node.value {
        Value::Map(_) => {
            let mut section = Section::of(ledger, node, path);
            let fields = section.take("fields");
            let plugin = section.take("plugin");
            section.finish(ledger);
            if let Some(plugin) = plugin {
                ledger.problem(&plugin.origin, format!("{path}.plugin"), plugin_fault(plugin, name));
            }
            match fields {
                Some(fields) => simple(ledger, fields, &format!("{path}.fields"), name),
                None => {
                    ledger.problem(&node.origin, path, format!("The field 'fields' is required for {name}"));
                    None
                }
            }
        }
        _ => simple(ledger, node, path, name),
    }
}

fn plugin_fault(plugin: &Node, name: &str) -> String {
    let word = match &plugin.value {
        Value::String(word) => Some(word),
        Value::Map(map) => map.get("name").and_then(|node| match &node.value {
            Value::String(word) => Some(word),
            _ => None,
        }),
        _ => None,
    };
    match word {
        Some(word) if PLUGINS.contains(&word.as_str()) => format!("plugin {word} is {LATER}"),
        Some(word) => format!("No plugin named {word} available for {name}"),
        None => format!("Plugin specified, but no plugin name supplied for {name}"),
    }
}

fn simple(ledger: &mut Ledger, node: &Node, path: &str, name: &str) -> Option<Definition> {
    let text = match &node.value {
        Value::Int(constant) => return Some(Definition::Constant(*constant)),
        Value::String(text) => text.clone(),
        Value::List(items) => union(ledger, items, path)?,
        Value::Invalid => return None,
        other => {
            ledger.problem(&node.origin, path, format!("expected a JSONPath, found {}", other.kind()));
            return None;
        }
    };
    match Path::parse(&text) {
        Ok(parsed) => Some(Definition::Path(parsed)),
        Err(error) => {
            let message =
                format!("Parse error in JSONPath specification '{text}' for {name}: {}", error.message);
            ledger.problem(&node.origin, path, message);
            None
        }
    }
}

/// Several paths as one text, the way the original joins them.
fn union(ledger: &mut Ledger, items: &[Node], path: &str) -> Option<String> {
    let mut texts = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        match &item.value {
            Value::String(text) => texts.push(text.as_str()),
            Value::Invalid => return None,
            other => {
                let message = format!("expected a JSONPath, found {}", other.kind());
                ledger.problem(&item.origin, format!("{path}[{index}]"), message);
                return None;
            }
        }
    }
    Some(match texts.as_slice() {
        [only] => (*only).to_owned(),
        several => several.iter().map(|text| format!("({text})")).collect::<Vec<_>>().join("|"),
    })
}
