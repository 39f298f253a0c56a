//! Every command of the `gnocchi` client. A command that a new version brings and that is not run here fails the test.

use std::path::Path;

use serde_json::{Value, json};

use super::shell::Shell;
use super::support::{column, start};

const QUIET: &[(&str, &str)] = &[("NEPHOS__POLLING__ENABLED", "false")];

/// The values of a list of measures, with their granularity.
fn points(measures: &Value) -> Vec<(f64, f64)> {
    let number = |value: &Value| value.as_f64().unwrap();
    let rows = measures.as_array().unwrap_or_else(|| panic!("no list: {measures}")).iter();
    rows.map(|row| (number(&row["granularity"]), number(&row["value"]))).collect()
}

fn file(folder: &Path, name: &str, content: &Value) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content.to_string()).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn every_command_of_the_gnocchi_client_works() {
    let folder = tempfile::tempdir().unwrap();
    let (_nephos, url) = start(folder.path(), QUIET).await;
    let mut shell = Shell::start(&url);
    assert!(shell.not_run().len() >= 40, "only {:?}", shell.not_run());
    policies(&mut shell);
    types(&mut shell);
    resources(&mut shell);
    metrics(&mut shell, folder.path());
    across_metrics(&mut shell);
    benchmarks(&mut shell);
    server(&mut shell);
    removal(&mut shell);
    assert_eq!(shell.not_run(), [""; 0], "commands that no test runs");
}

fn policies(shell: &mut Shell) {
    let definition = ["-d", "granularity:60,points:100", "-b", "1", "-m", "mean", "-m", "count", "-m", "max"];
    let created = shell.json(&[&["archive-policy", "create", "minutes"], &definition[..]].concat());
    assert_eq!((&created["back_window"], &created["aggregation_methods"][2]), (&json!(1), &json!("max")));
    shell.json(&["archive-policy", "update", "minutes", "-d", "granularity:60,points:200"]);
    let shown = shell.json(&["archive-policy", "show", "minutes"]);
    assert_eq!(shown["definition"][0]["points"], 200);
    shell.json(&["archive-policy", "create", "spare", "-d", "granularity:1,points:1"]);
    let list = shell.json(&["archive-policy", "list"]);
    assert!(column(&list, "name").contains(&&json!("minutes")), "{list}");
    let rule = ["archive-policy-rule", "create", "-a", "minutes", "-m", "disk.*", "disks"];
    assert_eq!(shell.json(&rule)["archive_policy_name"], "minutes");
    shell.done(&["archive-policy-rule", "update", "disks", "-n", "all disks"]);
    assert_eq!(shell.json(&["archive-policy-rule", "show", "all disks"])["metric_pattern"], "disk.*");
    assert_eq!(column(&shell.json(&["archive-policy-rule", "list"]), "name"), ["all disks", "default"]);
}

fn types(shell: &mut Shell) {
    let created = shell.json(&["resource-type", "create", "server", "-a", "rack:string:true:max_length=8"]);
    assert_eq!(created["attributes/rack"], "max_length=8, min_length=0, required=True, type=string");
    let changed =
        shell.json(&["resource-type", "update", "server", "-a", "cores:number:false", "-r", "rack"]);
    assert_eq!(
        (changed["attributes/rack"].clone(), changed["state"].clone()),
        (Value::Null, json!("active"))
    );
    shell.json(&["resource-type", "update", "server", "-a", "rack:string:false"]);
    let shown = shell.json(&["resource-type", "show", "server"]);
    assert_eq!(shown["attributes/cores"], "max=None, min=None, required=False, type=number");
    let list = shell.json(&["resource-type", "list"]);
    assert!(column(&list, "name").contains(&&json!("server")), "{list}");
}

fn resources(shell: &mut Shell) {
    let create = ["resource", "create", "-t", "server", "-a", "rack:a", "-a", "cores:8", "-n", "cpu:minutes"];
    let one = shell.json(&[&create[..], &["-a", "project_id:x", "one"]].concat());
    assert_eq!((&one["cores"], &one["original_resource_id"]), (&json!(8.0), &json!("one")));
    shell.json(&[&create[..], &["-n", "disk.read:", "two"]].concat());
    let two = shell.json(&["resource", "show", "-t", "server", "two"]);
    assert_eq!(two["metrics"].as_object().unwrap().len(), 2, "{two}");
    let update =
        ["resource", "update", "-t", "server", "-a", "rack:b", "-d", "disk.read", "-n", "load:low", "two"];
    let two = shell.json(&update);
    assert_eq!(two["rack"], "b");
    assert_eq!(two["metrics"].as_object().unwrap().keys().collect::<Vec<_>>(), ["cpu", "load"]);
    let history = shell.json(&["resource", "history", "-t", "server", "two"]);
    assert_eq!(column(&history, "rack"), ["a", "b"]);
    let first = shell.json(&["resource", "list", "--limit", "1", "--sort", "original_resource_id:desc"]);
    assert_eq!(column(&first, "original_resource_id"), ["two"]);
    let next = shell.json(&[
        "resource",
        "list",
        "--sort",
        "original_resource_id:desc",
        "--marker",
        first[0]["id"].as_str().unwrap(),
    ]);
    assert_eq!(column(&next, "original_resource_id"), ["one"]);
    for (query, found) in
        [("rack = b", "two"), ("cores > 4 and project_id = x", "one"), ("not rack = b", "one")]
    {
        let answer = shell.json(&["resource", "search", "-t", "server", query]);
        assert_eq!(column(&answer, "original_resource_id"), [found], "{query}");
    }
    let revisions =
        shell.json(&["resource", "search", "-t", "server", "--history", "original_resource_id = two"]);
    assert_eq!(revisions.as_array().unwrap().len(), 2);
    let refused = shell.refused(&["resource", "search", "-t", "server", "colour = red"]);
    assert!(refused.contains("HTTP 400"), "{refused}");
}

fn metrics(shell: &mut Shell, folder: &Path) {
    // Of the resource's metrics, which come in any order, the client shows the first.
    shell.json(&["metric", "create", "-r", "one", "-u", "B/s", "disk.write"]);
    let shown = shell.json(&["metric", "show", "-r", "one", "disk.write"]);
    assert_eq!((&shown["unit"], &shown["archive_policy/name"]), (&json!("B/s"), &json!("minutes")));
    let id = shown["id"].as_str().unwrap();
    assert_eq!(shell.json(&["metric", "list"]).as_array().unwrap().len(), 5, "one of them detached");

    shell.done(&["measures", "add", "-m", "2026-11-21T10:00:00@4", "-m", "2026-11-21T10:00:30@8", id]);
    let batch =
        file(folder, "metrics.json", &json!({id: [{"timestamp": "2026-11-21T10:01:00", "value": 5}]}));
    shell.done(&["measures", "batch-metrics", &batch]);
    let one = |value: f64| json!([{"timestamp": "2026-11-21T10:00:00", "value": value}]);
    let batch = json!({"one": {"cpu": one(10.0), "fan": {"archive_policy_name": "minutes", "measures": one(1.0)}},
        "two": {"cpu": one(30.0)}});
    let batch = file(folder, "resources.json", &batch);
    let unknown = shell.refused(&["measures", "batch-resources-metrics", &batch]);
    assert!(unknown.contains("/fan (HTTP 400)"), "{unknown}");
    shell.done(&["measures", "batch-resources-metrics", "--create-metrics", &batch]);

    let show = ["measures", "show", "--refresh", "--utc", id];
    let all = shell.json(&show);
    assert_eq!(points(&all), [(60.0, 6.0), (60.0, 5.0)]);
    assert_eq!(all[0]["timestamp"], "2026-11-21T10:00:00+00:00");
    let with = |flags: &[&'static str]| [&show[..], flags].concat();
    assert_eq!(
        points(&shell.json(&with(&["--aggregation", "max", "--stop", "2026-11-21T10:01"]))),
        [(60.0, 8.0)]
    );
    assert_eq!(points(&shell.json(&with(&["--granularity", "60", "--resample", "3600"]))), [(3600.0, 5.5)]);
    assert_eq!(points(&shell.json(&["measures", "show", "-r", "one", "fan"])), [(60.0, 1.0)]);
    shell.done(&["metric", "delete", "-r", "one", "fan"]);
    let gone = shell.refused(&["metric", "show", "-r", "one", "fan"]);
    assert!(gone.contains("HTTP 404"), "{gone}");
}

fn across_metrics(shell: &mut Shell) {
    let cpu = |shell: &mut Shell, resource: &str| {
        shell.json(&["metric", "show", "-r", resource, "cpu"])["id"].as_str().unwrap().to_owned()
    };
    let (one, two) = (cpu(shell, "one"), cpu(shell, "two"));
    let both = ["measures", "aggregation", "-m", &one, &two, "--aggregation", "mean"];
    assert_eq!(points(&shell.json(&both)), [(60.0, 20.0)]);
    let most = shell.json(&[&both[..], &["--reaggregation", "max"]].concat());
    assert_eq!(points(&most), [(60.0, 30.0)]);
    let query = ["measures", "aggregation", "-m", "cpu", "--query", "cores = 8", "--resource-type", "server"];
    let groups = shell.json(&[&query[..], &["--groupby", "rack", "--aggregation", "mean"]].concat());
    assert_eq!(column(&groups, "group"), ["rack: a", "rack: b"]);
    assert_eq!(points(&groups), [(60.0, 10.0), (60.0, 30.0)]);

    let sum = format!("(+ (metric {one} mean) (metric {two} mean))");
    let answer = shell.json(&["aggregates", &sum]);
    assert_eq!((column(&answer, "name"), points(&answer)), (vec![&json!("aggregated")], vec![(60.0, 40.0)]));
    let answer = shell.json(&[
        "aggregates",
        "(* 2 (metric cpu max))",
        "rack in [a, b]",
        "--resource-type",
        "server",
        "--groupby",
        "rack",
        "--fill",
        "0",
    ]);
    assert_eq!(column(&answer, "group"), ["rack: a", "rack: b"]);
    assert_eq!(points(&answer), [(60.0, 20.0), (60.0, 60.0)]);
}

fn benchmarks(shell: &mut Shell) {
    let number = |stats: &Value, key: &str| stats[key].as_f64().unwrap_or_else(|| panic!("{key}: {stats}"));
    let stats = shell.json(&["benchmark", "metric", "create", "-w", "2", "-n", "4", "-a", "low"]);
    assert_eq!((number(&stats, "create executed"), number(&stats, "create failures")), (4.0, 0.0));
    assert_eq!((number(&stats, "delete executed"), number(&stats, "delete failures")), (4.0, 0.0));
    let id = shell.json(&["metric", "create", "-a", "low"])["id"].as_str().unwrap().to_owned();
    let stats = shell.json(&["benchmark", "metric", "show", "-w", "2", "-n", "4", &id]);
    assert_eq!((number(&stats, "show executed"), number(&stats, "show failures")), (4.0, 0.0));
    let stats = shell.json(&["benchmark", "measures", "add", "-w", "2", "-n", "40", "-b", "10", &id]);
    assert_eq!((number(&stats, "push executed"), number(&stats, "push failures")), (4.0, 0.0));
    let stats = shell.json(&["benchmark", "measures", "show", "-w", "2", "-n", "4", &id]);
    assert_eq!((number(&stats, "show executed"), number(&stats, "show failures")), (4.0, 0.0));
    shell.done(&["metric", "delete", &id]);
}

fn server(shell: &mut Shell) {
    let methods = shell.json(&["capabilities", "list"])["aggregation_methods"].clone();
    assert_eq!(methods.as_array().unwrap().len(), 216);
    let status = shell.json(&["status"]);
    assert_eq!(status["storage/total number of measures to process"], 0, "{status}");
    let version = shell.json(&["server", "version"]);
    assert!(version.to_string().contains("4.7.1"), "{version}");
}

fn removal(shell: &mut Shell) {
    shell.done(&["resource", "delete", "two"]);
    assert_eq!(
        shell.json(&["resource", "batch", "delete", "-t", "server", "rack = a"]),
        json!({"deleted": 1})
    );
    assert_eq!(shell.json(&["resource", "list"]), json!([]));
    shell.done(&["resource-type", "delete", "server"]);
    shell.done(&["archive-policy-rule", "delete", "all disks"]);
    shell.done(&["archive-policy", "delete", "spare"]);
    let used = shell.refused(&["archive-policy", "delete", "low"]);
    assert!(used.contains("still in use"), "{used}");
}
