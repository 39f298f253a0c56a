//! Where the few resources are that can fit a filter, as the texts of their attributes tell.

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
}

impl Look<'_> {
    /// The statement that finds the ids of at most `limit` such resources, and its parameters.
    pub(super) fn statement(self, dialect: Dialect, limit: usize) -> (String, Vec<Value>) {
        let name = Value::from(self.attribute);
        let (condition, params) = match self.values {
            Values::OneOf(values) => {
                (dialect.any_of("value", 2, Kind::Text), vec![name, Value::TextList(values)])
            }
            Values::Between(from, to) => {
                ("value >= $2 AND value < $3".to_owned(), vec![name, from.into(), to.into()])
            }
        };
        (format!("SELECT id FROM resource_attribute WHERE name = $1 AND {condition} LIMIT {limit}"), params)
    }
}

impl Translator<'_> {
    /// One for each attribute of the type whose texts the filter limits.
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
            (_, values) => self.one_of(subject.kind, values),
        };
        looks.extend(values.map(|values| Look { attribute, values }));
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
}
