//! Finding the series that references mean.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use nephos_identity::Caller;
use nephos_identity::policy::metrics as rules;
use nephos_lang::glob;
use nephos_lang::operations::Reference;
use nephos_model::{MetricId, Resource, ResourceId};
use nephos_timeseries::ArchivePolicy;
use nephos_wire::gnocchi::parse_uuid;
use serde_json::{Value, json};

use super::plan::Source;
use crate::service::{Problem, measures};
use crate::state::ApiState;

/// The series of metrics that are named by their ids, which the caller must be allowed to read.
pub async fn by_id(
    state: &ApiState,
    caller: &Caller,
    references: &[&Reference],
) -> Result<Vec<Source>, Problem> {
    let ids = references.iter().map(|reference| parse_uuid(&reference.name).map(MetricId));
    let Some(ids) = ids.collect::<Option<Vec<_>>>() else {
        let detail = references.iter().map(|reference| json!([reference.name, reference.method])).collect();
        return Err(Problem::Detailed {
            missing: false,
            cause: "Invalid metric references",
            reason: Some("badly formed hexadecimal UUID string".to_owned()),
            detail: Value::Array(detail),
        });
    };
    let known = state.index.known_metrics(&ids).await?;
    let absent = ids.iter().zip(&known.metrics).filter(|(_, kind)| kind.is_none());
    let mut unknown: Vec<String> = absent.map(|(id, _)| id.to_string()).collect();
    if !unknown.is_empty() {
        unknown.sort_unstable();
        unknown.dedup();
        return Err(Problem::Detailed {
            missing: true,
            cause: "Unknown metrics",
            reason: Some("Provided metrics don't exists".to_owned()),
            detail: json!(unknown),
        });
    }
    known.kinds.iter().try_for_each(|kind| measures::demand_on(rules::GET_METRIC, caller, kind))?;
    let mut sources = Sources::default();
    for (((number, reference), id), kind) in (0..).zip(references).zip(&ids).zip(known.each()) {
        if let Some(kind) = kind {
            sources.add(*id, &kind.policy, None, (number, reference));
        }
    }
    Ok(sources.list)
}

/// The policies of the live metrics of resources whose names are wanted.
pub async fn policies_of(
    state: &ApiState,
    found: &[Resource],
    wanted: impl Fn(&str) -> bool,
) -> Result<HashMap<MetricId, Arc<ArchivePolicy>>, Problem> {
    let named = found.iter().flat_map(|resource| &resource.metrics);
    let mut ids: Vec<MetricId> = named.filter(|(name, _)| wanted(name)).map(|(_, id)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    let subjects = measures::subjects(state, &ids).await?;
    Ok(subjects.into_iter().flatten().map(|subject| (subject.id, subject.kind.policy)).collect())
}

/// Whether any reference means a metric of this name.
pub fn means(references: &[&Reference], name: &str) -> bool {
    references.iter().any(|reference| glob::matches(&reference.name, name))
}

/// The series of resources that references mean by name or glob: by resource, then by reference.
pub fn by_name(
    found: &[&Resource],
    references: &[&Reference],
    policies: &HashMap<MetricId, Arc<ArchivePolicy>>,
) -> Vec<Source> {
    let mut sources = Sources::default();
    for resource in found {
        for (number, reference) in (0..).zip(references) {
            let matching = resource.metrics.iter().filter(|(name, _)| glob::matches(&reference.name, name));
            for (name, id) in matching {
                // A metric that went a moment ago has no policy any more.
                if let Some(policy) = policies.get(id) {
                    sources.add(*id, policy, Some((resource.id, name)), (number, reference));
                }
            }
        }
    }
    sources.list
}

/// `Metric ['a', 'b'] does not exist`: no reference means anything.
pub fn nothing_matches(references: &[&Reference]) -> Problem {
    let names: std::collections::BTreeSet<&str> =
        references.iter().map(|reference| reference.name.as_str()).collect();
    let quoted: Vec<String> = names.into_iter().map(python_text).collect();
    Problem::missing("Metric", format_args!("[{}]", quoted.join(", ")))
}

/// A text as Python shows it in a list.
fn python_text(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut shown = String::from(quote);
    for letter in text.chars() {
        if letter == quote || letter == '\\' {
            shown.push('\\');
        }
        shown.push(letter);
    }
    shown.push(quote);
    shown
}

/// Series, each once however many references mean it.
#[derive(Debug, Default)]
struct Sources<'r> {
    list: Vec<Source>,
    places: HashMap<(MetricId, &'r str), usize, RandomState>,
}

impl<'r> Sources<'r> {
    fn add(
        &mut self,
        metric: MetricId,
        policy: &Arc<ArchivePolicy>,
        found: Option<(ResourceId, &str)>,
        (number, reference): (u32, &'r Reference),
    ) {
        let place = *self.places.entry((metric, &reference.method)).or_insert(self.list.len());
        match self.list.get_mut(place) {
            Some(source) => source.references.push(number),
            None => self.list.push(Source {
                metric,
                policy: Arc::clone(policy),
                found: found.map(|(id, name)| (id, name.to_owned())),
                method: reference.method.clone(),
                references: vec![number],
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_as_python_shows_them() {
        for (text, shown) in
            [("cpu", "'cpu'"), ("it's", "\"it's\""), ("a\\b", "'a\\\\b'"), ("'\"", "'\\'\"'")]
        {
            assert_eq!(python_text(text), shown);
        }
    }
}
