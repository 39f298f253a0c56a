//! Text into words.

use crate::SyntaxError;

/// One word of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'a> {
    Int(i64),
    Float(f64),
    Text(String),
    /// A name or keyword.
    Word(&'a str),
    /// An operator, bracket or dot.
    Symbol(&'static str),
    End,
}

/// Longer symbols before their prefixes.
const SYMBOLS: [&str; 20] = [
    "**", "//", "<=", ">=", "==", "!=", "+", "-", "*", "/", "%", "<", ">", "(", ")", "[", "]", ".", ",", "=",
];

/// Every word with the offset it starts at; the last one is `End`.
pub(super) fn tokens(source: &str) -> Result<Vec<(usize, Token<'_>)>, SyntaxError> {
    let mut out = Vec::new();
    let mut rest = source.trim_start();
    while let Some(first) = rest.chars().next() {
        let offset = source.len() - rest.len();
        let second_is_digit = rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
        let (token, length) = if first.is_ascii_digit() || (first == '.' && second_is_digit) {
            number(rest, offset)?
        } else if first.is_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            (Token::Word(rest.get(..end).unwrap_or_default()), end)
        } else if first == '\'' || first == '"' {
            text(rest, first, offset)?
        } else {
            let symbol = SYMBOLS
                .into_iter()
                .find(|symbol| rest.starts_with(symbol))
                .ok_or_else(|| SyntaxError::new(format!("unexpected {first:?}"), offset))?;
            (Token::Symbol(symbol), symbol.len())
        };
        out.push((offset, token));
        rest = rest.get(length..).unwrap_or_default().trim_start();
    }
    out.push((source.len(), Token::End));
    Ok(out)
}

fn number(rest: &str, offset: usize) -> Result<(Token<'_>, usize), SyntaxError> {
    let digits =
        |from: usize| rest.get(from..).unwrap_or_default().bytes().take_while(u8::is_ascii_digit).count();
    let byte = |at: usize| rest.as_bytes().get(at).copied();
    let mut end = digits(0);
    let mut whole = true;
    if byte(end) == Some(b'.') {
        whole = false;
        end += 1;
        end += digits(end);
    }
    if matches!(byte(end), Some(b'e' | b'E')) {
        let signed = end + 1 + usize::from(matches!(byte(end + 1), Some(b'+' | b'-')));
        let exponent = digits(signed);
        if exponent > 0 {
            whole = false;
            end = signed + exponent;
        }
    }
    let text = rest.get(..end).unwrap_or_default();
    let after = rest.get(end..).and_then(|after| after.chars().next());
    if after.is_some_and(|c| c.is_alphanumeric() || c == '_') {
        return Err(SyntaxError::new("malformed number", offset));
    }
    if whole && let Ok(value) = text.parse() {
        return Ok((Token::Int(value), end));
    }
    let value = text.parse().map_err(|_| SyntaxError::new("malformed number", offset))?;
    Ok((Token::Float(value), end))
}

fn text(rest: &str, quote: char, offset: usize) -> Result<(Token<'_>, usize), SyntaxError> {
    let mut out = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            _ if character == quote => return Ok((Token::Text(out), at + character.len_utf8())),
            '\\' => match characters.next() {
                Some((_, 'n')) => out.push('\n'),
                Some((_, 't')) => out.push('\t'),
                Some((_, escaped @ ('\\' | '\'' | '"'))) => out.push(escaped),
                Some((_, other)) => out.extend(['\\', other]),
                None => break,
            },
            _ => out.push(character),
        }
    }
    Err(SyntaxError::new("the quotation is never closed", offset))
}
