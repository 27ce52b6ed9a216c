//! Templates and a workspace in a temporary directory, and the program run there.

#![allow(dead_code, reason = "each test program uses its own part")]

use process_runner::{Command, Output};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// Templates of group `g` and a workspace.
pub(crate) struct Scene(TempDir);

pub(crate) const OWNER: &str = r#""owner": "root", "group": "root", "mode": "644""#;

impl Scene {
    /// `base` packs a tar of two files, one from `files/a`; `fat` makes a FAT image of it.
    pub(crate) fn new() -> Self {
        let scene = Self(tempfile::tempdir().expect("a temporary directory"));
        fs::create_dir_all(scene.path("templates/g/files")).expect("a directory");
        scene.write("templates/g/files/a", "one");
        let a = format!(r#"{{ "t": "ensure_file", "file": "/a", "src": "a", {OWNER} }}"#);
        let b = format!(r#"{{ "t": "ensure_file", "file": "/b", "contents": "b", {OWNER} }}"#);
        scene.write(
            "templates/g/base.json",
            &format!(
                r#"{{ "dataset": {{ "name": "d" }}, "steps": [ {a}, {b}, {{ "t": "pack_tar", "name": "b.tar" }} ] }}"#
            ),
        );
        let more = format!(r#"{{ "t": "ensure_file", "with": "more", "file": "/more", "contents": "m", {OWNER} }}"#);
        scene.write(
            "templates/g/fat.json",
            &format!(
                r#"{{ "pcfs": {{ "label": "X", "size": 2 }}, "steps": [ {{ "t": "unpack_tar", "name": "b.tar" }}, {more} ] }}"#
            ),
        );
        scene
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).expect("written");
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).expect(path)
    }

    pub(crate) fn run(&self, words: &str) -> Output {
        let program = Command::new(env!("CARGO_BIN_EXE_image-builder")).env("NO_COLOR", "1");
        program.args(words.split_whitespace()).current_dir(self.0.path()).run_any().expect("it runs")
    }

    pub(crate) fn good(&self, words: &str) -> String {
        let output = self.run(words);
        assert!(output.success(), "{words}: {}", output.stderr_text());
        output.stdout_text()
    }

    /// What a good run says on standard error.
    pub(crate) fn said(&self, words: &str) -> String {
        let output = self.run(words);
        assert!(output.success(), "{words}: {}", output.stderr_text());
        output.stderr_text()
    }

    pub(crate) fn json(&self, words: &str) -> Value {
        serde_json::from_str(&self.good(words)).expect(words)
    }
}
