//! The `pco` compressor, for columns long enough to repay its tables.

use pco::data_types::Number;
use pco::metadata::DeltaEncoding;
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DeltaSpec, ModeSpec, PagingSpec};

use super::CodecError;

/// Best ratio for its time on telemetry; higher levels take twice as long for 2 %.
const LEVEL: usize = 4;
/// Mode of a dictionary, which we never write, and which reserves what it claims before it is checked.
const DICTIONARY_MODE: u8 = 4;
/// Windows above this are never written, and would be reserved.
const MAX_WINDOW_LOG: u32 = 20;

/// Packs numbers of which nothing is known; `None` if the library declines.
pub(super) fn compress<T: Number>(values: &[T]) -> Option<Vec<u8>> {
    compress_with(values, ChunkConfig::default())
}

/// Packs numbers that have neither trend nor common factor: the library needs not look for any.
pub(super) fn compress_residuals<T: Number>(values: &[T]) -> Option<Vec<u8>> {
    compress_with(
        values,
        ChunkConfig::default().with_delta_spec(DeltaSpec::NoOp).with_mode_spec(ModeSpec::Classic),
    )
}

fn compress_with<T: Number>(values: &[T], config: ChunkConfig) -> Option<Vec<u8>> {
    let config = config.with_compression_level(LEVEL).with_paging_spec(PagingSpec::Exact(vec![values.len()]));
    let file = FileCompressor::default();
    let mut chunk = file.chunk_compressor(values, &config).ok()?;
    let out = file.write_header(Vec::new()).ok()?;
    let out = chunk.write_meta(out).ok()?;
    chunk.write_page(0, out).ok()
}

/// Values are decompressed so many at once: less is asked for only if it is all there is.
pub(super) const BATCH: usize = 256;

/// Fills `values` with the first of `count` from the whole of `bytes`: all of them, or whole [batches](BATCH).
pub(super) fn decompress_into<T: Number>(
    bytes: &[u8],
    count: usize,
    values: &mut [T],
) -> Result<(), CodecError> {
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
    let wanted = values.len();
    let progress = chunk.page_decompressor(rest, count).map_err(broken)?.read(values).map_err(broken)?;
    if progress.n_processed == wanted { Ok(()) } else { Err(CodecError::Truncated) }
}
