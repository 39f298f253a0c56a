//! Bodies of lines, of any length: read piece by piece, each of whole lines, so that memory is bounded by the piece.

use std::io::Write;

use axum::body::Body;
use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body_util::BodyExt;

use crate::failure::Failure;
use crate::service::Problem;

/// Bytes that make a piece.
const PIECE: usize = 1 << 20;

/// Compressed bytes that are unpacked at once: they hold a thousand times as many at most.
const UNPACKED: usize = 4 << 10;

/// A body being read.
#[derive(Debug)]
pub(super) struct Pieces {
    body: Body,
    gzip: Option<MultiGzDecoder<Vec<u8>>>,
    /// What came and is still packed.
    packed: Bytes,
    lines: Vec<u8>,
    /// Bytes that may still come.
    left: Option<usize>,
    limit: usize,
    is_over: bool,
}

impl Pieces {
    /// Of a request with these headers. One that tells its length may have `limit` bytes, and so may what comes out of a
    /// packed one; one that is sent in chunks may go on.
    pub(super) fn of(headers: &HeaderMap, body: Body, limit: usize) -> Result<Self, Failure> {
        let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
        let announced = text(CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
        if announced.is_some_and(|length| length > limit) {
            return Err(Failure::TooLarge { limit });
        }
        let gzip = match text(CONTENT_ENCODING).map(str::trim) {
            None | Some("" | "identity") => None,
            Some(name) if name.eq_ignore_ascii_case("gzip") => Some(MultiGzDecoder::new(Vec::new())),
            Some(_) => return Err(Failure::UnsupportedMediaType),
        };
        let left = (announced.is_some() || gzip.is_some()).then_some(limit);
        Ok(Self { body, gzip, packed: Bytes::new(), lines: Vec::new(), left, limit, is_over: false })
    }

    /// The next piece, which ends with the end of a line or of the body.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        while !self.is_over && self.lines.len() < PIECE {
            self.fill().await?;
        }
        if self.is_over {
            let rest = std::mem::take(&mut self.lines);
            return Ok((!rest.is_empty()).then_some(rest));
        }
        let end = self.lines.iter().rposition(|byte| *byte == b'\n');
        let end = end.ok_or(Failure::TooLarge { limit: PIECE })?;
        let rest = self.lines.split_off(end + 1);
        Ok(Some(std::mem::replace(&mut self.lines, rest)))
    }

    /// Takes in what comes next.
    async fn fill(&mut self) -> Result<(), Failure> {
        if self.packed.is_empty() {
            match self.body.frame().await {
                None => return self.finish(),
                Some(Err(_)) => return Err(Failure::UndecodableBody),
                Some(Ok(frame)) => self.packed = frame.into_data().unwrap_or_default(),
            }
        }
        let before = self.lines.len();
        match &mut self.gzip {
            None => self.lines.extend_from_slice(&std::mem::take(&mut self.packed)),
            Some(gzip) => {
                let some = self.packed.split_to(self.packed.len().min(UNPACKED));
                gzip.write_all(&some).map_err(|_| not_gzip())?;
                self.lines.append(gzip.get_mut());
            }
        }
        self.count(before)
    }

    fn finish(&mut self) -> Result<(), Failure> {
        let before = self.lines.len();
        if let Some(mut gzip) = self.gzip.take() {
            gzip.try_finish().map_err(|_| not_gzip())?;
            self.lines.append(gzip.get_mut());
        }
        self.is_over = true;
        self.count(before)
    }

    fn count(&mut self, before: usize) -> Result<(), Failure> {
        let came = self.lines.len() - before;
        match self.left.as_mut().map(|left| left.checked_sub(came).map(|rest| *left = rest)) {
            Some(None) => Err(Failure::TooLarge { limit: self.limit }),
            _ => Ok(()),
        }
    }
}

fn not_gzip() -> Failure {
    Problem::Bad("The body is not what gzip makes".to_owned()).into()
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    async fn pieces(headers: &[(http::HeaderName, &str)], body: Vec<u8>) -> Result<Vec<Vec<u8>>, Failure> {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
        let mut pieces = Pieces::of(&headers.collect(), Body::from(body), 3 << 20)?;
        let mut all = Vec::new();
        while let Some(piece) = pieces.next().await? {
            all.push(piece);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn a_long_body_comes_in_pieces_of_whole_lines() {
        let body: Vec<u8> = (0..400_000).flat_map(|line| format!("line {line}\n").into_bytes()).collect();
        assert!(body.len() > 4 << 20);
        let all = pieces(&[], body.clone()).await.unwrap();
        assert_eq!(all.concat(), body);
        assert!(all.iter().all(|piece| piece.ends_with(b"\n")));
        let some = body[..2_500_000].to_vec();
        let all = pieces(&[(CONTENT_ENCODING, "gzip")], packed(&some)).await.unwrap();
        assert!(all.len() > 1);
        assert_eq!(all.concat(), some);
        assert!(pieces(&[], Vec::new()).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_is_too_large_or_no_gzip_is_refused() {
        let lines = b"m,host=a x=1\n".repeat(1 << 18);
        let gzip = [(CONTENT_ENCODING, "gzip")];
        assert!(matches!(pieces(&gzip, packed(&lines)).await, Err(Failure::TooLarge { limit: 3_145_728 })));
        let bomb = packed(&vec![b'x'; 64 << 20]);
        assert!(matches!(pieces(&gzip, bomb).await, Err(Failure::TooLarge { .. })));
        assert!(matches!(pieces(&[], vec![b'x'; 2 << 20]).await, Err(Failure::TooLarge { limit: PIECE })));
        let announced = [(CONTENT_LENGTH, "4000000")];
        assert!(matches!(pieces(&announced, Vec::new()).await, Err(Failure::TooLarge { .. })));
        assert!(matches!(pieces(&gzip, lines).await, Err(Failure::Problem(_))));
        let mut cut = packed(b"m,host=a x=1\n");
        cut.truncate(cut.len() - 9);
        assert!(matches!(pieces(&gzip, cut).await, Err(Failure::Problem(_))));
        let other = [(CONTENT_ENCODING, "br")];
        assert!(matches!(pieces(&other, Vec::new()).await, Err(Failure::UnsupportedMediaType)));
    }
}
