//! The native properties of file systems and pools.

use super::{PropertyError, WrongKeyword};

/// A keyword and the number that stands for it.
pub type Keyword = (&'static str, u64);

/// What values a property has.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// One of some words.
    Keywords(&'static [Keyword]),
    /// A number of bytes, with a unit or without; `none` is this number, if there is one.
    Bytes {
        /// What `none` means.
        none: Option<u64>,
        /// The smallest value.
        min: u64,
        /// The largest value.
        max: u64,
        /// Whether only powers of two are allowed that are no smaller than a sector, and 0 where `min` allows it.
        power_of_two: bool,
    },
    /// Any text that this function does not refuse.
    Text(fn(&str) -> Result<(), &'static str>),
}

impl Kind {
    /// The keyword that stands for a number.
    #[must_use]
    pub fn keyword(&self, number: u64) -> Option<&'static str> {
        match self {
            Self::Keywords(words) => words.iter().find(|(_, value)| *value == number).map(|(word, _)| *word),
            Self::Bytes { none, .. } if *none == Some(number) => Some("none"),
            _ => None,
        }
    }
}

/// Where the value of a property is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// In the property ZAP only.
    Zap,
    /// In the property ZAP, and as `dd_quota` in the DSL directory.
    Quota,
    /// In the property ZAP, and as `dd_reserved` in the DSL directory, which its parents have to account for.
    Reservation,
    /// In the property ZAP; the directory's used bytes have to account for what the dataset does not use of it.
    ReferenceReservation,
    /// In the property ZAP of the pool, as the number of the dataset's object.
    BootDataset,
    /// In the pool's configuration.
    Config,
    /// Nowhere: the value is the only one that an image can have.
    Fixed,
    /// ZFS computes it.
    ReadOnly,
    /// An image cannot have it, for this reason.
    Refused(&'static str),
}

/// A native property.
#[derive(Debug, Clone, Copy)]
pub struct Property {
    /// The name.
    pub name: &'static str,
    /// Another name that ZFS accepts.
    pub short: Option<&'static str>,
    /// What values it has.
    pub kind: Kind,
    /// Whether children inherit it.
    pub inherited: bool,
    /// Where it is kept.
    pub storage: Storage,
    /// Words that ZFS takes, and that no image can have.
    pub beyond: &'static [&'static str],
}

const SWITCH: &[Keyword] = &[("off", 0), ("on", 1)];

/// `enum zio_checksum`.
const CHECKSUM: &[Keyword] = &[("on", 1), ("off", 2), ("fletcher2", 6), ("fletcher4", 7), ("sha256", 8)];

/// `enum zio_compress`.
const COMPRESSION: &[Keyword] = &[
    ("on", 1),
    ("off", 2),
    ("lzjb", 3),
    ("gzip", 10),
    ("gzip-1", 5),
    ("gzip-2", 6),
    ("gzip-3", 7),
    ("gzip-4", 8),
    ("gzip-5", 9),
    ("gzip-6", 10),
    ("gzip-7", 11),
    ("gzip-8", 12),
    ("gzip-9", 13),
    ("zle", 14),
    ("lz4", 15),
];

const DEDUP: &[&str] =
    &["on", "verify", "sha256", "sha256,verify", "sha512", "sha512,verify", "skein", "skein,verify", "edonr,verify"];

const ENCRYPTION: &[&str] =
    &["on", "aes-128-ccm", "aes-192-ccm", "aes-256-ccm", "aes-128-gcm", "aes-192-gcm", "aes-256-gcm"];

const ACL_MODE: &[Keyword] = &[("discard", 0), ("groupmask", 2), ("passthrough", 3), ("restricted", 4)];
const ACL_INHERIT: &[Keyword] =
    &[("discard", 0), ("noallow", 1), ("restricted", 4), ("passthrough", 3), ("secure", 4), ("passthrough-x", 5)];
const CACHE: &[Keyword] = &[("none", 0), ("metadata", 1), ("all", 2)];

const NO_LIMIT: Kind = Kind::Bytes { none: Some(0), min: 0, max: u64::MAX >> 1, power_of_two: false };

const fn inherited(name: &'static str, kind: Kind) -> Property {
    Property { name, short: None, kind, inherited: true, storage: Storage::Zap, beyond: &[] }
}

const fn local(name: &'static str, kind: Kind, storage: Storage) -> Property {
    Property { name, short: None, kind, inherited: false, storage, beyond: &[] }
}

const fn read_only(name: &'static str) -> Property {
    local(name, Kind::Text(any), Storage::ReadOnly)
}

const fn short(mut property: Property, short: &'static str) -> Property {
    property.short = Some(short);
    property
}

const fn only(name: &'static str, words: &'static [Keyword]) -> Property {
    local(name, Kind::Keywords(words), Storage::Fixed)
}

/// The property, with the words that ZFS takes and that are not written: what they ask for is another format of the
/// dataset, or is there on a running system only.
const fn beyond(mut property: Property, words: &'static [&'static str]) -> Property {
    property.beyond = words;
    property
}

const VOLUME: Storage = Storage::Refused("it belongs to volumes");
const ENCRYPTED: Storage = Storage::Refused("encrypted datasets cannot be written");

static DATASET: &[Property] = &[
    inherited("aclinherit", Kind::Keywords(ACL_INHERIT)),
    inherited("aclmode", Kind::Keywords(ACL_MODE)),
    inherited("atime", Kind::Keywords(SWITCH)),
    local("canmount", Kind::Keywords(&[("off", 0), ("on", 1), ("noauto", 2)]), Storage::Zap),
    beyond(only("casesensitivity", &[("sensitive", 0)]), &["insensitive", "mixed"]),
    beyond(inherited("checksum", Kind::Keywords(CHECKSUM)), &["sha512", "skein", "edonr", "noparity"]),
    short(inherited("compression", Kind::Keywords(COMPRESSION)), "compress"),
    inherited("copies", Kind::Keywords(&[("1", 1), ("2", 2), ("3", 3)])),
    beyond(local("dedup", Kind::Keywords(&[("off", 2)]), Storage::Zap), DEDUP),
    inherited("devices", Kind::Keywords(SWITCH)),
    // The boot loader reads the first 512 bytes of a dnode only, and the writer writes no others.
    beyond(only("dnodesize", &[("legacy", 0)]), &["auto", "1k", "2k", "4k", "8k", "16k"]),
    beyond(only("encryption", &[("off", 2)]), ENCRYPTION),
    inherited("exec", Kind::Keywords(SWITCH)),
    local("filesystem_limit", Kind::Text(any), Storage::Refused("the counters that it needs are kept by the kernel")),
    local("keyformat", Kind::Text(any), ENCRYPTED),
    local("keylocation", Kind::Text(any), ENCRYPTED),
    inherited("logbias", Kind::Keywords(&[("latency", 0), ("throughput", 1)])),
    inherited("mlslabel", Kind::Text(mls_label)),
    inherited("mountpoint", Kind::Text(mountpoint)),
    inherited("nbmand", Kind::Keywords(SWITCH)),
    beyond(only("normalization", &[("none", 0)]), &["formC", "formD", "formKC", "formKD"]),
    inherited("primarycache", Kind::Keywords(CACHE)),
    local("quota", NO_LIMIT, Storage::Quota),
    short(inherited("readonly", Kind::Keywords(SWITCH)), "rdonly"),
    short(inherited("recordsize", Kind::Bytes { none: None, min: 512, max: 1 << 20, power_of_two: true }), "recsize"),
    inherited("redundant_metadata", Kind::Keywords(&[("all", 0), ("most", 1)])),
    local("refquota", NO_LIMIT, Storage::Zap),
    short(local("refreservation", NO_LIMIT, Storage::ReferenceReservation), "refreserv"),
    short(local("reservation", NO_LIMIT, Storage::Reservation), "reserv"),
    inherited("secondarycache", Kind::Keywords(CACHE)),
    inherited("setuid", Kind::Keywords(SWITCH)),
    inherited("sharenfs", Kind::Text(any)),
    inherited("sharesmb", Kind::Text(any)),
    inherited("snapdir", Kind::Keywords(&[("hidden", 0), ("visible", 1)])),
    local("snapshot_limit", Kind::Text(any), Storage::Refused("the counters that it needs are kept by the kernel")),
    inherited("special_small_blocks", Kind::Bytes { none: None, min: 0, max: 1 << 20, power_of_two: true }),
    inherited("sync", Kind::Keywords(&[("standard", 0), ("always", 1), ("disabled", 2)])),
    beyond(only("utf8only", &[("off", 0)]), &["on"]),
    beyond(only("version", &[("5", 5), ("current", 5)]), &["1", "2", "3", "4"]),
    short(local("volblocksize", Kind::Text(any), VOLUME), "volblock"),
    local("volsize", Kind::Text(any), VOLUME),
    inherited("vscan", Kind::Keywords(SWITCH)),
    inherited("xattr", Kind::Keywords(SWITCH)),
    inherited("zoned", Kind::Keywords(SWITCH)),
    read_only("available"),
    read_only("clones"),
    read_only("compressratio"),
    read_only("createtxg"),
    read_only("creation"),
    read_only("defer_destroy"),
    read_only("encryptionroot"),
    read_only("filesystem_count"),
    read_only("guid"),
    read_only("keystatus"),
    read_only("logicalreferenced"),
    read_only("logicalused"),
    read_only("mounted"),
    read_only("objsetid"),
    read_only("origin"),
    read_only("receive_resume_token"),
    read_only("refcompressratio"),
    read_only("referenced"),
    read_only("snapshot_count"),
    read_only("type"),
    read_only("used"),
    read_only("usedbychildren"),
    read_only("usedbydataset"),
    read_only("usedbyrefreservation"),
    read_only("usedbysnapshots"),
    read_only("userrefs"),
    read_only("written"),
];

static POOL: &[Property] = &[
    local("altroot", Kind::Text(any), Storage::Refused("it holds for one import and is not stored")),
    local("autoexpand", Kind::Keywords(SWITCH), Storage::Zap),
    short(local("autoreplace", Kind::Keywords(SWITCH), Storage::Zap), "replace"),
    local("autotrim", Kind::Keywords(SWITCH), Storage::Zap),
    local("bootfs", Kind::Text(dataset_name), Storage::BootDataset),
    local("bootsize", Kind::Bytes { none: None, min: 1 << 20, max: 1 << 40, power_of_two: false }, Storage::Zap),
    local("cachefile", Kind::Text(any), Storage::Refused("it holds for one import and is not stored")),
    local("comment", Kind::Text(comment), Storage::Config),
    local("dedupditto", Kind::Text(any), Storage::Refused("deduplicated blocks cannot be written")),
    local("delegation", Kind::Keywords(SWITCH), Storage::Zap),
    local("failmode", Kind::Keywords(&[("wait", 0), ("continue", 1), ("panic", 2)]), Storage::Zap),
    short(local("listsnapshots", Kind::Keywords(SWITCH), Storage::Zap), "listsnaps"),
    beyond(local("multihost", Kind::Keywords(&[("off", 0)]), Storage::Zap), &["on"]),
    only("version", &[("5000", 5000)]),
    read_only("allocated"),
    read_only("ashift"),
    read_only("capacity"),
    read_only("checkpoint"),
    read_only("dedupratio"),
    read_only("expandsize"),
    read_only("fragmentation"),
    read_only("free"),
    read_only("freeing"),
    read_only("guid"),
    read_only("health"),
    read_only("leaked"),
    read_only("name"),
    read_only("readonly"),
    read_only("size"),
];

/// The native properties of file systems.
#[must_use]
pub fn dataset_properties() -> &'static [Property] {
    DATASET
}

/// The native properties of pools, without the features.
#[must_use]
pub fn pool_properties() -> &'static [Property] {
    POOL
}

fn any(_: &str) -> Result<(), &'static str> {
    Ok(())
}

fn mls_label(value: &str) -> Result<(), &'static str> {
    if value == "none" { Ok(()) } else { Err("labels need a system with Trusted Extensions; `none` is allowed") }
}

fn dataset_name(value: &str) -> Result<(), &'static str> {
    crate::name::check_dataset(value).map_err(|_| "it is no name of a dataset")
}

/// `spa_prop_validate`: at most 32 characters (`ZPROP_MAX_COMMENT`), printable ASCII.
fn comment(value: &str) -> Result<(), &'static str> {
    match value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        false => Err("only printable ASCII is allowed"),
        true if value.len() > 32 => Err("it has more than 32 characters"),
        true => Ok(()),
    }
}

fn mountpoint(value: &str) -> Result<(), &'static str> {
    if matches!(value, "none" | "legacy") {
        return Ok(());
    }
    match value {
        _ if !value.starts_with('/') => Err("it is neither an absolute path nor `none` nor `legacy`"),
        _ if value.len() >= 1024 => Err("the path has more than 1023 bytes"),
        _ if value.split('/').any(|component| component.len() > 255) => Err("a component has more than 255 bytes"),
        _ => Ok(()),
    }
}

/// The error of a property whose value is none of the words.
pub(super) fn no_keyword(property: &Property, words: &'static [Keyword], value: &str) -> PropertyError {
    let allowed = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" | ");
    if property.beyond.contains(&value) {
        let value = value.into();
        return PropertyError::ValueNotInImages { name: property.name.into(), value, allowed: allowed.into() };
    }
    PropertyError::from(Box::new(WrongKeyword {
        name: property.name.to_owned(),
        value: super::value::printable(value),
        allowed,
        suggestion: super::nearest(value, words.iter().map(|(word, _)| *word)),
    }))
}
