//! Answers that are sent while they are read.
//!
//! ```text
//! answer = frame…
//! frame  = length:u32 crc:u32 record…    the checksum is of the length and the records
//! record = 0 head                        begins an item: a series, or what came of a computation
//!        | 1 granularity points          a list of the item
//!        | 2 points                      goes on with the list
//!        | 3 items points                the end: how many of both there were
//!        | 4 error                       the end: why there is no more
//! points = count times values
//! ```
//! An answer that just stops is none: its end is missing. Both sides hold a frame at a time besides what they read.

use std::marker::PhantomData;
use std::vec;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use nephos_model::{Granularity, Timestamp};

use super::{Message, decode, put_error, put_times, read_error, read_times};
use crate::bytes::{Malformed, Reader, put_signed, put_unsigned};
use crate::contract::{Series, SeriesPoints, StoreError};
use crate::runs::read_granularity;

/// A frame is sent when it has so many bytes.
const FULL: usize = 64 << 10;
/// Points of one record: so many more than that a frame may have.
const SLICE: usize = 1 << 10;
/// Length and checksum.
const HEADER: usize = 8;

const ITEM: u8 = 0;
const LIST: u8 = 1;
const MORE: u8 = 2;
const END: u8 = 3;
const ERROR: u8 = 4;

/// What answers consist of: a head, and lists of points that may be cut anywhere.
pub(crate) trait Item: Sized + Send + 'static {
    /// What is not points.
    type Head: Send;
    /// Appends the head.
    fn put_head(&self, buf: &mut Vec<u8>);
    /// Reads a head.
    fn read_head(reader: &mut Reader<'_>) -> Result<Self::Head, Malformed>;
    /// The list at a place; `None` after the last.
    fn list(&self, at: usize) -> Option<(Granularity, &[Timestamp], &[f64])>;
    /// Puts together what was sent.
    fn join(head: Self::Head, lists: Vec<SeriesPoints>) -> Result<Self, Malformed>;
}

impl Item for Series {
    type Head = ();

    fn put_head(&self, _buf: &mut Vec<u8>) {}

    fn read_head(_reader: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }

    fn list(&self, at: usize) -> Option<(Granularity, &[Timestamp], &[f64])> {
        let points = self.granularities.get(at)?;
        Some((points.granularity, &points.timestamps, &points.values))
    }

    fn join((): (), granularities: Vec<SeriesPoints>) -> Result<Self, Malformed> {
        Ok(Self { granularities })
    }
}

/// Items that are read a few at a time.
pub(crate) type Parts<T> = BoxStream<'static, Result<Vec<T>, StoreError>>;

/// An answer on its way out: the next items are read when the frames of those before were taken.
pub(crate) struct Outgoing<T> {
    parts: Parts<T>,
    /// Read and not yet begun.
    items: vec::IntoIter<T>,
    /// What is being sent, which of its lists, and from which point on.
    current: Option<(T, usize, usize)>,
    items_sent: u64,
    points_sent: u64,
    is_ended: bool,
}

impl<T: Item> Outgoing<T> {
    /// The first items, and where others come from.
    pub(crate) fn new(first: Vec<T>, parts: Parts<T>) -> Self {
        let items = first.into_iter();
        Self { parts, items, current: None, items_sent: 0, points_sent: 0, is_ended: false }
    }

    /// Whether the last frame was taken.
    pub(crate) const fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// The next frame; `None` after the last.
    pub(crate) async fn frame(&mut self) -> Option<Bytes> {
        if self.is_ended {
            return None;
        }
        let mut buf = vec![0; HEADER];
        loop {
            self.fill(&mut buf);
            if buf.len() >= FULL {
                break;
            }
            match self.parts.next().await {
                Some(Ok(items)) => {
                    self.items = items.into_iter();
                    continue;
                }
                Some(Err(error)) => {
                    buf.push(ERROR);
                    put_error(&mut buf, &error);
                }
                None => {
                    buf.push(END);
                    put_unsigned(&mut buf, self.items_sent);
                    put_unsigned(&mut buf, self.points_sent);
                }
            }
            self.is_ended = true;
            break;
        }
        Some(sealed(buf))
    }

    /// Moves items to a frame until it is full.
    fn fill(&mut self, buf: &mut Vec<u8>) {
        while buf.len() < FULL {
            let Some((item, at, from)) = &mut self.current else {
                let Some(item) = self.items.next() else { return };
                buf.push(ITEM);
                item.put_head(buf);
                self.items_sent += 1;
                self.current = Some((item, 0, 0));
                continue;
            };
            let Some((granularity, times, values)) = item.list(*at) else {
                self.current = None;
                continue;
            };
            if *from == 0 {
                buf.push(LIST);
                put_signed(buf, granularity.as_nanos());
            } else {
                buf.push(MORE);
            }
            let to = times.len().min(*from + SLICE);
            let (slice, values) = (times.get(*from..to), values.get(*from..to));
            put_unsigned(buf, (to - *from) as u64);
            put_times(buf, granularity, slice.unwrap_or_default());
            values.into_iter().flatten().for_each(|value| buf.extend_from_slice(&value.to_le_bytes()));
            self.points_sent += (to - *from) as u64;
            (*at, *from) = if to == times.len() { (*at + 1, 0) } else { (*at, to) };
        }
    }
}

/// A frame of what follows the room for its header.
fn sealed(mut buf: Vec<u8>) -> Bytes {
    let len = u32::try_from(buf.len() - HEADER).unwrap_or(u32::MAX);
    let (header, records) = buf.split_at_mut(HEADER);
    let crc = checksum(len, records);
    header
        .iter_mut()
        .zip(len.to_le_bytes().into_iter().chain(crc.to_le_bytes()))
        .for_each(|(to, byte)| *to = byte);
    Bytes::from(buf)
}

fn checksum(len: u32, records: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&len.to_le_bytes());
    hasher.update(records);
    hasher.finalize()
}

/// Why an answer is none.
#[derive(Debug)]
pub(crate) enum Broken {
    /// It makes no sense.
    Malformed(Malformed),
    /// It stopped before its end.
    Cut,
    /// It ends with an error of the owner.
    Told(StoreError),
}

impl From<Malformed> for Broken {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// What an answer is put together in as it comes.
pub(crate) trait Assembly: Default + Send {
    type Answer;
    /// Takes the next bytes.
    fn take(&mut self, bytes: &[u8]) -> Result<(), Broken>;
    /// The answer, when no more bytes come.
    fn finish(self) -> Result<Self::Answer, Broken>;
}

/// What owners answer.
pub(crate) trait Answer: Sized {
    type Assembly: Assembly<Answer = Self>;
}

impl<A: Message> Answer for A {
    type Assembly = Whole<A>;
}

/// Items that come in frames.
#[derive(Debug)]
pub(crate) struct Streamed<T>(pub(crate) Vec<T>);

impl<T: Item> Answer for Streamed<T> {
    type Assembly = Incoming<T>;
}

/// A message, which is read when all of it is there.
#[derive(Debug)]
pub(crate) struct Whole<A>(Vec<u8>, PhantomData<fn() -> A>);

impl<A> Default for Whole<A> {
    fn default() -> Self {
        Self(Vec::new(), PhantomData)
    }
}

impl<A: Message> Assembly for Whole<A> {
    type Answer = A;

    fn take(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self) -> Result<A, Broken> {
        decode::<Result<A, StoreError>>(&self.0)?.map_err(Broken::Told)
    }
}

/// Items of which each is there when its last frame has come.
#[derive(Debug)]
pub(crate) struct Incoming<T: Item> {
    /// The beginning of a frame.
    buf: Vec<u8>,
    items: Vec<T>,
    /// How many items were whole so far.
    count: u64,
    /// The item that is not whole yet.
    open: Option<(T::Head, Vec<SeriesPoints>)>,
    points: u64,
    is_ended: bool,
}

impl<T: Item> Default for Incoming<T> {
    fn default() -> Self {
        Self { buf: Vec::new(), items: Vec::new(), count: 0, open: None, points: 0, is_ended: false }
    }
}

impl<T: Item> Assembly for Incoming<T> {
    type Answer = Streamed<T>;

    fn take(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let mut buf = std::mem::take(&mut self.buf);
        buf.extend_from_slice(bytes);
        let mut rest = Reader::new(&buf);
        while let Some(records) = next_frame(&mut rest)? {
            self.records(&mut Reader::new(records))?;
        }
        buf.drain(..buf.len() - rest.remaining());
        self.buf = buf;
        Ok(())
    }

    fn finish(self) -> Result<Streamed<T>, Broken> {
        match (self.is_ended, self.buf.is_empty()) {
            (true, true) => Ok(Streamed(self.items)),
            (true, false) => Err(Malformed("bytes after the end").into()),
            (false, _) => Err(Broken::Cut),
        }
    }
}

impl<T: Item> Incoming<T> {
    /// What is whole and was not taken yet; nothing once the end was told, which [`finish`](Assembly::finish) judges.
    pub(crate) fn whole(&mut self) -> Vec<T> {
        if self.is_ended { Vec::new() } else { std::mem::take(&mut self.items) }
    }

    fn records(&mut self, reader: &mut Reader<'_>) -> Result<(), Broken> {
        while reader.remaining() > 0 {
            if self.is_ended {
                return Err(Malformed("bytes after the end").into());
            }
            match reader.u8()? {
                ITEM => {
                    self.close()?;
                    self.open = Some((T::read_head(reader)?, Vec::new()));
                }
                LIST => {
                    let (_, lists) = self.open.as_mut().ok_or(Malformed("points of nothing"))?;
                    let granularity = read_granularity(reader)?;
                    lists.push(SeriesPoints { granularity, timestamps: Vec::new(), values: Vec::new() });
                    self.more(reader)?;
                }
                MORE => self.more(reader)?,
                END => {
                    self.close()?;
                    if (reader.unsigned()?, reader.unsigned()?) != (self.count, self.points) {
                        return Err(Malformed("more or less than was sent").into());
                    }
                    self.is_ended = true;
                }
                ERROR => {
                    let kind = reader.u8()?;
                    return Err(Broken::Told(read_error(reader, kind)?));
                }
                _ => return Err(Malformed("unknown kind of record").into()),
            }
        }
        Ok(())
    }

    /// Points of the last list.
    fn more(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let list = self.open.as_mut().and_then(|(_, lists)| lists.last_mut());
        let list = list.ok_or(Malformed("points of nothing"))?;
        let len = reader.count(9)?;
        read_times(reader, list.granularity, len, &mut list.timestamps)?;
        list.values.reserve(len);
        for _ in 0..len {
            list.values.push(reader.f64()?);
        }
        self.points += len as u64;
        Ok(())
    }

    fn close(&mut self) -> Result<(), Malformed> {
        if let Some((head, lists)) = self.open.take() {
            self.items.push(T::join(head, lists)?);
            self.count += 1;
        }
        Ok(())
    }
}

/// The records of the next frame; `None` if not all of it is there.
fn next_frame<'a>(rest: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    let mut ahead = rest.clone();
    let (Ok(len), Ok(crc)) = (ahead.u32(), ahead.u32()) else { return Ok(None) };
    let Ok(records) = ahead.take(len as usize) else { return Ok(None) };
    if checksum(len, records) != crc {
        return Err(Malformed("a frame's checksum is wrong"));
    }
    *rest = ahead;
    Ok(Some(records))
}

#[cfg(test)]
mod tests;
