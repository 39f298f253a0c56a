//! `nephos policy …`: the rules that say who may do what.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use nephos_config::Loaded;
use nephos_identity::{Caller, Rule, Target, allows};
use serde_json::{Value, json};

use super::table::table;
use crate::cli::PolicyCommand;
use crate::setup::say;

/// Runs a command about rules.
pub(super) fn run(loaded: &Loaded, command: PolicyCommand) -> anyhow::Result<ExitCode> {
    match command {
        PolicyCommand::List { output } => {
            list(loaded, output.json)?;
            Ok(ExitCode::SUCCESS)
        }
        PolicyCommand::Check { rule, roles, user, project, target_creator, target_project, output } => {
            let creator = match (&user, &project) {
                (Some(user), Some(project)) => Some(format!("{user}:{project}")),
                _ => user.clone(),
            };
            let rules = Arc::clone(&loaded.rules);
            let caller = Caller { user_id: user, project_id: project, roles, creator, rules };
            let target = Target {
                creator: target_creator.as_deref(),
                project_id: target_project.as_deref(),
                user_id: None,
            };
            check(&caller, &target, rule.as_deref(), output.json)
        }
    }
}

fn list(loaded: &Loaded, as_json: bool) -> anyhow::Result<()> {
    let rules = loaded.rules.iter();
    if as_json {
        let rules = rules.map(|rule| {
            json!({"name": rule.name, "check": rule.text, "about": rule.about, "changed": rule.changed})
        });
        say(&serde_json::to_string_pretty(&rules.collect::<Vec<_>>())?);
        return Ok(());
    }
    let rows = rules.map(|rule| {
        let from = if rule.changed { "policy file" } else { "shipped" };
        let text = if rule.text.is_empty() { "@" } else { rule.text };
        vec![rule.name.to_owned(), from.to_owned(), text.to_owned()]
    });
    say(&table(&["RULE", "FROM", "CHECK"], &rows.collect::<Vec<_>>()));
    Ok(())
}

fn check(
    caller: &Caller,
    target: &Target<'_>,
    only: Option<&str>,
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    let asked: Vec<Rule> = match only {
        None => Rule::ALL.to_vec(),
        Some(name) => match Rule::named(name) {
            Some(rule) => vec![rule],
            None => bail!("no rule is called {name:?}; `nephos policy list` shows all"),
        },
    };
    let found: Vec<(Rule, bool)> =
        asked.into_iter().map(|rule| (rule, allows(rule, caller, target))).collect();
    if as_json {
        let list: Vec<Value> =
            found.iter().map(|(rule, allowed)| json!({"name": rule.name(), "allowed": allowed})).collect();
        say(&serde_json::to_string_pretty(&list)?);
    } else {
        let row = |(rule, allowed): &(Rule, bool)| {
            let word = if *allowed { "allowed" } else { "refused" };
            vec![rule.name().to_owned(), word.to_owned(), rule.about().to_owned()]
        };
        say(&table(&["RULE", "ANSWER", "ABOUT"], &found.iter().map(row).collect::<Vec<_>>()));
    }
    let refused = only.is_some() && found.iter().any(|(_, allowed)| !allowed);
    Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
