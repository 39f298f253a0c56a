//! Text into words.

use crate::SyntaxError;

/// One word of a path.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A bare name.
    Name(String),
    /// A name in quotes.
    Quoted(String),
    /// What stands in back quotes.
    Operator(String),
    Int(i64),
    Float(f64),
    Symbol(&'static str),
    End,
}

/// Longer symbols before their prefixes.
const SYMBOLS: [&str; 26] = [
    "..", "==", "<=", ">=", "!=", "=", "<", ">", "~", ".", "[", "]", "(", ")", "$", "@", "*", "+", "-", "/",
    "\\", "|", "&", "?", ",", ":",
];

/// Every word with the offset it starts at; the last one is `End`.
pub(super) fn tokens(source: &str) -> Result<Vec<(usize, Token)>, SyntaxError> {
    let mut out = Vec::new();
    let mut rest = source.trim_start();
    while let Some(first) = rest.chars().next() {
        let offset = source.len() - rest.len();
        let mut ahead = rest.chars().skip(1);
        let second = ahead.next().unwrap_or(' ');
        let (token, length) = match first {
            '\'' | '"' => quoted(rest, first, offset).map(|(text, length)| (Token::Quoted(text), length))?,
            '`' => quoted(rest, first, offset).map(|(text, length)| (Token::Operator(text), length))?,
            _ if first.is_ascii_digit() || (first == '-' && second.is_ascii_digit()) => number(rest, offset)?,
            _ if starts_name(first) || (first == '@' && starts_name(second)) => name(rest),
            _ => {
                let symbol = SYMBOLS
                    .into_iter()
                    .find(|symbol| rest.starts_with(symbol))
                    .ok_or_else(|| SyntaxError::new(format!("unexpected {first:?}"), offset))?;
                (Token::Symbol(symbol), symbol.len())
            }
        };
        out.push((offset, token));
        rest = rest.get(length..).unwrap_or_default().trim_start();
    }
    out.push((source.len(), Token::End));
    Ok(out)
}

fn starts_name(character: char) -> bool {
    character.is_ascii_alphabetic() || character == '_'
}

/// Dashes and `@` belong to names.
fn name(rest: &str) -> (Token, usize) {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '@' | '-');
    let end = rest.find(|c: char| !inside(c)).unwrap_or(rest.len());
    (Token::Name(rest.get(..end).unwrap_or_default().to_owned()), end)
}

fn number(rest: &str, offset: usize) -> Result<(Token, usize), SyntaxError> {
    let digits =
        |from: usize| rest.get(from..).unwrap_or_default().bytes().take_while(u8::is_ascii_digit).count();
    let sign = usize::from(rest.starts_with('-'));
    let whole = sign + digits(sign);
    let point = rest.get(whole..).is_some_and(|tail| tail.starts_with('.'));
    let fraction = if point { digits(whole + 1) } else { 0 };
    let bad = || SyntaxError::new("the number is too large", offset);
    if fraction > 0 {
        let end = whole + 1 + fraction;
        let value = rest.get(..end).unwrap_or_default().parse().map_err(|_| bad())?;
        return Ok((Token::Float(value), end));
    }
    let value = rest.get(..whole).unwrap_or_default().parse().map_err(|_| bad())?;
    Ok((Token::Int(value), whole))
}

/// What stands between two of `quote`; a backslash takes the next character as it is.
fn quoted(rest: &str, quote: char, offset: usize) -> Result<(String, usize), SyntaxError> {
    let mut out = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            _ if character == quote => return Ok((out, at + character.len_utf8())),
            '\\' => out.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => out.push(character),
        }
    }
    Err(SyntaxError::new("the quotation is never closed", offset))
}
