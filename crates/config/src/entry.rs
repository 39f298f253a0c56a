//! What entries of `polling.yaml` and `pipeline.yaml` have in common.

use std::collections::HashSet;

use crate::ledger::Ledger;
use crate::names::NameFilter;
use crate::section::{Section, text, texts};
use crate::tree::{Node, Value};

/// The required name of an entry, unique among `names`. `what` is what the entry is, `missing` what is said without.
pub(crate) fn name<'a>(
    ledger: &mut Ledger,
    section: &mut Section<'a>,
    node: &Node,
    names: &mut HashSet<&'a str>,
    (what, missing): (&str, &str),
) -> Option<&'a str> {
    let path = section.path_of("name");
    let Some(name_node) = section.take("name") else {
        if matches!(node.value, Value::Map(_)) {
            ledger.problem(&node.origin, path, missing);
        }
        return None;
    };
    let name = text(ledger, name_node, &path)?;
    if !names.insert(name) {
        ledger.problem(&name_node.origin, path, format!("Duplicated {what} names: {name}"));
    }
    Some(name)
}

/// The required list of meter names.
pub(crate) fn filter(ledger: &mut Ledger, section: &mut Section<'_>, node: &Node) -> Option<NameFilter> {
    let path = section.path_of("meters");
    let Some(meters) = section.take("meters") else {
        if matches!(node.value, Value::Map(_)) {
            ledger.problem(&node.origin, path, "Missing meters value");
        }
        return None;
    };
    let entries = texts(ledger, meters, &path)?;
    if matches!(&meters.value, Value::List(items) if items.len() > entries.len()) {
        return None;
    }
    match NameFilter::new(entries.iter().map(|(text, _)| *text)) {
        Ok(filter) => Some(filter),
        Err(fault) => {
            ledger.problem(&meters.origin, path, fault.message("meters"));
            None
        }
    }
}
