//! Order and pages of listings.
//!
//! A page starts after its marker's row: the marker's sort key is read, and the rows that come after it in the chosen
//! order are asked for. The key ends with a unique column, so pages neither overlap nor leave rows out, however many
//! rows are equal in what was sorted on.

use nephos_sql::Value;

use crate::contract::{IndexError, Page};
use crate::query::Conditions;

/// What a sort key means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// The same for all rows: no order.
    Constant,
    /// An expression that is never null.
    Always(String),
    /// An expression that may be null.
    Nullable(String),
}

impl Column {
    /// A column that is never null.
    pub(crate) fn always(expression: &str) -> Option<Self> {
        Some(Self::Always(expression.to_owned()))
    }

    /// A column that may be null.
    pub(crate) fn nullable(expression: &str) -> Option<Self> {
        Some(Self::Nullable(expression.to_owned()))
    }
}

#[derive(Debug)]
struct Key {
    expression: String,
    nullable: bool,
    descending: bool,
    nulls_first: bool,
}

/// A total order of a listing.
#[derive(Debug)]
pub(crate) struct Order(Vec<Key>);

impl Order {
    /// The order a page asks for, or `default` (key, descending), then `ties`. `BadSortKey` for what `column` does not
    /// know.
    pub(crate) fn new(
        page: &Page,
        default: &[(&str, bool)],
        ties: &[&str],
        column: impl Fn(&str) -> Option<Column>,
    ) -> Result<Self, IndexError> {
        let asked = page.sort.iter().map(|sort| (sort.key.as_str(), sort.descending, sort.nulls_first));
        let default = default.iter().map(|(key, descending)| (*key, *descending, false));
        let ties = ties.iter().map(|key| (*key, false, false));
        let wanted: Vec<_> =
            if page.sort.is_empty() { default.chain(ties).collect() } else { asked.chain(ties).collect() };
        let mut keys: Vec<Key> = Vec::with_capacity(wanted.len());
        for (key, descending, nulls_first) in wanted {
            let (expression, nullable) = match column(key) {
                None => return Err(IndexError::BadSortKey(key.to_owned())),
                Some(Column::Constant) => continue,
                Some(Column::Always(expression)) => (expression, false),
                Some(Column::Nullable(expression)) => (expression, true),
            };
            if keys.iter().all(|known| known.expression != expression) {
                keys.push(Key { expression, nullable, descending, nulls_first });
            }
        }
        Ok(Self(keys))
    }

    /// The expressions of the key, for reading the marker's.
    pub(crate) fn key(&self) -> String {
        self.0.iter().map(|key| key.expression.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// ` ORDER BY …`, and the limit. The limit is part of the text so that plans know it.
    pub(crate) fn tail(&self, page: &Page) -> String {
        let keys = self.0.iter().map(|key| {
            let direction = if key.descending { " DESC" } else { "" };
            let nulls = match (key.nullable, key.nulls_first) {
                (false, _) => "",
                (true, true) => " NULLS FIRST",
                (true, false) => " NULLS LAST",
            };
            format!("{}{direction}{nulls}", key.expression)
        });
        let limit =
            page.limit.map_or_else(String::new, |limit| format!(" LIMIT {}", limit.min(i64::MAX as u64)));
        format!(" ORDER BY {}{limit}", keys.collect::<Vec<_>>().join(", "))
    }

    /// Adds the condition that a row comes after the one with this key.
    pub(crate) fn after(&self, marker: Vec<Value>, conditions: &mut Conditions) {
        let descending = self.0.first().is_some_and(|key| key.descending);
        let values = marker
            .into_iter()
            .map(|value| (!matches!(value, Value::Null)).then(|| conditions.bind(value)))
            .collect::<Vec<_>>();
        if self.0.iter().all(|key| !key.nullable && key.descending == descending) {
            // One comparison of rows, which an index answers.
            let numbers = values.iter().flatten().map(|number| format!("${number}")).collect::<Vec<_>>();
            let operator = if descending { "<" } else { ">" };
            conditions.push(format!("({}) {operator} ({})", self.key(), numbers.join(", ")));
            return;
        }
        if let (Some(Key { nullable: false, expression, descending, .. }), Some(Some(number))) =
            (self.0.first(), values.first())
        {
            // Follows from the rest, but only this bound lets an index start at the right place.
            let operator = if *descending { "<=" } else { ">=" };
            conditions.push(format!("{expression} {operator} ${number}"));
        }
        let mut equal = String::new();
        let mut alternatives = Vec::new();
        for (key, value) in self.0.iter().zip(&values) {
            if let Some(later) = key.later(*value) {
                alternatives.push(format!("{equal}{later}"));
            }
            equal.push_str(&match value {
                Some(number) => format!("{} = ${number} AND ", key.expression),
                None => format!("{} IS NULL AND ", key.expression),
            });
        }
        let any = if alternatives.is_empty() { "1 = 0".to_owned() } else { alternatives.join(" OR ") };
        conditions.push(format!("({any})"));
    }
}

impl Key {
    /// The condition that a row's value comes after the marker's (parameter number, or none for null) in this key alone.
    fn later(&self, marker: Option<usize>) -> Option<String> {
        let expression = &self.expression;
        let operator = if self.descending { "<" } else { ">" };
        match marker {
            Some(number) if self.nullable && !self.nulls_first => {
                Some(format!("({expression} {operator} ${number} OR {expression} IS NULL)"))
            }
            Some(number) => Some(format!("{expression} {operator} ${number}")),
            None if self.nulls_first => Some(format!("{expression} IS NOT NULL")),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::SortKey;

    fn order(sort: &[(&str, bool, bool)]) -> Order {
        let sort = sort
            .iter()
            .map(|(key, descending, nulls_first)| SortKey {
                key: (*key).to_owned(),
                descending: *descending,
                nulls_first: *nulls_first,
            })
            .collect();
        Order::new(&Page { sort, limit: Some(3), marker: None }, &[("a", false)], &["id"], |key| match key {
            "a" | "id" => Column::always(key),
            "n" => Column::nullable(key),
            "c" => Some(Column::Constant),
            _ => None,
        })
        .unwrap()
    }

    fn after(order: &Order, marker: Vec<Value>) -> String {
        let mut conditions = Conditions::default();
        order.after(marker, &mut conditions);
        conditions.clause()
    }

    #[test]
    fn orders_end_with_the_tie_breaker_once() {
        let page = Page { limit: Some(3), ..Page::default() };
        assert_eq!(order(&[]).tail(&page), " ORDER BY a, id LIMIT 3");
        assert_eq!(order(&[("id", true, false)]).tail(&page), " ORDER BY id DESC LIMIT 3");
        assert_eq!(
            order(&[("n", true, true), ("c", false, false)]).tail(&Page::default()),
            " ORDER BY n DESC NULLS FIRST, id"
        );
    }

    #[test]
    fn unknown_keys_are_named() {
        let page = Page {
            sort: vec![SortKey { key: "x".into(), descending: false, nulls_first: false }],
            ..Page::default()
        };
        let error = Order::new(&page, &[], &[], |_| None).unwrap_err();
        assert_eq!(error.to_string(), "sort key is invalid: x");
    }

    #[test]
    fn pages_start_after_the_marker_with_nulls_at_either_end() {
        let v = || Value::Int(1);
        assert_eq!(after(&order(&[]), vec![v(), v()]), " WHERE (a, id) > ($1, $2)");
        assert_eq!(
            after(&order(&[("a", true, false)]), vec![v(), v()]),
            " WHERE a <= $1 AND (a < $1 OR a = $1 AND id > $2)"
        );
        assert_eq!(
            after(&order(&[("n", false, false)]), vec![v(), v()]),
            " WHERE ((n > $1 OR n IS NULL) OR n = $1 AND id > $2)"
        );
        assert_eq!(
            after(&order(&[("n", false, false)]), vec![Value::Null, v()]),
            " WHERE (n IS NULL AND id > $1)"
        );
        assert_eq!(
            after(&order(&[("n", true, true)]), vec![Value::Null, v()]),
            " WHERE (n IS NOT NULL OR n IS NULL AND id > $1)"
        );
        assert_eq!(
            after(&order(&[("n", true, true)]), vec![v(), v()]),
            " WHERE (n < $1 OR n = $1 AND id > $2)"
        );
    }
}
