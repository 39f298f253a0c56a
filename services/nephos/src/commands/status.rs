//! `nephos status`: asks a running Nephos how it is.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::table::table;
use crate::cli::Format;
use crate::setup::say;

/// Prints readiness by dependency and the figures of the store; fails when it is not ready.
pub(super) async fn run(
    url: &str,
    user: &str,
    password: Option<&SecretString>,
    format: Format,
) -> anyhow::Result<ExitCode> {
    let url = url.trim_end_matches('/');
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
    let answer =
        client.get(format!("{url}/readyz")).send().await.with_context(|| format!("no answer from {url}"))?;
    let ready = answer.status().is_success();
    let readiness: Value = serde_json::from_str(&answer.text().await?).context("/readyz gave no JSON")?;
    let status = client
        .get(format!("{url}/v1/status"))
        .basic_auth(user, Some(password.map_or("", |password| password.expose_secret())))
        .header("accept", "application/json")
        .send()
        .await?;
    let figures: Value = if status.status().is_success() {
        serde_json::from_str(&status.text().await?).context("/v1/status gave no JSON")?
    } else {
        Value::Null
    };
    match format {
        Format::Json => {
            say(&serde_json::to_string_pretty(&json!({"readiness": readiness, "status": figures}))?)
        }
        Format::Table => {
            let mut rows: Vec<Vec<String>> = Vec::new();
            if let Some(checks) = readiness["checks"].as_object() {
                rows.extend(
                    checks.iter().map(|(name, state)| {
                        vec![name.clone(), state.as_str().unwrap_or_default().to_owned()]
                    }),
                );
            }
            flatten("", &figures, &mut rows);
            say(&table(&["WHAT", "STATE"], &rows));
        }
    }
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Nested figures as rows with dotted names.
fn flatten(prefix: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&name, value, rows);
            }
        }
        Value::Null => {}
        other => rows.push(vec![prefix.to_owned(), other.to_string()]),
    }
}
