//! Python-style replacement templates for regular expressions.

use regex::Regex;

use crate::SyntaxError;

/// A replacement text in Python's notation (`\1`, `\g<1>`, `\g<name>`, `\\`), made ready for one regular expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// In the notation of the `regex` crate.
    template: String,
}

impl Replacement {
    /// Translates `template`; every group it names must exist in `regex`.
    pub fn parse(template: &str, regex: &Regex) -> Result<Self, SyntaxError> {
        let mut out = String::with_capacity(template.len() + 8);
        let mut rest = template;
        while let Some(at) = rest.find(['\\', '$']) {
            let (literal, special) = rest.split_at(at);
            out.push_str(literal);
            let offset = template.len() - special.len();
            rest = match special.strip_prefix('\\') {
                Some(escape) => escaped(escape, regex, &mut out, offset)?,
                None => {
                    out.push_str("$$");
                    special.get(1..).unwrap_or_default()
                }
            };
        }
        out.push_str(rest);
        Ok(Self { template: out })
    }

    /// `text` with every match of `regex` replaced.
    pub fn replace_all(&self, regex: &Regex, text: &str) -> String {
        regex.replace_all(text, self.template.as_str()).into_owned()
    }
}

/// Writes one escape and returns what comes behind it.
fn escaped<'a>(
    escape: &'a str,
    regex: &Regex,
    out: &mut String,
    offset: usize,
) -> Result<&'a str, SyntaxError> {
    if let Some(named) = escape.strip_prefix("g<") {
        let (name, rest) =
            named.split_once('>').ok_or_else(|| SyntaxError::new("\\g< lacks its >", offset))?;
        push_group(name, regex, out, offset)?;
        return Ok(rest);
    }
    let digits = escape.bytes().take(2).take_while(u8::is_ascii_digit).count();
    if digits > 0 {
        let (number, rest) = escape.split_at(digits);
        push_group(number, regex, out, offset)?;
        return Ok(rest);
    }
    let mut characters = escape.chars();
    match characters.next() {
        Some('n') => out.push('\n'),
        Some('t') => out.push('\t'),
        Some('\\') => out.push('\\'),
        Some(letter) if letter.is_ascii_alphabetic() => {
            return Err(SyntaxError::new(format!("bad escape \\{letter}"), offset));
        }
        Some(other) => {
            out.push('\\');
            if other == '$' {
                out.push('$');
            }
            out.push(other);
        }
        None => return Err(SyntaxError::new("the text ends in a lone \\", offset)),
    }
    Ok(characters.as_str())
}

fn push_group(name: &str, regex: &Regex, out: &mut String, offset: usize) -> Result<(), SyntaxError> {
    let known = match name.parse::<usize>() {
        Ok(number) => number < regex.captures_len(),
        Err(_) => regex.capture_names().flatten().any(|group| group == name),
    };
    if !known {
        return Err(SyntaxError::new(format!("the pattern has no group {name}"), offset));
    }
    out.push_str("${");
    out.push_str(name);
    out.push('}');
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn templates_are_read_as_python_reads_them() {
        for (pattern, template, text, expected) in [
            (
                r"(disk\.device|disk)\.(read|write)\.(bytes|requests)",
                r"\1.\2.\3.rate",
                "disk.device.read.bytes",
                "disk.device.read.bytes.rate",
            ),
            ("(B|request)", r"\1/s", "B", "B/s"),
            ("b+", "X", "abbcb", "aXcX"),
            ("(a)(b)", r"\2\1", "ab-ab", "ba-ba"),
            ("(?P<x>a)", r"\g<x>\g<1>0", "a", "aa0"),
            ("a", "$1", "a", "$1"),
            ("a", r"\\1", "a", r"\1"),
            ("a", r"\.$", "a", r"\.$"),
            ("(a)?b", r"<\1>", "b", "<>"),
        ] {
            let regex = Regex::new(pattern).unwrap();
            let replacement = Replacement::parse(template, &regex).unwrap();
            assert_eq!(replacement.replace_all(&regex, text), expected, "{pattern} → {template}");
        }
    }

    #[test]
    fn faults_are_placed() {
        let regex = Regex::new("(a)").unwrap();
        for (template, message, offset) in [
            (r"x\2", "the pattern has no group 2", 1),
            (r"\g<y>", "the pattern has no group y", 0),
            (r"\g<1", "\\g< lacks its >", 0),
            ("ab\\", "the text ends in a lone \\", 2),
            (r"\q", "bad escape \\q", 0),
        ] {
            assert_eq!(Replacement::parse(template, &regex), Err(SyntaxError::new(message, offset)));
        }
    }

    proptest! {
        #[test]
        fn any_template_is_answered(template in r"[\\$g<>{}0-9aé]{0,16}", text in "[ab$]{0,8}") {
            let regex = Regex::new("(a)(?P<g>b)?").unwrap();
            if let Ok(replacement) = Replacement::parse(&template, &regex) {
                let _replaced: String = replacement.replace_all(&regex, &text);
            }
        }
    }
}
