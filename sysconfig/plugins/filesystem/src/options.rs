//! Whether a mount has the options that are wanted.
//!
//! The tables of the systems show some options as they were given, some in another form, and some not at all. What they
//! show is believed; of what they do not show, the record and the boot table tell.

use sysconfig_platform::System;
use sysconfig_platform::mounting::is_for_boot_only;
use sysconfig_platform::storage::parse_size;

/// Options that switch something off, and their opposites. Linux shows the former always and the latter never; of
/// illumos that is certain for the first only.
const FLAGS: &[(&str, &str)] = &[
    ("ro", "rw"),
    ("nosuid", "suid"),
    ("noexec", "exec"),
    ("nodev", "dev"),
    ("nosetuid", "setuid"),
    ("nodevices", "devices"),
];

/// Types that cannot be written to whatever the options say.
const READ_ONLY: &[&str] = &["iso9660", "hsfs", "squashfs", "erofs"];

/// Whether `mounted` has what is `wanted`; `applied` are the options with which it was last mounted, as far as known.
pub(crate) fn are_so(
    system: System,
    fstype: &str,
    wanted: &[String],
    mounted: &[String],
    applied: Option<&[String]>,
) -> bool {
    let has = |option: &str| mounted.iter().any(|other| other == option);
    let was_applied = |option: &str| applied.is_some_and(|applied| applied.iter().any(|other| other == option));
    let wants_read_only = wanted.iter().any(|option| option == "ro") || READ_ONLY.contains(&fstype);
    if has("ro") && !wants_read_only {
        return false;
    }
    let is_so = |option: &String| {
        if is_for_boot_only(option) || option == "loop" || option == "bind" {
            return true;
        }
        if let Some((off, _)) = FLAGS.iter().find(|(_, on)| on == option) {
            return !has(off);
        }
        if FLAGS.iter().any(|(off, _)| off == option) {
            let is_certain = system == System::Linux || option == "ro";
            return has(option) || (!is_certain && was_applied(option));
        }
        match option.split_once('=') {
            Some((key, value)) => match shown(mounted, key) {
                Some(shown) => is_same(key, value, shown) || (value.contains('%') && was_applied(option)),
                None => was_applied(option),
            },
            None => has(option) || was_applied(option),
        }
    };
    wanted.iter().all(is_so)
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
        let is_no_option = is_for_boot_only(option) || ["loop", "bind"].contains(&option.as_str());
        if is_wanted || is_no_option || FLAGS.iter().any(|(_, on)| on == option) {
            return false;
        }
        // Linux shows what is switched off.
        let is_shown = system == System::Linux && FLAGS.iter().any(|(off, _)| off == option);
        !is_shown || mounted.contains(option)
    })
}

fn shown<'a>(mounted: &'a [String], key: &str) -> Option<&'a str> {
    mounted.iter().find_map(|option| option.strip_prefix(key)?.strip_prefix('='))
}

fn is_same(key: &str, wanted: &str, shown: &str) -> bool {
    if wanted == shown {
        return true;
    }
    if key == "mode" || key.ends_with("mask") {
        let octal = |text| u32::from_str_radix(text, 8).ok();
        return octal(wanted).is_some() && octal(wanted) == octal(shown);
    }
    // Elsewhere than here a letter may mean something else than a unit.
    let is_size = key.contains("size") || key == "nr_blocks";
    is_size && parse_size(wanted).is_some() && parse_size(wanted) == parse_size(shown)
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

    #[test]
    fn options_as_the_systems_show_them() {
        use System::{Illumos, Linux};
        for (system, fstype, wanted, mounted, applied, answer) in [
            (Linux, "tmpfs", "size=512m,mode=0755", "rw,nosuid,size=524288k,mode=755", None, true),
            (Linux, "tmpfs", "size=1g", "rw,size=524288k", None, false),
            (Linux, "tmpfs", "size=1g", "rw", None, false),
            (Linux, "tmpfs", "size=50%", "rw,size=8225932k", None, false),
            (Linux, "tmpfs", "size=50%", "rw,size=8225932k", Some("size=50%"), true),
            (Linux, "ext4", "", "ro,relatime", None, false),
            (Linux, "ext4", "rw", "ro", None, false),
            (Linux, "iso9660", "", "ro", None, true),
            (Linux, "ext4", "ro", "rw", Some("ro"), false),
            (Linux, "ext4", "nosuid", "rw", Some("nosuid"), false),
            (Linux, "ext4", "defaults,nofail,x-systemd.automount,loop", "rw", None, true),
            (Linux, "ext4", "data=ordered", "rw", Some("data=ordered"), true),
            (Linux, "ext4", "suid", "rw,nosuid", None, false),
            (Illumos, "tmpfs", "size=512m", "xattr,size=512m,dev=8", None, true),
            (Illumos, "nfs", "nosuid,vers=3", "ro,vers=3", None, false),
            (Illumos, "nfs", "nosuid,vers=3", "nodevices,nosetuid,vers=3", Some("nosuid,vers=3"), true),
            (Illumos, "nfs", "vers=4", "vers=3", Some("vers=4"), false),
        ] {
            let split = sysconfig_platform::mount_table::split_options;
            let applied = applied.map(split);
            let found = are_so(system, fstype, &split(wanted), &split(mounted), applied.as_deref());
            assert_eq!(found, answer, "{system} {fstype} {wanted:?} of {mounted:?}");
        }
    }
}
