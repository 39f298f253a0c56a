//! Both databases must have the same tables, columns, keys and indexes.

use std::collections::BTreeSet;

use nephos_sql::migrations::{COORDINATION, INDEX};
use nephos_sql::testing::Scratch;
use nephos_sql::{Db, migrate};

async fn lines(db: &Db, sql: &str) -> BTreeSet<String> {
    let rows = db.read(sql.to_owned(), &[]).await.unwrap();
    let lines = rows.iter().map(|row| row.text(0).unwrap().to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(lines.len(), rows.len(), "lines are distinct");
    lines
}

const SQLITE: [&str; 3] = [
    "SELECT t.name || '.' || c.name || ' ' ||
        CASE c.type WHEN 'INTEGER' THEN CASE WHEN t.sql LIKE '%' || c.name || ' IN (0, 1)%' THEN 'boolean' ELSE 'bigint' END
                    WHEN 'BLOB' THEN 'bytea' WHEN 'REAL' THEN 'double precision' ELSE lower(c.type) END
        || CASE WHEN c.\"notnull\" THEN ' not null' ELSE '' END || CASE WHEN c.pk THEN ' key ' || c.pk ELSE '' END
     FROM sqlite_master AS t, pragma_table_info(t.name) AS c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'",
    "SELECT t.name || '.' || k.\"from\" || ' -> ' || k.\"table\" || '.' || k.\"to\" || ' ' || lower(k.on_delete)
     FROM sqlite_master AS t, pragma_foreign_key_list(t.name) AS k WHERE t.type = 'table'",
    "SELECT i.name || ' on ' || t.name || CASE WHEN i.\"unique\" THEN ' unique' ELSE '' END
        || CASE WHEN i.partial THEN ' partial' ELSE '' END || ' ' ||
        (SELECT group_concat(coalesce(c.name, '(expression)') || CASE WHEN c.desc THEN ' desc' ELSE '' END, ', ' ORDER BY c.seqno)
         FROM pragma_index_xinfo(i.name) AS c WHERE c.key)
     FROM sqlite_master AS t, pragma_index_list(t.name) AS i WHERE t.type = 'table' AND i.origin = 'c'",
];

const POSTGRES: [&str; 3] = [
    "SELECT c.table_name || '.' || c.column_name || ' ' || c.data_type
        || CASE c.is_nullable WHEN 'NO' THEN ' not null' ELSE '' END
        || coalesce((SELECT ' key ' || k.ordinal_position FROM information_schema.key_column_usage AS k
                     JOIN information_schema.table_constraints AS p USING (constraint_name, table_name)
                     WHERE p.constraint_type = 'PRIMARY KEY' AND k.table_name = c.table_name
                       AND k.column_name = c.column_name), '')
     FROM information_schema.columns AS c WHERE c.table_schema = 'public'",
    "SELECT f.conrelid::regclass || '.' || a.attname || ' -> ' || f.confrelid::regclass || '.' || b.attname || ' '
        || CASE f.confdeltype WHEN 'c' THEN 'cascade' WHEN 'a' THEN 'no action' ELSE f.confdeltype::text END
     FROM pg_constraint AS f
     JOIN pg_attribute AS a ON a.attrelid = f.conrelid AND a.attnum = f.conkey[1]
     JOIN pg_attribute AS b ON b.attrelid = f.confrelid AND b.attnum = f.confkey[1]
     WHERE f.contype = 'f'",
    "SELECT i.indexrelid::regclass || ' on ' || i.indrelid::regclass || CASE WHEN i.indisunique THEN ' unique' ELSE '' END
        || CASE WHEN i.indpred IS NOT NULL THEN ' partial' ELSE '' END || ' ' ||
        (SELECT string_agg(coalesce(a.attname, '(expression)') || CASE WHEN i.indoption[n - 1] & 1 = 1 THEN ' desc' ELSE '' END,
                           ', ' ORDER BY n)
         FROM generate_series(1, i.indnkeyatts) AS n
         LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[n - 1] AND a.attnum > 0)
     FROM pg_index AS i JOIN pg_class AS t ON t.oid = i.indrelid
     WHERE NOT i.indisprimary AND t.relnamespace = 'public'::regnamespace",
];

#[tokio::test]
async fn both_databases_end_with_the_same_schema() {
    let (files, server) = (Scratch::sqlite(), Scratch::postgres().await);
    let (sqlite, postgres) = (files.db().await, server.db().await);
    for db in [&sqlite, &postgres] {
        migrate(db, &[&INDEX, &COORDINATION]).await.unwrap();
    }
    for (of_sqlite, of_postgres) in SQLITE.into_iter().zip(POSTGRES) {
        let (left, right) = (lines(&sqlite, of_sqlite).await, lines(&postgres, of_postgres).await);
        assert!(left.len() >= 8, "{left:#?}");
        assert_eq!(left, right);
    }
}

#[tokio::test]
async fn text_of_postgres_sorts_by_bytes_wherever_it_is_sorted_on() {
    let server = Scratch::postgres().await;
    let db = server.db().await;
    migrate(&db, &[&INDEX, &COORDINATION]).await.unwrap();
    // Columns of indexes and keys, of type text, whose collation is not "C".
    let sql = "SELECT c.relname || '.' || a.attname FROM pg_index AS i
         JOIN pg_class AS c ON c.oid = i.indexrelid
         JOIN pg_attribute AS a ON a.attrelid = i.indexrelid
         JOIN pg_type AS t ON t.oid = a.atttypid JOIN pg_collation AS l ON l.oid = a.attcollation
         WHERE c.relnamespace = 'public'::regnamespace AND t.typname = 'text' AND l.collname <> 'C'
           AND c.relname NOT LIKE 'nephos_migration%'";
    assert_eq!(lines(&db, sql).await, BTreeSet::new());
}
