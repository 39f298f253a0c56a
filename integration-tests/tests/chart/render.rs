//! Runs Helm and gives what it renders as JSON values.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// Where the tools are.
fn tools() -> PathBuf {
    #[allow(clippy::disallowed_methods)]
    let given = std::env::var("NEPHOS_CHART_TOOLS").ok();
    let folder = given.map_or_else(|| root().join(".tools/chart"), PathBuf::from);
    assert!(
        folder.join("installed").exists(),
        "Helm is not in {}: run `make chart-test`, which installs it",
        folder.display()
    );
    folder
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// A file of the chart.
pub(crate) fn chart_file(path: &str) -> String {
    let path = root().join("charts/nephos").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The versions of Helm the chart is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Helm {
    Three,
    Four,
}

/// What Helm rendered.
#[derive(Debug)]
pub(crate) struct Rendering {
    /// Values file without `-values.yaml`.
    pub(crate) name: String,
    pub(crate) helm: Helm,
    /// Every object.
    pub(crate) objects: Vec<Value>,
}

/// The values files of the chart.
pub(crate) fn values_files() -> Vec<String> {
    let folder = root().join("charts/nephos/ci");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("values files")
        .filter_map(|entry| {
            Some(entry.expect("entry").file_name().to_str()?.strip_suffix("-values.yaml")?.to_owned())
        })
        .collect();
    names.sort();
    names
}

/// Every values file rendered by every Helm, once for all tests.
pub(crate) fn renderings() -> &'static [Rendering] {
    static ALL: OnceLock<Vec<Rendering>> = OnceLock::new();
    ALL.get_or_init(|| {
        let names = values_files();
        assert!(names.len() >= 5, "only {names:?}");
        let each = |helm| names.iter().map(move |name| render(helm, name, &[]));
        each(Helm::Three).chain(each(Helm::Four)).collect()
    })
}

/// The rendering of one values file by Helm 4.
pub(crate) fn rendering(name: &str) -> &'static Rendering {
    renderings()
        .iter()
        .find(|rendering| rendering.helm == Helm::Four && rendering.name == name)
        .unwrap_or_else(|| panic!("no values file {name}"))
}

/// Renders a values file with further arguments.
pub(crate) fn render(helm: Helm, name: &str, arguments: &[&str]) -> Rendering {
    let (program, kubernetes) = match helm {
        Helm::Three => ("helm3", "1.32.0"),
        Helm::Four => ("helm4", "1.37.0"),
    };
    let home = tempfile::tempdir().expect("temporary folder");
    let output = Command::new(tools().join("bin").join(program))
        .args(["template", "rel", "charts/nephos", "--namespace", "telemetry", "--kube-version", kubernetes])
        .args(["--values", &format!("charts/nephos/ci/{name}-values.yaml")])
        .args(arguments)
        .current_dir(root())
        .env_clear()
        .env("HOME", home.path())
        .output()
        .expect("start helm");
    let objects = json_documents(&text_of(output));
    Rendering { name: name.to_owned(), helm, objects }
}

/// The documents of a YAML text. Only the configuration crate may parse YAML in Rust; the chart's tools do it here.
pub(crate) fn json_documents(yaml: &str) -> Vec<Value> {
    const CONVERT: &str = "import json, sys, yaml; \
        json.dump([document for document in yaml.safe_load_all(sys.stdin) if document is not None], sys.stdout)";
    let mut child = Command::new(tools().join("venv/bin/python"))
        .args(["-c", CONVERT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start python");
    let mut input = child.stdin.take().expect("standard input");
    let yaml = yaml.to_owned();
    let writer = std::thread::spawn(move || input.write_all(yaml.as_bytes()).expect("write to python"));
    let output = child.wait_with_output().expect("python");
    writer.join().expect("writer");
    serde_json::from_str(&text_of(output)).expect("JSON of python")
}

fn text_of(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Checks every workload of every rendering.
pub(crate) fn each_workload(check: impl Fn(&Rendering, &Value, &str)) {
    for rendering in renderings() {
        let mut count = 0;
        for workload in rendering.workloads() {
            check(rendering, workload, &rendering.at(workload));
            count += 1;
        }
        assert!(count > 0, "{} has no workload", rendering.name);
    }
}
