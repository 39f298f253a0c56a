//! The keys of `[store]` that belong to `s3:` URLs.

use url::Url;

use super::read::secret;
use super::{Mode, S3Settings, SecretUrl, Service};
use crate::kind::{Bool, FilePath, HttpUrl, Size, Text};
use crate::ledger::Ledger;
use crate::section::Section;
use crate::source::Origin;

/// Keys that say nothing without an `s3:` URL.
const KEYS: [&str; 9] = [
    "endpoint",
    "region",
    "allow_http",
    "access_key_id",
    "access_key_id_file",
    "secret_access_key",
    "secret_access_key_file",
    "ca_file",
    "cache",
];

/// Reads them; `None` where the store is no bucket, or where this process never opens it.
pub(super) fn read(
    ledger: &mut Ledger,
    section: &mut Section<'_>,
    url: &SecretUrl,
    mode: Mode,
) -> Option<S3Settings> {
    if url.scheme() != "s3" {
        refuse(ledger, section, url);
        return None;
    }
    let endpoint = section.optional(ledger, "endpoint", &HttpUrl);
    let region = section.value(ledger, "region", &Text, "us-east-1".to_owned());
    let allow_http = section.value(ledger, "allow_http", &Bool, false);
    if !allow_http && endpoint.as_ref().is_some_and(|url| url.starts_with("http:")) {
        let message =
            "measures would cross the network unprotected: use https, or set store.allow_http = true";
        ledger.problem(&section.origin("endpoint"), section.path_of("endpoint"), message);
    }
    let ca_file = section.optional(ledger, "ca_file", &FilePath);
    let cache = section.value(ledger, "cache", &Size { min: 1 << 20 }, 128 << 20);
    let access_key_id = section.secret(ledger, ("access_key_id", "access_key_id_file"), str::to_owned);
    let secret_access_key = secret(ledger, section, ("secret_access_key", "secret_access_key_file"));
    let opens = match mode {
        Mode::Embedded => true,
        Mode::Distributed(service) => service.is_none_or(Service::owns_shards),
    };
    // One that is there but could not be read is a fault already.
    let said = |keys: &[&str]| keys.iter().any(|key| section.origin(key) != Origin::Default);
    if opens && !said(&["access_key_id", "access_key_id_file"]) {
        let message = "store.access_key_id must be set for an s3: URL";
        ledger.problem(&Origin::Default, section.path_of("access_key_id"), message);
    }
    if opens && !said(&["secret_access_key", "secret_access_key_file"]) {
        let message = "store.secret_access_key_file must be set for an s3: URL";
        ledger.problem(&Origin::Default, section.path_of("secret_access_key_file"), message);
    }
    let parsed = Url::parse(url.expose()).ok()?;
    Some(S3Settings {
        bucket: parsed.host_str()?.to_owned(),
        prefix: parsed.path().trim_matches('/').to_owned(),
        endpoint,
        region,
        allow_http,
        access_key_id: access_key_id?.0,
        secret_access_key: secret_access_key?.0,
        ca_file,
        cache,
    })
}

fn refuse(ledger: &mut Ledger, section: &mut Section<'_>, url: &SecretUrl) {
    for key in KEYS {
        if section.take(key).is_some() && !url.is_none() {
            let message = format!("{key} belongs to an s3: store, and this one is {}:", url.scheme());
            ledger.problem(&section.origin(key), section.path_of(key), message);
        }
    }
}
