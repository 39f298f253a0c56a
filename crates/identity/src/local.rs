//! Accounts of our own: passwords and tokens.
//!
//! A password costs milliseconds to verify, on purpose. Who was verified lately is therefore known by a keyed hash of
//! name and password, for as long as the account keeps the stored password it was verified against. Accounts are looked
//! up again after a second: what an operator changes holds from then on.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use nephos_model::{Clock, Timestamp};
use quick_cache::sync::Cache;
use sha2::Sha256;
use tokio::sync::Semaphore;

use crate::buckets::{Buckets, Rate};
use crate::credentials::Credentials;
use crate::headers::{PROJECT, text};
use crate::token::{self, Digest};
use crate::{Caller, Identity, IdentityError, Proxies, instrument, password};

/// How long what was looked up is believed.
const FRESH: Duration = Duration::from_secs(1);
/// Names, tokens and logins that are kept in memory.
const KEPT: usize = 10_000;
/// Passwords verified at once: each takes 19 MiB and a processor.
const VERIFIERS: usize = 2;
/// Logins that may fail for one name from one address, and how fast they are forgiven.
const BY_NAME: Rate = Rate { per_second: 0.1, burst: 10.0 };
/// The same for one address, whatever the names.
const BY_ADDRESS: Rate = Rate { per_second: 1.0, burst: 100.0 };

/// An account, as far as logins ask.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name, which is its id as well.
    pub name: String,
    /// What [`password::hash`] gave; nothing for accounts that only have tokens.
    pub password: Option<String>,
    /// Roles, in every project.
    pub roles: Vec<String>,
    /// Projects, the one it acts in unless it says otherwise first; without any it is in one of its own name.
    pub projects: Vec<String>,
    /// Whether it may log in.
    pub enabled: bool,
}

/// Without the password.
impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("name", &self.name)
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

/// What a token gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// To whom.
    pub account: Account,
    /// The only project, if it is restricted to one.
    pub project: Option<String>,
    /// When it ends.
    pub expires: Option<Timestamp>,
}

/// Accounts could not be looked up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("accounts cannot be looked up: {reason}")]
pub struct AccountsError {
    /// Why.
    pub reason: String,
}

/// Where accounts are kept.
#[async_trait]
pub trait Accounts: Send + Sync + fmt::Debug {
    /// The account of that name.
    async fn account(&self, name: &str) -> Result<Option<Account>, AccountsError>;
    /// What the token of that digest gives.
    async fn token(&self, digest: &Digest) -> Result<Option<Grant>, AccountsError>;
}

/// What an operator can set about logins.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// How long a password need not be verified again.
    pub remember: Duration,
    /// Servers in front of us: for telling clients apart.
    pub proxies: Proxies,
}

/// Something that was looked up, and when.
#[derive(Clone, Debug)]
struct Seen<T> {
    found: Option<Arc<T>>,
    at: Duration,
}

/// A password that was right, and for which stored password.
#[derive(Clone)]
struct Verified {
    stored: Arc<str>,
    at: Duration,
}

/// `auth_mode = "local"`: HTTP basic authentication, or a token as `X-Auth-Token` or `Authorization: Bearer`. The
/// project is the account's first, or the one of its projects that `X-Project-Id` names.
pub struct Local {
    accounts: Arc<dyn Accounts>,
    clock: Arc<dyn Clock>,
    options: LocalOptions,
    key: [u8; 32],
    by_name: Cache<String, Seen<Account>>,
    by_token: Cache<Digest, Seen<Grant>>,
    verified: Cache<Digest, Verified>,
    verifiers: Semaphore,
    hasher: RandomState,
    failed_names: Buckets<u64>,
    failed_addresses: Buckets<u64>,
    /// What unknown names are compared with, so that they take as long as known ones.
    nobody: String,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Local {
    /// Checks what requests show against `accounts`.
    pub fn new(accounts: Arc<dyn Accounts>, clock: Arc<dyn Clock>, options: LocalOptions) -> Self {
        Self {
            accounts,
            clock,
            options,
            key: rand::random(),
            by_name: Cache::new(KEPT),
            by_token: Cache::new(KEPT),
            verified: Cache::new(KEPT),
            verifiers: Semaphore::new(VERIFIERS),
            hasher: RandomState::new(),
            failed_names: Buckets::new(BY_NAME, KEPT),
            failed_addresses: Buckets::new(BY_ADDRESS, KEPT),
            nobody: password::hash(&token::generate()).unwrap_or_default(),
        }
    }

    async fn by_password(
        &self,
        name: String,
        password: String,
        client: Option<IpAddr>,
    ) -> Result<Arc<Account>, IdentityError> {
        let account = self.account(&name).await?;
        let digest = self.keyed(&name, &password);
        if let Some(account) = account.as_ref().filter(|account| self.is_verified(&digest, account)) {
            return Ok(Arc::clone(account));
        }
        let keys = (self.hasher.hash_one((client, Some(&name))), self.hasher.hash_one(client));
        self.demand_patience(keys)?;
        let stored = account.as_ref().and_then(|account| account.password.as_deref());
        let is_right = self.verify(&digest, password, stored).await?;
        // A name that is no account's may be a password in the wrong place.
        let user = if account.is_some() { name.as_str() } else { "unknown" };
        match account.as_ref().filter(|account| is_right && account.enabled) {
            Some(account) => {
                instrument::accepted("password");
                Ok(Arc::clone(account))
            }
            None => {
                tracing::warn!(user, client = client.map(tracing::field::display), "login failed");
                Err(self.failed(keys))
            }
        }
    }

    /// Whether the password is that of `stored`; if so it is remembered.
    async fn verify(
        &self,
        digest: &Digest,
        password: String,
        stored: Option<&str>,
    ) -> Result<bool, IdentityError> {
        let Ok(_turn) = self.verifiers.acquire().await else { return Err(IdentityError::Away) };
        // Requests of one client that came together have waited for the first.
        if stored.is_some_and(|stored| self.is_remembered(digest, stored)) {
            return Ok(true);
        }
        instrument::verified();
        let against = stored.unwrap_or(&self.nobody).to_owned();
        let work = move || (password::verify(&password, &against), against);
        let (is_right, against) = tokio::task::spawn_blocking(work).await.map_err(|_| IdentityError::Away)?;
        let is_right = is_right && stored.is_some();
        if is_right {
            let verified = Verified { stored: Arc::from(against), at: self.clock.monotonic() };
            self.verified.insert(*digest, verified);
        }
        Ok(is_right)
    }

    fn is_verified(&self, digest: &Digest, account: &Account) -> bool {
        let stored = account.password.as_deref().filter(|_| account.enabled);
        stored.is_some_and(|stored| self.is_remembered(digest, stored))
    }

    fn is_remembered(&self, digest: &Digest, stored: &str) -> bool {
        let now = self.clock.monotonic();
        self.verified.get(digest).is_some_and(|verified| {
            *verified.stored == *stored && now.saturating_sub(verified.at) < self.options.remember
        })
    }

    /// Name and password as one number that says nothing of them outside this process.
    fn keyed(&self, name: &str, password: &str) -> Digest {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return [0; 32] };
        mac.update(&(name.len() as u64).to_le_bytes());
        mac.update(name.as_bytes());
        mac.update(password.as_bytes());
        mac.finalize().into_bytes().into()
    }

    async fn by_token(&self, sent: &str, client: Option<IpAddr>) -> Result<Arc<Grant>, IdentityError> {
        let (digest, now) = (token::digest(sent), self.clock.monotonic());
        // What is tried as a token has no name.
        let keys = (self.hasher.hash_one((client, None::<&String>)), self.hasher.hash_one(client));
        let seen = self.by_token.get(&digest).filter(|seen| now.saturating_sub(seen.at) < FRESH);
        let found = match seen {
            Some(seen) => seen.found,
            None => {
                self.demand_patience(keys)?;
                let found = self.accounts.token(&digest).await.map_err(away)?.map(Arc::new);
                // Whoever tries tokens does not fill the memory with them.
                match &found {
                    Some(_) => self.by_token.insert(digest, Seen { found: found.clone(), at: now }),
                    None => drop(self.by_token.remove(&digest)),
                }
                found
            }
        };
        let now = self.clock.now();
        let grant = found.filter(|grant| grant.account.enabled && grant.expires.is_none_or(|end| now < end));
        grant.ok_or_else(|| {
            tracing::warn!(client = client.map(tracing::field::display), "login by token failed");
            self.failed(keys)
        })
    }

    async fn account(&self, name: &String) -> Result<Option<Arc<Account>>, IdentityError> {
        let now = self.clock.monotonic();
        if let Some(seen) = self.by_name.get(name).filter(|seen| now.saturating_sub(seen.at) < FRESH) {
            return Ok(seen.found);
        }
        let found = self.accounts.account(name).await.map_err(away)?.map(Arc::new);
        match &found {
            Some(_) => self.by_name.insert(name.clone(), Seen { found: found.clone(), at: now }),
            None => drop(self.by_name.remove(name)),
        }
        Ok(found)
    }

    /// Refuses without looking when too much has failed lately.
    fn demand_patience(&self, (name, address): (u64, u64)) -> Result<(), IdentityError> {
        let now = self.clock.monotonic();
        let wait = self.failed_names.wait(&name, now).max(self.failed_addresses.wait(&address, now));
        match wait {
            None => Ok(()),
            Some(wait) => {
                instrument::refused("limited");
                Err(IdentityError::Limited { wait })
            }
        }
    }

    fn failed(&self, (name, address): (u64, u64)) -> IdentityError {
        let now = self.clock.monotonic();
        instrument::refused("wrong");
        // An empty bucket stays empty: that is no further news.
        let _counted = self.failed_names.take(&name, 1.0, now);
        let _counted = self.failed_addresses.take(&address, 1.0, now);
        IdentityError::Wrong
    }
}

fn away(error: AccountsError) -> IdentityError {
    tracing::warn!(%error, "nobody can log in just now");
    IdentityError::Away
}

/// The account in the project that is asked for.
fn caller(account: &Account, only: Option<&str>, asked: Option<String>) -> Result<Caller, IdentityError> {
    let own = [account.name.clone()];
    let projects = if account.projects.is_empty() { &own[..] } else { &account.projects };
    let is_open =
        |project: &str| projects.iter().any(|own| own == project) && only.is_none_or(|only| only == project);
    let project = match (asked, only) {
        (Some(asked), _) => asked,
        (None, Some(only)) => only.to_owned(),
        (None, None) => projects.first().cloned().unwrap_or_default(),
    };
    if !is_open(&project) {
        return Err(IdentityError::OtherProject);
    }
    Ok(Caller {
        user_id: Some(account.name.clone()),
        creator: Some(format!("{}:{project}", account.name)),
        project_id: Some(project),
        roles: account.roles.clone(),
        ..Caller::default()
    })
}

#[async_trait]
impl Identity for Local {
    async fn identify(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<Caller, IdentityError> {
        let client = self.options.proxies.client(headers, peer);
        let asked = text(headers, &PROJECT)?;
        match Credentials::read(headers)? {
            Credentials::Token(sent) => {
                let grant = self.by_token(&sent, client).await?;
                caller(&grant.account, grant.project.as_deref(), asked)
            }
            Credentials::Password { name, password } => {
                caller(&*self.by_password(name, password, client).await?, None, asked)
            }
        }
    }

    fn challenge(&self) -> Option<&'static str> {
        Some("Basic realm=\"nephos\", charset=\"UTF-8\"")
    }
}

#[cfg(test)]
mod tests;
