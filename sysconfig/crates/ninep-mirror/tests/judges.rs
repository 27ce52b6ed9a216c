//! Programs nobody here wrote: `diod`, a server of 9P2000.L, and git, which writes the index.

mod common;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::program::{mirror, program};
use common::{PATIENCE, RELEASE, tree};
use ninep_mirror::selection::read_index;

/// diod, serving a directory at a UNIX socket and a TCP port; ended when this is dropped.
struct Diod {
    child: Child,
    directory: tempfile::TempDir,
    program: PathBuf,
    address: String,
}

impl Diod {
    fn start() -> Option<Self> {
        let program = test_judge::find("diod", "diod")?;
        let directory = tempfile::tempdir().unwrap();
        let share = directory.path().join("share");
        std::fs::create_dir(&share).unwrap();
        // A port that was free a moment ago.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let child = Self::command(&program, directory.path(), &address).spawn().unwrap();
        let diod = Self { child, directory, program, address };
        diod.wait();
        Some(diod)
    }

    fn command(judge: &Path, directory: &Path, address: &str) -> Command {
        let mut command = program(judge);
        command.args(["-f", "-n", "-N", "-L", "stderr", "-c", "/dev/null", "-l", address, "-l"]);
        command.arg(directory.join("socket")).arg("-e").arg(directory.join("share"));
        command.stdin(Stdio::null()).stderr(std::fs::File::create(directory.join("log")).unwrap());
        command
    }

    fn wait(&self) {
        let give_up = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(&self.address).is_err() {
            let log = std::fs::read_to_string(self.directory.path().join("log"));
            assert!(Instant::now() < give_up, "diod does not listen: {log:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        drop(std::fs::remove_file(self.directory.path().join("socket")));
        self.child = Self::command(&self.program, self.directory.path(), &self.address).spawn().unwrap();
        self.wait();
    }

    fn share(&self) -> PathBuf {
        self.directory.path().join("share")
    }

    fn write(&self, name: &str, content: &[u8], mode: u32) {
        let path = self.share().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // As cargo does it: a new file takes the name.
        let temporary = path.with_extension("new");
        std::fs::write(&temporary, content).unwrap();
        std::fs::set_permissions(&temporary, PermissionsExt::from_mode(mode)).unwrap();
        std::fs::rename(&temporary, &path).unwrap();
    }

    /// The mirror of the share: as the user who runs the test, because diod serves nobody else unless it is root.
    fn mirror(&self, endpoint: &str) -> Command {
        let mut command = mirror(&self.directory.path().join("repo"));
        let user = rustix::process::geteuid().as_raw().to_string();
        command.arg("--tree").arg(self.share()).args(["--user", &user]);
        match endpoint {
            "--tcp" => command.args(["--tcp", &self.address]),
            _ => command.arg("--socket").arg(self.directory.path().join("socket")),
        };
        command
    }
}

impl Drop for Diod {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn git(directory: &Path, arguments: &[&str]) -> String {
    let mut command = program("git".as_ref());
    command.current_dir(directory).args(["-c", "user.name=t", "-c", "user.email=t@example.org"]).args(arguments);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    let output = command.output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Some files of each kind, of which not all are tracked.
fn fill(diod: &Diod) {
    diod.write("README.md", b"read me", 0o644);
    diod.write("docs/a file with spaces ä.md", &[b'x'; 200_000], 0o644);
    diod.write("tools/script", b"#!/bin/sh\n", 0o755);
    diod.write("untracked", b"no", 0o644);
    diod.write(&format!("{RELEASE}/plugin"), &vec![7; 3_000_000], 0o755);
    diod.write(&format!("{RELEASE}/plugin.d"), b"no", 0o644);
    diod.write(&format!("{RELEASE}/deps/plugin-1"), b"no", 0o755);
    symlink("../README.md", diod.share().join("docs/link")).unwrap();
    git(&diod.share(), &["init", "-q"]);
    git(&diod.share(), &["add", "README.md", "docs", "tools"]);
}

/// What the destination must hold, by what git says.
fn expected(diod: &Diod) -> std::collections::BTreeMap<String, String> {
    let tracked = git(&diod.share(), &["ls-files", "-z"]);
    let mut files = tree(&diod.share());
    files.retain(|name, _| tracked.split('\0').any(|it| it == name) || *name == format!("{RELEASE}/plugin"));
    files
}

#[test]
fn diod_serves_what_the_mirror_copies() {
    let Some(diod) = Diod::start() else { return };
    fill(&diod);
    let repo = diod.directory.path().join("repo");
    for (endpoint, msize) in [("--tcp", "1024"), ("--tcp", "8192"), ("--socket", "65536")] {
        let output = diod.mirror(endpoint).args(["--once", "--msize", msize]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(tree(&repo), expected(&diod), "{endpoint} {msize}");
        std::fs::remove_dir_all(&repo).unwrap();
    }
    // Changes: content, mode, a new file, a vanished one, and all over again.
    assert!(diod.mirror("--tcp").arg("--once").output().unwrap().status.success());
    diod.write("README.md", b"READ ME", 0o644);
    diod.write("tools/script", b"#!/bin/sh\n", 0o644);
    diod.write("docs/new/file", b"new", 0o644);
    git(&diod.share(), &["rm", "-q", "-f", "docs/link"]);
    git(&diod.share(), &["add", "docs"]);
    let output = diod.mirror("--tcp").args(["--once", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(tree(&repo), expected(&diod));
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.lines().filter(|line| line.contains("\"event\":\"copied\"")).count(), 3, "{said}");
}

#[test]
fn diod_may_be_started_again() {
    let Some(mut diod) = Diod::start() else { return };
    fill(&diod);
    let mut command = diod.mirror("--tcp");
    let mut running = common::program::Running::start(command.args(["--interval", "100ms"]));
    running.wait_for("round 1");
    diod.restart();
    running.wait_for("trying again");
    diod.write(&format!("{RELEASE}/plugin"), b"new", 0o755);
    running.wait_for("copied sysconfig/target/release/plugin, 3 bytes");
    assert_eq!(tree(&diod.directory.path().join("repo")), expected(&diod));
}

#[test]
fn git_and_the_mirror_agree_on_what_is_tracked() {
    if test_judge::find("git", "git").is_none() {
        return;
    }
    for format in ["sha1", "sha256"] {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        git(root, &["init", "-q", "--object-format", format]);
        for name in ["a", "b/c", "b/d/e", "b c", "z", &"long".repeat(50), "intent"] {
            std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            std::fs::write(root.join(name), name).unwrap();
        }
        symlink("a", root.join("link")).unwrap();
        git(root, &["add", "a", "b", "b c", "z", "link", &"long".repeat(50)]);
        git(root, &["commit", "-q", "-m", "x"]);
        // Flags of version 3, and an extension after the entries.
        git(root, &["add", "--intent-to-add", "intent"]);
        for version in ["2", "3", "4"] {
            git(root, &["update-index", "--index-version", version]);
            let bytes = std::fs::read(root.join(".git/index")).unwrap();
            let hash_bytes = if format == "sha1" { 20 } else { 32 };
            let tracked = read_index(&mut bytes.as_slice(), hash_bytes, 100).unwrap();
            let names: Vec<_> = tracked.paths.iter().map(ToString::to_string).collect();
            let listed = git(root, &["ls-files", "-z"]);
            assert_eq!(names, listed.split_terminator('\0').collect::<Vec<_>>(), "{format}, version {version}");
            let other = if hash_bytes == 20 { 32 } else { 20 };
            assert!(read_index(&mut bytes.as_slice(), other, 100).is_err(), "{format}, version {version}");
        }
        git(root, &["update-index", "--split-index"]);
        let bytes = std::fs::read(root.join(".git/index")).unwrap();
        let hash_bytes = if format == "sha1" { 20 } else { 32 };
        assert!(read_index(&mut bytes.as_slice(), hash_bytes, 100).is_err(), "half of the entries are elsewhere");
    }
}
