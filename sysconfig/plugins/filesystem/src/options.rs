//! Whether a mount has the options that are wanted.
//!
//! The tables of the systems show some options as they were given, some in another form, and some not at all. What they
//! show is believed where the words can be compared. Of the rest, the record and the boot table tell what was asked for, and the
//! record what was shown for that at the time: as long as the same is shown for the same mount, it is as it was asked for.

use std::collections::BTreeMap;
use sysconfig_platform::System;
use sysconfig_platform::mounting::is_for_boot_only;
use sysconfig_platform::storage::parse_size;

/// Options that Linux shows always, with their opposites, which it never shows (`show_mnt_opts` and `show_sb_opts` of the kernel).
/// Of illumos that is certain for the first only.
const FLAGS: &[(&str, &str)] = &[
    ("ro", "rw"),
    ("nosuid", "suid"),
    ("noexec", "exec"),
    ("nodev", "dev"),
    ("noatime", "atime"),
    ("nodiratime", "diratime"),
    ("sync", "async"),
    ("lazytime", "nolazytime"),
    ("nosetuid", "setuid"),
    ("nodevices", "devices"),
];

/// Types that cannot be written to whatever the options say.
const READ_ONLY: &[&str] = &["iso9660", "hsfs", "squashfs", "erofs"];

/// What is known of the past of a mount.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Past<'a> {
    /// The options with which it was last mounted.
    pub(crate) applied: Option<&'a [String]>,
    /// What the table has shown for them then, when it still is the same mount.
    pub(crate) shown: Option<&'a [String]>,
}

/// A mount as the table shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a> {
    pub(crate) system: System,
    pub(crate) fstype: &'a str,
    pub(crate) options: &'a [String],
    pub(crate) past: Past<'a>,
    /// Numbers of users and groups, by `uid=NAME` and the like.
    pub(crate) ids: &'a BTreeMap<String, u32>,
}

impl Shown<'_> {
    /// Whether it has what is `wanted`.
    pub(crate) fn has_all(&self, wanted: &[String]) -> bool {
        let wants_read_only = wanted.iter().any(|option| option == "ro") || READ_ONLY.contains(&self.fstype);
        (wants_read_only || !self.has("ro")) && wanted.iter().all(|option| self.is_so(option))
    }

    fn has(&self, option: &str) -> bool {
        self.options.iter().any(|other| other == option)
    }

    fn was_applied(&self, option: &str) -> bool {
        self.past.applied.is_some_and(|applied| applied.iter().any(|other| other == option))
    }

    /// Whether it has this one option.
    pub(crate) fn is_so(&self, option: &str) -> bool {
        if is_no_option(option) {
            return true;
        }
        if self.system == System::Linux && option == "strictatime" {
            return !self.has("noatime") && !self.has("relatime");
        }
        if let Some((off, _)) = FLAGS.iter().find(|(_, on)| *on == option) {
            return !self.has(off);
        }
        if FLAGS.iter().any(|(off, _)| *off == option) || (self.system == System::Linux && option == "relatime") {
            let is_certain = self.system == System::Linux || option == "ro";
            return self.has(option) || (!is_certain && self.was_applied(option));
        }
        match option.split_once('=') {
            Some((key, value)) => match value_of(self.options, key) {
                Some(shown) => self.is_value(option, key, value, shown),
                None => self.was_applied(option),
            },
            None => self.has(option) || self.was_applied(option),
        }
    }

    fn is_value(&self, option: &str, key: &str, wanted: &str, shown: &str) -> bool {
        let number = self.ids.get(option).is_some_and(|id| shown == id.to_string());
        let by_words = if number { Some(true) } else { is_same(self.fstype, key, wanted, shown) };
        if by_words == Some(true) || !self.was_applied(option) {
            return by_words == Some(true);
        }
        match self.past.shown {
            // Whatever it is called, it is what has come of it.
            Some(then) => value_of(then, key) == Some(shown),
            // Others may have mounted it anew, as the boot does; only what certainly is another value says so.
            None => by_words.is_none(),
        }
    }
}

/// Those of the `applied` options that are not `wanted` any longer and still in force.
pub(crate) fn left_over<'a>(
    system: System,
    applied: &'a [String],
    wanted: &'a [String],
    mounted: &'a [String],
) -> impl Iterator<Item = &'a String> {
    let key = |option: &'a String| option.split_once('=').map(|(key, _)| key);
    applied.iter().filter(move |option| {
        let is_wanted = match key(option) {
            // Whether the value is another one is told by what is wanted.
            Some(name) => wanted.iter().any(|other| key(other) == Some(name)),
            None => wanted.contains(option),
        };
        // What is so unless something else is said is in nobody's way.
        let is_usual = FLAGS.iter().any(|(_, on)| on == option) || option.as_str() == "relatime";
        if is_wanted || is_no_option(option) || is_usual {
            return false;
        }
        if system != System::Linux {
            return true;
        }
        match option.as_str() {
            "strictatime" => !mounted.iter().any(|other| ["relatime", "noatime"].contains(&other.as_str())),
            // Linux shows what is switched off.
            option if FLAGS.iter().any(|(off, _)| *off == option) => mounted.iter().any(|other| other == option),
            _ => true,
        }
    })
}

/// What Linux has to be told so that it gives up an option: when nothing is said of access times, it keeps what it has
/// (mount(2), `MS_REMOUNT`).
pub(crate) fn opposite(option: &str) -> Option<&'static str> {
    match option {
        "noatime" | "strictatime" => Some("relatime"),
        _ => FLAGS.iter().find(|(off, _)| *off == option).map(|(_, on)| *on),
    }
}

/// Whether an option says nothing about what is mounted.
fn is_no_option(option: &str) -> bool {
    is_for_boot_only(option) || ["loop", "bind"].contains(&option)
}

fn value_of<'a>(mounted: &'a [String], key: &str) -> Option<&'a str> {
    let named = |key: &str| mounted.iter().find_map(|option| option.strip_prefix(key)?.strip_prefix('='));
    // NFS has two names for its version.
    named(key).or_else(|| if key == "nfsvers" { named("vers") } else { None })
}

/// Whether a shown value is the wanted one, as far as the words tell; what the kernel may have made of what it was given, they do not.
fn is_same(fstype: &str, key: &str, wanted: &str, shown: &str) -> Option<bool> {
    if wanted == shown {
        return Some(true);
    }
    if key == "mode" || key.ends_with("mask") {
        let octal = |text| u32::from_str_radix(text, 8).ok();
        return octal(wanted).map(|wanted| Some(wanted) == octal(shown));
    }
    match key {
        // The version that was agreed on is more exact.
        "vers" | "nfsvers" => Some(shown.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('.'))),
        "subvol" => Some(wanted.trim_start_matches('/') == shown.trim_start_matches('/')),
        // Without a level, the usual one is shown.
        "compress" | "compress-force" => shown.strip_prefix(wanted).filter(|rest| rest.starts_with(':')).map(|_| true),
        // Elsewhere a letter may mean something else than a unit, and servers cut down what they are asked for.
        "size" | "nr_inodes" | "nr_blocks" if fstype == "tmpfs" => {
            let (wanted, shown) = (parse_size(wanted)?, parse_size(shown)?);
            // Memory is had by whole pages, which have one of these sizes.
            let pages = |page: u64| key == "size" && wanted.div_ceil(page).checked_mul(page) == Some(shown);
            Some(wanted == shown || [4096, 8192, 16384, 65536].into_iter().any(pages))
        }
        key if key.contains("size") => match (parse_size(wanted), parse_size(shown)) {
            (Some(wanted), Some(shown)) if wanted == shown => Some(true),
            _ => None,
        },
        _ => None,
    }
}

/// Whether two rows ask for the same options, in whatever order.
pub(crate) fn are_equal(one: &[String], other: &[String]) -> bool {
    let sorted = |options: &[String]| {
        let mut options = options.to_vec();
        options.sort();
        options
    };
    sorted(one) == sorted(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sysconfig_platform::mount_table::split_options as split;

    #[test]
    fn options_as_the_systems_show_them() {
        use System::{Illumos, Linux};
        for (system, fstype, wanted, mounted, applied, answer) in [
            (Linux, "tmpfs", "size=512m,mode=0755", "rw,nosuid,size=524288k,mode=755", None, true),
            (Linux, "tmpfs", "size=1g", "rw,size=524288k", None, false),
            (Linux, "tmpfs", "size=1g", "rw,size=524288k", Some("size=1g"), false),
            (Linux, "tmpfs", "size=1g", "rw", None, false),
            (Linux, "tmpfs", "size=50%", "rw,size=8225932k", None, false),
            (Linux, "tmpfs", "size=50%", "rw,size=8225932k", Some("size=50%"), true),
            (Linux, "tmpfs", "size=1000000,nr_inodes=1m", "rw,size=980k,nr_inodes=1048576", None, true),
            (Linux, "tmpfs", "nr_inodes=1m", "rw,nr_inodes=1000000", None, false),
            (Linux, "tmpfs", "mode=0700", "rw,mode=755", Some("mode=0700"), false),
            (Linux, "tmpfs", "uid=alice", "rw,uid=1000", None, true),
            (Linux, "vfat", "uid=bob", "rw,uid=1000", None, false),
            (Linux, "vfat", "uid=from-ldap", "rw,uid=70000", Some("uid=from-ldap"), true),
            (Linux, "ext4", "", "ro,relatime", None, false),
            (Linux, "ext4", "rw", "ro", None, false),
            (Linux, "iso9660", "", "ro", None, true),
            (Linux, "ext4", "ro", "rw", Some("ro"), false),
            (Linux, "ext4", "nosuid", "rw", Some("nosuid"), false),
            (Linux, "ext4", "noatime", "rw,relatime", Some("noatime"), false),
            (Linux, "ext4", "strictatime", "rw,relatime", Some("strictatime"), false),
            (Linux, "ext4", "strictatime", "rw", None, true),
            (Linux, "ext4", "relatime", "rw,noatime", Some("relatime"), false),
            (Linux, "ext4", "defaults,nofail,x-systemd.automount,loop", "rw", None, true),
            (Linux, "ext4", "data=ordered", "rw", Some("data=ordered"), true),
            (Linux, "ext4", "suid", "rw,nosuid", None, false),
            (Linux, "btrfs", "compress=zstd,subvol=@home", "rw,compress=zstd:3,subvol=/@home", None, true),
            (Linux, "btrfs", "compress=zstd", "rw,compress=lzo", None, false),
            (Linux, "btrfs", "subvol=@home", "rw,subvol=/@", Some("subvol=@home"), false),
            (Linux, "nfs", "vers=4", "rw,vers=4.2", None, true),
            (Linux, "nfs", "nfsvers=4.1", "rw,vers=4.1", None, true),
            (Linux, "nfs", "vers=4.1", "rw,vers=4.2", Some("vers=4.1"), false),
            (Linux, "nfs", "vers=4", "rw,vers=3", Some("vers=4"), false),
            (Linux, "nfs", "rsize=1048576,timeo=7", "rw,rsize=65536,timeo=600", Some("rsize=1048576,timeo=7"), true),
            (Linux, "nfs", "rsize=1048576", "rw,rsize=65536", None, false),
            (Illumos, "tmpfs", "size=512m", "xattr,size=512m,dev=8", None, true),
            (Illumos, "nfs", "nosuid,vers=3", "ro,vers=3", None, false),
            (Illumos, "nfs", "nosuid,vers=3", "nodevices,nosetuid,vers=3", Some("nosuid,vers=3"), true),
            (Illumos, "nfs", "vers=4", "vers=3", Some("vers=4"), false),
        ] {
            let (options, applied) = (split(mounted), applied.map(split));
            let ids = [("uid=alice".to_owned(), 1000), ("uid=bob".to_owned(), 1001)].into();
            let past = Past { applied: applied.as_deref(), shown: None };
            let shown = Shown { system, fstype, options: &options, past, ids: &ids };
            assert_eq!(shown.has_all(&split(wanted)), answer, "{system} {fstype} {wanted:?} of {mounted:?}");
        }
    }

    #[test]
    fn what_was_shown_for_the_same_tells_whether_it_has_changed() {
        for (wanted, then, now, answer) in [
            ("rsize=1048576", "rw,rsize=65536", "rw,rsize=65536", true),
            ("rsize=1048576", "rw,rsize=65536", "rw,rsize=4096", false),
            ("size=50%", "rw,size=8225932k", "rw,size=4k", false),
            ("size=1g", "rw,size=1048576k", "rw,size=1024k", false),
            // What nobody has asked for is not compared.
            ("rsize=1048576", "rw,rsize=65536,timeo=6", "rw,rsize=65536,timeo=7", true),
        ] {
            let (wanted, then, now) = (split(wanted), split(then), split(now));
            let past = Past { applied: Some(&wanted), shown: Some(&then) };
            let shown = Shown { system: System::Linux, fstype: "tmpfs", options: &now, past, ids: &BTreeMap::new() };
            assert_eq!(shown.has_all(&wanted), answer, "{wanted:?} {now:?}");
        }
    }

    #[test]
    fn what_is_no_longer_wanted_is_in_force_when_it_is_shown() {
        for (applied, wanted, mounted, answer) in [
            ("noatime,nosuid", "", "rw,noatime", "noatime"),
            ("noatime,relatime,suid", "", "rw,relatime", ""),
            ("strictatime", "", "rw", "strictatime"),
            ("strictatime", "", "rw,relatime", ""),
            ("size=1g,acl", "size=2g", "rw,size=1048576k", "acl"),
            ("noatime", "relatime", "rw,noatime", "noatime"),
        ] {
            let (applied, wanted, mounted) = (split(applied), split(wanted), split(mounted));
            let left: Vec<_> = left_over(System::Linux, &applied, &wanted, &mounted).cloned().collect();
            assert_eq!(left, split(answer), "{applied:?} {wanted:?} {mounted:?}");
        }
        assert_eq!((opposite("noatime"), opposite("ro"), opposite("acl")), (Some("relatime"), Some("rw"), None));
    }
}
