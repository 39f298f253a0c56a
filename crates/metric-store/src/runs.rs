//! Runs as bytes: one shape for a record of the log and for an append that travels to the shard's owner.
//!
//! A block of runs names each distinct policy once; timestamps are differences, values are exact.

use std::collections::HashMap;
use std::sync::Arc;

use nephos_model::{Granularity, MetricId, Timestamp};
use nephos_timeseries::{AggregationMethod, ArchivePolicy, PolicyItem};

use crate::batch::{Batch, RunRef};
use crate::bytes::{Malformed, Reader, SECOND, put_bytes, put_multiple, put_signed, put_unsigned, zigzag};

/// Appends a policy.
pub(crate) fn put_policy(buf: &mut Vec<u8>, policy: &ArchivePolicy) {
    put_policy_with(buf, policy, |buf, granularity| put_signed(buf, granularity.as_nanos()));
}

/// [`put_policy`] with the granularities written in a way of one's own.
pub(crate) fn put_policy_with(
    buf: &mut Vec<u8>,
    policy: &ArchivePolicy,
    put_granularity: impl Fn(&mut Vec<u8>, Granularity),
) {
    put_bytes(buf, policy.name.as_bytes());
    put_unsigned(buf, u64::from(policy.back_window));
    put_unsigned(buf, policy.definition.len() as u64);
    for item in &policy.definition {
        put_granularity(buf, item.granularity);
        match item.points {
            Some(points) => {
                buf.push(1);
                put_unsigned(buf, points);
            }
            None => buf.push(0),
        }
    }
    put_unsigned(buf, policy.methods.len() as u64);
    buf.extend(policy.methods.iter().map(|method| method.code()));
}

/// The method of a code.
pub(crate) fn read_method(code: u8) -> Result<AggregationMethod, Malformed> {
    AggregationMethod::from_code(code).ok_or(Malformed("unknown aggregation method"))
}

/// Reads a granularity.
pub(crate) fn read_granularity(reader: &mut Reader<'_>) -> Result<Granularity, Malformed> {
    Granularity::from_nanos(reader.signed()?).ok_or(Malformed("granularity is not positive"))
}

/// Appends a granularity as seconds, if it is a whole number of them.
pub(crate) fn put_seconds(buf: &mut Vec<u8>, granularity: Granularity) {
    put_multiple(buf, granularity.as_nanos(), SECOND);
}

/// Reads what [`put_seconds`] appended.
pub(crate) fn read_seconds(reader: &mut Reader<'_>) -> Result<Granularity, Malformed> {
    Granularity::from_nanos(reader.multiple(SECOND)?).ok_or(Malformed("granularity is not positive"))
}

/// Reads a policy.
pub(crate) fn read_policy(reader: &mut Reader<'_>) -> Result<ArchivePolicy, Malformed> {
    read_policy_with(reader, read_granularity)
}

/// Reads what [`put_policy_with`] appended.
pub(crate) fn read_policy_with(
    reader: &mut Reader<'_>,
    read_granularity: impl Fn(&mut Reader<'_>) -> Result<Granularity, Malformed>,
) -> Result<ArchivePolicy, Malformed> {
    let name = reader.text()?;
    let back_window = reader.small()?;
    let count = reader.count(2)?;
    let mut definition = Vec::with_capacity(count);
    for _ in 0..count {
        let granularity = read_granularity(reader)?;
        let points = match reader.u8()? {
            0 => None,
            1 => Some(reader.unsigned()?),
            _ => return Err(Malformed("unknown kind of retention")),
        };
        definition.push(PolicyItem { granularity, points });
    }
    let codes = reader.bytes()?;
    let methods = codes.iter().copied().map(read_method).collect::<Result<_, _>>()?;
    Ok(ArchivePolicy { name, back_window, definition, methods })
}

/// Policies of one block, each written once.
#[derive(Debug, Default)]
pub(crate) struct PolicyTable<'a> {
    by_pointer: HashMap<*const ArchivePolicy, usize>,
    by_value: HashMap<&'a ArchivePolicy, usize>,
    bytes: Vec<u8>,
}

impl<'a> PolicyTable<'a> {
    /// The number by which the block refers to this policy.
    pub(crate) fn number(&mut self, policy: &'a Arc<ArchivePolicy>) -> u64 {
        let Self { by_pointer, by_value, bytes } = self;
        let number = *by_pointer.entry(Arc::as_ptr(policy)).or_insert_with(|| {
            let next = by_value.len();
            *by_value.entry(policy).or_insert_with(|| {
                put_policy(bytes, policy);
                next
            })
        });
        number as u64
    }

    /// Appends the table.
    pub(crate) fn put(&self, buf: &mut Vec<u8>) {
        put_unsigned(buf, self.by_value.len() as u64);
        buf.extend_from_slice(&self.bytes);
    }
}

/// Reads a table of policies.
pub(crate) fn read_policies(reader: &mut Reader<'_>) -> Result<Vec<Arc<ArchivePolicy>>, Malformed> {
    let count = reader.count(4)?;
    let mut policies = Vec::with_capacity(count);
    for _ in 0..count {
        policies.push(Arc::new(read_policy(reader)?));
    }
    Ok(policies)
}

/// Appends a block of runs.
pub(crate) fn put_batch(buf: &mut Vec<u8>, batch: &Batch) {
    put_unsigned(buf, batch.policies().len() as u64);
    batch.policies().iter().for_each(|policy| put_policy(buf, policy));
    buf.reserve(batch.run_count() * 20 + batch.len() * 12 + LONGEST_SHORT);
    let mut base = 0i64;
    put_unsigned(buf, batch.run_count() as u64);
    for run in batch.runs() {
        if let ([timestamp], [value]) = (run.timestamps, run.values) {
            let nanos = timestamp.as_nanos();
            put_short(buf, &run, nanos.wrapping_sub(base), *value);
            base = nanos;
            continue;
        }
        buf.extend_from_slice(run.metric.as_bytes());
        put_unsigned(buf, run.policy_number as u64);
        put_unsigned(buf, run.timestamps.len() as u64);
        let mut previous = base;
        for timestamp in run.timestamps {
            let nanos = timestamp.as_nanos();
            put_signed(buf, nanos.wrapping_sub(previous));
            previous = nanos;
        }
        base = run.timestamps.first().map_or(base, |first| first.as_nanos());
        for value in run.values {
            buf.extend_from_slice(&value.to_le_bytes());
        }
    }
}

/// Most bytes of a run of one measure: its metric, the number of its policy, that it is one, its time and its value.
const LONGEST_SHORT: usize = 16 + 10 + 1 + 10 + 8;

/// Appends a run of one measure, so much after the base: what polling sends. All its bytes at once, and then those that
/// are too many go again: the number of bytes that are copied is always the same.
fn put_short(buf: &mut Vec<u8>, run: &RunRef<'_>, after: i64, value: f64) {
    let mut bytes = [0; LONGEST_SHORT];
    let mut len = 16;
    bytes[..len].copy_from_slice(run.metric.as_bytes());
    len = put_digits(&mut bytes, len, run.policy_number as u64);
    len = put_digits(&mut bytes, len, 1);
    len = put_digits(&mut bytes, len, zigzag(after));
    if let Some(slot) = bytes.get_mut(len..len + 8) {
        slot.copy_from_slice(&value.to_le_bytes());
    }
    let end = buf.len() + len + 8;
    buf.extend_from_slice(&bytes);
    buf.truncate(end);
}

/// [`put_unsigned`] into a place; returns the next one.
fn put_digits(bytes: &mut [u8; LONGEST_SHORT], mut at: usize, mut value: u64) -> usize {
    let mut put = |byte: u8| {
        if let Some(slot) = bytes.get_mut(at) {
            *slot = byte;
        }
        at += 1;
    };
    while value >= 0x80 {
        put(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    put(value.to_le_bytes()[0]);
    at
}

/// Reads a block of runs.
pub(crate) fn read_batch(reader: &mut Reader<'_>) -> Result<Batch, Malformed> {
    let policies = read_policies(reader)?;
    let mut base = 0i64;
    let count = reader.count(18)?;
    let mut batch = Batch::with_capacity(count, count);
    let (mut timestamps, mut values) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let metric: MetricId = reader.metric()?;
        let number: usize = reader.small()?;
        let policy = policies.get(number).ok_or(Malformed("policy is not in the table"))?;
        let len = reader.count(9)?;
        timestamps.clear();
        values.clear();
        let mut previous = base;
        for position in 0..len {
            previous = previous.wrapping_add(reader.signed()?);
            timestamps.push(Timestamp::from_nanos(previous));
            if position == 0 {
                base = previous;
            }
        }
        for _ in 0..len {
            values.push(reader.f64()?);
        }
        batch.push_columns(metric, policy, &timestamps, &values);
    }
    Ok(batch)
}

#[cfg(test)]
mod tests {
    use nephos_model::Measure;
    use proptest::prelude::*;

    use super::*;
    use crate::contract::Run;

    #[test]
    fn a_policy_used_by_many_runs_is_written_once() {
        let policy = |name: &str| {
            Arc::new(ArchivePolicy {
                name: name.to_owned(),
                back_window: 0,
                definition: vec![PolicyItem {
                    granularity: Granularity::from_secs(60).unwrap(),
                    points: None,
                }],
                methods: ArchivePolicy::DEFAULT_METHODS.to_vec(),
            })
        };
        let (low, low_again, high) = (policy("low"), policy("low"), policy("high"));
        let mut table = PolicyTable::default();
        assert_eq!(table.number(&low), 0);
        assert_eq!(table.number(&high), 1);
        assert_eq!(table.number(&low_again), 0);
        assert_eq!(table.number(&high), 1);
        let mut buf = Vec::new();
        table.put(&mut buf);
        let read = read_policies(&mut Reader::new(&buf)).unwrap();
        assert_eq!(read, [low, high]);
    }

    fn any_policy() -> impl Strategy<Value = Arc<ArchivePolicy>> {
        (".{0,8}", any::<u32>(), prop::collection::vec((1..=i64::MAX, any::<Option<u64>>()), 0..3)).prop_map(
            |(name, back_window, definition)| {
                Arc::new(ArchivePolicy {
                    name,
                    back_window,
                    definition: definition
                        .into_iter()
                        .map(|(nanos, points)| PolicyItem {
                            granularity: Granularity::from_nanos(nanos).unwrap(),
                            points,
                        })
                        .collect(),
                    methods: AggregationMethod::all().step_by(50).collect(),
                })
            },
        )
    }

    fn any_runs() -> impl Strategy<Value = Vec<Run>> {
        let measure = (any::<i64>(), any::<u64>())
            .prop_map(|(nanos, bits)| Measure::new(Timestamp::from_nanos(nanos), f64::from_bits(bits)));
        let run = (any::<u128>(), any_policy(), prop::collection::vec(measure, 0..6)).prop_map(
            |(id, policy, measures)| Run { metric: MetricId(uuid::Uuid::from_u128(id)), policy, measures },
        );
        prop::collection::vec(run, 0..6)
    }

    #[test]
    fn a_run_of_one_measure_is_written_as_the_runs_of_several_are() {
        let policies: Vec<Arc<ArchivePolicy>> = (0..200)
            .map(|number| {
                let (definition, methods) = (Vec::new(), Vec::new());
                Arc::new(ArchivePolicy { name: format!("p{number}"), back_window: 0, definition, methods })
            })
            .collect();
        let times = [0, 1, -1, 63, 64, -65, 1_767_225_600_000_000_000, i64::MAX, i64::MIN, i64::MAX, 7];
        let (mut batch, mut expected, mut base) = (Batch::default(), Vec::new(), 0i64);
        for (policy, nanos) in policies.iter().zip(times.iter().cycle()) {
            let metric = MetricId::random();
            let number = batch.run_count() as u64;
            batch.push_columns(metric, policy, &[Timestamp::from_nanos(*nanos)], &[0.1]);
            expected.extend_from_slice(metric.as_bytes());
            put_unsigned(&mut expected, number);
            put_unsigned(&mut expected, 1);
            put_signed(&mut expected, nanos.wrapping_sub(base));
            expected.extend_from_slice(&0.1f64.to_le_bytes());
            base = *nanos;
        }
        let mut buf = Vec::new();
        put_batch(&mut buf, &batch);
        assert!(buf.ends_with(&expected));
        let read = read_batch(&mut Reader::new(&buf)).unwrap();
        assert_eq!(read.timestamps(), batch.timestamps());
    }

    proptest! {
        #[test]
        fn runs_survive_bit_for_bit(runs in any_runs()) {
            let batch = Batch::from(runs);
            let mut buf = Vec::new();
            put_batch(&mut buf, &batch);
            let mut reader = Reader::new(&buf);
            let read = read_batch(&mut reader).unwrap();
            prop_assert!(reader.finish().is_ok());
            prop_assert_eq!(read.run_count(), batch.run_count());
            for (read, run) in read.runs().zip(batch.runs()) {
                prop_assert_eq!(read.metric, run.metric);
                prop_assert_eq!(read.policy, run.policy);
                prop_assert_eq!(read.timestamps, run.timestamps);
                let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(read.values), bits(run.values));
            }
        }

        #[test]
        fn no_bytes_make_the_reader_panic(
            runs in any_runs(),
            noise in prop::collection::vec(any::<u8>(), 0..200),
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let _outcome = read_batch(&mut Reader::new(&noise)).is_ok();
            let mut buf = Vec::new();
            put_batch(&mut buf, &runs.into());
            for (index, byte) in flips {
                let at = index.index(buf.len());
                buf[at] = byte;
            }
            let _outcome = read_batch(&mut Reader::new(&buf)).is_ok();
        }
    }
}
