//! The few pieces of SQL that differ between the databases.

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite, in this process.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// What the values of a list or of a column of a table parameter are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Whole numbers.
    Int,
    /// Floats.
    Float,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// Booleans.
    Bool,
}

impl Dialect {
    /// The condition that `column` equals one of the list bound to `$parameter`: the same text for lists of any length.
    pub fn any_of(self, column: &str, parameter: usize, kind: Kind) -> String {
        match self {
            Self::Postgres => format!("{column} = ANY(${parameter})"),
            Self::Sqlite => {
                let element = if kind == Kind::Bytes { "unhex(value)" } else { "value" };
                format!("{column} IN (SELECT {element} FROM json_each(${parameter}))")
            }
        }
    }

    /// A sub-select with the named columns over the [`Table`](crate::Value::Table) bound to `$parameter`: for joins
    /// with, updates from and inserts of any number of rows by one statement of constant text.
    pub fn table(self, parameter: usize, columns: &[(&str, Kind)]) -> String {
        let select = columns
            .iter()
            .enumerate()
            .map(|(position, (name, kind))| match (self, kind) {
                (Self::Sqlite, Kind::Bytes) => format!("unhex(value->>{position}) AS {name}"),
                (Self::Sqlite, _) | (Self::Postgres, Kind::Text) => format!("value->>{position} AS {name}"),
                (Self::Postgres, Kind::Bytes) => format!("decode(value->>{position}, 'hex') AS {name}"),
                (Self::Postgres, Kind::Int) => format!("(value->>{position})::bigint AS {name}"),
                (Self::Postgres, Kind::Float) => format!("(value->>{position})::float8 AS {name}"),
                (Self::Postgres, Kind::Bool) => format!("(value->>{position})::boolean AS {name}"),
            })
            .collect::<Vec<_>>()
            .join(", ");
        match self {
            Self::Sqlite => format!("(SELECT {select} FROM json_each(${parameter}))"),
            Self::Postgres => format!("(SELECT {select} FROM json_array_elements(${parameter}::json))"),
        }
    }

    /// A statement that inserts the rows of the [`Table`](crate::Value::Table) bound to `$1`; `tail` may be `ON CONFLICT …`
    /// and `RETURNING …`.
    pub fn insert(self, table: &str, columns: &[(&str, Kind)], tail: &str) -> String {
        let names = columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let source = self.table(1, columns);
        // `WHERE true` keeps SQLite from reading ON CONFLICT as a join's ON.
        format!("INSERT INTO {table} ({names}) SELECT {names} FROM {source} AS fresh WHERE true {tail}")
    }

    /// The database's own wall clock in nanoseconds since the epoch; SQLite's has milliseconds, PostgreSQL's
    /// microseconds.
    pub const fn now(self) -> &'static str {
        match self {
            Self::Sqlite => "(CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000000)",
            Self::Postgres => "((extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000)",
        }
    }

    /// Appended to a `SELECT` inside a transaction to lock its rows until the end. SQLite's writer is alone anyway.
    pub const fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE",
        }
    }

    /// The same, leaving out rows that others have locked.
    pub const fn skip_locked(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE SKIP LOCKED",
        }
    }
}
