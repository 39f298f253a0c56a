//! JSON text in which points stay columns until they are sent.

use std::fmt;

use nephos_model::Timestamp;
use nephos_wire::gnocchi::json;
use nephos_wire::gnocchi::points::{Width, write_points};
use serde::Serialize;

use crate::failure::Failure;

/// Times and values side by side, as many of the one as of the other.
pub trait Columns: fmt::Debug + Send + Sync {
    /// Both columns.
    fn columns(&self) -> (&[Timestamp], &[f64]);
}

impl Columns for (Vec<Timestamp>, Vec<f64>) {
    fn columns(&self) -> (&[Timestamp], &[f64]) {
        (&self.0, &self.1)
    }
}

/// Text, and points that become text last: columns take a fifth of their text, and it need never be in memory as a whole.
#[derive(Debug, Default)]
pub struct Text {
    parts: Vec<Part>,
    points: usize,
}

#[derive(Debug)]
enum Part {
    Words(Vec<u8>),
    Points(Width, Box<dyn Columns>),
}

impl Text {
    /// Appends text as it is.
    pub fn words(&mut self, words: impl AsRef<[u8]>) {
        match self.parts.last_mut() {
            Some(Part::Words(last)) => last.extend_from_slice(words.as_ref()),
            _ => self.parts.push(Part::Words(words.as_ref().to_vec())),
        }
    }

    /// Appends a value.
    pub fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failure> {
        self.words(json::to_vec(value).map_err(|_| Failure::Internal)?);
        Ok(())
    }

    /// Appends the comma between two entries, unless the object or list that is open has none so far.
    pub fn separate(&mut self) {
        if !matches!(self.parts.last(), Some(Part::Words(last)) if last.ends_with(b"{") || last.ends_with(b"["))
        {
            self.words(", ");
        }
    }

    /// Appends the key of the next entry of the object that is open.
    pub fn key(&mut self, key: &str) -> Result<(), Failure> {
        self.separate();
        self.value(key)?;
        self.words(": ");
        Ok(())
    }

    /// Appends points to the list that is open.
    pub fn points(&mut self, width: Width, columns: impl Columns + 'static) {
        self.points += columns.columns().0.len();
        self.parts.push(Part::Points(width, Box::new(columns)));
    }

    /// Appends another text.
    pub fn append(&mut self, other: Self) {
        self.points += other.points;
        self.parts.extend(other.parts);
    }

    /// How many points it has.
    pub fn size(&self) -> usize {
        self.points
    }

    /// All of it.
    pub fn whole(self) -> Vec<u8> {
        self.pieces(usize::MAX).next().unwrap_or_default()
    }

    /// The text in pieces of about so many bytes; each ends behind a point, the last one at the end.
    pub fn pieces(self, size: usize) -> impl Iterator<Item = Vec<u8>> + Send + 'static {
        Pieces { parts: self.parts.into_iter(), open: None, left: self.points, size }
    }
}

/// About what the text of a point takes.
const POINT: usize = 56;
/// Room beyond the size of a piece: for the words before its last points.
const SPARE: usize = 4_096;

struct Pieces {
    parts: std::vec::IntoIter<Part>,
    /// The points that are being written, and how many of them are.
    open: Option<(Width, Box<dyn Columns>, usize)>,
    /// Points that are not written yet.
    left: usize,
    size: usize,
}

impl Iterator for Pieces {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(self.left.saturating_mul(POINT).min(self.size) + SPARE);
        loop {
            let (width, columns, from) = match self.open.take() {
                Some(open) => open,
                None => match self.parts.next() {
                    Some(Part::Points(width, columns)) => (width, columns, 0),
                    Some(Part::Words(words)) => {
                        out.extend_from_slice(&words);
                        continue;
                    }
                    None => return (!out.is_empty()).then_some(out),
                },
            };
            let (timestamps, values) = columns.columns();
            let room = self.size.saturating_sub(out.len()) / POINT + 1;
            let end = from.saturating_add(room).min(timestamps.len());
            self.left = self.left.saturating_sub(end - from);
            let (timestamps, values) = (timestamps.get(from..end), values.get(from..end));
            write_points(&mut out, width, timestamps.unwrap_or_default(), values.unwrap_or_default());
            if end < columns.columns().0.len() {
                self.open = Some((width, columns, end));
            }
            // Never before a point was written: whether a list is empty so far shows at the end of the text only.
            if end > from && out.len() >= self.size {
                return Some(out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use nephos_model::Granularity;
    use proptest::prelude::*;

    use super::*;

    fn text(series: &[Vec<f64>]) -> Text {
        let mut text = Text::default();
        text.words("{");
        for (number, values) in series.iter().enumerate() {
            text.key(&number.to_string()).unwrap();
            text.words("[");
            let timestamps = (0..).take(values.len()).map(Timestamp::from_secs).collect::<Vec<_>>();
            let halves = values.len() / 2;
            for range in [0..halves, halves..values.len()] {
                let columns = (timestamps[range.clone()].to_vec(), values[range].to_vec());
                text.points(Width::Seconds(Granularity::from_secs(1).unwrap()), columns);
            }
            text.words("]");
        }
        text.words("}");
        text
    }

    #[test]
    fn words_and_points_follow_each_other() {
        let mut list = Text::default();
        list.words("[");
        for number in [1, 2] {
            list.separate();
            list.value(&number).unwrap();
        }
        list.words(", ");
        list.append(text(&[vec![1.5], vec![]]));
        list.words("]");
        assert_eq!(list.size(), 1);
        let expected = r#"[1, 2, {"0": [["1970-01-01T00:00:00+00:00", 1.0, 1.5]], "1": []}]"#;
        assert_eq!(String::from_utf8(list.whole()).unwrap(), expected);
    }

    proptest! {
        #[test]
        fn pieces_together_are_the_whole(
            series in prop::collection::vec(prop::collection::vec(-1e6_f64..1e6, 0..40), 0..8),
            size in 0_usize..3_000,
        ) {
            let pieces: Vec<Vec<u8>> = text(&series).pieces(size).collect();
            prop_assert_eq!(text(&series).size(), series.iter().map(Vec::len).sum::<usize>());
            let long = |piece: &Vec<u8>| piece.len() > size + 2 * POINT + 200;
            prop_assert!(!pieces.iter().any(long), "{:?}", pieces.iter().map(Vec::len).collect::<Vec<_>>());
            let whole = text(&series).whole();
            serde_json::from_slice::<serde_json::Value>(&whole).unwrap();
            prop_assert_eq!(pieces.concat(), whole);
        }
    }
}
