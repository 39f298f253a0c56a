//! From the tree of a `pipeline.yaml` to [`PipelineFile`].

use std::collections::HashSet;

use super::{PipelineFile, PipelineSink, PipelineSource, publisher, transformer};
use crate::entry;
use crate::ledger::Ledger;
use crate::section::{Section, items, texts};
use crate::source::Origin;
use crate::tree::{Node, Value};

const MISSING_NAME: &str = "Required field name not specified";

/// Every source and sink that is sound; faults go to the ledger.
pub(crate) fn read(ledger: &mut Ledger, root: &Node) -> PipelineFile {
    let mut section = Section::of(ledger, root, "");
    let (sources, sinks) = (section.take("sources"), section.take("sinks"));
    let mut file = PipelineFile { sources: Vec::new(), sinks: Vec::new() };
    if (sources.is_none() || sinks.is_none()) && matches!(root.value, Value::Map(_) | Value::Null) {
        ledger.problem(&root.origin, "", "Both sources & sinks are required");
    }
    let mut declared = HashSet::new();
    for (index, item) in sinks.and_then(|node| items(ledger, node, "sinks")).into_iter().flatten().enumerate()
    {
        file.sinks.extend(sink(ledger, item, &format!("sinks[{index}]"), &mut declared));
    }
    let mut links = Vec::new();
    let mut names = HashSet::new();
    for (index, item) in
        sources.and_then(|node| items(ledger, node, "sources")).into_iter().flatten().enumerate()
    {
        let path = format!("sources[{index}]");
        file.sources.extend(source(ledger, item, &path, &mut names, &mut links));
    }
    dangling(ledger, &declared, &links);
    doubled(ledger, &links);
    section.finish(ledger);
    file
}

/// A source's mention of a sink.
struct Link<'a> {
    source: &'a str,
    sink: &'a str,
    origin: &'a Origin,
    path: String,
}

fn source<'a>(
    ledger: &mut Ledger,
    node: &'a Node,
    path: &str,
    names: &mut HashSet<&'a str>,
    links: &mut Vec<Link<'a>>,
) -> Option<PipelineSource> {
    let mut section = Section::of(ledger, node, path);
    let name = entry::name(ledger, &mut section, node, names, ("source", MISSING_NAME));
    let meters = entry::filter(ledger, &mut section, node);
    let sinks_path = section.path_of("sinks");
    let is_table = matches!(node.value, Value::Map(_));
    let sinks = match section.take("sinks") {
        Some(node) => texts(ledger, node, &sinks_path).map(|sinks| (sinks, node)),
        None => {
            if is_table {
                ledger.problem(&node.origin, sinks_path.as_str(), "Required field sinks not specified");
            }
            None
        }
    };
    section.later(ledger, &["interval", "resources", "discovery"]);
    section.finish(ledger);
    let (sinks, sinks_node) = sinks?;
    let name = name?;
    if sinks.is_empty() {
        ledger.problem(&sinks_node.origin, sinks_path, format!("No sink defined in source {name}"));
        return None;
    }
    for (index, (sink, node)) in sinks.iter().enumerate() {
        links.push(Link { source: name, sink, origin: &node.origin, path: format!("{sinks_path}[{index}]") });
    }
    let sinks = sinks.into_iter().map(|(sink, _)| sink.to_owned()).collect();
    Some(PipelineSource { name: name.to_owned(), meters: meters?, sinks })
}

fn sink<'a>(
    ledger: &mut Ledger,
    node: &'a Node,
    path: &str,
    names: &mut HashSet<&'a str>,
) -> Option<PipelineSink> {
    let mut section = Section::of(ledger, node, path);
    let name = entry::name(ledger, &mut section, node, names, ("sink", MISSING_NAME));
    let mut transformers = Vec::new();
    let transformers_path = section.path_of("transformers");
    if let Some(list) = section.take("transformers") {
        for (index, item) in items(ledger, list, &transformers_path).into_iter().flatten().enumerate() {
            transformers.extend(transformer::read(ledger, item, &format!("{transformers_path}[{index}]")));
        }
    }
    let publishers_path = section.path_of("publishers");
    let list = section.take("publishers");
    section.finish(ledger);
    let Some(list) = list else {
        if matches!(node.value, Value::Map(_)) {
            ledger.problem(&node.origin, publishers_path, "No publisher specified");
        }
        return None;
    };
    let urls = texts(ledger, list, &publishers_path)?;
    if matches!(&list.value, Value::List(items) if items.is_empty()) {
        ledger.problem(&list.origin, publishers_path.as_str(), "No publisher specified");
    }
    let mut publishers = Vec::new();
    for (index, (url, node)) in urls.into_iter().enumerate() {
        match publisher::parse(url) {
            Ok(publisher) => publishers.push(publisher),
            Err(message) => ledger.problem(&node.origin, format!("{publishers_path}[{index}]"), message),
        }
    }
    Some(PipelineSink { name: name?.to_owned(), transformers, publishers })
}

fn dangling(ledger: &mut Ledger, declared: &HashSet<&str>, links: &[Link<'_>]) {
    for link in links.iter().filter(|link| !declared.contains(link.sink)) {
        let message = format!("Dangling sink {} from source {}", link.sink, link.source);
        ledger.problem(link.origin, link.path.as_str(), message);
    }
}

/// A pipeline is named by its source and sink together; two different pairs may still give one name.
fn doubled(ledger: &mut Ledger, links: &[Link<'_>]) {
    let mut names = HashSet::new();
    for link in links {
        let name = match link.source == link.sink {
            true => link.source.to_owned(),
            false => format!("{}:{}", link.source, link.sink),
        };
        if !names.insert(name.clone()) {
            let message = format!(
                "Duplicate pipeline name: {name}. Ensure pipeline names are unique. (name is the source and sink \
                 names combined)"
            );
            ledger.problem(link.origin, link.path.as_str(), message);
        }
    }
}
