//! What both databases must do alike.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::atomic::{AtomicU32, Ordering};

use nephos_sql::migrations::{COORDINATION, INDEX};
use nephos_sql::testing::Scratch;
use nephos_sql::{Constraint, Db, Dialect, Kind, SqlError, Value, migrate, pending};
use uuid::Uuid;

/// Every behaviour below is checked on both databases.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            use super::*;
            $( #[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name(&Scratch::sqlite()).await } )*
        }
        mod postgres {
            use super::*;
            $( #[tokio::test(flavor = "multi_thread")]
               async fn $name() { super::$name(&Scratch::postgres().await).await } )*
        }
    };
}

on_both!(
    values_come_back_as_they_went_in,
    nulls_fit_columns_of_every_type,
    lists_and_tables_of_any_length_are_one_parameter,
    long_answers_are_those_of_short_ones,
    a_failed_body_leaves_nothing_behind,
    a_swallowed_failure_still_ends_the_transaction,
    violated_constraints_are_told_apart,
    concurrent_increments_are_all_counted,
    dropped_transactions_roll_back_and_free_their_connection,
    written_rows_survive_reopening,
    migrations_apply_once_even_when_many_start_together,
    a_newer_schema_is_refused,
    the_clock_of_the_database_is_near_ours,
    errors_of_the_statement_are_not_retryable,
);

async fn with_table(scratch: &Scratch) -> Db {
    let db = scratch.db().await;
    let (bytes, float) = match db.dialect() {
        Dialect::Sqlite => ("BLOB", "REAL"),
        Dialect::Postgres => ("BYTEA", "DOUBLE PRECISION"),
    };
    db.execute(
        format!("CREATE TABLE t (id BIGINT PRIMARY KEY, f {float}, s TEXT, b {bytes} UNIQUE, yes BOOLEAN)"),
        &[],
    )
    .await
    .unwrap();
    db
}

async fn values_come_back_as_they_went_in(scratch: &Scratch) {
    let db = with_table(scratch).await;
    let id = Uuid::new_v4();
    for (key, float, text) in
        [(1, 0.1 + 0.2, "✔ 'quoted' \"\\"), (2, f64::MAX, ""), (i64::MIN, f64::MIN_POSITIVE, "x\ny")]
    {
        let row = [key.into(), float.into(), text.into(), Value::Bytes(vec![0, 255]), true.into()];
        db.execute("INSERT INTO t VALUES ($1, $2, $3, $4, $5)", &row).await.unwrap();
        let back = db
            .read_one("SELECT id, f, s, b, yes FROM t WHERE id = $1", &[key.into()])
            .await
            .unwrap()
            .unwrap();
        assert_eq!(back.int(0).unwrap(), key);
        assert_eq!(back.float(1).unwrap().to_bits(), float.to_bits());
        assert_eq!(back.text(2).unwrap(), text);
        assert_eq!(back.bytes(3).unwrap(), [0, 255]);
        assert!(back.bool(4).unwrap());
        assert_eq!(db.execute("DELETE FROM t WHERE b = $1", &[Value::Bytes(vec![0, 255])]).await.unwrap(), 1);
    }
    let back = db
        .write("INSERT INTO t (id, b) VALUES ($1, $2) RETURNING b, s", &[9.into_value(), id.into()])
        .await
        .unwrap();
    assert_eq!(back[0].uuid(0).unwrap(), id);
    assert_eq!(back[0].opt_text(1).unwrap(), None);
}

trait IntoValue {
    fn into_value(self) -> Value;
}

impl IntoValue for i64 {
    fn into_value(self) -> Value {
        Value::Int(self)
    }
}

async fn nulls_fit_columns_of_every_type(scratch: &Scratch) {
    let db = with_table(scratch).await;
    let null = || Value::Null;
    // The statement is prepared with nulls first and must take values afterwards, and the other way round.
    let sql = "INSERT INTO t VALUES ($1, $2, $3, $4, $5)";
    db.execute(sql, &[1.into_value(), null(), null(), null(), null()]).await.unwrap();
    let full = [2.into_value(), 1.5.into(), "s".into(), Value::Bytes(vec![1]), true.into()];
    db.execute(sql, &full).await.unwrap();
    let sql = "UPDATE t SET f = $1, s = $2, b = $3, yes = $4 WHERE id = 2";
    db.execute(sql, &[2.5.into(), "t".into(), Value::Bytes(vec![2]), false.into()]).await.unwrap();
    db.execute(sql, &[null(), null(), null(), null()]).await.unwrap();
    let rows = db.read("SELECT f, s, b, yes FROM t", &[]).await.unwrap();
    assert!(rows.iter().all(|row| (0..4).all(|column| row.is_null(column))), "{rows:?}");
}

async fn lists_and_tables_of_any_length_are_one_parameter(scratch: &Scratch) {
    let db = with_table(scratch).await;
    let columns =
        [("id", Kind::Int), ("f", Kind::Float), ("s", Kind::Text), ("b", Kind::Bytes), ("yes", Kind::Bool)];
    for count in [0_i64, 1, 7, 5_000] {
        let inserted = db
            .transaction(|tx| {
                Box::pin(async move {
                    tx.execute("DELETE FROM t", &[]).await?;
                    let rows = (0..count)
                        .map(|n| {
                            let bytes = Value::Bytes(n.to_be_bytes().to_vec());
                            let text =
                                if n % 2 == 0 { format!("{n} \"✔\" \\").into() } else { Value::Null };
                            vec![n.into(), 0.1.into(), text, bytes, (n % 3 == 0).into()]
                        })
                        .collect::<Vec<_>>();
                    let again = rows.clone();
                    let inserted = tx.insert("t", &columns, rows, "").await?;
                    assert_eq!(tx.insert("t", &columns, again, "ON CONFLICT (id) DO NOTHING").await?, 0);
                    Ok::<_, SqlError>(inserted)
                })
            })
            .await
            .unwrap();
        assert_eq!(inserted, count.cast_unsigned());
        for (column, kind, list) in [
            ("id", Kind::Int, Value::IntList((0..count).collect())),
            ("s", Kind::Text, Value::TextList((0..count).map(|n| format!("{n} \"✔\" \\")).collect())),
            ("b", Kind::Bytes, Value::BytesList((0..count).map(|n| n.to_be_bytes().to_vec()).collect())),
        ] {
            let sql = format!("SELECT id FROM t WHERE {}", db.dialect().any_of(column, 1, kind));
            let found = db.read(sql, &[list]).await.unwrap().len();
            let expected = if column == "s" { (count + 1) / 2 } else { count };
            assert_eq!(found, usize::try_from(expected).unwrap(), "{column} of {count}");
        }
        let yes = db.read("SELECT id FROM t WHERE yes AND f = 0.1", &[]).await.unwrap().len();
        assert_eq!(yes, usize::try_from((count + 2) / 3).unwrap());
    }
    let error = db
        .transaction(|tx| {
            Box::pin(
                async move { tx.insert("t", &[("f", Kind::Float)], vec![vec![f64::NAN.into()]], "").await },
            )
        })
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "database refused: NaN cannot be part of a table");
}

async fn long_answers_are_those_of_short_ones(scratch: &Scratch) {
    let db = with_table(scratch).await;
    let texts = ["", "ä\u{1F600}", "\"\\\u{1}\n", "{\"a\": [1]}", "0123", "null"];
    let rows = (0..3_000_i64).map(|n| {
        let text = texts.get(usize::try_from(n).unwrap() % 7).map(|text| text.to_string());
        let bytes = (n % 3 > 0).then(|| n.to_be_bytes().to_vec());
        vec![n.into(), (n as f64 / 7.0).into(), text.into(), bytes.into(), (n % 2 == 0).into()]
    });
    let columns =
        [("id", Kind::Int), ("f", Kind::Float), ("s", Kind::Text), ("b", Kind::Bytes), ("yes", Kind::Bool)];
    db.transaction(|tx| {
        let rows = rows.clone().collect();
        Box::pin(async move { tx.insert("t", &columns, rows, "").await })
    })
    .await
    .unwrap();
    let kinds = columns.map(|(_, kind)| kind);
    for sql in [
        "SELECT * FROM t WHERE id > $1 ORDER BY f DESC",
        "SELECT * FROM t WHERE id > $1 ORDER BY id LIMIT 100",
    ] {
        for after in [-1_i64, 2_990, 5_000] {
            let params = [after.into()];
            assert_eq!(db.list(sql, &kinds, &params).await.unwrap(), db.read(sql, &params).await.unwrap());
        }
    }
    assert!(db.list("SELECT nothing FROM t", &[Kind::Int], &[]).await.is_err());
}

async fn a_failed_body_leaves_nothing_behind(scratch: &Scratch) {
    let db = with_table(scratch).await;
    let result = db
        .transaction(|tx| {
            Box::pin(async move {
                tx.execute("INSERT INTO t (id) VALUES (1)", &[]).await?;
                Err::<(), _>(SqlError::Refused { reason: "changed my mind".into() })
            })
        })
        .await;
    assert_eq!(result.unwrap_err().to_string(), "database refused: changed my mind");
    assert!(db.read("SELECT id FROM t", &[]).await.unwrap().is_empty());
}

async fn a_swallowed_failure_still_ends_the_transaction(scratch: &Scratch) {
    let db = with_table(scratch).await;
    let result = db
        .transaction(|tx| {
            Box::pin(async move {
                tx.execute("INSERT INTO t (id) VALUES (1)", &[]).await?;
                assert!(tx.execute("INSERT INTO t (id) VALUES (1)", &[]).await.is_err());
                Ok::<_, SqlError>(())
            })
        })
        .await;
    assert!(result.is_err());
    assert!(db.read("SELECT id FROM t", &[]).await.unwrap().is_empty());
}

async fn violated_constraints_are_told_apart(scratch: &Scratch) {
    let db = with_table(scratch).await;
    db.execute("CREATE TABLE child (parent BIGINT NOT NULL CHECK (parent > 0) REFERENCES t (id))", &[])
        .await
        .unwrap();
    db.execute("INSERT INTO t (id) VALUES (1)", &[]).await.unwrap();
    db.execute("INSERT INTO child VALUES (1)", &[]).await.unwrap();
    for (sql, kind) in [
        ("INSERT INTO t (id) VALUES (1)", Constraint::Unique),
        ("INSERT INTO child VALUES (2)", Constraint::ForeignKey),
        ("DELETE FROM t", Constraint::ForeignKey),
        ("INSERT INTO child VALUES (0)", Constraint::Check),
        ("INSERT INTO child VALUES (NULL)", Constraint::Check),
    ] {
        let error = db.execute(sql, &[]).await.unwrap_err();
        assert_eq!(error.constraint(), Some(kind), "{sql}: {error}");
        assert!(!error.is_retryable());
    }
    match db.execute("INSERT INTO t (id) VALUES (1)", &[]).await.unwrap_err() {
        SqlError::Constraint { name: Some(name), .. } => {
            let expected = if db.dialect() == Dialect::Sqlite { "t.id" } else { "t_pkey" };
            assert_eq!(name, expected);
        }
        other => panic!("{other}"),
    }
}

async fn concurrent_increments_are_all_counted(scratch: &Scratch) {
    let db = with_table(scratch).await;
    let other = scratch.db().await;
    db.execute("INSERT INTO t (id, f) VALUES (1, 0)", &[]).await.unwrap();
    let increment = async |db: &Db| {
        db.transaction(|tx| {
            Box::pin(async move {
                let lock = format!("SELECT f FROM t WHERE id = 1{}", tx.dialect().for_update());
                let now = tx.read_one(lock, &[]).await?.unwrap().float(0)?;
                tx.execute("UPDATE t SET f = $1 WHERE id = 1", &[(now + 1.0).into()]).await
            })
        })
        .await
    };
    let increments = (0..80).map(|n| increment(if n % 2 == 0 { &db } else { &other }));
    futures_util::future::try_join_all(increments).await.unwrap();
    let row = db.read_one("SELECT f FROM t", &[]).await.unwrap().unwrap();
    assert_eq!(row.float(0).unwrap(), 80.0);
}

async fn dropped_transactions_roll_back_and_free_their_connection(scratch: &Scratch) {
    let db = with_table(scratch).await;
    for _ in 0..20 {
        let (entered, mut waiting) = tokio::sync::mpsc::channel::<()>(1);
        let task = tokio::spawn({
            let db = db.clone();
            async move {
                let entered = &entered;
                db.transaction(|tx| {
                    Box::pin(async move {
                        tx.execute("INSERT INTO t (id) VALUES (1)", &[]).await?;
                        entered.send(()).await.unwrap();
                        std::future::pending::<Result<(), SqlError>>().await
                    })
                })
                .await
            }
        });
        waiting.recv().await.unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
    assert!(db.read("SELECT id FROM t", &[]).await.unwrap().is_empty());
    db.execute("INSERT INTO t (id) VALUES (1)", &[]).await.unwrap();
}

async fn written_rows_survive_reopening(scratch: &Scratch) {
    let db = with_table(scratch).await;
    db.execute("INSERT INTO t (id, s) VALUES (1, 'kept')", &[]).await.unwrap();
    drop(db);
    let row = scratch.db().await.read_one("SELECT s FROM t", &[]).await.unwrap().unwrap();
    assert_eq!(row.text(0).unwrap(), "kept");
}

async fn migrations_apply_once_even_when_many_start_together(scratch: &Scratch) {
    let sets = [&INDEX, &COORDINATION];
    let db = scratch.db().await;
    let all = pending(&db, &sets).await.unwrap();
    assert!(all.contains(&"index/0001_index".to_owned()), "{all:?}");
    let starters = (0..10).map(|_| {
        let url = scratch.url().to_owned();
        tokio::spawn(async move {
            let db = Db::connect(&url).await.unwrap();
            migrate(&db, &[&INDEX, &COORDINATION]).await.unwrap()
        })
    });
    let mut applied = Vec::new();
    for starter in starters.collect::<Vec<_>>() {
        applied.extend(starter.await.unwrap());
    }
    assert_eq!(applied, all);
    assert!(pending(&db, &sets).await.unwrap().is_empty());
    assert!(migrate(&db, &sets).await.unwrap().is_empty());
}

async fn a_newer_schema_is_refused(scratch: &Scratch) {
    let db = scratch.db().await;
    migrate(&db, &[&INDEX]).await.unwrap();
    db.execute("INSERT INTO nephos_migration VALUES ('index', 9999, '9999_future')", &[]).await.unwrap();
    for error in [migrate(&db, &[&INDEX]).await.unwrap_err(), pending(&db, &[&INDEX]).await.unwrap_err()] {
        assert!(matches!(error, SqlError::NewerSchema { set: "index", found: 9999, .. }), "{error}");
    }
    // The other set of the same database is not concerned.
    migrate(&db, &[&COORDINATION]).await.unwrap();
}

async fn the_clock_of_the_database_is_near_ours(scratch: &Scratch) {
    use nephos_model::Clock;
    let db = scratch.db().await;
    let clock = nephos_observe::SystemClock::default();
    let before = clock.now().as_nanos();
    let row = db.read_one(format!("SELECT {}", db.dialect().now()), &[]).await.unwrap().unwrap();
    let apart = row.int(0).unwrap() - before;
    assert!(apart.abs() < 5_000_000_000, "{apart} ns");
}

async fn errors_of_the_statement_are_not_retryable(scratch: &Scratch) {
    let db = scratch.db().await;
    for sql in ["SELEKT 1", "SELECT * FROM nowhere", "SELECT $1 + FROM t"] {
        let error = db.read(sql, &[]).await.unwrap_err();
        assert!(matches!(error, SqlError::Refused { .. }), "{sql}: {error}");
    }
    db.ready().await.unwrap();
}

#[tokio::test]
async fn a_database_in_memory_outlives_its_connections() {
    let db = Db::connect("sqlite::memory:").await.unwrap();
    migrate(&db, &[&INDEX, &COORDINATION]).await.unwrap();
    let other = Db::connect("sqlite::memory:").await.unwrap();
    assert!(!pending(&other, &[&INDEX]).await.unwrap().is_empty(), "another one is empty");
    let cancelled = tokio::time::timeout(
        std::time::Duration::from_millis(20),
        db.transaction(|_| Box::pin(async move { std::future::pending::<Result<(), SqlError>>().await })),
    )
    .await;
    assert!(cancelled.is_err());
    assert!(pending(&db, &[&INDEX]).await.unwrap().is_empty());
}

#[tokio::test]
async fn bad_urls_and_absent_servers_are_told_apart() {
    for url in ["", "mysql://h/d", "sqlite:x?mode=odd", "postgres://h/d?sslmode=odd", "postgres://h:port/d"] {
        let error = Db::connect(url).await.unwrap_err();
        assert!(matches!(error, SqlError::BadUrl { .. }), "{url}: {error:?}");
    }
    let error = Db::connect("postgres://nobody:secret@127.0.0.1:1/none").await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    assert!(!error.to_string().contains("secret"), "{error}");
    let error = Db::connect("sqlite:/nonexistent/folder/x.sqlite").await.unwrap_err();
    assert!(error.to_string().contains("/nonexistent/folder/x.sqlite"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_ended_by_the_server_are_replaced_unseen() {
    let scratch = Scratch::postgres().await;
    let db = with_table(&scratch).await;
    let other = scratch.db().await;
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for round in 0..5_i64 {
        // Several idle connections, all of which the server then ends.
        let busy = (0..4).map(|_| db.read("SELECT 1 FROM pg_sleep(0.02)", &[]));
        futures_util::future::try_join_all(busy).await.unwrap();
        other.read(kill, &[]).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        if round % 2 == 0 {
            db.read("SELECT id FROM t", &[]).await.unwrap();
        }
        db.transaction(|tx| {
            Box::pin(async move { tx.execute("INSERT INTO t (id) VALUES ($1)", &[round.into()]).await })
        })
        .await
        .unwrap();
    }
    assert_eq!(db.read("SELECT id FROM t", &[]).await.unwrap().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_is_resolved_by_running_one_body_again() {
    let scratch = Scratch::postgres().await;
    let db = with_table(&scratch).await;
    db.execute("INSERT INTO t (id, f) VALUES (1, 0), (2, 0)", &[]).await.unwrap();
    let (attempts, both_hold_one) = (AtomicU32::new(0), tokio::sync::Barrier::new(2));
    let (attempts, both_hold_one) = (&attempts, &both_hold_one);
    let add_to = async |first: i64, second: i64| {
        db.transaction(|tx| {
            Box::pin(async move {
                let add = "UPDATE t SET f = f + 1 WHERE id = $1";
                tx.execute(add, &[first.into()]).await?;
                if attempts.fetch_add(1, Ordering::Relaxed) < 2 {
                    both_hold_one.wait().await;
                }
                tx.execute(add, &[second.into()]).await
            })
        })
        .await
    };
    let (one, other) = tokio::join!(add_to(1, 2), add_to(2, 1));
    one.unwrap();
    other.unwrap();
    // More if the one that runs again is faster than the other wakes up.
    assert!(attempts.load(Ordering::Relaxed) >= 3);
    let sum = db.read_one("SELECT sum(f) FROM t", &[]).await.unwrap().unwrap();
    assert_eq!(sum.float(0).unwrap(), 4.0);
}

#[tokio::test]
async fn a_second_process_waits_for_the_writer_of_a_file() {
    let scratch = Scratch::sqlite();
    let (ours, theirs) = (with_table(&scratch).await, scratch.db().await);
    let writing = ours.transaction(|tx| {
        Box::pin(async move {
            tx.execute("INSERT INTO t (id) VALUES (1)", &[]).await?;
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            Ok::<_, SqlError>(())
        })
    });
    let (first, second) = tokio::join!(writing, async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        theirs.execute("INSERT INTO t (id) VALUES (2)", &[]).await
    });
    first.unwrap();
    assert_eq!(second.unwrap(), 1);
}

/// Futures must be able to move between threads, also when bodies borrow from their surroundings.
#[test]
fn transactions_that_borrow_can_be_sent() {
    fn sendable<T: Send>(_: &T) {}
    async fn borrowing(db: &Db, names: &[String]) -> Result<u64, SqlError> {
        let mut total = 0;
        let count = db
            .transaction(|tx| {
                Box::pin(async move {
                    let mut count = 0;
                    for name in names {
                        count += tx.execute("UPDATE t SET s = $1", &[name.into()]).await?;
                    }
                    Ok::<_, SqlError>(count)
                })
            })
            .await?;
        total += count;
        Ok(total)
    }
    fn never_called(db: &Db, names: &[String]) {
        sendable(&borrowing(db, names));
    }
    let _ = never_called;
}
