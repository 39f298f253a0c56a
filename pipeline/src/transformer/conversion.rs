//! What both transformers do with a sample: scale, name, limit.

use std::sync::Arc;

use nephos_config::pipeline::{ConversionSpec, Scale};
use nephos_model::{Sample, Volume};
use uuid::Uuid;

use super::Refusal;
use crate::plain::Fields;

/// Parameters, and what all derived samples share.
#[derive(Clone, Debug)]
pub(super) struct Conversion {
    pub(super) spec: ConversionSpec,
    source: Arc<str>,
}

impl Conversion {
    pub(super) fn new(spec: ConversionSpec) -> Self {
        Self { spec, source: Arc::from(Sample::DEFAULT_SOURCE) }
    }

    /// The number that the scale stands for with this sample; `None` without a scale.
    pub(super) fn scale(&self, sample: &Sample) -> Result<Option<f64>, Refusal> {
        match &self.spec.target.scale {
            Scale::None => Ok(None),
            Scale::Factor(factor) => Ok(Some(*factor)),
            Scale::Expression(expression) => Ok(Some(expression.evaluate_number(&Fields(sample))?)),
        }
    }

    /// The sample made from `sample` with `volume`. Its id follows from the input's and its own name, so that the same
    /// input gives the same output again.
    pub(super) fn derive(&self, sample: &Sample, volume: Volume) -> Result<Sample, Refusal> {
        let target = &self.spec.target;
        let volume = match target.max {
            Some(max) if volume.as_f64() > max => Volume::Float(max),
            _ => volume,
        };
        if volume.as_f64().is_nan() {
            return Err(Refusal::NotANumber);
        }
        let name = self.spec.target_name(&sample.name).into_owned();
        Ok(Sample {
            id: Uuid::new_v5(&sample.id, name.as_bytes()),
            name,
            kind: target.kind.unwrap_or(sample.kind),
            unit: self.spec.target_unit(&sample.unit).into_owned(),
            volume,
            user_id: sample.user_id.clone(),
            user_name: None,
            project_id: sample.project_id.clone(),
            project_name: None,
            resource_id: sample.resource_id.clone(),
            timestamp: sample.timestamp,
            metadata: Arc::clone(&sample.metadata),
            monotonic_time: None,
            source: Arc::clone(&self.source),
        })
    }
}
