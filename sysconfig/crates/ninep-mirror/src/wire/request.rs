//! What a client sends.

use super::kind;

/// The fields of `Tgetattr` that are asked for: everything that `stat` has.
const GETATTR_BASIC: u64 = 0x7FF;

/// `Tlopen` flags: read only.
const OPEN_READ_ONLY: u32 = 0;

/// A message of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// Begins a session; the server forgets all fids.
    Version {
        /// The largest message, in bytes.
        msize: u32,
        /// The protocol's name.
        version: &'a [u8],
    },
    /// Binds a fid to the root of the share.
    Attach {
        /// The new fid.
        fid: u32,
        /// The user as whom the server reads.
        user_id: u32,
        /// The same by name; servers that take numbers ignore it.
        user_name: &'a [u8],
        /// Which tree of the server; empty for the only one.
        tree: &'a [u8],
    },
    /// Goes from one fid down to another.
    Walk {
        /// Where to start.
        fid: u32,
        /// The fid of the end.
        new_fid: u32,
        /// One name for each directory on the way; none clones the fid.
        names: &'a [&'a [u8]],
    },
    /// Asks what a fid is.
    GetAttr {
        /// The file.
        fid: u32,
    },
    /// Opens a file or directory for reading.
    Open {
        /// The file.
        fid: u32,
    },
    /// Asks for the target of a symbolic link.
    ReadLink {
        /// The link.
        fid: u32,
    },
    /// Reads entries of an open directory.
    ReadDir {
        /// The directory.
        fid: u32,
        /// The cookie of the last entry that was got; 0 starts over.
        offset: u64,
        /// Bytes of entries that are wanted.
        count: u32,
    },
    /// Reads an open file.
    Read {
        /// The file.
        fid: u32,
        /// Bytes from its start.
        offset: u64,
        /// Bytes that are wanted.
        count: u32,
    },
    /// Forgets a fid.
    Clunk {
        /// The fid.
        fid: u32,
    },
}

/// A message cannot be expressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A string has a length of two bytes.
    #[error("a string of {length} bytes does not fit into a message")]
    StringTooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A walk has more names than one message takes.
    #[error("{count} names do not fit into one walk")]
    TooManyNames {
        /// How many.
        count: usize,
    },
}

impl Request<'_> {
    /// What the request does, for messages to people.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Version { .. } => "version",
            Self::Attach { .. } => "attach",
            Self::Walk { .. } => "walk",
            Self::GetAttr { .. } => "getattr",
            Self::Open { .. } => "open",
            Self::ReadLink { .. } => "readlink",
            Self::ReadDir { .. } => "readdir",
            Self::Read { .. } => "read",
            Self::Clunk { .. } => "clunk",
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Version { .. } => kind::T_VERSION,
            Self::Attach { .. } => kind::T_ATTACH,
            Self::Walk { .. } => kind::T_WALK,
            Self::GetAttr { .. } => kind::T_GETATTR,
            Self::Open { .. } => kind::T_LOPEN,
            Self::ReadLink { .. } => kind::T_READLINK,
            Self::ReadDir { .. } => kind::T_READDIR,
            Self::Read { .. } => kind::T_READ,
            Self::Clunk { .. } => kind::T_CLUNK,
        }
    }

    /// Makes `message` the request's bytes.
    ///
    /// # Errors
    ///
    /// When a string or a walk is too long. The content of `message` is of no use then.
    pub fn encode(&self, tag: u16, message: &mut Vec<u8>) -> Result<(), EncodeError> {
        message.clear();
        message.extend_from_slice(&[0; 4]);
        message.push(self.kind());
        put_u16(message, tag);
        self.encode_body(message)?;
        // Strings are at most 64 KiB each and a walk has at most 16 of them.
        let size = u32::try_from(message.len()).expect("a request is far smaller than 4 GiB");
        message[..4].copy_from_slice(&size.to_le_bytes());
        Ok(())
    }

    fn encode_body(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match *self {
            Self::Version { msize, version } => {
                put_u32(out, msize);
                put_string(out, version)?;
            }
            Self::Attach { fid, user_id, user_name, tree } => {
                put_u32(out, fid);
                put_u32(out, super::NO_FID);
                put_string(out, user_name)?;
                put_string(out, tree)?;
                put_u32(out, user_id);
            }
            Self::Walk { fid, new_fid, names } => encode_walk(out, fid, new_fid, names)?,
            Self::GetAttr { fid } => {
                put_u32(out, fid);
                put_u64(out, GETATTR_BASIC);
            }
            Self::Open { fid } => {
                put_u32(out, fid);
                put_u32(out, OPEN_READ_ONLY);
            }
            Self::ReadDir { fid, offset, count } | Self::Read { fid, offset, count } => {
                put_u32(out, fid);
                put_u64(out, offset);
                put_u32(out, count);
            }
            Self::ReadLink { fid } | Self::Clunk { fid } => put_u32(out, fid),
        }
        Ok(())
    }
}

fn encode_walk(out: &mut Vec<u8>, fid: u32, new_fid: u32, names: &[&[u8]]) -> Result<(), EncodeError> {
    let count = names.len();
    let too_many = EncodeError::TooManyNames { count };
    if count > super::WALK_NAMES {
        return Err(too_many);
    }
    put_u32(out, fid);
    put_u32(out, new_fid);
    put_u16(out, u16::try_from(count).map_err(|_| too_many)?);
    names.iter().try_for_each(|name| put_string(out, name))
}

fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_string(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), EncodeError> {
    let length = u16::try_from(bytes.len()).map_err(|_| EncodeError::StringTooLong { length: bytes.len() })?;
    put_u16(out, length);
    out.extend_from_slice(bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(request: &Request<'_>, tag: u16) -> Vec<u8> {
        let mut message = vec![0xEE; 3];
        request.encode(tag, &mut message).unwrap();
        message
    }

    #[test]
    fn messages_are_laid_out_as_the_protocol_says() {
        let version = Request::Version { msize: 8192, version: b"9P2000.L" };
        assert_eq!(bytes(&version, 0xFFFF), b"\x15\0\0\0\x64\xff\xff\0\x20\0\0\x08\x009P2000.L");
        let attach = Request::Attach { fid: 0, user_id: 0, user_name: b"root", tree: b"" };
        assert_eq!(bytes(&attach, 1), b"\x1b\0\0\0\x68\x01\0\0\0\0\0\xff\xff\xff\xff\x04\0root\0\0\0\0\0\0");
        let walk = Request::Walk { fid: 0, new_fid: 5, names: &[b"a", b"bc"] };
        assert_eq!(bytes(&walk, 2), b"\x18\0\0\0\x6e\x02\0\0\0\0\0\x05\0\0\0\x02\0\x01\0a\x02\0bc");
        let getattr = Request::GetAttr { fid: 5 };
        assert_eq!(bytes(&getattr, 3), b"\x13\0\0\0\x18\x03\0\x05\0\0\0\xff\x07\0\0\0\0\0\0");
        assert_eq!(bytes(&Request::Open { fid: 5 }, 4), b"\x0f\0\0\0\x0c\x04\0\x05\0\0\0\0\0\0\0");
        let read = Request::Read { fid: 5, offset: 0x0102_0304_0506, count: 8168 };
        assert_eq!(bytes(&read, 5), b"\x17\0\0\0\x74\x05\0\x05\0\0\0\x06\x05\x04\x03\x02\x01\0\0\xe8\x1f\0\0");
        assert_eq!(bytes(&Request::Clunk { fid: 5 }, 6), b"\x0b\0\0\0\x78\x06\0\x05\0\0\0");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut message = Vec::new();
        let long = vec![b'a'; 65_536];
        let walk = Request::Walk { fid: 0, new_fid: 1, names: &[&long] };
        assert_eq!(walk.encode(0, &mut message), Err(EncodeError::StringTooLong { length: 65_536 }));
        let names = [b"a".as_slice(); 17];
        let walk = Request::Walk { fid: 0, new_fid: 1, names: &names };
        assert_eq!(walk.encode(0, &mut message), Err(EncodeError::TooManyNames { count: 17 }));
    }
}
