//! Computations and what came of them.

use std::sync::Arc;

use nephos_lang::arithmetic::{BinaryOperator, UnaryOperator};
use nephos_lang::operations::{MAX_DEPTH, Operation, Reference};
use nephos_model::{Granularity, Timestamp};
use nephos_timeseries::{Fill, Grid, Reduction};

use super::Message;
use super::frames::Item;
use crate::bytes::{Malformed, Reader, put_bytes, put_signed, put_unsigned};
use crate::compute::{Computation, Computed, Filling, Refusal, Work};
use crate::contract::{SeriesPoints, SeriesRequest};
use crate::runs::read_granularity;

const REDUCTIONS: [Reduction; 8] = [
    Reduction::Mean,
    Reduction::Median,
    Reduction::Std,
    Reduction::Min,
    Reduction::Max,
    Reduction::Sum,
    Reduction::Var,
    Reduction::Count,
];

/// Fills that have no value of their own.
const FILLS: [Fill; 5] =
    [Fill::Null, Fill::Forward, Fill::Backward, Fill::ForwardThenBackward, Fill::BackwardThenForward];

/// Where something stands in a list of all that it can be.
fn place<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter().position(|other| other == one).and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)
}

fn read_place<T: Copy>(reader: &mut Reader<'_>, all: &[T]) -> Result<T, Malformed> {
    all.get(usize::from(reader.u8()?)).copied().ok_or(Malformed("unknown kind"))
}

fn put_text(buf: &mut Vec<u8>, text: &str) {
    put_bytes(buf, text.as_bytes());
}

fn put_operation(buf: &mut Vec<u8>, operation: &Operation) {
    match operation {
        Operation::Number(number) => {
            buf.push(0);
            buf.extend_from_slice(&number.to_le_bytes());
        }
        Operation::Metric(references) => {
            buf.push(1);
            put_unsigned(buf, references.len() as u64);
            for Reference { name, method } in references {
                put_text(buf, name);
                put_text(buf, method);
            }
        }
        Operation::Aggregate { method, operand } => {
            buf.push(2);
            put_text(buf, method);
            put_operation(buf, operand);
        }
        Operation::Rolling { method, window, operand } => {
            buf.push(3);
            put_text(buf, method);
            put_unsigned(buf, *window as u64);
            put_operation(buf, operand);
        }
        Operation::Resample { method, step, operand } => {
            buf.push(4);
            put_text(buf, method);
            put_signed(buf, *step);
            put_operation(buf, operand);
        }
        Operation::Binary(operator, sides) => {
            buf.push(5);
            put_text(buf, operator.name());
            sides.iter().for_each(|side| put_operation(buf, side));
        }
        Operation::Unary(operator, operand) => {
            buf.push(6);
            put_text(buf, operator.name());
            put_operation(buf, operand);
        }
        Operation::RateOfChange { per_second, operand } => {
            buf.push(7 + u8::from(*per_second));
            put_operation(buf, operand);
        }
        Operation::Increase { per_second, operand } => {
            buf.push(9 + u8::from(*per_second));
            put_operation(buf, operand);
        }
        Operation::Rank { smallest, count, method, operand } => {
            buf.push(11 + u8::from(*smallest));
            put_unsigned(buf, *count as u64);
            put_text(buf, method);
            put_operation(buf, operand);
        }
    }
}

/// `depth` is how deep it may still nest.
fn read_operation(reader: &mut Reader<'_>, depth: usize) -> Result<Operation, Malformed> {
    let Some(depth) = depth.checked_sub(1) else { return Err(Malformed("operations nest too deep")) };
    let operand = |reader: &mut Reader<'_>| read_operation(reader, depth).map(Box::new);
    Ok(match reader.u8()? {
        0 => Operation::Number(reader.f64()?),
        1 => {
            let reference =
                |reader: &mut Reader<'_>| Ok(Reference { name: reader.text()?, method: reader.text()? });
            Operation::Metric((0..reader.count(2)?).map(|_| reference(reader)).collect::<Result<_, _>>()?)
        }
        2 => Operation::Aggregate { method: reader.text()?, operand: operand(reader)? },
        3 => {
            let (method, window) = (reader.text()?, reader.small()?);
            Operation::Rolling { method, window, operand: operand(reader)? }
        }
        4 => {
            let (method, step) = (reader.text()?, reader.signed()?);
            Operation::Resample { method, step, operand: operand(reader)? }
        }
        5 => {
            let operator = BinaryOperator::parse(&reader.text()?).ok_or(Malformed("unknown operator"))?;
            let sides = [read_operation(reader, depth)?, read_operation(reader, depth)?];
            Operation::Binary(operator, Box::new(sides))
        }
        6 => {
            let operator = UnaryOperator::parse(&reader.text()?).ok_or(Malformed("unknown operator"))?;
            Operation::Unary(operator, operand(reader)?)
        }
        kind @ (7 | 8) => Operation::RateOfChange { per_second: kind == 8, operand: operand(reader)? },
        kind @ (9 | 10) => Operation::Increase { per_second: kind == 10, operand: operand(reader)? },
        kind @ (11 | 12) => {
            let (count, method) = (reader.small()?, reader.text()?);
            Operation::Rank { smallest: kind == 12, count, method, operand: operand(reader)? }
        }
        _ => return Err(Malformed("unknown operation")),
    })
}

fn put_filling(buf: &mut Vec<u8>, filling: Filling) {
    match filling {
        Filling::Overlap(needed) => {
            buf.push(0);
            buf.extend_from_slice(&needed.to_le_bytes());
        }
        Filling::Fill { fill: Fill::Value(value), dropping } => {
            buf.push(1 + u8::from(dropping));
            buf.extend_from_slice(&value.to_le_bytes());
        }
        Filling::Fill { fill, dropping } => {
            buf.push(3 + u8::from(dropping));
            buf.push(place(&FILLS, &fill));
        }
    }
}

fn read_filling(reader: &mut Reader<'_>) -> Result<Filling, Malformed> {
    Ok(match reader.u8()? {
        0 => Filling::Overlap(reader.f64()?),
        kind @ (1 | 2) => Filling::Fill { fill: Fill::Value(reader.f64()?), dropping: kind == 2 },
        kind @ (3 | 4) => Filling::Fill { fill: read_place(reader, &FILLS)?, dropping: kind == 4 },
        _ => return Err(Malformed("unknown filling")),
    })
}

impl Message for Work {
    fn put(&self, buf: &mut Vec<u8>) {
        match self {
            Self::Share(reduction) => {
                buf.push(0);
                buf.push(place(&REDUCTIONS, reduction));
            }
            Self::Operations { operations, selection, filling } => {
                buf.push(1);
                put_operation(buf, operations);
                put_unsigned(buf, selection.len() as u64);
                for places in selection {
                    put_unsigned(buf, places.len() as u64);
                    places.iter().for_each(|place| put_unsigned(buf, u64::from(*place)));
                }
                put_filling(buf, *filling);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match reader.u8()? {
            0 => Ok(Self::Share(read_place(reader, &REDUCTIONS)?)),
            1 => {
                // A bound of two numbers makes two operations of one that clients nest.
                let operations = Arc::new(read_operation(reader, 2 * MAX_DEPTH + 2)?);
                let mut selection = Vec::new();
                for _ in 0..reader.count(1)? {
                    selection.push((0..reader.count(1)?).map(|_| reader.small()).collect::<Result<_, _>>()?);
                }
                Ok(Self::Operations { operations, selection, filling: read_filling(reader)? })
            }
            _ => Err(Malformed("unknown kind of work")),
        }
    }
}

/// The series of all stand together: policies are told once.
impl Message for Vec<Computation> {
    fn put(&self, buf: &mut Vec<u8>) {
        let requests: Vec<SeriesRequest> = self.iter().flat_map(|one| one.requests.iter().cloned()).collect();
        requests.put(buf);
        put_unsigned(buf, self.len() as u64);
        for Computation { requests, work } in self {
            put_unsigned(buf, requests.len() as u64);
            work.put(buf);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut requests = Vec::<SeriesRequest>::read(reader)?.into_iter();
        let mut computations = Vec::new();
        for _ in 0..reader.count(2)? {
            let count: usize = reader.small()?;
            if count > requests.len() {
                return Err(Malformed("series are missing"));
            }
            let requests = requests.by_ref().take(count).collect();
            computations.push(Computation { requests, work: Work::read(reader)? });
        }
        match requests.next() {
            None => Ok(computations),
            Some(_) => Err(Malformed("there are series of no computation")),
        }
    }
}

/// What a [`Computed`] is besides its points.
pub(crate) struct Shape {
    /// Granularity and series of each grid.
    grids: Vec<(Granularity, usize)>,
    aggregated: bool,
    chosen: Vec<Option<Vec<usize>>>,
}

impl Item for Result<Computed, Refusal> {
    type Head = Result<Shape, Refusal>;

    fn put_head(&self, buf: &mut Vec<u8>) {
        let computed = match self {
            Ok(computed) => computed,
            Err(Refusal::Unaggregable(reason)) => {
                buf.push(1);
                return put_text(buf, reason);
            }
            Err(Refusal::TooMuch) => return buf.push(2),
            Err(Refusal::Malformed) => return buf.push(3),
        };
        buf.extend([0, u8::from(computed.aggregated)]);
        put_unsigned(buf, computed.grids.len() as u64);
        for grid in &computed.grids {
            put_signed(buf, grid.granularity().as_nanos());
            put_unsigned(buf, grid.width() as u64);
        }
        put_unsigned(buf, computed.chosen.len() as u64);
        for chosen in &computed.chosen {
            buf.push(u8::from(chosen.is_some()));
            if let Some(places) = chosen {
                put_unsigned(buf, places.len() as u64);
                places.iter().for_each(|place| put_unsigned(buf, *place as u64));
            }
        }
    }

    fn read_head(reader: &mut Reader<'_>) -> Result<Self::Head, Malformed> {
        match reader.u8()? {
            0 => {}
            1 => return Ok(Err(Refusal::Unaggregable(reader.text()?))),
            2 => return Ok(Err(Refusal::TooMuch)),
            3 => return Ok(Err(Refusal::Malformed)),
            _ => return Err(Malformed("unknown outcome")),
        }
        let aggregated = reader.u8()? != 0;
        let mut grids = Vec::new();
        for _ in 0..reader.count(2)? {
            grids.push((read_granularity(reader)?, reader.small()?));
        }
        let mut chosen = Vec::new();
        for _ in 0..reader.count(1)? {
            chosen.push(match reader.u8()? {
                0 => None,
                _ => Some((0..reader.count(1)?).map(|_| reader.small()).collect::<Result<_, _>>()?),
            });
        }
        Ok(Ok(Shape { grids, aggregated, chosen }))
    }

    /// Each column of each grid.
    fn list(&self, mut at: usize) -> Option<(Granularity, &[Timestamp], &[f64])> {
        for grid in &self.as_ref().ok()?.grids {
            if at < grid.width() {
                return Some((grid.granularity(), grid.timestamps(), grid.column(at)));
            }
            at -= grid.width();
        }
        None
    }

    fn join(head: Self::Head, lists: Vec<SeriesPoints>) -> Result<Self, Malformed> {
        let mut lists = lists.into_iter();
        let joined = head.map(|shape| {
            let grids = shape.grids.into_iter().map(|(granularity, width)| {
                let columns = lists.by_ref().take(width).map(|list| (list.timestamps, list.values));
                let columns: Vec<_> = columns.collect();
                let is_whole = columns.len() == width;
                is_whole
                    .then(|| Grid::align(granularity, columns, Fill::Null))
                    .ok_or(Malformed("columns are missing"))
            });
            let grids = grids.collect::<Result<_, _>>()?;
            Ok(Computed { grids, aggregated: shape.aggregated, chosen: shape.chosen })
        });
        match lists.next() {
            None => joined.map_or_else(|refusal| Ok(Err(refusal)), |computed| computed.map(Ok)),
            Some(_) => Err(Malformed("there are columns of no grid")),
        }
    }
}
