//! Disks, pools, datasets, mounts and swap of a simulated machine of either system.
//!
//! Disks that pools may be made of are sparse files below the root, and what ZFS writes on them, labels and a partition
//! table, is really there, so that whoever reads disks reads these.
//!
//! Programs change the state, and the state is shown where the real systems show it: in the mount table, in Linux'
//! list of swap areas, and as nodes below `/dev`. What is mounted shows as an entry of the table only, and the directories
//! below the temporary root stay what they are; but file systems in memory begin empty, and lose what is in them.

mod creation;
mod dataset;
mod disk;
mod kernel;
mod kill;
mod members;
mod mount;
mod pool;
mod properties;
mod show;
mod snapshots;
mod swap;
mod vdevs;
mod zfs;
mod zfs_mount;
mod zpool;

use crate::mount_table::Mount;
use crate::{Completed, Root, System};
use kill::killed;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

pub use dataset::FakeDataset;
pub use kill::{Moment, Places};
pub use pool::{Device as PoolDevice, Pool, Slot, Top};

/// A disk's partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its size.
    pub bytes: u64,
    /// The type of the file system on it, `swap` for Linux' swap header, or nothing.
    pub content: Option<String>,
}

/// A swap area in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedSwap {
    /// As it was given.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Linux: its priority.
    pub priority: i32,
}

/// The state.
#[derive(Debug)]
pub struct Storage {
    pub(super) system: System,
    root: Root,
    /// Imported pools by name; each has a dataset of the same name.
    pub pools: BTreeMap<String, Pool>,
    /// Pools that are on disks and not imported.
    pub exported: Vec<Pool>,
    /// For how many looks a replaced device is shown beside its successor.
    pub resilver_looks: u32,
    /// Pools with errors in their data, or on a member.
    pub damaged: BTreeSet<String>,
    /// Whether commands that change pools only fail, because the devices do not answer.
    pub suspended: bool,
    /// Datasets by name.
    pub datasets: BTreeMap<String, FakeDataset>,
    /// Datasets that are shared.
    pub shared: BTreeSet<String>,
    /// What is mounted.
    pub mounts: Vec<Mount>,
    /// Swap in use.
    pub swaps: Vec<UsedSwap>,
    /// illumos: those of them that are being removed, which takes until their pages are elsewhere.
    pub leaving: BTreeSet<String>,
    /// illumos: where a crash dump goes, which cannot be swap of this kind.
    pub dump_device: Option<String>,
    /// With what status `zpool import` ends when there is nothing to import; versions differ.
    pub nothing_to_import: i32,
    /// Partitions by path.
    pub devices: BTreeMap<String, Device>,
    /// Devices that are made of files: their numbers and the files.
    pub loops: BTreeMap<u32, String>,
    /// `server:/path` of NFS that can be reached.
    pub shares: BTreeSet<String>,
    /// The servers among them that do not answer at the moment, by what is mounted of them.
    pub away: BTreeSet<String>,
    /// Where whatever is mounted ends up, as when a link has come since a place was looked at.
    pub mounts_elsewhere: Option<String>,
    /// The most bytes that servers of NFS read and write at once.
    pub server_block: u64,
    /// Processes in mount points: number and program.
    pub users: BTreeMap<String, Vec<(u32, String)>>,
    /// How many more times destroying something is said to be busy, as happens in passing.
    pub busy_in_passing: u32,
    /// Snapshots that somebody holds, zfs-hold(8).
    pub held: BTreeSet<String>,
    /// Whether there is not enough memory to take swap away.
    pub memory_is_short: bool,
    /// Whether no file can grow.
    pub disk_is_full: bool,
    /// How long making a file takes, because its blocks are written.
    pub writing_takes: Duration,
    /// Installed memory.
    pub memory: u64,
    /// How long the node of a new volume is missing.
    pub node_delay: Duration,
    /// Whether there is ZFS.
    pub has_zfs: bool,
    /// illumos: what the kernel knows disks by, by name; two names with one are two paths.
    pub devids: BTreeMap<String, String>,
    /// At which changing command the process is killed that runs it: behind how many others that count, and when.
    kill: Option<(usize, Moment)>,
    /// How many there were that count.
    places: Places,
    /// What the files were like after the last changing command, when that matters to whom is to be killed.
    files_then: Option<u64>,
    /// What `zfs get guid` says instead of an answer.
    pub guid_refusal: Option<String>,
    /// Whether there is no server that could share anything.
    pub shares_nothing: bool,
    /// Whether nothing is mounted at the moment, because the program that would do it is killed before.
    mounts_nothing: bool,
    /// Linux: the units that systemd has made of the boot table, device by mount point, where it runs.
    units: Option<BTreeMap<String, String>>,
    /// How many changing commands were run.
    pub changes: usize,
    boots: u32,
    next_device: u32,
    next_guid: u64,
}

impl Storage {
    pub(super) fn new(system: System, root: Root) -> Self {
        let mut storage = Self {
            system,
            root,
            pools: BTreeMap::new(),
            exported: Vec::new(),
            resilver_looks: 0,
            damaged: BTreeSet::new(),
            suspended: false,
            datasets: BTreeMap::new(),
            shared: BTreeSet::new(),
            mounts: Vec::new(),
            swaps: Vec::new(),
            leaving: BTreeSet::new(),
            dump_device: None,
            nothing_to_import: 1,
            devices: BTreeMap::new(),
            loops: BTreeMap::new(),
            shares: BTreeSet::new(),
            away: BTreeSet::new(),
            mounts_elsewhere: None,
            server_block: 64 << 10,
            users: BTreeMap::new(),
            busy_in_passing: 0,
            held: BTreeSet::new(),
            memory_is_short: false,
            disk_is_full: false,
            writing_takes: Duration::ZERO,
            memory: 4 << 30,
            node_delay: Duration::from_millis(3),
            has_zfs: system == System::Illumos,
            devids: BTreeMap::new(),
            kill: None,
            places: Places::default(),
            files_then: None,
            guid_refusal: None,
            shares_nothing: false,
            mounts_nothing: false,
            units: None,
            changes: 0,
            boots: 0,
            next_device: 30,
            next_guid: 1000,
        };
        match system {
            System::Illumos => {
                storage.add_pool("rpool", 64 << 30);
                storage.add_mount("rpool", "/", "zfs", &["rw"]);
                storage.add_mount("swap", "/var/run", "tmpfs", &["xattr"]);
            }
            System::Linux => storage.add_mount("/dev/vda1", "/", "ext4", &["rw", "relatime"]),
        }
        storage
    }

    /// Adds a pool with its dataset, which is not mounted.
    pub fn add_pool(&mut self, name: &str, bytes: u64) {
        let guid = self.guid();
        self.pools.insert(name.to_owned(), Pool::given(name, guid, bytes));
        let dataset = FakeDataset::filesystem([("mountpoint", "none")]);
        self.datasets.insert(name.to_owned(), dataset);
    }

    /// Adds a partition, with its nodes and what tells what is on it.
    ///
    /// # Panics
    /// When the root cannot be written.
    pub fn add_device(&mut self, path: &str, bytes: u64, content: Option<&str>) {
        self.add_file(path, bytes);
        if let (System::Illumos, Some(name)) = (self.system, path.strip_prefix("/dev/dsk/")) {
            // Both nodes are of one device.
            let raw = self.root.locate(format!("/dev/rdsk/{name}"));
            fs::create_dir_all(raw.parent().expect("a node lies in a directory")).expect("the root can be written");
            let _ = fs::remove_file(&raw);
            std::os::unix::fs::symlink(format!("../dsk/{name}"), raw).expect("the root can be written");
        }
        match content {
            Some("swap") => self.write_swap_header(path, bytes),
            Some("ext4") => disk::write_at(&self.root.locate(path), 1024 + 56, &[0x53, 0xef]),
            Some("ufs") => disk::write_at(&self.root.locate(path), 8192 + 1372, b"\x54\x19\x01\x00"),
            Some(_) => disk::write_at(&self.root.locate(path), 512, b"something"),
            None => {}
        }
        self.devices.insert(path.to_owned(), Device { bytes, content: content.map(str::to_owned) });
    }

    /// Writes a row, as somebody would, behind those of the boot table.
    ///
    /// # Panics
    /// When the root cannot be written.
    pub fn add_row(&mut self, row: &str) {
        let path = self.root.locate(crate::boot_table::path(self.system));
        let table = fs::read_to_string(&path).expect("there is a boot table");
        fs::write(path, format!("{table}{row}")).expect("the root can be written");
    }

    /// Mounts something without a program.
    ///
    /// # Panics
    /// When the root cannot be written.
    pub fn add_mount(&mut self, device: &str, mount_point: &str, fstype: &str, options: &[&str]) {
        let mount_point = &self.resolved(mount_point);
        fs::create_dir_all(self.root.locate(mount_point)).expect("the root can be written");
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        self.push_mount(device, mount_point, fstype, options, None);
    }

    pub(super) fn push_mount(
        &mut self,
        device: &str,
        mount_point: &str,
        fstype: &str,
        options: Vec<String>,
        place: Option<(String, String)>,
    ) {
        self.next_device += 1;
        let place = place.or_else(|| Some((format!("0:{}", self.next_device), "/".to_owned())));
        // The kernel knows where the links lead.
        let mount_point = self.resolved(mount_point);
        let (device, fstype) = (device.to_owned(), fstype.to_owned());
        let mount = Mount { device, mount_point, fstype, options, place };
        self.cover(&mount);
        self.mounts.push(mount);
        self.show();
    }

    pub(super) fn resolved(&self, path: &str) -> String {
        self.root.resolve(path).map_or_else(|_| path.to_owned(), |path| path.display().to_string())
    }

    /// Unmounts the last mount at a place without a program.
    pub fn drop_mount(&mut self, mount_point: &str) {
        if let Some(at) = self.mounts.iter().rposition(|mount| mount.mount_point == mount_point) {
            let mount = self.mounts.remove(at);
            self.uncover(&mount);
            let device = mount.device;
            self.shared.remove(&device);
            if let Some(dataset) = self.datasets.get_mut(&device) {
                dataset.mounted = self.mounts.iter().any(|mount| mount.device == device);
            }
        }
        self.show();
    }

    /// What a test compares: device, mount point, type and options of each mount.
    #[must_use]
    pub fn mounted(&self) -> Vec<String> {
        let shown = |mount: &Mount| {
            format!("{} on {} {} ({})", mount.device, mount.mount_point, mount.fstype, mount.options.join(","))
        };
        self.mounts.iter().map(shown).collect()
    }

    /// Runs a program; none when it is not of this part of the machine.
    pub(super) fn run(&mut self, program: &str, args: &[&str]) -> Option<Completed> {
        if !is_change(program, args) {
            return self.answer(program, args);
        }
        let dies = self.dies_at(program, args);
        match dies {
            Some(Moment::Before) => killed(),
            Some(Moment::Within) => {
                self.half(program, args);
                self.show();
                killed()
            }
            Some(Moment::Prepared) => {
                self.prepare_given(program, args);
                killed()
            }
            Some(Moment::After) | None => {}
        }
        let answer = self.answer(program, args);
        self.changes += usize::from(answer.is_some());
        self.show();
        self.note_files();
        if dies.is_some() {
            killed();
        }
        answer
    }

    fn answer(&mut self, program: &str, args: &[&str]) -> Option<Completed> {
        Some(match (self.system, program) {
            (_, "/usr/sbin/zfs") if self.has_zfs => self.zfs(args),
            (_, "/usr/sbin/zpool") if self.has_zfs => self.zpool(args),
            (System::Illumos, "/usr/sbin/mount") => self.mount_illumos(args),
            (System::Linux, "/usr/bin/mount") => self.mount_linux(args),
            (System::Linux, "/usr/bin/systemctl") if args == ["daemon-reload"] && self.units.is_some() => {
                self.start_systemd();
                super::printed("")
            }
            (System::Illumos, "/usr/sbin/umount") | (System::Linux, "/usr/bin/umount") => self.umount(args),
            (_, "/usr/bin/ls") => self.ls(args),
            (System::Illumos, "/usr/sbin/fuser") => self.fuser(args),
            (System::Illumos, "/usr/bin/ps") => self.ps(args),
            (System::Illumos, "/usr/sbin/swap") => self.swap(args),
            (System::Illumos, "/usr/sbin/lofiadm") => self.lofiadm(args),
            (System::Illumos, "/usr/sbin/diskinfo") => self.diskinfo(args),
            (System::Illumos, "/usr/sbin/mkfile") => self.mkfile(args),
            (System::Illumos, "/usr/sbin/prtconf") => self.prtconf(args),
            (System::Illumos, "/usr/bin/pagesize") if args.is_empty() => super::printed("4096\n"),
            (System::Linux, "/usr/sbin/swapon") => self.swapon(args),
            (System::Linux, "/usr/sbin/swapoff") => self.swapoff(args),
            (System::Linux, "/usr/sbin/mkswap") => self.mkswap(args),
            (System::Linux, "/usr/bin/fallocate") => self.fallocate(args),
            _ => return None,
        })
    }
}

/// Whether a command changes the machine.
fn is_change(program: &str, args: &[&str]) -> bool {
    let program = program.rsplit('/').next().unwrap_or(program);
    match (program, args.first().copied().unwrap_or_default()) {
        ("zfs", verb) => {
            ["create", "set", "inherit", "mount", "share", "unmount", "snapshot", "clone", "destroy"].contains(&verb)
        }
        // A dry run, and a list of what could be imported.
        ("zpool", _) if args.contains(&"-n") => false,
        ("zpool", "import") => !args[1..].chunks(2).all(|pair| pair[0] == "-d"),
        ("zpool", verb) => !["status", "list", "get"].contains(&verb),
        ("swap", verb) => ["-a", "-d"].contains(&verb),
        ("systemctl", verb) => verb == "daemon-reload",
        (program, _) => ["mount", "umount", "mkfile", "fallocate", "mkswap", "swapon", "swapoff"].contains(&program),
    }
}
