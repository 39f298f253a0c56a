//! Why a service function did not do what it was asked.

use std::time::Duration;

use nephos_identity::{Caller, Rule, Target, allows};
use nephos_index::IndexError;
use nephos_metric_store::StoreError;
use nephos_model::ResourceId;
use nephos_wire::gnocchi::Invalid;
use serde_json::Value;

/// Why a service function did not do what it was asked. The texts are those of the API that is imitated.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The caller may not.
    #[error("access was denied to this resource")]
    Forbidden,
    /// The caller may see nothing of the list asked for.
    #[error("Insufficient privileges")]
    NothingToSee,
    /// More than the caller's project may ask for or have.
    #[error("{reason}")]
    Limited {
        /// What was too much.
        reason: String,
        /// When to try again.
        wait: Duration,
    },
    /// What the path names does not exist.
    #[error("{0}")]
    NotFound(String),
    /// It exists already.
    #[error("{0}")]
    Conflict(String),
    /// A resource of this id is there already, and of another type.
    #[error("Resource {0} already exists")]
    ResourceExists(ResourceId),
    /// The request makes no sense.
    #[error("{0}")]
    Bad(String),
    /// The request makes no sense or names what does not exist, told in parts.
    #[error("{cause}")]
    Detailed {
        /// Whether something does not exist, instead of making no sense.
        missing: bool,
        /// What went wrong.
        cause: &'static str,
        /// Why.
        reason: Option<String>,
        /// With what; null where there is nothing to tell.
        detail: Value,
    },
    /// The body does not have its shape.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A condition of the request does not hold.
    #[error("a condition of the request does not hold")]
    PreconditionFailed,
    /// The index did not.
    #[error("{0}")]
    Index(#[from] IndexError),
    /// The metric store did not.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl Problem {
    /// A query argument that cannot be used.
    pub fn argument(name: &str, reason: impl Into<String>) -> Self {
        let detail = Value::String(name.to_owned());
        Self::Detailed { missing: false, cause: "Argument value error", reason: Some(reason.into()), detail }
    }

    /// An argument of a page that cannot be used, in the words of what reads bodies.
    pub fn pagination(message: &str, name: &str) -> Self {
        let reason = Some(format!("{message} for dictionary value @ data['{name}']"));
        Self::Detailed { missing: false, cause: "Argument value error", reason, detail: Value::Null }
    }

    /// What a path names does not exist: `Metric x does not exist`.
    pub fn missing(what: &str, id: impl std::fmt::Display) -> Self {
        Self::NotFound(format!("{what} {id} does not exist"))
    }

    /// An index error about something that the request's body refers to, and not its path.
    pub fn in_body(error: IndexError) -> Self {
        match error {
            IndexError::NotFound { what, id } => {
                Self::Bad(format!("{} {id} does not exist", capitalised(what)))
            }
            other => Self::Index(other),
        }
    }
}

/// `Forbidden` unless `rule` lets `caller` act on `target`.
pub fn demand(rule: Rule, caller: &Caller, target: &Target<'_>) -> Result<(), Problem> {
    if allows(rule, caller, target) { Ok(()) } else { Err(Problem::Forbidden) }
}

/// With its first letter in upper case.
pub fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
