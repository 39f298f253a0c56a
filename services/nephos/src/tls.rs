//! Keys and certificates of listeners.

use std::sync::Arc;

use anyhow::Context;
use nephos_config::settings::ServerTls;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;

/// What a listener speaks TLS with; `None` for plain HTTP.
pub(crate) fn server(tls: Option<&ServerTls>) -> anyhow::Result<Option<Arc<ServerConfig>>> {
    let Some(tls) = tls else { return Ok(None) };
    let chain = certificates(&tls.cert)?;
    let key = PrivateKeyDer::from_pem_file(&tls.key)
        .with_context(|| format!("read the private key in {}", tls.key.display()))?;
    let builder = ServerConfig::builder();
    let builder = match &tls.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = rustls::RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).with_context(|| format!("authority in {}", path.display()))?;
            }
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().context("client_ca")?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let config = builder
        .with_single_cert(chain, key)
        .with_context(|| format!("certificate {} and key {}", tls.cert.display(), tls.key.display()))?;
    Ok(Some(Arc::new(config)))
}

fn certificates(path: &std::path::Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let certificates = read().with_context(|| format!("read the certificates in {}", path.display()))?;
    anyhow::ensure!(!certificates.is_empty(), "{} holds no certificate", path.display());
    Ok(certificates)
}
