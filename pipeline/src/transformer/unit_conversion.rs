//! `unit_conversion`: another unit, another name, a scaled volume.

use nephos_config::pipeline::{ConversionSpec, Scale};
use nephos_model::{Sample, Timestamp, Volume};

use super::conversion::Conversion;
use super::{Grouping, Output, Refusal, Transformer};

/// Converts each sample by itself. Those of another unit than `source.unit` pass unchanged.
#[derive(Debug)]
pub struct UnitConversion {
    conversion: Conversion,
}

impl UnitConversion {
    /// With these parameters; `late` means nothing here.
    pub fn new(spec: ConversionSpec) -> Self {
        Self { conversion: Conversion::new(spec) }
    }

    fn convert(&self, sample: Sample) -> Result<Sample, Refusal> {
        let spec = &self.conversion.spec;
        if spec.source_unit.as_ref().is_some_and(|unit| *unit != sample.unit) {
            return Ok(sample);
        }
        let volume = match (&spec.target.scale, self.conversion.scale(&sample)?) {
            (Scale::Expression(_), Some(value)) => Volume::Float(value),
            (_, Some(factor)) => Volume::Float(sample.volume.as_f64() * factor),
            (_, None) => sample.volume,
        };
        self.conversion.derive(&sample, volume)
    }
}

impl Transformer for UnitConversion {
    fn grouping(&self) -> Grouping {
        Grouping::Stateless
    }

    fn step(&self, _state: &mut Vec<u8>, _now: Timestamp, input: Vec<Sample>, output: &mut Output) {
        for sample in input {
            output.emit(self.convert(sample));
        }
    }
}
