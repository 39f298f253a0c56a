//! Who calls, and what they may do (metrics-api §2.5, §2.6; alarms-api §2).
//!
//! [`Identity`] turns the headers of a request into a [`Caller`]: [`Basic`] and [`NoAuth`] believe them, [`RemoteUser`]
//! believes the server in front, [`Local`] checks passwords and tokens against [`Accounts`]. A server that validates the
//! tokens of another service would be one more implementation. [`Rules`] say what a caller may do to what.

pub mod buckets;
mod credentials;
mod headers;
mod instrument;
mod local;
pub mod password;
pub mod policy;
mod proxies;
pub mod token;

pub use headers::{Basic, NoAuth, RemoteUser};
pub use local::{Account, Accounts, AccountsError, Grant, Local, LocalOptions};
pub use nephos_lang::access::{Rule, Rules, Target};
pub use policy::{Sight, allows};
pub use proxies::Proxies;

use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderMap;
use nephos_lang::access::Asker;

/// Who a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// User id.
    pub user_id: Option<String>,
    /// Project id.
    pub project_id: Option<String>,
    /// Roles, as sent.
    pub roles: Vec<String>,
    /// Gnocchi's creator string: `<user>` in basic mode, `<user>:<project>` where both are known.
    pub creator: Option<String>,
    /// The rules that were in force when the request came.
    pub rules: Arc<Rules>,
}

/// Nobody, under the shipped rules.
impl Default for Caller {
    fn default() -> Self {
        let rules = Rules::shipped();
        Self { user_id: None, project_id: None, roles: Vec::new(), creator: None, rules }
    }
}

impl Caller {
    /// Whether the caller has the role, whatever its case.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own.eq_ignore_ascii_case(role))
    }

    /// Whether the caller is not restricted to a project.
    pub fn is_admin(&self) -> bool {
        allows(Rule::ContextIsAdmin, self, &Target::default())
    }

    /// The caller as rules see it.
    fn asker(&self) -> Asker<'_> {
        Asker {
            creator: self.creator.as_deref(),
            user_id: self.user_id.as_deref(),
            project_id: self.project_id.as_deref(),
            roles: &self.roles,
        }
    }
}

/// Why nobody could be made out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The request says nothing about who sends it.
    #[error("the request names no user")]
    Missing,
    /// What it says cannot be read.
    #[error("the request's credentials cannot be read")]
    Unreadable,
    /// User, password or token are wrong, or the account is disabled.
    #[error("the request's credentials are wrong")]
    Wrong,
    /// Identity headers from an address that is not trusted.
    #[error("identity headers are not believed from this address")]
    Untrusted,
    /// The user is not of the project that the request names.
    #[error("the user is not of the project that the request names")]
    OtherProject,
    /// Too many logins failed lately.
    #[error("too many logins failed")]
    Limited {
        /// When to try again.
        wait: Duration,
    },
    /// Accounts cannot be looked up just now.
    #[error("accounts cannot be looked up just now")]
    Away,
}

/// Makes out callers. Several implementations, one for each `[api] auth_mode`.
#[async_trait]
pub trait Identity: Send + Sync + Debug {
    /// Who sends a request with these headers from `peer`, the other end of the connection.
    async fn identify(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<Caller, IdentityError>;

    /// The `WWW-Authenticate` that goes with a 401.
    fn challenge(&self) -> Option<&'static str> {
        None
    }

    /// Whether lists show a caller only what is theirs or their project's (metrics-api §2.6).
    fn filters_lists(&self) -> bool {
        true
    }
}
