//! Validation of JSON bodies, with the messages and paths that Gnocchi's clients know (metrics-api §2.2).

use serde_json::{Map, Value};

/// One step from the root of a body to a value in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Value of a mapping's key.
    Key(String),
    /// Element of a list.
    Index(usize),
}

/// Why a body is refused: a message and the place it speaks of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// What is wrong, without the place.
    pub message: String,
    /// Where, from the root.
    pub path: Vec<Step>,
    /// Whether the value at the place is wrong, and not the presence or absence of its key.
    pub about_value: bool,
}

impl Invalid {
    /// Something about the whole body.
    pub fn whole(message: impl Into<String>) -> Self {
        Self { message: message.into(), path: Vec::new(), about_value: true }
    }

    /// The `reason` of the error body: message and place.
    pub fn reason(&self) -> String {
        use std::fmt::Write as _;

        let mut text = self.message.clone();
        if self.about_value && matches!(self.path.last(), Some(Step::Key(_))) {
            text.push_str(" for dictionary value");
        }
        if !self.path.is_empty() {
            text.push_str(" @ data");
            for step in &self.path {
                // Writing to a string cannot fail.
                let _ok = match step {
                    Step::Key(key) => write!(text, "['{key}']"),
                    Step::Index(index) => write!(text, "[{index}]"),
                };
            }
        }
        text
    }

    /// The `detail` of the error body: every step as text.
    pub fn detail(&self) -> Vec<String> {
        let steps = self.path.iter();
        steps
            .map(|step| match step {
                Step::Key(key) => key.clone(),
                Step::Index(index) => index.to_string(),
            })
            .collect()
    }
}

/// Where a value is; lives on the stack, so that a valid body costs nothing.
#[derive(Clone, Copy, Debug)]
enum Place<'a> {
    Root,
    Key(&'a Place<'a>, &'a str),
    Index(&'a Place<'a>, usize),
}

impl Place<'_> {
    fn steps(&self) -> Vec<Step> {
        match self {
            Self::Root => Vec::new(),
            Self::Key(parent, key) => with(parent.steps(), Step::Key((*key).to_owned())),
            Self::Index(parent, index) => with(parent.steps(), Step::Index(*index)),
        }
    }
}

fn with(mut steps: Vec<Step>, last: Step) -> Vec<Step> {
    steps.push(last);
    steps
}

/// A value of a body and its place in it.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// The value.
    pub value: &'a Value,
    place: Place<'a>,
}

impl<'a> Field<'a> {
    /// The whole body.
    pub fn root(value: &'a Value) -> Self {
        Self { value, place: Place::Root }
    }

    /// An error about this value.
    pub fn invalid(&self, message: impl Into<String>) -> Invalid {
        Invalid { message: message.into(), path: self.place.steps(), about_value: true }
    }

    /// As a mapping.
    pub fn object(&'a self) -> Result<Object<'a>, Invalid> {
        match self.value {
            Value::Object(map) => Ok(Object { map, place: &self.place }),
            _ => Err(self.invalid("expected a dictionary")),
        }
    }

    /// As a list: its elements with their places.
    pub fn list(&'a self) -> Result<impl ExactSizeIterator<Item = Field<'a>>, Invalid> {
        match self.value {
            Value::Array(items) => Ok(items
                .iter()
                .enumerate()
                .map(|(index, value)| Field { value, place: Place::Index(&self.place, index) })),
            _ => Err(self.invalid("expected a list")),
        }
    }

    /// As text.
    pub fn text(&self) -> Result<&'a str, Invalid> {
        self.value.as_str().ok_or_else(|| self.invalid("expected str"))
    }

    /// As text of a length in characters.
    pub fn text_of_length(&self, least: usize, most: usize) -> Result<&'a str, Invalid> {
        let text = self.text()?;
        let length = text.chars().count();
        if length < least {
            return Err(self.invalid(format!("length of value must be at least {least}")));
        }
        if length > most {
            return Err(self.invalid(format!("length of value must be at most {most}")));
        }
        Ok(text)
    }

    /// As true or false.
    pub fn boolean(&self) -> Result<bool, Invalid> {
        self.value.as_bool().ok_or_else(|| self.invalid("expected bool"))
    }

    /// As a number.
    pub fn number(&self) -> Result<f64, Invalid> {
        self.value.as_f64().ok_or_else(|| self.invalid("expected Real"))
    }

    /// As a whole number of at least `least`; text of a whole number counts as one, and of other numbers the fraction is
    /// dropped.
    pub fn whole_number(&self, least: u64) -> Result<u64, Invalid> {
        let number = match self.value {
            Value::Number(number) => match (number.as_u64(), number.as_f64()) {
                (Some(number), _) => Some(number),
                (None, Some(number)) if number <= MOST_EXACT => cut(number),
                _ => return Err(self.invalid("expected int")),
            },
            Value::String(text) => match text.trim().parse::<i128>() {
                Ok(number) => u64::try_from(number).ok(),
                Err(_) => return Err(self.invalid("expected int")),
            },
            _ => return Err(self.invalid("expected int")),
        };
        number
            .filter(|number| *number >= least)
            .ok_or_else(|| self.invalid(format!("value must be at least {least}")))
    }
}

/// 2⁵³: up to here every whole number is a float of its own.
const MOST_EXACT: f64 = 9_007_199_254_740_992.0;

/// Without its fraction, unless it is negative or more than [`MOST_EXACT`].
fn cut(number: f64) -> Option<u64> {
    let whole = number.trunc();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
    (0.0..=MOST_EXACT).contains(&whole).then_some(whole as u64)
}

/// A mapping of a body.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    map: &'a Map<String, Value>,
    place: &'a Place<'a>,
}

impl<'a> Object<'a> {
    /// Refuses keys that are not among `allowed`.
    pub fn only(&self, allowed: &[&str]) -> Result<(), Invalid> {
        match self.map.keys().find(|key| !allowed.contains(&key.as_str())) {
            Some(key) => Err(self.at_key(key, "extra keys not allowed")),
            None => Ok(()),
        }
    }

    /// The value of `key`, if it is there.
    pub fn get(&self, key: &'a str) -> Option<Field<'a>> {
        self.map.get(key).map(|value| Field { value, place: Place::Key(self.place, key) })
    }

    /// The value of `key`, which must be there.
    pub fn require(&self, key: &'a str) -> Result<Field<'a>, Invalid> {
        self.get(key).ok_or_else(|| self.at_key(key, "required key not provided"))
    }

    /// Every key with its value.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&'a str, Field<'a>)> {
        let place = self.place;
        self.map
            .iter()
            .map(move |(key, value)| (key.as_str(), Field { value, place: Place::Key(place, key) }))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// An error about the mapping itself.
    pub fn invalid(&self, message: impl Into<String>) -> Invalid {
        Invalid { message: message.into(), path: self.place.steps(), about_value: true }
    }

    /// An error about the key `key` and not its value.
    pub fn at_key(&self, key: &str, message: impl Into<String>) -> Invalid {
        let path = with(self.place.steps(), Step::Key(key.to_owned()));
        Invalid { message: message.into(), path, about_value: false }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reason_of(invalid: Invalid) -> (String, Vec<String>) {
        (invalid.reason(), invalid.detail())
    }

    #[test]
    fn errors_tell_their_place() {
        let body = json!({"definition": [{"points": 0}], "metrics": {"a": {"x": 1}}, "name": 5});
        let root = Field::root(&body);
        let object = root.object().unwrap();
        let definition = object.require("definition").unwrap();
        let item = definition.list().unwrap().next().unwrap();
        let points = item.object().unwrap().require("points").unwrap().whole_number(1).unwrap_err();
        assert_eq!(
            reason_of(points),
            (
                "value must be at least 1 for dictionary value @ data['definition'][0]['points']".to_owned(),
                vec!["definition".to_owned(), "0".to_owned(), "points".to_owned()]
            )
        );
        let metrics = object.require("metrics").unwrap();
        let metrics = metrics.object().unwrap();
        let metric = metrics.require("a").unwrap();
        let extra = metric.object().unwrap().only(&["unit"]).unwrap_err();
        assert_eq!(reason_of(extra).0, "extra keys not allowed @ data['metrics']['a']['x']");
        assert_eq!(object.require("zone").unwrap_err().reason(), "required key not provided @ data['zone']");
        assert_eq!(
            object.require("name").unwrap().text().unwrap_err().reason(),
            "expected str for dictionary value @ data['name']"
        );
        assert_eq!(item.list().err().unwrap().reason(), "expected a list @ data['definition'][0]");
        let list = json!([]);
        assert_eq!(
            reason_of(Field::root(&list).object().unwrap_err()),
            ("expected a dictionary".to_owned(), vec![])
        );
    }

    #[test]
    fn whole_numbers_may_be_text() {
        for (value, expected) in [
            (json!(3), Ok(3)),
            (json!("3"), Ok(3)),
            (json!(-1), Err("value must be at least 0")),
            (json!("-1"), Err("value must be at least 0")),
            (json!(60.0), Ok(60)),
            (json!(1.5), Ok(1)),
            (json!(-1.5), Err("value must be at least 0")),
            (json!(-0.5), Ok(0)),
            (json!(1e300), Err("expected int")),
            (json!("x"), Err("expected int")),
            (json!(null), Err("expected int")),
        ] {
            let result = Field::root(&value).whole_number(0);
            assert_eq!(
                result.as_ref().map_err(|invalid| invalid.message.as_str()),
                expected.as_ref().map_err(|text| *text),
                "{value}"
            );
        }
    }

    #[test]
    fn lengths_count_characters() {
        let value = json!("éé");
        assert!(Field::root(&value).text_of_length(2, 2).is_ok());
        assert_eq!(
            Field::root(&value).text_of_length(3, 5).unwrap_err().message,
            "length of value must be at least 3"
        );
        assert_eq!(
            Field::root(&value).text_of_length(0, 1).unwrap_err().message,
            "length of value must be at most 1"
        );
    }
}
