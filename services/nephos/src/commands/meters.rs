//! `nephos meters`: what this version polls.

use std::collections::BTreeSet;
use std::process::ExitCode;

use nephos_config::Loaded;
use serde_json::json;

use super::table::table;
use crate::cli::Format;
use crate::setup::say;

/// Lists meters with unit, kind, archive policy and resource type.
pub(super) fn run(loaded: &Loaded, format: Format) -> anyhow::Result<ExitCode> {
    let rows: Vec<[String; 6]> = nephos_polling_agent::catalogue()
        .iter()
        .map(|meter| {
            let policies: BTreeSet<&str> = meter
                .resource_types
                .iter()
                .filter_map(|name| loaded.resources.rule_of_type(name, meter.name))
                .map(|rule| rule.archive_policy)
                .collect();
            [
                meter.name.to_owned(),
                meter.kind.as_str().to_owned(),
                meter.unit.to_owned(),
                meter.resource_types.join(", "),
                policies.into_iter().collect::<Vec<_>>().join(", "),
                meter.description.to_owned(),
            ]
        })
        .collect();
    match format {
        Format::Table => {
            let rows: Vec<Vec<String>> = rows.into_iter().map(Vec::from).collect();
            say(&table(&["METER", "TYPE", "UNIT", "RESOURCE TYPES", "ARCHIVE POLICY", "MEANING"], &rows));
        }
        Format::Json => {
            let meters: Vec<_> = rows
                .iter()
                .map(|[name, kind, unit, resource_types, policy, description]| {
                    json!({
                        "name": name, "type": kind, "unit": unit, "resource_types": resource_types,
                        "archive_policy": policy, "description": description,
                    })
                })
                .collect();
            say(&serde_json::to_string_pretty(&meters)?);
        }
    }
    Ok(ExitCode::SUCCESS)
}
