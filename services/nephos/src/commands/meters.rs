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
    let catalogue = nephos_polling_agent::catalogue();
    let meters = catalogue.iter().map(|meter| {
        let policies: BTreeSet<&str> = meter
            .resource_types
            .iter()
            .filter_map(|name| loaded.resources.rule_of_type(name, meter.name))
            .map(|rule| rule.archive_policy)
            .collect();
        (meter, policies)
    });
    match format {
        Format::Table => {
            let rows: Vec<Vec<String>> = meters
                .map(|(meter, policies)| {
                    vec![
                        meter.name.to_owned(),
                        meter.kind.as_str().to_owned(),
                        meter.unit.to_owned(),
                        policies.into_iter().collect::<Vec<_>>().join(", "),
                        meter.description.to_owned(),
                        meter.resource_types.join(", "),
                    ]
                })
                .collect();
            say(&table(&["METER", "TYPE", "UNIT", "ARCHIVE POLICY", "MEANING", "RESOURCE TYPES"], &rows));
        }
        Format::Json => {
            let meters: Vec<_> = meters
                .map(|(meter, policies)| {
                    json!({
                        "name": meter.name, "type": meter.kind.as_str(), "unit": meter.unit,
                        "archive_policies": policies, "description": meter.description,
                        "resource_types": meter.resource_types,
                    })
                })
                .collect();
            say(&serde_json::to_string_pretty(&meters)?);
        }
    }
    Ok(ExitCode::SUCCESS)
}
