//! What is mounted: illumos' `/etc/mnttab`, Linux' `/proc/self/mountinfo`.

use crate::{FileError, Host, System, files, gather};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// illumos' table (mnttab(5)): special, directory, type, options and time, with tabs between.
pub const MNTTAB: &str = "/etc/mnttab";
/// Linux' table (proc_pid_mountinfo(5)).
pub const MOUNTINFO: &str = "/proc/self/mountinfo";

/// Types of which a look waits for somebody else: a server, or an automounter.
const REMOTE: &[&str] = &["nfs", "nfs4", "autofs", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "lustre", "beegfs"];
/// One mounted file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What is mounted: a device, `server:/path`, a dataset, or a word for file systems without a device.
    pub device: String,
    /// Where.
    pub mount_point: String,
    /// The type, in the system's own word.
    pub fstype: String,
    /// The options in force, those of the mount before those of the file system.
    pub options: Vec<String>,
    /// Linux: which file system (`major:minor`), and which directory of it is seen; tells bind mounts apart.
    pub place: Option<(String, String)>,
}

/// Whether a look into a mounted file system may wait for somebody else. The root is looked at by everything, so it is no
/// question there.
#[must_use]
pub fn may_wait(mount: &Mount) -> bool {
    mount.mount_point != "/" && is_remote(&mount.fstype)
}

/// Whether a type of file systems is that of something that somebody else has, and may keep.
#[must_use]
pub fn is_remote(fstype: &str) -> bool {
    REMOTE.contains(&fstype) || fstype.starts_with("fuse.")
}

/// The table, in the order of mounting; a later entry covers an earlier one at the same mount point.
///
/// # Errors
/// [`FileError::Read`].
pub fn mounts(host: &Host) -> Result<Vec<Mount>, FileError> {
    let (path, parse): (_, fn(&str) -> Vec<Mount>) = match host.system() {
        System::Illumos => (MNTTAB, parse_mnttab),
        System::Linux => (MOUNTINFO, parse_mountinfo),
    };
    let mut mounts = parse(&files::read_text(&host.root, path)?.unwrap_or_default());
    if host.system() == System::Illumos {
        // A mount point may stand there as it was given, with links in it; Linux follows them itself.
        let seen = seen(&mounts);
        let waits = |path: &Path, _| path.to_str().and_then(|path| seen.get(path)).is_some_and(|mount| may_wait(mount));
        let resolved: Vec<String> = mounts.iter().map(|mount| host.root.follow(&mount.mount_point, waits)).collect();
        mounts.iter_mut().zip(resolved).for_each(|(mount, place)| mount.mount_point = place);
    }
    Ok(mounts)
}

/// What is seen at each mount point: the last one there.
pub(crate) fn seen(mounts: &[Mount]) -> BTreeMap<&str, &Mount> {
    gather::map(mounts.iter().map(|mount| (mount.mount_point.as_str(), mount)))
}

/// Takes `/etc/mnttab` apart; lines in another form are passed over.
#[must_use]
pub fn parse_mnttab(text: &str) -> Vec<Mount> {
    text.lines().filter_map(mnttab_line).collect()
}

fn mnttab_line(line: &str) -> Option<Mount> {
    let columns: Vec<&str> = line.split('\t').collect();
    let [device, mount_point, fstype, options, _time] = columns[..] else { return None };
    if !mount_point.starts_with('/') {
        return None;
    }
    Some(Mount {
        device: device.to_owned(),
        mount_point: mount_point.to_owned(),
        fstype: fstype.to_owned(),
        options: split_options(options),
        place: None,
    })
}

/// Takes `/proc/self/mountinfo` apart; lines in another form are passed over.
#[must_use]
pub fn parse_mountinfo(text: &str) -> Vec<Mount> {
    text.lines().filter_map(mountinfo_line).collect()
}

/// zfs-fuse mounts what it has as a subtype of fuse; it is ZFS all the same.
fn plain(fstype: &str) -> &str {
    if fstype == "fuse.zfs" { "zfs" } else { fstype }
}

fn mountinfo_line(line: &str) -> Option<Mount> {
    // Optional fields stand between the options of the mount and a lone hyphen.
    let (mount, filesystem) = line.split_once(" - ")?;
    let mount: Vec<&str> = mount.split(' ').collect();
    let [_id, _parent, number, root, mount_point, options, ..] = mount[..] else { return None };
    let mut filesystem = filesystem.split(' ');
    let (fstype, device) = (filesystem.next()?, filesystem.next()?);
    let mount_point = unescape(mount_point);
    if !mount_point.starts_with('/') {
        return None;
    }
    let mut all = split_options(options);
    for option in split_options(filesystem.next().unwrap_or_default()) {
        // Both parts say ro or rw; only one word of the two can be true for who uses the mount.
        match option.as_str() {
            "rw" => {}
            "ro" => {
                all.retain(|other| other != "rw" && other != "ro");
                all.insert(0, option);
            }
            _ => all.push(option),
        }
    }
    Some(Mount {
        device: unescape(device),
        mount_point,
        fstype: plain(&unescape(fstype)).to_owned(),
        options: all,
        place: Some((number.to_owned(), unescape(root))),
    })
}

/// Whether something of the type `asked` is shown as one of the type `shown`: what a program serves through FUSE has that before its
/// name, or has lost its name.
#[must_use]
pub fn is_type(asked: &str, shown: &str) -> bool {
    let through_fuse = shown.strip_prefix("fuse.") == Some(asked);
    asked == shown || through_fuse || (shown == "fuseblk" && ["ntfs", "ntfs-3g"].contains(&asked))
}

/// Whether a mount shows a file system as a whole, as one does that is none of a directory: `options` are those that are asked for.
/// Of some types, as of Btrfs and of those of servers, the part that is seen says nothing.
#[must_use]
pub fn is_whole(mount: &Mount, options: &[String]) -> bool {
    let Some((_, directory)) = &mount.place else { return true };
    let has_parts = ["btrfs", "bcachefs"].contains(&mount.fstype.as_str());
    let is_plain = mount.device.starts_with("/dev/") || ["tmpfs", "ramfs"].contains(&mount.fstype.as_str());
    let wants_part = options.iter().any(|option| option.to_ascii_lowercase().starts_with("x-mount.subdir"));
    directory == "/" || has_parts || !is_plain || wants_part
}

/// Options as they stand in one column; `-` and `defaults` say that there are none.
#[must_use]
pub fn split_options(column: &str) -> Vec<String> {
    let words = column.split(',').filter(|word| !word.is_empty() && *word != "-" && *word != "defaults");
    words.map(str::to_owned).collect()
}

/// Undoes the octal escapes of Linux' tables: `\040` is a space.
#[must_use]
pub fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|digits| digits.iter().all(|digit| (b'0'..=b'7').contains(digit)));
        let value = digits.map(|digits| digits.iter().fold(0_u32, |sum, digit| sum * 8 + u32::from(digit - b'0')));
        match value.and_then(|value| u8::try_from(value).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = &after[3..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Escapes what would end a column of Linux' tables, or begin a comment.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            ' ' | '\t' | '\n' | '\\' | '#' => escaped.push_str(&format!("\\{:03o}", u32::from(character))),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// Whether `path` lies below the directory `directory`, and is not the directory itself.
#[must_use]
pub fn is_below(path: &str, directory: &str) -> bool {
    let directory = directory.trim_end_matches('/');
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/') && rest.len() > 1)
}

/// The mount that holds `path`: of those whose mount point is `path` or above it the deepest, and of these the last.
#[must_use]
pub fn holding<'a>(mounts: &'a [Mount], path: &str) -> Option<&'a Mount> {
    let above = mounts.iter().filter(|mount| path == mount.mount_point || is_below(path, &mount.mount_point));
    above.max_by_key(|mount| mount.mount_point.trim_end_matches('/').len())
}

/// Linux: the file system and the directory of it that `path` is; what a bind mount of `path` must show.
#[must_use]
pub fn place_of(mounts: &[Mount], path: &str) -> Option<(String, String)> {
    let holding = holding(mounts, path)?;
    let (number, root) = holding.place.as_ref()?;
    let rest = path.strip_prefix(holding.mount_point.trim_end_matches('/'))?.trim_matches('/');
    let root = root.trim_end_matches('/');
    let directory = match (root, rest) {
        ("", "") => "/".to_owned(),
        (root, "") => root.to_owned(),
        (root, rest) => format!("{root}/{rest}"),
    };
    Some((number.clone(), directory))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn illumos_table() {
        let text = "rpool/ROOT/be\t/\tzfs\trw,dev=4410002\t1700000000\n\
                    swap\t/tmp\ttmpfs\txattr,dev=8980000,size=512m\t1700000001\n\
                    10.0.2.2:/srv/a b\t/mnt/share\tnfs\tro,vers=3,xattr,dev=8\t1700000002\nbroken line\n";
        let mounts = parse_mnttab(text);
        let seen: Vec<_> =
            mounts.iter().map(|m| (m.device.as_str(), m.mount_point.as_str(), m.fstype.as_str())).collect();
        assert_eq!(
            seen,
            [("rpool/ROOT/be", "/", "zfs"), ("swap", "/tmp", "tmpfs"), ("10.0.2.2:/srv/a b", "/mnt/share", "nfs")]
        );
        assert_eq!(mounts[1].options, ["xattr", "dev=8980000", "size=512m"]);
    }

    #[test]
    fn illumos_mount_points_are_where_their_links_lead() {
        let (_root, host, _machine) = crate::fake::Machine::start(System::Illumos);
        std::fs::create_dir_all(host.root.locate("/export/home")).unwrap();
        std::os::unix::fs::symlink("/export/home", host.root.locate("/home")).unwrap();
        std::fs::write(host.root.locate(MNTTAB), "swap\t/home/x\ttmpfs\txattr,dev=8980000\t1700000001\n").unwrap();
        assert_eq!(mounts(&host).unwrap()[0].mount_point, "/export/home/x");
    }

    #[test]
    fn linux_table() {
        let text = "26 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,errors=remount-ro\n\
                    65 26 7:0 / /mnt/a\\040b\\134c ro,nosuid - iso9660 /dev/loop0 ro\n\
                    66 26 254:0 /srv/x /mnt/bind rw master:2 propagate_from:1 - ext4 /dev/vda rw\n\
                    67 26 0:39 / /ro rw - tmpfs none ro,size=1024k\nno hyphen\n\
                    68 26 0:52 / /tank rw - fuse.zfs tank rw\n";
        let mounts = parse_mountinfo(text);
        assert_eq!(mounts.len(), 5);
        assert_eq!(mounts[4].fstype, "zfs");
        assert_eq!(mounts[1].mount_point, "/mnt/a b\\c");
        assert_eq!(mounts[1].options, ["ro", "nosuid"]);
        assert_eq!(mounts[2].place, Some(("254:0".to_owned(), "/srv/x".to_owned())));
        assert_eq!(mounts[3].options, ["ro", "size=1024k"], "the file system's ro is what counts");
        assert_eq!(place_of(&mounts, "/srv/x"), mounts[2].place);
        assert_eq!(place_of(&mounts, "/mnt/bind/y"), Some(("254:0".to_owned(), "/srv/x/y".to_owned())));
        assert_eq!(place_of(&mounts, "/"), Some(("254:0".to_owned(), "/".to_owned())));
    }

    #[test]
    fn types_by_other_names() {
        for (asked, shown, answer) in [
            ("ext4", "ext4", true),
            ("glusterfs", "fuse.glusterfs", true),
            ("fuse.sshfs", "fuse.sshfs", true),
            ("ntfs", "fuseblk", true),
            ("ntfs", "ntfs3", false),
            ("ext4", "fuseblk", false),
            ("ext4", "ext3", false),
        ] {
            assert_eq!(is_type(asked, shown), answer, "{asked} as {shown}");
        }
    }

    #[test]
    fn below_is_by_components() {
        for (path, directory, answer) in
            [("/a/b", "/a", true), ("/a/b", "/", true), ("/a", "/a", false), ("/ab", "/a", false), ("/", "/", false)]
        {
            assert_eq!(is_below(path, directory), answer, "{path} {directory}");
        }
    }

    proptest! {
        #[test]
        fn escapes_are_undone(text in "[ -~\t\n\\\\é]{0,30}") {
            let escaped = escape(&text);
            prop_assert!(!escaped.contains([' ', '\t', '\n']));
            prop_assert_eq!(unescape(&escaped), text);
        }
    }
}
