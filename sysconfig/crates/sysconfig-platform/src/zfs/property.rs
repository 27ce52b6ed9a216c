//! The properties of pools and datasets, as `get -Hp -o name,property,value,source` prints them.

use crate::StorageError;
use crate::storage::parse_size;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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

impl Property {
    /// Whether it was set on this very pool or dataset.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.source == Source::Local
    }
}

/// Reads rows of name, property, value and source, with tabs between; answers the properties of each name.
///
/// # Errors
/// [`StorageError::Answer`] for a row with fewer columns.
pub fn parse(operation: &str, output: &str) -> Result<BTreeMap<String, Properties>, StorageError> {
    let mut all: BTreeMap<String, Properties> = BTreeMap::new();
    for row in output.lines() {
        // A value of the user's own may hold tabs; the other columns cannot.
        let columns = row.split_once('\t').and_then(|(name, rest)| {
            let (property, rest) = rest.split_once('\t')?;
            let (value, source) = rest.rsplit_once('\t')?;
            Some((name, property, value, source))
        });
        let Some((name, property, value, source)) = columns else {
            return Err(StorageError::Answer { operation: operation.to_owned(), answer: row.to_owned() });
        };
        let found = Property { value: value.to_owned(), source: Source::parse(source) };
        all.entry(name.to_owned()).or_default().insert(property.to_owned(), found);
    }
    Ok(all)
}

/// Whether two values mean the same: as written, or as sizes.
#[must_use]
pub fn same_value(one: &str, other: &str) -> bool {
    let bytes = |value: &str| if value == "none" { Some(0) } else { parse_size(value) };
    one == other || matches!((bytes(one), bytes(other)), (Some(one), Some(other)) if one == other)
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
    fn values_that_mean_the_same() {
        assert!(same_value("10G", "10737418240") && same_value("none", "0") && same_value("on", "on"));
        assert!(!same_value("on", "off") && !same_value("1G", "1000000000"));
    }
}
