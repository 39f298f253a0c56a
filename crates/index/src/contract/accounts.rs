//! Accounts, their tokens, and what projects use.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};

use async_trait::async_trait;
use nephos_model::Timestamp;
use uuid::Uuid;

use super::IndexError;

/// Somebody who may log in.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// Name, which is the id as well.
    pub name: String,
    /// Hash of the password as a PHC text; absent for who has tokens only.
    pub password: Option<String>,
    /// Roles.
    pub roles: Vec<String>,
    /// Projects, the default first.
    pub projects: Vec<String>,
    /// Whether logins are accepted.
    pub enabled: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub changed_at: Timestamp,
}

/// Without the password.
impl Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("name", &self.name)
            .field("roles", &self.roles)
            .field("projects", &self.projects)
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

/// A change of an account; absent fields stay.
#[derive(Clone, Default)]
pub struct AccountChange {
    /// New hash of the password.
    pub password: Option<String>,
    /// New roles.
    pub roles: Option<Vec<String>>,
    /// New projects.
    pub projects: Option<Vec<String>>,
    /// Whether logins are accepted.
    pub enabled: Option<bool>,
    /// When it changes.
    pub now: Timestamp,
}

/// Without the password.
impl Debug for AccountChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountChange")
            .field("password", &self.password.is_some())
            .field("roles", &self.roles)
            .field("projects", &self.projects)
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

/// What is known of a token; the token itself is stored nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountToken {
    /// Its id, which is no secret.
    pub id: Uuid,
    /// Whose it is.
    pub account: String,
    /// What it is for.
    pub label: Option<String>,
    /// The one project it is good for; absent means all of the account's.
    pub project: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it ends; absent means never.
    pub expires_at: Option<Timestamp>,
}

/// What a project has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Live metrics that somebody of it created.
    pub metrics: u64,
    /// Resources that somebody of it created.
    pub resources: u64,
}

/// Accounts and their tokens.
#[async_trait]
pub trait AccountIndex: Send + Sync + Debug {
    /// Creates one; `AlreadyExists` "user".
    async fn create_account(&self, account: &Account) -> Result<(), IndexError>;
    /// All, by name.
    async fn accounts(&self) -> Result<Vec<Account>, IndexError>;
    /// One, if it exists.
    async fn account(&self, name: &str) -> Result<Option<Account>, IndexError>;
    /// Changes one; `NotFound` "user".
    async fn update_account(&self, name: &str, change: &AccountChange) -> Result<(), IndexError>;
    /// Deletes one with its tokens; `NotFound` "user".
    async fn delete_account(&self, name: &str) -> Result<(), IndexError>;
    /// Keeps a token by its SHA-256; `NotFound` "user".
    async fn create_token(&self, token: &AccountToken, digest: &[u8; 32]) -> Result<(), IndexError>;
    /// Tokens of an account, or of all: by account, then oldest first.
    async fn tokens(&self, account: Option<&str>) -> Result<Vec<AccountToken>, IndexError>;
    /// The token of this SHA-256 with its account, expired or not.
    async fn account_by_token(
        &self,
        digest: &[u8; 32],
    ) -> Result<Option<(Account, AccountToken)>, IndexError>;
    /// Ends a token; `NotFound` "token".
    async fn revoke_token(&self, id: Uuid) -> Result<(), IndexError>;
}

/// What projects use.
#[async_trait]
pub trait UsageIndex: Send + Sync + Debug {
    /// What every project has that has anything. Looks at every metric and resource: for once in a while.
    async fn usage(&self) -> Result<BTreeMap<String, Usage>, IndexError>;
}
