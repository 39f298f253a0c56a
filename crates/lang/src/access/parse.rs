//! From text to a check.

use super::{Check, Literal, Own, Piece, Theirs};
use crate::SyntaxError;

/// Longest text of a rule, in bytes.
const MAX_TEXT: usize = 16 * 1024;
/// Deepest nesting of parentheses and `not`.
const MAX_DEPTH: u32 = 32;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token<'t> {
    Open,
    Close,
    And,
    Or,
    Not,
    Check(&'t str),
}

/// Reads a rule. An empty text allows everybody.
pub(super) fn check(text: &str) -> Result<Check, SyntaxError> {
    if text.len() > MAX_TEXT {
        return Err(SyntaxError::new(format!("the rule is longer than {MAX_TEXT} bytes"), MAX_TEXT));
    }
    let tokens = tokens(text);
    if tokens.is_empty() {
        return Ok(Check::Always);
    }
    let mut reader = Reader { tokens, place: 0, end: text.len(), depth: 0 };
    let check = reader.any()?;
    match reader.peek() {
        None => Ok(check),
        Some((Token::Close, offset)) => Err(SyntaxError::new("this parenthesis was not opened", offset)),
        Some((_, offset)) => Err(SyntaxError::new("expected \"and\" or \"or\"", offset)),
    }
}

/// Words between blanks, without the parentheses around them. Those of `%(name)s` are inside a word.
fn tokens(text: &str) -> Vec<(Token<'_>, usize)> {
    let mut tokens = Vec::new();
    for word in text.split_whitespace() {
        let start = word.as_ptr() as usize - text.as_ptr() as usize;
        let opened = word.trim_start_matches('(');
        let opening = word.len() - opened.len();
        tokens.extend((0..opening).map(|place| (Token::Open, start + place)));
        let core = opened.trim_end_matches(')');
        let token = match core {
            "" => None,
            core if core.eq_ignore_ascii_case("and") => Some(Token::And),
            core if core.eq_ignore_ascii_case("or") => Some(Token::Or),
            core if core.eq_ignore_ascii_case("not") => Some(Token::Not),
            core => Some(Token::Check(core)),
        };
        tokens.extend(token.map(|token| (token, start + opening)));
        let closing = start + opening + core.len();
        tokens.extend((0..opened.len() - core.len()).map(|place| (Token::Close, closing + place)));
    }
    tokens
}

struct Reader<'t> {
    tokens: Vec<(Token<'t>, usize)>,
    place: usize,
    end: usize,
    depth: u32,
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<(Token<'t>, usize)> {
        self.tokens.get(self.place).copied()
    }

    fn take(&mut self, token: Token<'_>) -> bool {
        let is_next = self.peek().is_some_and(|(next, _)| next == token);
        self.place += usize::from(is_next);
        is_next
    }

    fn any(&mut self) -> Result<Check, SyntaxError> {
        let mut parts = vec![self.all()?];
        while self.take(Token::Or) {
            parts.push(self.all()?);
        }
        Ok(one_or(parts, Check::Any))
    }

    fn all(&mut self) -> Result<Check, SyntaxError> {
        let mut parts = vec![self.single()?];
        while self.take(Token::And) {
            parts.push(self.single()?);
        }
        Ok(one_or(parts, Check::All))
    }

    fn single(&mut self) -> Result<Check, SyntaxError> {
        let Some((token, offset)) = self.peek() else {
            return Err(SyntaxError::new("expected a check, found the end", self.end));
        };
        if self.depth == MAX_DEPTH {
            return Err(SyntaxError::new(format!("nested deeper than {MAX_DEPTH}"), offset));
        }
        self.place += 1;
        self.depth += 1;
        let check = match token {
            Token::Not => Check::Not(Box::new(self.single()?)),
            Token::Open => {
                let check = self.any()?;
                if !self.take(Token::Close) {
                    return Err(SyntaxError::new("this parenthesis is not closed", offset));
                }
                check
            }
            Token::Check(text) => word(text, offset)?,
            Token::Close | Token::And | Token::Or => {
                return Err(SyntaxError::new("expected a check", offset));
            }
        };
        self.depth -= 1;
        Ok(check)
    }
}

fn one_or(mut parts: Vec<Check>, join: fn(Vec<Check>) -> Check) -> Check {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            join(parts)
        }
    }
}

/// One check: `@`, `!`, or `kind:match`.
fn word(text: &str, offset: usize) -> Result<Check, SyntaxError> {
    match text {
        "@" => return Ok(Check::Always),
        "!" => return Ok(Check::Never),
        _ => {}
    }
    let unknown = || {
        SyntaxError::new(format!("{text:?} is no check: expected role:…, rule:…, …:%(…)s, @ or !"), offset)
    };
    let (kind, value) =
        split(text).filter(|(kind, value)| !kind.is_empty() && !value.is_empty()).ok_or_else(unknown)?;
    let behind = offset + kind.len() + 1;
    match kind {
        "rule" => Ok(Check::Rule(value.to_owned())),
        "role" => Ok(Check::Role(pieces(value, behind)?)),
        "http" | "https" => Err(SyntaxError::new("checks that ask another server are not supported", offset)),
        kind => match literal(kind) {
            Some(text) => Ok(Check::Literal(Literal(text), pieces(value, behind)?)),
            None => {
                let own = Own::named(kind).ok_or_else(|| {
                    let known = Own::ALL.map(|(name, _)| name).join(", ");
                    SyntaxError::new(format!("a caller has no {kind:?}; known are {known}"), offset)
                })?;
                Ok(Check::Same(own, pieces(value, behind)?))
            }
        },
    }
}

/// Around the first colon that is not inside quotes.
fn split(text: &str) -> Option<(&str, &str)> {
    match text.chars().next()? {
        quote @ ('\'' | '"') => {
            let end = text.get(1..)?.find(quote)? + 2;
            let (kind, rest) = text.split_at_checked(end)?;
            Some((kind, rest.strip_prefix(':')?))
        }
        _ => text.split_once(':'),
    }
}

/// A quoted text, a number or a truth value, as Python writes them.
fn literal(kind: &str) -> Option<String> {
    for quote in ['\'', '"'] {
        if let Some(inner) = kind.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return Some(inner.to_owned());
        }
    }
    let is_constant = matches!(kind, "True" | "False" | "None") || kind.parse::<f64>().is_ok();
    is_constant.then(|| kind.to_owned())
}

/// Text with `%(attribute)s` in it.
fn pieces(text: &str, offset: usize) -> Result<Vec<Piece>, SyntaxError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("%(") {
        let at = offset + text.len() - after.len();
        let Some((name, behind)) = after.split_once(")s") else {
            return Err(SyntaxError::new("expected %(attribute)s", at - 2));
        };
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        let theirs = Theirs::named(name).ok_or_else(|| {
            let known = Theirs::ALL.map(|(name, _)| name).join(", ");
            SyntaxError::new(format!("a target has no {name:?}; known are {known}"), at)
        })?;
        pieces.push(Piece::Theirs(theirs));
        rest = behind;
    }
    if let Some(place) = rest.find('%') {
        return Err(SyntaxError::new("expected %(attribute)s", offset + text.len() - rest.len() + place));
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}
