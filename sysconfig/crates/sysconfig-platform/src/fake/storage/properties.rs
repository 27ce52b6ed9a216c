//! The properties of datasets that the simulated ZFS knows, zfsprops(7).

use crate::System;
use crate::storage::parse_size;
use crate::zfs::property::read_out;

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
    /// The system whose ZFS alone has it.
    only: Option<System>,
}

const fn known(name: &'static str, default: &'static str, values: Values) -> Known {
    Known { name, default, inherits: true, at_creation_only: false, of: (true, true), values, only: None }
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

const fn of_linux(property: Known) -> Known {
    Known { only: Some(System::Linux), ..property }
}

const COMPRESSION: &[&str] = &[
    "on", "off", "lzjb", "gzip", "gzip-1", "gzip-2", "gzip-3", "gzip-4", "gzip-5", "gzip-6", "gzip-7", "gzip-8",
    "gzip-9", "zle", "lz4",
];
const ACL_INHERIT: &[&str] = &["discard", "noallow", "restricted", "passthrough", "secure", "passthrough-x"];
const SUITES: &[&str] =
    &["on", "off", "aes-128-ccm", "aes-192-ccm", "aes-256-ccm", "aes-128-gcm", "aes-192-gcm", "aes-256-gcm"];
const CACHE: &[&str] = &["all", "none", "metadata"];

const KNOWN: &[Known] = &[
    of_filesystems(known("mountpoint", "", Values::Path)),
    of_filesystems(own(known("canmount", "on", Values::OneOf(&["on", "off", "noauto"])))),
    known("compression", "off", Values::OneOf(COMPRESSION)),
    of_filesystems(known("atime", "on", Values::OnOff)),
    of_filesystems(known("exec", "on", Values::OnOff)),
    of_filesystems(known("setuid", "on", Values::OnOff)),
    of_filesystems(known("devices", "on", Values::OnOff)),
    known("readonly", "off", Values::OnOff),
    of_filesystems(known("aclinherit", "restricted", Values::OneOf(ACL_INHERIT))),
    of_linux(of_filesystems(known(
        "acltype",
        "off",
        Values::OneOf(&["off", "posix", "nfsv4", "disabled", "noacl", "posixacl"]),
    ))),
    of_linux(of_filesystems(known("xattr", "on", Values::OneOf(&["off", "on", "sa", "dir"])))),
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
    of_filesystems(known("sharenfs", "off", Values::Text)),
    of_filesystems(known("sharesmb", "off", Values::Text)),
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
    fixed(own(known("encryption", "off", Values::OneOf(SUITES)))),
    fixed(own(known("keyformat", "none", Values::OneOf(&["none", "raw", "hex", "passphrase"])))),
    fixed(own(known("encryptionroot", "-", Values::Text))),
    own(known("keylocation", "none", Values::Text)),
];

/// The properties that the ZFS of a system knows.
pub(super) fn all(system: System) -> impl Iterator<Item = &'static Known> {
    KNOWN.iter().filter(move |known| known.only.is_none_or(|only| only == system))
}

pub(super) fn find(system: System, name: &str) -> Option<&'static Known> {
    all(system).find(|known| known.name == name)
}

impl Known {
    /// The value as it is read out, in the first of several words and with exact numbers; none for a bad one.
    pub(super) fn normalise(&self, value: &str) -> Option<String> {
        let good = match &self.values {
            Values::OnOff => ["on", "off"].contains(&value),
            Values::OneOf(values) => values.contains(&value),
            Values::Size if value == "none" => return Some("0".to_owned()),
            Values::Size => return parse_size(value).map(|bytes| bytes.to_string()),
            Values::Path => value.starts_with('/') || ["none", "legacy"].contains(&value),
            Values::Text => true,
        };
        let suite = |value| if (self.name, value) == ("encryption", "on") { "aes-256-gcm" } else { value };
        good.then(|| suite(read_out(self.name, value)).to_owned())
    }
}
