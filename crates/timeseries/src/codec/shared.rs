//! Columns of one set of buckets that need not be stored because others tell them.

use crate::columns::Column;
use crate::method::{AggregationMethod, Stat};

/// How a column of a chunk comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// It is stored.
    Own,
    /// The column of that index has the same bits, and is stored.
    Same(usize),
    /// The sum divided by the count of the same values.
    Quotient,
}

/// A source for each column. What others lead to is stored itself.
pub(super) fn sources(columns: &[Column]) -> Vec<Source> {
    let mut sources = vec![Source::Own; columns.len()];
    let mut order: Vec<usize> = (0..columns.len()).collect();
    order.sort_by_key(|index| precedence(columns[*index].method().stat));
    let mut own: Vec<usize> = Vec::with_capacity(columns.len());
    for index in order {
        let column = &columns[index];
        sources[index] = if let Some(same) = own.iter().find(|other| same_values(&columns[**other], column)) {
            Source::Same(*same)
        } else if is_quotient(columns, column) {
            Source::Quotient
        } else {
            own.push(index);
            Source::Own
        };
    }
    sources
}

/// What others may refer to comes first.
fn precedence(stat: Stat) -> u8 {
    match stat {
        Stat::Count => 0,
        Stat::Sum => 1,
        Stat::Mean => 3,
        _ => 2,
    }
}

fn same_values(a: &Column, b: &Column) -> bool {
    let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits();
    a.values().len() == b.values().len()
        && a.values().iter().zip(b.values()).all(same)
        && a.presence() == b.presence()
}

/// Whether a mean is exactly, everywhere, the quotient of two other columns.
fn is_quotient(columns: &[Column], column: &Column) -> bool {
    let AggregationMethod { rate, stat } = column.method();
    let other = |stat| columns.iter().find(|other| other.method() == AggregationMethod { rate, stat });
    let (Stat::Mean, Some(sum), Some(count)) = (stat, other(Stat::Sum), other(Stat::Count)) else {
        return false;
    };
    let presence = column.presence();
    let rows = column.values().iter().zip(sum.values()).zip(count.values());
    // The bits of a NaN that is computed are not the same everywhere.
    let exact = |mean: f64, sum: f64, count: f64| !mean.is_nan() && (sum / count).to_bits() == mean.to_bits();
    sum.presence() == presence
        && count.presence() == presence
        && rows
            .enumerate()
            .all(|(row, ((mean, sum), count))| exact(*mean, *sum, *count) || !presence.get(row))
}
