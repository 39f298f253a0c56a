//! Runs a path over a document.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use serde_json::Value as Json;

use super::filter::{self, Test};
use super::parser::{Node, Operand, Operation, Operator, Slice, SortKey, Split};

/// How many values one run may visit.
const MAX_VISITS: u32 = 1_000_000;

/// How deep below a value descents look: deeper than JSON parsers go.
const MAX_DEPTH: u32 = 256;

/// A value and where it was found.
struct Place<'a> {
    value: Cow<'a, Json>,
    parent: Option<Found<'a>>,
}

type Found<'a> = Rc<Place<'a>>;

/// The run did too much work.
struct Exhausted;

type Outcome = Result<(), Exhausted>;

pub(super) fn find<'a>(node: &Node, document: &'a Json) -> Vec<Cow<'a, Json>> {
    let mut run = Run { visits: MAX_VISITS };
    let root = Rc::new(Place { value: Cow::Borrowed(document), parent: None });
    match run.all(node, &root) {
        Ok(found) => found.into_iter().map(|place| place.value.clone()).collect(),
        Err(Exhausted) => Vec::new(),
    }
}

struct Run {
    visits: u32,
}

impl Run {
    fn visit(&mut self) -> Outcome {
        self.visits = self.visits.checked_sub(1).ok_or(Exhausted)?;
        Ok(())
    }

    fn all<'a>(&mut self, node: &Node, from: &Found<'a>) -> Result<Vec<Found<'a>>, Exhausted> {
        let mut out = Vec::new();
        self.find(node, from, &mut out)?;
        Ok(out)
    }

    /// Adds what `node` leads to from `from`.
    fn find<'a>(&mut self, node: &Node, from: &Found<'a>, out: &mut Vec<Found<'a>>) -> Outcome {
        self.visit()?;
        match node {
            Node::Root => out.push(root(from)),
            Node::This => out.push(Rc::clone(from)),
            Node::Parent => out.extend(from.parent.clone()),
            Node::Fields(names) => {
                out.extend(
                    names.iter().filter_map(|name| member(from, |value| value.as_object()?.get(name))),
                );
            }
            Node::AnyField => self.each_child(from, Json::is_object, out)?,
            Node::Index(index) => out.extend(item(from, *index)),
            Node::Slice(slice) => self.slice(*slice, from, out)?,
            Node::Sequence(nodes) => {
                let mut here = vec![Rc::clone(from)];
                for node in nodes {
                    let mut next = Vec::new();
                    for place in &here {
                        self.find(node, place, &mut next)?;
                    }
                    here = next;
                }
                out.append(&mut here);
            }
            Node::Union(nodes) => {
                for node in nodes {
                    self.find(node, from, out)?;
                }
            }
            Node::Descendants(left, right) => {
                for place in self.all(left, from)? {
                    self.descend(right, &place, 0, out)?;
                }
            }
            Node::Operation(operation) => self.operate(operation, from, out)?,
            Node::Filter(tests) => self.filter(tests, from, out)?,
            Node::Length => out.extend(length(&from.value).map(|count| made(Json::from(count)))),
            Node::Sorted(keys) => self.sort(keys, from, out)?,
            Node::Substitute(how) => {
                let (regex, replacement) = how.as_ref();
                let old = from.value.as_str();
                let new = old.map(|text| replacement.replace_all(regex, text));
                if new.as_deref() != old {
                    out.extend(new.map(|text| made(Json::String(text))));
                }
            }
            Node::Split(how) => out.extend(segment(*how, &from.value).map(|text| made(Json::from(text)))),
        }
        Ok(())
    }

    fn each_child<'a>(
        &mut self,
        from: &Found<'a>,
        wanted: fn(&Json) -> bool,
        out: &mut Vec<Found<'a>>,
    ) -> Outcome {
        if !wanted(&from.value) {
            return Ok(());
        }
        for value in children(&from.value) {
            self.visit()?;
            out.push(Rc::new(Place { value, parent: Some(Rc::clone(from)) }));
        }
        Ok(())
    }

    fn slice<'a>(&mut self, slice: Slice, from: &Found<'a>, out: &mut Vec<Found<'a>>) -> Outcome {
        let Json::Array(items) = from.value.as_ref() else {
            // What is no list counts as a list of one.
            if positions(slice, 1).first() == Some(&0) {
                out.push(Rc::clone(from));
            }
            return Ok(());
        };
        for at in positions(slice, items.len()) {
            self.visit()?;
            out.extend(member(from, |value| value.as_array()?.get(at)));
        }
        Ok(())
    }

    fn descend<'a>(
        &mut self,
        node: &Node,
        from: &Found<'a>,
        depth: u32,
        out: &mut Vec<Found<'a>>,
    ) -> Outcome {
        if depth > MAX_DEPTH {
            return Err(Exhausted);
        }
        self.find(node, from, out)?;
        let mut below = Vec::new();
        self.each_child(from, |_| true, &mut below)?;
        for place in &below {
            self.descend(node, place, depth + 1, out)?;
        }
        Ok(())
    }

    fn operate<'a>(&mut self, operation: &Operation, from: &Found<'a>, out: &mut Vec<Found<'a>>) -> Outcome {
        let mut side = |operand: &Operand| match operand {
            Operand::Path(node) => self.all(node, from).map(Some),
            Operand::Literal(_) => Ok(None),
        };
        let (left, right) = (side(&operation.left)?, side(&operation.right)?);
        if let (Some(left), Some(right)) = (&left, &right)
            && left.len() != right.len()
        {
            return Ok(());
        }
        let count = left.as_ref().or(right.as_ref()).map_or(1, Vec::len);
        let results: Option<Vec<Json>> = (0..count)
            .map(|at| {
                let left = operand(&operation.left, left.as_deref(), at)?;
                let right = operand(&operation.right, right.as_deref(), at)?;
                calculate(operation.operator, left, right)
            })
            .collect();
        // One pair that does not go together spoils all.
        out.extend(results.into_iter().flatten().map(made));
        Ok(())
    }

    fn filter<'a>(&mut self, tests: &[Test], from: &Found<'a>, out: &mut Vec<Found<'a>>) -> Outcome {
        let mut elements = Vec::new();
        self.each_child(from, Json::is_array, &mut elements)?;
        'elements: for element in elements {
            // To its tests an element is a document of its own.
            let alone = Rc::new(Place { value: element.value.clone(), parent: None });
            for test in tests {
                let found = self.all(&test.path, &alone)?;
                if !found.iter().any(|place| test.accepts(&place.value)) {
                    continue 'elements;
                }
            }
            out.push(element);
        }
        Ok(())
    }

    fn sort<'a>(&mut self, keys: &[SortKey], from: &Found<'a>, out: &mut Vec<Found<'a>>) -> Outcome {
        let mut rows = Vec::new();
        match from.value.as_ref() {
            Json::Array(values) => {
                for value in values {
                    let alone = Rc::new(Place { value: Cow::Borrowed(value), parent: None });
                    let row: Result<Vec<_>, _> =
                        keys.iter().map(|key| self.all(&key.path, &alone).map(only)).collect();
                    rows.push((value, row?));
                }
            }
            Json::Object(members) if keys.is_empty() => {
                let mut names: Vec<&String> = members.keys().collect();
                names.sort();
                out.push(made(names.into_iter().cloned().collect()));
                return Ok(());
            }
            _ => {
                out.push(Rc::clone(from));
                return Ok(());
            }
        }
        let sorted = merge_sort(rows, &|(left, left_row), (right, right_row)| {
            if keys.is_empty() {
                return filter::order(left, right);
            }
            for ((key, left), right) in keys.iter().zip(left_row).zip(right_row) {
                let (Some(left), Some(right)) = (left, right) else { continue };
                if left.value == right.value {
                    continue;
                }
                let order = filter::order(&left.value, &right.value)?;
                if order != Ordering::Equal {
                    return Some(if key.descending { order.reverse() } else { order });
                }
            }
            Some(Ordering::Equal)
        });
        out.extend(sorted.map(|rows| made(rows.into_iter().map(|(value, _)| value.clone()).collect())));
        Ok(())
    }
}

/// A value that no document holds.
fn made<'a>(value: Json) -> Found<'a> {
    Rc::new(Place { value: Cow::Owned(value), parent: None })
}

fn root<'a>(from: &Found<'a>) -> Found<'a> {
    let mut place = from;
    while let Some(parent) = &place.parent {
        place = parent;
    }
    Rc::clone(place)
}

fn only<'a>(mut found: Vec<Found<'a>>) -> Option<Found<'a>> {
    if found.len() == 1 { found.pop() } else { None }
}

/// A part of a place's value, as a place below it.
fn member<'a>(from: &Found<'a>, part: impl for<'x> Fn(&'x Json) -> Option<&'x Json>) -> Option<Found<'a>> {
    let value = match &from.value {
        Cow::Borrowed(value) => Cow::Borrowed(part(value)?),
        Cow::Owned(value) => Cow::Owned(part(value)?.clone()),
    };
    Some(Rc::new(Place { value, parent: Some(Rc::clone(from)) }))
}

/// Elements of a list or values of an object.
fn children<'a>(value: &Cow<'a, Json>) -> Vec<Cow<'a, Json>> {
    match value {
        Cow::Borrowed(Json::Array(values)) => values.iter().map(Cow::Borrowed).collect(),
        Cow::Borrowed(Json::Object(members)) => members.values().map(Cow::Borrowed).collect(),
        Cow::Owned(Json::Array(values)) => values.iter().cloned().map(Cow::Owned).collect(),
        Cow::Owned(Json::Object(members)) => members.values().cloned().map(Cow::Owned).collect(),
        _ => Vec::new(),
    }
}

/// An element of a list, or a character of a text.
fn item<'a>(from: &Found<'a>, index: i64) -> Option<Found<'a>> {
    let at = |length: usize| match usize::try_from(index) {
        Ok(at) => Some(at),
        Err(_) => length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?),
    };
    match from.value.as_ref() {
        Json::Array(values) => {
            let at = at(values.len())?;
            member(from, |value| value.as_array()?.get(at))
        }
        Json::String(text) => {
            let character = text.chars().nth(at(text.chars().count())?)?;
            Some(made(Json::String(character.to_string())))
        }
        _ => None,
    }
}

/// The positions that a slice picks from a list of `length`.
fn positions(slice: Slice, length: usize) -> Vec<usize> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let step = slice.step.unwrap_or(1);
    let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let clamp = |position: i64| {
        let position = if position < 0 { position.saturating_add(length) } else { position };
        position.clamp(low, high)
    };
    let (first, last) = if step > 0 { (low, high) } else { (high, low) };
    let mut at = slice.start.map_or(first, clamp);
    let end = slice.end.map_or(last, clamp);
    let mut out = Vec::new();
    while if step > 0 { at < end } else { at > end } {
        out.extend(usize::try_from(at));
        at = at.saturating_add(step);
    }
    out
}

fn length(value: &Json) -> Option<usize> {
    match value {
        Json::Array(values) => Some(values.len()),
        Json::Object(members) => Some(members.len()),
        Json::String(text) => Some(text.chars().count()),
        _ => None,
    }
}

fn segment(how: Split, value: &Json) -> Option<&str> {
    let text = value.as_str()?;
    match how.most.and_then(|most| most.checked_add(1)) {
        Some(parts) => text.splitn(parts, how.separator).nth(how.segment),
        None => text.split(how.separator).nth(how.segment),
    }
}

fn operand<'v>(operand: &'v Operand, found: Option<&'v [Found<'_>]>, at: usize) -> Option<&'v Json> {
    match operand {
        Operand::Literal(value) => Some(value),
        Operand::Path(_) => found?.get(at).map(|place| place.value.as_ref()),
    }
}

/// Numbers with numbers; texts can be joined.
fn calculate(operator: Operator, left: &Json, right: &Json) -> Option<Json> {
    if let (Json::String(left), Json::String(right), Operator::Add) = (left, right, operator) {
        return Some(Json::String(format!("{left}{right}")));
    }
    let whole = |value: &Json| value.as_i64().or_else(|| value.as_bool().map(i64::from));
    if let (Some(left), Some(right)) = (whole(left), whole(right)) {
        let exact = match operator {
            Operator::Add => left.checked_add(right),
            Operator::Subtract => left.checked_sub(right),
            Operator::Multiply => left.checked_mul(right),
        };
        if let Some(exact) = exact {
            return Some(Json::from(exact));
        }
    }
    let (left, right) = (filter::number(left)?, filter::number(right)?);
    let result = match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
    };
    serde_json::Number::from_f64(result).map(Json::Number)
}

/// A stable sort by an order that need not be total: the standard library's may panic on such. `None` if two elements
/// cannot be compared.
fn merge_sort<T>(mut items: Vec<T>, order: &impl Fn(&T, &T) -> Option<Ordering>) -> Option<Vec<T>> {
    if items.len() < 2 {
        return Some(items);
    }
    let right = items.split_off(items.len() / 2);
    let mut sorted = Vec::with_capacity(items.len() + right.len());
    let mut left = merge_sort(items, order)?.into_iter().peekable();
    let mut right = merge_sort(right, order)?.into_iter().peekable();
    while let (Some(first), Some(second)) = (left.peek(), right.peek()) {
        let from = if order(first, second)? == Ordering::Greater { &mut right } else { &mut left };
        sorted.extend(from.next());
    }
    sorted.extend(left);
    sorted.extend(right);
    Some(sorted)
}
