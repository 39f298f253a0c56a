//! Who this host is, in every sample it sends.

use std::sync::Arc;

use nephos_hypervisor::{Host, Roots};
use nephos_model::{Metadata, Sample};
use serde_json::Value;

/// Name and identifiers of the host.
#[derive(Clone, Debug)]
pub struct HostIdentity {
    /// Its name in resource identifiers.
    pub name: String,
    /// Stays when the name changes; 32 hexadecimal digits.
    pub machine_id: Option<String>,
    /// Origin of the monotonic clock: boot identifier and name. Without it there is no monotonic time.
    pub monotonic_origin: Option<String>,
    /// `source` of its samples.
    pub(crate) source: Arc<str>,
}

impl HostIdentity {
    /// The host called `name`, whose file systems are at `roots`.
    pub fn read(name: &str, roots: &Roots) -> Self {
        let mut host = Host::new(roots.clone());
        let monotonic_origin = host.boot_id().map(|boot| format!("{boot}/{name}"));
        Self {
            name: name.to_owned(),
            machine_id: host.machine_id(),
            monotonic_origin,
            source: Arc::from(Sample::DEFAULT_SOURCE),
        }
    }

    /// Metadata that every resource of this host begins with.
    pub(crate) fn metadata(&self, resource_type: &str, display_name: &str) -> Metadata {
        let mut metadata = Metadata::new();
        put(&mut metadata, Sample::RESOURCE_TYPE, resource_type);
        put(&mut metadata, "host", &self.name);
        put(&mut metadata, "display_name", display_name);
        if let Some(origin) = &self.monotonic_origin {
            put(&mut metadata, Sample::MONOTONIC_ORIGIN, origin);
        }
        metadata
    }
}

/// Sets a text.
pub(crate) fn put(metadata: &mut Metadata, key: &str, text: &str) {
    metadata.insert(key.to_owned(), Value::from(text));
}
