//! Resources, their revisions and their types.

mod ensure;
mod read;
mod search;
mod write;

use std::sync::Arc;

use async_trait::async_trait;
use nephos_model::{MetricId, Resource, ResourceId, ResourceType, Timestamp};
use nephos_sql::Dialect;

use crate::contract::{
    EnsureMetric, EnsureResource, EnsuredMetric, IndexError, NewResource, Page, ResourceIndex,
    ResourceSearch, ResourceUpdate, TypeChange,
};
use crate::instrument;
use crate::sql_index::SqlIndex;
use read::Listing;

pub(crate) use write::{COLUMNS, values};

pub(crate) const RESOURCE: &str = "resource";

#[async_trait]
impl ResourceIndex for SqlIndex {
    async fn create_resource_type(&self, resource_type: &ResourceType) -> Result<(), IndexError> {
        self.insert_type(resource_type).await
    }

    async fn resource_types(&self) -> Result<Vec<Arc<ResourceType>>, IndexError> {
        self.list_types().await
    }

    async fn resource_type(&self, name: &str) -> Result<Option<Arc<ResourceType>>, IndexError> {
        self.read_type(name).await
    }

    async fn update_resource_type(
        &self,
        name: &str,
        changes: &[TypeChange],
    ) -> Result<Arc<ResourceType>, IndexError> {
        self.change_type(name, changes).await
    }

    async fn delete_resource_type(&self, name: &str) -> Result<(), IndexError> {
        self.remove_type(name).await
    }

    async fn create_resource(&self, resource: &NewResource) -> Result<Resource, IndexError> {
        self.insert_resource(resource).await
    }

    async fn resource(&self, resource_type: &str, id: ResourceId) -> Result<Option<Resource>, IndexError> {
        self.read_resource(resource_type, id).await
    }

    async fn resources(
        &self,
        resource_type: &str,
        history: bool,
        page: &Page,
    ) -> Result<Vec<Resource>, IndexError> {
        let listing = Listing { resource_type, history, ..Listing::default() };
        self.list_resources(&listing, page).await
    }

    async fn search_resources(
        &self,
        search: &ResourceSearch,
        page: &Page,
    ) -> Result<Vec<Resource>, IndexError> {
        let ResourceSearch { resource_type, history, filter, now } = search;
        let filter = filter.as_ref().map(|filter| (filter, *now));
        self.list_resources(&Listing { resource_type, id: None, history: *history, filter }, page).await
    }

    async fn resource_history(
        &self,
        resource_type: &str,
        id: ResourceId,
        page: &Page,
    ) -> Result<Vec<Resource>, IndexError> {
        let listing = Listing { resource_type, id: Some(id), history: true, filter: None };
        self.list_resources(&listing, page).await
    }

    async fn update_resource(
        &self,
        resource_type: &str,
        id: ResourceId,
        update: &ResourceUpdate,
    ) -> Result<Resource, IndexError> {
        self.change_resource(resource_type, id, update).await
    }

    async fn delete_resource(
        &self,
        resource_type: &str,
        id: ResourceId,
    ) -> Result<Vec<MetricId>, IndexError> {
        self.remove_resource(resource_type, id).await
    }

    async fn delete_resources(&self, search: &ResourceSearch) -> Result<(u64, Vec<MetricId>), IndexError> {
        self.remove_resources(search).await
    }

    async fn expire_history(&self, before: Timestamp, limit: u64) -> Result<u64, IndexError> {
        let limit = limit.min(i64::MAX as u64);
        let oldest = |place: &str| {
            format!(
                "SELECT {place} FROM resource_history WHERE revision_end < $1 ORDER BY revision_end LIMIT {limit}"
            )
        };
        // By the places of the rows: looked up by their keys, PostgreSQL would rather read the whole table.
        let sql = match self.db.dialect() {
            Dialect::Postgres => {
                format!("DELETE FROM resource_history WHERE ctid = ANY (ARRAY({}))", oldest("ctid"))
            }
            Dialect::Sqlite => {
                format!("DELETE FROM resource_history WHERE rowid IN ({})", oldest("rowid"))
            }
        };
        let expired = self.db.execute(sql, &[before.into()]).await?;
        instrument::history_expired(expired);
        Ok(expired)
    }

    async fn ensure(
        &self,
        creator: Option<&str>,
        resources: &[EnsureResource],
        metrics: &[EnsureMetric],
        now: Timestamp,
    ) -> Result<Vec<Result<EnsuredMetric, IndexError>>, IndexError> {
        self.ensure_all(creator, resources, metrics, now).await
    }
}
