//! Finding the owner of a shard in the lease table.

use std::sync::Arc;

use async_trait::async_trait;
use nephos_collector::ownership::lease_name;
use nephos_coordination::Leases;
use nephos_metric_store::{Owner, OwnerLookup};

/// Looks owners up in the leases that collectors hold.
#[derive(Debug)]
pub(crate) struct LeaseLookup(pub(crate) Arc<dyn Leases>);

#[async_trait]
impl OwnerLookup for LeaseLookup {
    async fn owner(&self, shard: u32) -> Result<Option<Owner>, String> {
        let holder = self.0.holder(&lease_name(shard)).await.map_err(|error| error.to_string())?;
        Ok(holder.map(|holder| Owner { url: holder.url, epoch: holder.epoch }))
    }
}
