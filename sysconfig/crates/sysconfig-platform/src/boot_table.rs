//! What is mounted and used as swap at boot: illumos' `/etc/vfstab`, Linux' `/etc/fstab`.
//!
//! The files belong to the administrator. They are edited row by row: rows that are not concerned, comments and
//! rows that cannot be read stay as they are, byte for byte.

mod edit;
mod line;
mod told;

pub use edit::{edit, set_row};
pub use line::Line;
pub use told::{Tells, is_untold, missing_devices, summary as telling, tell, tell_once, tell_or_later};

use crate::mount_table::{escape, split_options, unescape};
use crate::{FileError, Host, Rows, System, files};
use serde::{Deserialize, Serialize};
use std::fmt;

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
    /// The line of the table that it was read from.
    #[serde(default)]
    pub line: Line,
}

/// What a row is about: two rows about the same get in each other's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// What is mounted at this mount point.
    Mount(&'a str),
    /// This file or device as swap.
    Swap(&'a str),
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Mount(what) | Self::Swap(what)) = self;
        f.write_str(what)
    }
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
            line: Line::default(),
        }
    }

    /// What the row is about; nothing when it is neither swap nor mounted anywhere.
    #[must_use]
    pub fn subject(&self) -> Option<Subject<'_>> {
        match self.fstype.as_str() {
            "swap" => Some(Subject::Swap(&self.device)),
            _ => self.mount_point.as_deref().map(Subject::Mount),
        }
    }

    /// Whether it is mounted only when somebody comes: an option of systemd's, systemd.mount(5).
    #[must_use]
    pub fn is_automount(&self) -> bool {
        self.options.iter().any(|option| option == "x-systemd.automount")
    }

    /// Whether it is about `subject`: mount points are the same when they are the same place.
    fn is_about(&self, subject: Subject<'_>, place: &dyn Fn(&str) -> String) -> bool {
        match (self.subject(), subject) {
            (Some(Subject::Mount(mine)), Subject::Mount(other)) => mine == other || place(mine) == place(other),
            (mine, subject) => mine == Some(subject),
        }
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
            mount_point: given(mount_point).map(|point| without_slash(&point).to_owned()),
            fstype: (*fstype).to_owned(),
            fsck_pass: if *pass == "-" { 0 } else { pass.parse().ok()? },
            at_boot: match *at_boot {
                "yes" => true,
                "no" => false,
                _ => return None,
            },
            options: split_options(options),
            line: Line::default(),
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
            mount_point: (is_place && fstype != "swap").then(|| without_slash(&unescape(mount_point)).to_owned()),
            fstype,
            fsck_pass: rest.get(1).map_or(Some(0), |pass| pass.parse().ok())?,
            at_boot,
            options,
            line: Line::default(),
        })
    }

    /// The row as it was read, or else as [`Self::format`] writes it.
    fn as_written(&self, system: System) -> String {
        self.line.text().map(str::to_owned).unwrap_or_else(|| self.format(system))
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
    let lines: Vec<String> = Rows::parse(content).texts().collect();
    let row = |(at, line): (usize, &String)| {
        let row = BootRow::parse(system, line)?;
        Some(BootRow { line: Line::of(&lines, at), ..row })
    };
    lines.iter().enumerate().filter_map(row).collect()
}

/// A mount point without the slash that may stand at its end.
fn without_slash(point: &str) -> &str {
    match point.trim_end_matches('/') {
        "" => point,
        point => point,
    }
}

/// The rows of a table's text that are in no form that can be read, and no comments either. What the boot makes of them is not known.
#[must_use]
pub fn unreadable(system: System, content: &[u8]) -> Vec<String> {
    let is_odd = |line: &String| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#') && BootRow::parse(system, line).is_none()
    };
    Rows::parse(content).texts().filter(is_odd).collect()
}

/// Whether a row that cannot be read may be about what another one is to mount or use: it names the place, or the device.
#[must_use]
pub fn mentions(line: &str, subject: Subject<'_>, device: &str) -> bool {
    let (Subject::Mount(what) | Subject::Swap(what)) = subject;
    // The word for what has no device, and a directory that is shown twice, stand in many rows.
    let is_telling = device.starts_with("/dev/") || device.contains([':', '=']);
    let mut words = line.split([' ', '\t', '\r']).map(unescape);
    words.any(|word| without_slash(&word) == what || (is_telling && word == device))
}

/// The rows of the machine's table.
///
/// # Errors
/// [`FileError::Resolve`] and [`FileError::Read`].
pub fn rows(host: &Host) -> Result<Vec<BootRow>, FileError> {
    let content = files::read(&host.root, path(host.system()))?.unwrap_or_default();
    Ok(parse(host.system(), &content))
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
        let subjects: Vec<_> = rows.iter().filter_map(BootRow::subject).collect();
        let expected = [Subject::Mount("/devices"), Subject::Mount("/tmp"), Subject::Swap("/dev/zvol/dsk/rpool/swap1")];
        assert_eq!(subjects, expected, "six columns are no row");
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
        let with = edit(Illumos, VFSTAB.as_bytes(), Subject::Mount("/tmp/x"), Some(&row));
        assert_eq!(String::from_utf8(with.clone()).unwrap(), format!("{VFSTAB}tank/x\t-\t/tmp/x\tzfs\t-\tyes\t-\n"));
        assert_eq!(edit(Illumos, &with, Subject::Mount("/tmp/x"), None), VFSTAB.as_bytes());
        let bytes = b"\xff\xfe garbage \xe9\n/dev/sda1 /a ext4\t\tro   0 2 # mine\r\n/dev/sdb1 /b/c ext4 ro 0 2";
        let row = BootRow::parse(Linux, "/dev/sdc1 /b ext4 defaults 0 0").unwrap();
        let with = edit(Linux, bytes, Subject::Mount("/b"), Some(&row));
        let expected =
            b"\xff\xfe garbage \xe9\n/dev/sda1 /a ext4\t\tro   0 2 # mine\r\n/dev/sdc1\t/b\text4\tdefaults\t0\t0\n/dev/sdb1 /b/c ext4 ro 0 2";
        assert_eq!(with, expected, "the row stands before that of the mount below it");
        assert_eq!(edit(Linux, &with, Subject::Mount("/b"), None), bytes);
    }

    #[test]
    fn a_changed_row_stays_in_its_place() {
        let row = BootRow::parse(Illumos, "swap - /tmp tmpfs - yes size=1g").unwrap();
        let text = String::from_utf8(edit(Illumos, VFSTAB.as_bytes(), Subject::Mount("/tmp"), Some(&row))).unwrap();
        assert_eq!(text.lines().nth(2), Some("swap\t-\t/tmp\ttmpfs\t-\tyes\tsize=1g"));
        assert_eq!(text.lines().count(), VFSTAB.lines().count());
    }
    /// A file system may have the name of a swap area, and stay unmounted.
    #[test]
    fn a_row_about_something_else_of_the_name_stays() {
        let theirs = "/dev/sdb1 none ext4 noauto 0 0\n/dev/sdc1 /var/swap ext4 defaults 0 0\n";
        for name in ["/dev/sdb1", "/var/swap"] {
            let row = BootRow::swap(Linux, name, Vec::new());
            let with = edit(Linux, theirs.as_bytes(), Subject::Swap(name), Some(&row));
            assert_eq!(String::from_utf8(with.clone()).unwrap(), format!("{theirs}{name}\tnone\tswap\tsw\t0\t0\n"));
            assert_eq!(edit(Linux, &with, Subject::Swap(name), None), theirs.as_bytes());
        }
    }

    /// Boot would mount both, one over the other.
    #[test]
    fn a_row_of_the_same_place_is_one_however_it_is_written() {
        let (_root, host, _machine) = crate::fake::Machine::start(Linux);
        std::fs::create_dir_all(host.root.locate("/export/home")).unwrap();
        std::os::unix::fs::symlink("/export/home", host.root.locate("/home")).unwrap();
        let place = host.root.locate(path(Linux));
        let row = |text: &str| BootRow::parse(Linux, text).unwrap();
        let new = row("/dev/sdc1 /export/home/x ext4 ro 0 0");
        let about = Subject::Mount("/export/home/x");
        for theirs in ["/dev/sdb1 /export/home/x/ ext4 ro 0 0\n", "/dev/sdb1 /home/x ext4 ro 0 0\n"] {
            std::fs::write(&place, theirs).unwrap();
            assert!(set_row(&host, about, None, Some(&new)).unwrap_err().to_string().contains("not as it was"));
            let previous = row(theirs.trim_end());
            assert!(set_row(&host, about, Some(&previous), Some(&new)).unwrap().has_changed());
            assert_eq!(std::fs::read_to_string(&place).unwrap(), "/dev/sdc1\t/export/home/x\text4\tro\t0\t0\n");
        }
        for odd in ["/dev/sdb1 /export/home/x/ ext4 ro 0 x\n", "/dev/sdc1 none\n"] {
            std::fs::write(&place, odd).unwrap();
            let error = set_row(&host, about, None, Some(&new)).unwrap_err();
            assert!(error.to_string().contains("a row that cannot be read"), "{error}");
            assert_eq!(std::fs::read_to_string(&place).unwrap(), odd);
        }
        let other = "/dev/sdb1 /export/home/xy ext4 ro 0 x\n#/dev/sdc1 none\n";
        std::fs::write(&place, other).unwrap();
        assert!(set_row(&host, about, None, Some(&new)).unwrap().has_changed());
        assert_eq!(row("/dev/sdb1 / ext4 ro").mount_point.as_deref(), Some("/"));
    }

    #[test]
    fn a_row_that_is_not_as_planned_is_not_changed() {
        let (_root, host, _machine) = crate::fake::Machine::start(Linux);
        let row = |text: &str| BootRow::parse(Linux, text).unwrap();
        let (ours, new) = (row("/dev/sdb1 /a ext4 ro 0 0"), row("/dev/sdc1 /a ext4 ro 0 0"));
        let place = host.root.locate(path(Linux));
        let about = Subject::Mount("/a");
        for theirs in [
            "/dev/sdd1 /a ext4 ro 0 0\n",
            "/dev/sdb1 /a ext4 rw 0 0\n",
            "/dev/sdb1 /a ext4 ro 0 0\n/dev/sdb1 /a ext4 ro 0 0\n",
            "",
        ] {
            std::fs::write(&place, theirs).unwrap();
            let changed = set_row(&host, about, Some(&ours), Some(&new)).unwrap_err();
            assert!(changed.to_string().contains("not as it was"), "{changed}");
            if !theirs.is_empty() {
                set_row(&host, about, Some(&ours), None).unwrap_err();
                set_row(&host, about, None, Some(&new)).unwrap_err();
            }
            assert_eq!(std::fs::read_to_string(&place).unwrap(), theirs);
        }
        std::fs::write(&place, "/dev/sdb1   /a ext4 ro 0 0 # mine\n").unwrap();
        assert!(set_row(&host, about, Some(&ours), Some(&new)).unwrap().has_changed());
        assert!(!set_row(&host, about, Some(&ours), Some(&new)).unwrap().has_changed(), "an interrupted step");
        assert_eq!(std::fs::read_to_string(&place).unwrap(), "/dev/sdc1\t/a\text4\tro\t0\t0\n");
    }
}
