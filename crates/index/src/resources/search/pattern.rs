//! Patterns of `like` for both databases.

/// Longest pattern, in bytes.
const MAX_PATTERN: usize = 1_024;

/// A pattern.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pattern(pub(super) Vec<Part>);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    /// Any text.
    Any,
    /// Any character.
    One,
    /// This text.
    Text(String),
}

impl Pattern {
    /// `None` if it is too long. A backslash takes the meaning from what follows it.
    pub(super) fn parse(pattern: &str) -> Option<Self> {
        if pattern.len() > MAX_PATTERN {
            return None;
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut letters = pattern.chars();
        while let Some(letter) = letters.next() {
            let part = match letter {
                '%' => Part::Any,
                '_' => Part::One,
                '\\' => {
                    literal.push(letters.next().unwrap_or('\\'));
                    continue;
                }
                other => {
                    literal.push(other);
                    continue;
                }
            };
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            if part != Part::Any || parts.last() != Some(&Part::Any) {
                parts.push(part);
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Some(Self(parts))
    }

    /// The text that whatever fits starts with, if there is one.
    pub(super) fn start(&self) -> Option<&str> {
        match self.0.first()? {
            Part::Text(text) => Some(text),
            Part::Any | Part::One => None,
        }
    }

    pub(super) fn literal(text: &str) -> Self {
        Self(vec![Part::Text(text.to_owned())])
    }

    fn written(&self, any: char, one: char, literal: impl Fn(&mut String, char)) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Any => out.push(any),
                Part::One => out.push(one),
                Part::Text(text) => text.chars().for_each(|letter| literal(&mut out, letter)),
            }
        }
        out
    }

    /// For PostgreSQL's `LIKE`.
    pub(super) fn like(&self) -> String {
        self.written('%', '_', |out, letter| {
            if matches!(letter, '%' | '_' | '\\') {
                out.push('\\');
            }
            out.push(letter);
        })
    }

    /// For SQLite's `GLOB`.
    pub(super) fn glob(&self) -> String {
        self.written('*', '?', |out, letter| {
            if matches!(letter, '*' | '?' | '[') {
                out.extend(['[', letter, ']']);
            } else {
                out.push(letter);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_mean_the_same_to_both_databases() {
        for (pattern, like, glob) in [
            ("foo%", "foo%", "foo*"),
            ("%%a__", "%a__", "*a??"),
            ("50\\% [*?]", "50\\% [*?]", "50% [[][*][?]]"),
            ("a\\\\b\\", "a\\\\b\\\\", "a\\b\\"),
            ("", "", ""),
        ] {
            let parsed = Pattern::parse(pattern).unwrap();
            assert_eq!((parsed.like().as_str(), parsed.glob().as_str()), (like, glob), "{pattern}");
        }
        assert_eq!(Pattern::parse(&"a".repeat(MAX_PATTERN + 1)), None);
        assert_eq!(Pattern::literal("a%b").like(), "a\\%b");
    }

    proptest! {
        #[test]
        fn any_pattern_is_written(pattern in ".{0,40}") {
            let parsed = Pattern::parse(&pattern).unwrap();
            prop_assert_eq!(Pattern::parse(&parsed.like()), Some(parsed));
        }
    }
}
