//! Whether two files have the same bytes, read only where they could differ.

use image_tree::Extent;
use zfs_format::block::BlockPointer;
use zfs_format::checksum::ChecksumKind;

use super::tree::extents;
use super::{File, FileSystem, ReadError};

/// Whether two regular files, of one pool or of two, have the same bytes. What is a hole in both is passed over, however
/// long it is, and blocks with the same cryptographic checksum are the same. Fletcher's sums find damage, but whoever
/// wants to can make other bytes with the same one, so that those blocks are read.
///
/// # Errors
/// Which of the two cannot be read, 0 or 1, and why.
pub fn same_content(files: [(&FileSystem<'_>, &File); 2]) -> Result<bool, (usize, ReadError)> {
    let [(_, first), (_, second)] = files;
    if first.znode.size != second.znode.size {
        return Ok(false);
    }
    let data = |side: usize| extents(files[side].0, files[side].1).map_err(|error| (side, error));
    let (mut extents, _) = data(0)?;
    extents.extend(data(1)?.0);
    let block_bytes = [first, second].map(|file| u64::from(file.dnode.data_block_bytes.max(1)));
    let part_bytes = block_bytes[0].max(block_bytes[1]);
    let mut buffers = [Vec::new(), Vec::new()];
    for part in parts(extents, part_bytes) {
        if block_bytes[0] == block_bytes[1] {
            let pointer = |side: usize| {
                let (files, file) = files[side];
                files.objset().pointer(&file.dnode, part).map_err(|error| (side, error))
            };
            if is_same_block(&pointer(0)?, &pointer(1)?) {
                continue;
            }
        }
        let offset = part * part_bytes;
        let len = part_bytes.min(first.znode.size - offset) as usize;
        for (side, buffer) in buffers.iter_mut().enumerate() {
            let (files, file) = files[side];
            buffer.resize(len, 0);
            files.objset().read_exact(&file.dnode, buffer, offset).map_err(|error| (side, error))?;
        }
        if buffers[0] != buffers[1] {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The numbers of the parts of so many bytes that something of the extents is in: each once, in order.
pub(super) fn parts(extents: impl IntoIterator<Item = Extent>, part_bytes: u64) -> impl Iterator<Item = u64> {
    let range = |extent: Extent| (extent.offset / part_bytes, (extent.offset + extent.len).div_ceil(part_bytes));
    let mut ranges: Vec<(u64, u64)> = extents.into_iter().map(range).collect();
    ranges.sort_unstable();
    let mut next = 0;
    ranges.into_iter().flat_map(move |(first, end)| {
        let first = first.max(next);
        next = next.max(end);
        first..end
    })
}

/// Whether the pointers alone tell that the blocks have the same content.
fn is_same_block(one: &BlockPointer, other: &BlockPointer) -> bool {
    match (one, other) {
        (BlockPointer::Hole(_), BlockPointer::Hole(_)) => true,
        (BlockPointer::Data(one), BlockPointer::Data(other)) => {
            matches!(one.checksum, ChecksumKind::Sha256 | ChecksumKind::Sha512)
                && !(one.encrypted || other.encrypted)
                && (one.checksum, one.digest, one.byte_order) == (other.checksum, other.digest, other.byte_order)
                && one.compression == other.compression
                && (one.logical_bytes, one.physical_bytes) == (other.logical_bytes, other.physical_bytes)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_once_and_in_order() {
        let of = |extents: &[(u64, u64)]| {
            let extents = extents.iter().map(|(offset, len)| Extent { offset: *offset, len: *len });
            parts(extents.collect::<Vec<_>>(), 10).collect::<Vec<u64>>()
        };
        assert_eq!(of(&[]), [0; 0]);
        assert_eq!(of(&[(0, 1), (9, 1), (9, 2)]), [0, 1]);
        // The second file's extents come after all of the first's.
        assert_eq!(of(&[(50, 10), (0, 30), (10, 5), (25, 1), (1 << 60, 1)]), [0, 1, 2, 5, (1 << 60) / 10]);
        assert_eq!(of(&[(0, 100), (20, 10), (95, 10)]), (0..11).collect::<Vec<u64>>());
    }
}
