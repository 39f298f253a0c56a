//! Accounts, their tokens, and what projects use.

use std::collections::BTreeMap;

use async_trait::async_trait;
use nephos_sql::{Row, Value};
use uuid::Uuid;

use crate::contract::{Account, AccountChange, AccountIndex, AccountToken, IndexError, Usage, UsageIndex};
use crate::query::Conditions;
use crate::sql_index::{SqlIndex, WriteError};

const USER: &str = "user";
const TOKEN: &str = "token";
const ACCOUNT: &str = "name, password, roles, projects, enabled, created_at, changed_at";

fn account(row: &mut Row) -> Result<Account, IndexError> {
    Ok(Account {
        name: row.take_text(0)?,
        password: row.take_opt_text(1)?,
        roles: list("roles", row.text(2)?)?,
        projects: list("projects", row.text(3)?)?,
        enabled: row.bool(4)?,
        created_at: row.timestamp(5)?,
        changed_at: row.timestamp(6)?,
    })
}

/// A token whose columns begin at `at`.
fn token(row: &mut Row, at: usize) -> Result<AccountToken, IndexError> {
    Ok(AccountToken {
        id: row.uuid(at)?,
        account: row.take_text(at + 1)?,
        label: row.take_opt_text(at + 2)?,
        project: row.take_opt_text(at + 3)?,
        created_at: row.timestamp(at + 4)?,
        expires_at: row.opt_timestamp(at + 5)?,
    })
}

fn list(what: &str, text: &str) -> Result<Vec<String>, IndexError> {
    serde_json::from_str(text).map_err(|error| IndexError::damaged(what, error))
}

fn write_list(list: &[String]) -> String {
    serde_json::Value::from(list).to_string()
}

#[async_trait]
impl AccountIndex for SqlIndex {
    async fn create_account(&self, account: &Account) -> Result<(), IndexError> {
        let sql = "INSERT INTO account (name, password, roles, projects, enabled, created_at, changed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
        let row = [
            (&account.name).into(),
            account.password.as_ref().into(),
            write_list(&account.roles).into(),
            write_list(&account.projects).into(),
            account.enabled.into(),
            account.created_at.into(),
            account.changed_at.into(),
        ];
        match self.db.execute(sql, &row).await? {
            0 => Err(IndexError::already_exists(USER, &account.name)),
            _ => Ok(()),
        }
    }

    async fn accounts(&self) -> Result<Vec<Account>, IndexError> {
        let sql = format!("SELECT {ACCOUNT} FROM account ORDER BY name");
        self.db.read(sql, &[]).await?.iter_mut().map(account).collect()
    }

    async fn account(&self, name: &str) -> Result<Option<Account>, IndexError> {
        let sql = format!("SELECT {ACCOUNT} FROM account WHERE name = $1");
        self.db.read_one(sql, &[name.into()]).await?.as_mut().map(account).transpose()
    }

    async fn update_account(&self, name: &str, change: &AccountChange) -> Result<(), IndexError> {
        let mut params: Vec<Value> = vec![name.into(), change.now.into()];
        let mut set = "changed_at = $2".to_owned();
        let values: [(&str, Option<Value>); 4] = [
            ("password", change.password.as_ref().map(Into::into)),
            ("roles", change.roles.as_deref().map(|list| write_list(list).into())),
            ("projects", change.projects.as_deref().map(|list| write_list(list).into())),
            ("enabled", change.enabled.map(Into::into)),
        ];
        for (column, value) in values {
            if let Some(value) = value {
                params.push(value);
                set.push_str(&format!(", {column} = ${}", params.len()));
            }
        }
        let changed = self.db.execute(format!("UPDATE account SET {set} WHERE name = $1"), &params).await?;
        if changed == 0 { Err(IndexError::not_found(USER, name)) } else { Ok(()) }
    }

    async fn delete_account(&self, name: &str) -> Result<(), IndexError> {
        let deleted = self.db.execute("DELETE FROM account WHERE name = $1", &[name.into()]).await?;
        if deleted == 0 { Err(IndexError::not_found(USER, name)) } else { Ok(()) }
    }

    async fn create_token(&self, token: &AccountToken, digest: &[u8; 32]) -> Result<(), IndexError> {
        let sql = "INSERT INTO account_token (id, account, label, project, created_at, expires_at, digest)
             VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let row = [
            token.id.into(),
            (&token.account).into(),
            token.label.as_ref().into(),
            token.project.as_ref().into(),
            token.created_at.into(),
            token.expires_at.into(),
            digest.as_slice().into(),
        ];
        match self.db.execute(sql, &row).await.map_err(WriteError::from) {
            Err(error) if error.is_missing_reference() => Err(IndexError::not_found(USER, &token.account)),
            other => Ok(other.map(|_| ())?),
        }
    }

    async fn tokens(&self, account: Option<&str>) -> Result<Vec<AccountToken>, IndexError> {
        let mut conditions = Conditions::default();
        conditions.equal("account", account);
        let sql = conditions.statement(
            "SELECT id, account, label, project, created_at, expires_at FROM account_token",
            " ORDER BY account, created_at, id",
        );
        let rows = self.db.read(sql, conditions.params()).await?;
        rows.into_iter().map(|mut row| token(&mut row, 0)).collect()
    }

    async fn account_by_token(
        &self,
        digest: &[u8; 32],
    ) -> Result<Option<(Account, AccountToken)>, IndexError> {
        let sql = "SELECT a.name, a.password, a.roles, a.projects, a.enabled, a.created_at, a.changed_at,
                 t.id, t.account, t.label, t.project, t.created_at, t.expires_at
             FROM account_token AS t JOIN account AS a ON a.name = t.account WHERE t.digest = $1";
        let Some(mut row) = self.db.read_one(sql, &[digest.as_slice().into()]).await? else {
            return Ok(None);
        };
        Ok(Some((account(&mut row)?, token(&mut row, 7)?)))
    }

    async fn revoke_token(&self, id: Uuid) -> Result<(), IndexError> {
        let deleted = self.db.execute("DELETE FROM account_token WHERE id = $1", &[id.into()]).await?;
        if deleted == 0 { Err(IndexError::not_found(TOKEN, id)) } else { Ok(()) }
    }
}

#[async_trait]
impl UsageIndex for SqlIndex {
    async fn usage(&self) -> Result<BTreeMap<String, Usage>, IndexError> {
        let mut usage = BTreeMap::<String, Usage>::new();
        let project = |creator: &str| {
            let (_, project) = creator.split_once(':').unwrap_or(("", creator));
            project.to_owned()
        };
        let sql = "SELECT creator, count(*) FROM metric WHERE creator IS NOT NULL GROUP BY creator";
        for row in self.db.read(sql, &[]).await? {
            usage.entry(project(row.text(0)?)).or_default().metrics += row.unsigned(1)?;
        }
        let sql = "SELECT creator, count(*) FROM resource WHERE creator IS NOT NULL GROUP BY creator";
        for row in self.db.read(sql, &[]).await? {
            usage.entry(project(row.text(0)?)).or_default().resources += row.unsigned(1)?;
        }
        Ok(usage)
    }
}
