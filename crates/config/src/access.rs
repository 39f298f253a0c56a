//! The policy file: rules of access in the place of the shipped ones, by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use nephos_lang::access::{Rule, RuleText, Rules};

use crate::ledger::Ledger;
use crate::names::nearest;
use crate::section::items;
use crate::source::Origin;
use crate::tree::{Node, Value};

/// Reads the rules; the shipped ones after a fault.
pub(crate) fn read(ledger: &mut Ledger, root: &Node) -> Arc<Rules> {
    let map = match &root.value {
        Value::Map(map) => map,
        // A file that only holds comments changes nothing.
        Value::Null | Value::Invalid => return Rules::shipped(),
        other => {
            ledger.problem(&root.origin, "", format!("expected rules by name, found {}", other.kind()));
            return Rules::shipped();
        }
    };
    let (mut rules, mut origins) = (BTreeMap::new(), BTreeMap::<&str, &Origin>::new());
    let mut sound = true;
    for entry in &map.entries {
        origins.insert(&entry.key, &entry.key_origin);
        match rule(ledger, &entry.node, &entry.key) {
            Some(rule) => drop(rules.insert(entry.key.clone(), rule)),
            None => sound = false,
        }
    }
    // What a broken rule would have referred to is unknown.
    if !sound {
        return Rules::shipped();
    }
    match Rules::new(rules) {
        Ok(rules) => Arc::new(rules),
        Err(faults) => {
            for fault in faults {
                let origin = origins.get(fault.rule.as_str()).copied().unwrap_or(&root.origin);
                let known = Rule::ALL.iter().map(|rule| rule.name());
                let hint = match nearest(&fault.rule, known) {
                    Some(name) if name != fault.rule => format!("; did you mean {name:?}?"),
                    _ => String::new(),
                };
                ledger.problem(origin, fault.rule.as_str(), format!("{}{hint}", fault.message));
            }
            Rules::shipped()
        }
    }
}

/// A rule as text, or in the older form: alternatives, each a check or a list of checks that must hold together.
fn rule(ledger: &mut Ledger, node: &Node, path: &str) -> Option<RuleText> {
    let Value::List(alternatives) = &node.value else { return text(ledger, node, path) };
    let mut any = Vec::with_capacity(alternatives.len());
    for (index, alternative) in alternatives.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let Value::List(_) = &alternative.value else {
            any.push(text(ledger, alternative, &path).map(|check| vec![check]));
            continue;
        };
        let parts = items(ledger, alternative, &path)?.iter().enumerate();
        let parts: Vec<_> =
            parts.map(|(index, part)| text(ledger, part, &format!("{path}[{index}]"))).collect();
        any.push(parts.into_iter().collect());
    }
    let any = any.into_iter().collect::<Option<Vec<_>>>()?;
    Some(RuleText::any_of(&any))
}

fn text(ledger: &mut Ledger, node: &Node, path: &str) -> Option<RuleText> {
    let text = match &node.value {
        Value::Null => "",
        _ => crate::section::text(ledger, node, path)?,
    };
    match RuleText::parse(text) {
        Ok(rule) => Some(rule),
        Err(error) => {
            ledger.problem(&node.origin, path, error.to_string());
            None
        }
    }
}
