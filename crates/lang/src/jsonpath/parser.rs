//! Words into a tree.

use regex::Regex;
use serde_json::Value as Json;

use super::filter::{Comparison, Test};
use super::lexer::{Token, tokens};
use crate::{Replacement, SyntaxError};

/// How deep parentheses, descents, sums and filters may nest.
const MAX_DEPTH: usize = 64;

/// Largest compiled regular expression, in bytes.
const MAX_REGEX: usize = 1 << 20;

/// A path, or a part of one: from one value to any number of values.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Root,
    This,
    Parent,
    Fields(Vec<String>),
    AnyField,
    Index(i64),
    Slice(Slice),
    /// One after the other.
    Sequence(Vec<Node>),
    /// The results of each.
    Union(Vec<Node>),
    /// The second, from every value at or below those of the first.
    Descendants(Box<Node>, Box<Node>),
    Operation(Box<Operation>),
    Filter(Vec<Test>),
    Length,
    /// The list itself in its natural order, or by keys.
    Sorted(Vec<SortKey>),
    Substitute(Box<(Regex, Replacement)>),
    Split(Split),
}

/// `[start:end:step]`
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slice {
    pub(super) start: Option<i64>,
    pub(super) end: Option<i64>,
    pub(super) step: Option<i64>,
}

/// One key of `[\key,/key]`.
#[derive(Clone, Debug)]
pub(super) struct SortKey {
    pub(super) path: Node,
    pub(super) descending: bool,
}

/// `` `split(separator, segment, max)` ``
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    pub(super) separator: char,
    pub(super) segment: usize,
    pub(super) most: Option<usize>,
}

/// `left operator right`
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) left: Operand,
    pub(super) operator: Operator,
    pub(super) right: Operand,
}

#[derive(Clone, Debug)]
pub(super) enum Operand {
    Path(Node),
    Literal(Json),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
}

pub(super) fn parse(source: &str) -> Result<Node, SyntaxError> {
    let mut parser = Parser { tokens: tokens(source)?, at: 0, depth: 0 };
    let node = parser.path()?;
    match parser.peek() {
        Token::End => Ok(node),
        _ => Err(parser.unexpected()),
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> &Token {
        self.tokens.get(self.at + ahead).map_or(&Token::End, |(_, token)| token)
    }

    fn offset(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(0, |(offset, _)| *offset)
    }

    fn fault(&self, message: impl Into<String>) -> SyntaxError {
        SyntaxError::new(message, self.offset())
    }

    fn unexpected(&self) -> SyntaxError {
        self.fault(match self.peek() {
            Token::Name(name) | Token::Quoted(name) => format!("unexpected name {name:?}"),
            Token::Operator(name) => format!("unexpected operator `{name}`"),
            Token::Int(value) => format!("unexpected number {value}"),
            Token::Float(value) => format!("unexpected number {value}"),
            Token::Symbol(symbol) => format!("unexpected {symbol:?}"),
            Token::End => "the path ends too early".to_owned(),
        })
    }

    fn is_symbol(&self, ahead: usize, symbol: &str) -> bool {
        matches!(self.peek_at(ahead), Token::Symbol(next) if *next == symbol)
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = self.is_symbol(0, symbol);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), SyntaxError> {
        if self.take(symbol) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Counts one more level of the tree: for good, because chains of operators grow it too.
    fn deeper(&mut self) -> Result<(), SyntaxError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.fault(format!("more than {MAX_DEPTH} nested parts")));
        }
        Ok(())
    }

    /// A whole path, sums included.
    fn path(&mut self) -> Result<Node, SyntaxError> {
        let left = self.product()?;
        let whole = self.sum(left)?;
        self.node(whole)
    }

    /// An operand where only a path has meaning.
    fn node(&self, operand: Operand) -> Result<Node, SyntaxError> {
        match operand {
            Operand::Path(node) => Ok(node),
            Operand::Literal(literal) => Err(self.fault(format!("{literal} is no path"))),
        }
    }

    fn sum(&mut self, mut left: Operand) -> Result<Operand, SyntaxError> {
        loop {
            let operator = if self.take("+") {
                Operator::Add
            } else if self.take("-") {
                Operator::Subtract
            } else {
                return Ok(left);
            };
            let right = self.product()?;
            left = self.operation(left, operator, right)?;
        }
    }

    fn product(&mut self) -> Result<Operand, SyntaxError> {
        let left = self.term()?;
        self.factors(left)
    }

    fn factors(&mut self, mut left: Operand) -> Result<Operand, SyntaxError> {
        while self.take("*") {
            let right = self.term()?;
            left = self.operation(left, Operator::Multiply, right)?;
        }
        Ok(left)
    }

    fn operation(
        &mut self,
        left: Operand,
        operator: Operator,
        right: Operand,
    ) -> Result<Operand, SyntaxError> {
        self.deeper()?;
        let [left, right] = [left, right].map(|operand| match operand {
            Operand::Path(Node::Fields(mut names)) if names.len() == 1 => {
                Operand::Literal(Json::String(names.swap_remove(0)))
            }
            other => other,
        });
        Ok(Operand::Path(Node::Operation(Box::new(Operation { left, operator, right }))))
    }

    fn term(&mut self) -> Result<Operand, SyntaxError> {
        let literal = match self.peek() {
            Token::Int(value) => Json::from(*value),
            Token::Float(value) => Json::from(*value),
            _ => {
                let first = self.chain()?;
                return self.descents(first).map(Operand::Path);
            }
        };
        self.at += 1;
        Ok(Operand::Literal(literal))
    }

    fn descents(&mut self, mut left: Node) -> Result<Node, SyntaxError> {
        while self.take("..") {
            self.deeper()?;
            left = Node::Descendants(Box::new(left), Box::new(self.chain()?));
        }
        Ok(left)
    }

    fn chain(&mut self) -> Result<Node, SyntaxError> {
        let first = self.union()?;
        self.links(first)
    }

    fn links(&mut self, first: Node) -> Result<Node, SyntaxError> {
        let mut nodes = vec![first];
        while self.take(".") {
            nodes.push(self.union()?);
        }
        Ok(single_or(nodes, Node::Sequence))
    }

    fn union(&mut self) -> Result<Node, SyntaxError> {
        let first = self.primary()?;
        let first = self.brackets(first)?;
        self.alternatives(first)
    }

    fn alternatives(&mut self, first: Node) -> Result<Node, SyntaxError> {
        let mut nodes = vec![first];
        while self.take("|") {
            let next = self.primary()?;
            nodes.push(self.brackets(next)?);
        }
        Ok(single_or(nodes, Node::Union))
    }

    fn brackets(&mut self, first: Node) -> Result<Node, SyntaxError> {
        let mut nodes = vec![first];
        while self.is_symbol(0, "[") {
            nodes.push(self.bracket()?);
        }
        Ok(single_or(nodes, Node::Sequence))
    }

    fn primary(&mut self) -> Result<Node, SyntaxError> {
        match self.peek().clone() {
            Token::Name(_) | Token::Quoted(_) => return self.fields(),
            Token::Operator(operator) => {
                let node = self.named_operator(&operator)?;
                self.at += 1;
                return Ok(node);
            }
            _ => {}
        }
        if self.is_symbol(0, "[") {
            return self.bracket();
        }
        if self.take("(") {
            self.deeper()?;
            let inner = self.path()?;
            self.expect(")")?;
            return Ok(inner);
        }
        for (symbol, node) in [("$", Node::Root), ("@", Node::This), ("*", Node::AnyField)] {
            if self.take(symbol) {
                return Ok(node);
            }
        }
        Err(self.unexpected())
    }

    /// `a` or `a,b`
    fn fields(&mut self) -> Result<Node, SyntaxError> {
        let mut names = Vec::new();
        loop {
            match self.peek().clone() {
                Token::Name(name) | Token::Quoted(name) => names.push(name),
                _ => return Err(self.unexpected()),
            }
            self.at += 1;
            if !(self.is_symbol(0, ",") && matches!(self.peek_at(1), Token::Name(_) | Token::Quoted(_))) {
                return Ok(Node::Fields(names));
            }
            self.at += 1;
        }
    }

    /// `[…]`
    fn bracket(&mut self) -> Result<Node, SyntaxError> {
        self.expect("[")?;
        let node = if self.take("*") {
            Node::Slice(Slice::default())
        } else if self.take("?") {
            Node::Filter(self.tests()?)
        } else if self.is_symbol(0, "/") || self.is_symbol(0, "\\") {
            Node::Sorted(self.sort_keys()?)
        } else if matches!(self.peek(), Token::Int(_)) || self.is_symbol(0, ":") {
            self.positions()?
        } else {
            self.fields()?
        };
        self.expect("]")?;
        Ok(node)
    }

    fn positions(&mut self) -> Result<Node, SyntaxError> {
        let start = self.take_int();
        if !self.take(":") {
            return start.map(Node::Index).ok_or_else(|| self.unexpected());
        }
        let end = self.take_int();
        let step = if self.take(":") { self.take_int() } else { None };
        if step == Some(0) {
            return Err(self.fault("the step of a slice cannot be zero"));
        }
        Ok(Node::Slice(Slice { start, end, step }))
    }

    fn take_int(&mut self) -> Option<i64> {
        let Token::Int(value) = *self.peek() else { return None };
        self.at += 1;
        Some(value)
    }

    fn sort_keys(&mut self) -> Result<Vec<SortKey>, SyntaxError> {
        let mut keys = Vec::new();
        loop {
            let ahead = usize::from(self.is_symbol(0, ","));
            let descending = self.is_symbol(ahead, "\\");
            if !descending && !self.is_symbol(ahead, "/") {
                return Ok(keys);
            }
            self.at += ahead + 1;
            self.deeper()?;
            keys.push(SortKey { path: self.path()?, descending });
        }
    }

    /// Tests joined by `&`, all of which must hold.
    fn tests(&mut self) -> Result<Vec<Test>, SyntaxError> {
        let mut all = Vec::new();
        loop {
            if self.take("(") {
                self.deeper()?;
                let mut inner = self.tests()?;
                self.expect(")")?;
                // Parentheses around nothing but a path may go on as a path: `(a.b).c = 1`.
                match inner.pop() {
                    Some(Test { path, condition: None }) if inner.is_empty() => {
                        let path = self.continued(path)?;
                        all.push(self.condition(path)?);
                    }
                    last => all.extend(inner.into_iter().chain(last)),
                }
            } else {
                let path = self.path()?;
                all.push(self.condition(path)?);
            }
            if !self.take("&") {
                return Ok(all);
            }
        }
    }

    /// Goes on with a path whose first part was read.
    fn continued(&mut self, first: Node) -> Result<Node, SyntaxError> {
        let first = self.brackets(first)?;
        let first = self.alternatives(first)?;
        let first = self.links(first)?;
        let first = self.descents(first)?;
        let first = self.factors(Operand::Path(first))?;
        let whole = self.sum(first)?;
        self.node(whole)
    }

    fn condition(&mut self, path: Node) -> Result<Test, SyntaxError> {
        let Token::Symbol(symbol) = *self.peek() else { return Ok(Test { path, condition: None }) };
        if symbol == "~" {
            self.at += 1;
            let pattern = match self.peek() {
                Token::Name(text) | Token::Quoted(text) => self.regex(&format!(r"\A(?:{text})"))?,
                _ => return Err(self.unexpected()),
            };
            self.at += 1;
            return Ok(Test::matching(path, pattern));
        }
        let Some(comparison) = Comparison::from_symbol(symbol) else {
            return Ok(Test { path, condition: None });
        };
        self.at += 1;
        let operand = match self.peek() {
            Token::Name(word) if word == "true" => Json::Bool(true),
            Token::Name(word) if word == "false" => Json::Bool(false),
            Token::Name(text) | Token::Quoted(text) => Json::String(text.clone()),
            Token::Int(value) => Json::from(*value),
            Token::Float(value) => Json::from(*value),
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(Test::comparing(path, comparison, operand))
    }

    fn regex(&self, pattern: &str) -> Result<Regex, SyntaxError> {
        regex::RegexBuilder::new(pattern)
            .size_limit(MAX_REGEX)
            .build()
            .map_err(|error| self.fault(format!("bad regular expression: {error}")))
    }

    fn named_operator(&self, text: &str) -> Result<Node, SyntaxError> {
        match text {
            "this" => return Ok(Node::This),
            "parent" => return Ok(Node::Parent),
            "len" => return Ok(Node::Length),
            "sorted" => return Ok(Node::Sorted(Vec::new())),
            _ => {}
        }
        if let Some(arguments) = text.strip_prefix("sub(") {
            let (pattern, with) = substitution(arguments)
                .ok_or_else(|| self.fault(format!("`{text}` should be `sub(/pattern/, replacement)`")))?;
            let regex = self.regex(pattern)?;
            let replacement = Replacement::parse(with, &regex).map_err(|error| self.fault(error.message))?;
            return Ok(Node::Substitute(Box::new((regex, replacement))));
        }
        if let Some(arguments) = text.strip_prefix("split(") {
            return split(arguments)
                .map(Node::Split)
                .ok_or_else(|| self.fault(format!("`{text}` should be `split(character, segment, most)`")));
        }
        Err(self.fault(format!("unknown operator `{text}`")))
    }
}

fn single_or(mut nodes: Vec<Node>, many: fn(Vec<Node>) -> Node) -> Node {
    if nodes.len() == 1 { nodes.swap_remove(0) } else { many(nodes) }
}

/// Of `/pattern/, replacement)`, both parts.
fn substitution(arguments: &str) -> Option<(&str, &str)> {
    let (body, _) = arguments.strip_prefix('/')?.rsplit_once(')')?;
    body.rmatch_indices("/,").find_map(|(at, separator)| {
        let with = body.get(at + separator.len()..)?;
        with.starts_with(char::is_whitespace).then_some((body.get(..at)?.trim(), with.trim()))
    })
}

/// Of `c, segment, most)`, the parts.
fn split(arguments: &str) -> Option<Split> {
    let mut characters = arguments.chars();
    let separator = characters.next()?;
    let mut numbers = characters.as_str().strip_prefix(',')?.strip_suffix(')')?.split(',');
    let segment = numbers.next()?.trim().parse().ok()?;
    let most = match numbers.next()?.trim() {
        "-1" => None,
        most => Some(most.parse().ok()?),
    };
    numbers.next().is_none().then_some(Split { separator, segment, most })
}
