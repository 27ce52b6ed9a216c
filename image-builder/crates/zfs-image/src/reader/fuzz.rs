//! Entry points for fuzzers: whatever bytes they get, they return, without a panic and in bounded time and memory.
//!
//! [`fuzz_pool`] takes an image as it is. That finds little behind the first checksum, so [`fuzz_tampered`] takes a
//! whole pool and a script, and changes the contents of blocks *after* their checksums were verified, as if somebody
//! had written the pool with these contents and all checksums right.

use std::collections::HashSet;
use std::sync::Mutex;

use zfs_format::acl::Ace;
use zfs_format::block::BlockPointer;
use zfs_format::sa::{self, Layouts, Registry};
use zfs_format::zap::{self, ZapError};
use zfs_format::{nvlist, space_map};

use super::{File, FileSystem, Pool, ReadError, VerifyOptions};

/// So many files of a dataset are looked at.
const FILES_MAX: usize = 5_000;
/// So many bytes are read of a file at each end.
const READ_BYTES: usize = 64 << 10;

/// Opens an image and does everything that can be done with a pool.
pub fn fuzz_pool(image: &[u8]) {
    if let Ok(pool) = Pool::open(image, image.len() as u64) {
        exercise(&pool);
    }
}

/// Opens the pool in `image` with its contents changed as `script` says, and does everything with it. Answers
/// whether it could be opened at all.
pub fn fuzz_tampered(image: &[u8], script: &[u8]) -> bool {
    let changes = Script::new(script);
    let tamper = move |pointer: &BlockPointer, content: &mut [u8]| changes.apply(pointer, content);
    match Pool::open_with(Box::new(image), image.len() as u64, Some(Box::new(tamper))) {
        Ok(pool) => exercise(&pool),
        Err(_) => return false,
    }
    true
}

/// Unpacks a list.
pub fn fuzz_nvlist(bytes: &[u8]) {
    if let Ok(list) = nvlist::decode_xdr(bytes) {
        let _ = list.to_string();
        let _ = list.encode_xdr();
    }
}

/// Walks and searches a ZAP whose blocks, of a size that the first byte chooses, follow.
pub fn fuzz_zap(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let block_bytes = 512_usize << (first % 6);
    let read = |number: u64| {
        let start = usize::try_from(number).ok().and_then(|number| number.checked_mul(block_bytes));
        let block = start.and_then(|start| bytes.get(start..start.checked_add(block_bytes)?));
        block.ok_or(ZapError::Collisions)
    };
    let _ = zap::for_each(read, |_| Ok::<(), ZapError>(()));
    let _ = zap::lookup(read, b"name");
}

/// Takes attributes and an access control list apart.
pub fn fuzz_attributes(bytes: &[u8]) {
    let mut layouts = Layouts::default();
    let mut znode = sa::Znode { symlink: Some(vec![b'x'; 400]), ..sa::Znode::default() };
    let _ = sa::encode(&znode.attributes(), 320, &mut layouts);
    znode.symlink = None;
    let _ = sa::encode(&znode.attributes(), 320, &mut layouts);
    if let Ok(attributes) = sa::decode(bytes, &Registry::standard(&layouts)) {
        let _ = sa::Znode::from_attributes(&attributes);
    }
    let _ = sa::Znode::from_legacy(bytes);
    let _ = Ace::decode_all(bytes);
    let _ = space_map::decode_entries(bytes, 0, 9).count();
}

/// One change: which blocks it is for, and what it does to them.
#[derive(Debug, Clone, Copy)]
struct Change {
    /// Compared with the low bits of a number that stands for the block.
    selector: u16,
    what: u8,
    at: u16,
    value: u8,
}

/// Bytes of a [`Change`] in a script.
const CHANGE_BYTES: usize = 6;

#[derive(Debug)]
struct Script {
    changes: Vec<Change>,
    /// The last content of each size, to be put in another's place.
    last: Mutex<Vec<Vec<u8>>>,
}

impl Script {
    fn new(script: &[u8]) -> Self {
        let changes = script.chunks_exact(CHANGE_BYTES).map(|change| Change {
            selector: u16::from_le_bytes([change[0], change[1]]),
            what: change[2],
            at: u16::from_le_bytes([change[3], change[4]]),
            value: change[5],
        });
        Self { changes: changes.collect(), last: Mutex::default() }
    }

    fn apply(&self, pointer: &BlockPointer, content: &mut [u8]) {
        let place = match pointer {
            BlockPointer::Data(block) => block.dvas[0].offset >> 9,
            _ => pointer.birth(),
        };
        // A multiplication spreads neighbouring blocks over all selectors.
        let number = place.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48;
        for change in &self.changes {
            // A pool has hundreds of blocks and metadata is what matters, so one in 32 is chosen.
            if (number as u16 ^ change.selector) & 0x1f == 0 {
                self.change(*change, content);
            }
        }
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        last.retain(|other| other.len() != content.len());
        last.push(content.to_vec());
    }

    fn change(&self, change: Change, content: &mut [u8]) {
        if content.is_empty() {
            return;
        }
        let at = usize::from(change.at) % content.len();
        let word = at / 8 * 8;
        let word = word..(word + 8).min(content.len());
        match change.what % 8 {
            0 | 1 => content[at] ^= 1 << (change.value & 7),
            2 => content[at] = change.value,
            3 => content[word].fill(change.value),
            4 => {
                let bit = (1_u64 << (change.value & 63)).to_le_bytes();
                content[word.clone()].copy_from_slice(&bit[..word.len()]);
            }
            // A pointer, slot or chunk over another.
            5 | 6 => {
                let size = [128, 512, 24, 64][usize::from(change.value & 3)].min(content.len());
                let count = content.len() / size;
                let (from, to) = (at % count * size, usize::from(change.value >> 2) % count * size);
                content.copy_within(from..from + size, to);
            }
            _ => {
                let last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if let Some(other) = last.iter().find(|other| other.len() == content.len()) {
                    content.copy_from_slice(other);
                }
            }
        }
    }
}

/// Everything that can be done with a pool. Errors are what is expected; results are thrown away.
fn exercise(pool: &Pool<'_>) {
    let _ = pool.config();
    let _ = pool.object_directory();
    let _ = pool.pool_properties();
    let _ = pool.boot_dataset();
    let _ = pool.describe();
    let _ = pool.verify(&VerifyOptions { problems_max: 50, files: true });
    let _ = crate::dump::dump(pool, &crate::dump::DumpOptions::default(), &mut std::io::sink());
    let Ok(directories) = pool.directories() else { return };
    for directory in directories {
        let _ = pool.properties(&directory);
        for dataset in directory.snapshots.iter().chain(&directory.head) {
            if let Ok(files) = pool.file_system(dataset) {
                let _ = walk(&files);
            }
        }
    }
}

fn walk(files: &FileSystem<'_>) -> Result<(), ReadError> {
    let mut seen = HashSet::from([files.root()]);
    let mut open = vec![files.root()];
    while let Some(object) = open.pop() {
        let Ok(file) = files.file(object) else { continue };
        let _ = read(files, &file);
        if !file.is_directory() {
            continue;
        }
        let _ = files.for_each_entry(&file, |entry| {
            if seen.len() >= FILES_MAX {
                return Err(ReadError::Limit { what: "files", limit: FILES_MAX as u64 });
            }
            if seen.insert(entry.object) {
                open.push(entry.object);
            }
            Ok(())
        });
    }
    let _ = files.lookup(b"/etc/long", true)?;
    let _ = files.lookup(b"/etc/link", true)?;
    Ok(())
}

fn read(files: &FileSystem<'_>, file: &File) -> Result<(), ReadError> {
    let mut buffer = vec![0; READ_BYTES];
    let _ = files.read_link(file);
    let _ = files.xattrs(file);
    let _ = files.xattr_sizes(file);
    let _ = super::same_content([(files, file), (files, file)]);
    files.read_at(file, &mut buffer, 0)?;
    files.read_at(file, &mut buffer, file.znode.size.saturating_sub(READ_BYTES as u64))?;
    Ok(())
}
