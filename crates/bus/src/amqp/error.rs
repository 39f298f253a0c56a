//! The broker's address, and what its errors mean to us.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lapin::ErrorKind;
use lapin::uri::AMQPUri;

use crate::contract::BusError;

/// Seconds without a sign of life after which the other side counts as dead, unless the URL says otherwise.
const HEARTBEAT: u16 = 10;
/// How long connecting may take, unless the URL says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

// Reply codes of AMQP 0-9-1.
const ACCESS_REFUSED: u16 = 403;
const PRECONDITION_FAILED: u16 = 406;
const NOT_ALLOWED: u16 = 530;

/// A broker, as it is named in errors and logs: without credentials.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) url: String,
    /// Names whose clash was told of.
    clashes: Arc<Mutex<BTreeSet<String>>>,
}

impl Peer {
    /// Understands a URL and fills in time-outs.
    pub(super) fn parse(url: &str) -> Result<(Self, AMQPUri), BusError> {
        let mut uri: AMQPUri = url.parse().map_err(|reason: String| BusError::Refused {
            url: "the configured address".to_owned(),
            reason: format!("not an amqp URL: {reason}"),
        })?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        let timeout = u64::try_from(CONNECT_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
        uri.query.connection_timeout.get_or_insert(timeout);
        let authority = &uri.authority;
        let url = format!("{}://{}:{}/{}", uri.scheme, authority.host, authority.port, uri.vhost);
        Ok((Self { url, clashes: Arc::default() }, uri))
    }

    pub(super) fn unavailable(&self, reason: impl ToString) -> BusError {
        BusError::Unavailable { url: self.url.clone(), reason: reason.to_string() }
    }

    /// Whether this is the first time that `name` is found to exist in another form: worth a word only once.
    pub(super) fn first_clash(&self, name: &str) -> bool {
        self.clashes.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned())
    }

    /// What an error of the client library means.
    pub(super) fn error(&self, error: &lapin::Error) -> BusError {
        match reply_code(error) {
            Some(ACCESS_REFUSED | PRECONDITION_FAILED | NOT_ALLOWED) => {
                BusError::Refused { url: self.url.clone(), reason: error.to_string() }
            }
            _ => self.unavailable(error),
        }
    }
}

/// Whether something exists already with other properties than it was declared with.
pub(super) fn is_clash(error: &lapin::Error) -> bool {
    reply_code(error) == Some(PRECONDITION_FAILED)
}

fn reply_code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_in_no_message() {
        let (peer, uri) = Peer::parse("amqp://nephos:hush@broker:5673/own%2Fvhost?heartbeat=3").unwrap();
        assert_eq!(peer.url, "amqp://broker:5673/own/vhost");
        assert_eq!((uri.query.heartbeat, uri.authority.userinfo.password.as_str()), (Some(3), "hush"));
        assert!(!format!("{peer:?}{}", peer.unavailable("gone")).contains("hush"));
    }

    #[test]
    fn what_is_no_amqp_url_is_refused_without_repeating_it() {
        for url in ["", "http://u:hush@host/", "amqp//host", "hush"] {
            let error = Peer::parse(url).unwrap_err().to_string();
            assert!(error.contains("not an amqp URL") && !error.contains("hush"), "{error}");
        }
    }
}
