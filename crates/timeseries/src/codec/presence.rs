//! Which rows have a value, as the smaller of runs and bits.

use crate::columns::Presence;

use super::CodecError;
use super::bits::{BitReader, BitWriter};
use super::bytes::{Reader, put_varint};

const ALL: u8 = 0;
const NONE: u8 = 1;
const RUNS: u8 = 2;
const BITMAP: u8 = 3;

pub(super) fn encode(presence: &Presence, out: &mut Vec<u8>) {
    if presence.all() {
        return out.push(ALL);
    }
    if presence.count() == 0 {
        return out.push(NONE);
    }
    let runs = runs(presence);
    if runs.len() < presence.len().div_ceil(8) {
        out.push(RUNS);
        out.extend_from_slice(&runs);
    } else {
        out.push(BITMAP);
        let mut bits = BitWriter::new(out);
        presence.iter().for_each(|present| bits.put(u64::from(present), 1));
        bits.finish();
    }
}

/// Lengths of runs, of present rows first, that alternate to the last row.
fn runs(presence: &Presence) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut expected, mut length) = (true, 0_u64);
    for present in presence.iter() {
        if present != expected {
            put_varint(&mut out, length);
            (expected, length) = (present, 0);
        }
        length += 1;
    }
    put_varint(&mut out, length);
    out
}

pub(super) fn decode(reader: &mut Reader<'_>, rows: usize) -> Result<Presence, CodecError> {
    let mut presence = Presence::default();
    match reader.byte()? {
        ALL => return Ok(Presence::full(rows)),
        NONE => (0..rows).for_each(|_| presence.push(false)),
        RUNS => {
            let mut present = true;
            while presence.len() < rows {
                let length = reader.length(rows - presence.len(), "rows")?;
                if length == 0 && !(present && presence.is_empty()) {
                    return Err(CodecError::Malformed("empty run"));
                }
                (0..length).for_each(|_| presence.push(present));
                present = !present;
            }
        }
        BITMAP => {
            let mut bits = BitReader::new(reader.take(rows.div_ceil(8))?);
            for _ in 0..rows {
                presence.push(bits.get(1)? == 1);
            }
        }
        _ => return Err(CodecError::Malformed("unknown presence")),
    }
    Ok(presence)
}
