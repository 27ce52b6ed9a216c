//! What tells whether something has changed. SHA-256, as ZFS has it: a second kind of sum would be in every plugin.

use zfs_format::checksum::sha256;

/// The sum of a text or of contents, in hexadecimal.
pub(crate) fn of(bytes: &[u8]) -> String {
    sha256(bytes).iter().map(|word| format!("{word:016x}")).collect()
}
