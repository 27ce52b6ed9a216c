//! One look at the plugin directories, compared with the looks before.

mod examine;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::FileType;
use sysconfig_protocol::PLUGIN_FILE_PREFIX;

use super::abi::System;
use super::finding::Finding;
use super::look::Asking;
use super::sighting::Sighting;
use super::store::CopyStore;

/// Where to look, and what to accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// The directories of the plugin path, the first of them with precedence.
    pub path: Vec<PathBuf>,
    /// Whether files may belong to anybody, and be writable by their group; never by everybody.
    pub allow_untrusted_owner: bool,
}

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    /// When its contents or attributes changed by the clock of its own system: whoever keeps the other time, as
    /// `rsync --inplace --times` does, cannot keep this one.
    changed: (i64, i64),
    mode: u32,
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            mode: metadata.mode(),
        }
    }

    fn is_file(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::RegularFile
    }
}

/// A file of a plugin's name; none as identity when it cannot be looked at, e.g. a dangling link.
type Location = (PathBuf, Option<Identity>);

/// A plugin's name, its files, and when they were first seen so.
type Change = (String, Vec<Location>, Sighting);

/// What is known of a plugin's name.
#[derive(Debug)]
struct Tracked {
    /// The files of the last poll.
    seen: Vec<Location>,
    /// Since when they are as they are.
    since: Sighting,
    /// The files that the last finding was about.
    settled: Option<Vec<Location>>,
    /// Since when they have not been the same for long enough to be taken; none when they were.
    unsettled: Option<Instant>,
    /// Why they were refused, if they were.
    refused: Option<String>,
    /// When they are looked at again, although they are the same, and after which pause that is.
    again: Option<(Instant, Duration)>,
}

impl Tracked {
    fn new(since: Sighting) -> Self {
        Self { seen: Vec::new(), since, settled: None, unsettled: None, refused: None, again: None }
    }

    fn is_due(&self) -> bool {
        self.again.is_some_and(|(at, _)| at <= Instant::now())
    }

    /// They are not as they were at the last look. What to tell of that, once, when it has been so for as long as this.
    fn changes(&mut self, name: &str, patience: Duration) -> Option<Finding> {
        let path = self.seen.first().map(|(path, _)| path.clone())?;
        let since = *self.unsettled.get_or_insert_with(Instant::now);
        if since.elapsed() < patience || self.refused.as_deref() == Some(IS_CHANGED) {
            return None;
        }
        let message = IS_CHANGED.to_owned();
        self.refused = Some(message.clone());
        // Also when they become what they were.
        self.settled = None;
        let help = "see what writes it, or whether its file system says the same of it twice: ls -li --full-time; it is \
                    taken by itself when it stays the same";
        let (name, help) = (name.to_owned(), Some(help.to_owned()));
        Some(Finding::Refused { name, path, message, help, is_tried_again: true })
    }

    /// Takes down what was found out about the files. Answers whether it is news.
    fn settle(&mut self, locations: &[Location], finding: &Finding) -> bool {
        let is_same = self.settled.as_deref() == Some(locations);
        self.unsettled = None;
        self.settled = Some(locations.to_vec());
        let (refused, is_tried_again) = match finding {
            Finding::Refused { message, is_tried_again, .. } => (Some(message.clone()), *is_tried_again),
            _ => (None, false),
        };
        let pause = match self.again {
            Some((_, last)) if is_same => (last * 2).min(LONGEST_PAUSE),
            _ => FIRST_PAUSE,
        };
        self.again = is_tried_again.then(|| (Instant::now() + pause, pause));
        let is_news = !is_same || refused.is_none() || refused != self.refused;
        self.refused = refused;
        is_news
    }
}

/// Between two tries with a file that could not be taken for reasons of this machine.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// After which time a file that changes all the time is told. Linkers need less.
const LONGEST_CHANGE: Duration = Duration::from_secs(10);

/// What is told of it.
const IS_CHANGED: &str = "it is being changed: no two looks in a row have found it the same";

/// Looks at the plugin directories.
#[derive(Debug)]
pub struct Scanner {
    search: Search,
    directories: Vec<PathBuf>,
    system: System,
    store: Arc<CopyStore>,
    tracked: BTreeMap<String, Tracked>,
    /// When the last poll began.
    polled: Option<SystemTime>,
    /// As in [`Finding::Missing`].
    pub(super) missing: BTreeMap<PathBuf, String>,
    /// Which directories are waited for.
    pub(super) asking: Asking,
    /// The file that is in memory as a whole, one at most. The space is used for the next one instead of given back,
    /// because an allocator keeps what threads give back, for each of them.
    whole_file: Mutex<Vec<u8>>,
}

impl Scanner {
    /// A scanner that knows nothing yet.
    pub fn new(search: Search, system: System, store: Arc<CopyStore>) -> Self {
        let directories = with_fallbacks(&search.path, &system.triples());
        Self {
            search,
            directories,
            system,
            store,
            tracked: BTreeMap::new(),
            polled: None,
            missing: BTreeMap::new(),
            asking: Asking::default(),
            whole_file: Mutex::default(),
        }
    }

    /// Looks elsewhere from now on, and forgets which files were refused, because the reason may be gone.
    pub fn set_search(&mut self, search: Search) {
        if search == self.search {
            return;
        }
        self.directories = with_fallbacks(&search.path, &self.system.triples());
        self.search = search;
        self.forget_findings();
    }

    /// Finds everything that is there anew.
    pub fn forget_findings(&mut self) {
        for tracked in self.tracked.values_mut() {
            tracked.settled = None;
        }
    }

    /// Whether some files are to be looked at again in a while.
    pub fn tries_again(&self) -> bool {
        self.tracked.values().any(|tracked| tracked.again.is_some() || tracked.unsettled.is_some())
    }

    /// Looks and takes what is there, without waiting for it to be stable: the first look of a daemon that starts. What comes
    /// or changes while it looks, as when a share comes back, is taken where that takes no longer than one look more.
    pub fn first_look(&mut self) -> Vec<Finding> {
        let mut findings = self.poll();
        findings.extend(self.poll());
        if self.tracked.values().any(|tracked| tracked.settled.as_ref() != Some(&tracked.seen)) {
            findings.extend(self.poll());
        }
        findings.extend(self.tell_unsettled());
        findings
    }

    /// What changed up to the last look, which nobody knows of otherwise where no other one follows.
    fn tell_unsettled(&mut self) -> Vec<Finding> {
        let unsettled = self.tracked.iter_mut().filter(|(_, tracked)| tracked.settled.as_ref() != Some(&tracked.seen));
        unsettled.filter_map(|(name, tracked)| tracked.changes(name, Duration::ZERO)).collect()
    }

    /// Looks at the files of some plugins that were refused. Who mended one says so, and need not wait for it to be the same for
    /// two polls; the files of others, which a linker may be writing, do.
    pub fn look_again(&mut self, plugins: &BTreeSet<String>) -> Vec<Finding> {
        let is_refused = |name: &&String| self.tracked.get(*name).is_some_and(|tracked| tracked.refused.is_some());
        let refused: BTreeSet<_> = plugins.iter().filter(is_refused).cloned().collect();
        for (_, tracked) in self.tracked.iter_mut().filter(|(name, _)| refused.contains(*name)) {
            tracked.settled = None;
        }
        let mut findings = self.look(|name| refused.contains(name));
        findings.extend(self.look(|name| refused.contains(name)));
        findings
    }

    /// Looks once; what changed since an earlier poll and not since the last one is a finding.
    pub fn poll(&mut self) -> Vec<Finding> {
        let began = SystemTime::now();
        let findings = self.look(|_| true);
        self.polled = Some(began);
        findings
    }

    fn look(&mut self, is_wanted: impl Fn(&str) -> bool) -> Vec<Finding> {
        let (present, unreadable) = self.list();
        let sighting = Sighting::now(self.polled);
        let mut findings = Vec::new();
        let missing = self.missing_from(&unreadable);
        if missing != self.missing {
            self.missing.clone_from(&missing);
            findings.push(Finding::Missing(missing));
        }
        let names = self.tracked.keys().chain(present.keys()).filter(|name| is_wanted(name));
        let names: BTreeSet<_> = names.cloned().collect();
        let mut changed = Vec::new();
        for name in names {
            let locations = present.get(&name).cloned().unwrap_or_default();
            let unknown = || Tracked::new(sighting);
            let tracked = self.tracked.entry(name.clone()).or_insert_with(unknown);
            let is_stable = tracked.seen == locations;
            if !is_stable {
                tracked.seen.clone_from(&locations);
                tracked.since = sighting;
                findings.extend(tracked.changes(&name, LONGEST_CHANGE));
            }
            let is_settled = tracked.settled.as_ref() == Some(&locations) && !tracked.is_due();
            if is_stable && is_settled {
                tracked.unsettled = None;
            }
            if !is_stable || is_settled {
                continue;
            }
            if locations.is_empty() {
                self.tracked.remove(&name);
                findings.push(Finding::Vanished { name });
                continue;
            }
            changed.push((name, locations, tracked.since));
        }
        for ((name, locations, _), finding) in changed.iter().zip(self.evaluate_all(&changed)) {
            // A file that changes while it is read is looked at again by the next polls.
            let Some(finding) = finding else {
                findings.extend(self.tracked.get_mut(name).and_then(|tracked| tracked.changes(name, LONGEST_CHANGE)));
                continue;
            };
            if self.tracked.get_mut(name).is_none_or(|tracked| tracked.settle(locations, &finding)) {
                findings.push(finding);
            }
        }
        *self.whole_file.get_mut().unwrap_or_else(PoisonError::into_inner) = Vec::new();
        findings
    }

    /// The files by plugin name, in the order of the directories, and the directories that cannot be looked at, e.g.
    /// of a share that is not mounted yet.
    fn list(&self) -> (BTreeMap<String, Vec<Location>>, BTreeMap<&Path, std::io::Error>) {
        let mut present: BTreeMap<String, Vec<Location>> = BTreeMap::new();
        let mut unreadable = BTreeMap::new();
        for directory in &self.directories {
            let _question = self.asking.about(directory);
            let entries = match std::fs::read_dir(directory) {
                Ok(entries) => entries,
                Err(error) => {
                    unreadable.insert(directory.as_path(), error);
                    continue;
                }
            };
            for entry in entries.flatten() {
                let Some(name) = entry.file_name().to_str().and_then(plugin_name) else { continue };
                let identity = std::fs::metadata(entry.path()).ok().map(|metadata| Identity::of(&metadata));
                present.entry(name).or_default().push((entry.path(), identity));
            }
        }
        (present, unreadable)
    }

    /// The configured directories that are not there, and have no stand-in that is.
    fn missing_from(&self, unreadable: &BTreeMap<&Path, std::io::Error>) -> BTreeMap<PathBuf, String> {
        let triples = if unreadable.is_empty() { Vec::new() } else { self.system.triples() };
        let missing = self.search.path.iter().filter_map(|directory| {
            let error = unreadable.get(directory.as_path())?;
            let places = with_fallbacks(std::slice::from_ref(directory), &triples);
            let none = places.iter().all(|place| unreadable.contains_key(place.as_path()));
            none.then(|| (directory.clone(), error.to_string()))
        });
        missing.collect()
    }
}

/// The plugin that a file name stands for. Names with a dot (`.d` files of Cargo, temporary files) are none.
pub fn plugin_name(file_name: &str) -> Option<String> {
    let name = file_name.strip_prefix(PLUGIN_FILE_PREFIX)?;
    let is_name =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    is_name.then(|| name.to_owned())
}

/// Beside `target/release`, Cargo puts the builds for a named target into `target/<triple>/release`: when the
/// host's own executables do not run here, those may.
fn with_fallbacks(path: &[PathBuf], triples: &[String]) -> Vec<PathBuf> {
    let mut directories = Vec::new();
    for directory in path {
        directories.push(directory.clone());
        if let (Some(parent), Some(profile)) = (directory.parent(), directory.file_name()) {
            directories.extend(triples.iter().map(|triple| parent.join(triple).join(profile)));
        }
    }
    directories
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
