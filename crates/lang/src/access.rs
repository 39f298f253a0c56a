//! Rules of access as oslo.policy writes them: `rule:admin_or_creator or project_id:%(project_id)s`.
//!
//! A check is `@` (everybody; so is an empty rule), `!` (nobody), `role:x`, `rule:x`, or a comparison of what the caller
//! is with what the target has: `user_id:%(user_id)s`. Checks are joined by `not`, `and`, `or`, which bind in this order,
//! and parentheses. Nothing equals nothing is never true: a caller without a project is not of the project of a target
//! without one.

mod parse;
mod table;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

pub use table::Rule;

use crate::SyntaxError;

/// Who calls, as far as rules ask.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asker<'a> {
    /// `user`: Gnocchi's creator string.
    pub creator: Option<&'a str>,
    /// `user_id`.
    pub user_id: Option<&'a str>,
    /// `project_id`.
    pub project_id: Option<&'a str>,
    /// `roles`; letter case does not matter.
    pub roles: &'a [String],
}

/// What an action is on, as far as rules ask.
#[derive(Clone, Copy, Debug, Default)]
pub struct Target<'a> {
    /// Creator string.
    pub creator: Option<&'a str>,
    /// Project it belongs to: of the resource, of the metric's resource, of the alarm.
    pub project_id: Option<&'a str>,
    /// User it belongs to.
    pub user_id: Option<&'a str>,
}

/// An attribute of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    Creator,
    UserId,
    ProjectId,
    Roles,
}

impl Own {
    const ALL: [(&'static str, Self); 6] = [
        ("user", Self::Creator),
        ("user_id", Self::UserId),
        ("project_id", Self::ProjectId),
        ("tenant", Self::ProjectId),
        ("tenant_id", Self::ProjectId),
        ("roles", Self::Roles),
    ];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, own)| *own)
    }
}

/// An attribute of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Theirs {
    Creator,
    CreatedByUser,
    CreatedByProject,
    ProjectId,
    UserId,
}

impl Theirs {
    const ALL: [(&'static str, Self); 5] = [
        ("creator", Self::Creator),
        ("created_by_user_id", Self::CreatedByUser),
        ("created_by_project_id", Self::CreatedByProject),
        ("project_id", Self::ProjectId),
        ("user_id", Self::UserId),
    ];

    /// `resource.x` and `target.x` are `x`: rules ask of one target only.
    fn named(name: &str) -> Option<Self> {
        let name = name.strip_prefix("target.").unwrap_or(name);
        let name = name.strip_prefix("resource.").unwrap_or(name);
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, theirs)| *theirs)
    }

    fn of<'a>(self, target: &Target<'a>) -> Option<&'a str> {
        let value = match self {
            Self::Creator => target.creator,
            Self::CreatedByUser => target.creator.map(|creator| created_by(creator).0),
            Self::CreatedByProject => target.creator.map(|creator| created_by(creator).1),
            Self::ProjectId => target.project_id,
            Self::UserId => target.user_id,
        };
        value.filter(|value| !value.is_empty())
    }
}

/// User and project of a creator string: what is before and after its first colon.
pub fn created_by(creator: &str) -> (&str, &str) {
    creator.split_once(':').unwrap_or((creator, ""))
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Theirs(Theirs),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Literal(String);

/// A parsed rule, whose references to others are names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Check {
    Always,
    Never,
    All(Vec<Check>),
    Any(Vec<Check>),
    Not(Box<Check>),
    Rule(String),
    /// A reference, resolved.
    Other(usize),
    Role(Vec<Piece>),
    Same(Own, Vec<Piece>),
    Literal(Literal, Vec<Piece>),
}

/// A rule as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleText {
    check: Check,
    text: String,
}

impl RuleText {
    /// Reads a rule.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        Ok(Self { check: parse::check(text)?, text: text.to_owned() })
    }

    /// Alternatives of checks that must hold together: the older form of rules as lists.
    pub fn any_of(alternatives: &[Vec<Self>]) -> Self {
        if alternatives.is_empty() {
            return Self { check: Check::Always, text: String::new() };
        }
        let text = |parts: &Vec<Self>| match parts.as_slice() {
            [] => "@".to_owned(),
            [only] => only.text.clone(),
            several => {
                let parts = several.iter().map(|part| format!("({})", part.text)).collect::<Vec<_>>();
                format!("({})", parts.join(" and "))
            }
        };
        Self {
            check: Check::Any(
                alternatives
                    .iter()
                    .map(|parts| Check::All(parts.iter().map(|part| part.check.clone()).collect()))
                    .collect(),
            ),
            text: alternatives.iter().map(text).collect::<Vec<_>>().join(" or "),
        }
    }
}

/// Why rules make no whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RulesError {
    /// The rule it is about.
    pub rule: String,
    /// What is wrong, in lower case without a full stop.
    pub message: String,
}

/// Every rule there is, those of an operator in the place of the shipped ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// By the number of [`Rule`], then rules of the operator's own that others refer to.
    checks: Vec<Check>,
    texts: Vec<(String, String)>,
    changed: Vec<bool>,
}

/// What is shown of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleInForce<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it says.
    pub text: &'a str,
    /// What it is about; nothing for a rule of the operator's own.
    pub about: &'static str,
    /// Whether an operator wrote it.
    pub changed: bool,
}

static SHIPPED: LazyLock<Arc<Rules>> = LazyLock::new(|| {
    // The table is parsed by a test as well; without a rule nobody is let in.
    let none = || Rules {
        checks: vec![Check::Never; Rule::ALL.len()],
        texts: Rule::ALL.iter().map(|rule| (rule.name().to_owned(), "!".to_owned())).collect(),
        changed: vec![false; Rule::ALL.len()],
    };
    Arc::new(Rules::new(BTreeMap::new()).unwrap_or_else(|_| none()))
});

impl Rules {
    /// The shipped rules.
    pub fn shipped() -> Arc<Self> {
        Arc::clone(&SHIPPED)
    }

    /// The shipped rules with others in their places. A rule that has no place among them must be referred to by
    /// another. All faults there are.
    pub fn new(own: BTreeMap<String, RuleText>) -> Result<Self, Vec<RulesError>> {
        let mut faults = Vec::new();
        let mut own = own;
        let (mut checks, mut texts, mut changed) = (Vec::new(), Vec::new(), Vec::new());
        for rule in Rule::ALL {
            let given = own.remove(rule.name());
            changed.push(given.is_some());
            let text = match given.map_or_else(|| RuleText::parse(rule.shipped()), Ok) {
                Ok(text) => text,
                Err(error) => {
                    faults.push(RulesError { rule: rule.name().to_owned(), message: error.to_string() });
                    continue;
                }
            };
            checks.push(text.check);
            texts.push((rule.name().to_owned(), text.text));
        }
        for (name, text) in own {
            checks.push(text.check);
            texts.push((name, text.text));
            changed.push(true);
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let places: BTreeMap<String, usize> =
            texts.iter().enumerate().map(|(place, (name, _))| (name.clone(), place)).collect();
        let mut used = vec![false; checks.len()];
        let mut references = vec![Vec::new(); checks.len()];
        for (place, check) in checks.iter_mut().enumerate() {
            let unknown = resolve(check, &places, &mut references[place]);
            faults.extend(unknown.into_iter().map(|name| RulesError {
                rule: texts[place].0.clone(),
                message: format!("it refers to the rule {name:?}, which does not exist"),
            }));
            references[place].iter().for_each(|other| used[*other] = true);
        }
        for place in Rule::ALL.len()..checks.len() {
            if !used[place] {
                let message = "no action has this name, and no other rule refers to it".to_owned();
                faults.push(RulesError { rule: texts[place].0.clone(), message });
            }
        }
        for place in circular(&references) {
            let message = "it refers to itself, directly or through others".to_owned();
            faults.push(RulesError { rule: texts[place].0.clone(), message });
        }
        if faults.is_empty() { Ok(Self { checks, texts, changed }) } else { Err(faults) }
    }

    /// Whether `rule` lets `asker` act on `target`.
    pub fn allow(&self, rule: Rule, asker: &Asker<'_>, target: &Target<'_>) -> bool {
        self.holds(rule as usize, asker, target)
    }

    /// Every rule, in the order of the table, the operator's own at the end.
    pub fn iter(&self) -> impl Iterator<Item = RuleInForce<'_>> {
        self.texts.iter().zip(&self.changed).enumerate().map(|(place, ((name, text), changed))| RuleInForce {
            name,
            text,
            about: Rule::ALL.get(place).map_or("", |rule| rule.about()),
            changed: *changed,
        })
    }

    fn holds(&self, place: usize, asker: &Asker<'_>, target: &Target<'_>) -> bool {
        self.checks.get(place).is_some_and(|check| self.check(check, asker, target))
    }

    fn check(&self, check: &Check, asker: &Asker<'_>, target: &Target<'_>) -> bool {
        match check {
            Check::Always => true,
            Check::Never | Check::Rule(_) => false,
            Check::All(parts) => parts.iter().all(|part| self.check(part, asker, target)),
            Check::Any(parts) => parts.iter().any(|part| self.check(part, asker, target)),
            Check::Not(part) => !self.check(part, asker, target),
            Check::Other(place) => self.holds(*place, asker, target),
            Check::Role(pieces) => is_role(pieces, asker, target),
            Check::Same(Own::Roles, pieces) => is_role(pieces, asker, target),
            Check::Same(own, pieces) => {
                let value = match own {
                    Own::Creator => asker.creator,
                    Own::UserId => asker.user_id,
                    Own::ProjectId | Own::Roles => asker.project_id,
                };
                let value = value.filter(|value| !value.is_empty());
                value.is_some_and(|value| filled(pieces, target).is_some_and(|text| text == value))
            }
            Check::Literal(Literal(value), pieces) => {
                filled(pieces, target).is_some_and(|text| text == *value)
            }
        }
    }
}

fn is_role(pieces: &[Piece], asker: &Asker<'_>, target: &Target<'_>) -> bool {
    filled(pieces, target).is_some_and(|role| asker.roles.iter().any(|own| own.eq_ignore_ascii_case(&role)))
}

/// The text with the target's attributes in it; nothing if it lacks one.
fn filled<'a>(pieces: &'a [Piece], target: &Target<'a>) -> Option<Cow<'a, str>> {
    let value = |piece: &'a Piece| match piece {
        Piece::Text(text) => Some(text.as_str()),
        Piece::Theirs(theirs) => theirs.of(target),
    };
    match pieces {
        [only] => value(only).map(Cow::Borrowed),
        several => several.iter().map(value).collect::<Option<String>>().map(Cow::Owned),
    }
}

/// Puts places for names; those that there are not.
fn resolve(check: &mut Check, places: &BTreeMap<String, usize>, found: &mut Vec<usize>) -> Vec<String> {
    match check {
        Check::Rule(name) => match places.get(name.as_str()) {
            Some(place) => {
                found.push(*place);
                *check = Check::Other(*place);
                Vec::new()
            }
            None => vec![name.clone()],
        },
        Check::All(parts) | Check::Any(parts) => {
            parts.iter_mut().flat_map(|part| resolve(part, places, found)).collect()
        }
        Check::Not(part) => resolve(part, places, found),
        _ => Vec::new(),
    }
}

/// What can never be resolved because it leads back to itself, or to what does.
fn circular(references: &[Vec<usize>]) -> Vec<usize> {
    let mut done = vec![false; references.len()];
    loop {
        let next: Vec<usize> = (0..references.len())
            .filter(|place| !done[*place] && references[*place].iter().all(|other| done[*other]))
            .collect();
        if next.is_empty() {
            break;
        }
        next.into_iter().for_each(|place| done[place] = true);
    }
    let leads_back = |start: usize| {
        let (mut seen, mut open) = (vec![false; references.len()], references[start].clone());
        while let Some(place) = open.pop() {
            if place == start {
                return true;
            }
            if !std::mem::replace(&mut seen[place], true) {
                open.extend(&references[place]);
            }
        }
        false
    };
    (0..references.len()).filter(|place| !done[*place] && leads_back(*place)).collect()
}

#[cfg(test)]
mod tests;
