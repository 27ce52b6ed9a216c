//! A workspace with a made-up root, in which images are built and looked at.

use crate::illumos_root::IllumosRoot;
use process_runner::Command;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) const MIB: u64 = 1 << 20;
/// Where the pool's partition begins on a disk with an EFI system partition.
pub(crate) const POOL_OFFSET: u64 = (256 + 524_288) * 512;
/// What a template says of such a disk.
pub(crate) const DISK: &str = r#""size": 500, "uefi": true"#;

pub(crate) struct Scene {
    pub(crate) directory: tempfile::TempDir,
}

/// What a run answered.
pub(crate) struct Answer {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Scene {
    /// A scene with a made-up root as `base.tar`.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for sub in ["templates/g", "ext", "images/output"] {
            fs::create_dir_all(directory.path().join(sub)).expect("a directory");
        }
        let root = IllumosRoot::new(directory.path());
        root.write(&directory.path().join("images/output/base.tar"));
        Self { directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Answer {
        let output = Command::new(env!("CARGO_BIN_EXE_image-builder"))
            .args(arguments)
            .current_dir(self.directory.path())
            .deadline(Duration::from_secs(300))
            .run_any()
            .expect("image-builder runs");
        // A person's terminal may be narrow; what was said is the same.
        let stderr = output.stderr_text().replace("\n  │ ", " ");
        Answer { status: output.code, stdout: output.stdout_text(), stderr }
    }

    /// Runs and expects success; answers standard output.
    pub(crate) fn good(&self, arguments: &[&str]) -> String {
        let answer = self.run(arguments);
        assert_eq!(answer.status, Some(0), "{arguments:?}: {}{}", answer.stdout, answer.stderr);
        answer.stdout
    }

    /// Builds an image of the root; `more` are further steps.
    pub(crate) fn build(&self, name: &str, pool: &str, more: &[&str]) -> PathBuf {
        let mut steps = vec![
            r#"{ "t": "create_be" }"#,
            r#"{ "t": "unpack_tar", "name": "base.tar" }"#,
            r#"{ "t": "create_dataset", "name": "home", "mountpoint": "/export/home" }"#,
            r#"{ "t": "ensure_symlink", "link": "/etc/svc/profile/generic.xml", "target": "generic_limited_net.xml", "owner": "root", "group": "root" }"#,
            r#"{ "t": "seed_smf" }"#,
        ];
        steps.extend(more);
        steps.push(r#"{ "t": "make_bootable" }"#);
        let text = format!(
            r#"{{ "pool": {{ "name": "rpool", "bename": "be", {pool} }}, "steps": [ {} ] }}"#,
            steps.join(", ")
        );
        fs::write(self.path(&format!("templates/g/{name}.json")), text).expect("a template");
        // One name for all: the identifiers of an image come from its name.
        let arguments =
            ["build", "-d", "./images", "-T", "templates", "-E", "ext", "-g", "g", "-n", name, "-N", "image"];
        self.good(&arguments);
        let image = self.path(name);
        fs::rename(self.path("images/output/g-image.raw"), &image).expect("the image");
        image
    }
}
