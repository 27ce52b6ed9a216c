//! Whether a dataset has the properties that are wanted.

use sysconfig_platform::storage::parse_size;
use sysconfig_platform::zfs::property::same_dataset_value;
use sysconfig_platform::zfs::{self, Properties};

/// The property in which stands which properties this plugin has set, so that one that leaves the configuration can be
/// given back.
pub(crate) const SET_BY_US: &str = "sysconfig:properties";
/// The value of [`sysconfig_platform::zfs::OWNER`] on what this plugin makes.
pub(crate) const OWNER_NAME: &str = "filesystem";
/// Properties of ours are not for others.
pub(crate) const RESERVED_PREFIX: &str = "sysconfig:";

/// Properties that can be chosen at creation only, zfsprops(7).
pub(crate) const AT_CREATION_ONLY: &[&str] =
    &["casesensitivity", "normalization", "utf8only", "encryption", "keyformat", "pbkdf2iters"];

/// Properties that the system computes, or that only volumes have.
pub(crate) const NOT_SETTABLE: &[&str] = &[
    "available",
    "clones",
    "compressratio",
    "createtxg",
    "creation",
    "defer_destroy",
    "encryptionroot",
    "filesystem_count",
    "guid",
    "keystatus",
    "logicalreferenced",
    "logicalused",
    "mounted",
    "name",
    "objsetid",
    "origin",
    "receive_resume_token",
    "redact_snaps",
    "refcompressratio",
    "referenced",
    "snapshot_count",
    "type",
    "used",
    "usedbychildren",
    "usedbydataset",
    "usedbyrefreservation",
    "usedbysnapshots",
    "userrefs",
    "volblocksize",
    "volsize",
    "written",
];

/// Properties in bytes, of which `none` is 0.
pub(crate) const SIZES: &[&str] =
    &["quota", "refquota", "reservation", "refreservation", "recordsize", "special_small_blocks"];
/// Counts, of which `none` is the largest number.
const COUNTS: &[&str] = &["filesystem_limit", "snapshot_limit"];

/// The value as it is handed to `zfs`: sizes as plain numbers, because not every form of them is taken there.
pub(crate) fn spelled(property: &str, value: &str) -> String {
    match parse_size(value).filter(|_| SIZES.contains(&property)) {
        Some(bytes) => bytes.to_string(),
        None => value.to_owned(),
    }
}

/// Whether a property has the wanted value, wherever it has it from.
pub(crate) fn is_so(present: &Properties, property: &str, wanted: &str) -> bool {
    let Some(present) = present.get(property) else { return false };
    let normal = |value: &str| -> String {
        match value {
            "none" if COUNTS.contains(&property) => u64::MAX.to_string(),
            value => spelled(property, value),
        }
    };
    // A property of a user's is not taken from the parent: then the wish is written down nowhere.
    let is_users = property.contains(':');
    same_dataset_value(property, &normal(wanted), &normal(&present.value)) && (!is_users || present.is_local())
}

/// Whether a dataset has a property from the one above when nobody has set it.
pub(crate) fn is_inherited(property: &str) -> bool {
    zfs::unset_word(property).is_none()
}

/// The list that stands in [`SET_BY_US`].
pub(crate) fn list<'a>(properties: impl IntoIterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = properties.into_iter().collect();
    names.sort_unstable();
    names.dedup();
    names.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sysconfig_platform::zfs::{Property, Source};

    #[test]
    fn values_as_zfs_reads_them_out() {
        for (property, wanted, value, source, answer) in [
            ("quota", "10 GiB", "10737418240", Source::Local, true),
            ("quota", "none", "0", Source::Default, true),
            ("quota", "10G", "0", Source::Default, false),
            ("recordsize", "128K", "131072", Source::Default, true),
            ("compression", "on", "on", Source::Inherited("tank".to_owned()), true),
            ("compression", "lz4", "on", Source::Local, false),
            ("compression", "gzip-6", "gzip", Source::Local, true),
            ("acltype", "posixacl", "posix", Source::Local, true),
            ("encryption", "on", "aes-256-gcm", Source::None, true),
            ("snapshot_limit", "none", "0", Source::Local, false),
            ("mountpoint", "/tank/a", "/tank/a", Source::Default, true),
            ("snapshot_limit", "none", "18446744073709551615", Source::Default, true),
            ("org:x", "1", "1", Source::Inherited("tank".to_owned()), false),
            ("org:x", "1", "1", Source::Local, true),
        ] {
            let property_value = Property { value: value.to_owned(), source };
            let present = [(property.to_owned(), property_value)].into();
            assert_eq!(is_so(&present, property, wanted), answer, "{property}={wanted} of {value}");
        }
        assert!(!is_so(&Properties::new(), "org:x", "1"));
    }
}
