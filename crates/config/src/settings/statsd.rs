//! `[statsd]`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::ApiSettings;
use crate::kind::{Integer, Listen, Span, Text};
use crate::ledger::Ledger;
use crate::section::Section;

/// Where StatsD comes from.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8125);

/// `[statsd]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsdSettings {
    /// Where datagrams are taken.
    pub listen: SocketAddr,
    /// The resource that metrics belong to; naming it turns StatsD on.
    pub resource_id: String,
    /// Who owns the resource and its metrics.
    pub creator: String,
    /// User of the resource.
    pub user_id: Option<String>,
    /// Project of the resource.
    pub project_id: Option<String>,
    /// Policy of the metrics; by rule if absent.
    pub archive_policy_name: Option<String>,
    /// How often values are written.
    pub flush_delay: Duration,
    /// Most metrics kept between two flushes.
    pub max_metrics: u32,
}

/// StatsD is on when the resource of its metrics is named, as in Gnocchi; then only its other settings mean anything.
pub(super) fn read(ledger: &mut Ledger, root: &mut Section<'_>, api: &ApiSettings) -> Option<StatsdSettings> {
    let mut section = root.section(ledger, "statsd");
    let Some(resource_id) = section.optional(ledger, "resource_id", &Text) else {
        let keys = [
            "listen",
            "creator",
            "user_id",
            "project_id",
            "archive_policy_name",
            "flush_delay",
            "max_metrics",
        ];
        for key in keys {
            if section.take(key).is_some() {
                let message =
                    "statsd.resource_id must be set beside it: it names the resource that metrics belong to";
                ledger.problem(&section.origin(key), section.path_of(key), message);
            }
        }
        section.finish(ledger);
        return None;
    };
    let settings = StatsdSettings {
        listen: section.value(ledger, "listen", &Listen, LISTEN),
        resource_id,
        creator: section.value(ledger, "creator", &Text, "admin".to_owned()),
        user_id: section.optional(ledger, "user_id", &Text),
        project_id: section.optional(ledger, "project_id", &Text),
        archive_policy_name: section.optional(ledger, "archive_policy_name", &Text),
        flush_delay: section.value(ledger, "flush_delay", &Span::POSITIVE, Duration::from_secs(10)),
        max_metrics: section.value(ledger, "max_metrics", &Integer { min: 1, max: 1_000_000 }, 10_000),
    };
    if !settings.listen.ip().is_loopback() && !api.allow_passwordless {
        let message = format!(
            "StatsD asks nobody who they are, so anybody who reaches {} could write measures: listen on loopback, \
             or set api.allow_passwordless = true",
            settings.listen
        );
        ledger.problem(&section.origin("listen"), section.path_of("listen"), message);
    }
    section.finish(ledger);
    Some(settings)
}
