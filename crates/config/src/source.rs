//! Texts that configuration comes from, and places in them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file, or a shipped text, that was read.
struct Source {
    name: String,
    folder: Option<PathBuf>,
    lines: Vec<String>,
}

/// Without the text, which may hold passwords.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({})", self.name)
    }
}

/// Number of a source in [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId(u32);

/// A place in a source: line and column from 1, both counted in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Which source.
    pub file: FileId,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// How many characters of that line are meant, at least 1.
    pub width: u32,
}

/// Where a value comes from, weakest first: a later layer wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Built in.
    Default,
    /// A place in a file.
    File(Span),
    /// An environment variable.
    Variable(Arc<str>),
    /// A command-line flag.
    Flag(Arc<str>),
}

impl Origin {
    /// The layer: greater wins.
    pub(crate) const fn layer(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File(_) => 1,
            Self::Variable(_) => 2,
            Self::Flag(_) => 3,
        }
    }
}

/// Every source that was read, for naming places in them.
#[derive(Debug, Default)]
pub struct Sources {
    sources: Vec<Source>,
}

impl Sources {
    /// Takes a text. `folder` is what relative paths in it start from.
    pub(crate) fn add(&mut self, name: impl Into<String>, folder: Option<PathBuf>, text: &str) -> FileId {
        let id = u32::try_from(self.sources.len()).unwrap_or(u32::MAX);
        self.sources.push(Source {
            name: name.into(),
            folder,
            lines: text.lines().map(str::to_owned).collect(),
        });
        FileId(id)
    }

    fn get(&self, file: FileId) -> Option<&Source> {
        self.sources.get(usize::try_from(file.0).ok()?)
    }

    /// The name a source is shown by.
    pub fn name(&self, file: FileId) -> &str {
        self.get(file).map_or("", |source| &source.name)
    }

    /// What relative paths at this place start from, if not from the current folder.
    pub(crate) fn folder(&self, origin: &Origin) -> Option<&Path> {
        match origin {
            Origin::File(span) => self.get(span.file)?.folder.as_deref(),
            _ => None,
        }
    }

    /// The text of a line, without its end.
    pub(crate) fn line(&self, span: Span) -> Option<&str> {
        let index = usize::try_from(span.line).ok()?.checked_sub(1)?;
        self.get(span.file)?.lines.get(index).map(String::as_str)
    }

    /// How a place is written: `file:line:column`, a variable's or flag's name, `default`.
    pub fn describe<'a>(&'a self, origin: &'a Origin) -> impl fmt::Display + 'a {
        Described { sources: self, origin }
    }
}

struct Described<'a> {
    sources: &'a Sources,
    origin: &'a Origin,
}

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin {
            Origin::Default => f.write_str("default"),
            Origin::File(span) => {
                write!(f, "{}:{}:{}", self.sources.name(span.file), span.line, span.column)
            }
            Origin::Variable(name) => f.write_str(name),
            Origin::Flag(name) => f.write_str(name),
        }
    }
}

/// Turns byte offsets of one text into places.
pub(crate) struct Places<'a> {
    file: FileId,
    text: &'a str,
    line_starts: Vec<usize>,
}

impl<'a> Places<'a> {
    pub(crate) fn new(file: FileId, text: &'a str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file, text, line_starts }
    }

    /// The place of the bytes `start..end`; offsets beyond the text or inside a character are moved to its start.
    pub(crate) fn span(&self, start: usize, end: usize) -> Span {
        let start = floor_char(self.text, start);
        let line = self.line_starts.partition_point(|line| *line <= start).saturating_sub(1);
        let line_start = self.line_starts.get(line).copied().unwrap_or(0);
        let line_end = self.line_starts.get(line + 1).map_or(self.text.len(), |next| next.saturating_sub(1));
        let end = floor_char(self.text, end).min(line_end).max(start);
        let count = |from: usize, to: usize| {
            let characters = self.text.get(from..to).map_or(0, |text| text.chars().count());
            u32::try_from(characters).unwrap_or(u32::MAX)
        };
        Span {
            file: self.file,
            line: u32::try_from(line).unwrap_or(u32::MAX).saturating_add(1),
            column: count(line_start, start).saturating_add(1),
            width: count(start, end).max(1),
        }
    }

    pub(crate) fn origin(&self, start: usize, end: usize) -> Origin {
        Origin::File(self.span(start, end))
    }
}

fn floor_char(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_become_lines_and_columns_of_characters() {
        let mut sources = Sources::default();
        let text = "a = 1\nß = \"é\"\r\n";
        let file = sources.add("f", None, text);
        let places = Places::new(file, text);
        for (start, end, line, column, width) in [
            (0, 1, 1, 1, 1),
            (4, 5, 1, 5, 1),
            (6, 8, 2, 1, 1),
            (11, 15, 2, 5, 3),
            (7, 7, 2, 1, 1),
            (4, 400, 1, 5, 1),
            (900, 901, 3, 1, 1),
        ] {
            assert_eq!(places.span(start, end), Span { file, line, column, width }, "{start}..{end}");
        }
        assert_eq!(sources.line(places.span(6, 6)), Some("ß = \"é\""));
    }
}
