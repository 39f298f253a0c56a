//! Connecting to an S3-compatible server.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{Certificate, ClientOptions, Error, RetryConfig};
use secrecy::{ExposeSecret, SecretString};
use tokio::runtime::Handle;

use super::bucket::{Bucket, CACHE, TRY};
use crate::contract::StoreError;

/// An S3-compatible bucket, and who we are there.
#[derive(Clone, Debug)]
pub struct S3Options {
    /// Name of the bucket, which exists.
    pub bucket: String,
    /// Begins the names of all objects; may be empty.
    pub prefix: String,
    /// Region of the bucket.
    pub region: String,
    /// URL of the server; that of Amazon if absent.
    pub endpoint: Option<String>,
    /// Whether `http:` endpoints are fine.
    pub allow_http: bool,
    /// Name of the key that requests are signed with.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: SecretString,
    /// Authorities to trust besides the system's, PEM.
    pub ca: Option<Vec<u8>>,
    /// Bytes of pages kept in memory.
    pub cache: u64,
}

impl S3Options {
    /// A bucket in `us-east-1` at Amazon, 128 MiB of pages.
    pub fn new(
        bucket: impl Into<String>,
        access_key_id: impl Into<String>,
        secret_access_key: SecretString,
    ) -> Self {
        Self {
            bucket: bucket.into(),
            prefix: String::new(),
            region: "us-east-1".to_owned(),
            endpoint: None,
            allow_http: false,
            access_key_id: access_key_id.into(),
            secret_access_key,
            ca: None,
            cache: CACHE,
        }
    }
}

pub(super) fn connect(options: &S3Options, runtime: Handle) -> Result<Bucket, StoreError> {
    let name = format!("s3://{}", options.bucket);
    let objects = build(options);
    let bucket = |objects| Bucket::new(objects, name.clone(), runtime, options.cache);
    match objects {
        Ok(objects) => Ok(bucket(Arc::new(objects))),
        Err(error) => {
            let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, error.to_string());
            Err(StoreError::Io {
                action: "use",
                path: format!("{name}/{}", Path::from(options.prefix.as_str())),
                source,
            })
        }
    }
}

fn build(options: &S3Options) -> Result<object_store::aws::AmazonS3, Error> {
    let mut client = ClientOptions::new()
        .with_timeout(TRY)
        .with_connect_timeout(Duration::from_secs(5))
        .with_allow_http(options.allow_http);
    for certificate in options.ca.iter().map(|pem| Certificate::from_pem_bundle(pem)) {
        client = certificate?.into_iter().fold(client, ClientOptions::with_root_certificate);
    }
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&options.bucket)
        .with_region(&options.region)
        .with_access_key_id(&options.access_key_id)
        .with_secret_access_key(options.secret_access_key.expose_secret())
        .with_client_options(client)
        // Every repetition must know what the one before may have done: we repeat ourselves.
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() });
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    builder.build()
}
