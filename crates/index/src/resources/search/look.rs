//! Where the few resources are that can fit a filter, as the texts and numbers of their attributes tell.

use nephos_lang::filter::{Filter, Operator};
use nephos_sql::{Dialect, Kind, Value};
use serde_json::Value as Json;

use super::pattern::Pattern;
use super::{SubjectKind, Translator, text};

/// How much of a text of an attribute is noted for finding it.
const NOTED_LETTERS: usize = 255;

/// What must be noted of an attribute of whatever fits.
#[derive(Debug, PartialEq)]
pub(super) struct Look<'f> {
    attribute: &'f str,
    values: Values,
}

#[derive(Debug, PartialEq)]
enum Values {
    OneOf(Vec<String>),
    /// From the first on, before the second.
    Between(String, String),
    OneNumberOf(Vec<f64>),
    /// Both included.
    NumberBetween(f64, f64),
}

impl Look<'_> {
    /// The statement that finds the ids of at most `limit` such resources, and its parameters.
    pub(super) fn statement(self, dialect: Dialect, limit: usize) -> (String, Vec<Value>) {
        let name = Value::from(self.attribute);
        let (table, condition, mut params) = match self.values {
            Values::OneOf(values) => {
                ("attribute", dialect.any_of("value", 2, Kind::Text), vec![Value::TextList(values)])
            }
            Values::Between(from, to) => {
                ("attribute", "value >= $2 AND value < $3".to_owned(), vec![from.into(), to.into()])
            }
            Values::OneNumberOf(values) => {
                let table = dialect.table(2, &[("wanted", Kind::Float)]);
                let wanted = format!("(SELECT wanted FROM {table} AS list)");
                let condition = match dialect {
                    Dialect::Sqlite => format!("value IN {wanted}"),
                    // As a list its values are looked for one by one.
                    Dialect::Postgres => format!("value = ANY(ARRAY{wanted})"),
                };
                let rows = values.into_iter().map(|value| vec![Value::Float(value)]);
                ("number", condition, vec![Value::Table(rows.collect())])
            }
            Values::NumberBetween(from, to) => {
                let bounds = vec![Value::Float(from), Value::Float(to)];
                ("number", "value >= $2 AND value <= $3".to_owned(), bounds)
            }
        };
        params.insert(0, name);
        (format!("SELECT id FROM resource_{table} WHERE name = $1 AND {condition} LIMIT {limit}"), params)
    }
}

impl Translator<'_> {
    /// One for each condition on an attribute of the type that limits its texts or numbers.
    pub(super) fn looks<'f>(&self, filter: &'f Filter) -> Vec<Look<'f>> {
        let mut looks = Vec::new();
        self.look(filter, &mut looks);
        looks
    }

    fn look<'f>(&self, filter: &'f Filter, looks: &mut Vec<Look<'f>>) {
        let (attribute, values) = match filter {
            Filter::All(parts) => return parts.iter().for_each(|part| self.look(part, looks)),
            Filter::Compare { operator: Operator::Eq | Operator::Like, attribute, value } => {
                (attribute, std::slice::from_ref(value))
            }
            Filter::Compare {
                operator: Operator::Lt | Operator::Le | Operator::Gt | Operator::Ge,
                attribute,
                value,
            } => (attribute, std::slice::from_ref(value)),
            Filter::In { attribute, values } => (attribute, values.as_slice()),
            _ => return,
        };
        // What every resource has is no attribute of the type.
        let Ok(subject) = self.subject(attribute) else { return };
        if !subject.expression.contains("r.attributes") {
            return;
        }
        let values = match (filter, values) {
            (Filter::Compare { operator: Operator::Like, .. }, [value])
                if subject.kind == SubjectKind::Text =>
            {
                text(value).and_then(|pattern| starting_as(&pattern))
            }
            (Filter::Compare { operator: Operator::Like, .. }, _) => None,
            (Filter::Compare { operator: Operator::Lt | Operator::Le, .. }, [value]) => {
                self.number(subject.kind, value).map(|to| Values::NumberBetween(f64::MIN, to))
            }
            (Filter::Compare { operator: Operator::Gt | Operator::Ge, .. }, [value]) => {
                self.number(subject.kind, value).map(|from| Values::NumberBetween(from, f64::MAX))
            }
            (_, values) if subject.kind == SubjectKind::Number => {
                let numbers = values.iter().map(|value| self.number(subject.kind, value));
                numbers.collect::<Option<_>>().map(Values::OneNumberOf)
            }
            (_, values) => self.one_of(subject.kind, values),
        };
        let Some(mut values) = values else { return };
        // Two bounds of one attribute are one range: what fits both is less than what fits either.
        if let Values::NumberBetween(from, to) = &mut values {
            looks.retain(|look| match look.values {
                Values::NumberBetween(other_from, other_to) if look.attribute == attribute => {
                    (*from, *to) = (from.max(other_from), to.min(other_to));
                    false
                }
                _ => true,
            });
        }
        looks.push(Look { attribute, values });
    }

    /// What a number is compared with.
    fn number(&self, kind: SubjectKind, value: &Json) -> Option<f64> {
        match self.convert(kind, value) {
            Some(Value::Float(number)) if kind == SubjectKind::Number => Some(number),
            _ => None,
        }
    }

    fn one_of(&self, kind: SubjectKind, values: &[Json]) -> Option<Values> {
        let text = |value: &Json| match self.convert(kind, value) {
            Some(Value::Text(text)) => Some(noted(&text)),
            _ => None,
        };
        values.iter().map(text).collect::<Option<Vec<String>>>().map(Values::OneOf)
    }
}

fn noted(text: &str) -> String {
    text.chars().take(NOTED_LETTERS).collect()
}

/// The texts that start as a pattern does, if it starts with a text.
fn starting_as(pattern: &str) -> Option<Values> {
    let start = noted(Pattern::parse(pattern)?.start()?);
    let mut letters: Vec<char> = start.chars().collect();
    // Before the next text of the same length; the greatest letter has none behind it.
    while let Some(last) = letters.pop() {
        if let Some(next) = (last..=char::MAX).nth(1) {
            letters.push(next);
            return Some(Values::Between(start, letters.into_iter().collect()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use nephos_model::{AttributeKind, AttributeType, ResourceType, ResourceTypeState, Timestamp};
    use serde_json::json;

    use super::*;

    #[test]
    fn patterns_that_start_with_a_text_are_looked_for_there() {
        for (pattern, expected) in [
            ("f7%", Some(("f7", "f8"))),
            ("f7", Some(("f7", "f8"))),
            ("a\\%_b", Some(("a%", "a&"))),
            ("é_", Some(("é", "ê"))),
            ("a\u{10ffff}%", Some(("a\u{10ffff}", "b"))),
            ("\u{d7ff}%", Some(("\u{d7ff}", "\u{e000}"))),
            ("\u{10ffff}%", None),
            ("%7", None),
            ("_", None),
            ("", None),
        ] {
            let expected = expected.map(|(from, to)| Values::Between(from.to_owned(), to.to_owned()));
            assert_eq!(starting_as(pattern), expected, "{pattern}");
        }
        let long = starting_as(&format!("{}%", "x".repeat(300)));
        assert!(matches!(long, Some(Values::Between(from, to)) if from.len() == 255 && to.ends_with("xy")));
    }
    #[test]
    fn conditions_on_numbers_are_looked_for_as_values_and_ranges() {
        let attribute = |kind| AttributeType { kind, required: false };
        let definition = ResourceType {
            name: "instance".to_owned(),
            attributes: [
                ("cores".to_owned(), attribute(AttributeKind::Number { min: None, max: None })),
                ("ram".to_owned(), attribute(AttributeKind::Number { min: None, max: None })),
                ("locked".to_owned(), attribute(AttributeKind::Bool)),
            ]
            .into(),
            state: ResourceTypeState::Active,
        };
        let (least, most) = (f64::MIN, f64::MAX);
        let cores = |values| Look { attribute: "cores", values };
        for (filter, expected) in [
            (json!({"=": {"cores": 2}}), vec![cores(Values::OneNumberOf(vec![2.0]))]),
            (
                json!({"in": {"cores": [1, "2.5", true]}}),
                vec![cores(Values::OneNumberOf(vec![1.0, 2.5, 1.0]))],
            ),
            (json!({"<": {"cores": 3}}), vec![cores(Values::NumberBetween(least, 3.0))]),
            (json!({"<=": {"cores": 3}}), vec![cores(Values::NumberBetween(least, 3.0))]),
            (json!({">": {"cores": 3}}), vec![cores(Values::NumberBetween(3.0, most))]),
            (json!({">=": {"cores": 3}}), vec![cores(Values::NumberBetween(3.0, most))]),
            (
                json!({"and": [{">": {"cores": 1}}, {"<": {"ram": 5}}, {"<": {"cores": 9}}, {"<": {"cores": 4}}]}),
                vec![
                    Look { attribute: "ram", values: Values::NumberBetween(least, 5.0) },
                    cores(Values::NumberBetween(1.0, 4.0)),
                ],
            ),
            (json!({"=": {"cores": null}}), vec![]),
            (json!({"<": {"cores": null}}), vec![]),
            (json!({"!=": {"cores": 2}}), vec![]),
            (json!({"not": {"=": {"cores": 2}}}), vec![]),
            (json!({"or": [{"=": {"cores": 2}}, {"=": {"cores": 3}}]}), vec![]),
            (json!({"=": {"locked": true}}), vec![]),
            (json!({"<": {"locked": true}}), vec![]),
            (json!({"<": {"started_at": 7}}), vec![]),
        ] {
            let filter = Filter::from_json(&filter, &|id| Ok(id.to_owned())).unwrap().unwrap();
            let (dialect, now) = (Dialect::Postgres, Timestamp::EPOCH);
            let translator = Translator { dialect, definition: &definition, history: false, now };
            assert_eq!(translator.looks(&filter), expected, "{filter:?}");
        }
    }
}
