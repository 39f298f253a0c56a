//! The text form of filters.

use serde_json::{Map, Value, json};

use super::{MAX_CONDITIONS, MAX_DEPTH};
use crate::SyntaxError;

/// Longer symbols before their prefixes. There is no `==`: clients know that it is refused here.
const SYMBOLS: [&str; 9] = [">=", "<=", "!=", ">", "<", "=", "≠", "≥", "≤"];
const WORDS: [&str; 8] = ["eq", "ne", "lt", "gt", "ge", "le", "in", "like"];

/// The JSON form of a filter written as text. Which attributes and values are allowed is left to
/// [`Filter::from_json`](super::Filter::from_json).
pub fn parse_text(source: &str) -> Result<Value, SyntaxError> {
    let mut parser = Parser { source, at: 0, depth: 0, conditions: 0 };
    let filter = parser.alternatives()?;
    parser.skip_blanks();
    match parser.rest() {
        "" => Ok(filter),
        _ => Err(parser.expected("end of text")),
    }
}

struct Parser<'a> {
    source: &'a str,
    at: usize,
    depth: usize,
    conditions: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn expected(&self, what: &str) -> SyntaxError {
        let found = match self.rest().chars().next() {
            Some(found) => format!("{found:?}"),
            None => "end of text".to_owned(),
        };
        SyntaxError::new(format!("expected {what}, found {found}"), self.at)
    }

    /// Takes a symbol if it comes next.
    fn symbol(&mut self, symbol: &str) -> bool {
        self.skip_blanks();
        let comes = self.rest().starts_with(symbol);
        if comes {
            self.at += symbol.len();
        }
        comes
    }

    /// The whole word that comes next.
    fn word(&mut self) -> &'a str {
        self.skip_blanks();
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default();
        if word.starts_with(|c: char| c.is_ascii_alphabetic()) { word } else { "" }
    }

    /// Takes a word if it comes next.
    fn keyword(&mut self, word: &str) -> bool {
        let comes = self.word() == word;
        if comes {
            self.at += word.len();
        }
        comes
    }

    fn alternatives(&mut self) -> Result<Value, SyntaxError> {
        self.chain("or", "∨", Self::conjunction)
    }

    fn conjunction(&mut self) -> Result<Value, SyntaxError> {
        self.chain("and", "∧", Self::negation)
    }

    fn chain(
        &mut self,
        word: &str,
        symbol: &str,
        part: fn(&mut Self) -> Result<Value, SyntaxError>,
    ) -> Result<Value, SyntaxError> {
        let first = part(self)?;
        let mut parts = vec![first];
        while self.keyword(word) || self.symbol(symbol) {
            parts.push(part(self)?);
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { json!({word: parts}) })
    }

    fn negation(&mut self) -> Result<Value, SyntaxError> {
        if self.depth == MAX_DEPTH {
            return Err(SyntaxError::new(format!("nested deeper than {MAX_DEPTH}"), self.at));
        }
        self.depth += 1;
        let filter = if self.keyword("not") {
            json!({"not": self.negation()?})
        } else if self.symbol("(") {
            let inner = self.alternatives()?;
            if !self.symbol(")") {
                return Err(self.expected("')'"));
            }
            inner
        } else {
            self.condition()?
        };
        self.depth -= 1;
        Ok(filter)
    }

    fn condition(&mut self) -> Result<Value, SyntaxError> {
        self.conditions += 1;
        if self.conditions > MAX_CONDITIONS {
            return Err(SyntaxError::new(format!("more than {MAX_CONDITIONS} conditions"), self.at));
        }
        self.skip_blanks();
        let start = self.at;
        let Value::String(attribute) = self.term()? else {
            self.at = start;
            return Err(self.expected("an attribute"));
        };
        let operator = self.operator()?;
        let value = self.term()?;
        let operand = Value::Object(Map::from_iter([(attribute, value)]));
        Ok(Value::Object(Map::from_iter([(operator.to_owned(), operand)])))
    }

    fn operator(&mut self) -> Result<&'static str, SyntaxError> {
        let word = self.word();
        if let Some(known) = WORDS.into_iter().find(|known| *known == word) {
            self.at += known.len();
            return Ok(known);
        }
        match SYMBOLS.into_iter().find(|symbol| self.rest().starts_with(symbol)) {
            Some(symbol) => {
                self.at += symbol.len();
                Ok(symbol)
            }
            None => Err(self.expected("an operator")),
        }
    }

    fn term(&mut self) -> Result<Value, SyntaxError> {
        self.skip_blanks();
        let rest = self.rest();
        if let Some(length) = uuid_length(rest) {
            self.at += length;
            return Ok(rest.get(..length).into());
        }
        let word = self.word();
        if !word.is_empty() {
            self.at += word.len();
            return Ok(match word {
                "None" | "none" | "null" => Value::Null,
                "True" | "true" => true.into(),
                "False" | "false" => false.into(),
                text => text.into(),
            });
        }
        match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote),
            Some('[') => self.list(),
            Some('0'..='9' | '+' | '-') => self.number(),
            _ => Err(self.expected("a value")),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<Value, SyntaxError> {
        let inside = self.rest().get(1..).unwrap_or_default();
        let Some(length) = inside.find(quote) else { return Err(self.expected("a closed text")) };
        self.at += length + 2;
        Ok(inside.get(..length).into())
    }

    fn number(&mut self) -> Result<Value, SyntaxError> {
        let rest = self.rest();
        let digits =
            |from: usize| rest.get(from..).unwrap_or_default().bytes().take_while(u8::is_ascii_digit).count();
        let signed = usize::from(rest.starts_with(['+', '-']));
        let whole = digits(signed);
        let mut end = signed + whole;
        if rest.get(end..).unwrap_or_default().starts_with('.') {
            end += 1 + digits(end + 1);
        }
        if rest.get(end..).unwrap_or_default().starts_with(['e', 'E']) {
            let exponent = end + 1;
            let sign = usize::from(rest.get(exponent..).unwrap_or_default().starts_with(['+', '-']));
            let count = digits(exponent + sign);
            if count > 0 {
                end = exponent + sign + count;
            }
        }
        let number = rest.get(..end).unwrap_or_default().parse::<f64>().ok();
        match number.filter(|number| whole > 0 && number.is_finite()) {
            Some(number) => {
                self.at += end;
                Ok(number.into())
            }
            None => Err(self.expected("a number")),
        }
    }

    fn list(&mut self) -> Result<Value, SyntaxError> {
        self.at += 1;
        let mut items = Vec::new();
        if self.symbol("]") {
            return Ok(Value::Array(items));
        }
        loop {
            if self.symbol("[") {
                return Err(self.expected("no list within a list"));
            }
            items.push(self.term()?);
            if self.symbol("]") {
                return Ok(Value::Array(items));
            }
            if !self.symbol(",") {
                return Err(self.expected("',' or ']'"));
            }
        }
    }
}

/// Bytes of a UUID at the start of the text, with or without dashes, if nothing that could belong to it follows.
fn uuid_length(text: &str) -> Option<usize> {
    let mut at = 0;
    for (group, digits) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        let rest = text.as_bytes().get(at..)?;
        at += usize::from(group > 0 && rest.first() == Some(&b'-'));
        let hex = text.as_bytes().get(at..at + digits)?;
        if !hex.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        at += digits;
    }
    let follows = text.get(at..)?.chars().next();
    (!follows.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')).then_some(at)
}
