//! Follows `docs/writing-a-plugin.md` to the letter, in a workspace beside ours, up to a daemon that runs the plugin.

use process_runner::Command;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Long enough to build the SDK on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(1200);

/// A fenced block of the guide: its language and its text.
struct Block {
    language: String,
    text: String,
    /// The prose before it.
    before: String,
}

fn blocks(guide: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut pieces = guide.split("```");
    let mut before = pieces.next().unwrap_or_default();
    while let (Some(fenced), Some(after)) = (pieces.next(), pieces.next()) {
        let (language, text) = fenced.split_once('\n').unwrap();
        blocks.push(Block { language: language.to_owned(), text: text.to_owned(), before: before.to_owned() });
        before = after;
    }
    blocks
}

fn repository() -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")).unwrap()
}

/// A checkout whose workspace has our crates for dependencies and no members but the plugins that are made in it.
fn checkout(directory: &Path) {
    let ours = repository().join("sysconfig");
    let workspace = directory.join("sysconfig");
    fs::create_dir_all(workspace.join("plugins")).unwrap();
    let manifest = fs::read_to_string(ours.join("Cargo.toml")).unwrap();
    let manifest = manifest.replace("members = [\"crates/*\", \"plugins/*\"]", "members = [\"plugins/*\"]");
    let (head, rest) = manifest.split_once("default-members = [").unwrap();
    let manifest = format!("{head}{}", rest.split_once("]\n").unwrap().1);
    let manifest = manifest.replace("path = \"", &format!("path = \"{}/", ours.display()));
    fs::write(workspace.join("Cargo.toml"), manifest).unwrap();
    fs::copy(ours.join("Cargo.lock"), workspace.join("Cargo.lock")).unwrap();
    // What the SDK is made of is built once, and kept with our own builds.
    let target = ours.join("target/guide");
    fs::create_dir_all(&target).unwrap();
    std::os::unix::fs::symlink(target, workspace.join("target")).unwrap();
}

/// Runs a block of shell as it stands, in `directory`, and answers what it prints.
fn shell(script: &str, directory: &Path, path: &str) -> String {
    let output = Command::new("/bin/sh")
        .args(["-eu", "-c", script])
        .current_dir(directory)
        .env("PATH", path)
        .env_remove("CARGO_TARGET_DIR")
        // What is downloaded already is enough, and this must not depend on a network.
        .env("CARGO_NET_OFFLINE", "true")
        .deadline(DEADLINE)
        .run_any()
        .unwrap();
    let said = format!("{}{}", output.stdout_text(), output.stderr_text());
    assert!(output.success(), "{script}\n{said}");
    said
}

#[test]
fn the_guide_can_be_followed_to_the_letter() {
    let guide = fs::read_to_string(repository().join("docs/writing-a-plugin.md")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    checkout(directory.path());
    let workspace = directory.path().join("sysconfig");
    let programs = Path::new(env!("CARGO_BIN_EXE_sysconfigctl")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut warned = false;
    for block in blocks(&guide) {
        match block.language.as_str() {
            "sh" if block.text.starts_with("cd sysconfig\n") => {
                shell(&block.text, directory.path(), &path);
                // "It builds" is said of what was made, too.
                shell("cargo test -p sysconfig-plugin-welcome", &workspace, &path);
            }
            // The last block is about the running system, which comes below.
            "sh" if block.text.contains("sysconfigctl plugins") => (),
            "sh" => {
                let said = shell(&block.text.replace("/tmp/", "./"), &workspace, &path);
                warned |= said.contains("warning: plugin welcome: system.welcome: the last line has no end")
                    && said.contains("welcome.toml:2:1");
            }
            "rust" => {
                let (file, _) = block.before.rsplit_once("` with").unwrap();
                let (_, file) = file.rsplit_once('`').unwrap();
                assert!(workspace.join(file).exists(), "{file} was made by `plugin new`");
                fs::write(workspace.join(file), block.text).unwrap();
            }
            other => panic!("a block of {other:?}"),
        }
    }
    assert!(warned, "config check asks the plugin");
    live(&workspace, directory.path(), &path);
}

/// Step 5: a daemon finds the plugin where cargo leaves it, and then its next build. The message of the day is not what is
/// changed in this test.
fn live(workspace: &Path, directory: &Path, path: &str) {
    let at = |name: &str| directory.join(name);
    let built = workspace.join("target/debug");
    fs::write(at("main.toml"), format!("[plugins]\npath = \"{}\"\n", built.display())).unwrap();
    let mut daemon = Command::new(sysconfig())
        .args(["--config".as_ref(), at("main.toml").as_os_str()])
        .args(["--config-dir".as_ref(), at("conf.d").as_os_str()])
        .args(["--state-dir".as_ref(), at("state").as_os_str()])
        .args(["--run-dir".as_ref(), at("run").as_os_str()])
        .arg("--beside-service")
        .spawn_detached(&fs::File::create(at("log")).unwrap())
        .unwrap();
    let first = shown_plugins(&at("run/sysconfig.sock"), "running");
    let library = workspace.join("plugins/welcome/src/lib.rs");
    let text = fs::read_to_string(&library).unwrap();
    fs::write(&library, text.replace("the last line has no end", "there is no end")).unwrap();
    shell("cargo build -p sysconfig-plugin-welcome", workspace, path);
    let second = shown_plugins(&at("run/sysconfig.sock"), "went live");
    daemon.kill();
    let log = || fs::read_to_string(at("log")).unwrap();
    assert!(first.contains("welcome  running") && first.contains("system.welcome"), "{first}\n{}", log());
    assert!(second.contains("went live"), "{second}\n{}", log());
}

/// What `plugins` says as soon as it says some word, or after a while.
fn shown_plugins(socket: &Path, word: &str) -> String {
    let give_up = Instant::now() + Duration::from_secs(60);
    loop {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let arguments = ["sysconfigctl", "--socket", socket.to_str().unwrap(), "plugins"];
        let streams = sysconfigctl::Streams { out: &mut out, err: &mut err, is_terminal: false };
        sysconfigctl::run(arguments, streams);
        let out = String::from_utf8(out).unwrap();
        if out.contains(word) || Instant::now() > give_up {
            return out;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The daemon that was built with these tests, or is built now.
fn sysconfig() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_sysconfigctl")).with_file_name("sysconfig");
    if !beside.exists() {
        let manifest = repository().join("sysconfig/Cargo.toml");
        let build = Command::new("cargo").args(["build", "--quiet", "-p", "sysconfig", "--manifest-path"]);
        build.args([manifest]).deadline(DEADLINE).run().unwrap();
    }
    beside
}
