//! A batch by metric id, read in the pieces in which it comes: what was read of it need not be kept.

use uuid::Uuid;

use super::cursor::Cursor;
use super::item::Items;
use super::{ByMetric, LEAST};
use crate::gnocchi::id;

/// A metric whose measures are longer than this, and come in more than one piece, is left to others, so that no piece
/// takes long.
const LONGEST: usize = 2 << 20;
/// Room for measures that is made because a long body is announced, at most.
const MOST_ROOM: usize = 1 << 15;

/// Reads a batch.
#[derive(Debug)]
pub struct Pieces {
    read: Read,
    /// Behind the last list of measures that is whole.
    carried: Vec<u8>,
    /// Set once the scanner is not sure: see [`Unsure::rest`].
    rest: Option<Vec<u8>>,
}

/// A batch that the scanner is not sure of, or only of its beginning.
#[derive(Clone, Debug, PartialEq)]
pub struct Unsure {
    /// What the beginning says.
    pub read: ByMetric,
    /// A body that says what the others of the batch do, and is right just if the batch is.
    pub rest: Vec<u8>,
}

/// What must come next in a batch.
#[derive(Clone, Copy, Debug)]
enum Expected {
    Start,
    /// An id, or the end.
    FirstId,
    Id,
    /// A comma, or the end.
    Comma,
    Nothing,
}

/// What was read.
#[derive(Debug)]
struct Read {
    items: Items,
    ids: Vec<Uuid>,
    ends: Vec<usize>,
    expected: Expected,
}

impl Pieces {
    /// A batch of which nothing came yet, and how many bytes long it is to be, if that is known.
    pub fn new(announced: usize) -> Self {
        let room = (announced / LEAST).min(MOST_ROOM);
        let read = Read {
            items: Items::with_room(room),
            ids: Vec::with_capacity(room),
            ends: Vec::with_capacity(room),
            expected: Expected::Start,
        };
        Self { read, carried: Vec::new(), rest: None }
    }

    /// The next piece; its borders may lie anywhere.
    pub fn take(&mut self, piece: &[u8]) {
        if let Some(rest) = &mut self.rest {
            rest.extend_from_slice(piece);
            return;
        }
        // There is no bracket in a list that the scanner is sure of, so up to the last one that closes, lists are whole.
        let whole = piece.iter().rposition(|byte| *byte == b']').map_or(0, |last| last + 1);
        let (mut whole, open) = piece.split_at(whole);
        if !self.carried.is_empty() && !whole.is_empty() {
            let first = whole.iter().position(|byte| *byte == b']').map_or(0, |first| first + 1);
            let (end, others) = whole.split_at(first);
            self.carried.extend_from_slice(end);
            let carried = std::mem::take(&mut self.carried);
            if let Err(left) = self.read.take(&carried) {
                return self.give_up(&[left, others, open]);
            }
            self.carried = carried;
            self.carried.clear();
            whole = others;
        }
        if let Err(left) = self.read.take(whole) {
            return self.give_up(&[left, open]);
        }
        self.carried.extend_from_slice(open);
        if self.carried.len() > LONGEST {
            let carried = std::mem::take(&mut self.carried);
            self.give_up(&[&carried]);
        }
    }

    fn give_up(&mut self, left: &[&[u8]]) {
        let mut rest = self.read.so_far();
        left.iter().for_each(|part| rest.extend_from_slice(part));
        self.rest = Some(rest);
    }

    /// The batch, after its last piece.
    pub fn end(mut self) -> Result<ByMetric, Unsure> {
        if self.rest.is_none() {
            let carried = std::mem::take(&mut self.carried);
            match self.read.take(&carried) {
                Ok(()) if matches!(self.read.expected, Expected::Nothing) => {}
                Ok(()) => self.give_up(&[]),
                Err(left) => self.give_up(&[left]),
            }
        }
        let Read { items, ids, ends, .. } = self.read;
        let read = ByMetric { ids, ends, columns: items.columns };
        match self.rest {
            None => Ok(read),
            Some(rest) => Err(Unsure { read, rest }),
        }
    }
}

impl Read {
    /// Reads all of a piece that ends behind a list, or holds none; otherwise gives back from where on it can't.
    fn take<'a>(&mut self, piece: &'a [u8]) -> Result<(), &'a [u8]> {
        let mut cursor = Cursor::new(piece);
        while cursor.peek().is_some() {
            let left = cursor.rest();
            if self.step(&mut cursor).is_none() {
                let sure = self.ends.last().copied().unwrap_or(0);
                self.ids.truncate(self.ends.len());
                self.items.columns.timestamps.truncate(sure);
                self.items.columns.values.truncate(sure);
                return Err(left);
            }
        }
        Ok(())
    }

    #[inline]
    fn step(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        self.expected = match self.expected {
            Expected::Start => {
                cursor.take(b'{')?;
                Expected::FirstId
            }
            Expected::FirstId if cursor.peek()? == b'}' => {
                cursor.take(b'}')?;
                Expected::Nothing
            }
            Expected::FirstId | Expected::Id => {
                self.ids.push(metric_id(cursor)?);
                cursor.take(b':')?;
                self.items.list(cursor)?;
                self.ends.push(self.items.columns.values.len());
                if cursor.skip(b",") { Expected::Id } else { Expected::Comma }
            }
            Expected::Comma => match cursor.next()? {
                b',' => Expected::Id,
                b'}' => Expected::Nothing,
                _ => return None,
            },
            Expected::Nothing => return None,
        };
        Some(())
    }

    /// A beginning that is as good as what was read, but says nothing: the metric before gets no further measures.
    fn so_far(&self) -> Vec<u8> {
        let last = self.ids.last().map(|id| format!("\"{id}\":[]")).unwrap_or_default();
        match self.expected {
            Expected::Start => String::new(),
            Expected::FirstId => "{".to_owned(),
            Expected::Id => format!("{{{last},"),
            Expected::Comma => format!("{{{last}"),
            Expected::Nothing => format!("{{{last}}}"),
        }
        .into_bytes()
    }
}

/// A key that is the id of a metric.
#[inline]
fn metric_id(cursor: &mut Cursor<'_>) -> Option<Uuid> {
    cursor.take(b'"')?;
    // In the usual form its end is known without looking for it.
    if let Some((text, [b'"', rest @ ..])) = cursor.rest().split_first_chunk()
        && let Some(id) = id::usual_uuid(text)
    {
        cursor.go_on(rest);
        return Some(id);
    }
    Uuid::try_parse_ascii(cursor.text_end()?).ok()
}
