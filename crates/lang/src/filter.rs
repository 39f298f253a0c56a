//! Conditions on the attributes of resources, as JSON (`{"and": [{"=": {"host": "a"}}, …]}`) and as text
//! (`host = a and not ended_at = null`).
//!
//! Text is first turned into the JSON form, so that both are checked by the same rules and refused with the same words.

mod text;

use serde_json::{Map, Value};

pub use text::parse_text;

/// Conditions of one filter; more than any person writes, few enough that no database balks.
pub const MAX_CONDITIONS: usize = 4_096;
/// How deep conditions nest.
pub const MAX_DEPTH: usize = 64;

/// A condition on a resource.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// The attribute compares so to the value.
    Compare {
        /// How.
        operator: Operator,
        /// Name of the attribute.
        attribute: String,
        /// Null, boolean, number or text.
        value: Value,
    },
    /// The attribute equals one of the values.
    In {
        /// Name of the attribute.
        attribute: String,
        /// At least one: null, boolean, number or text.
        values: Vec<Value>,
    },
    /// All of these hold.
    All(Vec<Filter>),
    /// At least one of these holds.
    Any(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Equal.
    Eq,
    /// Not equal, or nothing there to compare.
    Ne,
    /// Less.
    Lt,
    /// Greater.
    Gt,
    /// Less or equal.
    Le,
    /// Greater or equal.
    Ge,
    /// Fits a pattern in which `%` stands for any text and `_` for any character.
    Like,
}

impl Operator {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "=" | "==" | "eq" => Self::Eq,
            "!=" | "≠" | "ne" => Self::Ne,
            "<" | "lt" => Self::Lt,
            ">" | "gt" => Self::Gt,
            "<=" | "≤" | "le" => Self::Le,
            ">=" | "≥" | "ge" => Self::Ge,
            "like" => Self::Like,
            _ => return None,
        })
    }
}

/// One step from the root of a document to a value in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Value of a key.
    Key(String),
    /// Element of a list.
    Index(usize),
}

/// Why a document is no filter. The messages are those of the API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What is wrong.
    pub message: String,
    /// Where, from the root.
    pub path: Vec<Step>,
    /// Whether the value there is wrong, and not its key.
    pub about_value: bool,
}

impl Filter {
    /// Both hold.
    pub fn and(self, other: Option<Self>) -> Self {
        match other {
            Some(other) => Self::All(vec![self, other]),
            None => self,
        }
    }

    /// The attribute equals the value.
    pub fn equals(attribute: &str, value: impl Into<Value>) -> Self {
        Self::Compare { operator: Operator::Eq, attribute: attribute.to_owned(), value: value.into() }
    }

    /// Reads the JSON form; `{}` is no condition. What stands for an `id` is converted by `convert_id`, whose error is
    /// a message of the API.
    pub fn from_json(
        document: &Value,
        convert_id: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<Option<Self>, Fault> {
        if matches!(document, Value::Object(map) if map.is_empty()) {
            return Ok(None);
        }
        let mut reader = Reader { convert_id, path: Vec::new(), depth: 0, conditions: 0 };
        reader.filter(document).map(Some)
    }
}

struct Reader<'a> {
    convert_id: &'a dyn Fn(&str) -> Result<String, String>,
    path: Vec<Step>,
    depth: usize,
    conditions: usize,
}

impl Reader<'_> {
    fn wrong(&self, message: impl Into<String>) -> Fault {
        Fault { message: message.into(), path: self.path.clone(), about_value: true }
    }

    fn wrong_key(&self, key: &str, message: impl Into<String>) -> Fault {
        let mut path = self.path.clone();
        path.push(Step::Key(key.to_owned()));
        Fault { message: message.into(), path, about_value: false }
    }

    /// Runs `read` one step further from the root.
    fn below<T>(&mut self, step: Step, read: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.path.push(step);
        let result = read(self);
        self.path.pop();
        result
    }

    /// The one entry of a mapping.
    fn only_entry<'v>(&self, value: &'v Value) -> Result<(&'v String, &'v Value), Fault> {
        let Value::Object(map) = value else { return Err(self.wrong("expected a dictionary")) };
        let mut entries = Map::iter(map);
        match (entries.next(), entries.next()) {
            (Some(entry), None) => Ok(entry),
            (None, _) => Err(self.wrong("length of value must be at least 1")),
            _ => Err(self.wrong("length of value must be at most 1")),
        }
    }

    fn filter(&mut self, value: &Value) -> Result<Filter, Fault> {
        if self.depth == MAX_DEPTH {
            return Err(self.wrong(format!("nested deeper than {MAX_DEPTH}")));
        }
        self.conditions += 1;
        if self.conditions > MAX_CONDITIONS {
            return Err(self.wrong(format!("more than {MAX_CONDITIONS} conditions")));
        }
        let (key, operand) = self.only_entry(value)?;
        self.depth += 1;
        let filter = match key.as_str() {
            "and" | "∧" => {
                self.below(Step::Key(key.clone()), |reader| reader.several(operand)).map(Filter::All)
            }
            "or" | "∨" => {
                self.below(Step::Key(key.clone()), |reader| reader.several(operand)).map(Filter::Any)
            }
            "not" => self
                .below(Step::Key(key.clone()), |reader| reader.filter(operand))
                .map(|filter| Filter::Not(Box::new(filter))),
            "in" => self.below(Step::Key(key.clone()), |reader| reader.membership(operand)),
            other => match Operator::parse(other) {
                Some(operator) => {
                    self.below(Step::Key(key.clone()), |reader| reader.comparison(operator, operand))
                }
                None => Err(self.wrong_key(other, "not a valid value")),
            },
        }?;
        self.depth -= 1;
        Ok(filter)
    }

    fn several(&mut self, value: &Value) -> Result<Vec<Filter>, Fault> {
        let Value::Array(items) = value else { return Err(self.wrong("expected a list")) };
        if items.is_empty() {
            return Err(self.wrong("length of value must be at least 1"));
        }
        let numbered = items.iter().enumerate();
        numbered.map(|(at, item)| self.below(Step::Index(at), |reader| reader.filter(item))).collect()
    }

    fn comparison(&mut self, operator: Operator, value: &Value) -> Result<Filter, Fault> {
        let (attribute, value) = self.only_entry(value)?;
        if operator == Operator::Like && attribute == "id" {
            return Err(self.wrong_key(attribute, "value must not be one of ['id']"));
        }
        let value = self.below(Step::Key(attribute.clone()), |reader| reader.scalar(attribute, value))?;
        Ok(Filter::Compare { operator, attribute: attribute.clone(), value })
    }

    fn membership(&mut self, value: &Value) -> Result<Filter, Fault> {
        let (attribute, value) = self.only_entry(value)?;
        let values = self.below(Step::Key(attribute.clone()), |reader| {
            let Value::Array(items) = value else { return Err(reader.wrong("expected a list")) };
            if items.is_empty() {
                return Err(reader.wrong("length of value must be at least 1"));
            }
            let numbered = items.iter().enumerate();
            let mut item =
                |(at, item)| reader.below(Step::Index(at), |reader| reader.scalar(attribute, item));
            numbered.map(&mut item).collect::<Result<Vec<_>, _>>()
        })?;
        Ok(Filter::In { attribute: attribute.clone(), values })
    }

    fn scalar(&mut self, attribute: &str, value: &Value) -> Result<Value, Fault> {
        match value {
            Value::String(text) if attribute == "id" => {
                (self.convert_id)(text).map(Value::String).map_err(|message| self.wrong(message))
            }
            Value::Array(_) | Value::Object(_) => Err(self.wrong("expected str")),
            _ if attribute == "id" => Err(self.wrong("expected str")),
            scalar => Ok(scalar.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
