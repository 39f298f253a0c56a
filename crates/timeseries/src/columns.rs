//! Buckets of one granularity as columns: bucket starts, and a value column for each method.

use nephos_model::Timestamp;

use crate::method::AggregationMethod;

/// Which rows of a column have a value. Costs nothing while all have one.
#[derive(Clone, Debug, Default)]
pub struct Presence {
    len: usize,
    present: usize,
    /// One bit a row, set if present; empty while every row is present.
    words: Vec<u64>,
}

impl Presence {
    /// So many rows that all have a value.
    pub fn full(len: usize) -> Self {
        Self { len, present: len, words: Vec::new() }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of rows that have a value.
    pub fn count(&self) -> usize {
        self.present
    }

    /// Whether every row has a value.
    pub fn all(&self) -> bool {
        self.present == self.len
    }

    /// Whether this row exists and has a value.
    pub fn get(&self, row: usize) -> bool {
        row < self.len && self.words.get(row / 64).is_none_or(|word| word >> (row % 64) & 1 == 1)
    }

    /// Adds a row.
    pub fn push(&mut self, present: bool) {
        if present && self.words.is_empty() {
            self.len += 1;
            self.present += 1;
        } else {
            self.push_run(present, 1);
        }
    }

    /// Adds so many rows that all have a value, or none of which has one.
    pub fn push_run(&mut self, present: bool, rows: usize) {
        if rows == 0 {
            return;
        }
        if !present && self.words.is_empty() {
            self.materialise();
        }
        let len = self.len + rows;
        if !self.words.is_empty() || !present {
            let fill = if present { u64::MAX } else { 0 };
            if let (used @ 1.., Some(word)) = (self.len % 64, self.words.last_mut()) {
                *word |= fill << used;
            }
            self.words.resize(len.div_ceil(64), fill);
            if let (used @ 1.., Some(word)) = (len % 64, self.words.last_mut()) {
                *word &= (1 << used) - 1;
            }
        }
        self.len = len;
        self.present += if present { rows } else { 0 };
    }

    /// Adds the rows of another from `from` on.
    pub fn append(&mut self, other: &Self, from: usize) {
        if other.all() {
            return self.push_run(true, other.len.saturating_sub(from));
        }
        let mut row = 0;
        for (present, length) in other.runs() {
            let end = row + length;
            self.push_run(present, end.saturating_sub(row.max(from)));
            row = end;
        }
    }

    /// Runs of rows that are alike, and how long they are.
    pub fn runs(&self) -> impl Iterator<Item = (bool, usize)> + '_ {
        let mut row = 0;
        std::iter::from_fn(move || {
            let start = row;
            let present = (row < self.len).then(|| self.get(row))?;
            while row < self.len {
                let Some(word) = self.words.get(row / 64) else {
                    row = self.len;
                    break;
                };
                let others = if present { !word } else { *word } >> (row % 64);
                let step = (others.trailing_zeros() as usize).min(64 - row % 64);
                row = (row + step).min(self.len);
                if !row.is_multiple_of(64) || step == 0 {
                    break;
                }
            }
            Some((present, row - start))
        })
    }

    /// One bit a row, set if present; none while every row is present.
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    /// Keeps the first `len` rows.
    pub fn truncate(&mut self, len: usize) {
        if len >= self.len {
            return;
        }
        self.present -=
            if self.all() { self.len - len } else { (len..self.len).filter(|row| self.get(*row)).count() };
        self.len = len;
        self.words.truncate(len.div_ceil(64));
        if self.all() {
            self.words.clear();
        } else if let (spare @ 1.., Some(word)) = (len % 64, self.words.last_mut()) {
            *word &= (1 << spare) - 1;
        }
    }

    /// Whether each row has a value, in order.
    pub fn iter(&self) -> impl Iterator<Item = bool> + '_ {
        (0..self.len).map(|row| self.get(row))
    }

    fn materialise(&mut self) {
        self.words = vec![u64::MAX; self.len / 64];
        if !self.len.is_multiple_of(64) {
            self.words.push((1 << (self.len % 64)) - 1);
        }
    }
}

impl PartialEq for Presence {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.present == other.present && (self.all() || self.words == other.words)
    }
}

/// The values of one method, a row for each bucket. A bucket may have no value: the standard deviation of one
/// measure, a difference without predecessor. That is not the same as a value that is NaN.
#[derive(Clone, Debug)]
pub struct Column {
    method: AggregationMethod,
    values: Vec<f64>,
    presence: Presence,
}

impl Column {
    /// An empty column.
    pub fn new(method: AggregationMethod) -> Self {
        Self { method, values: Vec::new(), presence: Presence::default() }
    }

    /// From a value for each row, 0 where there is none; both have the same length.
    pub(crate) fn from_parts(method: AggregationMethod, values: Vec<f64>, presence: Presence) -> Self {
        debug_assert_eq!(values.len(), presence.len(), "one value a row");
        Self { method, values, presence }
    }

    /// The method.
    pub fn method(&self) -> AggregationMethod {
        self.method
    }

    /// A value for each row; 0 where [`presence`](Self::presence) says there is none.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Which rows have a value.
    pub fn presence(&self) -> &Presence {
        &self.presence
    }

    /// The value of a row, if it has one.
    pub fn get(&self, row: usize) -> Option<f64> {
        self.values.get(row).copied().filter(|_| self.presence.get(row))
    }

    /// Adds a row.
    pub fn push(&mut self, value: Option<f64>) {
        self.values.push(value.unwrap_or(0.0));
        self.presence.push(value.is_some());
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.presence.truncate(rows);
    }

    fn split_off(&mut self, rows: usize) -> Self {
        let mut tail = Self::new(self.method);
        tail.presence.append(&self.presence, rows);
        tail.values = self.values.split_off(rows.min(self.values.len()));
        self.presence.truncate(rows);
        tail
    }

    /// Adds the rows of another column.
    fn append(&mut self, other: &Self) {
        self.values.extend_from_slice(&other.values);
        self.presence.append(&other.presence, 0);
    }

    /// Adds so many rows without a value.
    fn push_absent(&mut self, rows: usize) {
        self.values.resize(self.values.len() + rows, 0.0);
        self.presence.push_run(false, rows);
    }
}

/// Equal bit for bit, so that a column equals itself even where it holds NaN.
impl PartialEq for Column {
    fn eq(&self, other: &Self) -> bool {
        self.method == other.method
            && self.presence == other.presence
            && self
                .values
                .iter()
                .map(|value| value.to_bits())
                .eq(other.values.iter().map(|value| value.to_bits()))
    }
}

/// Buckets of one metric and granularity: ascending starts, and as many rows in each column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BucketColumns {
    starts: Vec<Timestamp>,
    columns: Vec<Column>,
}

impl BucketColumns {
    /// No buckets yet, a column for each method.
    pub fn new(methods: &[AggregationMethod]) -> Self {
        Self { starts: Vec::new(), columns: methods.iter().map(|method| Column::new(*method)).collect() }
    }

    /// [`new`](Self::new) with room for so many buckets.
    pub fn with_capacity(methods: &[AggregationMethod], rows: usize) -> Self {
        let column = |method: &AggregationMethod| Column {
            method: *method,
            values: Vec::with_capacity(rows),
            presence: Presence::default(),
        };
        Self { starts: Vec::with_capacity(rows), columns: methods.iter().map(column).collect() }
    }

    /// From parts; `None` unless starts ascend strictly and every column has as many rows.
    pub fn from_parts(starts: Vec<Timestamp>, columns: Vec<Column>) -> Option<Self> {
        let ascending = starts.is_sorted_by(|a, b| a < b);
        let even = columns.iter().all(|column| column.values.len() == starts.len());
        (ascending && even).then_some(Self { starts, columns })
    }

    /// Number of buckets.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Starts of the buckets, ascending.
    pub fn starts(&self) -> &[Timestamp] {
        &self.starts
    }

    /// All columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The column of a method.
    pub fn column(&self, method: AggregationMethod) -> Option<&Column> {
        self.columns.iter().find(|column| column.method == method)
    }

    /// Start of the newest bucket in which a method has a value: retention is judged by it.
    pub fn newest(&self, method: AggregationMethod) -> Option<Timestamp> {
        let presence = &self.column(method)?.presence;
        let row = (0..self.len()).rev().find(|row| presence.get(*row))?;
        self.starts.get(row).copied()
    }

    /// The points of a method: starts and values of the rows that have one.
    pub fn points(&self, method: AggregationMethod) -> impl Iterator<Item = (Timestamp, f64)> + '_ {
        let column = self.column(method);
        self.starts.iter().enumerate().filter_map(move |(row, start)| Some((*start, column?.get(row)?)))
    }

    /// Adds a bucket behind the last one; `row` gives the value of each column.
    pub(crate) fn push_row(
        &mut self,
        start: Timestamp,
        mut row: impl FnMut(AggregationMethod) -> Option<f64>,
    ) {
        debug_assert!(self.starts.last().is_none_or(|last| *last < start), "buckets come in order");
        self.starts.push(start);
        for column in &mut self.columns {
            let value = row(column.method);
            column.push(value);
        }
    }

    /// Forgets all buckets, keeps methods and memory.
    pub fn clear(&mut self) {
        self.truncate_rows(0);
    }

    /// Forgets the buckets that begin at or after `from`.
    pub fn truncate_from(&mut self, from: Timestamp) {
        self.truncate_rows(self.starts.partition_point(|start| *start < from));
    }

    /// Takes out the buckets that begin before `at`, leaving the others.
    pub fn split_before(&mut self, at: Timestamp) -> Self {
        let rows = self.starts.partition_point(|start| *start < at);
        let tail = Self {
            starts: self.starts.split_off(rows),
            columns: self.columns.iter_mut().map(|column| column.split_off(rows)).collect(),
        };
        std::mem::replace(self, tail)
    }

    /// Takes out the buckets that begin in a range.
    pub fn remove(&mut self, range: std::ops::Range<Timestamp>) {
        if self.starts.iter().any(|start| range.contains(start)) {
            let mut tail = std::mem::take(self);
            *self = tail.split_before(range.start);
            tail.split_before(range.end);
            self.overwrite(&tail);
        }
    }

    /// Replaces every bucket that begins at or after the first of `newer`: the buckets of a run over those of
    /// before. Methods that only one side has get no value in the other's rows.
    pub fn overwrite(&mut self, newer: &Self) {
        let Some(first) = newer.starts.first() else { return };
        if self.starts.last().is_some_and(|last| last >= first) {
            self.truncate_from(*first);
        }
        let rows = self.len();
        for column in &newer.columns {
            if self.column(column.method).is_none() {
                let mut added = Column::new(column.method);
                added.push_absent(rows);
                self.columns.push(added);
            }
        }
        self.starts.extend_from_slice(&newer.starts);
        for column in &mut self.columns {
            match newer.column(column.method) {
                Some(source) => column.append(source),
                None => column.push_absent(newer.len()),
            }
        }
    }

    fn truncate_rows(&mut self, rows: usize) {
        self.starts.truncate(rows);
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
    }
}

#[cfg(test)]
mod tests;
