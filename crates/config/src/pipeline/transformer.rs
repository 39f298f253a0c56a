//! One entry of a sink's `transformers`.

use nephos_lang::Replacement;
use nephos_lang::expression::Expression;
use nephos_model::SampleKind;
use regex::Regex;

use super::{ConversionSpec, Late, MapPair, Scale, TargetSpec, TransformerSpec};
use crate::ledger::Ledger;
use crate::names::nearest;
use crate::section::{LATER, Section, text};
use crate::tree::{Node, Value};

const KNOWN: [&str; 2] = ["rate_of_change", "unit_conversion"];
const LATER_ONES: [&str; 4] = ["delta", "accumulator", "aggregator", "arithmetic"];

/// `{name, parameters}`; `None` after a fault.
pub(super) fn read(ledger: &mut Ledger, node: &Node, path: &str) -> Option<TransformerSpec> {
    let mut section = Section::of(ledger, node, path);
    let name_path = section.path_of("name");
    let name_node = section.take("name");
    if name_node.is_none() && matches!(node.value, Value::Map(_)) {
        ledger.problem(&node.origin, name_path.as_str(), "Required field name not specified");
    }
    let name = name_node.and_then(|node| text(ledger, node, &name_path));
    let constructor = match name {
        Some("rate_of_change") => TransformerSpec::RateOfChange,
        Some("unit_conversion") => TransformerSpec::UnitConversion,
        _ => {
            if let (Some(name), Some(node)) = (name, name_node) {
                ledger.problem(&node.origin, name_path, unknown(name));
            }
            section.take("parameters");
            section.finish(ledger);
            return None;
        }
    };
    let mut parameters = section.section(ledger, "parameters");
    let before = ledger.problems.len();
    let spec = conversion(ledger, &mut parameters);
    parameters.finish(ledger);
    section.finish(ledger);
    (ledger.problems.len() == before).then(|| constructor(spec))
}

fn unknown(name: &str) -> String {
    if LATER_ONES.contains(&name) {
        return format!("transformer {name} is {LATER}");
    }
    let hint = match nearest(name, KNOWN) {
        Some(known) => format!(", did you mean {known:?}?"),
        None => format!("; known are {}", KNOWN.join(", ")),
    };
    format!("No transformer named {name} loaded{hint}")
}

fn conversion(ledger: &mut Ledger, parameters: &mut Section<'_>) -> ConversionSpec {
    let mut source = parameters.section(ledger, "source");
    let mut target = parameters.section(ledger, "target");
    let source_unit = string(ledger, &mut source, "unit");
    let mut from = source.section(ledger, "map_from");
    let mut to = target.section(ledger, "map_to");
    let (name, map_to_name) = mapping(ledger, &mut from, &mut to, "name");
    let (unit, map_to_unit) = mapping(ledger, &mut from, &mut to, "unit");
    from.finish(ledger);
    to.finish(ledger);
    source.finish(ledger);
    let spec = ConversionSpec {
        source_unit,
        map_from: MapPair { name, unit },
        target: TargetSpec {
            name: string(ledger, &mut target, "name"),
            unit: string(ledger, &mut target, "unit"),
            kind: kind(ledger, &mut target),
            scale: scale(ledger, &mut target),
            max: max(ledger, &mut target),
            map_to_name,
            map_to_unit,
        },
        late: late(ledger, parameters),
    };
    target.finish(ledger);
    spec
}

fn string(ledger: &mut Ledger, section: &mut Section<'_>, key: &'static str) -> Option<String> {
    let node = section.take(key)?;
    text(ledger, node, &section.path_of(key)).map(str::to_owned)
}

/// The expression of `map_from` and the template of `map_to` for one attribute; alone neither does anything.
fn mapping(
    ledger: &mut Ledger,
    from: &mut Section<'_>,
    to: &mut Section<'_>,
    key: &'static str,
) -> (Option<Regex>, Option<Replacement>) {
    let (from_node, to_node) = (from.take(key), to.take(key));
    let regex = from_node.and_then(|node| {
        let pattern = text(ledger, node, &from.path_of(key))?;
        match regex::RegexBuilder::new(pattern).size_limit(1 << 20).build() {
            Ok(regex) => Some(regex),
            Err(error) => {
                ledger.problem(
                    &node.origin,
                    from.path_of(key),
                    format!("no regular expression: {}", reason(&error)),
                );
                None
            }
        }
    });
    let template = to_node.and_then(|node| Some((text(ledger, node, &to.path_of(key))?, node)));
    let (Some(regex), Some((template, node))) = (regex, template) else { return (None, None) };
    match Replacement::parse(template, &regex) {
        Ok(replacement) => (Some(regex), Some(replacement)),
        Err(error) => {
            ledger.problem(&node.origin, to.path_of(key), error.message);
            (Some(regex), None)
        }
    }
}

/// The last line of the parser's report: the others draw the pattern, which is shown anyway.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

fn kind(ledger: &mut Ledger, target: &mut Section<'_>) -> Option<SampleKind> {
    let node = target.take("type")?;
    let path = target.path_of("type");
    let word = text(ledger, node, &path)?;
    let kind = SampleKind::parse(word);
    if kind.is_none() {
        ledger.problem(
            &node.origin,
            path,
            format!("unknown type {word:?}; known are gauge, delta, cumulative"),
        );
    }
    kind
}

fn scale(ledger: &mut Ledger, target: &mut Section<'_>) -> Scale {
    let Some(node) = target.take("scale") else { return Scale::None };
    match number(&node.value) {
        Some(0.0) => return Scale::None,
        Some(factor) => return Scale::Factor(factor),
        None => {}
    }
    let path = target.path_of("scale");
    match &node.value {
        Value::String(text) if text.is_empty() => Scale::None,
        Value::String(text) => match Expression::parse(text) {
            Ok(expression) => Scale::Expression(expression),
            Err(error) => {
                let message = format!(
                    "no expression: {} at character {}",
                    error.message,
                    character(text, error.offset)
                );
                ledger.problem(&node.origin, path, message);
                Scale::None
            }
        },
        Value::Invalid => Scale::None,
        other => {
            let message = format!("expected a number or an expression, found {}", other.kind());
            ledger.problem(&node.origin, path, message);
            Scale::None
        }
    }
}

/// Place of a byte in a text, in characters from 1.
fn character(text: &str, offset: usize) -> usize {
    text.char_indices().take_while(|(at, _)| *at < offset).count() + 1
}

fn max(ledger: &mut Ledger, target: &mut Section<'_>) -> Option<f64> {
    let node = target.take("max")?;
    match number(&node.value) {
        Some(max) => Some(max).filter(|max| *max != 0.0),
        None => {
            if node.value != Value::Invalid {
                let message = format!("expected a number, found {}", node.value.kind());
                ledger.problem(&node.origin, target.path_of("max"), message);
            }
            None
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) if number.is_finite() => Some(*number),
        _ => None,
    }
}

fn late(ledger: &mut Ledger, parameters: &mut Section<'_>) -> Late {
    let Some(node) = parameters.take("late") else { return Late::default() };
    let path = parameters.path_of("late");
    match text(ledger, node, &path) {
        Some("emit") => Late::Emit,
        Some("drop") => Late::Drop,
        Some(word) => {
            ledger.problem(&node.origin, path, format!("unknown value {word:?}; known are emit, drop"));
            Late::default()
        }
        None => Late::default(),
    }
}
