//! A client of the APIs, as user `admin` unless told otherwise.

use std::time::Duration;

use serde_json::Value;

/// One base address and user.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
    base: String,
    user: Option<(String, String)>,
    headers: Vec<(String, String)>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Headers.
    pub headers: reqwest::header::HeaderMap,
    /// Body as text.
    pub text: String,
}

impl Answer {
    /// Body as JSON; panics with the body if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text))
    }

    /// The answer, if its status is `status`; panics with the body otherwise.
    #[allow(clippy::must_use_candidate, clippy::return_self_not_must_use)]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }
}

/// Installs the TLS provider once: clients need it even for plain HTTP.
pub fn install_tls() {
    // Only the first installation of a process succeeds, which is what is wanted.
    let _installed_before = rustls::crypto::ring::default_provider().install_default().is_err();
}

impl Http {
    /// A client of `base` (`http://host:port`).
    pub fn new(base: &str) -> Self {
        Self::built(base, reqwest::Client::builder())
    }

    /// A client of `base` (`https://host:port`) that trusts this authority (PEM) and no other.
    pub fn trusting(base: &str, authority: &[u8]) -> Self {
        let authority = reqwest::Certificate::from_pem(authority).expect("a certificate");
        install_tls();
        Self::built(base, reqwest::Client::builder().tls_certs_only([authority]))
    }

    fn built(base: &str, builder: reqwest::ClientBuilder) -> Self {
        install_tls();
        let client = builder
            .timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("http client");
        let user = Some(("admin".to_owned(), "ignored".to_owned()));
        Self { client, base: base.trim_end_matches('/').to_owned(), user, headers: Vec::new() }
    }

    /// The same client as another user.
    #[must_use]
    pub fn as_user(&self, user: &str) -> Self {
        self.with_password(user, "ignored")
    }

    /// The same client as a user with a password.
    #[must_use]
    pub fn with_password(&self, user: &str, password: &str) -> Self {
        Self { user: Some((user.to_owned(), password.to_owned())), ..self.clone() }
    }

    /// The same client as nobody, but with these headers.
    #[must_use]
    pub fn with_headers(&self, headers: &[(&str, &str)]) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { user: None, headers: headers.collect(), ..self.clone() }
    }

    /// Base address.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends a request; `Err` if there was no answer.
    pub async fn try_send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, String> {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("method");
        let mut request =
            self.client.request(method, format!("{}{path}", self.base)).header("accept", "application/json");
        if let Some((user, password)) = &self.user {
            request = request.basic_auth(user, Some(password));
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await.map_err(|error| error.to_string())?;
        Ok(Answer { status, headers, text })
    }

    /// Posts bytes with these headers; panics if there was no answer.
    pub async fn post_bytes(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let mut request = self.client.post(format!("{}{path}", self.base)).body(body);
        if let Some((user, password)) = &self.user {
            request = request.basic_auth(user, Some(password));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap_or_else(|error| panic!("POST {path}: {error}"));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap_or_else(|error| panic!("POST {path}: {error}"));
        Answer { status, headers, text }
    }

    /// Sends a request; panics if there was no answer.
    pub async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.try_send(method, path, body).await.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    /// POST of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, Some(body)).await
    }
}
