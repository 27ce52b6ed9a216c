//! `swap`, `mkfile`, `prtconf`; `swapon`, `swapoff`, `mkswap`, `fallocate`.

use super::super::{failed, printed};
use super::disk::write_at;
use super::{Storage, UsedSwap};
use crate::mount_table::{escape, holding};
use crate::swap::header_size;
use crate::{CommandError, Completed, Invocation, System};
use std::fs;
use std::io::Read;
use std::os::unix::fs::FileExt;

const PAGE: u64 = 4096;

impl Storage {
    /// The size of what could be swap; none when it cannot.
    fn swap_size(&self, path: &str) -> Option<u64> {
        let volume = ["/dev/zvol/dsk/", "/dev/zvol/"].iter().find_map(|prefix| path.strip_prefix(prefix));
        if let Some(dataset) = volume.and_then(|name| self.datasets.get(name)) {
            return dataset.local("volsize").and_then(|size| size.parse().ok());
        }
        if let Some(device) = self.devices.get(path) {
            return Some(device.bytes);
        }
        let metadata = fs::metadata(self.root.locate(path)).ok().filter(fs::Metadata::is_file)?;
        Some(metadata.len())
    }

    pub(super) fn use_swap(&mut self, path: &str, priority: i32) -> bool {
        let volume = path.strip_prefix("/dev/zvol/dsk/").or_else(|| path.strip_prefix("/dev/zvol/"));
        let is_locked = volume.is_some_and(|name| self.is_locked(name));
        match self.swap_size(path) {
            Some(bytes) if bytes > PAGE && !is_locked => {
                self.swaps.push(UsedSwap { path: path.to_owned(), bytes, priority });
                let node = self.root.locate(path);
                // Pages go behind the first one, and stay there when it is no longer in use.
                if fs::metadata(&node).is_ok_and(|node| node.len() > 2 * PAGE) {
                    write_at(&node, PAGE, b"a page of somebody's memory");
                }
                if let (System::Illumos, Some(device)) = (self.system, self.devices.get_mut(path)) {
                    // Pages are written over whatever was there.
                    device.content = device.content.as_ref().map(|_| "swap".to_owned());
                }
                true
            }
            _ => false,
        }
    }

    pub(super) fn swap(&mut self, args: &[&str]) -> Completed {
        match args {
            ["-l"] if self.swaps.is_empty() => failed(1, "No swap devices configured\n"),
            ["-l"] => {
                let line = |area: &UsedSwap| {
                    let device = if area.path.starts_with("/dev/") { "228,1" } else { "-" };
                    let blocks = (area.bytes / 512).saturating_sub(8);
                    let leaving = if self.leaving.contains(&area.path) { " INDEL" } else { "" };
                    format!("{:<20} {device:>6} {:>8} {blocks:>8} {blocks:>8}{leaving}\n", area.path, 8)
                };
                let lines: String = self.swaps.iter().map(line).collect();
                printed(format!("swapfile             dev    swaplo   blocks     free\n{lines}"))
            }
            ["-a", path] if !path.starts_with('/') => failed(1, format!("swap: {path}: path must be absolute\n")),
            // What is on its way out stays when it is added again.
            ["-a", path] if self.leaving.remove(*path) => printed(""),
            ["-a", path] if self.dump_device.as_deref() == Some(path) => {
                failed(1, format!("swap: {path}: is used as the dump device\n"))
            }
            ["-a", path] if self.swaps.iter().any(|area| area.path == *path) => {
                failed(2, format!("swap: {path}: Overlapping swap files are not allowed\n"))
            }
            ["-a", path] => {
                let exists = self.root.exists(path).is_ok_and(|exists| exists);
                let on_zfs = !path.starts_with("/dev/")
                    && holding(&self.mounts, path).is_some_and(|mount| mount.fstype == "zfs");
                match exists && !on_zfs && self.use_swap(path, 0) {
                    true => printed(""),
                    false => failed(22, format!("swap: \"{path}\" is not valid for swapping\n")),
                }
            }
            ["-d", path] if !self.swaps.iter().any(|area| area.path == *path) => {
                failed(1, format!("swap: \"{path}\": not in use\n"))
            }
            ["-d", path] => self.stop_swap(path, 12, &format!("swap: {path}: Not enough space\n")),
            _ => failed(
                1,
                "Usage: swap -l[-hk]\n       swap -s[-hk]\n       swap -d <file> [low]\n       swap -a <file>\n",
            ),
        }
    }

    fn stop_swap(&mut self, path: &str, code: i32, refusal: &str) -> Completed {
        if self.memory_is_short {
            return failed(code, refusal);
        }
        self.swaps.retain(|area| area.path != path);
        self.leaving.remove(path);
        printed("")
    }

    pub(super) fn prtconf(&self, args: &[&str]) -> Completed {
        match args {
            ["-m"] => printed(format!("{}\n", self.memory >> 20)),
            ["-v"] => printed(self.devids.iter().map(node).collect::<String>()),
            _ => failed(1, "usage: prtconf [ -V | -F | -m | -x | -bpv ]\n"),
        }
    }

    /// The end of a program that makes a file for longer than it may; half of the file is there.
    pub(in super::super) fn give_up(&mut self, invocation: &Invocation) -> Result<(), CommandError> {
        let makes_file = ["/usr/sbin/mkfile", "/usr/bin/fallocate"].contains(&invocation.program.as_str());
        if !makes_file || invocation.deadline >= self.writing_takes {
            return Ok(());
        }
        let args: Vec<&str> = invocation.args.iter().map(String::as_str).collect();
        self.half(&invocation.program, &args);
        let (command, deadline) = (invocation.to_string(), invocation.deadline);
        Err(CommandError::Deadline { command, deadline, tail: String::new() })
    }

    pub(super) fn mkfile(&mut self, args: &[&str]) -> Completed {
        let [size, path] = args else { return failed(2, "Usage: mkfile [-nv] <size>[g|k|b|m] <name1>\n") };
        self.make_file(size, path)
    }

    pub(super) fn fallocate(&mut self, args: &[&str]) -> Completed {
        let ["--posix", "--length", size, path] = args else {
            return failed(1, "fallocate: no length argument specified\n");
        };
        self.make_file(size, path)
    }

    /// Makes a file with a hole, which tells the same size.
    fn make_file(&mut self, size: &str, path: &str) -> Completed {
        let made = fs::File::create(self.root.locate(path));
        if self.disk_is_full {
            return failed(1, format!("{path}: No space left on device\n"));
        }
        match (size.parse(), made) {
            (Ok(size), Ok(file)) if file.set_len(size).is_ok() => printed(""),
            _ => failed(1, format!("{path}: No such file or directory\n")),
        }
    }

    pub(super) fn write_swap_header(&self, path: &str, bytes: u64) {
        let last = u32::try_from(bytes / PAGE).unwrap_or(u32::MAX).saturating_sub(1);
        let file = fs::OpenOptions::new().write(true).open(self.root.locate(path)).expect("the root can be written");
        for (at, part) in
            [(1024, 1_u32.to_ne_bytes().as_slice()), (1028, &last.to_ne_bytes()), (PAGE - 10, b"SWAPSPACE2")]
        {
            file.write_all_at(part, at).expect("the root can be written");
        }
    }

    pub(super) fn mkswap(&mut self, args: &[&str]) -> Completed {
        let (path, uuid, label) = match args {
            [path] => (path, None, ""),
            ["-U", uuid, path] => (path, Some(*uuid), ""),
            ["-U", uuid, "-L", label, path] => (path, Some(*uuid), *label),
            _ => return failed(1, "Usage: mkswap [options] device [size]\n"),
        };
        if self.swaps.iter().any(|area| area.path == *path) {
            return failed(1, format!("mkswap: error: {path} is mounted; will not make swapspace\n"));
        }
        let Some(bytes) = self.swap_size(path) else {
            return failed(1, format!("mkswap: cannot open {path}: No such file or directory\n"));
        };
        if bytes < 10 * PAGE {
            return failed(1, "mkswap: error: swap area needs to be at least 40 KiB\n");
        }
        self.write_swap_header(path, bytes);
        let digits: String = uuid.unwrap_or_default().chars().filter(|digit| *digit != '-').collect();
        let number = u128::from_str_radix(&digits, 16).unwrap_or_else(|_| u128::from(self.guid()) << 64);
        write_at(&self.root.locate(path), 1036, &number.to_be_bytes());
        write_at(&self.root.locate(path), 1052, label.as_bytes());
        if let Some(device) = self.devices.get_mut(*path) {
            device.content = Some("swap".to_owned());
        }
        printed(format!("Setting up swapspace version 1, size = {bytes} bytes\n"))
    }

    pub(super) fn swapon(&mut self, args: &[&str]) -> Completed {
        let (priority, path) = match args {
            [path] => (-2, *path),
            ["-p", priority, path] => match priority.parse::<i32>() {
                Ok(priority) if (0..=32767).contains(&priority) => (priority, *path),
                _ => return failed(1, "swapon: failed to parse priority\n"),
            },
            _ => return failed(1, "swapon: bad usage\n"),
        };
        if self.swaps.iter().any(|area| area.path == path) {
            return failed(255, format!("swapon: {path}: swapon failed: Device or resource busy\n"));
        }
        let mut start = Vec::new();
        let read = fs::File::open(self.root.locate(path)).map(|file| file.take(65536).read_to_end(&mut start));
        if read.is_err() || header_size(&start).is_none() {
            return failed(255, format!("swapon: {path}: read swap header failed\n"));
        }
        let used = self.use_swap(path, priority);
        if used { printed("") } else { failed(255, format!("swapon: {path}: swapon failed: Invalid argument\n")) }
    }

    pub(super) fn swapoff(&mut self, args: &[&str]) -> Completed {
        let [path] = args else { return failed(1, "swapoff: bad usage\n") };
        // The kernel knows it by any of its names.
        let is_it = |area: &&UsedSwap| self.resolved(&area.path) == self.resolved(path);
        let Some(used) = self.swaps.iter().find(is_it).map(|area| area.path.clone()) else {
            return failed(4, format!("swapoff: {path}: swapoff failed: Invalid argument\n"));
        };
        self.stop_swap(&used, 2, &format!("swapoff: {path}: swapoff failed: Cannot allocate memory\n"))
    }

    pub(super) fn proc_swaps(&self) -> String {
        debug_assert_eq!(self.system, System::Linux);
        let line = |area: &UsedSwap| {
            let kind = if area.path.starts_with("/dev/") { "partition" } else { "file" };
            let size = (area.bytes - PAGE) / 1024;
            format!("{} {kind}\t\t{size}\t\t0\t\t{}\n", escape(&area.path), area.priority)
        };
        let lines: String = self.swaps.iter().map(line).collect();
        format!("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n{lines}")
    }
}

/// A disk as `prtconf -v` prints it.
fn node((disk, devid): (&String, &String)) -> String {
    format!(
        "        sd, instance #0\n            Hardware properties:\n                name='devid' type=string items=1\n                    \
         value='{devid}'\n            Device Minor Nodes:\n                dev=(86,0)\n                    \
         dev_path=/pci@0,0/sd@0,0:a\n                        spectype=blk type=minor\n                        \
         dev_link=/dev/dsk/{disk}s0\n"
    )
}
