//! The text form of operations.

use serde_json::Value;

use super::{MAX_DEPTH, MAX_NODES};
use crate::SyntaxError;

/// The JSON form of the first bracketed form of a text: words apart by blanks and brackets, a quoted text as one word.
/// What follows the form has no meaning.
pub fn parse_text(source: &str) -> Result<Value, SyntaxError> {
    let mut open: Vec<Vec<Value>> = Vec::new();
    let mut words = 0;
    let mut rest = source;
    loop {
        rest = rest.trim_start();
        let offset = source.len() - rest.len();
        let Some(first) = rest.chars().next() else {
            let expected = if open.is_empty() { "'('" } else { "')'" };
            return Err(SyntaxError::new(format!("expected {expected}, found end of text"), offset));
        };
        words += 1;
        if words > MAX_NODES * 4 {
            return Err(SyntaxError::new("too many words", offset));
        }
        match (first, open.last_mut()) {
            ('(', _) => {
                // The list of a reference stands one deeper than the deepest operation.
                if open.len() > MAX_DEPTH {
                    return Err(SyntaxError::new(format!("nested deeper than {MAX_DEPTH}"), offset));
                }
                open.push(Vec::new());
                rest = rest.get(1..).unwrap_or_default();
            }
            (found, None) => return Err(SyntaxError::new(format!("expected '(', found {found:?}"), offset)),
            (')', Some(_)) => {
                let closed = Value::Array(open.pop().unwrap_or_default());
                match open.last_mut() {
                    Some(around) => around.push(closed),
                    None => return Ok(closed),
                }
                rest = rest.get(1..).unwrap_or_default();
            }
            (_, Some(list)) => {
                let (word, length) = word(rest);
                list.push(word.into());
                rest = rest.get(length..).unwrap_or_default();
            }
        }
    }
}

/// The word at the start of a text, and how many bytes it takes.
fn word(text: &str) -> (&str, usize) {
    if let Some(quote @ ('"' | '\'')) = text.chars().next()
        && let Some(length) = text.get(1..).and_then(|inside| inside.find(quote))
    {
        return (text.get(1..=length).unwrap_or_default(), length + 2);
    }
    let end = text.find(|c: char| c.is_whitespace() || c == '(' || c == ')').unwrap_or(text.len());
    (text.get(..end).unwrap_or_default(), end)
}
