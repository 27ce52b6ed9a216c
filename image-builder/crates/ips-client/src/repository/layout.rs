//! How the files of a repository are arranged, and how that is known.

use ips::fmri::{PackageId, Publisher};
use ips::text::quote_component;

/// The configuration of a repository, and its name in older ones.
pub(super) const CONFIGS: [&str; 2] = ["pkg5.repository", "cfg_cache"];

/// The newest version that is known.
const VERSION_MAX: u64 = 4;
/// From this version on each publisher has a directory.
const BY_PUBLISHER: u64 = 4;
/// The form of the configuration file that came with [`BY_PUBLISHER`].
const CONFIG_BY_PUBLISHER: u64 = 4;

/// How the files of a repository are arranged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Layout {
    /// Version 4: `publisher/<publisher>/{catalog,file,pkg}`.
    ByPublisher,
    /// Versions before: `catalog`, `file` and `pkg` of one publisher, who may not be known.
    Single(Option<Publisher>),
}

impl Layout {
    /// The arrangement of a repository with this configuration, in which `has` says what directories there are. A
    /// configuration may leave the version to what is there.
    pub(super) fn find<E: From<&'static str>>(
        config: Option<&str>,
        has: impl Fn(&str) -> Result<bool, E>,
    ) -> Result<Self, E> {
        let stated = |section, key| config.and_then(|text| setting(text, section, key));
        let number = |section| stated(section, "version").and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let version = match number("repository") {
            0 if has("publisher")? => BY_PUBLISHER,
            0 if has("catalog")? => BY_PUBLISHER - 1,
            0 if number("CONFIGURATION") >= CONFIG_BY_PUBLISHER => BY_PUBLISHER,
            0 => return Err("there is no repository here".into()),
            stated => stated,
        };
        match version {
            BY_PUBLISHER => Ok(Self::ByPublisher),
            version if version > VERSION_MAX => {
                Err("it is of a version after 4, and only those up to 4 are known".into())
            }
            _ => Ok(Self::Single(stated("publisher", "prefix").and_then(|prefix| prefix.parse().ok()))),
        }
    }

    /// Whether something of this publisher can be there.
    pub(super) fn may_have(&self, publisher: &Publisher) -> bool {
        !matches!(self, Self::Single(Some(other)) if other != publisher)
    }

    /// The path of something that a publisher has.
    pub(super) fn path(&self, publisher: &Publisher, below: &str) -> String {
        match self {
            Self::ByPublisher => format!("publisher/{}/{below}", quote_component(publisher.as_str())),
            Self::Single(_) => below.to_owned(),
        }
    }

    pub(super) fn manifest_path(&self, package: &PackageId) -> String {
        self.path(&package.publisher, &format!("pkg/{}", package.manifest_path()))
    }

    /// Where a payload may be: with one directory above it, as all are written now, or with two; and where repositories
    /// have what is nobody's.
    pub(super) fn payload_paths(&self, publisher: &Publisher, name: &str) -> Vec<String> {
        let (new, old) = (format!("file/{}/{name}", &name[..2]), format!("file/{}/{}/{name}", &name[..2], &name[2..8]));
        let mut paths = vec![self.path(publisher, &new), self.path(publisher, &old)];
        if *self == Self::ByPublisher {
            paths.push(new);
        }
        paths
    }
}

/// What a section of the configuration says of something; the sections have settings of the same names.
fn setting<'t>(text: &'t str, section: &str, key: &str) -> Option<&'t str> {
    let is_section = |line: &&str| line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) == Some(section);
    let lines = text.lines().map(str::trim).skip_while(|line| !is_section(line)).skip(1);
    let mut settings = lines.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once(['=', ':']));
    settings.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stated_goes_before_what_is_there() {
        let single = |name: &str| Ok(Layout::Single(name.parse().ok()));
        let all = ["publisher", "catalog"];
        for (config, there, expected) in [
            (Some("[repository]\nversion = 4\n"), &[][..], Ok(Layout::ByPublisher)),
            (Some("[CONFIGURATION]\nversion = 4\n\n[publisher]\nprefix = p\n"), &[], Ok(Layout::ByPublisher)),
            (Some("[CONFIGURATION]\nversion = 3\n"), &[], Err("there is no repository here".to_owned())),
            (Some("[repository]\ncheck = 4\n[publisher]\nversion = 4\n"), &["catalog"], single("")),
            (Some("[publisher]\nprefix: p\n[repository]\nversion: 3\n"), &all, single("p")),
            (Some("[repository]\nversion = 2\n"), &all, single("")),
            (Some("[repository]\nversion = five\n"), &["publisher"], Ok(Layout::ByPublisher)),
            (
                Some("[repository]\nversion = 5\n"),
                &all,
                Err("it is of a version after 4, and only those up to 4 are known".to_owned()),
            ),
            (None, &all, Ok(Layout::ByPublisher)),
            (None, &["catalog"], single("")),
            (None, &["pkg"], Err("there is no repository here".to_owned())),
        ] {
            let has = |name: &str| Ok::<_, String>(there.contains(&name));
            assert_eq!(Layout::find(config, has), expected, "{config:?} {there:?}");
        }
    }

    #[test]
    fn payloads_of_old_and_new_repositories() {
        let publisher: Publisher = "p".parse().unwrap();
        let name = "0123456789";
        assert_eq!(
            Layout::ByPublisher.payload_paths(&publisher, name),
            ["publisher/p/file/01/0123456789", "publisher/p/file/01/234567/0123456789", "file/01/0123456789"]
        );
        let single = Layout::Single(None);
        assert_eq!(single.payload_paths(&publisher, name), ["file/01/0123456789", "file/01/234567/0123456789"]);
    }
}
