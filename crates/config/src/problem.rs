//! Faults of configuration, with their places, and how they are shown.

use std::fmt::{self, Write};

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
        // Writing to a string cannot fail.
        let _ = write!(out, "{bold}{place}{reset}: {red}{}{reset}", plain(&problem.message));
        if !problem.path.is_empty() {
            let _ = write!(out, " ({})", plain(&problem.path));
        }
        out.push('\n');
        let Origin::File(span) = problem.origin else { return };
        let Some(line) = self.sources.line(span) else { return };
        let (text, column, width) = window(&blot(line), span);
        let number = span.line.to_string();
        let _ = writeln!(out, "{number:>5} | {text}");
        let _ = writeln!(out, "      | {:column$}{red}{}{reset}", "", "^".repeat(width));
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
    let value_start = characters.iter().position(|c| matches!(c, '=' | ':'));
    if let Some(at) = value_start {
        let key: String = characters.iter().take(at).collect();
        let key = key.trim().trim_matches(['"', '\'', '-', ' ']);
        if is_secret_name(key) {
            cover(characters.iter_mut().skip(at + 1).filter(|c| !c.is_whitespace()));
            return characters.into_iter().collect();
        }
    }
    let mut from = 0;
    while let Some(found) = find(&characters, from, "://") {
        let start = found + 3;
        let end = start
            + characters.iter().skip(start).take_while(|c| !c.is_whitespace() && !matches!(c, '"' | '\'' | '?')).count();
        let at = characters.iter().take(end).skip(start).rposition(|c| *c == '@');
        let colon = characters.iter().take(end).skip(start).position(|c| *c == ':');
        if let (Some(at), Some(colon)) = (at, colon)
            && colon < at
        {
            cover(characters.iter_mut().take(start + at).skip(start + colon + 1));
        }
        from = end;
    }
    for word in ["password=", "secret=", "token="] {
        let mut from = 0;
        while let Some(found) = find(&characters, from, word) {
            let start = found + word.len();
            let value = characters.iter_mut().skip(start);
            cover(value.take_while(|c| !c.is_whitespace() && !matches!(c, '"' | '\'' | '&')));
            from = start;
        }
    }
    characters.into_iter().collect()
}

fn cover<'a>(characters: impl Iterator<Item = &'a mut char>) {
    characters.for_each(|c| *c = '*');
}

fn find(characters: &[char], from: usize, word: &str) -> Option<usize> {
    let length = word.chars().count();
    let at = characters.get(from..)?.windows(length).position(|part| part.iter().copied().eq(word.chars()))?;
    Some(from + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_lines_hide_passwords() {
        for (line, shown) in [
            (r#"index = "postgres://u:pass@h/db" # x"#, r#"index = "postgres://u:****@h/db" # x"#),
            (r#"index = "postgres://u:p@ss@h/db""#, r#"index = "postgres://u:****@h/db""#),
            (r#"token = "abc""#, "token = *****"),
            (r#"telemetry_secret = "a b""#, "telemetry_secret = ** **"),
            (r#"token_file = "/run/x""#, r#"token_file = "/run/x""#),
            (r#"index = "postgres://h/db?password=abc&x=1""#, r#"index = "postgres://h/db?password=***&x=1""#),
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
