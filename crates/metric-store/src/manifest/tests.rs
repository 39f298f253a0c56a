use std::fs;
use std::path::Path;

use super::*;
use crate::disk::LocalDisk;

fn disk(folder: &Path) -> Arc<dyn Disk> {
    Arc::new(LocalDisk::open(folder.to_owned()).unwrap())
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Name of the manifest that follows those an owner knows of.
fn successor(owner: &Live) -> String {
    let succession = owner.succession();
    succession.manifest(succession.newest() + 1)
}

#[test]
fn a_manifest_comes_back_as_it_was_put_in_force() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(newest(disk(folder.path()).as_ref()).unwrap(), (0, Manifest::default()));
    let mut live = Live::take_over(disk(folder.path())).unwrap();
    let mut next = Manifest { segments: vec!["b".into(), "a".into()], commit: 9, ..live.now().clone() };
    next.set_log_from(LogKey { epoch: 1, seq: 5 });
    live.replace(next.clone()).unwrap();
    assert_eq!(newest(disk(folder.path()).as_ref()).unwrap(), (2, next.clone()));
    let other = Live::take_over(disk(folder.path())).unwrap();
    assert_eq!(*other.now(), Manifest { epoch: 2, takeovers: vec![1, 3], ..next });
}

#[test]
fn a_changed_byte_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    Live::take_over(disk(folder.path())).unwrap();
    let path = folder.path().join(name_of(1));
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() - 1 {
        let mut content = whole.clone();
        content[at] ^= 1;
        fs::write(&path, content).unwrap();
        assert!(newest(disk(folder.path()).as_ref()).is_err(), "byte {at}");
    }
}

#[test]
fn the_owner_before_changes_nothing_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let mut old = Live::take_over(disk(folder.path())).unwrap();
    let new = Live::take_over(disk(folder.path())).unwrap();
    let before = newest(disk(folder.path()).as_ref()).unwrap();
    let next = Manifest { commit: 77, ..old.now().clone() };
    for _ in 0..2 {
        assert!(matches!(old.replace(next.clone()), Err(StoreError::NoOwner { .. })));
    }
    assert_eq!(newest(disk(folder.path()).as_ref()).unwrap(), before);
    let seen_by_old = fs::read(folder.path().join(successor(&old))).unwrap();
    assert!(!old.succession().is_ours(&seen_by_old));
    assert!(new.succession().is_ours(&seen_by_old));
}

#[test]
fn old_manifests_and_files_that_none_names_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let mut live = Live::take_over(disk(folder.path())).unwrap();
    for name in
        ["segment-1.nseg", "segment-2.nseg", "log-00000001-00000001.nlog", "log-00000001-00000002.nlog"]
    {
        fs::write(folder.path().join(name), b"x").unwrap();
    }
    for commit in 1..5 {
        let mut next = Manifest { segments: vec!["segment-2.nseg".into()], commit, ..live.now().clone() };
        next.set_log_from(LogKey { epoch: 1, seq: 2 });
        live.replace(next).unwrap();
    }
    live.remove_leftovers().unwrap();
    // The first is its owner's, and stays in the way of those before.
    let kept =
        [name_of(1), name_of(4), name_of(5), "log-00000001-00000002.nlog".into(), "segment-2.nseg".into()];
    assert_eq!(names(folder.path()), kept);
}

#[test]
fn an_owner_of_long_ago_finds_its_successor_in_its_way() {
    let folder = tempfile::tempdir().unwrap();
    let mut old = Live::take_over(disk(folder.path())).unwrap();
    for _ in 0..3 {
        let mut live = Live::take_over(disk(folder.path())).unwrap();
        for commit in 1..4 {
            live.replace(Manifest { commit, ..live.now().clone() }).unwrap();
        }
    }
    let before = newest(disk(folder.path()).as_ref()).unwrap();
    let met = fs::read(folder.path().join(successor(&old))).unwrap();
    assert!(!old.succession().is_ours(&met));
    let next = Manifest { commit: 77, ..old.now().clone() };
    assert!(matches!(old.replace(next), Err(StoreError::NoOwner { .. })));
    assert_eq!(newest(disk(folder.path()).as_ref()).unwrap(), before);
}

#[test]
fn only_so_many_owners_of_long_ago_are_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(folder.path());
    let manifest = Manifest { epoch: 5_000, takeovers: (1..=1_000).collect(), ..Manifest::default() };
    for number in [1, 2, 1_000] {
        assert!(disk.create(&name_of(number), &manifest.to_bytes().unwrap()).unwrap());
    }
    let live = Live::take_over(disk).unwrap();
    assert_eq!(live.now().takeovers, (2..=1_001).collect::<Vec<_>>());
    assert_eq!(names(folder.path()), [name_of(2), name_of(1_000), name_of(1_001)]);
}
