//! What every request handler has at hand.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::request::Parts;
use nephos_identity::{Caller, Identity, IdentityError, Rules};
use nephos_index::Index;
use nephos_metric_store::MetricStore;
use nephos_model::Clock;
use nephos_observe::http::Peer;
use nephos_observe::{Health, Metrics};
use nephos_timeseries::{AggregationMethod, ArchivePolicy};
use tokio::sync::watch;

use crate::aodh::AlarmOptions;
use crate::failure::Failure;
use crate::http::cors::Cors;
use crate::limits::{LimitOptions, Limits};
use crate::service::Problem;

/// What an operator can set about the API.
#[derive(Clone, Debug)]
pub struct ApiOptions {
    /// Largest page of a listing, and its default size.
    pub max_limit: u64,
    /// Largest request body, in bytes.
    pub max_body: usize,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// How long requests in flight get to end when the server stops.
    pub drain_timeout: Duration,
    /// Whether `Forwarded` and `X-Forwarded-…` are believed.
    pub proxy_headers: bool,
    /// Whether clients reach us by TLS: for the URLs in answers.
    pub tls: bool,
    /// Methods of an archive policy that names none.
    pub default_aggregation_methods: Vec<AggregationMethod>,
    /// Who may call from a browser.
    pub cors: Cors,
    /// What is said about alarms.
    pub alarms: AlarmOptions,
    /// Who may do what; may change at any time.
    pub rules: watch::Receiver<Arc<Rules>>,
    /// How much a project may ask for and have.
    pub limits: LimitOptions,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            max_limit: 1_000,
            max_body: 64 << 20,
            request_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(10),
            proxy_headers: false,
            tls: false,
            default_aggregation_methods: ArchivePolicy::DEFAULT_METHODS.to_vec(),
            cors: Cors {
                allowed_origins: Vec::new(),
                allowed_headers: Cors::DEFAULT_HEADERS.map(str::to_owned).to_vec(),
            },
            alarms: AlarmOptions::default(),
            rules: watch::Sender::new(Rules::shipped()).subscribe(),
            limits: LimitOptions::default(),
        }
    }
}

/// What every request handler has at hand; shared behind an [`Arc`].
#[derive(Debug)]
pub struct ApiState {
    /// Policies, resources, metrics, alarms.
    pub index: Arc<dyn Index>,
    /// Measures.
    pub store: Arc<dyn MetricStore>,
    /// Makes out callers.
    pub identity: Arc<dyn Identity>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What `/readyz` reports.
    pub health: Health,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// What projects have used up.
    pub limits: Limits,
    /// What an operator set.
    pub options: ApiOptions,
}

impl ApiState {
    /// Who sends a request with these headers from `peer`. Every request that is about anything asks once: it counts
    /// against the rate of the caller's project.
    pub async fn caller(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<Caller, Failure> {
        let mut caller = self.identity.identify(headers, peer).await.map_err(|error| match error {
            IdentityError::Missing
            | IdentityError::Unreadable
            | IdentityError::Wrong
            | IdentityError::Untrusted => Failure::Unauthorized(self.identity.challenge()),
            IdentityError::OtherProject => Problem::NothingToSee.into(),
            IdentityError::Limited { wait } => {
                Problem::Limited { reason: "Too many logins failed. Please retry later.".to_owned(), wait }
                    .into()
            }
            IdentityError::Away => Failure::Away,
        })?;
        caller.rules = Arc::clone(&self.options.rules.borrow());
        self.limits.request(&caller, self.clock.monotonic())?;
        Ok(caller)
    }
}

/// The caller of a request; a request without one is refused.
#[derive(Clone, Debug)]
pub struct Who(pub Caller);

impl FromRequestParts<Arc<ApiState>> for Who {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ApiState>) -> Result<Self, Failure> {
        state.caller(&parts.headers, Peer::of(&parts.extensions)).await.map(Self)
    }
}
