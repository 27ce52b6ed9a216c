//! The SMF method of `svc:/system/dev-9p-mount`, under every shell that is there, with imitations of illumos' commands.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::PATIENCE;
use common::program::program;

const METHOD: &str = "../../image/templates/files/openindiana/dev-9p-mount";
const VFSTAB: &str = "../../image/templates/files/openindiana/vfstab";

/// The paths outside the method itself, which the tests put elsewhere.
const PATHS: [&str; 6] =
    ["/lib/svc/share", "/usr/lib/ninep-mirror", "/usr/lib/fs", "/etc/vfstab", "/etc/mnttab", "/repo"];

/// An imagined illumos.
struct Guest {
    root: tempfile::TempDir,
    shell: PathBuf,
}

impl Guest {
    fn new(shell: &Path) -> Self {
        let guest = Self { root: tempfile::tempdir().unwrap(), shell: shell.to_owned() };
        let include = "SMF_EXIT_OK=0 SMF_EXIT_ERR_FATAL=95 SMF_EXIT_ERR_CONFIG=96\n\
                       smf_kill_contract() { echo \"killed contract $1 with $2\" >>\"$LOG\"; }\n";
        guest.write("lib/svc/share/smf_include.sh", include);
        guest.write("etc/vfstab", &guest.moved(&std::fs::read_to_string(VFSTAB).unwrap()));
        guest.write("etc/mnttab", "rpool/ROOT/be\t/\tzfs\trw\t0\n");
        guest.command(
            "mount",
            "echo \"mount $*\" >>\"$LOG\"; printf 'repo\\t%s\\t9pfs\\tro\\t0\\n' \"$REPO\" >>\"$MNTTAB\"",
        );
        guest.command("umount", "echo \"umount $*\" >>\"$LOG\"; printf '' >\"$MNTTAB\"");
        guest.command("sleep", "exec /bin/sleep 0.05");
        guest.write("method", &guest.moved(&std::fs::read_to_string(METHOD).unwrap()));
        guest
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A text with the paths of this guest.
    fn moved(&self, text: &str) -> String {
        let root = self.root.path().display().to_string();
        PATHS.iter().fold(text.to_owned(), |text, path| text.replace(path, &format!("{root}{path}")))
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn command(&self, name: &str, body: &str) {
        self.write(&format!("bin/{name}"), &format!("#!/bin/sh\n{body}\n"));
    }

    fn mirror(&self, body: &str) {
        self.write("usr/lib/ninep-mirror", &format!("#!/bin/sh\necho \"mirror $*\" >>\"$LOG\"\n{body}\n"));
    }

    /// Runs the method; its exit status and what it said.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        let mut command = program(&self.shell);
        command.arg(self.path("method")).args(arguments).env_clear().env("PATH", path);
        command.env("LOG", self.path("log")).env("MNTTAB", self.path("etc/mnttab")).env("REPO", self.path("repo"));
        // A process that stays must not keep the test waiting for the end of its output.
        let output = std::fs::File::create(self.path("said")).unwrap();
        let status = command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output).status().unwrap();
        (status.code(), self.said())
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.path("said")).unwrap().replace(&self.root.path().display().to_string(), "")
    }

    /// What the imitated commands were told.
    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        log.replace(&self.root.path().display().to_string(), "")
    }
}

/// Runs a test under each shell. illumos' own is ksh93.
fn with_each_shell(test: impl Fn(&Guest)) {
    let mut shells = 0;
    for shell in ["/bin/sh", "/bin/dash", "/bin/bash", "/bin/ksh93", "/usr/bin/ksh93"].map(Path::new) {
        if shell.exists() {
            shells += 1;
            test(&Guest::new(shell));
        }
    }
    assert!(shells > 0);
}

#[test]
fn without_a_file_system_the_mirror_is_started() {
    with_each_shell(|guest| {
        guest.mirror("exit 0");
        assert_eq!(guest.run(&["start"]).0, Some(0));
        let expected = "mirror --smf --dest /repo --expect sysconfig/Cargo.toml --ready-within 240s\n";
        assert_eq!(guest.log(), expected);
    });
}

#[test]
fn the_rows_message_size_is_the_mirrors() {
    with_each_shell(|guest| {
        guest.mirror("exit 0");
        let vfstab = std::fs::read_to_string(guest.path("etc/vfstab")).unwrap();
        guest.write("etc/vfstab", &vfstab.replace("version=9p2000.L", "version=9p2000.L,msize=8192"));
        assert_eq!(guest.run(&["start"]).0, Some(0));
        assert!(guest.log().ends_with("--ready-within 240s --msize 8192\n"), "{}", guest.log());
    });
}

#[test]
fn what_the_mirror_ends_with_is_what_smf_is_told() {
    with_each_shell(|guest| {
        for (mirror, expected) in [(1, 95), (2, 96), (3, 96), (4, 95), (137, 95)] {
            guest.mirror(&format!("exit {mirror}"));
            assert_eq!(guest.run(&["start"]).0, Some(expected), "mirror's {mirror}");
        }
    });
}

#[test]
fn what_is_missing_is_said() {
    with_each_shell(|guest| {
        let (status, said) = guest.run(&["start"]);
        assert_eq!(status, Some(96));
        let expected = "dev-9p-mount: this system has no file system of type 9pfs (/usr/lib/fs/9pfs/mount) and no \
                        /usr/lib/ninep-mirror\n";
        assert_eq!(said, expected);
        guest.write("etc/vfstab", "#device\nswap\t-\t/tmp\ttmpfs\t-\tyes\t-\n");
        assert_eq!(guest.run(&["start"]), (Some(96), "dev-9p-mount: /etc/vfstab has no row for /repo\n".to_owned()));
        assert_eq!(guest.run(&[]).0, Some(96));
    });
}

#[test]
fn a_native_file_system_is_mounted_watched_and_unmounted() {
    with_each_shell(|guest| {
        guest.write("usr/lib/fs/9pfs/mount", "");
        guest.mirror("exit 0");
        assert_eq!(guest.run(&["start"]).0, Some(0));
        let mounted = "mount -F 9pfs -o tag=repo,trans=virtio,version=9p2000.L repo /repo\n";
        assert_eq!(guest.log(), mounted);
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(guest.said(), "", "the process that stays watches");
        // A second start, after its process was killed, finds the mount and does not mount it again.
        assert_eq!(guest.run(&["start"]).0, Some(0));
        assert_eq!(guest.log(), mounted);
        assert_eq!(guest.run(&["stop", "77"]).0, Some(0));
        assert_eq!(guest.log(), format!("{mounted}killed contract 77 with TERM\numount /repo\n"));
        // The watchers notice and end.
        std::fs::write(guest.path("said"), "").unwrap();
        assert_eq!(guest.run(&["start"]).0, Some(0));
        std::fs::write(guest.path("etc/mnttab"), "").unwrap();
        let give_up = Instant::now() + PATIENCE;
        while !guest.said().contains("/repo is not mounted any more") {
            assert!(Instant::now() < give_up, "{}", guest.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    });
}

#[test]
fn stopping_the_mirror_unmounts_nothing() {
    with_each_shell(|guest| {
        assert_eq!(guest.run(&["stop", "78"]).0, Some(0));
        assert_eq!(guest.log(), "killed contract 78 with TERM\n");
    });
}

#[test]
fn a_mount_that_fails_is_told() {
    with_each_shell(|guest| {
        guest.write("usr/lib/fs/9pfs/mount", "");
        guest.command("mount", "echo 'mount: no such device' >&2; exit 1");
        assert_eq!(guest.run(&["start"]), (Some(95), "mount: no such device\n".to_owned()));
    });
}
