//! Transformer state.

use std::sync::Arc;
use std::time::Duration;

use nephos_coordination::{
    MemoryStateStore, SqlStateStore, StateKey, StateStore, StateWrite, VersionedState,
};

use super::{clock, suite};

type Subject = Arc<dyn StateStore>;

async fn memory() -> (Subject, ()) {
    (Arc::new(MemoryStateStore::new(clock())), ())
}

fn of_db<G>((db, guard): (nephos_sql::Db, G)) -> (Subject, G) {
    (Arc::new(SqlStateStore::new(db)), guard)
}

macro_rules! state {
    ($name:ident, $make:expr) => {
        suite!($name, $make;
            what_was_written_is_read_in_the_order_of_the_keys,
            a_write_on_an_old_version_writes_nothing_at_all,
            all_parts_of_a_key_and_all_bytes_matter,
            of_two_writers_of_one_key_exactly_one_wins,
            writers_of_many_keys_in_any_order_lose_no_step,
            only_old_state_expires,
            empty_requests_are_fine);
    };
}
state!(in_memory, super::memory());
state!(in_sqlite, async { super::of_db(crate::sqlite().await) });
state!(in_postgres, async { super::of_db(crate::postgres().await) });

fn key(group: &str) -> StateKey {
    StateKey { sink: "cpu_sink".to_owned(), transformer: 0, group: group.to_owned() }
}

fn write(key: StateKey, read_version: u64, bytes: &[u8]) -> StateWrite {
    StateWrite { key, read_version, bytes: bytes.to_vec() }
}

fn state(version: u64, bytes: &[u8]) -> VersionedState {
    VersionedState { version, bytes: bytes.to_vec() }
}

async fn what_was_written_is_read_in_the_order_of_the_keys(store: Subject) {
    store.ready().await.unwrap();
    let (a, b, c) = (key("a"), key("b"), key("c"));
    assert!(store.write(&[write(b.clone(), 0, b"B"), write(a.clone(), 0, b"A")]).await.unwrap());
    let keys = [c.clone(), a.clone(), b.clone(), a.clone()];
    let found = store.read(&keys).await.unwrap();
    assert_eq!(found, [state(0, b""), state(1, b"A"), state(1, b"B"), state(1, b"A")]);
    assert!(store.write(&[write(a.clone(), 1, b"A2"), write(c.clone(), 0, b"C")]).await.unwrap());
    let found = store.read(&[a, b, c]).await.unwrap();
    assert_eq!(found, [state(2, b"A2"), state(1, b"B"), state(1, b"C")]);
}

async fn a_write_on_an_old_version_writes_nothing_at_all(store: Subject) {
    let (a, b) = (key("a"), key("b"));
    assert!(store.write(&[write(a.clone(), 0, b"1")]).await.unwrap());
    for stale in [0, 2, 99] {
        let writes = [write(b.clone(), 0, b"x"), write(a.clone(), stale, b"x")];
        assert!(!store.write(&writes).await.unwrap(), "version {stale}");
    }
    assert!(!store.write(&[write(b.clone(), 1, b"x")]).await.unwrap(), "there is nothing at version 1");
    assert_eq!(store.read(&[a, b]).await.unwrap(), [state(1, b"1"), state(0, b"")]);
}

async fn all_parts_of_a_key_and_all_bytes_matter(store: Subject) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let keys = [
        key("cpu|r1"),
        StateKey { sink: "other".to_owned(), ..key("cpu|r1") },
        StateKey { transformer: u32::MAX, ..key("cpu|r1") },
        key("CPU|r1"),
        key(""),
        key("\"'\\é☃\u{0}\n"),
    ];
    for (n, key) in (0_u8..).zip(&keys) {
        let bytes = [&[n], every_byte.as_slice()].concat();
        assert!(store.write(&[write(key.clone(), 0, &bytes)]).await.unwrap(), "{key:?}");
    }
    for (n, found) in (0_u8..).zip(store.read(&keys).await.unwrap()) {
        assert_eq!(found, state(1, &[&[n], every_byte.as_slice()].concat()));
    }
}

async fn of_two_writers_of_one_key_exactly_one_wins(store: Subject) {
    for read_version in 0..20 {
        let writers: Vec<_> = (0..2_u8)
            .map(|n| {
                let store = Arc::clone(&store);
                tokio::spawn(
                    async move { store.write(&[write(key("k"), read_version, &[n])]).await.unwrap() },
                )
            })
            .collect();
        let mut won = Vec::new();
        for (n, writer) in (0_u8..).zip(writers) {
            if writer.await.unwrap() {
                won.push(n);
            }
        }
        let found = store.read(&[key("k")]).await.unwrap();
        assert_eq!(found, [state(read_version + 1, &won)], "exactly one");
    }
}

async fn writers_of_many_keys_in_any_order_lose_no_step(store: Subject) {
    let keys: Vec<StateKey> = (0..8).map(|n| key(&format!("k{n}"))).collect();
    let steps = |mut keys: Vec<StateKey>, turn: usize| {
        let store = Arc::clone(&store);
        keys.rotate_left(turn);
        tokio::spawn(async move {
            for _ in 0..10 {
                loop {
                    let states = store.read(&keys).await.unwrap();
                    let writes: Vec<_> = keys
                        .iter()
                        .zip(states)
                        .map(|(key, state)| {
                            let count = state.bytes.first().copied().unwrap_or(0);
                            write(key.clone(), state.version, &[count + 1])
                        })
                        .collect();
                    if store.write(&writes).await.unwrap() {
                        break;
                    }
                }
            }
        })
    };
    let writers: Vec<_> = [0, 3, 5].into_iter().map(|turn| steps(keys.clone(), turn)).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    for found in store.read(&keys).await.unwrap() {
        assert_eq!(found, state(30, &[30]));
    }
}

async fn only_old_state_expires(store: Subject) {
    assert!(store.write(&[write(key("old"), 0, b"1"), write(key("touched"), 0, b"1")]).await.unwrap());
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(store.write(&[write(key("touched"), 1, b"2"), write(key("new"), 0, b"1")]).await.unwrap());
    assert_eq!(store.expire(Duration::from_secs(3)).await.unwrap(), 1);
    let found = store.read(&[key("old"), key("touched"), key("new")]).await.unwrap();
    assert_eq!(found, [state(0, b""), state(2, b"2"), state(1, b"1")]);
    assert!(!store.write(&[write(key("old"), 1, b"2")]).await.unwrap(), "expired meanwhile");
    assert!(store.write(&[write(key("old"), 0, b"1")]).await.unwrap());
    assert_eq!(store.expire(Duration::from_secs(3_600)).await.unwrap(), 0);
}

async fn empty_requests_are_fine(store: Subject) {
    assert!(store.read(&[]).await.unwrap().is_empty());
    assert!(store.write(&[]).await.unwrap());
    assert_eq!(store.expire(Duration::ZERO).await.unwrap(), 0);
}
