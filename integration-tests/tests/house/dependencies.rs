//! What `cargo metadata` says of packages and their dependencies.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) licence: String,
}

pub(crate) struct Metadata {
    packages: Vec<Package>,
    members: BTreeMap<String, Vec<(String, bool)>>,
}

impl Metadata {
    pub(crate) fn read() -> Self {
        let output = Command::new(env!("CARGO"))
            .args([
                "metadata",
                "--format-version",
                "1",
                "--locked",
                "--filter-platform",
                "x86_64-unknown-linux-gnu",
            ])
            .current_dir(super::tree::root())
            .output()
            .expect("run cargo metadata");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let json: Value = serde_json::from_slice(&output.stdout).expect("read cargo metadata");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut packages = Vec::new();
        let mut members = BTreeMap::new();
        for package in json["packages"].as_array().unwrap() {
            if package["source"].is_null() {
                let dependencies = package["dependencies"].as_array().unwrap().iter().map(|dependency| {
                    let renamed = dependency["rename"].as_str();
                    let name = renamed.map_or_else(|| text(&dependency["name"]), str::to_owned);
                    (name, dependency["kind"] == "dev")
                });
                members.insert(text(&package["name"]), dependencies.collect());
            } else {
                packages.push(Package {
                    name: text(&package["name"]),
                    version: text(&package["version"]),
                    licence: text(&package["license"]),
                });
            }
        }
        Self { packages, members }
    }

    /// Packages from outside.
    pub(crate) fn packages(&self) -> &[Package] {
        &self.packages
    }

    /// Our own packages.
    pub(crate) fn members(&self) -> Vec<&String> {
        self.members.keys().collect()
    }

    pub(crate) fn is_member(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Direct dependencies of one of ours; those of its tests too if asked for.
    pub(crate) fn dependencies_of(&self, name: &str, with_tests: bool) -> BTreeSet<String> {
        let all = self.members.get(name).unwrap_or_else(|| panic!("no package {name}"));
        all.iter().filter(|(_, test)| with_tests || !test).map(|(name, _)| name.clone()).collect()
    }
}

/// Whether a licence expression can be met from the list: of `OR` one side is enough, of `AND` both are needed.
pub(crate) fn allowed(expression: &str, list: &[&str]) -> bool {
    let expression = expression.replace('/', " OR ");
    let expression = expression.trim();
    if list.contains(&expression) {
        return true;
    }
    let parts = split(expression, " OR ");
    if parts.len() > 1 {
        return parts.iter().any(|part| allowed(part, list));
    }
    let parts = split(expression, " AND ");
    if parts.len() > 1 {
        return parts.iter().all(|part| allowed(part, list));
    }
    expression
        .strip_prefix('(')
        .and_then(|inner| inner.strip_suffix(')'))
        .is_some_and(|inner| allowed(inner, list))
}

/// Splits outside parentheses.
fn split<'a>(text: &'a str, separator: &str) -> Vec<&'a str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_i32, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 && at >= start && text[at..].starts_with(separator) {
            parts.push(&text[start..at]);
            start = at + separator.len();
        }
    }
    parts.push(&text[start..]);
    parts
}

#[test]
fn licence_expressions_are_understood() {
    let list = ["MIT", "Apache-2.0", "Unicode-3.0"];
    for (expression, expected) in [
        ("MIT", true),
        ("MIT OR GPL-3.0", true),
        ("GPL-3.0", false),
        ("(MIT OR GPL-3.0) AND Unicode-3.0", true),
        ("MIT AND GPL-3.0", false),
        ("MIT/Apache-2.0", true),
        ("", false),
    ] {
        assert_eq!(allowed(expression, &list), expected, "{expression}");
    }
}
