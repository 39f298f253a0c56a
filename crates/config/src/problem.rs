//! Faults of configuration, with their places, and how they are shown.

use std::fmt;
use std::ops::Range;

use crate::location::is_secret_name;
use crate::source::{Origin, Sources, Span};

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub origin: Origin,
    /// Path of the key it is about (`sources[0].interval`); may be empty.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

/// All faults of a configuration, in the order of their places.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    problems: Vec<Problem>,
    sources: Sources,
}

impl ConfigError {
    pub(crate) fn new(mut problems: Vec<Problem>, sources: Sources) -> Self {
        problems.sort_by(|a, b| a.origin.cmp(&b.origin));
        problems.dedup();
        Self { problems, sources }
    }

    /// The faults, at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Every fault as `place: message (key)`, below it the line it stands in with the place marked. Passwords in
    /// those lines are blotted out. With `colour`, ANSI colours.
    pub fn render(&self, colour: bool) -> String {
        let mut out = String::new();
        for problem in &self.problems {
            self.render_one(problem, colour, &mut out);
        }
        out
    }

    fn render_one(&self, problem: &Problem, colour: bool, out: &mut String) {
        let paint = |code: &'static str| if colour { code } else { "" };
        let (bold, red, reset) = (paint("\x1b[1m"), paint("\x1b[1;31m"), paint("\x1b[0m"));
        let place = self.sources.describe(&problem.origin);
        out.push_str(&format!("{bold}{place}{reset}: {red}{}{reset}", plain(&problem.message)));
        if !problem.path.is_empty() {
            out.push_str(&format!(" ({})", plain(&problem.path)));
        }
        out.push('\n');
        let Origin::File(span) = problem.origin else { return };
        let Some(line) = self.sources.line(span) else { return };
        let (text, column, width) = window(&blot(line), span);
        let number = span.line.to_string();
        out.push_str(&format!("{number:>5} | {text}\n"));
        out.push_str(&format!("      | {:column$}{red}{}{reset}\n", "", "^".repeat(width)));
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

/// Text of files without what a terminal would act on.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// At most this many characters of a line are shown.
const WINDOW: usize = 120;

/// The part of a line around a place, the place's offset in it and its width, both in characters.
fn window(line: &str, span: Span) -> (String, usize, usize) {
    let characters: Vec<char> = plain(line).chars().collect();
    let column = usize::try_from(span.column).unwrap_or(usize::MAX).saturating_sub(1).min(characters.len());
    let width = usize::try_from(span.width).unwrap_or(usize::MAX);
    let start = if characters.len() > WINDOW { column.saturating_sub(WINDOW / 3) } else { 0 };
    let shown: String = characters.iter().skip(start).take(WINDOW).collect();
    let offset = column - start;
    let room = shown.chars().count().saturating_sub(offset).max(1);
    (shown.trim_end().to_owned(), offset, width.clamp(1, room))
}

/// The line with passwords in URLs and the values of telling keys replaced by as many asterisks.
fn blot(line: &str) -> String {
    let mut characters: Vec<char> = line.chars().collect();
    for at in 0..characters.len() {
        let covered = match characters.get(at) {
            Some('=' | ':') if is_secret_name(&word_before(&characters, at)) => {
                value_behind(&characters, at + 1)
            }
            Some(':') => password_behind(&characters, at),
            _ => continue,
        };
        characters.iter_mut().take(covered.end).skip(covered.start).for_each(|c| *c = '*');
    }
    characters.into_iter().collect()
}

/// The key in front of a `=` or `:`, without quotes.
fn word_before(characters: &[char], at: usize) -> String {
    let before = characters.iter().take(at).rev().skip_while(|c| matches!(c, ' ' | '"' | '\''));
    let word: Vec<char> =
        before.take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-')).copied().collect();
    word.into_iter().rev().collect()
}

/// The value that starts behind `from`: up to its closing quote, or as far as an unquoted word goes.
fn value_behind(characters: &[char], from: usize) -> Range<usize> {
    let start = from + characters.iter().skip(from).take_while(|c| c.is_whitespace()).count();
    let quote = characters.get(start).filter(|c| matches!(c, '"' | '\''));
    let start = start + usize::from(quote.is_some());
    let ends = |c: &char| match quote {
        Some(quote) => c == quote,
        None => c.is_whitespace() || matches!(c, ',' | '}' | '&' | '"' | '\''),
    };
    start..start + characters.iter().skip(start).take_while(|c| !ends(c)).count()
}

/// The password of the URL whose scheme ends at the `:` at `at`; empty if there is none.
fn password_behind(characters: &[char], at: usize) -> Range<usize> {
    if !characters.iter().skip(at + 1).take(2).eq(['/', '/'].iter()) {
        return at..at;
    }
    let start = at + 3;
    let authority =
        || characters.iter().skip(start).take_while(|c| !c.is_whitespace() && !matches!(c, '"' | '\'' | '?'));
    let end = start + authority().count();
    let colon = authority().position(|c| *c == ':');
    let last_at = characters.iter().take(end).skip(start).rposition(|c| *c == '@');
    match (colon, last_at) {
        (Some(colon), Some(last_at)) if colon < last_at => start + colon + 1..start + last_at,
        _ => at..at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_lines_hide_passwords() {
        for (line, shown) in [
            (r#"index = "postgres://u:pass@h/db" # x"#, r#"index = "postgres://u:****@h/db" # x"#),
            (r#"index = "postgres://u:p@ss@h/db""#, r#"index = "postgres://u:****@h/db""#),
            (r#"token = "abc""#, r#"token = "***""#),
            (r#"telemetry_secret = "a b" # c"#, r#"telemetry_secret = "***" # c"#),
            (r#"store = { token = 'abc', x = 1 }"#, r#"store = { token = '***', x = 1 }"#),
            ("token = abc", "token = ***"),
            (r#""token": "abc"#, r#""token": "***"#),
            (r#"token_file = "/run/x""#, r#"token_file = "/run/x""#),
            (
                r#"index = "postgres://h/db?password=abc&x=1""#,
                r#"index = "postgres://h/db?password=***&x=1""#,
            ),
            ("a: http://h:80/x b: http://i:1@x", "a: http://h:80/x b: http://i:*@x"),
        ] {
            assert_eq!(blot(line), shown);
        }
    }

    #[test]
    fn places_in_long_lines_stay_in_sight() {
        let mut sources = Sources::default();
        let text = format!("a = \"{}\" b", "x".repeat(4000));
        let file = sources.add("f.toml", None, &text);
        let origin = Origin::File(Span { file, line: 1, column: 4008, width: 1 });
        let problem = Problem { origin, path: "a".into(), message: "odd\x1b[2J".into() };
        let shown = ConfigError::new(vec![problem], sources).render(false);
        assert!(shown.lines().all(|line| line.chars().count() < 140), "{shown}");
        assert!(!shown.contains('\x1b'));
        assert!(shown.ends_with("^\n"));
    }

    #[test]
    fn colours_come_only_when_asked_for() {
        let mut sources = Sources::default();
        let file = sources.add("f.toml", None, "key = 1\n");
        let origin = Origin::File(Span { file, line: 1, column: 1, width: 3 });
        let problem = Problem { origin, path: "key".into(), message: "unknown key".into() };
        let error = ConfigError::new(vec![problem], sources);
        assert_eq!(error.to_string(), "f.toml:1:1: unknown key (key)\n    1 | key = 1\n      | ^^^");
        assert!(error.render(true).contains("\x1b[1;31m^^^\x1b[0m"));
    }
}
