//! A repository with templates, tools that play the parts of the real ones, and the program under test.

use crate::kills::Sums;
use ips::time::OperationTime;
use ips_client::repository::publish::Publication;
use ips_testing::PublishLines;
use process_runner::{Command, Detached, Output};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(180);
const TOOLS: [(&str, &str); 6] = [
    ("apt-get", include_str!("tools/apt-get")),
    ("mmdebstrap", include_str!("tools/mmdebstrap")),
    ("dpkg-deb", include_str!("tools/dpkg-deb")),
    ("dpkg", include_str!("tools/dpkg")),
    ("newuidmap", include_str!("tools/newuidmap")),
    ("common", include_str!("tools/common")),
];
const BASE: &str = r#"{ "dataset": { "name": "base" }, "steps": [
    { "t": "deb_bootstrap", "suite": "host", "architecture": "host", "packages": [ "linux-image", "less" ] },
    { "t": "pack_tar", "name": "base.tar" }
] }"#;
const OWNER: &str = r#""owner": "root", "group": "root", "mode": "644""#;

pub(crate) struct Scene {
    directory: tempfile::TempDir,
}

/// A build that goes on.
pub(crate) struct Running {
    process: Detached,
    log: PathBuf,
}

impl Scene {
    /// `None`, told loudly, on a host where `deb_bootstrap` cannot even be tried.
    pub(crate) fn new() -> Option<Self> {
        let os_release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        if !os_release.contains("VERSION_CODENAME=") {
            test_judge::skip("this host is not a Debian-like system");
            return None;
        }
        let scene = Self::empty();
        for (name, text) in TOOLS {
            fs::write(scene.path("tools").join(name), text).unwrap();
            fs::set_permissions(scene.path("tools").join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        for package in ["less", "linux-image-amd64", "systemd"] {
            fs::write(scene.path("pool").join(format!("{package}_1_all.deb")), package.repeat(500)).unwrap();
        }
        let steps = format!(
            r#"{{ "t": "unpack_tar", "name": "base.tar" }},
               {{ "t": "ensure_file", "file": "/etc/motd", "src": "motd", {OWNER} }}"#
        );
        let disk = r#""disk": { "size": "auto", "esp_size": 36, "root_free": 8, "root_label": "root" }"#;
        let pack = r#"{ "t": "pack_tar", "name": "image.tar" }"#;
        scene.template("base", BASE);
        scene.template("archive", &format!(r#"{{ "dataset": {{ "name": "i" }}, "steps": [ {steps}, {pack} ] }}"#));
        scene.template("disk", &format!(r#"{{ {disk}, "steps": [ {steps} ] }}"#));
        scene.make_root();
        Some(scene)
    }

    /// Templates that need no tools: `tar`, and `disc`, which begins like it and takes what it packs.
    pub(crate) fn plain() -> Self {
        let scene = Self::empty();
        let mut steps =
            vec![r#"{ "t": "ensure_dir", "dir": "/etc", "owner": "root", "group": "root", "mode": "755" }"#.to_owned()];
        for part in 0..5_usize {
            let text: String = (0..60_000).map(|number| format!("{part}{number:06x}\n")).collect();
            fs::write(scene.path("templates/g/files").join(format!("part{part}")), text).unwrap();
            steps.push(format!(r#"{{ "t": "ensure_file", "file": "/etc/part{part}", "src": "part{part}", {OWNER} }}"#));
        }
        steps.extend([3, 4].map(|part| format!(r#"{{ "t": "remove_files", "file": "/etc/part{part}" }}"#)));
        fs::create_dir(scene.path("templates/g/include")).unwrap();
        let common = format!(r#"{{ "steps": [ {} ] }}"#, steps.join(", "));
        fs::write(scene.path("templates/g/include/common.json"), common).unwrap();
        let common = r#"{ "t": "include", "name": "common" }"#;
        let motd = format!(r#"{{ "t": "ensure_file", "file": "/etc/motd", "src": "motd", {OWNER} }}"#);
        let pack = r#"{ "t": "pack_tar", "name": "image.tar" }"#;
        scene.template(
            "tar",
            &format!(
                r#"{{ "dataset": {{ "name": "i", "output_snapshot": "done" }}, "steps": [ {common}, {motd}, {pack} ] }}"#
            ),
        );
        let unpack = r#"{ "t": "unpack_tar", "name": "image.tar", "into_tmp": true }"#;
        let taken = format!(r#"{{ "t": "ensure_file", "file": "/etc/taken", "tarsrc": "/etc/motd", {OWNER} }}"#);
        scene.template(
            "disc",
            &format!(r#"{{ "iso": {{ "volume_id": "Disc" }}, "steps": [ {common}, {unpack}, {taken} ] }}"#),
        );
        scene
    }

    /// The template `pool`, whose image has three forms, and `tree`, which begins like it. What converts the image does as
    /// the file `conversion` says first.
    pub(crate) fn pool() -> Self {
        let scene = Self::empty();
        let common = format!(
            r#"{{ "t": "ensure_dir", "dir": "/etc", {OWNER} }},
               {{ "t": "ensure_symlink", "link": "/etc/issue", "target": "motd", "owner": "root", "group": "root" }},
               {{ "t": "ensure_file", "file": "/etc/motd", "src": "motd", {OWNER} }}"#
        );
        let pool = r#""name": "rpool", "size": "auto", "free": 1, "bename": "be", "partition_only": true, "formats": [ "qcow2" ]"#;
        scene.template("tree", &format!(r#"{{ "dataset": {{ "name": "d" }}, "steps": [ {common} ] }}"#));
        scene
            .template("pool", &format!(r#"{{ "pool": {{ {pool} }}, "steps": [ {common}, {{ "t": "create_be" }} ] }}"#));
        let convert = "#!/bin/sh\n. \"$FAKE/conversion\"\ncp --sparse=always \"$6\" \"$7\"\n";
        fs::write(scene.path("tools/qemu-img"), convert).unwrap();
        fs::set_permissions(scene.path("tools/qemu-img"), fs::Permissions::from_mode(0o755)).unwrap();
        scene.set_conversion("");
        scene
    }

    pub(crate) fn set_conversion(&self, script: &str) {
        fs::write(self.path("conversion"), script).unwrap();
    }

    /// Templates of packages: `stage`, and `packages`, which begins like it. Its steps after the installation are cheap,
    /// and some of them have locks of their own.
    pub(crate) fn packages() -> Self {
        let scene = Self::empty();
        publish(&scene.path("repository"));
        let uri = format!("file://{}", scene.path("repository").display());
        let begin = [
            format!(r#"{{ "t": "pkg_image_create", "publisher": "p", "uri": "{uri}" }}"#),
            r#"{ "t": "pkg_install", "pkgs": [ "app" ] }"#.to_owned(),
        ];
        let motd = format!(r#"{{ "t": "ensure_file", "file": "/etc/motd", "src": "motd", {OWNER} }}"#);
        let end = [
            motd,
            r#"{ "t": "pkg_change_facet", "facet": "doc.man", "value": "false" }"#.to_owned(),
            r#"{ "t": "pkg_uninstall", "pkgs": [ "app" ] }"#.to_owned(),
            r#"{ "t": "pkg_install", "pkgs": [ "helper" ] }"#.to_owned(),
            r#"{ "t": "pkg_purge_history" }"#.to_owned(),
            r#"{ "t": "pack_tar", "name": "image.tar" }"#.to_owned(),
        ];
        let dataset = |name: &str, steps: &[String]| {
            format!(r#"{{ "dataset": {{ "name": "{name}" }}, "steps": [ {} ] }}"#, steps.join(", "))
        };
        scene.template("stage", &dataset("s", &begin));
        scene.template("packages", &dataset("p", &[&begin[..], &end[..]].concat()));
        scene
    }

    fn empty() -> Self {
        let scene = Self { directory: tempfile::tempdir().unwrap() };
        for sub in ["templates/g/files", "tools", "pool", "tmp", "ext"] {
            fs::create_dir_all(scene.path(sub)).unwrap();
        }
        // A sticky directory for everybody, as the real one is.
        fs::set_permissions(scene.path("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        scene.set_variant(0);
        scene
    }

    fn template(&self, name: &str, text: &str) {
        fs::write(self.path("templates/g").join(format!("{name}.json")), text).unwrap();
    }

    /// Whether the programs are there that a disk is made with.
    pub(crate) fn can_make_disks() -> bool {
        let programs = [("genext2fs", "genext2fs"), ("mke2fs", "e2fsprogs")];
        programs.into_iter().all(|(program, package)| test_judge::find(program, package).is_some())
    }

    pub(crate) fn path(&self, text: &str) -> PathBuf {
        self.directory.path().join(text)
    }

    /// The content of one file of the image.
    pub(crate) fn set_variant(&self, variant: usize) {
        fs::write(self.path("templates/g/files/motd"), format!("variant {variant}\n")).unwrap();
    }

    /// What the bootstrap makes: a file of a megabyte in a directory, packed by the program under test.
    fn make_root(&self) {
        let text: String = (0..150_000).map(|number| format!("{number:06x}\n")).collect();
        fs::write(self.path("templates/g/files/large"), text).unwrap();
        let owner = r#""owner": "root", "group": "root", "mode""#;
        let root = format!(
            r#"{{ "dataset": {{ "name": "r" }}, "steps": [
                {{ "t": "ensure_dir", "dir": "/etc", {owner}: "755" }},
                {{ "t": "ensure_file", "file": "/etc/large", "src": "large", {owner}: "644" }},
                {{ "t": "pack_tar", "name": "root.tar" }} ] }}"#
        );
        fs::write(self.path("templates/g/root.json"), root).unwrap();
        let output = self.command("make-root", &["build", "-g", "g", "-n", "root"]).run_any().unwrap();
        assert!(output.success(), "{}", output.stderr_text());
        fs::rename(self.path("make-root/output/root.tar"), self.path("root.tar")).unwrap();
        fs::remove_file(self.path("templates/g/root.json")).unwrap();
    }

    /// Has a tool stop at a certain place of its work until it is let go; see `hold` in `tools/common`.
    pub(crate) fn hold(&self, tool: &str) {
        let _ = fs::remove_file(self.path(&format!("held.{tool}")));
        fs::write(self.path(&format!("hold.{tool}")), "").unwrap();
    }

    pub(crate) fn is_held(&self, tool: &str) -> bool {
        self.path(&format!("held.{tool}")).exists()
    }

    pub(crate) fn let_go(&self, tool: &str) {
        fs::remove_file(self.path(&format!("hold.{tool}"))).unwrap();
    }

    /// The program with a verb and its arguments, in a workspace below the scene.
    pub(crate) fn command(&self, workspace: &str, arguments: &[&str]) -> Command {
        let command = Command::new(env!("CARGO_BIN_EXE_image-builder")).args(arguments);
        let command = command.arg("-d").arg(self.path(workspace)).arg("-T").arg(self.path("templates"));
        self.surround(command.arg("-E").arg(self.path("ext")))
    }

    /// A shell among the same tools.
    pub(crate) fn in_shell(&self, script: &str) -> Command {
        self.surround(Command::new("sh").args(["-c", script]))
    }

    pub(crate) fn surround(&self, command: Command) -> Command {
        let mut path = OsString::from(self.path("tools"));
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        command
            .current_dir(self.directory.path())
            .env("PATH", path)
            .env("FAKE", self.directory.path())
            .env("TMPDIR", self.path("tmp"))
            .env("NO_COLOR", "1")
    }

    pub(crate) fn run(&self, workspace: &str, name: &str) -> Output {
        self.command(workspace, &["build", "-g", "g", "-n", name]).run_any().unwrap()
    }

    /// Builds to the end and answers the image.
    pub(crate) fn build(&self, workspace: &str, name: &str) -> Vec<u8> {
        self.build_any(workspace, name);
        self.image(workspace, name).unwrap()
    }

    /// Builds to the end, whatever the template makes.
    pub(crate) fn build_any(&self, workspace: &str, name: &str) {
        let output = self.run(workspace, name);
        assert!(output.success(), "{}", output.stderr_text());
    }

    pub(crate) fn image(&self, workspace: &str, name: &str) -> Option<Vec<u8>> {
        fs::read(self.path(workspace).join("output").join(image_file(name))).ok()
    }

    /// The image in all the forms that there are, by their names.
    pub(crate) fn forms(&self, workspace: &str, name: &str) -> BTreeMap<&'static str, Vec<u8>> {
        let output = self.path(workspace).join("output");
        let read = |file: &&'static str| Some((*file, fs::read(output.join(file)).ok()?));
        image_files(name).iter().filter_map(read).collect()
    }

    /// What lies beside the image says of its forms.
    pub(crate) fn sums(&self, workspace: &str, name: &str) -> Sums {
        let output = self.path(workspace).join("output");
        let mut sums = Sums::new();
        for form in image_files(name) {
            let line = fs::read_to_string(output.join(format!("{form}.sha256"))).unwrap_or_default();
            let sum = line.split_once("  ").map(|(sum, _)| sum.to_owned());
            sums.extend(sum.map(|sum| ("beside".to_owned(), (*form).to_owned(), sum)));
        }
        let evidence = fs::read(output.join(format!("g-{name}.evidence.json"))).unwrap_or_default();
        let evidence: Value = serde_json::from_slice(&evidence).unwrap_or_default();
        for file in evidence["files"].as_array().into_iter().flatten() {
            let text = |key: &str| file[key].as_str().unwrap().to_owned();
            sums.insert(("evidence".to_owned(), text("name"), text("sha256")));
        }
        sums
    }

    pub(crate) fn start(&self, workspace: &str, name: &str) -> Running {
        let log = self.path("log");
        let command = self.command(workspace, &["build", "-g", "g", "-n", name]);
        let process = command.spawn_detached(&File::create(&log).unwrap()).unwrap();
        Running { process, log }
    }

    /// The processes of all builds so far that are still at work.
    pub(crate) fn processes_left(&self) -> Vec<String> {
        let pids = fs::read_to_string(self.path("processes")).unwrap_or_default();
        let is_alive = |pid: &&str| {
            let is_working = is_working(pid);
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let is_ours = String::from_utf8_lossy(&environment).contains(&*self.directory.path().to_string_lossy());
            is_working && is_ours
        };
        pids.lines().filter(is_alive).map(str::to_owned).collect()
    }

    pub(crate) fn wait_until_no_process_is_left(&self) {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = self.processes_left();
            if left.is_empty() {
                break;
            }
            let command = |pid: &String| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let commands: Vec<_> = left.iter().map(command).collect();
            assert!(Instant::now() < until, "still at work: {commands:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = fs::remove_file(self.path("processes"));
    }

    /// What is in the directory for temporary files.
    pub(crate) fn temporary_files(&self) -> Vec<PathBuf> {
        fs::read_dir(self.path("tmp")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

/// A repository with a base, an application with a page of its manual, and a helper.
fn publish(root: &Path) {
    let mut publication = Publication::new(root);
    publication.lines(
        "pkg://p/system/base@1,5.11-1:20240101T000000Z",
        "group groupname=root gid=0
        group groupname=sys gid=3
        user username=root uid=0 group=root
        dir path=etc mode=0755 owner=root group=sys
        file path=etc/passwd mode=0644 owner=root group=sys preserve=true <- root:x:0:0::/root:/bin/sh
        file path=etc/shadow mode=0400 owner=root group=sys preserve=true <- root:NP:1::::::
        file path=etc/group mode=0644 owner=root group=sys preserve=true <- root::0:",
    );
    for name in ["app", "helper"] {
        publication.lines(
            &format!("pkg://p/{name}@1,5.11-1:20240101T000000Z"),
            &format!(
                "depend type=require fmri=system/base
                dir path=opt mode=0755 owner=root group=sys
                file path=opt/{name} mode=0555 owner=root group=sys <- the program {name}
                file path=opt/{name}.1 mode=0444 owner=root group=sys facet.doc.man=true <- a page"
            ),
        );
    }
    publication.finish(OperationTime::from_unix_seconds(1)).unwrap();
}

/// What the image of a template is called.
pub(crate) fn image_file(template: &str) -> &'static str {
    image_files(template)[0]
}

/// The same in all its forms, the image itself first.
fn image_files(template: &str) -> &'static [&'static str] {
    match template {
        "disk" => &["g-disk.raw"],
        "disc" => &["g-disc.iso"],
        "pool" => &["g-pool.raw", "g-pool.partonly", "g-pool.qcow2"],
        _ => &["image.tar"],
    }
}

/// Whether a process is there, and not one that ends: nobody has waited for it, or the kernel has yet to carry out that
/// it was killed, which takes a while on a machine with much to do.
fn is_working(pid: &str) -> bool {
    const PF_EXITING: u64 = 0x4;
    const SIGKILL: u64 = 1 << 8;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // proc(5): the state follows the name, which is in parentheses; the flags are six fields later.
    let Some((_, rest)) = stat.rsplit_once(") ") else { return false };
    let flags = rest.split(' ').nth(6).and_then(|flags| flags.parse::<u64>().ok()).unwrap_or(0);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let pending = status.lines().filter_map(|line| line.strip_prefix("SigPnd:").or(line.strip_prefix("ShdPnd:")));
    let is_killed =
        pending.filter_map(|mask| u64::from_str_radix(mask.trim(), 16).ok()).any(|mask| mask & SIGKILL != 0);
    !rest.starts_with(['Z', 'X']) && flags & PF_EXITING == 0 && !is_killed
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(crate) fn signal(&self, name: &str) {
        Command::new("sh").args(["-c", &format!("kill -s {name} {}", self.pid())]).run_any().unwrap();
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it has come so far; one that ends before that fails the test.
    pub(crate) fn come_to(&mut self, happened: impl Fn() -> bool) {
        self.wait_until(|_| happened());
        assert!(happened(), "{}", self.said());
    }

    /// Waits until something has happened, or it has ended.
    pub(crate) fn wait_until(&mut self, mut happened: impl FnMut(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !happened(self) && self.process.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "it did not happen in {PATIENCE:?}");
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    pub(crate) fn wait_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until && self.process.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// Waits for the end; answers the exit status, or 128 and the signal.
    pub(crate) fn end(&mut self) -> i32 {
        let mut status: Option<ExitStatus> = None;
        wait_for(|| {
            status = self.process.try_wait().unwrap();
            status.is_some()
        });
        let status = status.unwrap();
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap())
    }
}

fn wait_for(mut happened: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < until, "it did not happen in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Both texts in one piece, for a message that a terminal's width would break.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
}

/// Everything below a directory, by its path from there.
pub(crate) fn names_below(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    names
}
