//! Which rows have a value, as the smaller of runs and bits.

use crate::columns::Presence;

use super::CodecError;
use super::bytes::{Reader, put_varint};

const NONE: u8 = 1;
const RUNS: u8 = 2;
const BITMAP: u8 = 3;

/// Appends it; the reader must know the number of rows.
pub(super) fn encode(presence: &Presence, out: &mut Vec<u8>) {
    if presence.count() == 0 {
        return out.push(NONE);
    }
    let start = out.len();
    out.push(RUNS);
    // Lengths of runs, of present rows first, that alternate to the last row.
    let bitmap = presence.len().div_ceil(8);
    let mut expected = true;
    for (present, length) in presence.runs() {
        if present != expected {
            put_varint(out, 0);
        }
        put_varint(out, length as u64);
        expected = !present;
        if out.len() - start > bitmap {
            break;
        }
    }
    if out.len() - start > bitmap {
        out.truncate(start);
        out.push(BITMAP);
        out.extend(presence.words().iter().flat_map(|word| word.to_le_bytes()).take(bitmap));
    }
}

/// Reads what [`encode`] wrote.
pub(super) fn decode(reader: &mut Reader<'_>, rows: usize) -> Result<Presence, CodecError> {
    let mut presence = Presence::default();
    match reader.byte()? {
        NONE => presence.push_run(false, rows),
        RUNS => {
            let mut present = true;
            while presence.len() < rows {
                let length = reader.length(rows - presence.len(), "rows")?;
                if length == 0 && !(present && presence.is_empty()) {
                    return Err(CodecError::Malformed("empty run"));
                }
                presence.push_run(present, length);
                present = !present;
            }
        }
        BITMAP => {
            let mut left = rows;
            for byte in reader.take(rows.div_ceil(8))? {
                (0..left.min(8)).for_each(|bit| presence.push(byte >> bit & 1 == 1));
                left = left.saturating_sub(8);
            }
        }
        _ => return Err(CodecError::Malformed("unknown presence")),
    }
    Ok(presence)
}
