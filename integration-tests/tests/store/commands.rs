//! `nephos store …` as an operator uses it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nephos_integration_tests::{Http, Nephos, process};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

/// What a command printed and how it ended.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    /// What it printed, if it succeeded and complained about nothing.
    fn result(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{}", self.out);
        self.out
    }

    fn json(self) -> Value {
        serde_json::from_str(&self.result()).unwrap()
    }
}

fn data(folder: &Path) -> PathBuf {
    folder.join("nephos-data")
}

fn store(folder: &Path, arguments: &[&str]) -> Said {
    let arguments = [&["store"], arguments].concat();
    let mut command = process::command(&arguments);
    let output = command.current_dir(folder).env("NEPHOS__DATA_DIR", data(folder)).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

async fn start(folder: &Path) -> (Nephos, Http) {
    let settings = [("NEPHOS__POLLING__ENABLED", "false"), ("NEPHOS__STORE__MIN_FREE", "0")];
    // A port file of an earlier start would be read as this one's.
    let _was_there = std::fs::remove_file(folder.join("nephos-0.ports.json")).is_ok();
    let nephos = Nephos::start("run", folder, "nephos", &settings);
    let api = Http::new(&nephos.url("api").await);
    (nephos, api)
}

/// Two metrics of different policies, each with measures of five hours; their ids.
async fn fill(api: &Http) -> Vec<String> {
    let mut ids = Vec::new();
    for policy in ["high", "low"] {
        let metric = api.post("/v1/metric", &json!({"archive_policy_name": policy})).await.expect(201).json();
        let id = metric["id"].as_str().unwrap().to_owned();
        let measures: Value = (0..600)
            .map(|at| json!({"timestamp": 1_790_000_000 + at * 30, "value": f64::from(at) * 0.1}))
            .collect();
        api.post(&format!("/v1/metric/{id}/measures"), &measures).await.expect(202);
        ids.push(id);
    }
    ids
}

async fn shown(api: &Http, ids: &[String]) -> Vec<Value> {
    let mut shown = Vec::new();
    for id in ids {
        for method in ["mean", "max", "std", "count"] {
            let path = format!("/v1/metric/{id}/measures?aggregation={method}");
            shown.push(api.get(&path).await.expect(200).json());
        }
    }
    assert!(shown.iter().all(|points| points.as_array().unwrap().len() > 50));
    shown
}

#[tokio::test]
async fn a_store_in_use_is_looked_at_and_checked_but_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut nephos, api) = start(folder.path()).await;
    let ids = fill(&api).await;

    let found = store(folder.path(), &["inspect", "--format", "json"]).json();
    assert_eq!(found["shards"].as_array().unwrap().len(), 1);
    assert!(found["shards"][0]["log_bytes"].as_u64().unwrap() > 1_000, "{found}");
    assert_eq!(store(folder.path(), &["verify"]).result(), "no problems\n");
    assert_eq!(store(folder.path(), &["verify", "--format", "json"]).json(), json!([]));
    let rows = store(folder.path(), &["export", "--metric", &ids[1]]).result();
    assert!(rows.contains(&format!("metric,{},", ids[1])) && !rows.contains(&ids[0]), "{rows}");
    assert_eq!(rows.lines().filter(|line| line.starts_with("raw,")).count(), 600);

    let pid = format!("is in use by process {};", nephos.pid());
    std::fs::write(folder.path().join("rows.csv"), rows).unwrap();
    for refused in [&["compact"][..], &["import", "--replace", "rows.csv"]] {
        let said = store(folder.path(), refused);
        assert_eq!(said.code, Some(1));
        assert!(said.err.contains(&pid), "{}", said.err);
    }
    assert_eq!(nephos.stop(PATIENCE).await, Some(0));
}

#[tokio::test]
async fn a_store_is_merged_taken_out_and_put_in_again() {
    let folder = tempfile::tempdir().unwrap();
    let (mut nephos, api) = start(folder.path()).await;
    let ids = fill(&api).await;
    let before = shown(&api, &ids).await;
    assert_eq!(nephos.stop(PATIENCE).await, Some(0));

    let merged = store(folder.path(), &["compact"]).result();
    assert!(merged.contains(" bytes before, ") && merged.ends_with(" bytes now\n"), "{merged}");
    let found = store(folder.path(), &["inspect", "--format", "json"]).json();
    let segments = found["shards"][0]["segments"].as_array().unwrap();
    assert_eq!((segments.len(), &segments[0]["metrics"], &segments[0]["deleted"]), (1, &json!(2), &json!(0)));
    let buckets = segments[0]["buckets"].as_u64().unwrap();
    let rows: u64 = found["encodings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|encoding| encoding["name"].as_str().unwrap().starts_with("times"))
        .map(|encoding| encoding["rows"].as_u64().unwrap())
        .sum();
    assert_eq!(rows, buckets, "{found}");
    let table = store(folder.path(), &["inspect"]).result();
    let heading = ["SHARD", "SEGMENT", "BYTES", "METRICS", "DELETED", "CHUNKS", "BUCKETS", "RAW", "B/BUCKET"];
    assert_eq!(table.lines().next().unwrap().split_whitespace().collect::<Vec<_>>(), heading);
    assert!(table.contains(segments[0]["name"].as_str().unwrap()) && table.contains("ENCODING"), "{table}");

    let said = store(folder.path(), &["export", "--output", "all.csv"]).result();
    assert!(said.starts_with("2 metrics, "), "{said}");
    assert!(!folder.path().join("all.csv.partial").exists());
    let text = std::fs::read_to_string(folder.path().join("all.csv")).unwrap();
    assert_eq!(store(folder.path(), &["export"]).result(), text, "standard output is the same");
    std::fs::rename(data(folder.path()).join("store"), folder.path().join("aside")).unwrap();

    // Cut, it is refused as a whole.
    std::fs::write(folder.path().join("cut.csv"), &text[..text.len() / 2]).unwrap();
    let cut = store(folder.path(), &["import", "cut.csv"]);
    assert_eq!(cut.code, Some(1));
    assert!(cut.err.contains("cut.csv: line ") && cut.err.contains("nothing was imported"), "{}", cut.err);
    assert_eq!(store(folder.path(), &["import", "all.csv"]).result(), said);
    let again = store(folder.path(), &["import", "all.csv"]);
    assert!(again.code == Some(1) && again.err.contains("--replace"), "{}", again.err);
    assert_eq!(store(folder.path(), &["import", "--replace", "all.csv"]).result(), said);
    assert_eq!(store(folder.path(), &["export"]).result(), text);

    let (mut nephos, api) = start(folder.path()).await;
    assert_eq!(shown(&api, &ids).await, before);
    assert_eq!(nephos.stop(PATIENCE).await, Some(0));
}

#[tokio::test]
async fn a_flipped_byte_is_found_and_its_file_named() {
    let folder = tempfile::tempdir().unwrap();
    let (mut nephos, api) = start(folder.path()).await;
    fill(&api).await;
    assert_eq!(nephos.stop(PATIENCE).await, Some(0));
    store(folder.path(), &["compact"]).result();
    let shard = data(folder.path()).join("store/shard-0000");
    let files = std::fs::read_dir(shard).unwrap().map(|entry| entry.unwrap().path());
    let segment = files.filter(|path| path.extension().is_some_and(|end| end == "nseg")).last().unwrap();
    let mut content = std::fs::read(&segment).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::write(&segment, content).unwrap();

    let said = store(folder.path(), &["verify"]);
    assert_eq!(said.code, Some(1));
    let name = segment.display().to_string();
    assert!(said.out.starts_with(&format!("{name}: ")), "{}", said.out);
    let said = store(folder.path(), &["verify", "--format", "json"]);
    assert_eq!(said.code, Some(1));
    let problems: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(problems[0]["path"], name.as_str(), "{problems}");
}

#[test]
fn the_engine_measures_itself_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("made");
    std::fs::create_dir(&made).unwrap();
    let made_here = made.display().to_string();
    let small = ["bench", "--instances", "2", "--readings", "30", "--runs", "5", "--folder", &made_here];
    let table = store(folder.path(), &small).result();
    assert!(table.lines().count() > 5 && table.contains("goal: at most"), "{table}");
    let figures = store(folder.path(), &[&small[..], &["--format", "json"]].concat()).json();
    let figures = figures.as_array().unwrap();
    assert_eq!(figures.len(), table.lines().count());
    for figure in figures {
        assert!(table.contains(figure["name"].as_str().unwrap()), "{figure}");
        assert!(figure["value"].is_number() && figure["unit"].is_string(), "{figure}");
    }
    assert_eq!(std::fs::read_dir(&made).unwrap().count(), 0);
}

#[test]
fn where_there_is_no_store_every_command_says_which_file_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["inspect", "verify", "export"] {
        let said = store(folder.path(), &[command]);
        assert_eq!(said.code, Some(1), "{command}");
        assert!(said.err.contains("FORMAT"), "{command}: {}", said.err);
    }
    let said = store(folder.path(), &["import", "gone.csv"]);
    assert!(said.err.contains("read gone.csv: No such file"), "{}", said.err);
    let said = store(folder.path(), &["export", "--start", "yesterday"]);
    assert!(said.err.contains("ISO 8601"), "{}", said.err);
}
