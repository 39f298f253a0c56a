//! The rules of the house, held over `cargo metadata` and the source tree: who may depend on whom, which licences come
//! in, what is documented, how long files are.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod house {
    pub(crate) mod dependencies;
    pub(crate) mod tree;
}

use std::collections::{BTreeMap, BTreeSet};

use house::dependencies::Metadata;
use house::tree;

/// Rooms from the ground up. A room may depend on rooms of lower floors only, never sideways.
const FLOORS: &[&[&str]] = &[
    &["nephos-model"],
    &["nephos-lang", "nephos-timeseries", "nephos-wire"],
    &["nephos-config", "nephos-observe"],
    &["nephos-sql"],
    &["nephos-index", "nephos-bus", "nephos-coordination", "nephos-identity", "nephos-hypervisor"],
    &["nephos-metric-store"],
    &["nephos-pipeline"],
    &[
        "nephos-polling-agent",
        "nephos-notification-agent",
        "nephos-collector",
        "nephos-api",
        "nephos-alarm-evaluator",
        "nephos-alarm-notifier",
    ],
    &["nephos"],
    &["nephos-integration-tests"],
];

/// Crates that do no I/O and know no clock.
const PURE: &[&str] = &["nephos-model", "nephos-lang", "nephos-timeseries", "nephos-wire"];
/// What a pure crate must not have.
const IMPURE: &[&str] = &["tokio", "sqlx", "reqwest", "axum", "lapin", "rand", "rustix", "tracing"];

/// Drivers, and the only rooms that may name them.
const DRIVERS: &[(&str, &[&str])] = &[
    ("lapin", &["nephos-bus"]),
    ("object_store", &["nephos-metric-store"]),
    ("sqlx", &["nephos-sql"]),
    ("axum", &["nephos-api", "nephos-observe", "nephos-metric-store"]),
    (
        "reqwest",
        &["nephos-pipeline", "nephos-alarm-notifier", "nephos-metric-store", "nephos-identity", "nephos"],
    ),
    ("serde_yaml", &["nephos-config"]),
    ("tokio-cron-scheduler", &["nephos-polling-agent", "nephos"]),
];

/// Crates of which there must be one version only.
const SINGLE: &[&str] = &["rustls", "hyper", "tokio", "axum", "sqlx"];

/// Licences that may come in.
const LICENCES: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unlicense",
    "Unicode-3.0",
    "BSL-1.0",
    "CC0-1.0",
    "0BSD",
    "CDLA-Permissive-2.0",
    "MIT-0",
];

fn floor(name: &str) -> usize {
    FLOORS.iter().position(|floor| floor.contains(&name)).unwrap_or_else(|| panic!("{name} is on no floor"))
}

fn assert_empty(problems: Vec<String>) {
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn rooms_depend_only_downwards() {
    let metadata = Metadata::read();
    let mut problems = Vec::new();
    for room in metadata.members() {
        for dependency in metadata.dependencies_of(room, false).iter().filter(|name| metadata.is_member(name))
        {
            if floor(dependency) >= floor(room) {
                problems.push(format!("{room} must not depend on {dependency}"));
            }
        }
    }
    assert_empty(problems);
}

#[test]
fn pure_rooms_have_no_means_of_io() {
    let metadata = Metadata::read();
    let mut problems = Vec::new();
    for room in PURE {
        for dependency in metadata.dependencies_of(room, false) {
            if IMPURE.contains(&dependency.as_str()) {
                problems.push(format!("{room} must stay pure, but depends on {dependency}"));
            }
        }
    }
    assert_empty(problems);
}

#[test]
fn drivers_are_named_in_their_rooms_only() {
    let metadata = Metadata::read();
    let mut problems = Vec::new();
    for (driver, rooms) in DRIVERS {
        // Tests from outside speak to servers and clients as they are.
        for room in metadata.members().into_iter().filter(|room| *room != "nephos-integration-tests") {
            let named = metadata.dependencies_of(room, false).contains(*driver);
            if named && !rooms.contains(&room.as_str()) {
                problems.push(format!("{room} must not name {driver}"));
            }
        }
    }
    assert_empty(problems);
}

#[test]
fn one_version_of_what_must_be_one() {
    let metadata = Metadata::read();
    let mut versions: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for package in metadata.packages() {
        if let Some(name) = SINGLE.iter().find(|name| **name == package.name) {
            versions.entry(name).or_default().insert(package.version.clone());
        }
    }
    let problems = versions
        .into_iter()
        .filter(|(_, versions)| versions.len() > 1)
        .map(|(name, versions)| format!("{name} comes in {versions:?}"))
        .collect();
    assert_empty(problems);
}

#[test]
fn licences_are_on_the_list() {
    let problems = Metadata::read()
        .packages()
        .iter()
        .filter(|package| !house::dependencies::allowed(&package.licence, LICENCES))
        .map(|package| format!("{} {}: {}", package.name, package.version, package.licence))
        .collect();
    assert_empty(problems);
}

#[test]
fn every_direct_dependency_has_a_reason() {
    let metadata = Metadata::read();
    let document = tree::read("docs/dependencies.md");
    let mut named = BTreeSet::new();
    for room in metadata.members() {
        named.extend(
            metadata.dependencies_of(room, true).into_iter().filter(|name| !metadata.is_member(name)),
        );
    }
    let missing = named
        .iter()
        .filter(|name| !document.contains(&format!("| `{name}` |")))
        .map(|name| format!("docs/dependencies.md has no line for {name}"));
    let listed = document.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let stale = listed
        .filter(|name| !named.contains(*name))
        .map(|name| format!("docs/dependencies.md names {name}, which nothing uses"));
    assert_empty(missing.chain(stale).collect());
}

#[test]
fn the_code_map_names_every_room() {
    let map = tree::read("ARCHITECTURE.md");
    let problems = Metadata::read()
        .members()
        .iter()
        .filter(|room| !map.contains(&format!("`{room}`")))
        .map(|room| format!("ARCHITECTURE.md does not name {room}"))
        .collect();
    assert_empty(problems);
    assert!(map.lines().count() <= 300, "ARCHITECTURE.md is longer than 300 lines");
}

#[test]
fn sources_are_short_and_say_what_they_are() {
    let mut problems = Vec::new();
    for (path, text) in tree::sources() {
        let lines = text.lines().count();
        if lines > 500 {
            problems.push(format!("{path}: {lines} lines, more than 500"));
        }
        // Tests say in their names what they are about.
        let is_test = path.contains("/tests/") || path.ends_with("tests.rs");
        if !is_test && !text.starts_with("//!") {
            problems.push(format!("{path}: does not begin with module documentation"));
        }
        if path.ends_with("/mod.rs") {
            problems.push(format!("{path}: name the file after the module"));
        }
        for (number, line) in text.lines().enumerate() {
            if line != line.trim_end() {
                problems.push(format!("{path}:{}: trailing blank", number + 1));
            }
        }
    }
    assert_empty(problems);
}
