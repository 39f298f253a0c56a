//! Conditions on the values of measures, as JSON: `{"≥": 5}`, `{"and": [{">": 1}, {"<": [{"+": 2}, 7]}]}`.

use serde_json::Value;

use crate::arithmetic::BinaryOperator;
use crate::filter::{Fault, MAX_CONDITIONS, MAX_DEPTH, Step};

/// A condition on a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Predicate(Node);

#[derive(Clone, Debug, PartialEq)]
enum Node {
    /// The value that is looked at.
    Subject,
    Constant(f64),
    Binary(BinaryOperator, Box<[Node; 2]>),
    All(Vec<Node>),
    Any(Vec<Node>),
}

/// Values are compared and computed with, not bounded.
fn operator(name: &str) -> Option<BinaryOperator> {
    use BinaryOperator::{AtLeast, AtMost, Max};
    BinaryOperator::parse(name).filter(|operator| !matches!(operator, Max | AtLeast | AtMost))
}

impl Predicate {
    /// Reads the JSON form. Messages are those of the API; `Unknown operator not` stands apart there, so it is told by
    /// having no place.
    pub fn from_json(document: &Value) -> Result<Self, Fault> {
        Reader::default().condition(document).map(Self)
    }

    /// Whether the condition holds for `value`: what an operator of arithmetic gives holds unless it is zero.
    pub fn holds(&self, value: f64) -> bool {
        self.0.evaluate(value) != 0.0
    }
}

impl Node {
    fn evaluate(&self, value: f64) -> f64 {
        let truth = |holds: bool| f64::from(u8::from(holds));
        match self {
            Self::Subject => value,
            Self::Constant(constant) => *constant,
            Self::Binary(operator, sides) => {
                let [left, right] = sides.as_ref();
                operator.apply(left.evaluate(value), right.evaluate(value))
            }
            Self::All(parts) => truth(parts.iter().all(|part| part.evaluate(value) != 0.0)),
            Self::Any(parts) => truth(parts.iter().any(|part| part.evaluate(value) != 0.0)),
        }
    }
}

#[derive(Default)]
struct Reader {
    path: Vec<Step>,
    nodes: usize,
}

impl Reader {
    fn wrong(&self, message: impl Into<String>) -> Fault {
        Fault { message: message.into(), path: self.path.clone(), about_value: true }
    }

    fn below(
        &mut self,
        step: Step,
        read: impl FnOnce(&mut Self) -> Result<Node, Fault>,
    ) -> Result<Node, Fault> {
        self.nodes += 1;
        if self.nodes > MAX_CONDITIONS {
            return Err(self.wrong(format!("more than {MAX_CONDITIONS} conditions")));
        }
        // A condition takes two steps: its operator and its place in a list.
        if self.path.len() >= 2 * MAX_DEPTH {
            return Err(self.wrong(format!("nested deeper than {MAX_DEPTH}")));
        }
        self.path.push(step);
        let node = read(self);
        self.path.pop();
        node
    }

    fn condition(&mut self, document: &Value) -> Result<Node, Fault> {
        let Value::Object(map) = document else { return Err(self.wrong("expected a dictionary")) };
        let mut entries = map.iter();
        let (key, operand) = match (entries.next(), entries.next()) {
            (Some(entry), None) => entry,
            (None, _) => return Err(self.wrong("length of value must be at least 1")),
            _ => return Err(self.wrong("length of value must be at most 1")),
        };
        let step = Step::Key(key.clone());
        match key.as_str() {
            "and" | "∧" => self.below(step, |reader| reader.several(operand).map(Node::All)),
            "or" | "∨" => self.below(step, |reader| reader.several(operand).map(Node::Any)),
            "not" => Err(Fault {
                message: "Unknown operator not".to_owned(),
                path: Vec::new(),
                about_value: false,
            }),
            other => match operator(other) {
                Some(operator) => self.below(step, |reader| reader.binary(operator, operand)),
                None => {
                    let mut path = self.path.clone();
                    path.push(step);
                    Err(Fault { message: "extra keys not allowed".to_owned(), path, about_value: false })
                }
            },
        }
    }

    fn several(&mut self, operand: &Value) -> Result<Vec<Node>, Fault> {
        let Value::Array(items) = operand else { return Err(self.wrong("expected a list")) };
        let numbered = items.iter().enumerate();
        numbered.map(|(at, item)| self.below(Step::Index(at), |reader| reader.condition(item))).collect()
    }

    fn binary(&mut self, operator: BinaryOperator, operand: &Value) -> Result<Node, Fault> {
        if let Some(constant) = constant(operand) {
            return Ok(Node::Binary(operator, Box::new([Node::Subject, Node::Constant(constant)])));
        }
        let Value::Array(items) = operand else { return Err(self.wrong("expected float")) };
        let [left, right] = items.as_slice() else {
            let bound = if items.len() < 2 { "at least 2" } else { "at most 2" };
            return Err(self.wrong(format!("length of value must be {bound}")));
        };
        let mut side = |at, item: &Value| {
            self.below(Step::Index(at), |reader| match constant(item) {
                Some(constant) => Ok(Node::Constant(constant)),
                None => reader.condition(item),
            })
        };
        let sides = [side(0, left)?, side(1, right)?];
        Ok(Node::Binary(operator, Box::new(sides)))
    }
}

fn constant(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn conditions_hold_as_their_words_say() {
        for (document, holding, failing) in [
            (json!({"=": 12}), vec![12.0], vec![11.0, f64::NAN]),
            (json!({"≥": [{"+": 2}, 7]}), vec![5.0, 6.0], vec![4.9]),
            (json!({"∧": [{"≥": 1}, {"lt": 3.5}]}), vec![1.0, 3.0], vec![0.0, 3.5]),
            (json!({"or": [{"%": 2}, {"=": 4}]}), vec![3.0, 4.0, -1.0], vec![2.0, 0.0]),
            (json!({"and": []}), vec![1.0], vec![]),
            (json!({"or": []}), vec![], vec![1.0]),
            (json!({"=": [{"mod": 3}, 2]}), vec![-1.0, 5.0], vec![1.0]),
            (json!({"<": [{"^": 2}, {"*": 2}]}), vec![1.0], vec![2.0, 0.0]),
            (json!({">": [{"/": 0}, 1]}), vec![1.0], vec![0.0, -1.0]),
        ] {
            let predicate = Predicate::from_json(&document).unwrap();
            for value in holding {
                assert!(predicate.holds(value), "{document} {value}");
            }
            for value in failing {
                assert!(!predicate.holds(value), "{document} {value}");
            }
        }
    }

    #[test]
    fn faults_tell_what_and_where() {
        for (document, message, path) in [
            (json!([]), "expected a dictionary", ""),
            (json!({}), "length of value must be at least 1", ""),
            (json!({"not": [{"=": 1}]}), "Unknown operator not", ""),
            (json!({"foo": 1}), "extra keys not allowed", "foo"),
            (json!({"=": "x"}), "expected float", "="),
            (json!({"=": [1]}), "length of value must be at least 2", "="),
            (json!({"=": [1, 2, 3]}), "length of value must be at most 2", "="),
            (json!({"and": {"=": 1}}), "expected a list", "and"),
            (json!({"and": [{"=": [1, "x"]}]}), "expected a dictionary", "and 0 = 1"),
        ] {
            let fault = Predicate::from_json(&document).unwrap_err();
            let steps = fault.path.iter().map(|step| match step {
                Step::Key(key) => key.clone(),
                Step::Index(index) => index.to_string(),
            });
            assert_eq!(
                (fault.message.as_str(), steps.collect::<Vec<_>>().join(" ").as_str()),
                (message, path)
            );
        }
    }

    #[test]
    fn depth_is_limited() {
        let mut deep = json!(1);
        for _ in 0..MAX_DEPTH + 1 {
            deep = json!({"+": [deep, 1]});
        }
        assert_eq!(Predicate::from_json(&deep).unwrap_err().message, "nested deeper than 64");
    }

    proptest! {
        #[test]
        fn any_json_is_answered(text in "[\\[\\]{}\":,=+<1a andor]{0,40}", value in any::<f64>()) {
            if let Ok(document) = serde_json::from_str(&text) {
                let _either = Predicate::from_json(&document).map(|predicate| predicate.holds(value));
            }
        }
    }
}
