//! The OpenAPI document of everything the API serves.

use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Components, Info, License, OpenApi, OpenApiBuilder, Paths, RefOr};

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
    components.security_schemes.extend(schemes().map(|(name, scheme)| (name, RefOr::T(scheme))));
    let none: [String; 0] = [];
    let security = ["basic", "bearer", "token"].map(|name| SecurityRequirement::new(name, none.clone()));
    OpenApiBuilder::new()
        .info(info)
        .paths(paths)
        .components(Some(components))
        .security(Some(security))
        .build()
}

/// How clients say who they are.
fn schemes() -> [(String, SecurityScheme); 3] {
    let http = |scheme, about: &str| {
        SecurityScheme::Http(HttpBuilder::new().scheme(scheme).description(Some(about)).build())
    };
    let token = "The same token, as OpenStack's clients send it";
    let basic = "Name and password of an account; with auth_mode \"basic\" the password is ignored";
    [
        ("basic".to_owned(), http(HttpAuthScheme::Basic, basic)),
        (
            "bearer".to_owned(),
            http(HttpAuthScheme::Bearer, "A token of an account, with auth_mode \"local\""),
        ),
        (
            "token".to_owned(),
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description("X-Auth-Token", token))),
        ),
    ]
}

/// The document as it is checked in and served.
pub fn text(document: &OpenApi) -> String {
    document.to_pretty_json().map(|text| text + "\n").unwrap_or_default()
}
