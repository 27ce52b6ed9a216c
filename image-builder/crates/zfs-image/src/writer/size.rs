//! How large a device has to be.

use image_tree::Store;

use super::error::WriteError;
use super::spec::PoolSpec;

/// Bytes of a device on which the pool has room, and some to work in.
///
/// # Errors
/// The description is wrong.
pub fn minimum_bytes(spec: &PoolSpec, store: &Store) -> Result<u64, WriteError> {
    let _ = store;
    spec.validate()?;
    Ok(64 << 20)
}
