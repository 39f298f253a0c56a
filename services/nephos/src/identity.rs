//! Who clients of the API are, and how much they may ask for: from settings to what the API works with.

use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use http::HeaderName;
use nephos_api::{AlarmOptions, ApiOptions, LimitOptions};
use nephos_config::settings::{AuthMode, LimitSettings, RateSettings, Settings};
use nephos_identity::buckets::Rate;
use nephos_identity::token::Digest;
use nephos_identity::{
    Account, Accounts, AccountsError, Basic, Grant, Identity, Local, LocalOptions, NoAuth, Proxies,
    RemoteUser,
};
use nephos_index::{Index, IndexError};
use nephos_model::Clock;

/// Accounts as they are kept in the index.
#[derive(Debug)]
struct IndexAccounts(Arc<dyn Index>);

fn account(kept: nephos_index::Account) -> Account {
    let nephos_index::Account { name, password, roles, projects, enabled, created_at: _, changed_at: _ } =
        kept;
    Account { name, password, roles, projects, enabled }
}

fn failed(error: IndexError) -> AccountsError {
    AccountsError { reason: error.to_string() }
}

#[async_trait]
impl Accounts for IndexAccounts {
    async fn account(&self, name: &str) -> Result<Option<Account>, AccountsError> {
        Ok(self.0.account(name).await.map_err(failed)?.map(account))
    }

    async fn token(&self, digest: &Digest) -> Result<Option<Grant>, AccountsError> {
        let found = self.0.account_by_token(digest).await.map_err(failed)?;
        Ok(found.map(|(kept, token)| Grant {
            account: account(kept),
            project: token.project,
            expires: token.expires_at,
        }))
    }
}

/// Who makes out callers.
pub(crate) fn of(
    settings: &Settings,
    index: &Arc<dyn Index>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn Identity>> {
    let api = &settings.api;
    let proxies = Proxies::new(api.trusted_proxies.clone());
    Ok(match api.auth_mode {
        AuthMode::Basic => Arc::new(Basic),
        AuthMode::NoAuth => Arc::new(NoAuth::new(proxies)),
        AuthMode::RemoteUser => {
            let header = HeaderName::try_from(&api.remote_user_header).context("api.remote_user_header")?;
            Arc::new(RemoteUser::new(header, proxies))
        }
        AuthMode::Local => {
            let accounts = Arc::new(IndexAccounts(Arc::clone(index)));
            let options = LocalOptions { remember: api.password_cache, proxies };
            Arc::new(Local::new(accounts, Arc::clone(clock), options))
        }
    })
}

fn limits(settings: &LimitSettings) -> LimitOptions {
    let rate =
        |rate: RateSettings| Rate { per_second: f64::from(rate.per_second), burst: f64::from(rate.burst) };
    LimitOptions {
        requests: settings.requests.map(rate),
        points: settings.points.map(rate),
        metrics: settings.metrics,
        resources: settings.resources,
        exempt_roles: settings.exempt_roles.clone(),
    }
}

/// What an operator set about the API.
pub(crate) fn api_options(settings: &Settings) -> anyhow::Result<ApiOptions> {
    let mut options = ApiOptions {
        max_limit: u64::from(settings.api.max_limit),
        max_body: usize::try_from(settings.api.max_body).context("api.max_body")?,
        proxy_headers: settings.api.enable_proxy_headers_parsing,
        default_aggregation_methods: settings.archive_policy.default_aggregation_methods.clone(),
        alarms: AlarmOptions {
            record_history: settings.evaluator.record_history,
            max_actions: settings.evaluator.alarm_max_actions,
            user_quota: settings.evaluator.user_alarm_quota,
            project_quota: settings.evaluator.project_alarm_quota,
        },
        limits: limits(&settings.limits),
        ..ApiOptions::default()
    };
    options.cors.allowed_origins.clone_from(&settings.cors.allowed_origin);
    Ok(options)
}
