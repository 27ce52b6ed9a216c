//! What the depot reads and answers.

use std::fs;
use std::io::{self, BufRead, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use flate2::Compression;
use flate2::bufread::GzEncoder;

use crate::depot::{Fault, Shared, lock};

/// What begins the request by which a proxy is to reach a server: here, the depot itself.
const CONNECT: &str = "CONNECT ";

/// What a path begins with if a proxy is asked for it.
const ABSOLUTE: &str = "http://";

/// What is asked.
pub(crate) struct Request {
    pub(crate) path: String,
    /// Where a wanted range begins.
    range: Option<usize>,
    /// Whether the answer may be packed.
    takes_gzip: bool,
}

/// Reads a request; none at the end.
pub(crate) fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.take(1 << 16).read_line(&mut line).ok().filter(|count| *count > 0)?;
    let target = line.split(' ').nth(1)?;
    let path = match line.strip_prefix(CONNECT) {
        Some(_) => format!("{CONNECT}{target}"),
        None => target.trim_start_matches('/').to_owned(),
    };
    let mut request = Request { path, range: None, takes_gzip: false };
    loop {
        let mut header = String::new();
        reader.take(1 << 16).read_line(&mut header).ok().filter(|count| *count > 0)?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            return Some(request);
        }
        request.takes_gzip |= header.starts_with("accept-encoding:") && header.contains("gzip");
        if let Some(wanted) = header.strip_prefix("range: bytes=") {
            request.range = wanted.split('-').next().and_then(|begin| begin.parse().ok());
        }
    }
}

/// Answers; whether the connection goes on.
pub(crate) fn answer(
    shared: &Shared,
    mut stream: &TcpStream,
    request: &Request,
    fault: Option<&Fault>,
) -> io::Result<bool> {
    let path = request.path.as_str();
    if path.starts_with(CONNECT) && fault.is_none() {
        write!(stream, "HTTP/1.1 200 Connection established\r\n\r\n")?;
        return Ok(true);
    }
    let content = match fault {
        Some(Fault::Close) => return Ok(false),
        Some(Fault::Wrong(bytes)) => Some(bytes.clone()),
        Some(Fault::Status(status)) => {
            write!(stream, "HTTP/1.1 {status} Trouble\r\nContent-Length: 0\r\n\r\n")?;
            return Ok(true);
        }
        Some(Fault::Redirect(to)) => {
            write!(stream, "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")?;
            return Ok(true);
        }
        _ => content(shared, of_server(path)),
    };
    let Some(content) = content else {
        write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
        return Ok(true);
    };
    let (head, mut part) = whole_or_part(shared, request, content);
    if let (Some(Fault::Mangle), true) = (fault, request.takes_gzip) {
        part.iter_mut().skip(10).for_each(|byte| *byte = !*byte);
    }
    let length = match fault {
        Some(Fault::EndUntold(_)) => "Connection: close".to_owned(),
        _ => format!("Content-Length: {}", part.len()),
    };
    // In one piece, as the kernel holds back a small second one until the first is confirmed.
    let mut bytes = format!("HTTP/1.1 {head}\r\n{length}\r\n\r\n").into_bytes();
    let sent = match fault {
        Some(Fault::Truncate(count) | Fault::Stall(count) | Fault::EndUntold(count)) => part.len().min(*count),
        _ => part.len(),
    };
    bytes.extend_from_slice(&part[..sent]);
    stream.write_all(&bytes)?;
    if let Some(Fault::Stall(_)) = fault {
        while !shared.is_ending.load(Ordering::Acquire) {
            thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(!matches!(fault, Some(Fault::Truncate(_) | Fault::Stall(_) | Fault::EndUntold(_))))
}

/// Status and headers without the length, and what is sent of the content.
fn whole_or_part(shared: &Shared, request: &Request, content: Vec<u8>) -> (String, Vec<u8>) {
    let length = content.len();
    let is_payload = request.path.contains("file/");
    if request.takes_gzip && !is_payload {
        lock(&shared.packed).push(request.path.clone());
        let mut packed = Vec::new();
        // Memory does not fail.
        let _ = GzEncoder::new(content.as_slice(), Compression::fast()).read_to_end(&mut packed);
        return (format!("200 OK\r\nETag: \"{length}-gzip\"\r\nContent-Encoding: gzip"), packed);
    }
    match request.range.filter(|begin| *begin < length) {
        Some(begin) => {
            let range = format!("Content-Range: bytes {begin}-{}/{length}", length - 1);
            (format!("206 Partial Content\r\n{range}\r\nETag: \"{length}\""), content[begin..].to_vec())
        }
        None => (format!("200 OK\r\nETag: \"{length}\""), content),
    }
}

/// A path without the server that a proxy is to ask for it.
fn of_server(path: &str) -> &str {
    path.strip_prefix(ABSOLUTE).and_then(|address| address.split_once('/')).map_or(path, |(_, path)| path)
}

fn content(shared: &Shared, path: &str) -> Option<Vec<u8>> {
    if path == "versions/0" {
        let publisher = if shared.has_prefixes { "publisher 0 1" } else { "publisher 0" };
        return Some(
            format!("pkg-server test\ncatalog 1\nfile 0 1\nmanifest 0\n{publisher}\nversions 0\n").into_bytes(),
        );
    }
    let mut publishers: Vec<String> = fs::read_dir(shared.root.join("publisher"))
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    publishers.sort();
    if path == "publisher/0" {
        let list: Vec<String> = publishers.iter().map(|name| format!(r#"{{"name":"{name}"}}"#)).collect();
        return Some(format!(r#"{{"packages":[],"publishers":[{}],"version":1}}"#, list.join(",")).into_bytes());
    }
    let (first, rest) = path.split_once('/')?;
    let is_publisher = shared.has_prefixes && publishers.iter().any(|name| name == first);
    let (publisher, rest) = if is_publisher { (first, rest) } else { (publishers.first()?.as_str(), path) };
    let (operation, rest) = rest.split_once('/')?;
    let (_version, name) = rest.split_once('/')?;
    if name.split('/').any(|part| part.starts_with('.')) {
        return None;
    }
    let below = match operation {
        "catalog" => format!("catalog/{name}"),
        "manifest" => format!("pkg/{}", name.replacen('@', "/", 1)),
        "file" => format!("file/{}/{name}", name.get(..2)?),
        _ => return None,
    };
    fs::read(shared.root.join("publisher").join(publisher).join(below)).ok()
}
