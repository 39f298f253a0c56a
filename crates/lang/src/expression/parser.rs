//! Words into steps of the stack machine.

use std::borrow::Cow;

use super::lexer::{Token, tokens};
use super::value::{Arithmetic, Comparison, Sign, Value};
use crate::SyntaxError;

/// How deep parentheses, signs, powers and conditions may nest.
const MAX_DEPTH: usize = 64;

/// One step. Jumps count the steps to skip.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Push(Constant),
    Load(Box<str>),
    Attribute(Box<str>),
    Index,
    Not,
    Sign(Sign),
    Arithmetic(Arithmetic),
    Compare(Comparison),
    /// In a chain: false ends the chain, true leaves the right operand for the next comparison.
    CompareNext(Comparison, usize),
    /// `and`, `or`: the left operand is the result, or makes room for the right one.
    KeepOrSkip {
        keep_if: bool,
        jump: usize,
    },
    SkipIfFalse(usize),
    Skip(usize),
}

/// A value that stands in the text.
#[derive(Clone, Debug)]
pub(super) enum Constant {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Box<str>),
}

impl Constant {
    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Self::None => Value::None,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Float(value) => Value::Float(*value),
            Self::Text(value) => Value::Text(Cow::Borrowed(value)),
        }
    }
}

/// Words that cannot be names.
const KEYWORDS: [&str; 5] = ["and", "or", "not", "if", "else"];

pub(super) fn compile(source: &str) -> Result<Vec<Step>, SyntaxError> {
    let mut parser = Parser { tokens: tokens(source)?, at: 0, depth: 0, steps: Vec::new() };
    parser.condition()?;
    if *parser.peek() != Token::End {
        return Err(parser.unexpected());
    }
    Ok(parser.steps)
}

struct Parser<'a> {
    tokens: Vec<(usize, Token<'a>)>,
    at: usize,
    depth: usize,
    steps: Vec<Step>,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> &Token<'a> {
        self.tokens.get(self.at).map_or(&Token::End, |(_, token)| token)
    }

    fn offset(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(0, |(offset, _)| *offset)
    }

    fn unexpected(&self) -> SyntaxError {
        let message = match self.peek() {
            Token::Int(value) => format!("unexpected number {value}"),
            Token::Float(value) => format!("unexpected number {value}"),
            Token::Text(text) => format!("unexpected text {text:?}"),
            Token::Word(word) => format!("unexpected word {word:?}"),
            Token::Symbol(symbol) => format!("unexpected {symbol:?}"),
            Token::End => "the expression ends too early".to_owned(),
        };
        SyntaxError::new(message, self.offset())
    }

    fn take_symbol(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Token::Symbol(next) if *next == symbol);
        self.at += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Word(next) if *next == word);
        self.at += usize::from(found);
        found
    }

    fn expect_symbol(&mut self, symbol: &str) -> Result<(), SyntaxError> {
        if self.take_symbol(symbol) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn nested(&mut self, rule: fn(&mut Self) -> Result<(), SyntaxError>) -> Result<(), SyntaxError> {
        if self.depth == MAX_DEPTH {
            return Err(SyntaxError::new(format!("nested deeper than {MAX_DEPTH}"), self.offset()));
        }
        self.depth += 1;
        let result = rule(self);
        self.depth -= 1;
        result
    }

    /// Writes a jump that [`land`](Self::land) will aim.
    fn jump(&mut self, step: Step) -> usize {
        self.steps.push(step);
        self.steps.len() - 1
    }

    /// Aims the jump at `from` at what is written next.
    fn land(&mut self, from: usize) {
        let distance = self.steps.len() - 1 - from;
        match self.steps.get_mut(from) {
            Some(Step::CompareNext(_, jump) | Step::KeepOrSkip { jump, .. })
            | Some(Step::SkipIfFalse(jump) | Step::Skip(jump)) => *jump = distance,
            _ => {}
        }
    }

    /// `x if c else y`
    fn condition(&mut self) -> Result<(), SyntaxError> {
        let start = self.steps.len();
        self.any()?;
        if !self.take_word("if") {
            return Ok(());
        }
        // The condition runs first: put the steps of `x` aside. Their jumps are relative, so they can move.
        let then = self.steps.split_off(start);
        self.any()?;
        let to_else = self.jump(Step::SkipIfFalse(0));
        self.steps.extend(then);
        let to_end = self.jump(Step::Skip(0));
        self.land(to_else);
        if !self.take_word("else") {
            return Err(self.unexpected());
        }
        self.nested(Self::condition)?;
        self.land(to_end);
        Ok(())
    }

    fn any(&mut self) -> Result<(), SyntaxError> {
        self.all()?;
        while self.take_word("or") {
            let end = self.jump(Step::KeepOrSkip { keep_if: true, jump: 0 });
            self.all()?;
            self.land(end);
        }
        Ok(())
    }

    fn all(&mut self) -> Result<(), SyntaxError> {
        self.negation()?;
        while self.take_word("and") {
            let end = self.jump(Step::KeepOrSkip { keep_if: false, jump: 0 });
            self.negation()?;
            self.land(end);
        }
        Ok(())
    }

    fn negation(&mut self) -> Result<(), SyntaxError> {
        if !self.take_word("not") {
            return self.comparison();
        }
        self.nested(Self::negation)?;
        self.steps.push(Step::Not);
        Ok(())
    }

    fn comparison(&mut self) -> Result<(), SyntaxError> {
        self.sum()?;
        let mut chain = Vec::new();
        let mut next = self.take_comparison();
        while let Some(comparison) = next {
            self.sum()?;
            next = self.take_comparison();
            if next.is_some() {
                let end = self.jump(Step::CompareNext(comparison, 0));
                chain.push(end);
            } else {
                self.steps.push(Step::Compare(comparison));
            }
        }
        for jump in chain {
            self.land(jump);
        }
        Ok(())
    }

    fn take_comparison(&mut self) -> Option<Comparison> {
        let Token::Symbol(symbol) = self.peek() else { return None };
        let comparison = Comparison::from_symbol(symbol)?;
        self.at += 1;
        Some(comparison)
    }

    fn take_arithmetic(&mut self, symbols: &[&str]) -> Option<Arithmetic> {
        let Token::Symbol(symbol) = self.peek() else { return None };
        let operator = symbols.contains(symbol).then(|| Arithmetic::from_symbol(symbol)).flatten()?;
        self.at += 1;
        Some(operator)
    }

    fn sum(&mut self) -> Result<(), SyntaxError> {
        self.product()?;
        while let Some(operator) = self.take_arithmetic(&["+", "-"]) {
            self.product()?;
            self.steps.push(Step::Arithmetic(operator));
        }
        Ok(())
    }

    fn product(&mut self) -> Result<(), SyntaxError> {
        self.signed()?;
        while let Some(operator) = self.take_arithmetic(&["*", "/", "//", "%"]) {
            self.signed()?;
            self.steps.push(Step::Arithmetic(operator));
        }
        Ok(())
    }

    /// A sign binds weaker than a power to its right, and stronger than one to its left: `-2**-1` is `-(2**(-1))`.
    fn signed(&mut self) -> Result<(), SyntaxError> {
        let sign = if self.take_symbol("-") {
            Sign::Minus
        } else if self.take_symbol("+") {
            Sign::Plus
        } else {
            return self.power();
        };
        self.nested(Self::signed)?;
        self.steps.push(Step::Sign(sign));
        Ok(())
    }

    fn power(&mut self) -> Result<(), SyntaxError> {
        self.member()?;
        if let Some(operator) = self.take_arithmetic(&["**"]) {
            self.nested(Self::signed)?;
            self.steps.push(Step::Arithmetic(operator));
        }
        Ok(())
    }

    fn member(&mut self) -> Result<(), SyntaxError> {
        self.atom()?;
        loop {
            if self.take_symbol(".") {
                let name = self.name()?;
                self.steps.push(Step::Attribute(name));
            } else if self.take_symbol("[") {
                self.nested(Self::condition)?;
                self.expect_symbol("]")?;
                self.steps.push(Step::Index);
            } else {
                return Ok(());
            }
        }
    }

    fn name(&mut self) -> Result<Box<str>, SyntaxError> {
        match self.peek() {
            Token::Word(word) if !KEYWORDS.contains(word) => {
                let name = Box::from(*word);
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn atom(&mut self) -> Result<(), SyntaxError> {
        let constant = match self.peek() {
            Token::Int(value) => Constant::Int(*value),
            Token::Float(value) => Constant::Float(*value),
            Token::Text(text) => Constant::Text(text.as_str().into()),
            Token::Word("None") => Constant::None,
            Token::Word("True") => Constant::Bool(true),
            Token::Word("False") => Constant::Bool(false),
            Token::Symbol("(") => {
                self.at += 1;
                self.nested(Self::condition)?;
                return self.expect_symbol(")");
            }
            _ => {
                let name = self.name()?;
                self.steps.push(Step::Load(name));
                return Ok(());
            }
        };
        self.at += 1;
        self.steps.push(Step::Push(constant));
        Ok(())
    }
}
