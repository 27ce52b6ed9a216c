//! The properties of datasets that the simulated ZFS knows, zfsprops(7).

use crate::storage::parse_size;

/// What values a property takes.
pub(super) enum Values {
    OnOff,
    OneOf(&'static [&'static str]),
    /// Bytes; `none` is 0.
    Size,
    Path,
    Text,
}

pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) default: &'static str,
    pub(super) inherits: bool,
    pub(super) at_creation_only: bool,
    /// Of file systems, of volumes.
    pub(super) of: (bool, bool),
    pub(super) values: Values,
}

const fn known(name: &'static str, default: &'static str, values: Values) -> Known {
    Known { name, default, inherits: true, at_creation_only: false, of: (true, true), values }
}

const fn own(property: Known) -> Known {
    Known { inherits: false, ..property }
}

const fn fixed(property: Known) -> Known {
    Known { at_creation_only: true, ..property }
}

const fn of_filesystems(property: Known) -> Known {
    Known { of: (true, false), ..property }
}

const fn of_volumes(property: Known) -> Known {
    Known { of: (false, true), ..property }
}

const COMPRESSION: &[&str] = &["on", "off", "lzjb", "gzip", "zle", "lz4"];
const CACHE: &[&str] = &["all", "none", "metadata"];

pub(super) const KNOWN: &[Known] = &[
    of_filesystems(known("mountpoint", "", Values::Path)),
    of_filesystems(own(known("canmount", "on", Values::OneOf(&["on", "off", "noauto"])))),
    known("compression", "off", Values::OneOf(COMPRESSION)),
    of_filesystems(known("atime", "on", Values::OnOff)),
    of_filesystems(known("exec", "on", Values::OnOff)),
    of_filesystems(known("setuid", "on", Values::OnOff)),
    of_filesystems(known("devices", "on", Values::OnOff)),
    known("readonly", "off", Values::OnOff),
    of_filesystems(known("recordsize", "131072", Values::Size)),
    of_filesystems(own(known("quota", "0", Values::Size))),
    of_filesystems(own(known("refquota", "0", Values::Size))),
    own(known("reservation", "0", Values::Size)),
    own(known("refreservation", "0", Values::Size)),
    known("copies", "1", Values::OneOf(&["1", "2", "3"])),
    known("primarycache", "all", Values::OneOf(CACHE)),
    known("secondarycache", "all", Values::OneOf(CACHE)),
    known("logbias", "latency", Values::OneOf(&["latency", "throughput"])),
    known("sync", "standard", Values::OneOf(&["standard", "always", "disabled"])),
    of_filesystems(known("snapdir", "hidden", Values::OneOf(&["hidden", "visible"]))),
    of_filesystems(fixed(own(known(
        "casesensitivity",
        "sensitive",
        Values::OneOf(&["sensitive", "insensitive", "mixed"]),
    )))),
    of_filesystems(fixed(own(known("utf8only", "off", Values::OnOff)))),
    of_filesystems(fixed(own(known(
        "normalization",
        "none",
        Values::OneOf(&["none", "formC", "formD", "formKC", "formKD"]),
    )))),
    fixed(own(known("guid", "0", Values::Size))),
    of_volumes(own(known("volsize", "0", Values::Size))),
    of_volumes(fixed(own(known("volblocksize", "8192", Values::Size)))),
    fixed(own(known("encryption", "off", Values::OneOf(&["on", "off", "aes-256-gcm", "aes-256-ccm"])))),
    fixed(own(known("keyformat", "none", Values::OneOf(&["none", "raw", "hex", "passphrase"])))),
    fixed(own(known("encryptionroot", "-", Values::Text))),
    own(known("keylocation", "none", Values::Text)),
];

pub(super) fn find(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}

impl Known {
    /// The value as it is stored, with exact numbers; none for a bad one.
    pub(super) fn normalise(&self, value: &str) -> Option<String> {
        let good = match &self.values {
            Values::OnOff => ["on", "off"].contains(&value),
            Values::OneOf(values) => values.contains(&value),
            Values::Size if value == "none" => return Some("0".to_owned()),
            Values::Size => return parse_size(value).map(|bytes| bytes.to_string()),
            Values::Path => value.starts_with('/') || ["none", "legacy"].contains(&value),
            Values::Text => true,
        };
        good.then(|| value.to_owned())
    }
}
