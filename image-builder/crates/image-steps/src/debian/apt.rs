//! Asking the host's own `apt` for packages, without touching the host.

use process_runner::{Command, CommandError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a download of everything may take.
const DOWNLOAD_DEADLINE: Duration = Duration::from_secs(3600);

/// `apt` with a state of its own: nothing is installed in it, so that every
/// package a root needs is named, and the host's package lists stay untouched.
#[derive(Debug)]
pub(super) struct Apt {
    directory: PathBuf,
    options: Vec<String>,
}

/// One line of `apt-get --print-uris`: the file that a package would be downloaded to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PrintedUri {
    pub(super) file: String,
    pub(super) size: u64,
}

impl Apt {
    /// Sets the directories up below `directory`.
    pub(super) fn new(directory: &Path, architecture: &str) -> std::io::Result<Self> {
        for sub in ["state/lists/partial", "archives/partial", "nothing/partial"] {
            std::fs::create_dir_all(directory.join(sub))?;
        }
        std::fs::write(directory.join("state/status"), "")?;
        let path = |sub: &str| directory.join(sub).display().to_string();
        let options = vec![
            format!("Dir::State={}", path("state")),
            format!("Dir::State::status={}", path("state/status")),
            format!("Dir::Cache={}", path("")),
            format!("Dir::Cache::archives={}", path("archives")),
            "Dir::Etc::PreferencesParts=/dev/null".to_owned(),
            format!("APT::Architecture={architecture}"),
            format!("APT::Architectures={architecture}"),
            "APT::Install-Recommends=false".to_owned(),
            // The directories are the user's own; `_apt` could not enter them.
            "APT::Sandbox::User=root".to_owned(),
            "Debug::NoLocking=1".to_owned(),
            "Acquire::Languages=none".to_owned(),
        ];
        Ok(Self { directory: directory.to_owned(), options })
    }

    /// Where downloaded package files are.
    pub(super) fn archives(&self) -> PathBuf {
        self.directory.join("archives")
    }

    /// Fetches the package lists of the host's own sources.
    pub(super) fn update(&self) -> Result<(), CommandError> {
        self.apt_get(&["-qq", "update"]).run().map(drop)
    }

    /// Which files installing `wishes` would download.
    pub(super) fn print_uris(&self, wishes: &[String]) -> Result<Vec<PrintedUri>, CommandError> {
        // apt leaves out what is in the cache already, so it is asked about an empty one: a lock made with a
        // filled cache would name only what is new.
        let empty = format!("Dir::Cache::archives={}", self.directory.join("nothing").display());
        let output = self.apt_get(&["-qq", "--yes", "--print-uris", "-o", &empty, "install"]).args(wishes).run()?;
        Ok(parse_uris(&output.stdout_text()))
    }

    /// Downloads what installing `wishes` needs; `apt` checks each file against the signed lists.
    pub(super) fn download_install(
        &self,
        wishes: &[String],
        on_line: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<(), CommandError> {
        let command = self.apt_get(&["--yes", "--download-only", "install"]).args(wishes);
        command.on_line(move |_, line| on_line(line)).run().map(drop)
    }

    /// Downloads exact versions, as long as the archive still carries them.
    pub(super) fn download_exact(&self, names_and_versions: &[String]) -> Result<(), CommandError> {
        self.apt_get(&["-qq", "download"]).args(names_and_versions).current_dir(self.archives()).run().map(drop)
    }

    fn apt_get(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("apt-get").env("LC_ALL", "C").deadline(DOWNLOAD_DEADLINE);
        for option in &self.options {
            command = command.arg("-o").arg(option);
        }
        command.args(arguments)
    }
}

/// Lines look like `'URI' FILE SIZE HASH`; anything else is talk.
fn parse_uris(text: &str) -> Vec<PrintedUri> {
    let parse = |line: &str| {
        let mut words = line.split_whitespace();
        words.next().filter(|uri| uri.starts_with('\''))?;
        let file = words.next().filter(|file| is_plain_file_name(file))?.to_owned();
        Some(PrintedUri { file, size: words.next()?.parse().ok()? })
    };
    text.lines().filter_map(parse).collect()
}

/// A name that stays in its directory.
fn is_plain_file_name(name: &str) -> bool {
    name.ends_with(".deb") && !name.contains('/') && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_uris_are_read_and_talk_is_left_out() {
        let text = "Reading package lists...\n\
            'http://archive.invalid/pool/l/less/less_590-2.1_amd64.deb' less_590-2.1_amd64.deb 132000 SHA256:ab\n\
            'http://archive.invalid/x' ../../etc/passwd.deb 1 SHA256:ab\n";
        let expected = PrintedUri { file: "less_590-2.1_amd64.deb".to_owned(), size: 132_000 };
        assert_eq!(parse_uris(text), [expected]);
    }
}
