//! A table of routes that gives both the router and its OpenAPI description, so that the two cannot drift apart.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter};
use futures_util::future::{Either, Ready, ready};
use http::Method;
use utoipa::ToSchema;
use utoipa::openapi::path::{
    Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, Paths, PathsBuilder,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{Object, Schema, Type};
use utoipa::openapi::{ContentBuilder, HttpMethod, PathItem, Ref, RefOr, Required};

use crate::failure::Failure;

/// Routes over the state `S`, each with its description.
pub struct Routes<S> {
    paths: BTreeMap<&'static str, Vec<Route<S>>>,
    schemas: BTreeMap<String, RefOr<Schema>>,
    refuse: fn(Arc<str>) -> Response,
    servable: Servable,
}

/// Whether a route can serve a request at all.
type Servable = fn(&Request) -> Result<(), Failure>;

/// A handler of requests that can be served. It does what a layer of `axum` could, which costs two more futures on the
/// heap and two more copies of the service for each request.
#[derive(Clone)]
struct Only<H> {
    servable: Servable,
    handler: H,
}

impl<H: Handler<T, S>, T, S> Handler<T, S> for Only<H> {
    type Future = Either<Ready<Response>, H::Future>;

    fn call(self, request: Request, state: S) -> Self::Future {
        match (self.servable)(&request) {
            Ok(()) => Either::Right(self.handler.call(request, state)),
            Err(failure) => Either::Left(ready(failure.into_response())),
        }
    }
}

struct Route<S> {
    method: Method,
    router: MethodRouter<S>,
    operation: Operation,
}

impl<S> std::fmt::Debug for Routes<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Routes").field("paths", &self.paths.keys()).finish_non_exhaustive()
    }
}

/// What a route is for, what it takes and gives.
#[derive(Debug, Default)]
pub struct Doc {
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    query: Vec<(&'static str, &'static str)>,
    body: Option<Reference>,
    success: Option<(u16, Option<Reference>)>,
    failures: Vec<u16>,
}

/// A schema, and those it refers to.
struct Reference {
    media_type: &'static str,
    schema: RefOr<Schema>,
    named: Vec<(String, RefOr<Schema>)>,
}

impl std::fmt::Debug for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reference").field("media_type", &self.media_type).finish_non_exhaustive()
    }
}

impl Reference {
    fn of<T: ToSchema>(media_type: &'static str) -> Self {
        let mut named = Vec::new();
        T::schemas(&mut named);
        let name = T::name();
        // Lists, maps and scalars have no name of their own worth referring to.
        let is_named =
            matches!(T::schema(), RefOr::T(Schema::Object(object)) if !object.properties.is_empty());
        let schema = if is_named {
            named.push((name.to_string(), T::schema()));
            RefOr::Ref(Ref::from_schema_name(name))
        } else {
            T::schema()
        };
        Self { media_type, schema, named }
    }
}

impl Doc {
    /// A route: unique operation id, group, one line about it.
    pub fn new(id: &'static str, tag: &'static str, summary: &'static str) -> Self {
        Self { id, tag, summary, ..Self::default() }
    }

    /// Query arguments: name and meaning.
    pub fn query(mut self, arguments: &[(&'static str, &'static str)]) -> Self {
        self.query.extend_from_slice(arguments);
        self
    }

    /// Takes JSON of this shape.
    pub fn body<T: ToSchema>(self) -> Self {
        self.body_of::<T>("application/json")
    }

    /// Takes a body of this media type and shape.
    pub fn body_of<T: ToSchema>(mut self, media_type: &'static str) -> Self {
        self.body = Some(Reference::of::<T>(media_type));
        self
    }

    /// Answers with JSON of this shape.
    pub fn gives<T: ToSchema>(mut self, status: u16) -> Self {
        self.success = Some((status, Some(Reference::of::<T>("application/json"))));
        self
    }

    /// Answers without a body.
    pub fn gives_nothing(mut self, status: u16) -> Self {
        self.success = Some((status, None));
        self
    }

    /// May be refused with these statuses, apart from those that any route may give.
    pub fn fails(mut self, statuses: &[u16]) -> Self {
        self.failures.extend_from_slice(statuses);
        self
    }

    fn into_operation(self, path: &str, schemas: &mut BTreeMap<String, RefOr<Schema>>) -> Operation {
        let mut operation =
            OperationBuilder::new().operation_id(Some(self.id)).tag(self.tag).summary(Some(self.summary));
        for name in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
            operation = operation.parameter(parameter(name, ParameterIn::Path, Required::True, None));
        }
        for (name, meaning) in self.query {
            operation =
                operation.parameter(parameter(name, ParameterIn::Query, Required::False, Some(meaning)));
        }
        let mut content = |reference: Reference| {
            schemas.extend(reference.named);
            (reference.media_type, ContentBuilder::new().schema(Some(reference.schema)).build())
        };
        if let Some(body) = self.body {
            let (media_type, body) = content(body);
            let body =
                RequestBodyBuilder::new().content(media_type, body).required(Some(Required::True)).build();
            operation = operation.request_body(Some(body));
        }
        if let Some((status, shape)) = self.success {
            let mut response = ResponseBuilder::new().description(reason(status));
            if let Some(shape) = shape {
                let (media_type, shape) = content(shape);
                response = response.content(media_type, shape);
            }
            operation = operation.response(status.to_string(), response.build());
        }
        for status in self.failures {
            let response = ResponseBuilder::new().description(reason(status)).build();
            operation = operation.response(status.to_string(), response);
        }
        operation.build()
    }
}

fn parameter(name: &str, place: ParameterIn, required: Required, meaning: Option<&str>) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(meaning)
        .schema(Some(Object::with_type(Type::String)))
        .build()
}

fn reason(status: u16) -> &'static str {
    let status = http::StatusCode::from_u16(status).ok();
    status.and_then(|status| status.canonical_reason()).unwrap_or("Answer")
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// No routes; a known path with another method is answered by `refuse`, which is given the `Allow` header.
    pub fn new(refuse: fn(Arc<str>) -> Response) -> Self {
        Self { paths: BTreeMap::new(), schemas: BTreeMap::new(), refuse, servable: |_| Ok(()) }
    }

    /// Refuses what is not servable; holds for routes that are added later.
    pub fn only(mut self, servable: fn(&Request) -> Result<(), Failure>) -> Self {
        self.servable = servable;
        self
    }

    /// Adds a route.
    pub fn add<H, T>(mut self, method: Method, path: &'static str, handler: H, doc: Doc) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        let operation = doc.into_operation(path, &mut self.schemas);
        let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::TRACE);
        let router = axum::routing::on(filter, Only { servable: self.servable, handler });
        self.paths.entry(path).or_default().push(Route { method, router, operation });
        self
    }

    /// `GET`.
    pub fn get<H: Handler<T, S>, T: 'static>(self, path: &'static str, handler: H, doc: Doc) -> Self {
        self.add(Method::GET, path, handler, doc)
    }

    /// `POST`.
    pub fn post<H: Handler<T, S>, T: 'static>(self, path: &'static str, handler: H, doc: Doc) -> Self {
        self.add(Method::POST, path, handler, doc)
    }

    /// `PATCH`.
    pub fn patch<H: Handler<T, S>, T: 'static>(self, path: &'static str, handler: H, doc: Doc) -> Self {
        self.add(Method::PATCH, path, handler, doc)
    }

    /// `PUT`.
    pub fn put<H: Handler<T, S>, T: 'static>(self, path: &'static str, handler: H, doc: Doc) -> Self {
        self.add(Method::PUT, path, handler, doc)
    }

    /// `DELETE`.
    pub fn delete<H: Handler<T, S>, T: 'static>(self, path: &'static str, handler: H, doc: Doc) -> Self {
        self.add(Method::DELETE, path, handler, doc)
    }

    /// The router, and the description of what it serves. `HEAD` is refused unless it was added.
    pub fn build(self) -> (Router<S>, Description) {
        let mut router = Router::new();
        let mut paths = PathsBuilder::new();
        for (path, routes) in self.paths {
            let mut methods: Vec<&str> = routes.iter().map(|route| route.method.as_str()).collect();
            methods.sort_unstable();
            let allow: Arc<str> = methods.join(", ").into();
            let has_head = methods.contains(&"HEAD");
            let refuse = self.refuse;
            let handler = move || std::future::ready(refuse(Arc::clone(&allow)));
            let refusal = Only { servable: self.servable, handler };
            let mut here = MethodRouter::new().fallback(refusal.clone());
            if !has_head {
                here = here.head(refusal);
            }
            let mut item = PathItem::from_http_methods(Vec::<HttpMethod>::new(), Operation::new());
            for route in routes {
                here = here.merge(route.router);
                let slot = match route.method {
                    Method::GET => &mut item.get,
                    Method::PUT => &mut item.put,
                    Method::POST => &mut item.post,
                    Method::DELETE => &mut item.delete,
                    Method::PATCH => &mut item.patch,
                    _ => &mut item.head,
                };
                *slot = Some(route.operation);
            }
            router = router.route(path, here);
            paths = paths.path(path, item);
        }
        (router, Description { paths: paths.build(), schemas: self.schemas })
    }
}

/// OpenAPI's view of some routes.
pub struct Description {
    /// Paths with their operations.
    pub paths: Paths,
    /// Named schemas.
    pub schemas: BTreeMap<String, RefOr<Schema>>,
}

impl std::fmt::Debug for Description {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Description").field("paths", &self.paths.paths.keys()).finish_non_exhaustive()
    }
}
