//! Descriptions of bodies that no type of ours has, because they are read with places for their errors or written as
//! text.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, Object, ObjectBuilder, Schema, SchemaType,
};
use utoipa::{PartialSchema, ToSchema};

/// An object of any keys.
#[derive(Debug)]
pub(super) struct AnyObject;

/// Points as `[timestamp, granularity, value]`, by the id of their metric.
#[derive(Debug)]
pub(super) struct PointsByMetric;

/// Points as `[timestamp, granularity, value]`.
#[derive(Debug)]
pub(super) struct PointList;

fn point_list() -> Schema {
    let point = ArrayBuilder::new()
        .items(Object::with_type(SchemaType::AnyValue))
        .min_items(Some(3))
        .max_items(Some(3));
    Schema::from(ArrayBuilder::new().items(point))
}

impl PartialSchema for PointList {
    fn schema() -> RefOr<Schema> {
        point_list().into()
    }
}

impl ToSchema for PointList {}

fn object_of(value: Schema) -> RefOr<Schema> {
    let values = AdditionalProperties::RefOr(RefOr::T(value));
    Schema::from(ObjectBuilder::new().additional_properties(Some(values))).into()
}

impl PartialSchema for AnyObject {
    fn schema() -> RefOr<Schema> {
        object_of(Object::with_type(SchemaType::AnyValue).into())
    }
}

impl ToSchema for AnyObject {}

impl PartialSchema for PointsByMetric {
    fn schema() -> RefOr<Schema> {
        object_of(point_list())
    }
}

impl ToSchema for PointsByMetric {}
