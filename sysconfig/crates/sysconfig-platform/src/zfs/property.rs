//! The properties of pools and datasets, as `get -Hp -o name,property,value,source` prints them.

use crate::StorageError;
use crate::storage::parse_size;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use zfs_format::property::{Kind, dataset_properties};

/// Properties by name.
pub type Properties = BTreeMap<String, Property>;

/// Where a value comes from. What is not set here must not be reported as somebody's wish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Set on this very pool or dataset.
    Local,
    /// Nobody has set it.
    Default,
    /// Set on the dataset of this name, above.
    Inherited(String),
    /// Given when it was mounted.
    Temporary,
    /// Came with `zfs receive`.
    Received,
    /// It is no setting but a fact.
    None,
}

impl Source {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "local" => Self::Local,
            "default" => Self::Default,
            "temporary" => Self::Temporary,
            "received" => Self::Received,
            "-" | "none" => Self::None,
            _ => Self::Inherited(text.strip_prefix("inherited from ")?.to_owned()),
        })
    }
}

/// One property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Property {
    /// The value, numbers exact; `-` where there is none.
    pub value: String,
    /// Where it comes from.
    pub source: Source,
}

impl Property {
    /// Whether it was set on this very pool or dataset.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.source == Source::Local
    }
}

/// Reads rows of name, property, value and source, with tabs between; answers the properties of each name.
///
/// A value of a user's own may hold tabs and line feeds, which are printed as they are. What comes first of a property counts:
/// ZFS prints its own properties before those of users.
///
/// # Errors
/// [`StorageError::Answer`] for a row with fewer columns.
pub fn parse(operation: &str, output: &str) -> Result<BTreeMap<String, Properties>, StorageError> {
    parse_rows(operation, output).map(|rows| rows.all)
}

/// What rows say.
#[derive(Debug, Default)]
pub struct Rows {
    /// The properties of each name.
    pub all: BTreeMap<String, Properties>,
    /// Whether a row came twice, or something that is none was passed over: a value that looks like rows may be of anybody.
    pub is_doubtful: bool,
}

/// As [`parse`], and tells whether that can be believed of each name.
///
/// # Errors
/// [`StorageError::Answer`] for a row with fewer columns.
pub fn parse_rows(operation: &str, output: &str) -> Result<Rows, StorageError> {
    let mut rows = Rows::default();
    let mut begun = String::new();
    for line in output.lines() {
        let begins = line.matches('\t').count() >= 2;
        if begun.is_empty() && !begins && !rows.all.is_empty() {
            // The rest of a value, whose first lines looked like a whole row.
            rows.is_doubtful = true;
            continue;
        }
        begun = if begun.is_empty() { line.to_owned() } else { format!("{begun}\n{line}") };
        let Some((name, property, found)) = row(&begun) else { continue };
        match rows.all.entry(name.to_owned()).or_default().entry(property.to_owned()) {
            Entry::Vacant(place) => drop(place.insert(found)),
            Entry::Occupied(_) => rows.is_doubtful = true,
        }
        begun.clear();
    }
    match begun.is_empty() {
        true => Ok(rows),
        false => Err(StorageError::Answer { operation: operation.to_owned(), answer: begun }),
    }
}

fn row(text: &str) -> Option<(&str, &str, Property)> {
    let (name, rest) = text.split_once('\t')?;
    let (property, rest) = rest.split_once('\t')?;
    let (value, source) = rest.rsplit_once('\t')?;
    let is_word = !name.contains('\n') && !property.contains('\n');
    is_word.then_some(())?;
    Some((name, property, Property { value: value.to_owned(), source: Source::parse(source)? }))
}

/// Whether two values mean the same: as written, or as sizes.
#[must_use]
pub fn same_value(one: &str, other: &str) -> bool {
    let bytes = |value: &str| if value == "none" { Some(0) } else { parse_size(value) };
    one == other || matches!((bytes(one), bytes(other)), (Some(one), Some(other)) if one == other)
}

/// Words of OpenZFS for one value, the one first that it reads out (`zfs_prop_init` in its zfs_prop.c). Those that illumos has as
/// well stand with their numbers in the table of `zfs-format`.
const SYNONYMS: &[(&str, &[&str])] = &[
    ("acltype", &["off", "noacl", "disabled"]),
    ("acltype", &["posix", "posixacl"]),
    ("compression", &["zstd-fast", "zstd-fast-1"]),
    ("volmode", &["full", "geom"]),
    ("xattr", &["on", "dir"]),
];

/// The word in which ZFS reads out the value of a dataset's property that was set to `value`: of several words for one value it
/// knows the first only.
#[must_use]
pub fn read_out<'a>(property: &str, value: &'a str) -> &'a str {
    let of_the_format = || {
        let Kind::Keywords(words) = dataset_properties().iter().find(|known| known.name == property)?.kind else {
            return None;
        };
        let (_, number) = words.iter().find(|(word, _)| *word == value)?;
        words.iter().find(|(_, other)| other == number).map(|(word, _)| *word)
    };
    let of_openzfs = || {
        let mut all = SYNONYMS.iter().filter(|(name, _)| *name == property).map(|(_, words)| words);
        all.find(|words| words.contains(&value)).map(|words| words[0])
    };
    of_openzfs().or_else(of_the_format).unwrap_or(value)
}

/// Whether a dataset's property that reads `present` is as `wanted`, in whatever word or unit either is written.
#[must_use]
pub fn same_dataset_value(property: &str, wanted: &str, present: &str) -> bool {
    if property.contains(':') {
        // A user's own words mean what they are.
        return wanted == present;
    }
    match (property, wanted) {
        // Which suite it is, ZFS chooses when the dataset is created.
        ("encryption", "on") => !["off", "-", ""].contains(&present),
        // Since 2.3 that is what `on` stands for.
        ("xattr", "on") if present == "sa" => true,
        _ => {
            read_out(property, wanted) == read_out(property, present)
                || (!is_word(property) && same_value(wanted, present))
        }
    }
}

/// Whether a property has words for values, where a number that is the same as another one is no help.
fn is_word(property: &str) -> bool {
    let known = dataset_properties().iter().find(|known| known.name == property);
    known.is_some_and(|known| matches!(known.kind, Kind::Keywords(_)))
}

/// The whole name of a dataset's property that has a short one as well: the one under which ZFS lists it.
#[must_use]
pub fn whole_name(short: &str) -> Option<&'static str> {
    dataset_properties().iter().find(|known| known.short == Some(short)).map(|known| known.name)
}

/// Where a pool is noted unless another place is named; that one ZFS does not read out (`ZPOOL_CACHE`).
const CACHE_FILE: &str = "/etc/zfs/zpool.cache";

/// Whether a pool's property that reads `present` is as `wanted`; what is empty reads `-`.
#[must_use]
pub fn same_pool_value(property: &str, wanted: &str, present: &str) -> bool {
    let is_nothing = |value: &str| ["", "-"].contains(&value) || (property == "cachefile" && value == CACHE_FILE);
    match property {
        "cachefile" | "comment" | "bootfs" | "altroot" => {
            wanted == present || (is_nothing(wanted) && is_nothing(present))
        }
        _ => same_value(wanted, present),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_zfs_reads_out_as_others() {
        for (property, wanted, present, answer) in [
            ("compression", "gzip-6", "gzip", true),
            ("compression", "gzip", "gzip-6", true),
            ("compression", "gzip-7", "gzip", false),
            ("compression", "zstd-fast-1", "zstd-fast", true),
            ("compression", "zstd", "zstd-3", false),
            ("compression", "on", "lz4", false),
            ("aclinherit", "secure", "restricted", true),
            ("aclinherit", "passthrough", "restricted", false),
            ("acltype", "posixacl", "posix", true),
            // Before 2.0 it was the other way round.
            ("acltype", "posix", "posixacl", true),
            ("acltype", "noacl", "off", true),
            ("acltype", "disabled", "noacl", true),
            ("acltype", "nfsv4", "posix", false),
            ("xattr", "dir", "on", true),
            ("xattr", "on", "sa", true),
            ("xattr", "sa", "on", false),
            ("xattr", "sa", "dir", false),
            ("volmode", "geom", "full", true),
            ("version", "current", "5", true),
            ("encryption", "on", "aes-256-gcm", true),
            ("encryption", "on", "aes-256-ccm", true),
            ("encryption", "on", "off", false),
            ("encryption", "aes-128-gcm", "aes-256-gcm", false),
            ("quota", "10G", "10737418240", true),
            ("refquota", "none", "0", true),
            ("recordsize", "128K", "131072", true),
            ("mountpoint", "/a", "/b", false),
            // Of a user's own property the very words count.
            ("org.example:compression", "gzip-6", "gzip", false),
            ("org.example:size", "1K", "1024", false),
        ] {
            assert_eq!(same_dataset_value(property, wanted, present), answer, "{property}={wanted} reads {present}");
        }
        assert_eq!((read_out("compression", "gzip-6"), read_out("acltype", "noacl")), ("gzip", "off"));
        assert_eq!((read_out("atime", "on"), read_out("org:x", "secure")), ("on", "secure"));
    }

    /// Whoever may set a property of a user's may write anything into it, and nobody else is to be held up by that.
    #[test]
    fn a_value_in_several_lines() {
        let text = "tank\tused\t5\t-\ntank\tnote:x\ta\n\tb\n\nc\tlocal\ntank\tnote:y\tlooks\tlocal\nwhole\tlocal\n\
                    tank\tused\t6\tlocal\ntank/a\tused\t7\t-\n";
        let all = parse("look", text).unwrap();
        let value = |name: &str, property: &str| all[name][property].value.clone();
        assert_eq!((value("tank", "note:x"), value("tank", "note:y")), ("a\n\tb\n\nc".into(), "looks".into()));
        assert_eq!((value("tank", "used"), value("tank/a", "used")), ("5".into(), "7".into()));
        assert!(parse("look", "odd\ntank\tused\t5\t-\n").is_err());
        assert!(parse("look", "tank\tused\t5\t-\ntank\tnote:x\ta\n").is_err());
    }

    #[test]
    fn what_pools_read_out_for_nothing() {
        for (property, wanted, present, answer) in [
            ("cachefile", "/etc/zfs/zpool.cache", "-", true),
            ("cachefile", "", "-", true),
            ("cachefile", "none", "-", false),
            ("cachefile", "/var/zpool.cache", "-", false),
            ("comment", "", "-", true),
            ("comment", "1K", "1024", false),
            ("autotrim", "on", "-", false),
            ("bootsize", "1G", "1073741824", true),
        ] {
            assert_eq!(same_pool_value(property, wanted, present), answer, "{property}={wanted} reads {present}");
        }
    }

    #[test]
    fn rows_with_every_source() {
        let output = "tank\tsize\t1000\t-\ntank\tcomment\ta\tb\tlocal\ntank/a\tmountpoint\t/x/a\tinherited from tank\n\
                      tank/a\tquota\t0\tdefault\ntank/a\tro\ton\ttemporary\ntank/a\tu:x\t\treceived\n";
        let all = parse("look", output).unwrap();
        assert_eq!(all["tank"]["comment"], Property { value: "a\tb".into(), source: Source::Local });
        assert_eq!(all["tank"]["size"].source, Source::None);
        assert_eq!(all["tank/a"]["mountpoint"].source, Source::Inherited("tank".into()));
        assert_eq!(all["tank/a"]["u:x"], Property { value: String::new(), source: Source::Received });
        assert!(parse("look", "tank\tsize\t1000\n").is_err());
        assert!(parse("look", "").unwrap().is_empty());
    }

    #[test]
    fn values_that_mean_the_same() {
        assert!(same_value("10G", "10737418240") && same_value("none", "0") && same_value("on", "on"));
        assert!(!same_value("on", "off") && !same_value("1G", "1000000000"));
    }
}
