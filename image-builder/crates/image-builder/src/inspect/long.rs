//! One file as a line of `ls -l`, and as JSON.

use image_steps::put_name;
use image_tree::{AclEntry, Node, NodeKind, format_acl};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use zfs_image::reader::{File, FileSystem, ReadError};

/// The letters of `ls -l` for type and permissions.
pub(crate) fn mode_text(mode: u64) -> String {
    let kind = match mode & 0o170_000 {
        0o040_000 => 'd',
        0o100_000 => '-',
        0o120_000 => 'l',
        0o020_000 => 'c',
        0o060_000 => 'b',
        0o010_000 => 'p',
        0o140_000 => 's',
        _ => '?',
    };
    let mut text = String::from(kind);
    // Set-id and sticky bits stand in the place of `x`, in capitals where there is no `x`.
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, false) => letter.to_ascii_uppercase(),
            (true, true) => letter,
        });
    }
    text
}

/// A time as `2025-01-01 00:00:00`, in UTC.
pub(crate) fn time_text(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    // Years that begin in March have the leap day at their end; eras of 400 years all have the same length.
    let days = days.saturating_add(719_468);
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// A name for people: whatever could change the terminal is escaped.
pub(crate) fn shown(name: &[u8]) -> String {
    let mut text = String::new();
    for chunk in name.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || character == '\\' {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// A file with what is beside its attributes.
pub(crate) struct Long<'a> {
    name: Cow<'a, [u8]>,
    /// In a pool; files of archives have none.
    object: Option<u64>,
    mode: u64,
    links: u64,
    uid: u64,
    gid: u64,
    size: u64,
    mtime: (i64, u32),
    /// Major and minor number of a device.
    device: Option<(u64, u64)>,
    /// Where a symbolic link leads.
    target: Option<Vec<u8>>,
    /// Its access control list, unless that says no more than the mode.
    acl: Result<Option<Arc<[AclEntry]>>, ReadError>,
    /// The names of its extended attributes, with their bytes. What is wrong with them, `verify` tells.
    xattrs: Result<BTreeMap<Vec<u8>, u64>, ReadError>,
}

impl<'a> Long<'a> {
    pub(crate) fn read(files: &FileSystem<'_>, name: &'a [u8], file: &File) -> Result<Self, ReadError> {
        let znode = &file.znode;
        Ok(Self {
            name: name.into(),
            object: Some(file.object),
            mode: znode.mode,
            links: znode.links,
            uid: znode.uid,
            gid: znode.gid,
            size: znode.size,
            mtime: (znode.mtime.secs, znode.mtime.nanos),
            device: znode.rdev.map(|device| (device >> 32, device & 0xffff_ffff)),
            target: if file.is_symlink() { Some(files.read_link(file)?) } else { None },
            acl: file.acl(),
            xattrs: files.xattr_sizes(file),
        })
    }

    /// What is in a tree. A directory has no size there.
    pub(crate) fn of_node(name: Vec<u8>, node: &Node, links: u64) -> Self {
        let (metadata, mut size, mut device, mut target) = (&node.metadata, 0, None, None);
        let kind = match &node.kind {
            NodeKind::Directory => 0o040_000,
            NodeKind::Fifo => 0o010_000,
            NodeKind::Regular(content) => {
                size = content.len();
                0o100_000
            }
            NodeKind::Symlink(to) => {
                size = to.len() as u64;
                target = Some(to.to_vec());
                0o120_000
            }
            NodeKind::CharDevice { major, minor } => {
                device = Some((u64::from(*major), u64::from(*minor)));
                0o020_000
            }
            NodeKind::BlockDevice { major, minor } => {
                device = Some((u64::from(*major), u64::from(*minor)));
                0o060_000
            }
        };
        Self {
            name: name.into(),
            object: None,
            mode: kind | u64::from(metadata.mode),
            links,
            uid: metadata.uid.into(),
            gid: metadata.gid.into(),
            size,
            mtime: (metadata.mtime.secs, metadata.mtime.nanos),
            device,
            target,
            acl: Ok(metadata.acl.clone()),
            xattrs: Ok(metadata.xattrs.iter().map(|(name, value)| (name.clone(), value.len() as u64)).collect()),
        }
    }

    /// What stands behind the mode, as illumos' `ls -@` has it: attributes hide a list.
    fn mark(&self) -> char {
        if !matches!(&self.xattrs, Ok(xattrs) if xattrs.is_empty()) {
            '@'
        } else if matches!(self.acl, Ok(None)) {
            ' '
        } else {
            '+'
        }
    }

    /// A line of `ls -l`.
    pub(crate) fn line(&self) -> String {
        let size = match self.device {
            Some((major, minor)) => format!("{major}, {minor}"),
            None => self.size.to_string(),
        };
        let mut line = format!(
            "{}{}{:>3} {:>5} {:>5} {size:>12} {} {}",
            mode_text(self.mode),
            self.mark(),
            self.links,
            self.uid,
            self.gid,
            time_text(self.mtime.0),
            shown(&self.name)
        );
        if let Some(target) = &self.target {
            line.push_str(" -> ");
            line.push_str(&shown(target));
        }
        line
    }

    /// The same for machines.
    pub(crate) fn value(&self) -> Value {
        let mut value = Map::new();
        put_name(&mut value, "path", &self.name);
        if let Some(target) = &self.target {
            put_name(&mut value, "target", target);
        }
        let mut put = |key: &str, one: Value| value.insert(key.to_owned(), one);
        if let Some(object) = self.object {
            put("object", json!(object));
        }
        put("mode", json!(format!("{:06o}", self.mode)));
        put("links", json!(self.links));
        put("uid", json!(self.uid));
        put("gid", json!(self.gid));
        put("size", json!(self.size));
        put("mtime", json!({ "secs": self.mtime.0, "nanos": self.mtime.1 }));
        if let Ok(Some(acl)) = &self.acl {
            put("acl", json!(format_acl(acl)));
        }
        if let Some((major, minor)) = self.device {
            put("device", json!({ "major": major, "minor": minor }));
        }
        if let Some(xattrs) = self.xattrs.as_ref().ok().filter(|xattrs| !xattrs.is_empty()) {
            put("xattrs", xattrs.iter().map(|(name, bytes)| xattr_value(name, *bytes)).collect());
        }
        Value::Object(value)
    }
}

fn xattr_value(name: &[u8], bytes: u64) -> Value {
    let mut value = Map::new();
    put_name(&mut value, "name", name);
    value.insert("bytes".to_owned(), json!(bytes));
    Value::Object(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_read_as_ls_writes_them() {
        for (mode, expected) in [
            (0o100_644, "-rw-r--r--"),
            (0o040_755, "drwxr-xr-x"),
            (0o041_777, "drwxrwxrwt"),
            (0o104_555, "-r-sr-xr-x"),
            (0o106_644, "-rwSr-Sr--"),
            (0o120_777, "lrwxrwxrwx"),
            (0o020_600, "crw-------"),
            (0o010_000, "p---------"),
        ] {
            assert_eq!(mode_text(mode), expected);
        }
    }

    #[test]
    fn times_are_dates() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00"),
            (-1, "1969-12-31 23:59:59"),
            (1_735_689_600, "2025-01-01 00:00:00"),
            (951_827_696, "2000-02-29 12:34:56"),
            (4_107_542_399, "2100-02-28 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(time_text(seconds), expected);
        }
        // Damaged images have any time.
        for seconds in [i64::MIN, i64::MAX] {
            assert!(!time_text(seconds).is_empty());
        }
    }

    #[test]
    fn names_cannot_change_the_terminal() {
        assert_eq!(shown(b"plain \xc3\xa9"), "plain \u{e9}");
        assert_eq!(shown(b"a\x1b[31mb\n\\\xff"), r"a\u{1b}[31mb\n\\\xff");
    }
}
