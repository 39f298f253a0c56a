//! `[api]` and `[limits]`.

use std::marker::PhantomData;
use std::net::SocketAddr;
use std::time::Duration;

use super::read::server_tls;
use super::services::{integer, loopback};
use super::{ApiSettings, AuthMode, LimitSettings, RateSettings};
use crate::kind::{Bool, FilePath, HeaderName, Limit, List, Listen, Networks, Size, Span, Text, Word};
use crate::ledger::Ledger;
use crate::section::Section;

pub(super) fn api(ledger: &mut Ledger, root: &mut Section<'_>) -> ApiSettings {
    let mut section = root.section(ledger, "api");
    let listen = section.value(ledger, "listen", &Listen, loopback(8041));
    let mut aodh = section.section(ledger, "aodh");
    let auth_mode = section.value(
        ledger,
        "auth_mode",
        &Word {
            known: &[
                ("basic", AuthMode::Basic),
                ("local", AuthMode::Local),
                ("noauth", AuthMode::NoAuth),
                ("remoteuser", AuthMode::RemoteUser),
            ],
            later: &["keystone"],
        },
        AuthMode::Basic,
    );
    let remember = Span { min: Duration::ZERO, max: Duration::from_secs(86_400) };
    let settings = ApiSettings {
        listen,
        auth_mode,
        trusted_proxies: section.value(ledger, "trusted_proxies", &List(Networks), Vec::new()),
        remote_user_header: section.value(
            ledger,
            "remote_user_header",
            &HeaderName,
            "x-remote-user".to_owned(),
        ),
        password_cache: section.value(ledger, "password_cache", &remember, Duration::from_secs(300)),
        policy_file: section.optional(ledger, "policy_file", &FilePath),
        max_limit: section.value(ledger, "max_limit", &integer(1, 1_000_000), 1000),
        allow_passwordless: section.value(ledger, "allow_passwordless", &Bool, false),
        operation_timeout: section.value(
            ledger,
            "operation_timeout",
            &Span::POSITIVE,
            Duration::from_secs(10),
        ),
        enable_proxy_headers_parsing: section.value(ledger, "enable_proxy_headers_parsing", &Bool, false),
        max_body: section.value(ledger, "max_body", &Size { min: 1024 }, 64 << 20),
        tls: server_tls(ledger, &mut section),
        aodh_listen: aodh.optional(ledger, "listen", &Listen),
    };
    section.later(ledger, &["panko"]);
    refuse_strangers(ledger, &section, settings.listen, &settings);
    if let Some(listen) = settings.aodh_listen {
        refuse_strangers(ledger, &aodh, listen, &settings);
    }
    aodh.finish(ledger);
    section.finish(ledger);
    settings
}

/// Refuses to serve strangers without asking for a password.
fn refuse_strangers(ledger: &mut Ledger, section: &Section<'_>, listen: SocketAddr, settings: &ApiSettings) {
    let believes_proxies = matches!(settings.auth_mode, AuthMode::NoAuth | AuthMode::RemoteUser)
        && !settings.trusted_proxies.is_empty();
    let is_safe = listen.ip().is_loopback() || settings.auth_mode == AuthMode::Local || believes_proxies;
    if is_safe || settings.allow_passwordless {
        return;
    }
    let proxies = match settings.auth_mode {
        AuthMode::NoAuth | AuthMode::RemoteUser => ", name the proxies in api.trusted_proxies",
        AuthMode::Basic | AuthMode::Local => ", set api.auth_mode = \"local\"",
    };
    let message = format!(
        "auth_mode {:?} checks no password, so anybody who reaches {listen} could do anything: listen on \
         loopback{proxies}, or set api.allow_passwordless = true",
        settings.auth_mode.name()
    );
    ledger.problem(&section.origin("listen"), section.path_of("listen"), message);
}

pub(super) fn limits(ledger: &mut Ledger, root: &mut Section<'_>) -> LimitSettings {
    let mut section = root.section(ledger, "limits");
    let settings = LimitSettings {
        requests: rate(ledger, &mut section, ("requests_per_second", "requests_burst")),
        points: rate(ledger, &mut section, ("points_per_second", "points_burst")),
        metrics: section.value(ledger, "metrics_per_project", &Limit(PhantomData), None),
        resources: section.value(ledger, "resources_per_project", &Limit(PhantomData), None),
        exempt_roles: section.value(
            ledger,
            "exempt_roles",
            &List(Text),
            vec!["admin".to_owned(), "service".to_owned()],
        ),
    };
    section.finish(ledger);
    settings
}

/// A rate, and twice as much at once unless something else is said.
fn rate(
    ledger: &mut Ledger,
    section: &mut Section<'_>,
    (rate, burst): (&'static str, &'static str),
) -> Option<RateSettings> {
    let per_second: Option<u32> = section.value(ledger, rate, &Limit(PhantomData), None);
    let at_once = section.optional(ledger, burst, &integer(1_u32, u32::MAX));
    if per_second == Some(0) {
        let message = "0 would refuse everything: -1 is no limit";
        ledger.problem(&section.origin(rate), section.path_of(rate), message);
    }
    match (per_second, at_once) {
        (Some(per_second), at_once) => {
            Some(RateSettings { per_second, burst: at_once.unwrap_or(per_second.saturating_mul(2)) })
        }
        (None, Some(_)) => {
            let message = format!("{burst} has a meaning beside {rate} only");
            ledger.problem(&section.origin(burst), section.path_of(burst), message);
            None
        }
        (None, None) => None,
    }
}
