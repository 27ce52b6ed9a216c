//! One look at the plugin directories, compared with the looks before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata};
use std::io::{Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use sysconfig_protocol::PLUGIN_FILE_PREFIX;

use super::abi::{System, Verdict};
use super::store::{CopyStore, PrivateCopy, hash_of};
use super::trust::distrust;

/// Larger files are not plugins; a bound for the memory that reading one takes.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

/// Where to look, and what to accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// The directories of the plugin path, the first of them with precedence.
    pub path: Vec<PathBuf>,
    /// Whether files may belong to anybody, and be writable by their group; never by everybody.
    pub allow_untrusted_owner: bool,
}

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
    },
    /// Which directories of the plugin path cannot be looked at, by what the system says; none when all can be.
    Missing(BTreeMap<PathBuf, String>),
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
    /// Whether it is about a plugin's file.
    pub fn is_of_plugin(&self) -> bool {
        !matches!(self, Self::ConfigChanged { .. } | Self::Missing(_))
    }
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
    /// When a poll first saw the file as it is now. Its own times are of another machine's clock when it comes
    /// from a share.
    pub seen: Instant,
    /// When its contents were made.
    pub modified_unix_ms: u64,
}

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    mode: u32,
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            mode: metadata.mode(),
        }
    }
}

/// A file of a plugin's name; none as identity when it cannot be looked at, e.g. a dangling link.
type Location = (PathBuf, Option<Identity>);

/// What is known of a plugin's name.
#[derive(Debug)]
struct Tracked {
    /// The files of the last poll.
    seen: Vec<Location>,
    /// Since when they are as they are.
    since: Instant,
    /// The files that the last finding was about.
    settled: Option<Vec<Location>>,
}

/// Looks at the plugin directories.
#[derive(Debug)]
pub struct Scanner {
    search: Search,
    directories: Vec<PathBuf>,
    system: System,
    store: Arc<CopyStore>,
    tracked: BTreeMap<String, Tracked>,
    missing: BTreeMap<PathBuf, String>,
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
            missing: BTreeMap::new(),
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

    /// Looks once and takes what is there, stable or not: the first look of a daemon that starts.
    pub fn first_look(&mut self) -> Vec<Finding> {
        let mut findings = self.poll();
        findings.extend(self.poll());
        findings
    }

    /// Looks once; what changed since an earlier poll and not since the last one is a finding.
    pub fn poll(&mut self) -> Vec<Finding> {
        let (present, unreadable) = self.list();
        let mut findings = Vec::new();
        let missing = self.missing_from(&unreadable);
        if missing != self.missing {
            self.missing.clone_from(&missing);
            findings.push(Finding::Missing(missing));
        }
        let names: BTreeSet<_> = self.tracked.keys().chain(present.keys()).cloned().collect();
        let mut changed = Vec::new();
        for name in names {
            let locations = present.get(&name).cloned().unwrap_or_default();
            let unknown = || Tracked { seen: Vec::new(), since: Instant::now(), settled: None };
            let tracked = self.tracked.entry(name.clone()).or_insert_with(unknown);
            let is_stable = tracked.seen == locations;
            if !is_stable {
                tracked.seen.clone_from(&locations);
                tracked.since = Instant::now();
            }
            if !is_stable || tracked.settled.as_ref() == Some(&locations) {
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
            let Some(finding) = finding else { continue };
            findings.push(finding);
            if let Some(tracked) = self.tracked.get_mut(name) {
                tracked.settled = Some(locations.clone());
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

    /// Reads as many at the same time as there are processors: hashing the plugins is most of what a daemon that starts
    /// has to do. That takes little memory, however many there are.
    fn evaluate_all(&self, changed: &[(String, Vec<Location>, Instant)]) -> Vec<Option<Finding>> {
        let evaluate =
            |(name, locations, since): &(String, Vec<Location>, Instant)| self.evaluate(name, locations, *since);
        if let [one] = changed {
            return vec![evaluate(one)];
        }
        let together = std::thread::available_parallelism().map_or(1, usize::from);
        let side_by_side = |some: &[(String, Vec<Location>, Instant)]| -> Vec<_> {
            std::thread::scope(|scope| {
                let jobs: Vec<_> = some.iter().map(|change| scope.spawn(move || evaluate(change))).collect();
                // One that came to nothing is tried again by the next poll.
                jobs.into_iter().map(|job| job.join().ok().flatten()).collect()
            })
        };
        changed.chunks(together).flat_map(side_by_side).collect()
    }

    /// Takes the first file that can be started. None when a file changed meanwhile.
    fn evaluate(&self, name: &str, locations: &[Location], seen: Instant) -> Option<Finding> {
        let mut refusal = None;
        for (path, identity) in locations {
            match self.examine(name, path, identity.as_ref(), seen) {
                Ok(candidate) => return Some(Finding::Candidate(candidate)),
                Err(Unusable::Changed) => return None,
                Err(Unusable::Refused { message, help }) => {
                    let refused = Finding::Refused { name: name.to_owned(), path: path.clone(), message, help };
                    refusal.get_or_insert(refused);
                }
            }
        }
        refusal
    }

    fn examine(
        &self,
        name: &str,
        path: &Path,
        identity: Option<&Identity>,
        seen: Instant,
    ) -> Result<Candidate, Unusable> {
        let file = File::open(path).map_err(|error| Unusable::refused(format!("cannot be opened: {error}")))?;
        let metadata = file.metadata().map_err(|error| Unusable::refused(format!("cannot be looked at: {error}")))?;
        if identity != Some(&Identity::of(&metadata)) {
            return Err(Unusable::Changed);
        }
        self.check_attributes(path, &metadata)?;
        let unreadable = |error: std::io::Error| Unusable::refused(format!("cannot be read: {error}"));
        let file_name = format!("{PLUGIN_FILE_PREFIX}{name}");
        let hash = hash_of((&file).take(MAX_FILE_BYTES)).map_err(unreadable)?;
        let is_as_before = || file.metadata().is_ok_and(|metadata| identity == Some(&Identity::of(&metadata)));
        if !is_as_before() {
            return Err(Unusable::Changed);
        }
        // What is in the store was judged when it came there.
        let copy = match self.store.find(&file_name, &hash) {
            Some(copy) => copy,
            None => {
                let mut contents = self.whole_file.lock().unwrap_or_else(PoisonError::into_inner);
                contents.clear();
                contents.reserve_exact(usize::try_from(metadata.len()).unwrap_or_default());
                (&file).rewind().map_err(unreadable)?;
                (&file).take(MAX_FILE_BYTES).read_to_end(contents.as_mut()).map_err(unreadable)?;
                if !is_as_before() || contents.len() as u64 != metadata.len() {
                    return Err(Unusable::Changed);
                }
                self.take(&file_name, &contents)?
            }
        };
        Ok(Candidate {
            name: name.to_owned(),
            path: path.to_owned(),
            copy,
            seen,
            modified_unix_ms: milliseconds(metadata.mtime(), metadata.mtime_nsec()),
        })
    }

    /// Judges a file that is not known yet, and copies it.
    fn take(&self, file_name: &str, contents: &[u8]) -> Result<Arc<PrivateCopy>, Unusable> {
        match self.system.judge(contents) {
            Verdict::Runs => (),
            Verdict::OtherSystem { message, help } => return Err(Unusable::Refused { message, help: Some(help) }),
            Verdict::NotAProgram { message } => return Err(Unusable::refused(message)),
        }
        self.store.put(file_name, contents).map_err(|error| {
            let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
            Unusable::refused(format!("{error}{}", source.unwrap_or_default()))
        })
    }

    fn check_attributes(&self, path: &Path, metadata: &Metadata) -> Result<(), Unusable> {
        if !metadata.is_file() {
            return Err(Unusable::refused("not a regular file".to_owned()));
        }
        if metadata.mode() & 0o111 == 0 {
            let help = Some(format!("chmod +x {}", path.display()));
            return Err(Unusable::Refused { message: "not executable".to_owned(), help });
        }
        if metadata.len() > MAX_FILE_BYTES {
            return Err(Unusable::refused(format!("larger than {MAX_FILE_BYTES} bytes")));
        }
        let directory = path.parent().unwrap_or(Path::new("/"));
        let of_directory = std::fs::metadata(directory)
            .map_err(|error| Unusable::refused(format!("its directory cannot be looked at: {error}")))?;
        let any_owner = self.search.allow_untrusted_owner;
        let help = match any_owner {
            true => "take the right to write away from others: chmod o-w, on the file and on its directory",
            false => {
                "give file and directory to root with mode 755, or set allow-untrusted-owner in [plugins] on a \
                 development machine"
            }
        };
        match distrust(path, metadata, any_owner).or_else(|| distrust(directory, &of_directory, any_owner)) {
            None => Ok(()),
            Some(reason) => {
                Err(Unusable::Refused { message: format!("not trusted: {reason}"), help: Some(help.to_owned()) })
            }
        }
    }
}

/// Why a file is not taken.
enum Unusable {
    /// It is being written.
    Changed,
    Refused {
        message: String,
        help: Option<String>,
    },
}

impl Unusable {
    fn refused(message: String) -> Self {
        Self::Refused { message, help: None }
    }
}

/// The plugin that a file name stands for. Names with a dot (`.d` files of Cargo, temporary files) are none.
fn plugin_name(file_name: &str) -> Option<String> {
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

fn milliseconds(seconds: i64, nanoseconds: i64) -> u64 {
    u64::try_from(seconds.saturating_mul(1000).saturating_add(nanoseconds / 1_000_000)).unwrap_or_default()
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
