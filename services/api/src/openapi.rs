//! The OpenAPI document of everything the API serves.

use utoipa::openapi::{Components, Info, License, OpenApi, OpenApiBuilder, Paths};

use crate::routes::Description;

/// One document of several groups of routes.
pub fn document(parts: Vec<Description>) -> OpenApi {
    let mut paths = Paths::new();
    let mut components = Components::new();
    for part in parts {
        paths.merge(part.paths);
        components.schemas.extend(part.schemas);
    }
    let mut info = Info::new("Nephos", env!("CARGO_PKG_VERSION"));
    info.description =
        Some("Metrics as Gnocchi serves them, alarms as Aodh serves them, and what is our own.".to_owned());
    info.license = Some(License::new("Apache-2.0"));
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components)).build()
}

/// The document as it is checked in and served.
pub fn text(document: &OpenApi) -> String {
    document.to_pretty_json().map(|text| text + "\n").unwrap_or_default()
}
