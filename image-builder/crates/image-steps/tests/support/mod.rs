//! Templates, external files and a workspace, and what a build of them leaves.

#![allow(dead_code, reason = "each test program uses its own part")]

use image_steps::{BuildError, BuildRequest, EngineError, Location, Progress, Redo, StepState, build};
use image_tree::{Follow, ImagePath, ReadTarOptions, Store, Tree, read_tar};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use template::Features;

/// Templates, external files and a workspace in a temporary directory.
pub(crate) struct Bench {
    pub(crate) directory: tempfile::TempDir,
}

/// Remembers which steps ran.
#[derive(Default)]
pub(crate) struct Ran(pub(crate) Mutex<Vec<String>>);

impl Progress for Ran {
    fn template(&self, _group: &str, _name: &str, _steps: usize) {}
    fn step(&self, _index: usize, title: &str, state: StepState) {
        if state == StepState::Running {
            self.0.lock().expect("not poisoned").push(title.to_owned());
        }
    }
    fn message(&self, _text: &str) {}
    fn detail(&self, _text: &str) {}
}

impl Bench {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for sub in ["templates/g/files", "ext"] {
            fs::create_dir_all(directory.path().join(sub)).expect("a directory");
        }
        Self { directory }
    }

    pub(crate) fn path(&self, text: &str) -> PathBuf {
        self.directory.path().join(text)
    }

    pub(crate) fn write(&self, path: &str, text: &str) -> &Self {
        fs::write(self.path(path), text).expect("a file is written");
        self
    }

    /// A template of group `g` with a dataset target of its own name.
    pub(crate) fn template(&self, name: &str, steps: &str) -> &Self {
        let text = format!(r#"{{ "dataset": {{ "name": "{name}" }}, "steps": [ {steps} ] }}"#);
        self.write(&format!("templates/g/{name}.json"), &text)
    }

    pub(crate) fn request(&self, name: &str) -> BuildRequest {
        BuildRequest {
            svccfg: None,
            location: Location::Directory(self.path("work")),
            roots: vec![self.path("templates")],
            external: vec![self.path("ext")],
            group: "g".to_owned(),
            name: name.to_owned(),
            output_name: None,
            features: Features::default(),
            lenient: false,
            no_deps: false,
            refresh: false,
            redo: Redo::Nothing,
            evidence: true,
            sizes: false,
            wait: false,
            client_keys: Vec::new(),
        }
    }

    /// Builds and answers the steps that ran.
    pub(crate) fn build(&self, name: &str) -> Result<Vec<String>, Box<BuildError>> {
        let ran = Arc::new(Ran::default());
        let progress: Arc<dyn Progress> = Arc::clone(&ran) as Arc<dyn Progress>;
        build(&self.request(name), &progress).map_err(Box::new)?;
        let ran = ran.0.lock().expect("not poisoned").clone();
        Ok(ran)
    }

    pub(crate) fn failure(&self, name: &str) -> String {
        match *self.build(name).expect_err("it fails") {
            BuildError::Engine(EngineError::Step(diagnostic)) => {
                let origin = diagnostic.origin().map(|origin| format!("{}: ", origin.line())).unwrap_or_default();
                format!("{origin}{} [{}]", diagnostic.message(), diagnostic.help_text().unwrap_or_default())
            }
            other => other.to_string(),
        }
    }

    pub(crate) fn packed(&self, name: &str) -> (Tree, Store) {
        let store = Store::open(self.path("reading")).expect("a store");
        let file = fs::File::open(self.path("work/output").join(name)).expect("the archive is there");
        let tree = read_tar(file, &store, ReadTarOptions::default()).expect("it can be read").tree;
        (tree, store)
    }

    pub(crate) fn text(&self, archive: &str, path: &str) -> String {
        let (tree, store) = self.packed(archive);
        let (_, node) = tree.lookup(&at(path), Follow::Yes).expect("the file is there");
        let blob = node.content().expect("a regular file").blob();
        String::from_utf8(store.read_blob(blob).expect("its content")).expect("text")
    }
}

pub(crate) fn at(path: &str) -> ImagePath {
    ImagePath::new(path).expect("a path")
}

pub(crate) const DIR: &str = r#"{ "t": "ensure_dir", "dir": "/etc", "owner": "root", "group": "sys", "mode": "755" }"#;
pub(crate) const OWNER: &str = r#""owner": "root", "group": "root", "mode": "644""#;

pub(crate) fn contents(file: &str, text: &str) -> String {
    format!(r#"{{ "t": "ensure_file", "file": "{file}", "contents": "{text}", {OWNER} }}"#)
}

pub(crate) fn steps(steps: &[&str]) -> String {
    steps.join(", ")
}

pub(crate) const PACK: &str = r#"{ "t": "pack_tar", "name": "out.tar" }"#;
