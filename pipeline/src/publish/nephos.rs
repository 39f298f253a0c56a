//! `nephos://`: to the collector, over the bus.

use std::sync::Arc;

use async_trait::async_trait;
use nephos_bus::{Bus, Destination};
use nephos_model::Sample;

use super::{PublishError, Publisher};

/// Sends samples to [`Destination::Metering`] and waits for the acknowledgement.
#[derive(Debug)]
pub struct ToNephos {
    bus: Arc<dyn Bus>,
}

impl ToNephos {
    /// Over `bus`.
    pub fn new(bus: Arc<dyn Bus>) -> Self {
        Self { bus }
    }
}

#[async_trait]
impl Publisher for ToNephos {
    async fn publish(&self, samples: &[Sample]) -> Result<(), PublishError> {
        Ok(self.bus.publish(Destination::Metering, samples.to_vec()).await?)
    }
}
