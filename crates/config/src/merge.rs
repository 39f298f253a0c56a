//! Lays variables and flags over the file.

use std::sync::Arc;

use crate::env::Env;
use crate::ledger::Ledger;
use crate::source::Origin;
use crate::tree::{Entry, MAX_DEPTH, Map, Node, Value};

/// What starts the names of variables that are settings.
const PREFIX: &str = "NEPHOS__";

/// Parts that are addressed by a URL: `bus = "…"` is short for `[bus] url = "…"`, and `bus_file` for `url_file`.
pub(crate) const BACKENDS: [&str; 4] = ["index", "bus", "store", "state"];

/// The file's tree with variables and flags laid over it.
pub(crate) fn layers(
    ledger: &mut Ledger,
    file: Option<Node>,
    env: &dyn Env,
    flags: &[(String, String)],
) -> Map {
    let mut root = match file.map(|node| node.value) {
        Some(Value::Map(map)) => map,
        _ => Map::default(),
    };
    spread_backends(ledger, &mut root);
    for (name, value) in env.variables() {
        let Some(key) = name.strip_prefix(PREFIX) else { continue };
        // Deployment tools set a variable to nothing where they mean to leave it out.
        if value.is_empty() {
            continue;
        }
        let path = key.to_ascii_lowercase().replace("__", ".");
        let origin = Origin::Variable(Arc::from(name.as_str()));
        set(ledger, &mut root, &path, Node { value: Value::String(value), origin });
    }
    for (path, value) in flags {
        let origin = Origin::Flag(Arc::from(format!("flag {path}")));
        set(ledger, &mut root, path, Node { value: Value::String(value.clone()), origin });
    }
    root
}

/// Brings the short form of the backends into the long one.
fn spread_backends(ledger: &mut Ledger, root: &mut Map) {
    for backend in BACKENDS {
        for (short, long) in [(backend.to_owned(), "url"), (format!("{backend}_file"), "url_file")] {
            let at =
                root.entries.iter().position(|entry| entry.key == short && entry.node.as_map().is_none());
            let Some(at) = at else { continue };
            let entry = root.entries.remove(at);
            let Some(map) = table(ledger, root, backend, &entry.key_origin) else { continue };
            match map.entry(long).map(|first| first.key_origin.clone()) {
                Some(first) => {
                    let first = ledger.sources.describe(&first).to_string();
                    ledger.problem(
                        &entry.key_origin,
                        short,
                        format!("{backend}.{long} is set already at {first}"),
                    );
                }
                None => map.entries.push(Entry { key: long.to_owned(), ..entry }),
            }
        }
    }
}

/// Puts a value at a dotted path, above whatever stands there.
fn set(ledger: &mut Ledger, root: &mut Map, path: &str, node: Node) {
    let mut keys: Vec<&str> = path.split('.').collect();
    if let [only] = keys.as_slice() {
        if BACKENDS.contains(only) {
            keys.push("url");
        } else if let Some(backend) = only.strip_suffix("_file").filter(|name| BACKENDS.contains(name)) {
            keys = vec![backend, "url_file"];
        }
    }
    if keys.len() > MAX_DEPTH {
        ledger.problem(&node.origin, "", "no setting has so long a name");
        return;
    }
    let Some((last, parents)) = keys.split_last() else { return };
    let mut map = root;
    for key in parents {
        match table(ledger, map, key, &node.origin) {
            Some(inner) => map = inner,
            None => return,
        }
    }
    match map.entry_mut(last) {
        Some(entry) => *entry = Entry { key: entry.key.clone(), key_origin: node.origin.clone(), node },
        None => map.entries.push(Entry { key: (*last).to_owned(), key_origin: node.origin.clone(), node }),
    }
}

/// The table of this name, made if there is none. Something else of this name is a fault and gives way.
fn table<'a>(ledger: &mut Ledger, map: &'a mut Map, key: &str, origin: &Origin) -> Option<&'a mut Map> {
    if map.entry(key).is_none() {
        let node = Node { value: Value::Map(Map::default()), origin: origin.clone() };
        map.entries.push(Entry { key: key.to_owned(), key_origin: origin.clone(), node });
    }
    let node = &mut map.entry_mut(key)?.node;
    if !matches!(node.value, Value::Map(_)) {
        ledger.problem(&node.origin, key, format!("expected a table, found {}", node.value.kind()));
        node.value = Value::Map(Map::default());
    }
    match &mut node.value {
        Value::Map(map) => Some(map),
        _ => None,
    }
}
