//! Reading one block: copies, gang blocks, checksums, decompression, and a cache of metadata.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use zfs_format::block::{BLOCK_POINTER_BYTES, BlockPointer, ByteOrder, DataBlock, Dva};
use zfs_format::checksum::{self, ChecksumKind, Digest};
use zfs_format::compress::{Compression, decompress};
use zfs_format::label::START_BYTES;

use super::{Pool, ReadError};

/// `SPA_GANGBLOCKSIZE`: a gang header has the size of the smallest sector.
const GANG_HEADER_BYTES: usize = 512;
/// `SPA_GBH_NBLKPTRS`.
const GANG_POINTERS: usize = 3;
/// Gang blocks of gang blocks of gang blocks: more do not occur, because blocks have at most 16 MiB.
pub(super) const GANG_DEPTH_MAX: u8 = 8;
/// How much decompressed metadata is kept.
const CACHE_BYTES: usize = 48 << 20;

/// Metadata that was read before, oldest first out.
#[derive(Debug, Default)]
pub(super) struct Cache {
    blocks: HashMap<[u8; BLOCK_POINTER_BYTES], Arc<[u8]>>,
    order: VecDeque<[u8; BLOCK_POINTER_BYTES]>,
    bytes: usize,
}

impl Cache {
    fn insert(&mut self, key: [u8; BLOCK_POINTER_BYTES], block: &Arc<[u8]>) {
        if self.blocks.insert(key, Arc::clone(block)).is_some() {
            return;
        }
        self.order.push_back(key);
        self.bytes += block.len();
        while self.bytes > CACHE_BYTES {
            let Some(oldest) = self.order.pop_front() else { break };
            self.bytes -= self.blocks.remove(&oldest).map_or(0, |block| block.len());
        }
    }
}

/// One copy of a block that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    #[error("lies outside of the device")]
    Outside,
    #[error("is shorter than its content")]
    Short,
    #[error("has a wrong checksum")]
    Checksum,
    #[error("has the checksum {0}, which is not supported")]
    UnknownChecksum(&'static str),
    #[error("is a damaged gang block: {0}")]
    Gang(&'static str),
}

/// The address of a block in the way of `zdb`: vdev, offset and allocated bytes in hexadecimal.
pub(super) fn place(dva: &Dva) -> String {
    format!("{}:{:x}:{:x}", dva.vdev, dva.offset, dva.asize)
}

impl Pool<'_> {
    /// The content of the block that a pointer leads to. A hole gives an error: callers know what it means.
    pub(super) fn read_block(&self, pointer: &BlockPointer) -> Result<Arc<[u8]>, ReadError> {
        match pointer {
            BlockPointer::Hole(_) => Err(ReadError::Structure { object: 0, what: "a hole was read".to_owned() }),
            BlockPointer::Embedded(embedded) => {
                let place = "an embedded pointer".to_owned();
                if embedded.embedded_kind != 0 {
                    return Err(ReadError::Block { place, reason: "is no ordinary data".to_owned() });
                }
                unpack(embedded.compression, embedded.payload(), embedded.logical_bytes)
                    .map_err(|reason| ReadError::Block { place, reason })
            }
            BlockPointer::Data(block) => self.read_data(block, pointer),
        }
    }

    fn read_data(&self, block: &DataBlock, pointer: &BlockPointer) -> Result<Arc<[u8]>, ReadError> {
        let cached = block.level > 0 || block.kind.is_metadata();
        let key = pointer.encode();
        if cached {
            if let Some(found) = self.lock_cache().blocks.get(&key) {
                return Ok(Arc::clone(found));
            }
        }
        if block.encrypted {
            return Err(ReadError::Encrypted(block.dvas[0].offset));
        }
        if block.byte_order == ByteOrder::Big {
            return Err(ReadError::BigEndian);
        }
        let mut reasons = Vec::new();
        for dva in block.dvas.iter().filter(|dva| !dva.is_empty()) {
            let read = self.read_copy(block, dva).map_err(|error| error.to_string());
            match read.and_then(|stored| unpack(block.compression, &stored, block.logical_bytes)) {
                Ok(mut content) => {
                    self.tamper(pointer, &mut content);
                    if cached {
                        self.lock_cache().insert(key, &content);
                    }
                    return Ok(content);
                }
                Err(reason) => reasons.push(reason),
            }
        }
        Err(ReadError::Block { place: place(&block.dvas[0]), reason: reasons.join("; ") })
    }

    /// What tests do to blocks.
    pub(super) fn tamper(&self, pointer: &BlockPointer, content: &mut Arc<[u8]>) {
        if let Some(tamper) = &self.tamper {
            let mut changed = content.to_vec();
            tamper(pointer, &mut changed);
            *content = changed.into();
        }
    }

    fn lock_cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// One copy of a block as it is stored, its checksum verified.
    pub(super) fn read_copy(&self, block: &DataBlock, dva: &Dva) -> Result<Vec<u8>, CopyError> {
        if dva.gang {
            return self.read_gang(block, dva, GANG_DEPTH_MAX);
        }
        if dva.asize < block.physical_bytes {
            return Err(CopyError::Short);
        }
        let stored = self.read_raw(dva, block.physical_bytes as usize)?;
        match checksum::digest(block.checksum, &stored) {
            Some(_) if matches!(block.checksum, ChecksumKind::Off | ChecksumKind::NoParity) => Ok(stored),
            Some(found) if found == block.digest => Ok(stored),
            Some(_) => Err(CopyError::Checksum),
            None => Err(CopyError::UnknownChecksum(block.checksum.name())),
        }
    }

    fn read_raw(&self, dva: &Dva, len: usize) -> Result<Vec<u8>, CopyError> {
        let end = dva.offset.checked_add(len as u64);
        if dva.vdev != 0 || end.is_none_or(|end| end > self.vdev.asize) {
            return Err(CopyError::Outside);
        }
        let mut stored = vec![0; len];
        self.source.read_exact_at(&mut stored, START_BYTES + dva.offset)?;
        Ok(stored)
    }

    /// The pointers of a gang header, whose checksum is made with the header's own address and birth.
    pub(super) fn gang_pointers(
        &self,
        block: &DataBlock,
        dva: &Dva,
    ) -> Result<[BlockPointer; GANG_POINTERS], CopyError> {
        let header = self.read_raw(dva, GANG_HEADER_BYTES)?;
        let first = &block.dvas[0];
        let birth = if block.physical_birth == 0 { block.birth } else { block.physical_birth };
        if !is_sealed(&header, [u64::from(first.vdev), first.offset, birth, 0]) {
            return Err(CopyError::Checksum);
        }
        let mut pointers = [BlockPointer::ABSENT; GANG_POINTERS];
        for (pointer, bytes) in pointers.iter_mut().zip(header.chunks_exact(BLOCK_POINTER_BYTES)) {
            let bytes = bytes.try_into().map_err(|_| CopyError::Short)?;
            *pointer = BlockPointer::decode(bytes).map_err(|_| CopyError::Gang("a pointer has no meaning"))?;
        }
        Ok(pointers)
    }

    fn read_gang(&self, block: &DataBlock, dva: &Dva, depth_left: u8) -> Result<Vec<u8>, CopyError> {
        let deeper = depth_left.checked_sub(1).ok_or(CopyError::Gang("too many inside each other"))?;
        let mut stored = Vec::new();
        for pointer in self.gang_pointers(block, dva)? {
            let BlockPointer::Data(member) = pointer else { continue };
            if member.physical_bytes >= block.physical_bytes {
                return Err(CopyError::Gang("a member is not smaller than the whole"));
            }
            let copies = member.dvas.iter().filter(|dva| !dva.is_empty());
            let mut read = copies.map(|dva| match dva.gang {
                true => self.read_gang(&member, dva, deeper),
                false => self.read_copy(&member, dva),
            });
            let part = read.find(Result::is_ok).unwrap_or(Err(CopyError::Gang("a member has no good copy")))?;
            stored.extend_from_slice(&part);
            if stored.len() > block.physical_bytes as usize {
                return Err(CopyError::Gang("the members are longer than the whole"));
            }
        }
        if stored.len() != block.physical_bytes as usize {
            return Err(CopyError::Gang("the members are shorter than the whole"));
        }
        Ok(stored)
    }
}

/// Whether the last 40 bytes of a block are the checksum of the block with this verifier in their place.
fn is_sealed(block: &[u8], verifier: Digest) -> bool {
    let Some(at) = block.len().checked_sub(checksum::EMBEDDED_CHECKSUM_BYTES) else { return false };
    let mut expected = block.to_vec();
    put_words(&mut expected[at + 8..], verifier);
    let digest = checksum::sha256(&expected);
    put_words(&mut expected[at + 8..], digest);
    expected == block
}

fn put_words(place: &mut [u8], words: Digest) {
    for (place, word) in place.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
}

/// The content of what is stored.
pub(super) fn unpack(compression: Compression, stored: &[u8], logical_bytes: u32) -> Result<Arc<[u8]>, String> {
    let mut content = vec![0; logical_bytes as usize];
    decompress(compression, stored, &mut content).map_err(|error| error.to_string())?;
    Ok(content.into())
}

#[cfg(test)]
mod tests {
    use zfs_format::object::ObjectType;

    use super::*;

    const DEVICE_BYTES: usize = 4 << 20;

    fn block(offset: u64, asize: u32, bytes: &[u8]) -> DataBlock {
        DataBlock {
            dvas: [Dva { vdev: 0, offset, asize, gang: false }, Dva::default(), Dva::default()],
            kind: ObjectType::PLAIN_FILE_CONTENTS,
            level: 0,
            compression: Compression::Off,
            checksum: ChecksumKind::Fletcher4,
            logical_bytes: bytes.len() as u32,
            physical_bytes: bytes.len() as u32,
            dedup: false,
            encrypted: false,
            birth: 4,
            physical_birth: 0,
            fill: 1,
            digest: checksum::fletcher4(bytes),
            byte_order: ByteOrder::Little,
        }
    }

    /// A device with a block of 1536 bytes in three parts, and the pointer to it.
    fn ganged() -> (Vec<u8>, BlockPointer, Vec<u8>) {
        let content: Vec<u8> = (0..1536_u32).map(|at| (at % 251) as u8).collect();
        let mut device = vec![0; START_BYTES as usize + DEVICE_BYTES];
        let mut header = Vec::new();
        for (index, part) in content.chunks(512).enumerate() {
            let offset = 0x10_000 + index as u64 * 0x1000;
            device[(START_BYTES + offset) as usize..][..512].copy_from_slice(part);
            header.extend(BlockPointer::Data(block(offset, 512, part)).encode());
        }
        header.resize(GANG_HEADER_BYTES, 0);
        let at = GANG_HEADER_BYTES - checksum::EMBEDDED_CHECKSUM_BYTES;
        header[at..at + 8].copy_from_slice(&0x0210_da7a_b10c_7a11_u64.to_le_bytes());
        put_words(&mut header[at + 8..], [0, 0x8000, 4, 0]);
        let digest = checksum::sha256(&header);
        put_words(&mut header[at + 8..], digest);
        device[START_BYTES as usize + 0x8000..][..GANG_HEADER_BYTES].copy_from_slice(&header);
        let mut whole = block(0x8000, 2048, &content);
        whole.dvas[0].gang = true;
        (device, BlockPointer::Data(whole), content)
    }

    fn read(device: &[u8], pointer: &BlockPointer) -> Result<Arc<[u8]>, ReadError> {
        Pool::over_blocks(device, DEVICE_BYTES as u64).read_block(pointer)
    }

    #[test]
    fn gang_blocks_are_put_together() {
        let (device, pointer, content) = ganged();
        assert_eq!(*read(&device, &pointer).expect("whole"), *content);
    }

    #[test]
    fn damaged_gang_blocks_are_refused() {
        let (device, pointer, _) = ganged();
        let reason = |place: usize| {
            let mut device = device.clone();
            device[START_BYTES as usize + place] ^= 1;
            read(&device, &pointer).expect_err("damaged").to_string()
        };
        assert!(reason(0x8000).ends_with("has a wrong checksum"));
        assert!(reason(0x8000 + 500).ends_with("has a wrong checksum"));
        assert!(reason(0x11_000).ends_with("is a damaged gang block: a member has no good copy"));
        let BlockPointer::Data(mut elsewhere) = pointer else { panic!("a block") };
        elsewhere.birth = 5;
        let error = read(&device, &BlockPointer::Data(elsewhere)).expect_err("another birth");
        assert!(error.to_string().ends_with("has a wrong checksum"));
    }

    #[test]
    fn addresses_beyond_the_device_are_refused() {
        let (device, _, content) = ganged();
        for offset in [DEVICE_BYTES as u64 - 512, DEVICE_BYTES as u64, u64::MAX >> 1 & !0x1ff] {
            let error = read(&device, &BlockPointer::Data(block(offset, 1536, &content))).expect_err("outside");
            assert!(error.to_string().ends_with("lies outside of the device"), "{error}");
        }
        let error = read(&device, &BlockPointer::Data(block(0, 512, &content))).expect_err("short");
        assert!(error.to_string().ends_with("is shorter than its content"), "{error}");
    }
}
