//! What samples tell of their resources beside who they are: the attributes that the definitions map, and the end. Pure.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;

use nephos_config::resources::{Definition, ResourceDefinition};
use nephos_model::{Sample, Timestamp};
use serde_json::{Value, json};

use crate::place::Place;

/// Metadata key by which a sample tells that its resource has gone.
const ENDED_AT: &str = "ended_at";
/// Member of a sample's document that all samples of one reading share.
const METADATA: &str = "resource_metadata";
/// The resource type without attributes of its own.
const NO_TYPE: &str = "generic";

/// What a sample tells of its resource.
#[derive(Debug)]
pub(crate) struct Description {
    /// Attributes by name; those without a value are left out.
    pub(crate) attributes: BTreeMap<String, Value>,
    /// When the resource ended, if it did.
    pub(crate) ended_at: Option<Timestamp>,
    hash: u64,
}

impl Description {
    fn new(definition: Option<&ResourceDefinition>, sample: &Sample) -> Self {
        let attributes = definition.map(|definition| attributes(definition, sample)).unwrap_or_default();
        let ended_at = sample.metadata_str(ENDED_AT).and_then(nephos_wire::time::parse_iso8601);
        let mut hasher = DefaultHasher::new();
        for (name, value) in &attributes {
            (name, value.to_string()).hash(&mut hasher);
        }
        ended_at.hash(&mut hasher);
        Self { attributes, ended_at, hash: hasher.finish() }
    }

    /// Hash of all that can change the resource in the index: samples with the same one tell the same.
    pub(crate) fn fingerprint(&self, place: &Place<'_>, sample: &Sample) -> u64 {
        let mut hasher = DefaultHasher::new();
        (place.resource_type, &sample.user_id, &sample.project_id, self.hash).hash(&mut hasher);
        hasher.finish()
    }
}

/// The descriptions of a batch's samples, each worked out once for all samples of a reading: they share their metadata.
#[derive(Debug, Default)]
pub(crate) struct Descriptions<'a> {
    /// By the addresses of metadata and definition, which stay where they are while the batch is borrowed.
    known: HashMap<(usize, usize), Arc<Description>>,
    batch: PhantomData<&'a Sample>,
}

impl<'a> Descriptions<'a> {
    /// What `sample` tells of the resource at `place`.
    pub(crate) fn of(&mut self, place: &Place<'a>, sample: &'a Sample) -> Arc<Description> {
        let definition = place.definition();
        if definition.is_some_and(|definition| !is_told_by_metadata(definition)) {
            return Arc::new(Description::new(definition, sample));
        }
        let address = definition.map_or(0, |definition| std::ptr::from_ref(definition).addr());
        let key = (Arc::as_ptr(&sample.metadata).addr(), address);
        let known = self.known.entry(key);
        Arc::clone(known.or_insert_with(|| Arc::new(Description::new(definition, sample))))
    }
}

/// Whether the metadata alone decide the attributes, not what differs between samples of one reading.
fn is_told_by_metadata(definition: &ResourceDefinition) -> bool {
    definition.attributes.iter().all(|attribute| match &attribute.definition {
        Definition::Constant(_) => true,
        Definition::Path(path) => path.looks_only_into(METADATA),
    })
}

fn attributes(definition: &ResourceDefinition, sample: &Sample) -> BTreeMap<String, Value> {
    if definition.resource_type == NO_TYPE || definition.attributes.is_empty() {
        return BTreeMap::new();
    }
    let document = document(sample);
    let value = |definition: &Definition| definition.evaluate(&document);
    let attributes = definition.attributes.iter();
    attributes.filter_map(|found| Some((found.name.clone(), value(&found.definition)?))).collect()
}

/// The sample's plain model fields, which definitions speak of.
fn document(sample: &Sample) -> Value {
    json!({
        "name": sample.name,
        "type": sample.kind.as_str(),
        "unit": sample.unit,
        "volume": sample.volume.as_f64(),
        "user_id": sample.user_id,
        "user_name": sample.user_name,
        "project_id": sample.project_id,
        "project_name": sample.project_name,
        "resource_id": sample.resource_id,
        "source": &*sample.source,
        "id": sample.id.to_string(),
        METADATA: Value::Object((*sample.metadata).clone()),
    })
}
