//! A 9P2000.L server over a [`Share`], written from the protocol's description and not from the client's codec.
//! Like bhyve's and QEMU's it goes by paths, so a fid means whatever stands at its path now.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use super::share::{Content, Host, Sent, Share};

pub(crate) const T_LOPEN: u8 = 12;
pub(crate) const T_READLINK: u8 = 22;
pub(crate) const T_GETATTR: u8 = 24;
pub(crate) const T_READDIR: u8 = 40;
pub(crate) const T_VERSION: u8 = 100;
pub(crate) const T_ATTACH: u8 = 104;
pub(crate) const T_WALK: u8 = 110;
pub(crate) const T_READ: u8 = 116;
pub(crate) const T_CLUNK: u8 = 120;

const ENOENT: u32 = 2;
const EBADF: u32 = 9;
const ENOTDIR: u32 = 20;
const EINVAL: u32 = 22;

/// The server's side of one connection, or of a device.
pub(crate) struct Connection {
    share: Share,
    fids: HashMap<u32, (String, bool)>,
    pub(crate) msize: u32,
}

struct Body<'a>(&'a [u8]);

impl Body<'_> {
    fn number<const N: usize>(&mut self) -> u64 {
        let (bytes, rest) = self.0.split_at(N);
        self.0 = rest;
        bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    fn fid(&mut self) -> u32 {
        u32::try_from(self.number::<4>()).unwrap()
    }

    fn string(&mut self) -> String {
        let length = usize::try_from(self.number::<2>()).unwrap();
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8_lossy(bytes).into_owned()
    }
}

pub(crate) fn message(kind: u8, tag: u16, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 7).unwrap();
    [&size.to_le_bytes(), [kind].as_slice(), &tag.to_le_bytes(), body].concat()
}

fn qid(host: &Host, path: &str) -> Vec<u8> {
    // As bhyve's: the version is always 0, and the type in a directory entry as well.
    [[0; 5].as_slice(), &host.nodes.get(path).map_or(0, |node| node.number).to_le_bytes()].concat()
}

fn text(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_le_bytes(), bytes].concat()
}

fn data(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_le_bytes(), bytes].concat()
}

impl Connection {
    pub(crate) fn new(share: &Share) -> Self {
        Self { share: share.clone(), fids: HashMap::new(), msize: 8192 }
    }

    /// The messages that answer a request.
    pub(crate) fn answer(&mut self, request: &[u8]) -> Sent {
        let (kind, tag) = (request[4], u16::from_le_bytes([request[5], request[6]]));
        let share = self.share.clone();
        let mut host = share.host();
        host.requests.push(kind);
        let path = self.path_of(kind, &request[7..]);
        if let Some(mut before) = host.before.take() {
            before(&mut host, kind, &path);
            host.before.get_or_insert(before);
        }
        let said = host.quirks.errors.iter().find(|(k, p, _)| *k == kind && *p == path).map(|it| it.2);
        let result = said.map_or_else(|| self.perform(&mut host, kind, &mut Body(&request[7..])), Err);
        let reply = match result {
            Ok(body) => message(kind + 1, tag, &body),
            Err(code) => message(7, tag, &code.to_le_bytes()),
        };
        assert!(reply.len() <= self.msize.max(8192) as usize, "the fake server keeps to what was agreed on");
        match &mut host.mangle {
            Some(mangle) => mangle(kind, reply),
            None => Sent::Messages(vec![reply]),
        }
    }

    /// The path that a request is about; for a walk, where it leads.
    fn path_of(&self, kind: u8, body: &[u8]) -> String {
        if matches!(kind, T_VERSION | T_ATTACH) {
            return String::new();
        }
        let mut body = Body(body);
        let mut path = self.fids.get(&body.fid()).map_or(String::new(), |fid| fid.0.clone());
        if kind == T_WALK {
            body.fid();
            for _ in 0..body.number::<2>() {
                path = join(&path, &body.string());
            }
        }
        path
    }

    fn perform(&mut self, host: &mut Host, kind: u8, body: &mut Body<'_>) -> Result<Vec<u8>, u32> {
        if kind == T_VERSION {
            return Ok(self.version(host, body));
        }
        let fid = body.fid();
        if kind == T_ATTACH {
            self.fids.insert(fid, (String::new(), false));
            return Ok(qid(host, ""));
        }
        let (path, opened) = self.fids.get(&fid).cloned().ok_or(EBADF)?;
        if kind == T_CLUNK {
            self.fids.remove(&fid);
            return Ok(Vec::new());
        }
        if kind == T_WALK {
            return self.walk(host, fid, &path, body);
        }
        let node = host.nodes.get(&path).ok_or(ENOENT)?;
        match (kind, &node.content) {
            (T_GETATTR, _) => Ok(attributes(host, &path)),
            (T_LOPEN, Content::Directory | Content::File(_)) => {
                self.fids.insert(fid, (path.clone(), true));
                Ok([qid(host, &path), host.quirks.io_unit.to_le_bytes().to_vec()].concat())
            }
            (T_READLINK, Content::Link(target)) => Ok(text(target)),
            (T_READ, Content::File(bytes)) if opened => Ok(self.read(host, bytes, body)),
            (T_READDIR, Content::Directory) if opened => Ok(self.read_directory(host, &path, body)),
            _ => Err(EINVAL),
        }
    }

    fn version(&mut self, host: &Host, body: &mut Body<'_>) -> Vec<u8> {
        let msize = u32::try_from(body.number::<4>()).unwrap();
        let known = body.string() == "9P2000.L";
        self.msize = if host.quirks.msize == 0 { msize } else { msize.min(host.quirks.msize) };
        self.fids.clear();
        [self.msize.to_le_bytes().to_vec(), text(if known { b"9P2000.L" } else { b"unknown" })].concat()
    }

    fn walk(&mut self, host: &Host, fid: u32, from: &str, body: &mut Body<'_>) -> Result<Vec<u8>, u32> {
        let new_fid = body.fid();
        let names: Vec<_> = (0..body.number::<2>()).map(|_| body.string()).collect();
        assert!(names.len() <= 16, "a walk has at most 16 names");
        if new_fid != fid {
            assert!(!self.fids.contains_key(&new_fid), "the client uses a fid twice");
        }
        let most = if host.quirks.walk_names == 0 { names.len() } else { host.quirks.walk_names };
        let (mut path, mut qids) = (from.to_owned(), Vec::new());
        for (number, name) in names.iter().take(most).enumerate() {
            let is_directory = host.nodes.get(&path).is_some_and(|node| node.content == Content::Directory);
            let next = join(&path, name);
            let error = match () {
                () if !is_directory => ENOTDIR,
                () if name.contains('/') || name == "." => EINVAL,
                () if !host.nodes.contains_key(&next) => ENOENT,
                () => 0,
            };
            match (error, number) {
                (0, _) => {}
                (error, 0) => return Err(error),
                _ => break,
            }
            path = next;
            qids.extend(qid(host, &path));
        }
        if qids.len() == names.len() * 13 {
            self.fids.insert(new_fid, (path, false));
        }
        Ok([&u16::try_from(qids.len() / 13).unwrap().to_le_bytes(), qids.as_slice()].concat())
    }

    fn read(&self, host: &Host, bytes: &[u8], body: &mut Body<'_>) -> Vec<u8> {
        let offset = usize::try_from(body.number::<8>()).unwrap_or(usize::MAX).min(bytes.len());
        let count = usize::try_from(body.number::<4>()).unwrap();
        assert!(count <= self.msize as usize - 24, "the client asks for more than fits");
        let most = if host.quirks.read_bytes == 0 { count } else { count.min(host.quirks.read_bytes) };
        data(&bytes[offset..bytes.len().min(offset + most)])
    }

    fn read_directory(&self, host: &Host, path: &str, body: &mut Body<'_>) -> Vec<u8> {
        let offset = body.number::<8>();
        let count = usize::try_from(body.number::<4>()).unwrap();
        assert!(count <= self.msize as usize - 24, "the client asks for more than fits");
        let names = [".".to_owned(), "..".to_owned()].into_iter().chain(host.children(path));
        let most = if host.quirks.entries == 0 { usize::MAX } else { host.quirks.entries };
        let mut entries = Vec::new();
        // Cookies are any numbers: here, not counted from 0 and not in steps of 1.
        for (name, cookie) in names.zip((7..).step_by(3)).filter(|(_, cookie)| *cookie > offset).take(most) {
            let entry = [&[0; 13], u64::to_le_bytes(cookie).as_slice(), &[0], &text(name.as_bytes())].concat();
            if entries.len() + entry.len() > count {
                break;
            }
            entries.extend(entry);
        }
        data(&entries)
    }
}

fn attributes(host: &Host, path: &str) -> Vec<u8> {
    let node = &host.nodes[path];
    let (kind, size) = match &node.content {
        Content::Directory => (0o040_000, 2),
        Content::File(bytes) => (0o100_000, bytes.len()),
        Content::Link(target) => (0o120_000, target.len()),
        Content::Pipe => (0o010_000, 0),
    };
    let size = node.said_size.unwrap_or(size as u64);
    let mut body = 0x7FF_u64.to_le_bytes().to_vec();
    body.extend(qid(host, path));
    body.extend((node.mode | kind).to_le_bytes());
    body.extend([0; 8]);
    let (mtime, ctime) = (node.mtime, node.ctime);
    let numbers = [1, 0, size, 4096, 1, 0, 0, mtime.0, mtime.1, ctime.0, ctime.1, 0, 0, 0, 0];
    body.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    body
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

/// Serves one connection until the client hangs up.
pub(crate) fn serve(share: &Share, mut stream: UnixStream) {
    let mut connection = Connection::new(share);
    loop {
        let mut start = [0; 4];
        if stream.read_exact(&mut start).is_err() {
            return;
        }
        let mut request = start.to_vec();
        request.resize(u32::from_le_bytes(start) as usize, 0);
        if stream.read_exact(&mut request[4..]).is_err() {
            return;
        }
        let Sent::Messages(messages) = connection.answer(&request) else { return };
        if messages.iter().any(|message| stream.write_all(message).is_err()) {
            return;
        }
    }
}

/// A connection to a server in a thread of its own.
pub(crate) fn connect(share: &Share) -> UnixStream {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let share = share.clone();
    std::thread::spawn(move || serve(&share, theirs));
    ours
}

/// A server at a socket, for as long as the process lives.
pub(crate) fn listen(share: &Share, socket: &Path) {
    let listener = UnixListener::bind(socket).unwrap();
    let share = share.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let share = share.clone();
            std::thread::spawn(move || serve(&share, stream.unwrap()));
        }
    });
}
