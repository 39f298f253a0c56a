//! The files Nephos brings along, used where the settings name none.

/// `polling.yaml` of services that run apart.
pub const POLLING: &str = include_str!("../../../pipeline/defaults/polling.yaml");
/// `polling.yaml` of one process.
pub const POLLING_EMBEDDED: &str = include_str!("../../../pipeline/defaults/polling-embedded.yaml");
/// `pipeline.yaml`.
pub const PIPELINE: &str = include_str!("../../../pipeline/defaults/pipeline.yaml");
/// `gnocchi_resources.yaml`.
pub const RESOURCES: &str = include_str!("../../../pipeline/defaults/gnocchi_resources.yaml");
/// Attributes of the resource types that [`RESOURCES`] names.
pub(crate) const RESOURCE_TYPES: &str = include_str!("../../../pipeline/defaults/resource_types.yaml");
