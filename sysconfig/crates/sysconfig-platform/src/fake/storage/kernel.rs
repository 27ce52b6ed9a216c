//! What the kernel shows of the machine, and what a reboot makes of it.

use super::Storage;
use crate::System;
use crate::mount_table::{Mount, escape};
use std::fs;

impl Storage {
    /// Forgets what a reboot forgets, and does what the boot does with the boot table.
    pub fn reboot(&mut self) {
        self.boots += 1;
        let kept = self.mounts.iter().position(|mount| mount.mount_point != "/" && mount.mount_point != "/var/run");
        for mount in self.mounts.split_off(kept.unwrap_or(self.mounts.len())).iter().rev() {
            self.uncover(mount);
        }
        self.swaps.clear();
        for dataset in self.datasets.values_mut() {
            dataset.mounted = false;
            dataset.has_key = false;
        }
        let names: Vec<String> = self.datasets.keys().cloned().collect();
        for name in names {
            self.mount_dataset(&name);
        }
        let path = self.root.locate(crate::boot_table::path(self.system));
        let content = fs::read(path).unwrap_or_default();
        for row in crate::boot_table::parse(self.system, &content) {
            if row.fstype == "swap" {
                self.use_swap(&row.device, -2);
            } else if let (true, Some(point)) = (row.at_boot, &row.mount_point) {
                self.boot_mount(&row, point);
            }
        }
        self.show();
    }

    /// Shows what a test has changed.
    pub fn refresh(&mut self) {
        self.show();
    }

    /// Writes what the kernel shows.
    pub(in super::super) fn show(&self) {
        let (path, text) = match self.system {
            System::Illumos => (crate::mount_table::MNTTAB, self.mounts.iter().map(mnttab_line).collect::<String>()),
            System::Linux => (
                crate::mount_table::MOUNTINFO,
                self.mounts.iter().enumerate().map(|(at, mount)| mountinfo_line(at, mount)).collect(),
            ),
        };
        self.write(path, &text);
        if self.system == System::Linux {
            self.write(crate::swap::PROC_SWAPS, &self.proc_swaps());
            self.write("/proc/sys/kernel/random/boot_id", &format!("{}\n", self.boots));
            self.write("/proc/meminfo", &format!("MemTotal: {} kB\n", self.memory / 1024));
        }
    }

    pub(super) fn write(&self, path: &str, text: &str) {
        let path = self.root.locate(path);
        // A test that is over takes its root away.
        let _ = path.parent().map(fs::create_dir_all);
        let _ = fs::write(path, text);
    }
}

fn mnttab_line(mount: &Mount) -> String {
    let options = if mount.options.is_empty() { "dev=8".to_owned() } else { mount.options.join(",") };
    format!("{}\t{}\t{}\t{options}\t1700000000\n", mount.device, mount.mount_point, mount.fstype)
}

fn mountinfo_line(at: usize, mount: &Mount) -> String {
    let (number, root) = mount.place.clone().unwrap_or_default();
    let options = if mount.options.is_empty() { "rw".to_owned() } else { mount.options.join(",") };
    let (device, fstype) = (escape(&mount.device), &mount.fstype);
    let (root, point) = (escape(&root), escape(&mount.mount_point));
    let mode = if mount.options.iter().any(|option| option == "ro") { "ro" } else { "rw" };
    format!("{} 1 {number} {root} {point} {options} - {fstype} {device} {mode}\n", at + 20)
}
