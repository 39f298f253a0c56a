//! The parts addressed by URLs: index, bus, state and store.

use std::path::{Path, PathBuf};

use url::Url;

use super::{ClientIdentity, ClientTls, Mode, Service};
use crate::kind::{FilePath, quoted};
use crate::ledger::Ledger;
use crate::location::{SecretUrl, local_path, mask};
use crate::names::nearest;
use crate::section::{LATER, Section};
use crate::source::Origin;

/// The schemes one setting takes.
pub(super) struct Schemes {
    known: &'static [&'static str],
    later: &'static [&'static str],
}

pub(super) const INDEX: Schemes = Schemes { known: &["sqlite", "postgres"], later: &["mysql"] };
pub(super) const BUS: Schemes =
    Schemes { known: &["in-process", "amqp", "amqps"], later: &["kafka", "rabbit"] };
pub(super) const STATE: Schemes =
    Schemes { known: &["memory", "sqlite", "postgres"], later: &["redis", "rediss"] };
pub(super) const STORE: Schemes = Schemes { known: &["file", "s3"], later: &["gs", "az"] };

/// A section with `url` and the certificates of a client.
pub(super) struct Backend {
    pub(super) url: Option<SecretUrl>,
    pub(super) origin: Origin,
    pub(super) tls: ClientTls,
}

/// Reads `[index]`, `[bus]` or `[state]` whole.
pub(super) fn backend(
    ledger: &mut Ledger,
    root: &mut Section<'_>,
    key: &'static str,
    schemes: &Schemes,
) -> Backend {
    let mut section = root.section(ledger, key);
    let (url, origin) = url(ledger, &mut section, schemes);
    let tls = client_tls(ledger, &mut section);
    section.finish(ledger);
    Backend { url, origin, tls }
}

/// Reads `url` or `url_file` of a section.
pub(super) fn url(
    ledger: &mut Ledger,
    section: &mut Section<'_>,
    schemes: &Schemes,
) -> (Option<SecretUrl>, Origin) {
    let Some((text, origin)) = section.secret(ledger, ("url", "url_file"), mask) else {
        return (None, Origin::Default);
    };
    match check(ledger, text.trim(), schemes, &origin) {
        Ok(url) => (Some(url), origin),
        Err(message) => {
            ledger.problem(&origin, section.path_of("url"), message);
            // An unusable URL is no missing one: that would be reported twice.
            (Some(SecretUrl::none()), origin)
        }
    }
}

/// A URL of a known scheme, local paths made absolute. The fault never repeats the text, which may hold a password.
fn check(ledger: &Ledger, text: &str, schemes: &Schemes, origin: &Origin) -> Result<SecretUrl, String> {
    let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "postgresql" => "postgres".to_owned(),
        scheme => scheme.to_owned(),
    };
    if schemes.later.contains(&scheme.as_str()) {
        return Err(format!("{scheme}: is {LATER}; known are {}", schemes.list()));
    }
    if !schemes.known.contains(&scheme.as_str()) {
        let word = scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        return Err(match nearest(&scheme, schemes.known.iter().copied()) {
            Some(name) => format!("unknown scheme {scheme:?}, did you mean {name}?"),
            None if word && text.contains(':') => {
                format!("unknown scheme {scheme:?}; known are {}", schemes.list())
            }
            None => format!("expected a URL; known schemes are {}", schemes.list()),
        });
    }
    match scheme.as_str() {
        "in-process" | "memory" if rest.trim_matches('/').is_empty() => {
            Ok(SecretUrl::new(&format!("{scheme}:")))
        }
        "in-process" | "memory" => Err(format!("nothing may follow {scheme}:")),
        "sqlite" | "file" => local(ledger, &scheme, text, origin),
        "s3" => bucket(text),
        _ => remote(&format!("{scheme}:{rest}")),
    }
}

fn local(ledger: &Ledger, scheme: &str, text: &str, origin: &Origin) -> Result<SecretUrl, String> {
    if text.contains('?') {
        return Err(format!("a {scheme}: URL takes no parameters"));
    }
    match local_path(text) {
        Some(path) if !path.starts_with(':') => {
            let path = ledger.absolute(Path::new(path), origin);
            Ok(SecretUrl::new(&format!("{scheme}:{}", path.display())))
        }
        _ => Err(format!("{scheme}: needs a path, as in {scheme}:/var/lib/nephos/…")),
    }
}

fn remote(text: &str) -> Result<SecretUrl, String> {
    let url = Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
    if url.cannot_be_a_base() || !text.contains("://") {
        return Err(format!("expected {}://…", url.scheme()));
    }
    let socket = url.query_pairs().any(|(name, _)| name == "host");
    if url.host_str().is_none_or(str::is_empty) && !(url.scheme() == "postgres" && socket) {
        return Err("the URL has no host".to_owned());
    }
    Ok(SecretUrl::new(text))
}

/// `s3://bucket` or `s3://bucket/prefix`.
fn bucket(text: &str) -> Result<SecretUrl, String> {
    let url = Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
    if !text.contains("://") || url.host_str().is_none_or(str::is_empty) {
        return Err("expected s3://bucket or s3://bucket/prefix".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("keys have no place in this URL: see store.access_key_id".to_owned());
    }
    if url.port().is_some() || url.query().is_some() {
        return Err(
            "a port or parameters have no place in this URL: set store.endpoint and store.region".to_owned()
        );
    }
    Ok(SecretUrl::new(text))
}

impl Schemes {
    fn list(&self) -> String {
        self.known.iter().map(|scheme| format!("{scheme}:")).collect::<Vec<_>>().join(", ")
    }
}

/// The keys `ca_bundle`, `certificate` and `key`.
pub(super) fn client_tls(ledger: &mut Ledger, section: &mut Section<'_>) -> ClientTls {
    let ca_bundle = section.optional(ledger, "ca_bundle", &FilePath);
    let certificate = section.optional(ledger, "certificate", &FilePath);
    let key = section.optional(ledger, "key", &FilePath);
    ClientTls { ca_bundle, identity: pair(ledger, section, ("certificate", certificate), ("key", key)) }
}

/// A certificate and its key, which only make sense together.
fn pair(
    ledger: &mut Ledger,
    section: &Section<'_>,
    (certificate_key, certificate): (&str, Option<PathBuf>),
    (key_key, key): (&str, Option<PathBuf>),
) -> Option<ClientIdentity> {
    let (given, missing) = match (certificate, key) {
        (Some(certificate), Some(key)) => return Some(ClientIdentity { certificate, key }),
        (None, None) => return None,
        (Some(_), None) => (certificate_key, key_key),
        (None, Some(_)) => (key_key, certificate_key),
    };
    ledger.problem(
        &section.origin(given),
        section.path_of(given),
        format!("{given} needs {missing} beside it"),
    );
    None
}

/// The index, bus and state after defaults.
pub(super) struct Chosen {
    pub(super) index: SecretUrl,
    pub(super) bus: SecretUrl,
    pub(super) state: SecretUrl,
}

/// Fills in what is not set and refuses what does not fit the process's shape.
pub(super) fn choose(
    ledger: &mut Ledger,
    mode: Mode,
    data_dir: &Path,
    (index, bus, state): (&Backend, &Backend, &Backend),
) -> Chosen {
    let uses = |used: fn(Service) -> bool| match mode {
        Mode::Embedded => true,
        Mode::Distributed(service) => service.is_none_or(used),
    };
    let (uses_index, uses_bus, uses_state) =
        (uses(Service::uses_index), uses(Service::uses_bus), uses(Service::uses_state));
    match mode {
        Mode::Embedded => {
            let sqlite = |name: &str| SecretUrl::new(&format!("sqlite:{}", data_dir.join(name).display()));
            Chosen {
                index: default(ledger, "index", index, || sqlite("index.sqlite")),
                bus: default(ledger, "bus", bus, || SecretUrl::new("in-process:")),
                state: default(ledger, "state", state, || sqlite("state.sqlite")),
            }
        }
        Mode::Distributed(_) => {
            apart(ledger, "index", index, "sqlite", "postgres://user@host/database");
            apart(ledger, "bus", bus, "in-process", "amqp://user@host:5672/nephos");
            if uses_index {
                required(ledger, "index", index, "postgres://user@host/database");
            }
            if uses_bus {
                required(ledger, "bus", bus, "amqp://user@host:5672/nephos");
            }
            if uses_state && !uses_index && index.url.is_none() {
                required(ledger, "state", state, "postgres://user@host/database");
            }
            let chosen_index = index.url.clone().unwrap_or_else(SecretUrl::none);
            Chosen {
                bus: bus.url.clone().unwrap_or_else(SecretUrl::none),
                state: default(ledger, "state", state, || chosen_index.clone()),
                index: chosen_index,
            }
        }
    }
}

fn default(
    ledger: &mut Ledger,
    name: &'static str,
    backend: &Backend,
    fallback: impl FnOnce() -> SecretUrl,
) -> SecretUrl {
    backend.url.clone().unwrap_or_else(|| {
        let url = fallback();
        ledger.effective(name, "url", quoted(&url.to_string()), &Origin::Default);
        url
    })
}

fn required(ledger: &mut Ledger, name: &'static str, backend: &Backend, example: &str) {
    if backend.url.is_none() {
        let variable = name.to_ascii_uppercase();
        ledger.problem(
            &Origin::Default,
            name,
            format!(
                "{name} must be set when services run apart, as {name} = \"{example}\" or NEPHOS__{variable}"
            ),
        );
    }
}

fn apart(ledger: &mut Ledger, name: &'static str, backend: &Backend, scheme: &str, example: &str) {
    if backend.url.as_ref().is_some_and(|url| url.scheme() == scheme) {
        let message = format!("{scheme}: serves one process only; services that run apart need {example}");
        ledger.problem(&backend.origin, format!("{name}.url"), message);
    }
}
