//! The messages of 9P2000.L that a reader needs, as bytes and as values. No I/O, no policy.
//!
//! A message is `size[4] type[1] tag[2]` and a body; the size counts itself, and integers are little-endian. A string
//! is `length[2]` and bytes. Whatever a server sends is checked against the length of its message before it is used.

mod reply;
mod request;

pub use reply::{Attributes, DecodeError, Entries, Entry, FileKind, Qid, Reply, decode};
pub use request::{EncodeError, Request};

/// The protocol's name in `Tversion`.
pub const VERSION: &[u8] = b"9P2000.L";
/// Bytes of `size[4] type[1] tag[2]`.
pub const HEADER_BYTES: usize = 7;
/// The tag of `Tversion`.
pub const NO_TAG: u16 = 0xFFFF;
/// No fid: what `Tattach` names where there is no authentication.
pub const NO_FID: u32 = 0xFFFF_FFFF;
/// Names in one `Twalk`.
pub const WALK_NAMES: usize = 16;
/// What a data message may hold beside its data: every server grants `msize` less this.
pub const DATA_OVERHEAD_BYTES: u32 = 24;

/// The types of the messages, by their numbers.
pub(crate) mod kind {
    pub(crate) const R_LERROR: u8 = 7;
    pub(crate) const T_LOPEN: u8 = 12;
    pub(crate) const R_LOPEN: u8 = 13;
    pub(crate) const T_READLINK: u8 = 22;
    pub(crate) const R_READLINK: u8 = 23;
    pub(crate) const T_GETATTR: u8 = 24;
    pub(crate) const R_GETATTR: u8 = 25;
    pub(crate) const T_READDIR: u8 = 40;
    pub(crate) const R_READDIR: u8 = 41;
    pub(crate) const T_VERSION: u8 = 100;
    pub(crate) const R_VERSION: u8 = 101;
    pub(crate) const T_ATTACH: u8 = 104;
    pub(crate) const R_ATTACH: u8 = 105;
    /// An error of the protocol's older dialects, which some servers send before a version is agreed on.
    pub(crate) const R_ERROR: u8 = 107;
    pub(crate) const T_WALK: u8 = 110;
    pub(crate) const R_WALK: u8 = 111;
    pub(crate) const T_READ: u8 = 116;
    pub(crate) const R_READ: u8 = 117;
    pub(crate) const T_CLUNK: u8 = 120;
    pub(crate) const R_CLUNK: u8 = 121;
}
