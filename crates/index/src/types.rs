//! Changes of resource types, and what they do to resources that exist.

use std::sync::Arc;

use nephos_model::{AttributeType, ResourceType};
use nephos_sql::{Constraint, Dialect, Row, Tx, Value};

use crate::codec;
use crate::contract::{IndexError, TypeChange};
use crate::sql_index::{SqlIndex, WriteError};

const WHAT: &str = "resource type";
/// The base type, which every resource also is.
pub(crate) const GENERIC: &str = "generic";

/// Writes a type; `false` if there is one of that name.
pub(crate) const INSERT: &str =
    "INSERT INTO resource_type (name, attributes, state) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";

pub(crate) fn insert_params(resource_type: &ResourceType) -> [Value; 3] {
    [
        (&resource_type.name).into(),
        codec::write_attribute_types(&resource_type.attributes).into(),
        resource_type.state.as_str().into(),
    ]
}

fn decode(mut row: Row) -> Result<ResourceType, IndexError> {
    let name = row.take_text(0)?;
    codec::resource_type(name, row.text(1)?, row.text(2)?)
}

impl SqlIndex {
    pub(crate) async fn insert_type(&self, resource_type: &ResourceType) -> Result<(), IndexError> {
        let created = self.db.execute(INSERT, &insert_params(resource_type)).await?;
        self.catalogue.changed();
        if created == 0 { Err(IndexError::already_exists(WHAT, &resource_type.name)) } else { Ok(()) }
    }

    pub(crate) async fn list_types(&self) -> Result<Vec<Arc<ResourceType>>, IndexError> {
        let sql = "SELECT name, attributes, state FROM resource_type ORDER BY name";
        self.db.read(sql, &[]).await?.into_iter().map(|row| decode(row).map(Arc::new)).collect()
    }

    pub(crate) async fn read_type(&self, name: &str) -> Result<Option<Arc<ResourceType>>, IndexError> {
        let sql = "SELECT name, attributes, state FROM resource_type WHERE name = $1";
        let row = self.db.read_one(sql, &[name.into()]).await?;
        row.map(|row| decode(row).map(Arc::new)).transpose()
    }

    pub(crate) async fn change_type(
        &self,
        name: &str,
        changes: &[TypeChange],
    ) -> Result<Arc<ResourceType>, IndexError> {
        let changed = self
            .db
            .transaction(|tx| {
                Box::pin(async move {
                    // The lock keeps resources of the type from being created meanwhile: they refer to this row.
                    let lock = tx.dialect().for_update();
                    let sql =
                        format!("SELECT name, attributes, state FROM resource_type WHERE name = $1{lock}");
                    let row = tx.read_one(sql, &[name.into()]).await?;
                    let stored = decode(row.ok_or_else(|| IndexError::not_found(WHAT, name))?)?;
                    let mut changed = stored.clone();
                    for change in changes {
                        apply(tx, &mut changed, change).await?;
                    }
                    if changed != stored {
                        let attributes = codec::write_attribute_types(&changed.attributes);
                        let sql = "UPDATE resource_type SET attributes = $2 WHERE name = $1";
                        tx.execute(sql, &[name.into(), attributes.into()]).await?;
                    }
                    Ok::<_, WriteError>(changed)
                })
            })
            .await?;
        self.catalogue.changed();
        Ok(Arc::new(changed))
    }

    pub(crate) async fn remove_type(&self, name: &str) -> Result<(), IndexError> {
        let in_use = || Err(IndexError::InUse { what: WHAT, id: name.to_owned() });
        if name == GENERIC {
            return in_use();
        }
        let deleted = self.db.execute("DELETE FROM resource_type WHERE name = $1", &[name.into()]).await;
        self.catalogue.changed();
        match deleted {
            Ok(0) => Err(IndexError::not_found(WHAT, name)),
            Ok(_) => Ok(()),
            Err(error) if error.constraint() == Some(Constraint::ForeignKey) => in_use(),
            Err(error) => Err(error.into()),
        }
    }
}

async fn apply(
    tx: &mut Tx<'_>,
    resource_type: &mut ResourceType,
    change: &TypeChange,
) -> Result<(), WriteError> {
    match change {
        TypeChange::Put { name, attribute, fill } => {
            check_put(resource_type, name, attribute, fill.is_some())?;
            if let Some(fill) = fill.as_ref().filter(|fill| !fill.is_null()) {
                for table in ["resource", "resource_history"] {
                    let params = [(&resource_type.name).into(), name.into(), fill.to_string().into()];
                    tx.execute(fill_sql(tx.dialect(), table), &params).await?;
                }
            }
            resource_type.attributes.insert(name.clone(), attribute.clone());
        }
        TypeChange::Remove { name } => {
            if resource_type.attributes.remove(name).is_none() {
                let text = format!("can't remove a non-existent object '{name}'");
                return Err(IndexError::UnsupportedTypeChange(text).into());
            }
            for table in ["resource", "resource_history"] {
                let params = [(&resource_type.name).into(), name.into()];
                tx.execute(drop_sql(tx.dialect(), table), &params).await?;
            }
        }
    }
    Ok(())
}

/// An attribute keeps its type, and becomes required only with a value for resources that lack it.
fn check_put(
    resource_type: &ResourceType,
    name: &str,
    attribute: &AttributeType,
    filled: bool,
) -> Result<(), IndexError> {
    let stored = resource_type.attributes.get(name);
    if let Some(stored) = stored {
        let (old, new) = (codec::kind_name(&stored.kind), codec::kind_name(&attribute.kind));
        if old != new {
            return Err(IndexError::UnsupportedTypeChange(format!(
                "Type update is not available yet. Changing {old} to {new} for attribute {name} of resource {}",
                resource_type.name
            )));
        }
    }
    let newly_required = attribute.required && stored.is_none_or(|stored| !stored.required);
    if newly_required && !filled {
        return Err(IndexError::UnsupportedTypeChange(format!(
            "Option 'fill' of resource attribute {name} is invalid: must not be empty if required=True"
        )));
    }
    Ok(())
}

/// Gives every revision of type `$1` without attribute `$2` the JSON value `$3`.
fn fill_sql(dialect: Dialect, table: &str) -> String {
    match dialect {
        Dialect::Sqlite => format!(
            "UPDATE {table} SET attributes = json_set(attributes, '$.\"' || $2 || '\"', json($3))
             WHERE resource_type = $1 AND json_type(attributes, '$.\"' || $2 || '\"') IS NULL"
        ),
        Dialect::Postgres => format!(
            "UPDATE {table} SET attributes = jsonb_set(attributes::jsonb, ARRAY[$2], $3::jsonb)::text
             WHERE resource_type = $1 AND attributes::json -> $2 IS NULL"
        ),
    }
}

/// Takes attribute `$2` from every revision of type `$1`.
fn drop_sql(dialect: Dialect, table: &str) -> String {
    match dialect {
        Dialect::Sqlite => format!(
            "UPDATE {table} SET attributes = json_remove(attributes, '$.\"' || $2 || '\"')
             WHERE resource_type = $1 AND json_type(attributes, '$.\"' || $2 || '\"') IS NOT NULL"
        ),
        Dialect::Postgres => format!(
            "UPDATE {table} SET attributes = (attributes::jsonb - $2)::text
             WHERE resource_type = $1 AND attributes::json -> $2 IS NOT NULL"
        ),
    }
}
