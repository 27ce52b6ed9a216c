//! Templates and a workspace in a temporary directory, for builds of pools.

#![allow(dead_code, reason = "each test binary uses its own part")]

use crate::illumos_root::IllumosRoot;
use image_steps::{
    BuildError, BuildRequest, Built, EngineError, Location, Progress, Redo, StepState, TargetError, build,
};
use image_tree::{ReadTarOptions, Store, read_tar};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use template::Features;
use zfs_format::nvlist::{NvList, NvValue};
use zfs_image::reader::{BlockCounts, FileSystem, Pool, VerifyOptions};

/// Everything that a build says.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) steps: Mutex<Vec<String>>,
    pub(crate) messages: Mutex<Vec<String>>,
}

impl Progress for Log {
    fn template(&self, _group: &str, _name: &str, _steps: usize) {}
    fn step(&self, _index: usize, title: &str, state: StepState) {
        if state == StepState::Running {
            self.steps.lock().expect("not poisoned").push(title.to_owned());
        }
    }
    fn message(&self, text: &str) {
        self.messages.lock().expect("not poisoned").push(text.to_owned());
    }
    fn detail(&self, _text: &str) {}
}

pub(crate) struct Bench {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) log: Arc<Log>,
}

impl Bench {
    /// A bench without anything to build of.
    pub(crate) fn empty() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for sub in ["templates/g/files", "ext", "work/output"] {
            fs::create_dir_all(directory.path().join(sub)).expect("a directory");
        }
        Self { directory, log: Arc::default() }
    }

    /// A bench whose output directory has the root as `base.tar`.
    pub(crate) fn new(change: impl FnOnce(&mut IllumosRoot)) -> Self {
        let bench = Self::empty();
        let mut root = IllumosRoot::new(bench.directory.path());
        change(&mut root);
        root.write(&bench.output("base.tar"));
        bench
    }

    pub(crate) fn path(&self, text: &str) -> PathBuf {
        self.directory.path().join(text)
    }

    pub(crate) fn output(&self, name: &str) -> PathBuf {
        self.path("work/output").join(name)
    }

    /// A template of group `g` with a pool; `pool` are further fields of it.
    pub(crate) fn template(&self, name: &str, pool: &str, steps: &[&str]) -> &Self {
        let comma = if pool.is_empty() { "" } else { ", " };
        let text = format!(
            "{{\n  \"pool\": {{ \"name\": \"rpool\"{comma}{pool} }},\n  \"steps\": [\n    {}\n  ]\n}}\n",
            steps.join(",\n    ")
        );
        fs::write(self.path(&format!("templates/g/{name}.json")), text).expect("a template");
        self
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
            client_keys: Vec::new(),
            redo: Redo::Nothing,
            evidence: true,
            sizes: false,
            wait: false,
        }
    }

    pub(crate) fn build(&self, name: &str) -> Result<Built, Box<BuildError>> {
        self.log.steps.lock().expect("not poisoned").clear();
        self.log.messages.lock().expect("not poisoned").clear();
        let progress: Arc<dyn Progress> = Arc::clone(&self.log) as Arc<dyn Progress>;
        build(&self.request(name), &progress).map_err(Box::new)
    }

    /// The image that the template makes.
    pub(crate) fn image(&self, name: &str) -> PathBuf {
        let built = self.build(name).unwrap_or_else(|error| panic!("{}", told(&error)));
        built.artifact.expect("a pool has an image").path
    }

    pub(crate) fn failure(&self, name: &str) -> String {
        told(&self.build(name).expect_err("it fails"))
    }

    pub(crate) fn ran(&self) -> Vec<String> {
        self.log.steps.lock().expect("not poisoned").clone()
    }

    pub(crate) fn messages(&self) -> String {
        self.log.messages.lock().expect("not poisoned").join("\n")
    }
}

/// An error as a person sees it: place, message and help.
pub(crate) fn told(error: &BuildError) -> String {
    match error {
        BuildError::Engine(EngineError::Step(diagnostic)) | BuildError::Target(TargetError::Template(diagnostic)) => {
            let origin = diagnostic.origin();
            let place = origin.map(|origin| format!("{}:{}: ", origin.line(), origin.column())).unwrap_or_default();
            format!("{place}{} [{}]", diagnostic.message(), diagnostic.help_text().unwrap_or_default())
        }
        BuildError::Template { diagnostics, .. } => {
            diagnostics.list().iter().map(|diagnostic| diagnostic.message().to_owned()).collect::<Vec<_>>().join("; ")
        }
        other => {
            let mut text = other.to_string();
            let mut cause = std::error::Error::source(other);
            while let Some(inner) = cause {
                text.push_str(&format!(": {inner}"));
                cause = inner.source();
            }
            text
        }
    }
}

/// The root of the repository's own templates.
pub(crate) fn repository_templates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../sysconfig/image/templates")
}

/// Has GRUB read files of the base archive out of an image, and compares every byte. `at` is the image, and what GRUB calls
/// the dataset; what begins with one of `others` is left out.
pub(crate) fn ask_grub(bench: &Bench, at: (&Path, &str), base: &Path, others: &[&str]) {
    let store = Store::open(bench.path("reading")).expect("a store");
    let base = File::open(base).expect("the base");
    let tree = read_tar(base, &store, ReadTarOptions::default()).expect("an archive").tree;
    // GRUB takes what is in quotation marks and the like for its own language, and has not all files of a device.
    let is_plain = |path: &str| path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.+@".contains(&byte));
    let files: Vec<_> = tree
        .walk()
        .filter_map(|entry| Some((entry.path.to_string(), entry.node.content()?.clone())))
        .filter(|(path, content)| is_plain(path) && content.extents().is_none() && content.len() < 32 << 20)
        .filter(|(path, _)| !others.iter().any(|other| path.starts_with(other)))
        .collect();
    assert!(files.len() > 400, "{} files", files.len());
    for (path, content) in files.iter().step_by(files.len().div_ceil(if test_judge::soak() { 5000 } else { 200 })) {
        let place = format!("{}{path}", at.1);
        let image = at.0.to_str().expect("a path of the test's own");
        let Some(output) = test_judge::ask("grub-fstest", "grub-common", &[image, "cat", &place]) else { return };
        let mut bytes = Vec::new();
        store.open_content(content).expect("stored").read_to_end(&mut bytes).expect("readable");
        assert!(output.success() && output.stdout == bytes, "{path}: {}", output.stderr_text());
    }
}

/// The traverse of a whole pool by OpenZFS: every checksum, every reference, every allocated byte.
pub(crate) fn ask_zdb(pool: &Path) {
    let Some(zdb) = test_judge::zdb() else { return };
    let text = pool.to_str().expect("a path of the test's own");
    let run = |arguments: &[&str]| {
        let command = process_runner::Command::new(&zdb).args(arguments).deadline(std::time::Duration::from_secs(900));
        let output = command.run_any().expect("zdb runs");
        (output.success(), format!("{}{}", output.stdout_text(), output.stderr_text()))
    };
    let file = File::open(pool).expect("the pool");
    let length = file.metadata().expect("its size").len();
    let ours = Pool::open(file, length).expect("a pool");
    let (_, labels) = run(&["-l", text]);
    assert!(labels.contains("labels = 0 1 2 3"), "{labels}");
    assert_says_the_same(ours.label_config(), &labels, &|_| false);
    // What is in the pool says the same as its labels, but for what only a label has (`vdev_label.c`).
    let (good, config) = run(&["-e", "-p", text, "-C", "rpool"]);
    assert!(good, "{config}");
    assert_says_the_same(ours.label_config(), &config, &|name| LABEL_ONLY.contains(&name));

    let (good, blocks) = run(&["-e", "-p", text, "-bccvv", "rpool"]);
    assert!(good && blocks.contains("No leaks (block sum matches space maps exactly)"), "{blocks}");
    assert!(!blocks.contains("Error counts"), "{blocks}");
    let found = ours.verify(&VerifyOptions::default());
    assert!(found.is_clean(), "{:?}", found.problems);
    let number = |label: &str| {
        let line = blocks.lines().find_map(|line| line.trim().strip_prefix(label))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let BlockCounts { blocks: count, embedded, logical_bytes, physical_bytes, allocated_bytes } = found.blocks;
    for (label, counted) in [
        ("bp count:", count + embedded),
        ("bp logical:", logical_bytes),
        ("bp physical:", physical_bytes),
        ("bp allocated:", allocated_bytes),
    ] {
        assert_eq!(number(label), Some(counted), "{label} {blocks}");
    }
}

/// What labels have, and the configuration in the pool has not.
const LABEL_ONLY: [&str; 3] = ["top_guid", "guid", "txg"];

/// Every number and every text of a configuration is in what `zdb` says.
fn assert_says_the_same(config: &NvList, said: &str, is_left_out: &dyn Fn(&str) -> bool) {
    for (name, value) in config.pairs() {
        let line = match value {
            NvValue::U64(number) => format!("{name}: {number}"),
            NvValue::String(text) => format!("{name}: '{text}'"),
            NvValue::List(list) => {
                // Below the list the names that only the label's own level has are others.
                assert_says_the_same(list, said, &|_| false);
                continue;
            }
            _ => continue,
        };
        assert!(is_left_out(name) || said.lines().any(|known| known.trim() == line), "no `{line}` in:\n{said}");
    }
}

/// The partition for the pool of a disk that has one for UEFI before it: offset and length in bytes.
pub(crate) fn pool_partition(disk: &Path) -> (u64, u64) {
    let offset = ESP.0 + ESP.1;
    let length = fs::metadata(disk).expect("the disk").len() - offset - (16_384 + 33) * 512;
    (offset, length)
}

/// The EFI system partition of such a disk.
const ESP: (u64, u64) = (256 * 512, 524_288 * 512);

/// Calls `ask` with a file that is a part of a disk: most judges know nothing of partitions.
fn with_part(bench: &Bench, disk: &Path, (offset, length): (u64, u64), ask: impl FnOnce(&Path)) {
    let part = bench.path("partition");
    let file = File::options().read(true).write(true).create_new(true).open(&part).expect("a file");
    let source = File::open(disk).expect("the disk");
    file.set_len(length).expect("a size");
    disk_image::Region::new(&file, 0, length).copy_sparse_range(&source, offset, length).expect("a copy");
    ask(&part);
    fs::remove_file(part).expect("it was there");
}

/// The judges of both file systems of a disk that UEFI boots.
pub(crate) fn ask_about_partitions(bench: &Bench, disk: &Path) {
    with_part(bench, disk, pool_partition(disk), ask_zdb);
    with_part(bench, disk, ESP, |part| {
        let text = part.to_str().expect("a path of the test's own");
        if let Some(said) = test_judge::approve("fsck.fat", "dosfstools", &["-n", "-v", text]) {
            assert!(said.contains("32 bit entries"), "{said}");
            // Some findings are only mentioned.
            assert!(!["differ", "wrong", "Bad ", "Dirty"].iter().any(|finding| said.contains(finding)), "{said}");
        }
    });
}

/// Has GRUB find each regular file of some directories by its path, and compares what it reads with our reader. `at` is the
/// image, and what GRUB calls the dataset.
///
/// Its lists of directories judge names only: for each entry GRUB takes the type in it for a part of the object's
/// number, looks behind the pointers of the meta dnode, and shows or omits the entry by what lies there in its memory.
pub(crate) fn ask_grub_for_directories(at: (&Path, &str), files: &FileSystem<'_>, directories: &[&str]) {
    let image = at.0.to_str().expect("a path of the test's own");
    for directory in directories {
        let place = format!("{}{directory}/", at.1);
        let Some(output) = test_judge::ask("grub-fstest", "grub-common", &[image, "ls", &place]) else { return };
        let said = output.stdout_text();
        let listed = said.split_whitespace().map(|name| name.trim_end_matches('/').to_owned());
        let listed: BTreeSet<String> = listed.filter(|name| !matches!(name.as_str(), "." | "..")).collect();
        let (mut all, mut regular) = (BTreeSet::new(), 0);
        for entry in files.read_dir(&files.lookup(directory.as_bytes(), true).expect(directory)).expect("its entries") {
            let name = String::from_utf8_lossy(&entry.name).into_owned();
            let path = format!("{directory}/{name}");
            let file = files.lookup(path.as_bytes(), false).expect("what it lists");
            if file.is_regular() && file.znode.size < 32 << 20 {
                let mut bytes = vec![0; file.znode.size as usize];
                files.read_at(&file, &mut bytes, 0).expect("readable");
                let cat = [image, "cat", &format!("{}{path}", at.1)];
                let Some(output) = test_judge::ask("grub-fstest", "grub-common", &cat) else { return };
                assert!(output.success() && output.stdout == bytes, "{path}: {}", output.stderr_text());
                regular += 1;
            }
            all.insert(name);
        }
        assert!(regular > 0, "{directory}: no file");
        assert!(listed.is_subset(&all), "{directory}: {all:?}, GRUB lists {listed:?}");
    }
}
