//! Who calls, and what they may do (metrics-api §2.5, §2.6; alarms-api §2).
//!
//! [`Identity`] turns request headers into a [`Caller`]; [`policy`] says what a caller may do to what.

mod headers;
pub mod policy;

pub use headers::{Basic, NoAuth};
pub use policy::{Check, Rule, Target, allows};

use std::fmt::Debug;

use async_trait::async_trait;
use http::HeaderMap;

/// Who a request comes from.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Caller {
    /// User id.
    pub user_id: Option<String>,
    /// Project id.
    pub project_id: Option<String>,
    /// Roles, as sent.
    pub roles: Vec<String>,
    /// Gnocchi's creator string: `<user>` in basic mode, `<user>:<project>` where both come from headers.
    pub creator: Option<String>,
}

impl Caller {
    /// Whether the caller has the role, whatever its case.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own.eq_ignore_ascii_case(role))
    }

    /// Whether the caller may do everything.
    pub fn is_admin(&self) -> bool {
        self.has_role("admin")
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
}

/// Makes out callers. Several implementations, one for each `[api] auth_mode`.
#[async_trait]
pub trait Identity: Send + Sync + Debug {
    /// Who sends a request with these headers.
    async fn identify(&self, headers: &HeaderMap) -> Result<Caller, IdentityError>;

    /// The `WWW-Authenticate` that goes with a 401.
    fn challenge(&self) -> Option<&'static str> {
        None
    }

    /// Whether lists show a caller only what is theirs or their project's (metrics-api §2.6).
    fn filters_lists(&self) -> bool {
        false
    }
}
