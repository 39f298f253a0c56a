//! Nephos against Gnocchi: `conformance/run`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::process::Command;

use nephos_integration_tests::process::binary;

/// Runs one of the comparisons; what it prints says what differs.
fn alike(arguments: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/run");
    let output = Command::new(script).args(arguments).arg("--nephos").arg(binary()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
}

#[test]
fn recorded_answers_of_gnocchi_are_given_on_files() {
    alike(&["replay", "--backend", "files"]);
}

#[test]
fn recorded_answers_of_gnocchi_are_given_on_servers() {
    alike(&["replay", "--backend", "servers"]);
}

#[test]
fn gnocchis_own_suites_pass_on_both_kinds_of_storage() {
    alike(&["suites", "--backend", "both"]);
}
