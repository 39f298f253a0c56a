//! YAML into the tree, with the habits of the files that exist: `yes` is true, `<<` merges.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use crate::ledger::Ledger;
use crate::source::{FileId, Origin, Places};
use crate::tree::{Entry, MAX_DEPTH, MAX_NODES, Map, Node, Value};

mod scalar;

/// The document of a file; `None` after a fault that leaves no tree. Other faults leave [`Value::Invalid`] in place.
pub(crate) fn parse(ledger: &mut Ledger, file: FileId, text: &str) -> Option<Node> {
    let mut options = granit_parser::Options::default();
    options.emit_unresolved_aliases = true;
    options.emit_comments = false;
    let mut reader = Reader {
        parser: Parser::new_from_str_with_options(text, options),
        text,
        places: Places::new(file, text),
        anchors: HashMap::new(),
        nodes: 0,
        ledger,
    };
    reader.document().ok()
}

/// The file cannot be read further; the reason is in the ledger.
struct Ended;

/// A finished anchor: its value, and how much it adds where it is used.
struct Anchor {
    node: Node,
    nodes: usize,
    depth: usize,
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    text: &'a str,
    places: Places<'a>,
    anchors: HashMap<usize, Anchor>,
    nodes: usize,
    ledger: &'a mut Ledger,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Node, Ended> {
        let mut root = None;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => break,
                (Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd, _) => {}
                (event, span) if root.is_none() => root = Some(self.node(event, span, 1)?),
                (_, span) => {
                    self.problem(span, "only one YAML document is allowed in this file");
                    break;
                }
            }
        }
        let start = self.places.origin(0, 0);
        Ok(root.unwrap_or(Node { value: Value::Null, origin: start }))
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Ended> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => {
                self.syntax_error(&error);
                Err(Ended)
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Ended> {
        if depth > MAX_DEPTH {
            self.problem(span, format!("values nest deeper than {MAX_DEPTH} levels"));
            return Err(Ended);
        }
        self.count(1, span)?;
        let before = self.nodes;
        let origin = self.origin(span);
        let (value, anchor, tag) = match event {
            Event::Alias(id) => return self.alias(id, span, depth),
            Event::UnresolvedAlias(name) => {
                let word = format!("*{name}");
                self.problem(
                    span,
                    format!(
                        "there is no anchor &{name}; a name that starts with * must be quoted: \"{word}\""
                    ),
                );
                return Ok(Node { value: Value::Invalid, origin });
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = match style {
                    ScalarStyle::Plain => scalar::plain(&text),
                    _ => Value::String(text.into_owned()),
                };
                (value, anchor, tag)
            }
            Event::SequenceStart(_, anchor, tag) => (self.list(depth)?, anchor, tag),
            Event::MappingStart(_, anchor, tag) => (self.map(depth)?, anchor, tag),
            _ => (Value::Null, 0, None),
        };
        let value = if self.has_tag(tag.as_deref(), span) { Value::Invalid } else { value };
        let node = Node { value, origin };
        if anchor != 0 {
            let (_, depth) = node.size();
            self.anchors.insert(anchor, Anchor { node: node.clone(), nodes: self.nodes - before + 1, depth });
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Value, Ended> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd | Event::StreamEnd, _) => return Ok(Value::List(items)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Ended> {
        let mut map = Map::default();
        let mut merged = Vec::new();
        loop {
            let (event, key_span) = match self.next()? {
                (Event::MappingEnd | Event::StreamEnd, _) => break,
                next => next,
            };
            let is_merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = self.node(event, key_span, depth + 1)?;
            let (event, span) = self.next()?;
            let node = self.node(event, span, depth + 1)?;
            if is_merge {
                merged.push(node);
                continue;
            }
            let Some(key) = self.key(key, key_span) else { continue };
            if let Some(first) = map.entry(&key) {
                let first = self.ledger.sources.describe(&first.key_origin).to_string();
                self.problem(key_span, format!("the key {key:?} stands twice, first at {first}"));
                continue;
            }
            map.entries.push(Entry { key, key_origin: self.origin(key_span), node });
        }
        for node in merged {
            self.merge(&mut map, node);
        }
        Ok(Value::Map(map))
    }

    /// A key's text: scalars as they would be written.
    fn key(&mut self, key: Node, span: Span) -> Option<String> {
        match key.value {
            Value::String(text) => Some(text),
            Value::Int(number) => Some(number.to_string()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Float(number) => Some(number.to_string()),
            Value::Invalid => None,
            Value::Null | Value::List(_) | Value::Map(_) => {
                self.problem(span, "a key must be a string");
                None
            }
        }
    }

    /// Adds what `<<` brings; keys that are there already stay.
    fn merge(&mut self, map: &mut Map, from: Node) {
        match from.value {
            Value::Map(other) => {
                for entry in other.entries {
                    if map.entry(&entry.key).is_none() {
                        map.entries.push(entry);
                    }
                }
            }
            Value::List(items) if items.iter().all(|item| item.as_map().is_some()) => {
                items.into_iter().for_each(|item| self.merge(map, item));
            }
            Value::Invalid => {}
            _ => self.ledger.problem(&from.origin, "", "<< needs a table, or a list of tables"),
        }
    }

    fn alias(&mut self, id: usize, span: Span, depth: usize) -> Result<Node, Ended> {
        let Some(anchor) = self.anchors.get(&id) else {
            self.problem(span, "an alias cannot stand inside its own anchor");
            return Err(Ended);
        };
        let (nodes, height) = (anchor.nodes, anchor.depth);
        if depth + height > MAX_DEPTH {
            self.problem(span, format!("values nest deeper than {MAX_DEPTH} levels"));
            return Err(Ended);
        }
        self.count(nodes, span)?;
        let node = self.anchors.get(&id).map(|anchor| anchor.node.clone());
        Ok(node.unwrap_or(Node { value: Value::Null, origin: self.origin(span) }))
    }

    /// Bounds the memory that aliases of aliases would take.
    fn count(&mut self, nodes: usize, span: Span) -> Result<(), Ended> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            self.problem(
                span,
                format!("the file has more than {MAX_NODES} values, counting what aliases stand for"),
            );
            return Err(Ended);
        }
        Ok(())
    }

    fn has_tag(&mut self, tag: Option<&Tag>, span: Span) -> bool {
        let Some(tag) = tag else { return false };
        let tag_span = span.tag_span();
        let word = tag_span
            .and_then(|span| span.slice(self.text))
            .map_or_else(|| Cow::Owned(tag.original()), Cow::Borrowed);
        let message = if tag.is_yaml_core_schema() {
            format!("the tag {word} is not supported")
        } else {
            format!("a word that starts with ! is a tag in YAML: quote it, {:?}", word)
        };
        self.problem(tag_span.unwrap_or(span), message);
        true
    }

    fn syntax_error(&mut self, error: &ScanError) {
        let at = error.marker().byte_offset().unwrap_or(self.text.len());
        let (at, hint) = match unquoted_special(self.text, at) {
            Some((start, character)) => {
                (start, format!("; a name that starts with {character} must be quoted"))
            }
            None => (at, String::new()),
        };
        let origin = self.places.origin(at, at + 1);
        self.ledger.problem(&origin, "", format!("not YAML: {}{hint}", error.info()));
    }

    fn origin(&self, span: Span) -> Origin {
        let range = span.byte_range().unwrap_or(0..0);
        self.places.origin(range.start, range.end)
    }

    fn problem(&mut self, span: Span, message: impl Into<String>) {
        let origin = self.origin(span);
        self.ledger.problem(&origin, "", message);
    }
}

/// The nearest `*`, `!`, `%`, `@` or backquote before `at` in its line that starts a word: the usual cause.
fn unquoted_special(text: &str, at: usize) -> Option<(usize, char)> {
    let mut end = at.saturating_add(1).min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let head = text.get(..end)?;
    let line_start = head.trim_end_matches('\n').rfind('\n').map_or(0, |newline| newline + 1);
    let line = head.get(line_start..)?;
    let (mut quote, mut before) = (None, ' ');
    let mut found = None;
    for (offset, character) in line.char_indices() {
        match quote {
            Some(open) if open == character => quote = None,
            None if matches!(character, '"' | '\'') && matches!(before, ' ' | '[' | ',' | '{') => {
                quote = Some(character)
            }
            None if matches!(character, '*' | '!' | '%' | '@' | '`')
                && matches!(before, ' ' | '[' | ',' | '{') =>
            {
                found = Some((line_start + offset, character));
            }
            _ => {}
        }
        before = character;
    }
    found
}
