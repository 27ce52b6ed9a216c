//! What is mounted and used as swap at boot: illumos' `/etc/vfstab`, Linux' `/etc/fstab`.
//!
//! The files belong to the administrator. They are edited row by row: rows that are not concerned, comments and
//! rows that cannot be read stay as they are, byte for byte.

use crate::mount_table::{escape, is_below, split_options, unescape};
use crate::{FileError, Host, Rows, System, files};
use serde::{Deserialize, Serialize};

/// One row that can be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootRow {
    /// What is mounted or used.
    pub device: String,
    /// illumos: the raw device, which is what is checked.
    pub raw_device: Option<String>,
    /// Where; none for swap.
    pub mount_point: Option<String>,
    /// The type; `swap` for swap.
    pub fstype: String,
    /// In which pass it is checked; 0 for never.
    pub fsck_pass: u8,
    /// Whether it is mounted at boot. For illumos' swap that is `no`, because `swapadd` uses it anyway.
    pub at_boot: bool,
    /// Options, without those that say whether it is mounted at boot.
    pub options: Vec<String>,
}

impl BootRow {
    /// A row for swap as each system writes it.
    #[must_use]
    pub fn swap(system: System, device: &str, options: Vec<String>) -> Self {
        Self {
            device: device.to_owned(),
            raw_device: None,
            mount_point: None,
            fstype: "swap".to_owned(),
            fsck_pass: 0,
            at_boot: system == System::Linux,
            options,
        }
    }

    /// What the row is about: two rows about the same get in each other's way.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.mount_point.as_deref().unwrap_or(&self.device)
    }

    /// Reads a row; `None` for comments, blank lines, and what is in another form.
    #[must_use]
    pub fn parse(system: System, line: &str) -> Option<Self> {
        let line = line.trim_end_matches('\r');
        if line.trim_start().starts_with('#') {
            return None;
        }
        let columns: Vec<&str> = line.split([' ', '\t']).filter(|column| !column.is_empty()).collect();
        match system {
            System::Illumos => Self::from_vfstab(&columns),
            System::Linux => Self::from_fstab(&columns),
        }
    }

    fn from_vfstab(columns: &[&str]) -> Option<Self> {
        let [device, raw, mount_point, fstype, pass, at_boot, options] = columns else { return None };
        let given = |column: &str| (column != "-").then(|| column.to_owned());
        Some(Self {
            device: (*device).to_owned(),
            raw_device: given(raw),
            mount_point: given(mount_point),
            fstype: (*fstype).to_owned(),
            fsck_pass: if *pass == "-" { 0 } else { pass.parse().ok()? },
            at_boot: match *at_boot {
                "yes" => true,
                "no" => false,
                _ => return None,
            },
            options: split_options(options),
        })
    }

    fn from_fstab(columns: &[&str]) -> Option<Self> {
        // The last two columns may be missing, fstab(5), and what follows a sixth is a comment to all that read it.
        let [device, mount_point, fstype, options, rest @ ..] = columns else { return None };
        let fstype = unescape(fstype);
        let mut options: Vec<String> = split_options(&unescape(options));
        let at_boot = !options.iter().any(|option| option == "noauto");
        options.retain(|option| option != "noauto" && option != "auto");
        if fstype == "swap" {
            options.retain(|option| option != "sw");
        }
        let is_place = mount_point.starts_with('/');
        Some(Self {
            device: unescape(device),
            raw_device: None,
            mount_point: (is_place && fstype != "swap").then(|| unescape(mount_point)),
            fstype,
            fsck_pass: rest.get(1).map_or(Some(0), |pass| pass.parse().ok())?,
            at_boot,
            options,
        })
    }

    /// Writes the row.
    #[must_use]
    pub fn format(&self, system: System) -> String {
        match system {
            System::Illumos => self.to_vfstab(),
            System::Linux => self.to_fstab(),
        }
    }

    fn to_vfstab(&self) -> String {
        let or_hyphen = |text: Option<&str>| text.unwrap_or("-").to_owned();
        let pass = if self.fsck_pass == 0 { "-".to_owned() } else { self.fsck_pass.to_string() };
        let options = if self.options.is_empty() { "-".to_owned() } else { self.options.join(",") };
        [
            self.device.clone(),
            or_hyphen(self.raw_device.as_deref()),
            or_hyphen(self.mount_point.as_deref()),
            self.fstype.clone(),
            pass,
            if self.at_boot { "yes" } else { "no" }.to_owned(),
            options,
        ]
        .join("\t")
    }

    fn to_fstab(&self) -> String {
        let mut options = self.options.clone();
        if !self.at_boot {
            options.push("noauto".to_owned());
        }
        if options.is_empty() {
            options.push(if self.fstype == "swap" { "sw" } else { "defaults" }.to_owned());
        }
        [
            escape(&self.device),
            self.mount_point.as_deref().map_or_else(|| "none".to_owned(), escape),
            escape(&self.fstype),
            escape(&options.join(",")),
            "0".to_owned(),
            self.fsck_pass.to_string(),
        ]
        .join("\t")
    }
}

/// Where the system keeps the table.
#[must_use]
pub fn path(system: System) -> &'static str {
    match system {
        System::Illumos => "/etc/vfstab",
        System::Linux => "/etc/fstab",
    }
}

/// The rows of a table's text.
#[must_use]
pub fn parse(system: System, content: &[u8]) -> Vec<BootRow> {
    Rows::parse(content).texts().filter_map(|line| BootRow::parse(system, &line)).collect()
}

/// The rows of the machine's table.
///
/// # Errors
/// [`FileError::Resolve`] and [`FileError::Read`].
pub fn rows(host: &Host) -> Result<Vec<BootRow>, FileError> {
    let content = files::read(&host.root, path(host.system))?.unwrap_or_default();
    Ok(parse(host.system, &content))
}

/// The table with one row about `subject` instead of those that are there; without a new one they are taken out. A
/// row that is new goes before the first whose mount point lies below its own: boot goes from top to bottom.
#[must_use]
pub fn edit(system: System, content: &[u8], subject: &str, row: Option<&BootRow>) -> Vec<u8> {
    let parse = |line: &str| BootRow::parse(system, line);
    let mut rows = Rows::parse(content);
    let new: Vec<String> = row.map(|row| row.format(system)).into_iter().collect();
    let below = |line: &str| {
        let mount_point = parse(line).and_then(|row| row.mount_point);
        mount_point.is_some_and(|point| is_below(&point, subject))
    };
    rows.replace_before(|line| parse(line).is_some_and(|row| row.subject() == subject), &new, below);
    rows.into_bytes()
}

/// Edits the machine's table as [`edit`] does, and keeps a copy of what it was at first.
///
/// # Errors
/// See [`files::replace`].
pub fn set_row(host: &Host, subject: &str, row: Option<&BootRow>) -> Result<files::Written, FileError> {
    let path = path(host.system);
    let content = files::read(&host.root, path)?.unwrap_or_default();
    let edited = edit(host.system, &content, subject, row);
    if edited == content {
        return Ok(files::Written::AlreadySo);
    }
    files::back_up_once(&host.root, path)?;
    files::replace(&host.root, path, &edited)
}

#[cfg(test)]
mod tests {
    use super::*;
    use System::{Illumos, Linux};

    const VFSTAB: &str = "#device\t\tdevice\t\tmount\t\tFS\tfsck\tmount\tmount\n/devices\t-\t/devices\tdevfs\t-\tno\t-\n\
                          swap                       - /tmp           tmpfs - yes size=512m\n\
                          /dev/zvol/dsk/rpool/swap1  - -              swap  - no  -\n/dev/fd - /dev/fd fd - no\n";

    #[test]
    fn vfstab_rows_of_every_kind() {
        let rows = parse(Illumos, VFSTAB.as_bytes());
        let subjects: Vec<_> = rows.iter().map(BootRow::subject).collect();
        assert_eq!(subjects, ["/devices", "/tmp", "/dev/zvol/dsk/rpool/swap1"], "six columns are no row");
        assert_eq!(rows[1].options, ["size=512m"]);
        assert_eq!(rows[2], BootRow::swap(Illumos, "/dev/zvol/dsk/rpool/swap1", Vec::new()));
        assert_eq!(rows[2].format(Illumos), "/dev/zvol/dsk/rpool/swap1\t-\t-\tswap\t-\tno\t-");
    }

    #[test]
    fn fstab_rows_of_every_kind() {
        let text = "UUID=1-2 / ext4 errors=remount-ro 0 1\n/dev/sdb1\t/mnt/a\\040b vfat noauto,ro\n\
                    /swap none swap sw,pri=5 0 0\ntmpfs /tmp tmpfs defaults 0 x\n";
        let rows = parse(Linux, text.as_bytes());
        assert_eq!(rows.len(), 3, "a pass that is no number makes no row");
        assert_eq!(rows[1].mount_point.as_deref(), Some("/mnt/a b"));
        assert!(!rows[1].at_boot);
        assert_eq!(rows[1].format(Linux), "/dev/sdb1\t/mnt/a\\040b\tvfat\tro,noauto\t0\t0");
        assert_eq!(rows[2], BootRow::swap(Linux, "/swap", vec!["pri=5".to_owned()]));
        assert_eq!(BootRow::swap(Linux, "/s", Vec::new()).format(Linux), "/s\tnone\tswap\tsw\t0\t0");
    }

    #[test]
    fn other_rows_stay_byte_for_byte() {
        let row = BootRow::parse(Illumos, "tank/x - /tmp/x zfs - yes -").unwrap();
        let with = edit(Illumos, VFSTAB.as_bytes(), "/tmp/x", Some(&row));
        assert_eq!(String::from_utf8(with.clone()).unwrap(), format!("{VFSTAB}tank/x\t-\t/tmp/x\tzfs\t-\tyes\t-\n"));
        assert_eq!(edit(Illumos, &with, "/tmp/x", None), VFSTAB.as_bytes());
        let bytes = b"\xff\xfe garbage \xe9\n/dev/sda1 /a ext4\t\tro   0 2 # mine\r\n/dev/sdb1 /b/c ext4 ro 0 2";
        let row = BootRow::parse(Linux, "/dev/sdc1 /b ext4 defaults 0 0").unwrap();
        let with = edit(Linux, bytes, "/b", Some(&row));
        let expected =
            b"\xff\xfe garbage \xe9\n/dev/sda1 /a ext4\t\tro   0 2 # mine\r\n/dev/sdc1\t/b\text4\tdefaults\t0\t0\n/dev/sdb1 /b/c ext4 ro 0 2";
        assert_eq!(with, expected, "the row stands before that of the mount below it");
        assert_eq!(edit(Linux, &with, "/b", None), bytes);
    }

    #[test]
    fn a_changed_row_stays_in_its_place() {
        let row = BootRow::parse(Illumos, "swap - /tmp tmpfs - yes size=1g").unwrap();
        let text = String::from_utf8(edit(Illumos, VFSTAB.as_bytes(), "/tmp", Some(&row))).unwrap();
        assert_eq!(text.lines().nth(2), Some("swap\t-\t/tmp\ttmpfs\t-\tyes\tsize=1g"));
        assert_eq!(text.lines().count(), VFSTAB.lines().count());
    }
}
