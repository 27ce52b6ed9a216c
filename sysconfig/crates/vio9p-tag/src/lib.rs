//! Asks illumos' `vio9p` driver for the mount tag of a share.
//!
//! The driver tells it by an ioctl of its own, `VIO9P_IOC_MOUNT_TAG` of `vio9p(4D)`: 33 bytes, in which the tag ends with a
//! NUL. What a driver writes for a request no type can promise, so asking takes `unsafe`, which is in this crate for that
//! reason only.

use std::io;
use std::os::fd::AsFd;

/// Bytes that the driver writes, with the NUL.
const ANSWER_BYTES: usize = 33;
/// The longest tag that a guest sees, in bytes. The host's may be longer.
pub const TAG_BYTES_MAX: usize = ANSWER_BYTES - 1;

/// The tag of the share behind an open device; none when the device has none.
///
/// # Errors
///
/// The driver's, `ENOTTY` where it is no such device; [`io::ErrorKind::Unsupported`] on other systems than illumos.
pub fn mount_tag(device: impl AsFd) -> io::Result<Option<String>> {
    ask(&device).map(|answer| text(&answer))
}

#[cfg(target_os = "illumos")]
#[expect(unsafe_code, reason = "for an ioctl of one driver no safe interface can exist")]
fn ask(device: &impl AsFd) -> io::Result<[u8; ANSWER_BYTES]> {
    use rustix::ioctl::{Getter, Opcode, ioctl};

    /// `('9' << 16) | ('P' << 8) | 1`
    const MOUNT_TAG: Opcode = 0x39_5001;
    // SAFETY: the driver writes exactly this many bytes for this request, and another driver refuses it.
    let getter = unsafe { Getter::<MOUNT_TAG, [u8; ANSWER_BYTES]>::new() };
    // SAFETY: as above; the buffer is the getter's own.
    Ok(unsafe { ioctl(device, getter) }?)
}

#[cfg(not(target_os = "illumos"))]
fn ask(_: &impl AsFd) -> io::Result<[u8; ANSWER_BYTES]> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The text before the NUL.
fn text(answer: &[u8; ANSWER_BYTES]) -> Option<String> {
    let text = answer.split(|byte| *byte == 0).next().unwrap_or_default();
    (!text.is_empty()).then(|| String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_ends_at_its_nul() {
        let mut answer = [0; ANSWER_BYTES];
        assert_eq!(text(&answer), None);
        answer[..4].copy_from_slice(b"repo");
        answer[5] = b'x';
        assert_eq!(text(&answer).as_deref(), Some("repo"));
        assert_eq!(text(&[b'a'; ANSWER_BYTES]).map(|tag| tag.len()), Some(ANSWER_BYTES));
    }
}
