//! And-ed conditions with their parameters.

use nephos_sql::{Dialect, Sql, Value};

/// The condition that a column of creator strings tells of somebody of the project that is parameter `number`: what
/// stands behind the first colon, as the indexes on it have it.
pub(crate) fn created_in(dialect: Dialect, column: &str, number: usize) -> String {
    let at = match dialect {
        Dialect::Sqlite => format!("instr({column}, ':')"),
        Dialect::Postgres => format!("strpos({column}, ':')"),
    };
    format!("(substr({column}, {at} + 1) = ${number} AND {at} > 0)")
}

/// Conditions of a `WHERE` clause. Text is written by this crate alone, values are parameters.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    clauses: Vec<String>,
    params: Vec<Value>,
}

impl Conditions {
    /// Adds a parameter; its number.
    pub(crate) fn bind(&mut self, value: impl Into<Value>) -> usize {
        self.params.push(value.into());
        self.params.len()
    }

    /// Adds a condition.
    pub(crate) fn push(&mut self, clause: impl Into<String>) {
        self.clauses.push(clause.into());
    }

    /// Adds `<expression> <operator> <value>`.
    pub(crate) fn compare(&mut self, expression: &str, operator: &str, value: impl Into<Value>) {
        let number = self.bind(value);
        self.push(format!("{expression} {operator} ${number}"));
    }

    /// Adds `column = value` if there is a value.
    pub(crate) fn equal(&mut self, column: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.compare(column, "=", value);
        }
    }

    /// ` WHERE …`, or nothing.
    pub(crate) fn clause(&self) -> String {
        if self.clauses.is_empty() { String::new() } else { format!(" WHERE {}", self.clauses.join(" AND ")) }
    }

    /// The parameters.
    pub(crate) fn params(&self) -> &[Value] {
        &self.params
    }

    /// `<head> WHERE … <tail>`.
    pub(crate) fn statement(&self, head: &str, tail: &str) -> Sql {
        format!("{head}{}{tail}", self.clause()).into()
    }
}
