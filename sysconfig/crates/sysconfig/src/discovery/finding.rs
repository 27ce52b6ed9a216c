//! What looks at the plugin directories and the configuration files find.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::store::PrivateCopy;

/// What a poll found out.
#[derive(Debug, Clone)]
pub enum Finding {
    /// A new or changed file that can be started.
    Candidate(Candidate),
    /// A new or changed file that cannot.
    Refused {
        /// The plugin's name.
        name: String,
        /// The file.
        path: PathBuf,
        /// Why not, as a lowercase fragment.
        message: String,
        /// What to do about it.
        help: Option<String>,
        /// The file is not to blame, and is looked at again from time to time.
        is_tried_again: bool,
    },
    /// Which directories of the plugin path cannot be looked at, by what the system says; none when all can be.
    Missing(BTreeMap<PathBuf, String>),
    /// What the first look found, which had to wait for a directory that did not answer.
    Late(Vec<Finding>),
    /// A look came to nothing by a fault of the daemon itself. It looks on.
    Failed,
    /// The configuration files changed.
    ConfigChanged {
        /// When a poll first saw them as they are now.
        seen: Instant,
    },
    /// No file of that name is there any more.
    Vanished {
        /// The plugin's name.
        name: String,
    },
}

impl Finding {
    /// What it is about: a later finding about the same takes the place of this one.
    pub fn key(&self) -> FindingKey {
        match self {
            Self::Candidate(Candidate { name, .. }) | Self::Refused { name, .. } | Self::Vanished { name } => {
                FindingKey::Plugin(name.clone())
            }
            Self::Missing(_) => FindingKey::Directories,
            Self::Late(_) => FindingKey::FirstLook,
            Self::Failed => FindingKey::Failure,
            Self::ConfigChanged { .. } => FindingKey::Configuration,
        }
    }

    /// Whether it is about a plugin's file.
    pub fn is_of_plugin(&self) -> bool {
        !matches!(self, Self::ConfigChanged { .. } | Self::Missing(_) | Self::Late(_) | Self::Failed)
    }
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FindingKey {
    /// The file of this plugin.
    Plugin(String),
    /// Which directories can be looked at.
    Directories,
    /// Everything that was there at first.
    FirstLook,
    /// That a look failed.
    Failure,
    /// The configuration files.
    Configuration,
}

/// A file that can be started.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The plugin's name.
    pub name: String,
    /// The file that was found.
    pub path: PathBuf,
    /// What is started.
    pub copy: Arc<PrivateCopy>,
    /// When a poll first saw the file as it is now.
    pub seen: Instant,
    /// When it came to be as it is now, where its file system tells that by this machine's clock.
    pub changed: Option<Instant>,
    /// When its contents were made.
    pub modified_unix_ms: u64,
}

impl Candidate {
    /// The same, for whoever could not take it before.
    pub fn seen_now(self) -> Self {
        Self { seen: Instant::now(), changed: None, ..self }
    }
}
