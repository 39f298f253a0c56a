//! `nephos user …`: who may log in. Works on the index, beside a running Nephos, which sees changes within a second.

mod secrets;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use nephos_config::Mode;
use nephos_identity::{password, token};
use nephos_index::{Account, AccountChange, AccountIndex, AccountToken, SqlIndex};
use nephos_model::{Clock, Timestamp};
use nephos_observe::SystemClock;
use nephos_sql::Db;
use nephos_sql::migrations::migrate;
use nephos_wire::gnocchi::timespan;
use nephos_wire::time::naive_utc;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;

pub(super) use secrets::read_password;

use super::table::table;
use crate::cli::{Common, Password, TokenCommand, UserCommand};
use crate::databases::{INDEX_SETS, url_with_tls};
use crate::setup::{configuration, say};

/// Most characters of a name, role, project or label.
const LONGEST: usize = 255;

/// Runs a command about users.
pub(super) async fn run(common: &Common, command: UserCommand) -> anyhow::Result<ExitCode> {
    let Some(loaded) = configuration(common, Mode::Embedded)? else {
        return Ok(ExitCode::from(crate::BAD_CONFIGURATION));
    };
    let settings = &loaded.settings;
    std::fs::create_dir_all(&settings.data_dir)
        .with_context(|| format!("make the data directory {}", settings.data_dir.display()))?;
    let db = Db::connect(&url_with_tls(&settings.index, &settings.index_tls))
        .await
        .context("connect to the index database")?;
    migrate(&db, INDEX_SETS).await.context("migrate the index database")?;
    let clock = Arc::new(SystemClock::default());
    let index = SqlIndex::open(db, Arc::clone(&clock) as _).await.context("open the index")?;
    Users { index, now: clock.now() }.run(command).await?;
    Ok(ExitCode::SUCCESS)
}

/// The accounts of one index.
struct Users {
    index: SqlIndex,
    now: Timestamp,
}

impl Users {
    async fn run(&self, command: UserCommand) -> anyhow::Result<()> {
        match command {
            UserCommand::Add { name, roles, projects, no_password, password, output } => {
                self.add(name, roles, projects, (!no_password).then_some(password), output.json).await
            }
            UserCommand::List { output } => show_accounts(&self.index.accounts().await?, output.json),
            UserCommand::Show { name, output } => self.show(&name, output.json).await,
            UserCommand::SetPassword { name, password } => {
                self.existing(&name).await?;
                let password = Some(hashed(&name, &password)?);
                self.change(&name, AccountChange { password, ..self.nothing() }).await
            }
            UserCommand::SetRoles { name, roles } => {
                let roles = Some(checked("role", roles)?);
                self.change(&name, AccountChange { roles, ..self.nothing() }).await
            }
            UserCommand::SetProjects { name, projects } => {
                let projects = Some(checked("project", projects)?);
                self.change(&name, AccountChange { projects, ..self.nothing() }).await
            }
            UserCommand::Disable { name } => {
                self.change(&name, AccountChange { enabled: Some(false), ..self.nothing() }).await
            }
            UserCommand::Enable { name } => {
                self.change(&name, AccountChange { enabled: Some(true), ..self.nothing() }).await
            }
            UserCommand::Delete { name } => {
                self.index.delete_account(&name).await?;
                say(&format!("user {name} deleted"));
                Ok(())
            }
            UserCommand::Token(command) => self.token(command).await,
        }
    }

    fn nothing(&self) -> AccountChange {
        AccountChange { now: self.now, ..AccountChange::default() }
    }

    async fn existing(&self, name: &str) -> anyhow::Result<Account> {
        self.index.account(name).await?.with_context(|| format!("user {name} does not exist"))
    }

    async fn add(
        &self,
        name: String,
        roles: Vec<String>,
        projects: Vec<String>,
        password: Option<Password>,
        as_json: bool,
    ) -> anyhow::Result<()> {
        check_word("name", &name)?;
        if name.contains(':') {
            bail!("a name cannot hold a colon: HTTP basic authentication has no place for it");
        }
        if self.index.account(&name).await?.is_some() {
            bail!("user {name} already exists");
        }
        let roles = if roles.is_empty() { ["member", "reader"].map(str::to_owned).to_vec() } else { roles };
        let account = Account {
            roles: checked("role", roles)?,
            projects: checked("project", projects)?,
            password: password.map(|password| hashed(&name, &password)).transpose()?,
            name,
            enabled: true,
            created_at: self.now,
            changed_at: self.now,
        };
        self.index.create_account(&account).await?;
        if as_json {
            return print(&account_json(&account));
        }
        say(&format!("user {} created", account.name));
        Ok(())
    }

    async fn change(&self, name: &str, change: AccountChange) -> anyhow::Result<()> {
        self.index.update_account(name, &change).await?;
        say(&format!("user {name} changed"));
        Ok(())
    }

    async fn show(&self, name: &str, as_json: bool) -> anyhow::Result<()> {
        let account = self.existing(name).await?;
        let tokens = self.index.tokens(Some(name)).await?;
        if as_json {
            let mut value = account_json(&account);
            value["tokens"] = tokens.iter().map(|token| self.token_json(token)).collect();
            return print(&value);
        }
        show_accounts(std::slice::from_ref(&account), false)?;
        if !tokens.is_empty() {
            say("");
            self.show_tokens(&tokens, false)?;
        }
        Ok(())
    }

    async fn token(&self, command: TokenCommand) -> anyhow::Result<()> {
        match command {
            TokenCommand::Create { name, label, project, expires, output } => {
                let account = self.existing(&name).await?;
                if let Some(project) = &project
                    && !account.projects.contains(project)
                    && !(account.projects.is_empty() && *project == name)
                {
                    bail!("user {name} is not in project {project}");
                }
                if let Some(label) = &label {
                    check_word("label", label)?;
                }
                let expires_at = self.end(&expires)?;
                let secret = token::generate();
                let token = AccountToken {
                    id: Uuid::new_v4(),
                    account: name,
                    label,
                    project,
                    created_at: self.now,
                    expires_at,
                };
                self.index.create_token(&token, &token::digest(&secret)).await?;
                if output.json {
                    let mut value = self.token_json(&token);
                    value["token"] = secret.into();
                    return print(&value);
                }
                say(&secret);
                Ok(())
            }
            TokenCommand::List { name, output } => {
                if let Some(name) = &name {
                    self.existing(name).await?;
                }
                self.show_tokens(&self.index.tokens(name.as_deref()).await?, output.json)
            }
            TokenCommand::Revoke { id } => {
                self.index.revoke_token(id).await?;
                say(&format!("token {id} revoked"));
                Ok(())
            }
        }
    }

    fn end(&self, expires: &str) -> anyhow::Result<Option<Timestamp>> {
        if expires == "never" {
            return Ok(None);
        }
        let nanos = timespan::parse(expires).ok().and_then(|nanos| u64::try_from(nanos).ok());
        let Some(nanos) = nanos.filter(|nanos| *nanos > 0) else {
            bail!("--expires {expires:?} is no length of time such as 90d, 12h or 30m, nor \"never\"");
        };
        Ok(Some(self.now.plus(Duration::from_nanos(nanos))))
    }

    fn state(&self, token: &AccountToken) -> &'static str {
        if token.expires_at.is_some_and(|end| end <= self.now) { "expired" } else { "active" }
    }

    fn token_json(&self, token: &AccountToken) -> Value {
        json!({
            "id": token.id.to_string(),
            "user": token.account,
            "label": token.label,
            "project": token.project,
            "state": self.state(token),
            "created_at": time(token.created_at),
            "expires_at": token.expires_at.map(time),
        })
    }

    fn show_tokens(&self, tokens: &[AccountToken], as_json: bool) -> anyhow::Result<()> {
        if as_json {
            return print(&tokens.iter().map(|token| self.token_json(token)).collect());
        }
        let or = |text: &Option<String>, other: &str| text.clone().unwrap_or_else(|| other.to_owned());
        let rows = tokens.iter().map(|token| {
            vec![
                token.id.to_string(),
                token.account.clone(),
                self.state(token).to_owned(),
                token.expires_at.map_or_else(|| "never".to_owned(), time),
                or(&token.project, "all"),
                or(&token.label, ""),
            ]
        });
        say(&table(&["ID", "USER", "STATE", "EXPIRES", "PROJECT", "LABEL"], &rows.collect::<Vec<_>>()));
        Ok(())
    }
}

fn hashed(name: &str, password: &Password) -> anyhow::Result<String> {
    let secret = match &password.password_file {
        Some(file) => secrets::read_password(file)?,
        None => secrets::ask(&format!("Password of {name}: "))?,
    };
    Ok(password::hash(secret.expose_secret())?)
}

fn check_word(what: &str, word: &str) -> anyhow::Result<()> {
    if word.trim().is_empty() || word.trim() != word {
        bail!("a {what} cannot be empty, and cannot begin or end with a blank");
    }
    if word.chars().count() > LONGEST || word.chars().any(char::is_control) {
        bail!("a {what} has at most {LONGEST} characters, and no control characters");
    }
    Ok(())
}

/// Words without doubles, in their order.
fn checked(what: &str, words: Vec<String>) -> anyhow::Result<Vec<String>> {
    let mut distinct: Vec<String> = Vec::with_capacity(words.len());
    for word in words {
        check_word(what, &word)?;
        if what == "role" && word.contains(',') {
            bail!("a role cannot hold a comma: headers list roles with commas between them");
        }
        if !distinct.contains(&word) {
            distinct.push(word);
        }
    }
    Ok(distinct)
}

fn time(time: Timestamp) -> String {
    naive_utc(time, 'T') + "Z"
}

fn print(value: &Value) -> anyhow::Result<()> {
    say(&serde_json::to_string_pretty(value)?);
    Ok(())
}

fn account_json(account: &Account) -> Value {
    json!({
        "name": account.name,
        "roles": account.roles,
        "projects": account.projects,
        "enabled": account.enabled,
        "password": account.password.is_some(),
        "created_at": time(account.created_at),
        "changed_at": time(account.changed_at),
    })
}

fn show_accounts(accounts: &[Account], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return print(&accounts.iter().map(account_json).collect());
    }
    let row = |account: &Account| {
        let state = if account.enabled { "enabled" } else { "disabled" };
        let projects = if account.projects.is_empty() { &account.name } else { &account.projects.join(",") };
        let password = if account.password.is_some() { "yes" } else { "no" };
        let roles = account.roles.join(",");
        vec![account.name.clone(), state.to_owned(), roles, projects.clone(), password.to_owned()]
    };
    let rows: Vec<_> = accounts.iter().map(row).collect();
    say(&table(&["NAME", "STATE", "ROLES", "PROJECTS", "PASSWORD"], &rows));
    Ok(())
}
