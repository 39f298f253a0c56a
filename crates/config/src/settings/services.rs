//! The sections of the services.

use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nephos_timeseries::ArchivePolicy;
use secrecy::SecretString;

use super::backends::{self, STORE};
use super::read::{hidden_default, secret, server_tls};
use super::s3;
use super::{
    ArchivePolicySettings, CollectorSettings, CorsSettings, EvaluatorSettings, HypervisorSettings, LogFormat,
    LogSettings, Mode, Namespace, NotificationSettings, NotifierSettings, ObserveSettings, PipelineSettings,
    PollingSettings, PublisherSettings, RetentionSettings, SecretUrl, Service, StoreSettings,
};
use crate::env::Env;
use crate::kind::{
    Bool, FilePath, HttpUrl, Integer, Limit, List, Listen, LogFilter, Method, Size, Span, Text, WebOrigin,
    Word, quoted,
};
use crate::ledger::Ledger;
use crate::section::Section;
use crate::source::Origin;

/// What the originals sign with when nobody tells them a secret: good enough on one machine only.
const BUILT_IN_SECRET: &str = "change this for valid signing";

pub(super) const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

pub(super) const fn integer<T>(min: T, max: T) -> Integer<T> {
    Integer { min, max }
}

pub(super) fn store(
    ledger: &mut Ledger,
    root: &mut Section<'_>,
    mode: Mode,
    data_dir: &Path,
) -> StoreSettings {
    let mut section = root.section(ledger, "store");
    let url = backends::url(ledger, &mut section, &STORE).0.unwrap_or_else(|| {
        let url = SecretUrl::new(&format!("file:{}", data_dir.join("store").display()));
        ledger.effective("store", "url", quoted(&url.to_string()), &Origin::Default);
        url
    });
    let shards = match mode {
        Mode::Embedded => 1,
        Mode::Distributed(_) => 16,
    };
    let s3 = s3::read(ledger, &mut section, &url, mode);
    let settings = StoreSettings {
        url,
        s3,
        listen: section.value(ledger, "listen", &Listen, loopback(8051)),
        advertise: section.optional(ledger, "advertise", &HttpUrl),
        token: secret(ledger, &mut section, ("token", "token_file")).map(|(token, _)| token),
        min_free: section.value(ledger, "min_free", &Size { min: 0 }, 1 << 30),
        shared: section.value(ledger, "shared", &Bool, false),
        shards: section.value(ledger, "shards", &integer(1, 4096), shards),
        tls: server_tls(ledger, &mut section),
        client_tls: backends::client_tls(ledger, &mut section),
    };
    store_safety(ledger, &section, mode, &settings);
    section.finish(ledger);
    settings
}

/// Services that run apart prove with a token that they may call the owner of shards, and must be able to find it.
fn store_safety(ledger: &mut Ledger, section: &Section<'_>, mode: Mode, settings: &StoreSettings) {
    let Mode::Distributed(service) = mode else { return };
    if !service.is_none_or(Service::uses_store) {
        return;
    }
    // A token that is there but could not be read is a fault already.
    let said = ["token", "token_file"].iter().any(|key| section.origin(key) != Origin::Default);
    if settings.token.is_none() && !said {
        let message = "store.token_file must be set when services run apart: collector, api and alarm-evaluator \
                       trust each other by it";
        ledger.problem(&Origin::Default, section.path_of("token_file"), message);
    }
    let owns = service.is_none_or(|service| service == Service::Collector);
    if owns && settings.advertise.is_none() && settings.listen.ip().is_unspecified() {
        let message = "store.advertise must be set: others cannot reach every address there is";
        ledger.problem(&section.origin("listen"), section.path_of("listen"), message);
    }
}

pub(super) fn cors(ledger: &mut Ledger, root: &mut Section<'_>) -> CorsSettings {
    let mut section = root.section(ledger, "cors");
    let allowed_origin = section.value(ledger, "allowed_origin", &List(WebOrigin), Vec::new());
    section.finish(ledger);
    CorsSettings { allowed_origin }
}

pub(super) fn observe(ledger: &mut Ledger, root: &mut Section<'_>) -> ObserveSettings {
    let mut section = root.section(ledger, "observe");
    let listen = section.optional(ledger, "listen", &Listen);
    let tls = server_tls(ledger, &mut section);
    section.finish(ledger);
    ObserveSettings { listen, tls }
}

pub(super) fn polling(ledger: &mut Ledger, root: &mut Section<'_>, env: &dyn Env) -> PollingSettings {
    let mut section = root.section(ledger, "polling");
    let namespaces = Word { known: &[("compute", Namespace::Compute)], later: &["central", "ipmi"] };
    let settings = PollingSettings {
        enabled: section.value(ledger, "enabled", &Bool, true),
        namespaces: section.value(ledger, "namespaces", &List(namespaces), vec![Namespace::Compute]),
        config: section.optional(ledger, "config", &FilePath),
        host: section.value(ledger, "host", &Text, env.host_name()),
        batch_size: section.value(ledger, "batch_size", &integer(1, 100), 100),
    };
    section.finish(ledger);
    settings
}

pub(super) fn pipeline(ledger: &mut Ledger, root: &mut Section<'_>) -> PipelineSettings {
    let mut section = root.section(ledger, "pipeline");
    let config = section.optional(ledger, "config", &FilePath);
    section.finish(ledger);
    PipelineSettings { config }
}

pub(super) fn archive_policy(ledger: &mut Ledger, root: &mut Section<'_>) -> ArchivePolicySettings {
    let mut section = root.section(ledger, "archive_policy");
    let settings = ArchivePolicySettings {
        create_defaults: section.value(ledger, "create_defaults", &Bool, true),
        default_aggregation_methods: section.value(
            ledger,
            "default_aggregation_methods",
            &List(Method),
            ArchivePolicy::DEFAULT_METHODS.to_vec(),
        ),
    };
    if settings.default_aggregation_methods.is_empty() {
        let key = "default_aggregation_methods";
        ledger.problem(&section.origin(key), section.path_of(key), "at least one method is needed");
    }
    section.finish(ledger);
    settings
}

pub(super) fn collector(ledger: &mut Ledger, root: &mut Section<'_>) -> CollectorSettings {
    let mut section = root.section(ledger, "collector");
    let settings = CollectorSettings {
        resources: section.optional(ledger, "resources", &FilePath),
        creator: section.value(ledger, "creator", &Text, "admin".to_owned()),
        batch_size: section.value(ledger, "batch_size", &integer(1, 10_000), 1000),
        queues: section.value(ledger, "queues", &integer(1, 100), 16),
    };
    section.finish(ledger);
    settings
}

pub(super) fn notification(ledger: &mut Ledger, root: &mut Section<'_>) -> NotificationSettings {
    let mut section = root.section(ledger, "notification");
    let settings = NotificationSettings {
        prefetch: section.value(ledger, "prefetch", &integer(1, 10_000), 100),
        workers: section.value(ledger, "workers", &integer(1, 256), 1),
    };
    section.later(ledger, &["listener", "meters", "events"]);
    section.finish(ledger);
    settings
}

pub(super) fn publisher(
    ledger: &mut Ledger,
    root: &mut Section<'_>,
    mode: Mode,
    bus: &SecretUrl,
) -> PublisherSettings {
    let mut section = root.section(ledger, "publisher");
    let given = secret(ledger, &mut section, ("telemetry_secret", "telemetry_secret_file"));
    let faulty = section.origin("telemetry_secret") != Origin::Default
        || section.origin("telemetry_secret_file") != Origin::Default;
    section.finish(ledger);
    let telemetry_secret = given.map(|(secret, _)| secret).unwrap_or_else(|| {
        if mode != Mode::Embedded && !bus.is_local() && !faulty {
            let message = "publisher.telemetry_secret_file must be set when the bus is on another machine: samples \
                           are signed with it";
            ledger.problem(&Origin::Default, "publisher.telemetry_secret", message);
        }
        hidden_default(ledger, "publisher", "telemetry_secret");
        SecretString::from(BUILT_IN_SECRET)
    });
    PublisherSettings { telemetry_secret }
}

pub(super) fn evaluator(ledger: &mut Ledger, root: &mut Section<'_>, mode: Mode) -> EvaluatorSettings {
    let mut section = root.section(ledger, "evaluator");
    let interval = Duration::from_secs(if mode == Mode::Embedded { 10 } else { 60 });
    let settings = EvaluatorSettings {
        interval: section.value(
            ledger,
            "interval",
            &Span { min: Duration::from_secs(1), ..Span::POSITIVE },
            interval,
        ),
        record_history: section.value(ledger, "record_history", &Bool, true),
        additional_ingestion_lag: section.value(
            ledger,
            "additional_ingestion_lag",
            &Span::ANY,
            Duration::ZERO,
        ),
        alarm_max_actions: section.value(ledger, "alarm_max_actions", &Limit(PhantomData), None),
        user_alarm_quota: section.value(ledger, "user_alarm_quota", &Limit(PhantomData), None),
        project_alarm_quota: section.value(ledger, "project_alarm_quota", &Limit(PhantomData), None),
    };
    section.finish(ledger);
    settings
}

pub(super) fn notifier(ledger: &mut Ledger, root: &mut Section<'_>) -> NotifierSettings {
    let mut section = root.section(ledger, "notifier");
    let settings = NotifierSettings {
        timeout: section.value(ledger, "timeout", &Span::POSITIVE, Duration::from_secs(30)),
        tls: backends::client_tls(ledger, &mut section),
        ssl_verify: section.value(ledger, "ssl_verify", &Bool, true),
        max_redirects: section.value(ledger, "max_redirects", &integer(0, 50), 5),
        workers: section.value(ledger, "workers", &integer(1, 1024), 16),
    };
    section.finish(ledger);
    settings
}

pub(super) fn retention(ledger: &mut Ledger, root: &mut Section<'_>) -> RetentionSettings {
    let mut section = root.section(ledger, "retention");
    let resource_cleanup_after = section.optional(ledger, "resource_cleanup_after", &Span::POSITIVE);
    let history_cleanup_after = section.optional(ledger, "history_cleanup_after", &Span::POSITIVE);
    section.finish(ledger);
    RetentionSettings { resource_cleanup_after, history_cleanup_after }
}

pub(super) fn hypervisor(ledger: &mut Ledger, root: &mut Section<'_>) -> HypervisorSettings {
    let mut section = root.section(ledger, "hypervisor");
    let settings = HypervisorSettings {
        proc_root: section.value(ledger, "proc_root", &FilePath, PathBuf::from("/proc")),
        sys_root: section.value(ledger, "sys_root", &FilePath, PathBuf::from("/sys")),
    };
    section.finish(ledger);
    settings
}

pub(super) fn log(ledger: &mut Ledger, root: &mut Section<'_>) -> LogSettings {
    let mut section = root.section(ledger, "log");
    let formats = Word { known: &[("text", LogFormat::Text), ("json", LogFormat::Json)], later: &[] };
    let settings = LogSettings {
        level: section.value(ledger, "level", &LogFilter, "info".to_owned()),
        format: section.value(ledger, "format", &formats, LogFormat::Text),
    };
    section.finish(ledger);
    settings
}
