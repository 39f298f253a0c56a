//! A webhook receiver that remembers what it got.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;

/// One received notification.
#[derive(Clone, Debug)]
pub struct Received {
    /// Headers.
    pub headers: HeaderMap,
    /// Body as sent.
    pub text: String,
    /// Body as JSON.
    pub json: Value,
}

#[derive(Debug, Default)]
struct Shared {
    received: Vec<Received>,
    /// Statuses to answer with first; afterwards 200.
    answers: Vec<u16>,
}

/// A receiver on a free port of loopback.
#[derive(Clone, Debug)]
pub struct Hook {
    url: String,
    shared: Arc<Mutex<Shared>>,
}

impl Hook {
    /// Starts one.
    pub async fn start() -> Self {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let url = format!("http://{}/hook", listener.local_addr().expect("address"));
        let router = Router::new().route("/hook", post(receive)).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, shared }
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Answers the next calls with these statuses.
    pub fn answer_with(&self, statuses: &[u16]) {
        self.shared.lock().unwrap().answers = statuses.iter().rev().copied().collect();
    }

    /// What was received so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.lock().unwrap().received.clone()
    }
}

async fn receive(State(shared): State<Arc<Mutex<Shared>>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let text = String::from_utf8_lossy(&body).into_owned();
    let json = serde_json::from_str(&text).unwrap_or(Value::Null);
    let mut shared = shared.lock().unwrap();
    shared.received.push(Received { headers, text, json });
    shared.answers.pop().and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::OK)
}
