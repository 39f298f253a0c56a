//! HTTP over one connection, as much of it as the clients here need.

use std::io::{BufRead, BufReader, Error, Read, Result};
use std::net::TcpStream;
use std::time::Duration;

/// A connection that is kept alive.
pub fn open(address: &str) -> Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(90)))?;
    Ok(BufReader::with_capacity(1 << 16, stream))
}

/// Reads an answer: its status, and its body into `body`.
pub fn answer(stream: &mut BufReader<TcpStream>, line: &mut String, body: &mut Vec<u8>) -> Result<u16> {
    line.clear();
    stream.read_line(line)?;
    let status = line.split(' ').nth(1).and_then(|text| text.parse().ok());
    let status: u16 = status.ok_or_else(|| Error::other(format!("no status: {line:?}")))?;
    let (mut length, mut is_chunked) = (0, false);
    loop {
        line.clear();
        stream.read_line(line)?;
        if line.len() <= 2 {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(Error::other)?;
        }
        is_chunked |= name.eq_ignore_ascii_case("transfer-encoding") && value.trim().eq_ignore_ascii_case("chunked");
    }
    body.clear();
    if is_chunked {
        chunks(stream, line, body)?;
    } else {
        body.resize(length, 0);
        stream.read_exact(body)?;
    }
    Ok(status)
}

/// Reads a body that comes in pieces, each behind its length.
fn chunks(stream: &mut BufReader<TcpStream>, line: &mut String, body: &mut Vec<u8>) -> Result<()> {
    loop {
        line.clear();
        stream.read_line(line)?;
        let length = usize::from_str_radix(line.trim(), 16).map_err(Error::other)?;
        let end = body.len() + length;
        body.resize(end + 2, 0);
        stream.read_exact(&mut body[end - length..])?;
        body.truncate(end);
        if length == 0 {
            return Ok(());
        }
    }
}
