//! An imagined illumos: methods run under every POSIX shell that is there, with imitations of its commands.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::FILES;

/// Paths outside the methods themselves, which the tests put elsewhere.
const PATHS: [&str; 21] = [
    "/dev/console",
    "/dev/9p",
    "/etc/shadow",
    "/etc/svc/repository.db",
    "/etc/svc/volatile",
    "/etc/sysconfig.d",
    "/lib/svc/share",
    "/usr/lib/ninep-mirror",
    "/usr/lib/sysconfig-dev-start",
    "/usr/lib/dev-ready",
    "/usr/lib/fs",
    "/usr/sbin/sysconfigctl",
    "/usr/sbin/smbios",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/vfstab",
    "/etc/mnttab",
    "/etc/passwd",
    "/repo",
    "/var/run/sysconfig",
    "/var/tmp",
];

pub(crate) struct Guest {
    root: tempfile::TempDir,
    shell: PathBuf,
}

impl Guest {
    /// With a method of the image.
    fn new(shell: &Path, method: &str) -> Self {
        let guest = Self { root: tempfile::tempdir().unwrap(), shell: shell.to_owned() };
        // As the original, it answers 2 when the contract is not empty in time; the test says when that is.
        let include = "SMF_EXIT_OK=0 SMF_EXIT_ERR_FATAL=95 SMF_EXIT_ERR_CONFIG=96\n\
                       smf_kill_contract() {\n\
                       echo \"killed contract $1 with $2${4:+ within $4 s}\" >>\"$LOG\"\n\
                       [ -z \"$HANGS\" ] || [ \"$2\" = KILL ] || return 2\n\
                       }\n";
        guest.write("lib/svc/share/smf_include.sh", include);
        guest.write("etc/vfstab", &guest.moved(&file("openindiana/vfstab")));
        guest.write("etc/mnttab", "rpool/ROOT/be\t/\tzfs\trw\t0\n");
        // The commands of this guest come first, also where the script says what is first.
        let text = file(method).replace("PATH=/usr/sbin", &format!("PATH={}:/usr/sbin", guest.path("bin").display()));
        // Each wait is played, and takes a process all the same.
        let text = text.replace("patience=120", "patience=12");
        guest.write("method", &guest.moved(&without_builtins(shell, &text)));
        guest
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A text with the paths of this guest.
    fn moved(&self, text: &str) -> String {
        let root = self.root.path().display().to_string();
        PATHS.iter().fold(text.to_owned(), |text, path| with_prefix(&text, path, &root))
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// A command that is found by its name alone.
    pub(crate) fn command(&self, name: &str, body: &str) {
        self.program(&format!("bin/{name}"), body);
    }

    /// A program at its place. It notes how it is called.
    pub(crate) fn program(&self, path: &str, body: &str) {
        let name = path.rsplit('/').next().unwrap();
        self.write(path, &format!("#!/bin/sh\necho \"{name}${{*:+ $*}}\" >>\"$LOG\"\n{body}\n"));
    }

    /// Runs the method; its exit status and what it said.
    pub(crate) fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        self.run_with(arguments, &[])
    }

    /// And with more in its environment than svc.startd gives.
    pub(crate) fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        let mut command = shell(&self.shell);
        command.arg(self.path("method")).args(arguments).env_clear().env("PATH", path);
        command.env("LOG", self.path("log")).env("MNTTAB", self.path("etc/mnttab")).env("REPO", self.path("repo"));
        for name in ["SMF_FMRI", "SMF_METHOD", "SMF_RESTARTER", "SMF_ZONENAME"] {
            command.env(name, "svc:/of/the:test");
        }
        command.envs(environment.iter().copied());
        // A process that stays must not keep the test waiting for the end of its output.
        let output = std::fs::File::create(self.path("said")).unwrap();
        let status = command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output).status().unwrap();
        (status.code(), self.said())
    }

    pub(crate) fn said(&self) -> String {
        self.text("said")
    }

    /// What the imitated commands were told.
    pub(crate) fn log(&self) -> String {
        self.text("log")
    }

    /// A file, with the paths of illumos in it; empty when it is not there.
    pub(crate) fn text(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        text.replace(&self.root.path().display().to_string(), "")
    }
}

/// Puts a prefix before a path wherever it stands; `/repo` does not stand in `/etc/svc/repository.db`.
fn with_prefix(text: &str, path: &str, prefix: &str) -> String {
    let mut parts = text.split(path);
    let mut moved = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_end = !part.starts_with(|next: char| next.is_ascii_alphanumeric());
        moved.extend([if is_end { prefix } else { "" }, path, part]);
    }
    moved
}

/// A ksh93 sleeps by itself, as illumos' own does, and would wait out every time of which the test plays the end.
fn without_builtins(shell: &Path, text: &str) -> String {
    let (first, rest) = text.split_once('\n').expect("a first line");
    match shell.ends_with(KSH93) {
        true => format!("{first}\nbuiltin -d sleep\n{rest}"),
        false => text.to_owned(),
    }
}

#[expect(clippy::disallowed_methods, reason = "what the method leaves running must outlive it, as under svc.startd")]
fn shell(path: &Path) -> Command {
    Command::new(path)
}

fn file(name: &str) -> String {
    std::fs::read_to_string(format!("{FILES}/{name}")).unwrap()
}

/// illumos' own shell.
const KSH93: &str = "ksh93";

/// The shells that are here, each once: on many systems some of these names are links.
fn shells() -> Vec<PathBuf> {
    let ksh93 = test_judge::find(KSH93, "ksh93u+m");
    let others = ["/bin/sh", "/bin/dash", "/bin/bash"].map(PathBuf::from);
    let mut seen = BTreeSet::new();
    let there = ksh93.into_iter().chain(others).filter(|shell| shell.exists());
    there.filter(|shell| seen.insert(shell.canonicalize().expect("a shell that is there"))).collect()
}

/// Runs a long test under the first of them: illumos' own, where it is here.
pub(crate) fn with_one_shell(method: &str, test: impl Fn(&Guest)) {
    test(&Guest::new(&shells()[0], method));
}

/// Runs a test of a method under each shell.
pub(crate) fn with_each_shell(method: &str, test: impl Fn(&Guest)) {
    let shells = shells();
    assert!(!shells.is_empty());
    for shell in shells {
        test(&Guest::new(&shell, method));
    }
}
