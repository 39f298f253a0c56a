//! What travels between a caller and the owner of a shard, as bytes: compact, exact to the bit, versioned.
//!
//! Every message starts with the version. An answer then says whether it is a result or an error; errors come back
//! as the same kind of [`StoreError`]. What was read or computed comes in [frames] instead, since it may be more than
//! should be held at once. Reading never panics, whatever the bytes.

mod computation;
pub(crate) mod frames;

use std::sync::Arc;
use std::time::Duration;

use nephos_model::{Granularity, MetricId, Timestamp};
use nephos_timeseries::{ArchivePolicy, Calendar, Resample};

use crate::bytes::{Malformed, Reader, put_bytes, put_signed, put_unsigned};
use crate::contract::{Adoption, AppendReport, Batch, Erase, SeriesRequest, StoreError, StoreStatistics};
use crate::runs::{
    PolicyTable, put_batch, put_policy, read_batch, read_granularity, read_method, read_policies, read_policy,
};

/// Version of the messages; another one is refused.
pub(crate) const VERSION: u8 = 1;
/// Content type of requests and answers.
pub(crate) const CONTENT_TYPE: &str = "application/vnd.nephos.store";
/// Content type of answers in frames.
pub(crate) const FRAMES_TYPE: &str = "application/vnd.nephos.store.frames";

/// A message that travels.
pub(crate) trait Message: Sized {
    /// Appends the message.
    fn put(&self, buf: &mut Vec<u8>);
    /// Reads the message.
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed>;
}

/// A request as bytes.
pub(crate) fn encode<T: Message>(message: &T) -> Vec<u8> {
    let mut buf = vec![VERSION];
    message.put(&mut buf);
    buf
}

/// A request from bytes.
pub(crate) fn decode<T: Message>(bytes: &[u8]) -> Result<T, Malformed> {
    let mut reader = Reader::new(bytes);
    if reader.u8()? != VERSION {
        return Err(Malformed("unknown version"));
    }
    let message = T::read(&mut reader)?;
    reader.finish()?;
    Ok(message)
}

impl Message for Batch {
    fn put(&self, buf: &mut Vec<u8>) {
        put_batch(buf, self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        read_batch(reader)
    }
}

impl Message for Vec<MetricId> {
    fn put(&self, buf: &mut Vec<u8>) {
        crate::shard::put_metrics(buf, self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        crate::shard::read_metrics(reader)
    }
}

impl Message for Erase {
    fn put(&self, buf: &mut Vec<u8>) {
        put_signed(buf, self.start.as_nanos());
        put_signed(buf, self.stop.as_nanos());
        crate::shard::put_metrics(buf, &self.metrics);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (start, stop) = (reader.signed()?, reader.signed()?);
        let metrics = crate::shard::read_metrics(reader)?;
        Ok(Self { metrics, start: Timestamp::from_nanos(start), stop: Timestamp::from_nanos(stop) })
    }
}

impl Message for Adoption {
    fn put(&self, buf: &mut Vec<u8>) {
        buf.extend_from_slice(self.metric.as_bytes());
        put_policy(buf, &self.policy);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { metric: reader.metric()?, policy: Arc::new(read_policy(reader)?) })
    }
}

impl Message for Option<Arc<ArchivePolicy>> {
    fn put(&self, buf: &mut Vec<u8>) {
        buf.push(u8::from(self.is_some()));
        if let Some(policy) = self {
            put_policy(buf, policy);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match reader.u8()? {
            0 => Ok(None),
            1 => Ok(Some(Arc::new(read_policy(reader)?))),
            _ => Err(Malformed("neither a policy nor none")),
        }
    }
}

impl Message for () {
    fn put(&self, _buf: &mut Vec<u8>) {}

    fn read(_reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(())
    }
}

impl Message for AppendReport {
    fn put(&self, buf: &mut Vec<u8>) {
        put_unsigned(buf, self.accepted);
        put_unsigned(buf, self.late);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { accepted: reader.unsigned()?, late: reader.unsigned()? })
    }
}

impl Message for StoreStatistics {
    fn put(&self, buf: &mut Vec<u8>) {
        for figure in [self.metrics, self.accepted, self.late, self.backlog, self.disk_bytes] {
            put_unsigned(buf, figure);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            metrics: reader.unsigned()?,
            accepted: reader.unsigned()?,
            late: reader.unsigned()?,
            backlog: reader.unsigned()?,
            disk_bytes: reader.unsigned()?,
        })
    }
}

fn put_time(buf: &mut Vec<u8>, time: Option<Timestamp>) {
    buf.push(u8::from(time.is_some()));
    if let Some(time) = time {
        put_signed(buf, time.as_nanos());
    }
}

fn read_time(reader: &mut Reader<'_>) -> Result<Option<Timestamp>, Malformed> {
    match reader.u8()? {
        0 => Ok(None),
        1 => Ok(Some(Timestamp::from_nanos(reader.signed()?))),
        _ => Err(Malformed("unknown kind of time")),
    }
}

const CALENDARS: [Calendar; 5] =
    [Calendar::Year, Calendar::HalfYear, Calendar::Quarter, Calendar::Month, Calendar::Week];

fn put_resample(buf: &mut Vec<u8>, by: Option<Resample>) {
    match by {
        None => buf.push(0),
        Some(Resample::Step(step)) => {
            buf.push(1);
            put_signed(buf, step.as_nanos());
        }
        Some(Resample::Calendar(calendar)) => {
            buf.extend(calendar.letter().bytes().take(1));
        }
    }
}

fn read_resample(reader: &mut Reader<'_>) -> Result<Option<Resample>, Malformed> {
    match reader.u8()? {
        0 => Ok(None),
        1 => Ok(Some(Resample::Step(read_granularity(reader)?))),
        letter => CALENDARS
            .into_iter()
            .find(|calendar| calendar.letter().bytes().eq([letter]))
            .map(|calendar| Some(Resample::Calendar(calendar)))
            .ok_or(Malformed("unknown kind of regrouping")),
    }
}

impl Message for Vec<SeriesRequest> {
    fn put(&self, buf: &mut Vec<u8>) {
        let mut table = PolicyTable::default();
        let mut body = Vec::with_capacity(self.len() * 48);
        put_unsigned(&mut body, self.len() as u64);
        for request in self {
            body.extend_from_slice(request.metric.as_bytes());
            put_unsigned(&mut body, table.number(&request.policy));
            body.push(request.method.code());
            put_unsigned(&mut body, request.granularities.len() as u64);
            for granularity in &request.granularities {
                put_signed(&mut body, granularity.as_nanos());
            }
            put_time(&mut body, request.start);
            put_time(&mut body, request.stop);
            put_resample(&mut body, request.resample);
        }
        table.put(buf);
        buf.extend_from_slice(&body);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let policies = read_policies(reader)?;
        let count = reader.count(22)?;
        let mut requests = Vec::with_capacity(count);
        for _ in 0..count {
            let metric = reader.metric()?;
            let number: usize = reader.small()?;
            let policy =
                policies.get(number).map(Arc::clone).ok_or(Malformed("policy is not in the table"))?;
            let method = read_method(reader.u8()?)?;
            let granularities =
                (0..reader.count(1)?).map(|_| read_granularity(reader)).collect::<Result<_, _>>()?;
            let (start, stop) = (read_time(reader)?, read_time(reader)?);
            let resample = read_resample(reader)?;
            requests.push(SeriesRequest { metric, policy, method, granularities, start, stop, resample });
        }
        Ok(requests)
    }
}

/// Differences less one width: neighbours of a series without gaps take one byte.
fn put_times(buf: &mut Vec<u8>, granularity: Granularity, times: &[Timestamp]) {
    let mut expected = 0i64;
    for time in times {
        let nanos = time.as_nanos();
        put_signed(buf, nanos.wrapping_sub(expected));
        expected = nanos.wrapping_add(granularity.as_nanos());
    }
}

fn read_times(
    reader: &mut Reader<'_>,
    granularity: Granularity,
    len: usize,
    times: &mut Vec<Timestamp>,
) -> Result<(), Malformed> {
    let mut expected = 0i64;
    times.reserve(len);
    for _ in 0..len {
        let nanos = expected.wrapping_add(reader.signed()?);
        times.push(Timestamp::from_nanos(nanos));
        expected = nanos.wrapping_add(granularity.as_nanos());
    }
    Ok(())
}

/// An answer: a result or an error.
impl<T: Message> Message for Result<T, StoreError> {
    fn put(&self, buf: &mut Vec<u8>) {
        match self {
            Ok(value) => {
                buf.push(0);
                value.put(buf);
            }
            Err(error) => put_error(buf, error),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match reader.u8()? {
            0 => T::read(reader).map(Ok),
            kind => read_error(reader, kind).map(Err),
        }
    }
}

/// What can be too large at an owner.
const TOO_LARGE: [&str; 5] = [
    "an append's measures",
    "a query's series",
    "a query's points",
    "a metric's erased ranges",
    "a metric's former policies",
];

fn put_error(buf: &mut Vec<u8>, error: &StoreError) {
    let text = |buf: &mut Vec<u8>, text: &str| put_bytes(buf, text.as_bytes());
    match error {
        StoreError::DiskFull { path, free, min_free } => {
            buf.push(1);
            text(buf, path);
            put_unsigned(buf, *free);
            put_unsigned(buf, *min_free);
        }
        StoreError::NoOwner { retry_after } => {
            buf.push(2);
            put_unsigned(buf, u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX));
        }
        StoreError::Remote { url, reason } => {
            buf.push(3);
            text(buf, url);
            text(buf, reason);
        }
        StoreError::TooLarge { what, size, limit } => {
            buf.push(4);
            text(buf, what);
            put_unsigned(buf, *size);
            put_unsigned(buf, *limit);
        }
        StoreError::Damaged { path, reason } => {
            buf.push(5);
            text(buf, path);
            text(buf, reason);
        }
        // Met at the start alone, by whoever opens the store.
        StoreError::Format { path, .. } => {
            buf.push(5);
            text(buf, path);
            text(buf, &error.to_string());
        }
        StoreError::Io { action, path, source } => {
            buf.push(6);
            text(buf, action);
            text(buf, path);
            text(buf, &source.to_string());
        }
        StoreError::Closed => buf.push(7),
    }
}

fn read_error(reader: &mut Reader<'_>, kind: u8) -> Result<StoreError, Malformed> {
    Ok(match kind {
        1 => StoreError::DiskFull {
            path: reader.text()?,
            free: reader.unsigned()?,
            min_free: reader.unsigned()?,
        },
        2 => StoreError::NoOwner { retry_after: Duration::from_millis(reader.unsigned()?) },
        3 => StoreError::Remote { url: reader.text()?, reason: reader.text()? },
        4 => StoreError::TooLarge {
            what: known(&reader.text()?, &TOO_LARGE).unwrap_or("a request"),
            size: reader.unsigned()?,
            limit: reader.unsigned()?,
        },
        5 => StoreError::Damaged { path: reader.text()?, reason: reader.text()? },
        6 => {
            let (action, path, source) = (reader.text()?, reader.text()?, reader.text()?);
            let action = known(&action, &["write", "read", "cut", "create", "open"]).unwrap_or("use");
            StoreError::Io { action, path, source: std::io::Error::other(source) }
        }
        7 => StoreError::Closed,
        _ => return Err(Malformed("unknown kind of error")),
    })
}

/// The fixed text that equals what was read.
fn known(text: &str, texts: &[&'static str]) -> Option<&'static str> {
    texts.iter().copied().find(|known| *known == text)
}

#[cfg(test)]
mod tests;
