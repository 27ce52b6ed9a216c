//! A session with a server: one request at a time, each with a deadline.
//!
//! The `vio9p` driver loses replies when several requests are under way, and hands late replies to later openers. So
//! there is never more than one request, tags begin at random, and replies to anything else are passed over.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::path::NAME_BYTES;
use crate::stop::Stop;
use crate::transport::{Deadline, Transport, TransportError};
use crate::wire::{self, Attributes, DATA_OVERHEAD_BYTES, NO_TAG, Reply, Request, WALK_NAMES};

mod error;
mod negotiate;

pub use error::SessionError;
pub use negotiate::{DEVICE_MSIZE, MessageSize};

/// The smallest messages that hold an entry of a directory with the longest name, and a request with it.
const SMALLEST_MSIZE: u32 = 1024;
/// Replies to nobody's request before a request is given up.
const MOST_FOREIGN_REPLIES: usize = 256;
/// The fid of the share's root.
const ROOT_FID: u32 = 0;

/// How to talk to the server.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// How large messages are to be.
    pub message_size: MessageSize,
    /// The user as whom the server reads; 0 is root.
    pub user_id: u32,
    /// Which tree of a server that has several; empty for the only one.
    pub tree: Vec<u8>,
    /// How long the server may take for one answer.
    pub request_timeout: Duration,
    /// Ends all waiting.
    pub stop: Stop,
}

/// A file of the share that the server knows for now.
#[derive(Debug)]
#[must_use = "the server keeps a fid until it is clunked"]
pub struct Fid(u32);

/// What a session did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Requests that were sent.
    pub requests: u64,
    /// Bytes that came.
    pub bytes_received: u64,
    /// Replies that belonged to no request.
    pub foreign_replies: u64,
}

/// An open session.
#[derive(Debug)]
pub struct Session {
    transport: Box<dyn Transport>,
    msize: u32,
    timeout: Duration,
    stop: Stop,
    next_tag: u16,
    next_fid: u32,
    request: Vec<u8>,
    received: Vec<u8>,
    statistics: Statistics,
}

impl Session {
    /// Begins a session and attaches to the root of the share.
    ///
    /// # Errors
    ///
    /// When the server does not speak 9P2000.L, refuses the user, or does not answer.
    pub fn open(transport: Box<dyn Transport>, options: &SessionOptions) -> Result<Self, SessionError> {
        let random = RandomState::new().hash_one(std::process::id()).to_le_bytes();
        let mut session = Self {
            transport,
            msize: SMALLEST_MSIZE,
            timeout: options.request_timeout,
            stop: options.stop.clone(),
            next_tag: u16::from_le_bytes([random[0], random[1]]) % NO_TAG,
            next_fid: ROOT_FID + 1,
            request: Vec::new(),
            received: Vec::new(),
            statistics: Statistics::default(),
        };
        session.negotiate(options.message_size)?;
        let user_name: &[u8] = if options.user_id == 0 { b"root" } else { b"" };
        let attach = Request::Attach { fid: ROOT_FID, user_id: options.user_id, user_name, tree: &options.tree };
        match session.call(&attach)? {
            Reply::Attach(_) => Ok(session),
            _ => Err(unexpected(&attach)),
        }
    }

    /// The largest message in bytes.
    #[must_use]
    pub fn msize(&self) -> u32 {
        self.msize
    }

    /// What was done so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// Goes from the root of the share to a file, by the names on the way.
    ///
    /// # Errors
    ///
    /// Among others the server's for the name that it cannot go to.
    pub fn walk(&mut self, names: &[&[u8]]) -> Result<Fid, SessionError> {
        let new_fid = self.next_fid;
        self.next_fid = self.next_fid.checked_add(1).filter(|fid| *fid != wire::NO_FID).unwrap_or(ROOT_FID + 1);
        let mut rest = names;
        let mut fid = ROOT_FID;
        loop {
            let most = rest.len().min(WALK_NAMES);
            let walked = match self.walk_some(fid, new_fid, &rest[..most]) {
                Ok(walked) => walked,
                Err(error) => {
                    self.abandon(fid, &error);
                    return Err(error);
                }
            };
            fid = new_fid;
            rest = &rest[walked..];
            if rest.is_empty() {
                return Ok(Fid(new_fid));
            }
        }
    }

    /// Goes as far as the server goes at once, which is one name at least. A short walk makes no fid and gives no
    /// reason, so what it covered is walked again by itself; the next name then tells its error.
    fn walk_some(&mut self, fid: u32, new_fid: u32, names: &[&[u8]]) -> Result<usize, SessionError> {
        let walked = self.walk_once(fid, new_fid, names)?;
        if walked == names.len() {
            return Ok(walked);
        }
        let certain = walked.max(1);
        if self.walk_once(fid, new_fid, &names[..certain])? == certain {
            return Ok(certain);
        }
        Err(SessionError::Protocol { operation: "walk", what: "it neither goes to a name nor says why not" })
    }

    fn walk_once(&mut self, fid: u32, new_fid: u32, names: &[&[u8]]) -> Result<usize, SessionError> {
        let request = Request::Walk { fid, new_fid, names };
        match self.call(&request)? {
            Reply::Walk(qids) if qids.len() <= names.len() => Ok(qids.len()),
            _ => Err(unexpected(&request)),
        }
    }

    /// After a failed walk the fid may stand in the middle of the way.
    fn abandon(&mut self, fid: u32, error: &SessionError) {
        if fid != ROOT_FID && error.leaves_session_usable() {
            // A second failure has nothing to add to the first.
            drop(self.clunk(Fid(fid)));
        }
    }

    /// What the server says of a file.
    ///
    /// # Errors
    ///
    /// The server's and those of the transport.
    pub fn attributes(&mut self, fid: &Fid) -> Result<Attributes, SessionError> {
        let request = Request::GetAttr { fid: fid.0 };
        match self.call(&request)? {
            Reply::GetAttr(attributes) => Ok(attributes),
            _ => Err(unexpected(&request)),
        }
    }

    /// Opens a file or directory for reading. Answers how many bytes can be read at once.
    ///
    /// # Errors
    ///
    /// The server's and those of the transport.
    pub fn open_for_reading(&mut self, fid: &Fid) -> Result<u32, SessionError> {
        let request = Request::Open { fid: fid.0 };
        match self.call(&request)? {
            Reply::Open { io_unit: 0, .. } => Ok(self.data_bytes()),
            Reply::Open { io_unit, .. } => Ok(io_unit.min(self.data_bytes())),
            _ => Err(unexpected(&request)),
        }
    }

    /// Reads a part of an open file: at most `count` bytes, none at its end.
    ///
    /// # Errors
    ///
    /// The server's and those of the transport.
    pub fn read(&mut self, fid: &Fid, offset: u64, count: u32) -> Result<&[u8], SessionError> {
        let count = count.min(self.data_bytes());
        let request = Request::Read { fid: fid.0, offset, count };
        match self.call(&request)? {
            Reply::Read(data) if u32::try_from(data.len()).is_ok_and(|got| got <= count) => Ok(data),
            Reply::Read(_) => Err(SessionError::Protocol { operation: "read", what: "more than was asked for" }),
            _ => Err(unexpected(&request)),
        }
    }

    /// The names in an open directory as the server has them, without `.` and `..`.
    ///
    /// # Errors
    ///
    /// The server's, those of the transport, and that the directory has more than `limit` entries.
    pub fn read_directory(&mut self, fid: &Fid, limit: usize) -> Result<Vec<Vec<u8>>, SessionError> {
        let mut names = Vec::new();
        // Entries are counted with `.` and `..`, which an endless directory may consist of.
        let (mut offset, mut entries_read) = (0, 0_usize);
        loop {
            let before = entries_read;
            let request = Request::ReadDir { fid: fid.0, offset, count: self.data_bytes() };
            let Reply::ReadDir(entries) = self.call(&request)? else { return Err(unexpected(&request)) };
            for entry in entries {
                let entry = entry.map_err(|source| SessionError::Decode { operation: "readdir", source })?;
                offset = entry.offset;
                entries_read += 1;
                if entries_read > limit {
                    return Err(SessionError::EndlessDirectory { limit });
                }
                if entry.name != b"." && entry.name != b".." {
                    // A name that is cut here is too long to be used and will be refused.
                    names.push(entry.name[..entry.name.len().min(NAME_BYTES + 1)].to_vec());
                }
            }
            if entries_read == before {
                return Ok(names);
            }
        }
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    ///
    /// The server's and those of the transport.
    pub fn read_link(&mut self, fid: &Fid) -> Result<Vec<u8>, SessionError> {
        let request = Request::ReadLink { fid: fid.0 };
        match self.call(&request)? {
            Reply::ReadLink(target) => Ok(target.to_vec()),
            _ => Err(unexpected(&request)),
        }
    }

    /// Lets the server forget a file.
    ///
    /// # Errors
    ///
    /// The server's, after which the fid is forgotten as well, and those of the transport.
    #[expect(clippy::needless_pass_by_value, reason = "the fid is of no use afterwards")]
    pub fn clunk(&mut self, fid: Fid) -> Result<(), SessionError> {
        let request = Request::Clunk { fid: fid.0 };
        match self.call(&request)? {
            Reply::Clunk => Ok(()),
            _ => Err(unexpected(&request)),
        }
    }

    fn data_bytes(&self) -> u32 {
        self.msize - DATA_OVERHEAD_BYTES
    }

    fn deadline(&self, time: Duration) -> Deadline {
        Deadline::after(time, &self.stop)
    }

    fn call(&mut self, request: &Request<'_>) -> Result<Reply<'_>, SessionError> {
        let operation = request.operation();
        let tag = self.next_tag;
        self.next_tag = if tag >= NO_TAG - 1 { 0 } else { tag + 1 };
        let deadline = self.deadline(self.timeout);
        self.send(request, tag, &deadline)?;
        self.await_tag(operation, tag, &deadline)?;
        match self.reply(operation)? {
            Reply::Error { code } => Err(SessionError::Remote { operation, code }),
            Reply::OldError { .. } => {
                Err(SessionError::Protocol { operation, what: "an error of another dialect of 9P" })
            }
            reply => Ok(reply),
        }
    }

    fn send(&mut self, request: &Request<'_>, tag: u16, deadline: &Deadline) -> Result<(), SessionError> {
        let operation = request.operation();
        request.encode(tag, &mut self.request).map_err(|source| SessionError::Encode { operation, source })?;
        self.statistics.requests += 1;
        self.transport.send(&self.request, deadline).map_err(|source| SessionError::Transport { operation, source })
    }

    /// Receives until a reply with the tag has come.
    fn await_tag(&mut self, operation: &'static str, tag: u16, deadline: &Deadline) -> Result<(), SessionError> {
        let limit_bytes = usize::try_from(self.msize).unwrap_or(usize::MAX);
        for _ in 0..MOST_FOREIGN_REPLIES {
            let received = self.transport.receive(&mut self.received, limit_bytes, deadline);
            received.map_err(|source| SessionError::Transport { operation, source })?;
            self.statistics.bytes_received += u64::try_from(self.received.len()).unwrap_or(u64::MAX);
            let (theirs, _) = self.decode(operation)?;
            if theirs != tag {
                self.statistics.foreign_replies += 1;
                continue;
            }
            let bytes = self.received.len();
            if bytes > limit_bytes {
                let source = TransportError::Oversized { bytes, limit_bytes };
                return Err(SessionError::Transport { operation, source });
            }
            return Ok(());
        }
        Err(SessionError::Protocol { operation, what: "nothing but replies to requests that were never made" })
    }

    /// What was received last.
    fn reply(&self, operation: &'static str) -> Result<Reply<'_>, SessionError> {
        self.decode(operation).map(|(_, reply)| reply)
    }

    fn decode(&self, operation: &'static str) -> Result<(u16, Reply<'_>), SessionError> {
        wire::decode(&self.received).map_err(|source| SessionError::Decode { operation, source })
    }
}

fn unexpected(request: &Request<'_>) -> SessionError {
    SessionError::Protocol { operation: request.operation(), what: "it is the answer to something else" }
}
