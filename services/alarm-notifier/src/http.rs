//! `http://` and `https://` actions: a POST of the notification (alarms-api §13).

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use nephos_index::OutboxItem;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Identity, StatusCode};
use url::Url;

use crate::notifier::Notifier;
use crate::retry::Attempt;

/// Query parameter of an action that switches verification of its server's certificate.
const VERIFY_PARAMETER: &str = "aodh-alarm-ssl-verify";

/// What an operator can set.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Longest time one attempt may take.
    pub timeout: Duration,
    /// Whether certificates are verified unless the action says otherwise.
    pub ssl_verify: bool,
    /// Certificates to trust besides the system's, PEM.
    pub ca_bundle: Option<PathBuf>,
    /// Our own certificate chain, PEM.
    pub certificate: Option<PathBuf>,
    /// Its key, PEM; absent if it is in the same file.
    pub key: Option<PathBuf>,
    /// Redirects followed before an attempt counts as refused.
    pub max_redirects: u32,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            ssl_verify: true,
            ca_bundle: None,
            certificate: None,
            key: None,
            max_redirects: 5,
        }
    }
}

/// Why the HTTP client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A certificate or key file could not be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A certificate or key is not what it should be.
    #[error("certificates of webhooks: {0}")]
    Certificate(#[source] reqwest::Error),
}

/// Posts notifications.
#[derive(Clone, Debug)]
pub struct HttpNotifier {
    verifying: Client,
    trusting: Client,
    ssl_verify: bool,
}

impl HttpNotifier {
    /// Makes the clients. A TLS provider must be installed in the process.
    pub fn new(options: &HttpOptions) -> Result<Self, SetupError> {
        Ok(Self {
            verifying: client(options, false)?,
            trusting: client(options, true)?,
            ssl_verify: options.ssl_verify,
        })
    }
}

fn read(path: &PathBuf) -> Result<Vec<u8>, SetupError> {
    std::fs::read(path).map_err(|source| SetupError::Read { path: path.clone(), source })
}

fn client(options: &HttpOptions, trusting: bool) -> Result<Client, SetupError> {
    let mut builder = Client::builder()
        .timeout(options.timeout)
        .redirect(Policy::limited(usize::try_from(options.max_redirects).unwrap_or(usize::MAX)))
        .user_agent(concat!("nephos/", env!("CARGO_PKG_VERSION")))
        .tls_danger_accept_invalid_certs(trusting);
    if let Some(path) = &options.ca_bundle {
        for certificate in Certificate::from_pem_bundle(&read(path)?).map_err(SetupError::Certificate)? {
            builder = builder.add_root_certificate(certificate);
        }
    }
    if let Some(path) = &options.certificate {
        let mut pem = read(path)?;
        if let Some(key) = &options.key {
            pem.push(b'\n');
            pem.extend(read(key)?);
        }
        builder = builder.identity(Identity::from_pem(&pem).map_err(SetupError::Certificate)?);
    }
    builder.build().map_err(SetupError::Certificate)
}

#[async_trait]
impl Notifier for HttpNotifier {
    async fn deliver(&self, url: &Url, item: &OutboxItem) -> Attempt {
        let verify = url
            .query_pairs()
            .filter(|(key, _)| key == VERIFY_PARAMETER)
            .last()
            .map_or(self.ssl_verify, |(_, value)| value != "0");
        let client = if verify { &self.verifying } else { &self.trusting };
        let sent = client
            .post(url.clone())
            .header("content-type", "application/json")
            .header("x-openstack-request-id", format!("req-{}", item.id))
            .body(item.payload.clone())
            .send()
            .await;
        match sent {
            Ok(response) => judge(response.status()),
            Err(error) => judge_error(&error),
        }
    }
}

fn judge(status: StatusCode) -> Attempt {
    if status.is_success() {
        return Attempt::Delivered;
    }
    let text = format!("receiver answered {status}");
    let passing = status.is_server_error()
        || status == StatusCode::REQUEST_TIMEOUT
        || status == StatusCode::TOO_MANY_REQUESTS;
    if passing { Attempt::Failed(text) } else { Attempt::Refused(text) }
}

fn judge_error(error: &reqwest::Error) -> Attempt {
    // The URL, which may hold secrets, is not part of the text; the cause is.
    let mut text = if error.is_timeout() {
        "no answer in time".to_owned()
    } else if error.is_redirect() {
        "too many redirects".to_owned()
    } else if error.is_connect() {
        "connection failed".to_owned()
    } else {
        "request failed".to_owned()
    };
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    if error.is_redirect() || error.is_builder() { Attempt::Refused(text) } else { Attempt::Failed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_answers_are_tried_again() {
        for (status, expected) in [
            (200, 'd'),
            (204, 'd'),
            (301, 'r'),
            (400, 'r'),
            (404, 'r'),
            (408, 'f'),
            (429, 'f'),
            (500, 'f'),
            (503, 'f'),
        ] {
            let judged = match judge(StatusCode::from_u16(status).unwrap()) {
                Attempt::Delivered => 'd',
                Attempt::Failed(_) => 'f',
                Attempt::Refused(_) => 'r',
            };
            assert_eq!(judged, expected, "{status}");
        }
    }
}
