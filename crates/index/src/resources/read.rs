//! Reading resources: one statement brings a resource and its metrics.

use nephos_model::{AttributeKind, Resource, ResourceId, ResourceType, Timestamp};
use nephos_sql::{Dialect, Kind, Row};
use uuid::Uuid;

use super::search::Translator;
use crate::codec;
use crate::contract::{Filter, IndexError, Page};
use crate::page::{Column, Order};
use crate::query::Conditions;
use crate::sql_index::SqlIndex;
use crate::types::GENERIC;

/// What is listed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Listing<'a> {
    /// Type; `generic` means all.
    pub(super) resource_type: &'a str,
    /// One resource only.
    pub(super) id: Option<ResourceId>,
    /// Past revisions too.
    pub(super) history: bool,
    /// What must hold, and what its relative times are relative to.
    pub(super) filter: Option<(&'a Filter, Timestamp)>,
}

/// Columns that current and past revisions have in common.
pub(super) const SHARED: &str = "id, resource_type, original_resource_id, creator, user_id, project_id, started_at, \
     ended_at, revision_start, attributes";
const CURRENT: &str = "-1 AS revision, CAST(NULL AS BIGINT) AS revision_end";

/// What a listing reads from, under the name `r`.
fn source(history: bool) -> String {
    if history {
        format!(
            "(SELECT {SHARED}, revision, revision_end FROM resource_history
             UNION ALL SELECT {SHARED}, CAST(-1 AS BIGINT), CAST(NULL AS BIGINT) FROM resource) AS r"
        )
    } else {
        "resource AS r".to_owned()
    }
}

/// The head of a statement that [`SqlIndex::decode`] understands.
fn select(dialect: Dialect, history: bool) -> String {
    let metrics = match dialect {
        // Text, and not JSON that could become a part of other JSON.
        Dialect::Sqlite => "json_group_object(m.name, hex(m.id)) || ''",
        Dialect::Postgres => "json_object_agg(m.name, encode(m.id, 'hex'))::text",
    };
    let revision = if history { "revision, revision_end" } else { CURRENT };
    let source = source(history);
    format!(
        "SELECT {SHARED}, {revision},
         (SELECT {metrics} FROM metric AS m WHERE m.resource_id = r.id AND m.name IS NOT NULL) FROM {source}"
    )
}

/// The kinds of its columns.
const KINDS: [Kind; 13] = [
    Kind::Bytes,
    Kind::Text,
    Kind::Text,
    Kind::Text,
    Kind::Text,
    Kind::Text,
    Kind::Int,
    Kind::Int,
    Kind::Int,
    Kind::Text,
    Kind::Int,
    Kind::Int,
    Kind::Text,
];

impl SqlIndex {
    pub(super) async fn read_resource(
        &self,
        resource_type: &str,
        id: ResourceId,
    ) -> Result<Option<Resource>, IndexError> {
        let mut conditions = Conditions::default();
        conditions.compare("r.id", "=", id.0);
        if resource_type != GENERIC {
            conditions.compare("r.resource_type", "=", resource_type);
        }
        let sql = conditions.statement(&select(self.db.dialect(), false), "");
        let rows = self.db.read(sql, conditions.params()).await?;
        Ok(self.decode(rows).await?.pop())
    }

    /// A page of a listing. `NotFound` of the type, or of the one resource.
    pub(super) async fn list_resources(
        &self,
        listing: &Listing<'_>,
        page: &Page,
    ) -> Result<Vec<Resource>, IndexError> {
        let Listing { resource_type, id, history, filter } = *listing;
        let dialect = self.db.dialect();
        let definition = self.catalogue.resource_type(resource_type).await?;
        let ties: &[&str] = if history { &["id", "revision"] } else { &["id"] };
        let default = [("revision_start", false), ("started_at", false)];
        let order = Order::new(page, &default, ties, |key| column(dialect, &definition, history, key))?;
        let mut conditions = Conditions::default();
        if let Some(id) = id {
            conditions.compare("r.id", "=", id.0);
        }
        match filter {
            Some((filter, now)) => {
                let translator = Translator { dialect, definition: &definition, history, now };
                self.restrict(&translator, filter, &mut conditions).await?;
            }
            None if resource_type != GENERIC => conditions.compare("r.resource_type", "=", resource_type),
            None => {}
        }
        if let Some(marker) = &page.marker {
            self.resources_after(marker, resource_type, history, &order, &mut conditions).await?;
        }
        let sql = conditions.statement(&select(dialect, history), &order.tail(page));
        let rows = self.db.list(sql, &KINDS, conditions.params()).await?;
        match id {
            // Nothing after the marker is no error, no revision at all is.
            Some(id) if rows.is_empty() && page.marker.is_none() => {
                Err(IndexError::not_found("resource", id))
            }
            _ => self.decode(rows).await,
        }
    }

    async fn resources_after(
        &self,
        marker: &str,
        resource_type: &str,
        history: bool,
        order: &Order,
        conditions: &mut Conditions,
    ) -> Result<(), IndexError> {
        let bad = || IndexError::BadMarker(marker.to_owned());
        let mut of_marker = Conditions::default();
        let id = if history {
            let (id, revision) = marker.split_once('@').ok_or_else(bad)?;
            of_marker.compare("r.revision", "=", revision.parse::<i64>().map_err(|_| bad())?);
            id
        } else {
            marker
        };
        of_marker.compare("r.id", "=", id.parse::<Uuid>().map_err(|_| bad())?);
        if resource_type != GENERIC {
            of_marker.compare("r.resource_type", "=", resource_type);
        }
        let head = format!("SELECT {} FROM {}", order.key(), source(history));
        let row = self.db.read_one(of_marker.statement(&head, ""), of_marker.params()).await?;
        order.after(row.ok_or_else(bad)?.into_values(), conditions);
        Ok(())
    }

    /// Rows of [`select`] as resources, in their order.
    pub(super) async fn decode(&self, rows: Vec<Row>) -> Result<Vec<Resource>, IndexError> {
        let mut catalog = self.catalogue.recent().await?;
        let mut resources = Vec::with_capacity(rows.len());
        for row in rows {
            let mut resource = resource(row)?;
            if catalog.resource_type(&resource.resource_type).is_none() {
                catalog = self.catalogue.fresh().await?;
            }
            if let Some(definition) = catalog.resource_type(&resource.resource_type) {
                complete(&mut resource, definition);
            }
            resources.push(resource);
        }
        Ok(resources)
    }
}

/// Every attribute of the type is present, unset ones as null.
pub(super) fn complete(resource: &mut Resource, definition: &ResourceType) {
    for name in definition.attributes.keys() {
        if !resource.attributes.contains_key(name) {
            resource.attributes.insert(name.clone(), serde_json::Value::Null);
        }
    }
}

fn resource(mut row: Row) -> Result<Resource, IndexError> {
    Ok(Resource {
        id: ResourceId(row.uuid(0)?),
        resource_type: row.take_text(1)?,
        original_resource_id: row.take_text(2)?,
        creator: row.take_opt_text(3)?,
        user_id: row.take_opt_text(4)?,
        project_id: row.take_opt_text(5)?,
        started_at: row.timestamp(6)?,
        ended_at: row.opt_timestamp(7)?,
        revision_start: row.timestamp(8)?,
        attributes: codec::attributes(row.text(9)?)?,
        revision: row.int(10)?,
        revision_end: row.opt_timestamp(11)?,
        metrics: codec::metrics(row.opt_text(12)?)?,
    })
}

/// Columns of a resource, and attributes of the type that is listed.
fn column(dialect: Dialect, definition: &ResourceType, history: bool, key: &str) -> Option<Column> {
    let in_history = |column: Option<Column>| if history { column } else { Some(Column::Constant) };
    match key {
        "id" => Column::always("r.id"),
        "type" => Column::always("r.resource_type"),
        "original_resource_id" => Column::always("r.original_resource_id"),
        "started_at" => Column::always("r.started_at"),
        "revision_start" => Column::always("r.revision_start"),
        "creator" => Column::nullable("r.creator"),
        "user_id" => Column::nullable("r.user_id"),
        "project_id" => Column::nullable("r.project_id"),
        "ended_at" => Column::nullable("r.ended_at"),
        "revision" => in_history(Column::always("r.revision")),
        "revision_end" => in_history(Column::nullable("r.revision_end")),
        attribute => {
            let kind = &definition.attributes.get(attribute)?.kind;
            attribute_expression(dialect, attribute, kind).map(Column::Nullable)
        }
    }
}

/// The value of an attribute, comparable. None for names that cannot be part of a statement's text.
pub(super) fn attribute_expression(dialect: Dialect, name: &str, kind: &AttributeKind) -> Option<String> {
    if name.contains(['"', '\'', '\\']) {
        return None;
    }
    Some(match (dialect, kind) {
        (Dialect::Sqlite, _) => format!("json_extract(r.attributes, '$.\"{name}\"')"),
        (Dialect::Postgres, AttributeKind::Number { .. }) => {
            format!("(r.attributes::json ->> '{name}')::float8")
        }
        (Dialect::Postgres, AttributeKind::Bool) => format!("(r.attributes::json ->> '{name}')::boolean"),
        (Dialect::Postgres, _) => format!("((r.attributes::json ->> '{name}') COLLATE \"C\")"),
    })
}
