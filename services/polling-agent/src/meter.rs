//! What a meter is, and how a reading becomes samples.

use std::collections::HashSet;
use std::sync::Arc;

use nephos_model::{Clock, Metadata, Sample, SampleKind, Timestamp, Volume};
use uuid::Uuid;

/// One meter of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meter {
    /// Its name.
    pub name: &'static str,
    /// How successive volumes relate.
    pub kind: SampleKind,
    /// Unit of the volume.
    pub unit: &'static str,
    /// What it says, in one line.
    pub description: &'static str,
    /// Types of the resources it is read of.
    pub resource_types: &'static [&'static str],
}

/// The meters that are wanted, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    names: HashSet<&'static str>,
}

impl Wanted {
    /// Those of `meters` that the filter lets through.
    pub fn choose(meters: &[Meter], filter: impl Fn(&str) -> bool) -> Self {
        Self { names: meters.iter().map(|meter| meter.name).filter(|name| filter(name)).collect() }
    }

    /// Whether the meter is wanted.
    pub fn contains(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// What this or the other wants.
    pub fn join(&mut self, other: Self) {
        self.names.extend(other.names);
    }
}

/// A meter with the way to find its volume in a reading; `N` says what must be read for it.
#[derive(Debug)]
pub(crate) struct Column<R: 'static, N: 'static = ()> {
    pub(crate) meter: Meter,
    pub(crate) needs: N,
    pub(crate) volume: fn(&R) -> Option<Volume>,
}

/// The wanted ones of a table.
pub(crate) fn select<R, N>(table: &'static [Column<R, N>], wanted: &Wanted) -> Vec<&'static Column<R, N>> {
    table.iter().filter(|column| wanted.contains(column.meter.name)).collect()
}

/// When something was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) timestamp: Timestamp,
    pub(crate) monotonic: Option<f64>,
}

impl Stamp {
    /// Now. Without a known boot the monotonic clock could not be compared with anything and is left out.
    pub(crate) fn take(clock: &dyn Clock, boot_known: bool) -> Self {
        let monotonic = boot_known.then(|| nephos_hypervisor::clock::since_boot().as_secs_f64());
        Self { timestamp: clock.now().to_micros_precision(), monotonic }
    }
}

/// One reading of one resource, from which all its samples are made.
#[derive(Clone, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) resource_id: &'a str,
    pub(crate) metadata: &'a Arc<Metadata>,
    pub(crate) stamp: Stamp,
    pub(crate) source: &'a Arc<str>,
}

impl Subject<'_> {
    pub(crate) fn sample(&self, meter: &Meter, volume: Volume) -> Sample {
        Sample {
            id: Uuid::new_v4(),
            name: meter.name.to_owned(),
            kind: meter.kind,
            unit: meter.unit.to_owned(),
            volume,
            user_id: None,
            user_name: None,
            project_id: None,
            project_name: None,
            resource_id: self.resource_id.to_owned(),
            timestamp: self.stamp.timestamp,
            metadata: Arc::clone(self.metadata),
            monotonic_time: self.stamp.monotonic,
            source: Arc::clone(self.source),
        }
    }

    /// A sample for each column that has a finite volume. What a reading does not have is left out, never sent as
    /// "not a number".
    pub(crate) fn emit<R, N>(&self, columns: &[&'static Column<R, N>], reading: &R, out: &mut Vec<Sample>) {
        let found = columns.iter().filter_map(|column| {
            let volume = (column.volume)(reading).filter(|volume| volume.as_f64().is_finite())?;
            Some(self.sample(&column.meter, volume))
        });
        out.extend(found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn column(name: &'static str, volume: fn(&f64) -> Option<Volume>) -> Column<f64> {
        let meter =
            Meter { name, kind: SampleKind::Gauge, unit: "", description: "", resource_types: &["host"] };
        Column { meter, needs: (), volume }
    }

    static TABLE: [Column<f64>; 3] = [
        column("half", |value| Some(Volume::Float(value / 2.0))),
        column("root", |value| Some(Volume::Float(value.sqrt()))),
        column("none", |_| None),
    ];

    #[test]
    fn unavailable_and_not_a_number_are_left_out() {
        let wanted = Wanted { names: TABLE.iter().map(|column| column.meter.name).collect() };
        let metadata = Arc::new(Metadata::new());
        let source = Arc::from("nephos");
        let stamp = Stamp { timestamp: Timestamp::from_secs(7), monotonic: Some(1.5) };
        let subject = Subject { resource_id: "r", metadata: &metadata, stamp, source: &source };
        let mut out = Vec::new();
        subject.emit(&select(&TABLE, &wanted), &-4.0, &mut out);
        let names: Vec<&str> = out.iter().map(|sample| sample.name.as_str()).collect();
        assert_eq!(names, ["half"]);
        assert_eq!((out[0].volume, out[0].monotonic_time), (Volume::Float(-2.0), Some(1.5)));
    }
}
