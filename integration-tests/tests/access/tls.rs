//! Listeners of other processes by TLS, with an authority of one's own.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use nephos_integration_tests::servers::Servers;
use nephos_integration_tests::{Http, Nephos, wait_for};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::support::PATIENCE;

fn openssl(folder: &Path, arguments: &[&str]) {
    let output =
        Command::new("openssl").args(arguments).current_dir(folder).output().expect("openssl is installed");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority, and a certificate of it for loopback, good for servers and clients.
fn certificates(folder: &Path) {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let authority =
        ["req", "-x509", "-days", "30", "-subj", "/CN=authority", "-keyout", "ca-key.pem", "-out", "ca.pem"];
    let usage = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"];
    openssl(folder, &[&authority[..], &key, &usage].concat());
    openssl(
        folder,
        &[&["req", "-subj", "/CN=nephos", "-keyout", "key.pem", "-out", "request.pem"][..], &key].concat(),
    );
    let extensions = "basicConstraints=critical,CA:FALSE\nsubjectAltName=IP:127.0.0.1,DNS:localhost\n\
                      extendedKeyUsage=serverAuth,clientAuth\n";
    std::fs::write(folder.join("extensions"), extensions).unwrap();
    let sign =
        ["x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial"];
    openssl(folder, &[&sign[..], &["-days", "30", "-extfile", "extensions", "-out", "cert.pem"]].concat());
}

/// Speaks TLS before a server that does not; its port.
async fn tls_before(folder: &Path, server: String) -> u16 {
    let chain =
        CertificateDer::pem_file_iter(folder.join("cert.pem")).unwrap().collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, server) = (acceptor.clone(), server.clone());
            tokio::spawn(async move {
                let Ok(mut client) = acceptor.accept(stream).await else { return };
                let mut server = TcpStream::connect(server).await.unwrap();
                // Ends when either side does.
                let _ended = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    port
}

async fn ready(api: &Http) {
    wait_for("it is ready", PATIENCE, || async {
        let answer = api.try_send("GET", "/readyz", None).await?;
        if answer.status == 200 { Ok(()) } else { Err(answer.text) }
    })
    .await;
}

#[tokio::test]
async fn store_bus_and_health_are_reached_by_tls_with_an_own_authority() {
    nephos_integration_tests::http::install_tls();
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (authority, cert, key) = (path("ca.pem"), path("cert.pem"), path("key.pem"));
    let servers = Servers::create().await;
    // amqp://user:password@host:port/vhost
    let (credentials, place) = servers.amqp.strip_prefix("amqp://").unwrap().split_once('@').unwrap();
    let (host, vhost) = place.split_once('/').unwrap();
    let port = tls_before(folder.path(), host.to_owned()).await;
    let bus = format!(
        "{{ url = \"amqps://{credentials}@localhost:{port}/{vhost}\", ca_bundle = \"{authority}\" }}"
    );
    let toml = format!(
        "index = \"{}\"\nbus = {bus}\n\
         [store]\ntoken = \"a token of the tests\"\nca_bundle = \"{authority}\"\ncertificate = \"{cert}\"\nkey = \"{key}\"\n\
         [store.tls]\ncert = \"{cert}\"\nkey = \"{key}\"\nclient_ca = \"{authority}\"\n\
         [observe.tls]\ncert = \"{cert}\"\nkey = \"{key}\"\n",
        servers.postgres
    );
    let config = path("nephos.toml");
    std::fs::write(&config, toml).unwrap();
    let start =
        |service: &str| Nephos::start_with(service, &["--config", &config], folder.path(), service, &[]);
    let (collector, api) = (start("collector"), start("api"));
    let (store_url, observe_url) = (collector.url("store").await, collector.url("observe").await);
    assert!(store_url.starts_with("https://127.0.0.1:") && observe_url.starts_with("https://127.0.0.1:"));
    let pem = std::fs::read(&authority).unwrap();

    // Health, to whoever trusts the authority; ready means that the bus was reached by TLS as well.
    ready(&Http::trusting(&observe_url, &pem)).await;
    assert!(
        Http::new(&observe_url).try_send("GET", "/healthz", None).await.is_err(),
        "the authority is not known"
    );
    let plain = observe_url.replace("https:", "http:");
    assert!(Http::new(&plain).try_send("GET", "/healthz", None).await.is_err(), "no TLS, no answer");
    // The store wants a certificate of its callers.
    let nobody = Http::trusting(&store_url, &pem).try_send("POST", "/internal/v2/query", None).await;
    assert!(nobody.is_err(), "{nobody:?}");

    // Measures go from the API to the owner of the store and back.
    let client = Http::new(&api.url("api").await);
    ready(&client).await;
    let metric = client.post("/v1/metric", &json!({"archive_policy_name": "low"})).await.expect(201).json();
    let path = format!("/v1/metric/{}/measures", metric["id"].as_str().unwrap());
    client.post(&path, &json!([{"timestamp": "2026-01-01T00:00:00", "value": 4}])).await.expect(202);
    let points = client.get(&path).await.expect(200).json();
    assert_eq!(points, json!([["2026-01-01T00:00:00+00:00", 300.0, 4.0]]));
    drop((collector, api));
    servers.remove().await;
}
