//! Reads everything a process is configured by and reports every fault of it at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nephos_lang::access::Rules;
use nephos_timeseries::AggregationMethod;

use crate::env::Env;
use crate::ledger::{Effective, Ledger};
use crate::pipeline::{self, PipelineFile};
use crate::polling::{self, PollingFile};
use crate::problem::ConfigError;
use crate::resources::{self, ResourcesFile};
use crate::settings::{self, Mode, Settings};
use crate::source::{Origin, Sources};
use crate::tree::Node;
use crate::{access, merge, shipped, toml, yaml};

/// What configuration is made of.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The shape of the process.
    pub mode: Mode,
    /// `nephos.toml`, if there is one.
    pub config: Option<&'a Path>,
    /// Settings from the command line: dotted key and value, the strongest layer.
    pub flags: &'a [(String, String)],
    /// The process's surroundings.
    pub env: &'a dyn Env,
}

/// A configuration without faults.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// `polling.yaml`.
    pub polling: PollingFile,
    /// `pipeline.yaml`.
    pub pipeline: PipelineFile,
    /// `gnocchi_resources.yaml`.
    pub resources: ResourcesFile,
    /// The rules of access: those of the policy file in the place of the shipped ones.
    pub rules: Arc<Rules>,
    effective: Vec<Effective>,
    sources: Sources,
}

/// Reads the settings and every file they refer to. On failure the error holds every fault of every file.
pub fn load(inputs: &Inputs<'_>) -> Result<Loaded, ConfigError> {
    let mut ledger = Ledger::default();
    let file = inputs.config.and_then(|path| {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let flag = Origin::Flag("--config".into());
        let (file, text) = ledger.open(&path, &flag, "")?;
        toml::parse(&mut ledger, file, &text)
    });
    // What a broken file would have said is unknown: missing settings are no further fault then.
    let broken = inputs.config.is_some() && file.is_none();
    let tree = merge::layers(&mut ledger, file, inputs.env, inputs.flags);
    let settings = settings::read(&mut ledger, tree, inputs.mode, inputs.env);
    if broken {
        ledger.problems.retain(|problem| problem.origin != Origin::Default);
    }
    let methods = &settings.archive_policy.default_aggregation_methods;
    let polling = polling_file(&mut ledger, &settings);
    let pipeline = pipeline_file(&mut ledger, &settings);
    let resources = resources_file(&mut ledger, &settings, methods);
    let rules = rules(&mut ledger, &settings);
    let Ledger { sources, problems, effective } = ledger;
    if !problems.is_empty() {
        return Err(ConfigError::new(problems, sources));
    }
    Ok(Loaded { settings, polling, pipeline, resources, rules, effective, sources })
}

fn polling_file(ledger: &mut Ledger, settings: &Settings) -> PollingFile {
    let text = match settings.mode {
        Mode::Embedded => shipped::POLLING_EMBEDDED,
        Mode::Distributed(_) => shipped::POLLING,
    };
    let root = tree(ledger, "polling.config", settings.polling.config.as_ref(), ("polling.yaml", text));
    root.map_or(PollingFile { sources: Vec::new() }, |root| polling::read(ledger, &root))
}

fn pipeline_file(ledger: &mut Ledger, settings: &Settings) -> PipelineFile {
    let file = settings.pipeline.config.as_ref();
    let root = tree(ledger, "pipeline.config", file, ("pipeline.yaml", shipped::PIPELINE));
    root.map_or(PipelineFile { sources: Vec::new(), sinks: Vec::new() }, |root| pipeline::read(ledger, &root))
}

fn resources_file(ledger: &mut Ledger, settings: &Settings, methods: &[AggregationMethod]) -> ResourcesFile {
    let file = settings.collector.resources.as_ref();
    let root = tree(ledger, "collector.resources", file, ("gnocchi_resources.yaml", shipped::RESOURCES));
    root.map_or_else(
        || ResourcesFile {
            archive_policy_default: String::new(),
            archive_policies: Vec::new(),
            resources: Vec::new(),
        },
        |root| resources::read(ledger, &root, methods),
    )
}

fn rules(ledger: &mut Ledger, settings: &Settings) -> Arc<Rules> {
    let Some(path) = &settings.api.policy_file else { return Rules::shipped() };
    let root = tree(ledger, "api.policy_file", Some(path), ("policy.yaml", ""));
    root.map_or_else(Rules::shipped, |root| access::read(ledger, &root))
}

/// The tree of the file a setting names, or of the shipped one.
fn tree(ledger: &mut Ledger, key: &str, path: Option<&PathBuf>, (name, text): (&str, &str)) -> Option<Node> {
    match path {
        Some(path) => {
            let origin = origin_of(ledger, key);
            let (file, text) = ledger.open(path, &origin, key)?;
            yaml::parse(ledger, file, &text)
        }
        None => {
            let file = ledger.sources.add(format!("built-in {name}"), None, text);
            yaml::parse(ledger, file, text)
        }
    }
}

/// Where the effective value of a key comes from.
fn origin_of(ledger: &Ledger, path: &str) -> Origin {
    ledger
        .effective
        .iter()
        .find(|effective| path == format!("{}.{}", effective.section, effective.key))
        .map_or(Origin::Default, |effective| effective.origin.clone())
}

/// The settings in effect as a `nephos.toml`, behind each value where it comes from. Secrets are asterisks.
pub fn print_effective(loaded: &Loaded) -> String {
    let mut sections: Vec<&str> = Vec::new();
    for effective in &loaded.effective {
        if !sections.contains(&effective.section.as_str()) {
            sections.push(&effective.section);
        }
    }
    let mut out = String::new();
    for section in sections {
        if !section.is_empty() {
            out.push_str(&format!("\n[{section}]\n"));
        }
        for effective in loaded.effective.iter().filter(|effective| effective.section == section) {
            let assignment = format!("{} = {}", effective.key, effective.value);
            let origin = loaded.sources.describe(&effective.origin);
            out.push_str(&format!(
                "{assignment:<48} # {origin}
"
            ));
        }
    }
    out
}
