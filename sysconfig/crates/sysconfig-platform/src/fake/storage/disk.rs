//! Disks: sparse files below the root, and what ZFS writes on them.

use super::super::{failed, printed};
use super::{Pool, PoolDevice as Device, Storage};
use crate::{Completed, System};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use zfs_format::label::{LABEL_BYTES, Label, decode_config, encode_label, label_offsets};
use zfs_format::nvlist::NvList;

/// What the partition table takes of a whole disk, in bytes.
const TABLE_BYTES: u64 = 2 << 20;

/// What of a label is not written, in bytes.
const VDEV_PAD: usize = 8 << 10;

/// What a label on a device says.
pub(super) struct Found {
    pub(super) guid: u64,
    pub(super) pool: String,
    pub(super) pool_guid: u64,
    /// 0 active, 1 exported, 2 destroyed.
    pub(super) state: u64,
}

impl Storage {
    /// Attaches a blank disk, `c1t0d0` of illumos or `ata-X` of Linux; on Linux it is also `/dev/sdN`.
    ///
    /// # Panics
    /// When the root cannot be written.
    pub fn add_disk(&mut self, name: &str, bytes: u64) -> String {
        let (node, path) = match self.system {
            System::Illumos => (format!("/dev/rdsk/{name}p0"), format!("/dev/dsk/{name}")),
            System::Linux => {
                let links = self.root.locate("/dev/disk/by-id");
                fs::create_dir_all(&links).expect("the root can be written");
                let count = fs::read_dir(links).expect("the root can be read").count();
                let kernel = format!("sd{}", char::from(b'b' + u8::try_from(count).expect("few disks")));
                let link = self.root.locate(format!("/dev/disk/by-id/{name}"));
                std::os::unix::fs::symlink(format!("../../{kernel}"), link).expect("the root can be written");
                (format!("/dev/{kernel}"), format!("/dev/disk/by-id/{name}"))
            }
        };
        self.add_file(&node, bytes);
        path
    }

    /// Makes a file that can be a vdev.
    ///
    /// # Panics
    /// When the root cannot be written.
    pub fn add_file(&mut self, path: &str, bytes: u64) {
        let node = self.root.locate(path);
        fs::create_dir_all(node.parent().expect("a file lies in a directory")).expect("the root can be written");
        File::create(node).and_then(|file| file.set_len(bytes)).expect("the root can be written");
    }

    /// Makes a disk or file larger.
    ///
    /// # Panics
    /// When it is not there.
    pub fn grow(&mut self, path: &str, bytes: u64) {
        let whole = self.whole(path).expect("the disk is there");
        OpenOptions::new()
            .write(true)
            .open(whole)
            .and_then(|file| file.set_len(bytes))
            .expect("the root can be written");
        if let Some(slice) = self.label_path(path).filter(|slice| slice != path) {
            let node = self.node(&slice);
            if node.exists() {
                let file = OpenOptions::new().write(true).open(node);
                file.and_then(|file| file.set_len(bytes - TABLE_BYTES)).expect("the root can be written");
            }
        }
    }

    /// Writes somebody's bytes on a disk or file.
    ///
    /// # Panics
    /// When it is not there.
    pub fn scribble(&mut self, path: &str, at: u64, bytes: &[u8]) {
        let whole = self.whole(path).expect("the disk is there");
        write_at(&whole, at, bytes);
    }

    /// Takes a disk or file away, or brings it back.
    ///
    /// # Panics
    /// When it is not there.
    pub fn pull(&mut self, path: &str, is_back: bool) {
        let mut nodes = vec![self.whole_path(path)];
        nodes.extend(self.label_path(path).map(|slice| self.node(&slice)));
        nodes.dedup();
        for node in nodes {
            let away = PathBuf::from(format!("{}.away", node.display()));
            let (from, to) = if is_back { (away, node) } else { (node, away) };
            if from.exists() {
                fs::rename(from, to).expect("the root can be written");
            }
        }
    }

    /// Every byte of a disk or file, to compare.
    ///
    /// # Panics
    /// When it is not there.
    #[must_use]
    pub fn bytes_of(&self, path: &str) -> Vec<u8> {
        fs::read(self.whole(path).expect("the disk is there")).expect("the disk can be read")
    }

    /// The first and the last MiB of a disk or file, where everybody writes, to compare.
    ///
    /// # Panics
    /// When it is not there.
    #[must_use]
    pub fn ends_of(&self, path: &str) -> Vec<u8> {
        let mut file = File::open(self.whole(path).expect("the disk is there")).expect("the disk can be read");
        let mut ends = vec![0; 2 << 20];
        file.read_exact(&mut ends[..1 << 20]).expect("the disk is large enough");
        file.seek(SeekFrom::End(-(1 << 20))).expect("the disk is large enough");
        file.read_exact(&mut ends[1 << 20..]).expect("the disk is large enough");
        ends
    }

    /// Where the bytes of a disk or file are, whether it is there or not.
    fn whole_path(&self, path: &str) -> PathBuf {
        match (self.system, path.strip_prefix("/dev/dsk/")) {
            (System::Illumos, Some(name)) if !name.contains(['s', 'p']) => {
                self.root.locate(format!("/dev/rdsk/{name}p0"))
            }
            _ => self.node(path),
        }
    }

    fn whole(&self, path: &str) -> Option<PathBuf> {
        Some(self.whole_path(path)).filter(|path| path.exists())
    }

    /// Where the bytes of a slice, partition or file are.
    pub(super) fn node(&self, path: &str) -> PathBuf {
        let resolved = match (self.system, path.strip_prefix("/dev/dsk/")) {
            (System::Illumos, Some(name)) => PathBuf::from(format!("/dev/rdsk/{name}")),
            _ => self.root.resolve(path).unwrap_or_else(|_| path.into()),
        };
        self.root.locate(resolved)
    }

    /// The path that a pool keeps for a device that it is given; `None` when there is no such device.
    pub(super) fn label_path(&self, path: &str) -> Option<String> {
        let is_disk = match self.system {
            System::Illumos => path.strip_prefix("/dev/dsk/").is_some_and(|name| !name.contains(['s', 'p'])),
            System::Linux => path.starts_with("/dev/disk/by-id/") && !path.contains("-part"),
        };
        match (is_disk, self.system) {
            (false, _) => Some(path.to_owned()),
            (true, System::Illumos) => Some(format!("{path}s0")),
            (true, System::Linux) => Some(format!("{path}-part1")),
        }
    }

    /// Bytes of a device that is to be given to a pool.
    pub(super) fn size(&self, path: &str) -> Option<u64> {
        fs::metadata(self.whole(path)?).ok().map(|metadata| metadata.len())
    }

    /// Bytes that a member could use now.
    pub(super) fn room(&self, device: &Device) -> u64 {
        fs::metadata(self.node(&device.path)).map_or(device.bytes, |metadata| metadata.len())
    }

    /// Puts a partition table on a whole disk, as ZFS does; answers the path of the place for data, and its size.
    pub(super) fn prepare(&mut self, path: &str) -> Option<(String, u64)> {
        let bytes = self.size(path)?;
        let label_path = self.label_path(path)?;
        if label_path == path {
            return Some((label_path, bytes));
        }
        let whole = self.whole(path)?;
        write_at(&whole, 512, &crate::device::zfs_table(bytes / 512)[512..]);
        write_at(&whole, bytes - 512, b"EFI PART");
        let node = match self.system {
            System::Illumos => self.node(&label_path),
            System::Linux => {
                let kernel = fs::read_link(self.root.locate(path)).ok()?;
                let link = self.root.locate(&label_path);
                if fs::symlink_metadata(&link).is_err() {
                    std::os::unix::fs::symlink(format!("{}1", kernel.display()), link).ok()?;
                }
                PathBuf::from(format!("{}1", whole.display()))
            }
        };
        File::create(node).and_then(|file| file.set_len(bytes - TABLE_BYTES)).ok()?;
        Some((label_path, bytes - TABLE_BYTES))
    }

    /// Writes the labels of every device of a pool.
    pub(super) fn write_labels(&self, pool: &Pool, state: u64) {
        let standing_by: Vec<u64> = pool.spares.iter().map(|device| device.guid).collect();
        let caching: Vec<u64> = pool.cache.iter().map(|device| device.guid).collect();
        for device in pool.devices().into_iter().filter(|device| !device.lost && !device.is_given()) {
            let config = NvList::new().with("version", 5000_u64).with("guid", device.guid);
            let config = match () {
                () if standing_by.contains(&device.guid) => config.with("state", 3_u64),
                () if caching.contains(&device.guid) => config.with("state", 4_u64),
                () => config
                    .with("name", pool.name.as_str())
                    .with("state", state)
                    .with("txg", 4_u64)
                    .with("pool_guid", pool.guid),
            };
            self.write_label(device, &config);
        }
    }

    fn write_label(&self, device: &Device, config: &NvList) {
        let node = self.node(&device.path);
        let Ok(metadata) = fs::metadata(&node) else { return };
        for offset in label_offsets(metadata.len()) {
            let label = encode_label(&Label { config, uberblocks: &[], ashift: 9 }, offset);
            // The first part is for a boot block of somebody else's, and stays as it is (`vl_pad1` in `vdev_impl.h`).
            let (pad, bytes) = (VDEV_PAD, label.expect("the configuration is short"));
            write_at(&node, offset + pad as u64, &bytes[pad..]);
        }
    }

    /// Writes the labels of an exported pool anew, as another machine would that has it: 0 is active, 1 exported.
    pub fn relabel(&mut self, path: &str, state: u64) {
        let label_path = self.label_path(path).unwrap_or_default();
        let found = self.exported.iter().find(|pool| pool.devices().iter().any(|device| device.path == label_path));
        if let Some(pool) = found {
            self.write_labels(pool, state);
        }
    }

    /// Takes the labels off a device that leaves a pool.
    pub(super) fn clear_labels(&self, device: &Device) {
        let node = self.node(&device.path);
        let Ok(metadata) = fs::metadata(&node) else { return };
        for offset in label_offsets(metadata.len()) {
            write_at(&node, offset, &vec![0; usize::try_from(LABEL_BYTES).expect("a label is small")]);
        }
    }

    /// Whether ZFS has left a label on a disk, of a pool that may be gone.
    #[must_use]
    pub fn is_labelled(&self, path: &str) -> bool {
        self.label(path).is_some()
    }

    /// The label on a device that is to be given to a pool, or on the place for data of a whole disk.
    pub(super) fn label(&self, path: &str) -> Option<Found> {
        let node = self.node(&self.label_path(path)?);
        let mut file = File::open(node).ok()?;
        let mut bytes = vec![0; usize::try_from(LABEL_BYTES).ok()?];
        file.seek(SeekFrom::Start(0)).and_then(|_| file.read_exact(&mut bytes)).ok()?;
        let config = decode_config(&bytes, 0).ok()?;
        Some(Found {
            guid: config.u64("guid").unwrap_or(0),
            pool: config.string("name").unwrap_or_default().to_owned(),
            pool_guid: config.u64("pool_guid").unwrap_or(0),
            state: config.u64("state").unwrap_or(0),
        })
    }

    /// What `fstyp` recognises, as far as a test needs it.
    pub(super) fn file_system(&self, path: &str) -> Option<&'static str> {
        let mut bytes = Vec::new();
        File::open(self.whole(path)?).and_then(|file| file.take(64 << 10).read_to_end(&mut bytes)).ok()?;
        let has = |at: usize, magic: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(magic));
        [(8192 + 1372, &b"\x54\x19\x01\x00"[..], "ufs"), (54, b"FAT1", "pcfs"), (32769, b"CD001", "hsfs")]
            .into_iter()
            .find_map(|(at, magic, name)| has(at, magic).then_some(name))
    }

    /// Makes a loop device of a file, on illumos one of lofi.
    ///
    /// # Panics
    /// When the root cannot be written.
    pub fn add_loop(&mut self, number: u32, file: &str) {
        self.loops.insert(number, file.to_owned());
        match self.system {
            System::Illumos => self.write("/dev/lofictl", ""),
            System::Linux => self.write(&format!("/sys/block/loop{number}/loop/backing_file"), &format!("{file}\n")),
        }
    }

    pub(super) fn lofiadm(&self, args: &[&str]) -> Completed {
        if !args.is_empty() {
            return failed(1, "Usage: lofiadm [-r] [-l] -a file [ device ]\n");
        }
        let row = |(number, file): (&u32, &String)| format!("{:<24} {file:<30} -\n", format!("/dev/lofi/{number}"));
        let rows: String = self.loops.iter().map(row).collect();
        printed(format!("{:<24} {:<30} Options\n{rows}", "Block Device", "File"))
    }

    pub(super) fn diskinfo(&self, args: &[&str]) -> Completed {
        if args != ["-pH"] {
            return failed(2, "Usage: diskinfo [-Hp] [{-c [C] | -P}]\n");
        }
        let names = fs::read_dir(self.root.locate("/dev/rdsk")).into_iter().flatten().flatten();
        let mut rows: Vec<String> = names
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let disk = name.strip_suffix("p0")?;
                Some(format!("SCSI\t{disk}\tFAKE\tDISK\t{}\tno\tno\n", entry.metadata().ok()?.len()))
            })
            .collect();
        rows.sort();
        printed(rows.concat())
    }
}

pub(super) fn write_at(path: &PathBuf, at: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(path).expect("a disk can be written");
    file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(bytes)).expect("a disk can be written");
}
