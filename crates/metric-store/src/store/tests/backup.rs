//! Copies of a store that is in use.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicUsize};

use crate::backup::{StoreFile, backup};

use super::*;

/// Copies the store below `from` to below `to`; how many files it has.
fn copy(from: &Path, to: &Path) -> usize {
    let mut count = 0;
    backup(&from.join("store"), |StoreFile { name, file, len }| -> Result<(), StoreError> {
        let path = to.join("store").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        io::copy(&mut file.take(len), &mut fs::File::create_new(path).unwrap()).unwrap();
        count += 1;
        Ok(())
    })
    .unwrap();
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_made_under_appends_and_compaction_holds_all_that_was_answered_before() {
    let folder = folder();
    let store = LocalStore::open(StoreOptions { shards: 2, ..options(folder.path()) }).unwrap();
    let metric = MetricId::random();
    let (answered, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (writer, count, until) = (Arc::clone(&store), Arc::clone(&answered), Arc::clone(&stop));
    let writing = tokio::spawn(async move {
        let mut minute = 0_u32;
        while !until.load(Ordering::Acquire) {
            let measures = [(i64::from(minute) * 60, f64::from(minute))];
            writer.append(Arc::new(vec![run(metric, measures)].into())).await.unwrap();
            count.fetch_add(1, Ordering::AcqRel);
            minute += 1;
            if minute.is_multiple_of(5) {
                writer.compact(minute.is_multiple_of(2)).await.unwrap();
            }
        }
    });
    for round in 1..=20 {
        while answered.load(Ordering::Acquire) < round * 10 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let before = answered.load(Ordering::Acquire);
        let to = folder.path().join(format!("copy-{round}"));
        copy(folder.path(), &to);
        let opened = LocalStore::open(options(&to)).unwrap();
        assert_eq!(opened.shard_count(), 2);
        let found = points(&opened, metric).await.unwrap();
        assert!(found >= before, "{found} of {before}");
    }
    stop.store(true, Ordering::Release);
    writing.await.unwrap();
}

#[test]
fn where_no_store_is_nothing_is_copied() {
    let folder = folder();
    assert_eq!(copy(folder.path(), &folder.path().join("copy")), 0);
}
