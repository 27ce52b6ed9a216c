//! Resolving and building a Debian root.

use super::apt::Apt;
use super::architecture;
use super::error::BootstrapError;
use super::lock::{FORMAT, Lock, LockedPackage};
use super::scratch::Scratch;
use crate::output::{hex, set_mode};
use crate::progress::Progress;
use crate::users::name_of;
use image_tree::{ReadTarOptions, Store, Tree};
use process_runner::{Command, ReadError, Stream};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use template::DebBootstrap;
use workspace_location::find_program;

/// Unpacking and configuring a root takes a minute on a fast machine.
const BOOTSTRAP_DEADLINE: Duration = Duration::from_secs(3600);
/// 2025-01-01T00:00:00Z. What the packages' own scripts write has this time,
/// and files that are newer than it are set back to it, so that the day of the
/// build leaves no trace.
const SOURCE_DATE_EPOCH: &str = "1735689600";

/// One root to be made.
pub struct Bootstrap<'a> {
    wish: &'a DebBootstrap,
    suite: String,
    architecture: String,
    directory: PathBuf,
    progress: Arc<dyn Progress>,
}

impl std::fmt::Debug for Bootstrap<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bootstrap").field("wish", self.wish).field("suite", &self.suite).finish_non_exhaustive()
    }
}

impl<'a> Bootstrap<'a> {
    /// A root for `wish`; package files and locks are kept below `directory`.
    ///
    /// # Errors
    /// When suite or architecture are the host's and the host does not say which it has.
    pub fn new(wish: &'a DebBootstrap, directory: &Path, progress: Arc<dyn Progress>) -> Result<Self, BootstrapError> {
        let suite = match wish.suite.as_str() {
            "host" => host_suite()?,
            named => named.to_owned(),
        };
        let architecture = architecture::of(wish)?;
        Ok(Self { wish, suite, architecture, directory: directory.to_owned(), progress })
    }

    /// Where the lock of this wish is: another wish has another lock.
    #[must_use]
    pub fn lock_path(&self) -> PathBuf {
        let wish = serde_json::to_vec(self.wish).expect("a wish is plain text");
        let hash = blake3::hash(&wish).to_hex();
        self.directory.join(format!("{}-{}-{}.lock", self.suite, self.architecture, &hash[..12]))
    }

    /// The lock: the one that is there, or a new one when there is none or `refresh` asks for it.
    ///
    /// # Errors
    /// When the lock cannot be read, or the packages cannot be resolved.
    pub fn lock(&self, refresh: bool) -> Result<Lock, BootstrapError> {
        let path = self.lock_path();
        if let (Some(lock), false) = (Lock::read(&path)?, refresh) {
            return Ok(lock);
        }
        let lock = self.resolve()?;
        lock.write(&path)?;
        Ok(lock)
    }

    /// Makes the root of exactly the packages in `lock` and reads it into `store`.
    ///
    /// # Errors
    /// When a package file is missing or wrong, or `mmdebstrap` fails.
    pub fn build(&self, lock: &Lock, store: &Store) -> Result<Tree, BootstrapError> {
        require("mmdebstrap", "mmdebstrap")?;
        if !rustix::process::geteuid().is_root() {
            require("newuidmap", "uidmap")?;
            check_subordinate_ids()?;
        }
        let apt = self.apt()?;
        self.fetch_missing(lock, &apt)?;
        let scratch = self.scratch()?;
        let archive = self.stage(lock, &apt.archives(), scratch.path())?;
        self.run_mmdebstrap(&archive, &scratch.temporary(), store)
    }

    fn apt(&self) -> Result<Apt, BootstrapError> {
        require("apt-get", "apt")?;
        Apt::new(&self.directory, &self.architecture).map_err(|source| BootstrapError::File {
            operation: "set up",
            path: self.directory.clone(),
            source,
        })
    }

    fn resolve(&self) -> Result<Lock, BootstrapError> {
        if self.suite != host_suite()? {
            let reason = format!("its packages are not those of {}", self.suite);
            return Err(BootstrapError::Host { reason });
        }
        let apt = self.apt()?;
        let failed = |operation| move |source| BootstrapError::Command { operation, source };
        self.progress.message("fetching package lists");
        apt.update().map_err(failed("fetch the package lists"))?;
        let wishes = self.wishes();
        let uris = apt.print_uris(&wishes).map_err(failed("resolve the packages"))?;
        let bytes: u64 = uris.iter().map(|uri| uri.size).sum();
        self.progress.message(&format!("downloading {} packages, {} MiB", uris.len(), bytes >> 20));
        let progress = Arc::clone(&self.progress);
        apt.download_install(&wishes, move |line| progress.detail(line)).map_err(failed("download the packages"))?;
        let mut packages = Vec::new();
        for uri in uris {
            let path = apt.archives().join(&uri.file);
            packages.push(LockedPackage { sha256: sha256_of(&path)?, size: uri.size, file: uri.file });
        }
        packages.sort();
        Ok(Lock { format: FORMAT, suite: self.suite.clone(), architecture: self.architecture.clone(), packages })
    }

    /// What `apt` is asked for: what `mmdebstrap`'s variant stands for, then the packages by name.
    fn wishes(&self) -> Vec<String> {
        let mut wishes = vec!["?essential".to_owned(), "apt".to_owned()];
        if self.wish.variant == "minbase" {
            wishes.push("?priority(required)".to_owned());
        }
        wishes.extend(self.packages());
        wishes
    }

    fn packages(&self) -> Vec<String> {
        architecture::packages(self.wish, &self.architecture, &os_release().unwrap_or_default())
    }

    fn fetch_missing(&self, lock: &Lock, apt: &Apt) -> Result<(), BootstrapError> {
        let archives = apt.archives();
        let is_missing = |package: &&LockedPackage| !archives.join(&package.file).is_file();
        let missing: Vec<&LockedPackage> = lock.packages.iter().filter(is_missing).collect();
        let Some(first) = missing.first() else { return Ok(()) };
        self.progress.message(&format!("downloading {} locked packages", missing.len()));
        let exact: Vec<String> = missing.iter().filter_map(|package| package.name_and_version()).collect();
        apt.update().and_then(|()| apt.download_exact(&exact)).map_err(|source| BootstrapError::Gone {
            count: missing.len(),
            first: first.file.clone(),
            directory: archives.clone(),
            source: Box::new(source),
        })
    }

    fn scratch(&self) -> Result<Scratch, BootstrapError> {
        let path = std::env::temp_dir();
        Scratch::new(&self.directory).map_err(|source| BootstrapError::File { operation: "make", path, source })
    }

    /// A flat archive of just the locked files, where the subordinate ids of `mmdebstrap` can read it.
    fn stage(&self, lock: &Lock, archives: &Path, scratch: &Path) -> Result<PathBuf, BootstrapError> {
        let failed = |operation, path: &Path| {
            let path = path.to_owned();
            move |source| BootstrapError::File { operation, path, source }
        };
        require("dpkg-deb", "dpkg")?;
        let stage = scratch.join("archive");
        fs::create_dir(&stage).map_err(failed("make", &stage))?;
        set_mode(&stage, 0o755).map_err(failed("open", &stage))?;
        let mut index = String::new();
        for package in &lock.packages {
            let (from, to) = (archives.join(&package.file), stage.join(&package.file));
            let found = sha256_of(&from)?;
            if found != package.sha256 {
                return Err(BootstrapError::Digest { path: from, found, locked: package.sha256.clone() });
            }
            fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop)).map_err(failed("copy", &from))?;
            // Whatever the umask is: mmdebstrap reads all of it as another user.
            set_mode(&to, 0o644).map_err(failed("open", &to))?;
            let control = Command::new("dpkg-deb").arg("-f").arg(&to).run();
            let control = control.map_err(|source| BootstrapError::Command { operation: "read a package", source })?;
            index.push_str(control.stdout_text().trim_end());
            let _ = write!(index, "\nFilename: ./{}\nSize: {}\nSHA256: {found}\n\n", package.file, package.size);
        }
        let release = release_text(lock, &index);
        for (name, text) in [("Packages", index), ("Release", release)] {
            let path = stage.join(name);
            fs::write(&path, text).map_err(failed("write", &path))?;
            set_mode(&path, 0o644).map_err(failed("open", &path))?;
        }
        Ok(stage)
    }

    fn run_mmdebstrap(&self, archive: &Path, temporary: &Path, store: &Store) -> Result<Tree, BootstrapError> {
        let mode = if rustix::process::geteuid().is_root() { "root" } else { "unshare" };
        self.progress.message(&format!("mmdebstrap makes the root (mode {mode})"));
        let progress = Arc::clone(&self.progress);
        let command = Command::new("mmdebstrap")
            .arg(format!("--mode={mode}"))
            .arg(format!("--variant={}", self.wish.variant))
            .arg(format!("--architectures={}", self.architecture))
            .arg(format!("--include={}", self.packages().join(",")))
            .arg("--format=tar")
            // The host's resolver and name, and the path of the temporary archive, are nobody's business there.
            .arg("--customize-hook=rm -f \"$1/etc/resolv.conf\" \"$1/etc/hostname\" \"$1/etc/apt/sources.list\"")
            .args([self.suite.as_str(), "-"])
            .arg(format!("deb [trusted=yes] copy://{} ./", archive.display()))
            .env("TMPDIR", temporary)
            .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH)
            .env("LC_ALL", "C")
            .deadline(BOOTSTRAP_DEADLINE)
            .on_line(move |stream, line| {
                if stream == Stream::Stderr {
                    progress.detail(line);
                }
            });
        let read = command.run_reading(|tar| image_tree::read_tar(tar, store, ReadTarOptions::default()));
        let operation = "make the root with mmdebstrap";
        Ok(read
            .map_err(|error| match error {
                ReadError::Command(source) => BootstrapError::Command { operation, source },
                ReadError::Reader(error) => BootstrapError::Tar(Box::new(error)),
                both @ ReadError::Both { .. } => BootstrapError::Program { operation, source: Box::new(both) },
            })?
            .tree)
    }
}

/// `mmdebstrap` narrows its choice to the suite by the code name of a Release file.
fn release_text(lock: &Lock, index: &str) -> String {
    let digest = hex(&Sha256::digest(index.as_bytes()));
    format!(
        "Codename: {suite}\nSuite: {suite}\nArchitectures: {}\nDate: Wed, 01 Jan 2025 00:00:00 UTC\nSHA256:\n {digest} {} Packages\n",
        lock.architecture,
        index.len(),
        suite = lock.suite,
    )
}

fn os_release() -> Option<String> {
    fs::read_to_string("/etc/os-release").ok()
}

fn host_suite() -> Result<String, BootstrapError> {
    let host = |reason: &str| BootstrapError::Host { reason: reason.to_owned() };
    let text = os_release().ok_or_else(|| host("it has no /etc/os-release"))?;
    parse_suite(&text).ok_or_else(|| host("its /etc/os-release has no VERSION_CODENAME"))
}

/// The code name in os-release(5).
fn parse_suite(os_release: &str) -> Option<String> {
    let value = os_release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    let value = value.trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| value.to_owned())
}

fn require(program: &'static str, package: &'static str) -> Result<(), BootstrapError> {
    if find_program(program).is_some() { Ok(()) } else { Err(BootstrapError::Missing { program, package }) }
}

/// subuid(5): `NAME_OR_UID:START:COUNT` for each range.
fn check_subordinate_ids() -> Result<(), BootstrapError> {
    let uid = rustix::process::getuid().as_raw();
    let user = name_of(uid);
    for file in ["/etc/subuid", "/etc/subgid"] {
        let text = fs::read_to_string(file).unwrap_or_default();
        let owns = |line: &str| line.split(':').next().is_some_and(|owner| owner == user || owner == uid.to_string());
        if !text.lines().any(owns) {
            return Err(BootstrapError::NoSubordinateIds { file, user });
        }
    }
    Ok(())
}

fn sha256_of(path: &Path) -> Result<String, BootstrapError> {
    let failed = |source| BootstrapError::File { operation: "read", path: path.to_owned(), source };
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(path).map_err(failed)?, &mut hasher).map_err(failed)?;
    Ok(hex(&hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suite_is_the_code_name() {
        for (text, expected) in [
            ("ID=debian\nVERSION_CODENAME=bookworm\n", Some("bookworm")),
            ("VERSION_CODENAME=\"noble\"\n", Some("noble")),
            ("ID=arch\n", None),
            ("VERSION_CODENAME=\n", None),
        ] {
            assert_eq!(parse_suite(text).as_deref(), expected);
        }
    }
}
