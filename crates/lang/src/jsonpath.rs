//! JSONPath in the dialect of definition files (telemetry-pipeline §8): the one of Python's `jsonpath-rw` with its
//! extensions, which differs from the standard in many places.
//!
//! ```text
//! $.payload.a      payload['a']        payload."x.y"      payload.(a|b)     (payload.a)|(payload.b)
//! list[0]  list[-1]  list[1:3]  list.[*]   $..name        payload.*         a.`parent`   @   `this`
//! list[?k='one']   list[?(@.v>0 & v<2)]    list[\k,/v]    list.`len`        `sorted`
//! payload.a + payload.b * 2    'prefix' + $.a             s.`split(#, 1, -1)`   s.`sub(/re/, with)`
//! ```
//!
//! A union binds tighter than a dot. A single field name beside an arithmetic operator is a literal text.

mod evaluate;
mod filter;
mod lexer;
mod parser;

use std::borrow::Cow;

use serde_json::Value as Json;

use crate::SyntaxError;

/// Longest text of a path, in bytes.
pub const MAX_LENGTH: usize = 4096;

/// A parsed path. Two are equal when their texts are.
#[derive(Clone, Debug)]
pub struct Path {
    source: String,
    node: parser::Node,
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Path {
    /// Parses a text of at most [`MAX_LENGTH`] bytes.
    pub fn parse(source: &str) -> Result<Self, SyntaxError> {
        if source.len() > MAX_LENGTH {
            return Err(SyntaxError::new(format!("longer than {MAX_LENGTH} bytes"), MAX_LENGTH));
        }
        Ok(Self { source: source.to_owned(), node: parser::parse(source)? })
    }

    /// The text it was parsed from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Every match in `document`, nulls included, in document order. A path that would visit more than a million
    /// values matches nothing.
    pub fn find<'a>(&self, document: &'a Json) -> Vec<Cow<'a, Json>> {
        evaluate::find(&self.node, document)
    }

    /// Whether everything it can find lies under `member` of the document, whatever else the document holds. `false` when
    /// that is not plain to see, as with arithmetic, filters and steps to a parent.
    pub fn looks_only_into(&self, member: &str) -> bool {
        starts_in(&self.node, member)
    }

    /// The first match that is not null: what a definition takes.
    pub fn first<'a>(&self, document: &'a Json) -> Option<Cow<'a, Json>> {
        self.find(document).into_iter().find(|value| !value.is_null())
    }
}

fn starts_in(node: &parser::Node, member: &str) -> bool {
    use parser::Node;
    match node {
        Node::Fields(names) => names.iter().all(|name| name == member),
        Node::Union(nodes) => nodes.iter().all(|node| starts_in(node, member)),
        Node::Sequence(nodes) => {
            let mut steps = nodes.iter().skip_while(|node| matches!(node, Node::Root | Node::This));
            steps.next().is_some_and(|first| starts_in(first, member)) && steps.all(goes_down)
        }
        _ => false,
    }
}

/// Whether a step looks at nothing but what it is given.
fn goes_down(node: &parser::Node) -> bool {
    use parser::Node;
    match node {
        Node::This | Node::Fields(_) | Node::AnyField | Node::Index(_) | Node::Slice(_) => true,
        Node::Length | Node::Substitute(_) | Node::Split(_) => true,
        Node::Sequence(nodes) | Node::Union(nodes) => nodes.iter().all(goes_down),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
