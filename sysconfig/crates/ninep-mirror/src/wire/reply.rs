//! What a server sends.

use super::{HEADER_BYTES, WALK_NAMES, kind};

/// A server's name for a file. The type and version in it are not to be trusted: one server leaves the type 0 in
/// directory entries, another the version everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Qid {
    /// Type bits.
    pub kind: u8,
    /// Meant to change with the content; 0 from most servers.
    pub version: u32,
    /// Stands for the file: an inode number or what was made of one.
    pub path: u64,
}

/// What kind of file the mode says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A regular file.
    Regular,
    /// A symbolic link.
    Link,
    /// A device, a socket, a pipe, or something unheard of.
    Other,
}

/// What a server says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// The server's name for the file.
    pub qid: Qid,
    /// File type and permissions, with the numbers of Linux, which are those of illumos.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// Time of the last change of the content: seconds since 1970 and nanoseconds.
    pub mtime: (u64, u64),
    /// Time of the last change of content or attributes.
    pub ctime: (u64, u64),
}

impl Attributes {
    /// What kind of file this is, by its mode.
    #[must_use]
    pub fn file_kind(&self) -> FileKind {
        match self.mode & 0o170_000 {
            0o040_000 => FileKind::Directory,
            0o100_000 => FileKind::Regular,
            0o120_000 => FileKind::Link,
            _ => FileKind::Other,
        }
    }
}

/// A message of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply<'a> {
    /// The request failed: an error number of Linux.
    Error {
        /// The number.
        code: u32,
    },
    /// The request failed, told in words by a server that has not agreed on 9P2000.L.
    OldError {
        /// The words.
        message: &'a [u8],
    },
    /// To `Version`.
    Version {
        /// The largest message, in bytes.
        msize: u32,
        /// The protocol's name, or `unknown`.
        version: &'a [u8],
    },
    /// To `Attach`.
    Attach(Qid),
    /// To `Walk`: one for each name that was walked, which may be fewer than asked for.
    Walk(Vec<Qid>),
    /// To `GetAttr`.
    GetAttr(Attributes),
    /// To `Open`.
    Open {
        /// The file.
        qid: Qid,
        /// The largest read in bytes; 0 leaves it to `msize`.
        io_unit: u32,
    },
    /// To `ReadLink`: the target.
    ReadLink(&'a [u8]),
    /// To `ReadDir`: the entries; none at the end.
    ReadDir(Entries<'a>),
    /// To `Read`: the data; none at the end.
    Read(&'a [u8]),
    /// To `Clunk`.
    Clunk,
}

/// A message makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A field reaches over the end of the message.
    #[error("a message of type {kind} ends within a field")]
    Truncated {
        /// The type's number.
        kind: u8,
    },
    /// There is more than the fields.
    #[error("a message of type {kind} has {bytes} bytes too many")]
    Trailing {
        /// The type's number.
        kind: u8,
        /// How many.
        bytes: usize,
    },
    /// The size field is not the message's length.
    #[error("a message of {length} bytes says that it has {size}")]
    Size {
        /// What it has.
        length: usize,
        /// What it says.
        size: u32,
    },
    /// A type that no server sends to this client.
    #[error("a message of the unknown type {kind}")]
    UnknownType {
        /// The type's number.
        kind: u8,
    },
    /// A walk has more answers than any request has names.
    #[error("a walk of {count} names")]
    LongWalk {
        /// How many.
        count: u16,
    },
}

/// Reads one whole message: its tag, and what it says.
///
/// # Errors
///
/// When it is not a message of 9P2000.L from a server.
pub fn decode(message: &[u8]) -> Result<(u16, Reply<'_>), DecodeError> {
    let mut fields = Fields { rest: message, kind: 0 };
    let size = fields.u32()?;
    if usize::try_from(size) != Ok(message.len()) || message.len() < HEADER_BYTES {
        return Err(DecodeError::Size { length: message.len(), size });
    }
    fields.kind = fields.u8()?;
    let tag = fields.u16()?;
    let reply = decode_body(&mut fields)?;
    if fields.rest.is_empty() {
        Ok((tag, reply))
    } else {
        Err(DecodeError::Trailing { kind: fields.kind, bytes: fields.rest.len() })
    }
}

fn decode_body<'a>(fields: &mut Fields<'a>) -> Result<Reply<'a>, DecodeError> {
    Ok(match fields.kind {
        kind::R_LERROR => Reply::Error { code: fields.u32()? },
        kind::R_ERROR => {
            let message = fields.string()?;
            // 9P2000.u appends a number, 9P2000 does not.
            fields.rest = &[];
            Reply::OldError { message }
        }
        kind::R_VERSION => Reply::Version { msize: fields.u32()?, version: fields.string()? },
        kind::R_ATTACH => Reply::Attach(fields.qid()?),
        kind::R_WALK => Reply::Walk(decode_walk(fields)?),
        kind::R_GETATTR => Reply::GetAttr(decode_attributes(fields)?),
        kind::R_LOPEN => Reply::Open { qid: fields.qid()?, io_unit: fields.u32()? },
        kind::R_READLINK => Reply::ReadLink(fields.string()?),
        kind::R_READDIR => Reply::ReadDir(Entries { fields: Fields { rest: fields.data()?, kind: fields.kind } }),
        kind::R_READ => Reply::Read(fields.data()?),
        kind::R_CLUNK => Reply::Clunk,
        kind => return Err(DecodeError::UnknownType { kind }),
    })
}

fn decode_walk(fields: &mut Fields<'_>) -> Result<Vec<Qid>, DecodeError> {
    let count = fields.u16()?;
    if usize::from(count) > WALK_NAMES {
        return Err(DecodeError::LongWalk { count });
    }
    (0..count).map(|_| fields.qid()).collect()
}

fn decode_attributes(fields: &mut Fields<'_>) -> Result<Attributes, DecodeError> {
    let _valid = fields.u64()?;
    let qid = fields.qid()?;
    let mode = fields.u32()?;
    let (_user, _group) = (fields.u32()?, fields.u32()?);
    let (_links, _device, size) = (fields.u64()?, fields.u64()?, fields.u64()?);
    let (_block_bytes, _blocks) = (fields.u64()?, fields.u64()?);
    let _atime = (fields.u64()?, fields.u64()?);
    let mtime = (fields.u64()?, fields.u64()?);
    let ctime = (fields.u64()?, fields.u64()?);
    let _birth = (fields.u64()?, fields.u64()?);
    let (_generation, _data_version) = (fields.u64()?, fields.u64()?);
    Ok(Attributes { qid, mode, size, mtime, ctime })
}

/// One entry of a directory. Its qid and type are left out: servers fill them in differently, and wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The cookie from which to go on after this entry.
    pub offset: u64,
    /// The name, `.` and `..` included.
    pub name: &'a [u8],
}

/// The entries of one message, decoded while they are gone through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entries<'a> {
    fields: Fields<'a>,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.fields.rest.is_empty() {
            return None;
        }
        let entry = self.entry();
        if entry.is_err() {
            self.fields.rest = &[];
        }
        Some(entry)
    }
}

impl<'a> Entries<'a> {
    fn entry(&mut self) -> Result<Entry<'a>, DecodeError> {
        let _qid = self.fields.qid()?;
        let offset = self.fields.u64()?;
        let _type = self.fields.u8()?;
        Ok(Entry { offset, name: self.fields.string()? })
    }
}

/// What is left of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fields<'a> {
    rest: &'a [u8],
    kind: u8,
}

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Truncated { kind: self.kind })?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    fn string(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    /// Bytes after a count of four bytes.
    fn data(&mut self) -> Result<&'a [u8], DecodeError> {
        let count = self.u32()?;
        self.take(usize::try_from(count).map_err(|_| DecodeError::Truncated { kind: self.kind })?)
    }

    fn qid(&mut self) -> Result<Qid, DecodeError> {
        Ok(Qid { kind: self.u8()?, version: self.u32()?, path: self.u64()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, tag: u16, body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(body.len() + HEADER_BYTES).unwrap();
        [&size.to_le_bytes(), [kind].as_slice(), &tag.to_le_bytes(), body].concat()
    }

    #[test]
    fn replies_are_read() {
        assert_eq!(decode(&message(7, 9, b"\x02\0\0\0")), Ok((9, Reply::Error { code: 2 })));
        let version = message(101, 0xFFFF, b"\0\x20\0\0\x08\x009P2000.L");
        assert_eq!(decode(&version), Ok((0xFFFF, Reply::Version { msize: 8192, version: b"9P2000.L" })));
        let qid = Qid { kind: 0x80, version: 1, path: 2 };
        let walk = message(111, 3, b"\x01\0\x80\x01\0\0\0\x02\0\0\0\0\0\0\0");
        assert_eq!(decode(&walk), Ok((3, Reply::Walk(vec![qid]))));
        assert_eq!(decode(&message(117, 3, b"\x02\0\0\0hi")), Ok((3, Reply::Read(b"hi"))));
        assert_eq!(decode(&message(121, 3, b"")), Ok((3, Reply::Clunk)));
        let old = message(107, 3, b"\x02\0no\x05\0\0\0");
        assert_eq!(decode(&old), Ok((3, Reply::OldError { message: b"no" })));
    }

    #[test]
    fn attributes_are_where_the_protocol_has_them() {
        // Each field holds a number of its own.
        let mut body = Vec::new();
        body.extend(1_u64.to_le_bytes());
        body.extend(b"\x02\x03\0\0\0\x04\0\0\0\0\0\0\0");
        body.extend(0o100_755_u32.to_le_bytes());
        body.extend([6_u32, 7].map(u32::to_le_bytes).concat());
        body.extend((8_u64..23).map(u64::to_le_bytes).collect::<Vec<_>>().concat());
        let message = message(25, 1, &body);
        let Ok((1, Reply::GetAttr(attributes))) = decode(&message) else { panic!("{:?}", decode(&message)) };
        let qid = Qid { kind: 2, version: 3, path: 4 };
        assert_eq!(attributes, Attributes { qid, mode: 0o100_755, size: 10, mtime: (15, 16), ctime: (17, 18) });
        assert_eq!(attributes.file_kind(), FileKind::Regular);
    }

    #[test]
    fn directory_entries_are_gone_through_one_by_one() {
        let entry = |offset: u8, name: &[u8]| {
            let mut bytes = vec![0; 13];
            bytes.extend([offset, 0, 0, 0, 0, 0, 0, 0, 4]);
            bytes.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
            bytes.extend(name);
            bytes
        };
        let mut data = [entry(1, b"."), entry(9, b"a b")].concat();
        let read = |data: &[u8]| {
            let body = [&u32::try_from(data.len()).unwrap().to_le_bytes(), data].concat();
            let message = message(41, 1, &body);
            let Ok((1, Reply::ReadDir(entries))) = decode(&message) else { panic!("{:?}", decode(&message)) };
            entries.map(|entry| entry.map(|entry| (entry.offset, entry.name.to_vec()))).collect::<Vec<_>>()
        };
        assert_eq!(read(&data), [Ok((1, b".".to_vec())), Ok((9, b"a b".to_vec()))]);
        data.pop();
        assert_eq!(read(&data), [Ok((1, b".".to_vec())), Err(DecodeError::Truncated { kind: 41 })]);
        assert_eq!(read(&[]), []);
    }

    #[test]
    fn lies_about_lengths_are_found() {
        for (bytes, expected) in [
            (message(117, 1, b"\x03\0\0\0hi"), DecodeError::Truncated { kind: 117 }),
            (message(117, 1, b"\x01\0\0\0hi"), DecodeError::Trailing { kind: 117, bytes: 1 }),
            (message(117, 1, b"\xff\xff\xff\xffhi"), DecodeError::Truncated { kind: 117 }),
            (message(111, 1, b"\x11\0"), DecodeError::LongWalk { count: 17 }),
            (message(101, 1, b"\0\x20\0\0\x09\x009P2000.L"), DecodeError::Truncated { kind: 101 }),
            (message(13, 1, b""), DecodeError::Truncated { kind: 13 }),
            (message(0, 1, b""), DecodeError::UnknownType { kind: 0 }),
            (b"\x08\0\0\0\x79\0\0".to_vec(), DecodeError::Size { length: 7, size: 8 }),
            (b"\x05\0\0\0\x79".to_vec(), DecodeError::Size { length: 5, size: 5 }),
            (b"\0\0".to_vec(), DecodeError::Truncated { kind: 0 }),
        ] {
            assert_eq!(decode(&bytes), Err(expected), "{bytes:?}");
        }
    }
}
