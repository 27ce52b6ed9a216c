//! The beginning of a connection to a SOCKS proxy, version 5 (RFC 1928), from the proxy's side.

use std::io::{self, BufRead, Read, Write};
use std::net::TcpStream;

const VERSION: u8 = 5;
const NOBODY: u8 = 0;
const NAME_AND_PASSWORD: u8 = 2;
const DOMAIN: u8 = 3;

/// Answers a client that takes this for a SOCKS proxy; the result is what it wants to reach, with who it is before an
/// `@`. None if it speaks something else.
pub(crate) fn begin(reader: &mut impl BufRead, mut stream: &TcpStream) -> io::Result<Option<String>> {
    if reader.fill_buf()?.first() != Some(&VERSION) {
        return Ok(None);
    }
    let [_, methods] = bytes(reader)?;
    let methods = text_of(reader, methods)?;
    let mut who = String::new();
    if methods.as_bytes().contains(&NAME_AND_PASSWORD) {
        stream.write_all(&[VERSION, NAME_AND_PASSWORD])?;
        let [_, length] = bytes(reader)?;
        let name = text_of(reader, length)?;
        let [length] = bytes(reader)?;
        who = format!("{name}:{}@", text_of(reader, length)?);
        stream.write_all(&[1, 0])?;
    } else {
        stream.write_all(&[VERSION, NOBODY])?;
    }
    let [_, _connect, _, DOMAIN, length] = bytes(reader)? else {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "only names are known"));
    };
    let host = text_of(reader, length)?;
    let port = u16::from_be_bytes(bytes(reader)?);
    stream.write_all(&[VERSION, 0, 0, 1, 127, 0, 0, 1, 0, 0])?;
    Ok(Some(format!("{who}{host}:{port}")))
}

fn bytes<const N: usize>(reader: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn text_of(reader: &mut impl Read, length: u8) -> io::Result<String> {
    let mut bytes = vec![0; usize::from(length)];
    reader.read_exact(&mut bytes)?;
    String::from_utf8(bytes).map_err(io::Error::other)
}
