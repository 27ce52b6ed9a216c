//! The properties of pools and datasets, as `get -Hp -o name,property,value,source` prints them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::ZfsError;

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
    fn parse(text: &str) -> Self {
        match text {
            "local" => Self::Local,
            "default" => Self::Default,
            "temporary" => Self::Temporary,
            "received" => Self::Received,
            _ => text.strip_prefix("inherited from ").map_or(Self::None, |above| Self::Inherited(above.to_owned())),
        }
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

/// Reads rows of name, property, value and source, with tabs between; answers the properties of each name.
///
/// # Errors
/// [`ZfsError::Answer`] for a row with fewer columns.
pub fn parse(operation: &str, output: &str) -> Result<BTreeMap<String, Properties>, ZfsError> {
    let mut all: BTreeMap<String, Properties> = BTreeMap::new();
    for row in output.lines() {
        // A value of the user's own may hold tabs; the other columns cannot.
        let columns = row.split_once('\t').and_then(|(name, rest)| {
            let (property, rest) = rest.split_once('\t')?;
            let (value, source) = rest.rsplit_once('\t')?;
            Some((name, property, value, source))
        });
        let Some((name, property, value, source)) = columns else {
            return Err(ZfsError::answer(operation, row));
        };
        let found = Property { value: value.to_owned(), source: Source::parse(source) };
        all.entry(name.to_owned()).or_default().insert(property.to_owned(), found);
    }
    Ok(all)
}

/// Reads a size as ZFS does: `10G` is 10 · 2³⁰, also `1.5T`, `512K`, `64m`, `10GiB`; `none` and `0` are 0.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    if text == "none" {
        return Some(0);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.to_ascii_uppercase();
    let shift = match unit.strip_suffix("IB").or_else(|| unit.strip_suffix('B')).unwrap_or(&unit) {
        "" if unit != "IB" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        "P" => 50,
        "E" => 60,
        _ => return None,
    };
    match number.split_once('.') {
        None => number.parse::<u64>().ok()?.checked_mul(1 << shift),
        Some((whole, fraction)) => {
            let exact = |text: &str| text.chars().all(|c| c.is_ascii_digit()).then(|| text.parse::<u128>().ok())?;
            let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
            let value = exact(whole)?.checked_mul(scale)?.checked_add(exact(fraction)?)?.checked_mul(1 << shift)?;
            u64::try_from(value / scale).ok()
        }
    }
}

/// Whether two values mean the same: as written, or as sizes.
#[must_use]
pub fn same_value(one: &str, other: &str) -> bool {
    one == other || matches!((parse_size(one), parse_size(other)), (Some(one), Some(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn sizes() {
        let cases = [
            ("none", Some(0)),
            ("0", Some(0)),
            ("512", Some(512)),
            ("10G", Some(10 << 30)),
            ("10g", Some(10 << 30)),
            ("10GiB", Some(10 << 30)),
            ("10GB", Some(10 << 30)),
            ("1.5T", Some(3 << 39)),
            ("100B", Some(100)),
            ("16E", None),
            ("15E", Some(15 << 60)),
            ("x", None),
            ("", None),
            (".", None),
            ("1.", None),
            ("10Q", None),
            ("-1", None),
            ("1IB", None),
            ("lz4", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_size(text), expected, "{text:?}");
        }
        assert!(same_value("10G", "10737418240") && same_value("none", "0") && same_value("on", "on"));
        assert!(!same_value("on", "off") && !same_value("1G", "1000000000"));
    }
}
