//! `zfs create`, and the nodes of volumes.

use super::super::{failed, printed};
use super::zfs::{USAGE, parent};
use super::{FakeDataset, Pool, Storage};
use crate::storage::parse_size;
use crate::zfs::{Kind, volume_path};
use crate::{Completed, System};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

impl Storage {
    /// Adds a dataset without a program, with the node of a volume.
    pub fn add_dataset(&mut self, name: &str, dataset: FakeDataset) {
        let is_volume = dataset.kind == Kind::Volume;
        self.datasets.insert(name.to_owned(), dataset);
        if is_volume {
            // Another one of the name had other bytes.
            let _ = fs::remove_file(self.volume_node(name));
            self.nodes_of(name);
        }
    }

    pub(super) fn create(&mut self, args: &[&str]) -> Completed {
        let (mut size, mut block, mut given, mut names) = (None, None, Vec::new(), Vec::new());
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match *arg {
                "-V" => size = args.next().and_then(|size| parse_size(size)),
                "-b" => block = args.next().copied(),
                "-o" => given.extend(args.next().and_then(|pair| pair.split_once('='))),
                flag if flag.starts_with('-') => return failed(2, USAGE),
                name => names.push(name),
            }
        }
        let [name] = names[..] else { return failed(2, USAGE) };
        let refuse = |why: &str| failed(1, format!("cannot create '{name}': {why}\n"));
        if self.datasets.contains_key(name) {
            return refuse("dataset already exists");
        }
        let Some(parent) = parent(name) else { return refuse("missing dataset name") };
        if !self.datasets.contains_key(parent) {
            let pool = name.split('/').next().unwrap_or_default();
            return refuse(if self.pools.contains_key(pool) { "parent does not exist" } else { "no such pool" });
        }
        let kind = if size.is_some() { Kind::Volume } else { Kind::Filesystem };
        let mut dataset = FakeDataset::new(kind, &[]);
        if let Some(block) = block {
            given.push(("volblocksize", block));
        }
        for (property, value) in given {
            match self.stored(kind, property, value) {
                Ok(value) => dataset.properties.insert(property.to_owned(), value),
                Err(why) => return refuse(&why),
            };
        }
        if let Some(bytes) = size {
            let block: u64 = dataset.local("volblocksize").map_or(8192, |block| block.parse().unwrap_or(8192));
            if bytes % block != 0 {
                return refuse("volume size must be a multiple of volume block size");
            }
            if bytes > self.volume_room(name) {
                return refuse("out of space");
            }
            dataset.properties.insert("volsize".to_owned(), bytes.to_string());
        }
        if let Some(refusal) = self.key_fault(&dataset) {
            return refuse(&refusal);
        }
        self.datasets.insert(name.to_owned(), dataset);
        if kind == Kind::Volume {
            self.node_appears(name);
            return printed("");
        }
        match self.try_mount(name) {
            Ok(()) => printed(""),
            Err(why) => failed(1, format!("{why}filesystem successfully created, but not mounted\n")),
        }
    }

    /// How large a volume can be.
    pub(super) fn volume_room(&self, name: &str) -> u64 {
        let pool = name.split('/').next().unwrap_or_default();
        self.pools.get(pool).map(Pool::size).unwrap_or_default()
    }

    /// An encrypted dataset needs a key of 32 bytes in a file.
    fn key_fault(&self, dataset: &FakeDataset) -> Option<String> {
        if dataset.local("encryption").is_none_or(|value| value == "off") {
            return None;
        }
        let place = dataset.local("keylocation").and_then(|place| place.strip_prefix("file://"));
        let length = place.and_then(|place| fs::read(self.root.locate(place)).ok()).map(|key| key.len());
        match (dataset.local("keyformat"), length) {
            (Some("raw"), Some(32)) => None,
            (Some("raw"), Some(_)) => Some("Raw key too long (expected 32).".to_owned()),
            (Some("raw"), None) => Some("Failed to open key material file".to_owned()),
            _ => Some("Keyformat required for new encryption root.".to_owned()),
        }
    }

    /// The node of a new volume appears after a while.
    fn node_appears(&self, name: &str) {
        let (node, delay, bytes) = (self.volume_node(name), self.node_delay, self.volume_bytes(name));
        self.link_raw(name);
        std::thread::spawn(move || {
            std::thread::sleep(delay);
            // What a finished test has taken away stays away: the directory above was made before.
            let _ = make_node(&node, bytes);
        });
    }

    /// Makes the nodes of a volume as large as it is.
    pub(super) fn nodes_of(&self, name: &str) {
        self.link_raw(name);
        let node = self.volume_node(name);
        let resized = OpenOptions::new().write(true).open(&node).and_then(|file| file.set_len(self.volume_bytes(name)));
        if resized.is_err() {
            // A test that is over takes its root away.
            let _ = make_node(&node, self.volume_bytes(name));
        }
    }

    fn volume_node(&self, name: &str) -> PathBuf {
        self.root.locate(volume_path(self.system, name))
    }

    fn volume_bytes(&self, name: &str) -> u64 {
        let size = self.datasets.get(name).and_then(|volume| volume.local("volsize"));
        size.and_then(|size| size.parse().ok()).unwrap_or_default()
    }

    /// On illumos a volume has two nodes of one device.
    fn link_raw(&self, name: &str) {
        let mut directories = vec![self.volume_node(name)];
        if self.system == System::Illumos {
            directories.push(self.root.locate(format!("/dev/zvol/rdsk/{name}")));
        }
        for node in &directories {
            let _ = node.parent().map(fs::create_dir_all);
        }
        if let [_, raw] = &directories[..] {
            let _ = std::os::unix::fs::symlink(volume_path(self.system, name), raw);
        }
    }
}

/// A device of zeros, which is whole when it appears.
fn make_node(node: &Path, bytes: u64) -> io::Result<()> {
    let new = node.with_extension("coming");
    File::create(&new)?.set_len(bytes)?;
    fs::rename(new, node)
}
