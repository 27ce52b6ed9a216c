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
        self.shared.clear();
        for dataset in self.datasets.values_mut() {
            dataset.mounted = false;
            dataset.has_key = false;
        }
        if self.units.is_some() {
            self.start_systemd();
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

    /// Makes systemd the machine's init, or lets it read the boot table again.
    ///
    /// # Panics
    /// When the root cannot be written.
    pub fn start_systemd(&mut self) {
        fs::create_dir_all(self.root.locate("/run/systemd/system")).expect("the root can be written");
        let content = fs::read(self.root.locate(crate::boot_table::path(self.system))).unwrap_or_default();
        let rows = crate::boot_table::parse(self.system, &content);
        self.units = Some(rows.into_iter().filter_map(|row| Some((row.mount_point?, row.device))).collect());
    }

    /// systemd ends at once what is mounted at the place of a unit whose device is not there, whatever was mounted.
    pub(super) fn end_by_systemd(&mut self, point: &str) {
        let device = self.units.as_ref().and_then(|units| units.get(point));
        if device.is_some_and(|device| device.starts_with("/dev/") && self.root.exists(device).is_ok_and(|is| !is)) {
            self.drop_mount(point);
        }
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
