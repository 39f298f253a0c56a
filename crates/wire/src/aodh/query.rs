//! Simple queries, sorting and paging as they stand in a query string (alarms-api §6).

use nephos_model::Timestamp;

use super::fields::{Fault, boolean};

/// One `q.field`, `q.op`, `q.value`, `q.type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Field.
    pub field: String,
    /// `eq` unless given.
    pub op: String,
    /// Value as sent.
    pub value: String,
    /// Type, if given.
    pub kind: Option<String>,
}

const TYPES: [&str; 5] = ["integer", "float", "string", "boolean", "datetime"];

/// Conditions of a query string's decoded pairs: the four lists are matched by position.
pub fn conditions(pairs: &[(String, String)]) -> Result<Vec<Condition>, Fault> {
    let list = |name: &str| -> Vec<&str> {
        pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    };
    let (fields, ops, values, kinds) = (list("q.field"), list("q.op"), list("q.value"), list("q.type"));
    let uneven = |given: &[&str]| !given.is_empty() && given.len() != fields.len();
    if values.len() != fields.len() || uneven(&ops) || uneven(&kinds) {
        return Err(Fault::bad("q.field and q.value, and q.op and q.type if given, must be as many"));
    }
    let mut conditions = Vec::with_capacity(fields.len());
    for (at, (field, value)) in fields.into_iter().zip(values).enumerate() {
        let kind = kinds.get(at).filter(|kind| !kind.is_empty()).map(|kind| (*kind).to_owned());
        if let Some(kind) = kind.as_ref().filter(|kind| !TYPES.contains(&kind.as_str())) {
            return Err(Fault::bad(format!(
                "The data type {kind} is not supported. The supported data type list is: ['integer', 'float', 'string', 'boolean', 'datetime']"
            )));
        }
        let op = ops.get(at).filter(|op| !op.is_empty()).map_or("eq", |op| op);
        conditions.push(Condition {
            field: field.to_owned(),
            op: op.to_owned(),
            value: value.to_owned(),
            kind,
        });
    }
    Ok(conditions)
}

impl Condition {
    fn unconvertible(&self, kind: &str) -> Fault {
        Fault::bad(format!("Unable to convert the value {} to the expected data type {kind}.", self.value))
    }

    /// The value as truth, in any letter case.
    pub fn boolean(&self) -> Result<bool, Fault> {
        boolean(&self.value.to_lowercase()).ok_or_else(|| self.unconvertible("boolean"))
    }

    /// The value as a point in time.
    pub fn time(&self) -> Result<Timestamp, Fault> {
        crate::time::parse_iso8601(&self.value)
            .ok_or_else(|| Fault::field(&self.field, &self.value, "invalid timestamp format"))
    }

    /// The value as a whole number.
    pub fn integer(&self) -> Result<i64, Fault> {
        self.value.trim().parse().map_err(|_| self.unconvertible("integer"))
    }

    /// Checks that the value is of the type it is said to be.
    pub fn check_kind(&self) -> Result<(), Fault> {
        match self.kind.as_deref() {
            Some("integer") => self.integer().map(|_| ()),
            Some("float") => {
                self.value.trim().parse::<f64>().map(|_| ()).map_err(|_| self.unconvertible("float"))
            }
            Some("boolean") => self.boolean().map(|_| ()),
            Some("datetime") => crate::time::parse_iso8601(&self.value)
                .map(|_| ())
                .ok_or_else(|| self.unconvertible("datetime")),
            _ => Ok(()),
        }
    }
}

/// One `sort=key:dir`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    /// Key.
    pub key: String,
    /// Direction.
    pub descending: bool,
}

/// Which part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paging {
    /// At most so many; absent means all.
    pub limit: Option<u64>,
    /// Last item of the page before.
    pub marker: Option<String>,
    /// Order.
    pub sort: Vec<Sort>,
}

/// `limit`, `marker` and `sort` of a query string's decoded pairs. `keys` are the sort keys there are.
pub fn paging(pairs: &[(String, String)], keys: &[&str]) -> Result<Paging, Fault> {
    let mut paging = Paging::default();
    for (name, value) in pairs {
        match name.as_str() {
            "limit" => paging.limit = limit(value)?,
            "marker" => paging.marker = Some(value.clone()),
            "sort" => paging.sort.push(sort(value, keys)?),
            _ => {}
        }
    }
    Ok(paging)
}

fn limit(value: &str) -> Result<Option<u64>, Fault> {
    match value.trim().parse::<i64>() {
        Ok(0) => Ok(None),
        Ok(limit) => u64::try_from(limit)
            .map(Some)
            .map_err(|_| Fault::field("limit", value, "it should be a positive integer.")),
        Err(_) => Err(Fault::field("limit", value, "unable to convert to int")),
    }
}

fn sort(value: &str, keys: &[&str]) -> Result<Sort, Fault> {
    let (key, direction) = value.split_once(':').unwrap_or((value, "asc"));
    let descending = match direction {
        "asc" => Some(false),
        "desc" => Some(true),
        _ => None,
    };
    match descending {
        Some(descending) if keys.contains(&key) => Ok(Sort { key: key.to_owned(), descending }),
        _ => {
            let keys: Vec<String> = keys.iter().map(|key| format!("'{key}'")).collect();
            Err(Fault::field(
                "sort",
                value,
                &format!(
                    "the sort parameter should be a pair of sort key and sort dir combined with ':', or only sort key \
                     specified and sort dir will be default 'asc', the supported sort keys are: ({})",
                    keys.join(", ")
                ),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn conditions_are_matched_by_position() {
        let found = conditions(&pairs(&[
            ("q.field", "state"),
            ("q.value", "ok"),
            ("q.field", "enabled"),
            ("q.value", "False"),
            ("q.op", "eq"),
            ("q.op", ""),
        ]))
        .unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[1].field.as_str(), found[1].op.as_str()), ("enabled", "eq"));
        assert_eq!(found[1].boolean(), Ok(false));
    }

    #[test]
    fn uneven_lists_and_unknown_types_are_refused() {
        assert!(conditions(&pairs(&[("q.field", "state")])).is_err());
        assert!(
            conditions(&pairs(&[("q.field", "a"), ("q.value", "b"), ("q.op", "eq"), ("q.op", "eq")]))
                .is_err()
        );
        let fault = conditions(&pairs(&[("q.field", "a"), ("q.value", "b"), ("q.type", "zzz")])).unwrap_err();
        assert!(fault.message.starts_with("The data type zzz is not supported."), "{}", fault.message);
        let maybe = Condition { field: "enabled".into(), op: "eq".into(), value: "maybe".into(), kind: None };
        assert_eq!(
            maybe.boolean().unwrap_err().message,
            "Unable to convert the value maybe to the expected data type boolean."
        );
    }

    #[test]
    fn paging_is_read() {
        let read = paging(
            &pairs(&[("limit", "5"), ("marker", "m"), ("sort", "name"), ("sort", "state:desc")]),
            &["name", "state"],
        )
        .unwrap();
        assert_eq!((read.limit, read.marker.as_deref(), read.sort.len()), (Some(5), Some("m"), 2));
        assert!(read.sort[1].descending);
        assert_eq!(paging(&pairs(&[("limit", "0")]), &[]).unwrap().limit, None);
        for (name, value, start) in [
            (
                "limit",
                "-1",
                "Invalid input for field/attribute limit. Value: '-1'. it should be a positive integer.",
            ),
            ("limit", "x", "Invalid input for field/attribute limit. Value: 'x'."),
            (
                "sort",
                "rule:asc",
                "Invalid input for field/attribute sort. Value: 'rule:asc'. the sort parameter should be",
            ),
            ("sort", "name:up", "Invalid input for field/attribute sort. Value: 'name:up'."),
        ] {
            let fault = paging(&pairs(&[(name, value)]), &["name"]).unwrap_err();
            assert!(fault.message.starts_with(start), "{}", fault.message);
        }
    }
}
