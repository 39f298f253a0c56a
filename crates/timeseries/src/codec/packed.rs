//! The `pco` compressor, for columns long enough to repay its tables.

use pco::data_types::Number;
use pco::metadata::DeltaEncoding;
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, PagingSpec};

use super::CodecError;

/// Shorter columns are not tried.
pub(super) const MIN_VALUES: usize = 64;

/// Best ratio for its time on telemetry; higher levels take twice as long for 2 %.
const LEVEL: usize = 4;
/// Mode of a dictionary, which we never write, and which reserves what it claims before it is checked.
const DICTIONARY_MODE: u8 = 4;
/// Windows above this are never written, and would be reserved.
const MAX_WINDOW_LOG: u32 = 20;

/// `None` if there are too few values or the library declines.
pub(super) fn compress<T: Number>(values: &[T]) -> Option<Vec<u8>> {
    if values.len() < MIN_VALUES {
        return None;
    }
    let config = ChunkConfig::default()
        .with_compression_level(LEVEL)
        .with_paging_spec(PagingSpec::Exact(vec![values.len()]));
    let file = FileCompressor::default();
    let mut chunk = file.chunk_compressor(values, &config).ok()?;
    let out = file.write_header(Vec::new()).ok()?;
    let out = chunk.write_meta(out).ok()?;
    chunk.write_page(0, out).ok()
}

/// `count` values from the whole of `bytes`.
pub(super) fn decompress<T: Number + Default>(bytes: &[u8], count: usize) -> Result<Vec<T>, CodecError> {
    let broken = |_| CodecError::Malformed("pco");
    let (file, rest) = FileDecompressor::new(bytes).map_err(broken)?;
    if rest.first().is_none_or(|byte| byte & 0x0f == DICTIONARY_MODE) {
        return Err(CodecError::Malformed("pco mode"));
    }
    let (mut chunk, rest) = file.chunk_decompressor::<T, _>(rest).map_err(broken)?;
    if let DeltaEncoding::Lookback { config, .. } = &chunk.meta().delta_encoding
        && config.window_n_log > MAX_WINDOW_LOG
    {
        return Err(CodecError::Malformed("pco window"));
    }
    let mut values = vec![T::default(); count];
    let progress = chunk.page_decompressor(rest, count).map_err(broken)?.read(&mut values).map_err(broken)?;
    if progress.n_processed == count { Ok(values) } else { Err(CodecError::Truncated) }
}
