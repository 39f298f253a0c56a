//! A RabbitMQ of our own for each test: a vhost, made and unmade through the HTTP API, reached through a proxy that can
//! be cut.

use std::env;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

fn setting(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// `scheme://credentials@host:port` taken apart.
fn address(url: &str) -> (String, String) {
    let (_, rest) = url.split_once("://").expect("a URL");
    let (credentials, host) = rest.trim_end_matches('/').split_once('@').expect("credentials in the URL");
    (credentials.to_owned(), host.to_owned())
}

/// A vhost on the test server; gone when dropped.
pub(crate) struct Broker {
    pub(crate) vhost: String,
    credentials: String,
    host: String,
}

impl Broker {
    pub(crate) async fn new() -> Self {
        let broker = Self::without_vhost();
        broker.create_vhost().await;
        broker
    }

    /// A name only.
    pub(crate) fn without_vhost() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let url = setting("NEPHOS_TEST_AMQP_URL", "amqp://nephos:nephos@127.0.0.1:45672");
        let (credentials, host) = address(&url);
        let unique = COUNT.fetch_add(1, Ordering::Relaxed);
        let vhost = format!("nephos-bus-test-{}-{unique}", std::process::id());
        Self { vhost, credentials, host }
    }

    pub(crate) async fn create_vhost(&self) {
        http("PUT", &format!("/api/vhosts/{}", self.vhost), "").await;
        let (user, _) = self.credentials.split_once(':').unwrap();
        let permissions = json!({"configure": ".*", "write": ".*", "read": ".*"}).to_string();
        http("PUT", &format!("/api/permissions/{}/{user}", self.vhost), &permissions).await;
    }

    pub(crate) fn url(&self) -> SecretString {
        self.url_through(&self.host)
    }

    pub(crate) fn url_through(&self, host: &str) -> SecretString {
        format!("amqp://{}@{host}/{}", self.credentials, self.vhost).into()
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// A channel in confirm mode that knows nothing of the bus.
    pub(crate) async fn channel(&self) -> (Connection, Channel) {
        use secrecy::ExposeSecret;
        let properties = ConnectionProperties::default();
        let connection = Connection::connect(self.url().expose_secret(), properties).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        (connection, channel)
    }

    /// The HTTP API's view of a queue.
    pub(crate) async fn queue(&self, name: &str) -> Value {
        http("GET", &format!("/api/queues/{}/{name}", self.vhost), "").await
    }

    /// Waits until somebody reads a queue, or what may not be there yet.
    pub(crate) async fn until_consumed(&self, name: &str) {
        let (connection, _channel) = self.channel().await;
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let consumed = async {
            loop {
                // A queue that is not there costs the channel.
                let channel = connection.create_channel().await.unwrap();
                match channel.queue_declare(name.into(), passive, FieldTable::default()).await {
                    Ok(queue) if queue.consumer_count() > 0 => return,
                    _ => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        super::soon(name, consumed).await;
    }

    /// The next message of a queue, waited for.
    pub(crate) async fn take(&self, channel: &Channel, queue: &str) -> (Vec<u8>, BasicProperties) {
        channel.basic_qos(1, BasicQosOptions::default()).await.unwrap();
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let mut consumer = channel.basic_consume(queue.into(), "".into(), options, arguments).await.unwrap();
        let message = super::soon(queue, consumer.next()).await.unwrap().unwrap();
        channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await.unwrap();
        message.acker.ack(BasicAckOptions::default()).await.unwrap();
        (message.data, message.properties)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let path = format!("/api/vhosts/{}", self.vhost);
        let deleted = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(http("DELETE", &path, ""));
        });
        drop(deleted.join());
    }
}

/// Publishes a raw body.
pub(crate) async fn send(channel: &Channel, exchange: &str, key: &str, body: &[u8], headers: FieldTable) {
    let properties = BasicProperties::default().with_headers(headers);
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let confirm =
        channel.basic_publish(exchange.into(), key.into(), options, body, properties).await.unwrap();
    let confirmation = confirm.await.unwrap();
    assert!(confirmation.is_ack() && confirmation.take_message().is_none(), "{key} is not routed");
}

/// One request to the HTTP API; its JSON, or null.
async fn http(method: &str, path: &str, body: &str) -> Value {
    let url = setting("NEPHOS_TEST_RABBITMQ_HTTP_URL", "http://nephos:nephos@127.0.0.1:45673");
    let (credentials, host) = address(&url);
    let credentials = base64::engine::general_purpose::STANDARD.encode(credentials);
    let mut stream = TcpStream::connect(&host).await.expect("RabbitMQ's HTTP API");
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {host}\r\nAuthorization: Basic {credentials}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap_or_default();
    assert!(status.starts_with('2'), "{method} {path}: {answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    serde_json::from_str(body).unwrap_or_default()
}

/// Forwards connections to the broker until cut.
pub(crate) struct Proxy {
    pub(crate) host: String,
    open: Arc<Mutex<bool>>,
    pipes: Arc<Mutex<Vec<AbortHandle>>>,
}

impl Proxy {
    pub(crate) async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let (open, pipes) = (Arc::new(Mutex::new(true)), Arc::new(Mutex::new(Vec::new())));
        let (target, is_open, list) = (target.to_owned(), Arc::clone(&open), Arc::clone(&pipes));
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                if !*is_open.lock().unwrap() {
                    continue;
                }
                let target = target.clone();
                let pipe = tokio::spawn(async move {
                    let mut server = TcpStream::connect(&target).await.unwrap();
                    // Either end may hang up first.
                    drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
                });
                list.lock().unwrap().push(pipe.abort_handle());
            }
        });
        Self { host, open, pipes }
    }

    /// Breaks all connections and lets no new ones through.
    pub(crate) fn cut(&self) {
        *self.open.lock().unwrap() = false;
        for pipe in self.pipes.lock().unwrap().drain(..) {
            pipe.abort();
        }
    }

    /// Lets connections through again.
    pub(crate) fn mend(&self) {
        *self.open.lock().unwrap() = true;
    }
}
