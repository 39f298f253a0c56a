use nephos_model::{SampleKind, Timestamp};
use tempfile::TempDir;

use super::*;

fn samples(volumes: std::ops::Range<i64>) -> Vec<Sample> {
    volumes
        .map(|volume| Sample::new("m", SampleKind::Gauge, "", volume, "r", Timestamp::from_secs(volume)))
        .collect()
}

fn publisher(directory: &TempDir, rotation: Option<(u64, u32)>) -> ToFile {
    let rotation = rotation.map(|(max_bytes, backup_count)| Rotation { max_bytes, backup_count });
    ToFile::new(FilePublisher { path: directory.path().join("samples"), rotation, json: true })
}

/// The volumes in a file of the directory, or nothing if there is none.
fn volumes(directory: &TempDir, name: &str) -> Vec<i64> {
    let text = fs::read_to_string(directory.path().join(name)).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["volume"].as_i64().unwrap())
        .collect()
}

#[tokio::test]
async fn lines_are_appended_to_what_is_there() {
    let directory = TempDir::new().unwrap();
    publisher(&directory, None).publish(&samples(0..2)).await.unwrap();
    let second = publisher(&directory, None);
    second.publish(&samples(2..3)).await.unwrap();
    second.publish(&samples(3..5)).await.unwrap();
    assert_eq!(volumes(&directory, "samples"), [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn python_notation_is_the_default() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("samples");
    let publisher = ToFile::new(FilePublisher { path: path.clone(), rotation: None, json: false });
    publisher.publish(&samples(0..1)).await.unwrap();
    let text = fs::read_to_string(path).unwrap();
    assert!(
        text.starts_with("{'name': 'm', 'type': 'gauge', 'unit': '', 'volume': 0, 'user_id': None"),
        "{text}"
    );
    assert!(text.ends_with("}\n"));
}

#[tokio::test]
async fn a_full_file_moves_aside_and_the_eldest_goes() {
    let directory = TempDir::new().unwrap();
    let line = plain::json(&samples(0..1)[0]).unwrap().len() as u64 + 1;
    let publisher = publisher(&directory, Some((2 * line + 1, 2)));
    publisher.publish(&samples(0..3)).await.unwrap();
    publisher.publish(&samples(3..9)).await.unwrap();
    assert_eq!(volumes(&directory, "samples"), [8]);
    assert_eq!(volumes(&directory, "samples.1"), [6, 7]);
    assert_eq!(volumes(&directory, "samples.2"), [4, 5]);
    assert!(!directory.path().join("samples.3").exists());
}

#[tokio::test]
async fn a_line_longer_than_the_limit_still_gets_a_file() {
    let directory = TempDir::new().unwrap();
    publisher(&directory, Some((10, 1))).publish(&samples(0..2)).await.unwrap();
    assert_eq!(volumes(&directory, "samples"), [1]);
    assert_eq!(volumes(&directory, "samples.1"), [0]);
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_made_anew() {
    let directory = TempDir::new().unwrap();
    let publisher = publisher(&directory, None);
    publisher.publish(&samples(0..1)).await.unwrap();
    fs::rename(directory.path().join("samples"), directory.path().join("moved")).unwrap();
    publisher.publish(&samples(1..2)).await.unwrap();
    assert_eq!(volumes(&directory, "moved"), [0]);
    assert_eq!(volumes(&directory, "samples"), [1]);
}

#[tokio::test]
async fn an_error_names_the_file_and_what_was_tried() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("missing/samples");
    let publisher = ToFile::new(FilePublisher { path: path.clone(), rotation: None, json: true });
    let error = publisher.publish(&samples(0..1)).await.unwrap_err();
    assert_eq!(
        super::super::chain(&error),
        format!("cannot open {}: No such file or directory (os error 2)", path.display())
    );
    fs::create_dir(directory.path().join("missing")).unwrap();
    publisher.publish(&samples(0..1)).await.unwrap();
    assert_eq!(volumes(&directory, "missing/samples"), [0]);
}

#[tokio::test]
async fn a_full_disk_leaves_no_torn_line() {
    let path = PathBuf::from("/dev/full");
    let publisher = ToFile::new(FilePublisher { path, rotation: None, json: true });
    let error = publisher.publish(&samples(0..1)).await.unwrap_err();
    assert_eq!(
        super::super::chain(&error),
        "cannot write to /dev/full: No space left on device (os error 28)"
    );
}
