//! Who delivers which kind of action (alarms-api §13).

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::Mutex;

use async_trait::async_trait;
use nephos_index::OutboxItem;
use url::Url;

use crate::http::HttpNotifier;
use crate::retry::Attempt;

/// Delivers one notification once.
#[async_trait]
pub trait Notifier: Send + Sync + Debug {
    /// Tries `item`, whose action is `url`. Must end within the time-out it was set up with.
    async fn deliver(&self, url: &Url, item: &OutboxItem) -> Attempt;
}

/// `log://`: one line of our log.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogNotifier;

#[async_trait]
impl Notifier for LogNotifier {
    async fn deliver(&self, _url: &Url, item: &OutboxItem) -> Attempt {
        tracing::info!(alarm = %item.alarm_id, notification = item.payload, "alarm notification");
        Attempt::Delivered
    }
}

/// `test://`: keeps the last notifications in memory.
#[derive(Debug, Default)]
pub struct TestNotifier {
    kept: Mutex<VecDeque<OutboxItem>>,
}

impl TestNotifier {
    /// How many are kept.
    pub const CAPACITY: usize = 1_000;

    /// What was delivered last, oldest first.
    pub fn kept(&self) -> Vec<OutboxItem> {
        self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner).iter().cloned().collect()
    }
}

#[async_trait]
impl Notifier for TestNotifier {
    async fn deliver(&self, _url: &Url, item: &OutboxItem) -> Attempt {
        let mut kept = self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if kept.len() >= Self::CAPACITY {
            kept.pop_front();
        }
        kept.push_back(item.clone());
        Attempt::Delivered
    }
}

/// All notifiers of this process, by the scheme of an action.
#[derive(Debug)]
pub struct Notifiers {
    http: HttpNotifier,
    log: LogNotifier,
    test: TestNotifier,
}

impl Notifiers {
    /// The schemes that are delivered.
    pub const SCHEMES: [&'static str; 4] = ["http", "https", "log", "test"];

    /// With the given HTTP client.
    pub fn new(http: HttpNotifier) -> Self {
        Self { http, log: LogNotifier, test: TestNotifier::default() }
    }

    /// What `test://` actions received.
    pub fn test(&self) -> &TestNotifier {
        &self.test
    }

    /// Delivers `item` by the scheme of its action.
    pub async fn deliver(&self, item: &OutboxItem) -> Attempt {
        let url = match Url::parse(&item.action) {
            Ok(url) => url,
            Err(error) => return Attempt::Refused(format!("action is no URL: {error}")),
        };
        let notifier: &dyn Notifier = match url.scheme() {
            "http" | "https" => &self.http,
            "log" => &self.log,
            "test" => &self.test,
            other => return Attempt::Refused(format!("no notifier for actions of scheme {other}")),
        };
        notifier.deliver(&url, item).await
    }
}

/// `action` as it may be logged: without user, password, query and fragment.
pub fn without_secrets(action: &str) -> String {
    let Ok(mut url) = Url::parse(action) else { return "(no URL)".to_owned() };
    if !url.username().is_empty() || url.password().is_some() {
        // Both fail only for URLs that cannot have credentials.
        let _no_credentials = url.set_username("").and_then(|()| url.set_password(None)).is_err();
    }
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logged_actions_carry_no_secrets() {
        for (action, logged) in [
            ("https://u:p@host/hook?token=s#f", "https://host/hook"),
            ("http://host:81/x", "http://host:81/x"),
            ("log://", "log://"),
            ("nonsense", "(no URL)"),
        ] {
            assert_eq!(without_secrets(action), logged);
        }
    }
}
