//! A plugin directory on a file system whose server does not answer.

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;

use common::Bench;
use plugin_testing::namespace;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::json;
use sysconfig_protocol::Severity;
use sysconfig_protocol::admin::{Activity, Apply, Events, HappeningKind, Health, UndoChange};

/// Stands for a share whose server hangs, in the place of a directory: its server is this process, and never reads what it is
/// asked. When it is dropped, the mount is gone, and whoever waited for it gets an error.
struct Silent {
    directory: PathBuf,
    connection: File,
}

impl Silent {
    fn mount(directory: PathBuf) -> Self {
        use std::os::fd::AsRawFd;
        let Ok(connection) = File::options().read(true).write(true).open("/dev/fuse") else { namespace::lacks("FUSE") };
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", connection.as_raw_fd());
        let options = std::ffi::CString::new(options).unwrap();
        mount("silent", &directory, "fuse", MountFlags::empty(), options.as_c_str()).unwrap();
        Self { directory, connection }
    }
}

impl Silent {
    /// Greets the kernel, and takes its first question: whoever asks it waits where no signal reaches him. The structures are
    /// those of `linux/fuse.h`.
    fn take_a_question(&mut self) {
        let mut request = vec![0; 1 << 20];
        assert!(self.connection.read(&mut request).unwrap() > 16);
        let unique = request[8..16].to_vec();
        let version: Vec<u8> = [7_u32, 31].iter().flat_map(|number| number.to_ne_bytes()).collect();
        let mut answer = [80_u32.to_ne_bytes().to_vec(), 0_u32.to_ne_bytes().to_vec(), unique, version].concat();
        answer.resize(80, 0);
        // max_write
        answer[36..40].copy_from_slice(&4096_u32.to_ne_bytes());
        self.connection.write_all(&answer).unwrap();
        assert!(self.connection.read(&mut request).unwrap() > 16);
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        unmount(&self.directory, UnmountFlags::DETACH).unwrap();
    }
}

fn has_no_answer(daemon: &common::Daemon<'_>) -> bool {
    daemon.status().problems.iter().any(|problem| {
        let directory = daemon.bench.path("plugins").display().to_string();
        problem.subject == "plugins"
            && problem.severity == Severity::Warning
            && problem.message.contains(&format!("no plugins from {directory}: no answer within 1 s"))
    })
}

/// It answered `status` and was never ready, so that the service manager gave up its start.
#[test]
fn privileged_a_daemon_is_ready_without_a_share_that_hangs_and_goes_on_when_it_comes_back() {
    namespace::run("at the start", &[], &[], &[]);
}

#[test]
fn privileged_a_share_that_hangs_later_is_told_and_another_path_helps() {
    namespace::run("later", &[], &[], &[]);
}

/// With a share that hangs there is nobody to take a change back; when it comes back, there is.
#[test]
fn privileged_a_change_that_waits_is_undone_when_its_plugins_come_back() {
    namespace::run("undoing", &[], &[], &[]);
}

/// The daemon waited for the files for ever, unheard at its start, and later with everybody who asked it for something.
#[test]
fn privileged_configuration_files_that_hang_are_told_and_the_daemon_lives() {
    namespace::run("configuration", &[], &[], &[]);
}

/// The script that starts the daemon of a development image looked for a build in the share, and waited for ever.
#[test]
fn privileged_the_start_of_a_development_image_does_not_wait_for_a_share_that_hangs() {
    namespace::run("start of an image", &[], &[], &[]);
}

/// A plugin that waits in the kernel ends no sooner than it gets its answer, killed or not. The daemon waited for that.
#[test]
fn privileged_a_plugin_that_cannot_be_killed_keeps_nobody_waiting() {
    namespace::run("not to be killed", &[], &[], &[]);
}

#[test]
#[ignore = "started by the other tests, in namespaces of its own"]
fn other_process() {
    match namespace::scenario().as_deref() {
        Some("at the start") => [true, false].into_iter().for_each(at_the_start),
        Some("later") => later(),
        Some("undoing") => undoing(),
        Some("not to be killed") => not_to_be_killed(),
        Some("configuration") => configuration(),
        Some("start of an image") => start_of_an_image(),
        _ => (),
    }
}

fn at_the_start(hot_reload: bool) {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    let settings = format!("hot-reload = {hot_reload}\ndeadlines.answer = \"1s\"");
    bench.configure_with(&settings, &bench.wants("a", "text"));
    let share = Silent::mount(bench.path("plugins"));
    let daemon = bench.start();
    assert!(has_no_answer(&daemon), "{:?}", daemon.problems());
    assert_eq!(daemon.status().health, Health::Degraded, "its key has no owner yet");
    drop(share);
    daemon.wait_for("the plugin", |daemon| daemon.bench.text("a").as_deref() == Some("text"));
    daemon.wait_for("the end of the warning", |daemon| daemon.status().health == Health::Ok);
    assert!(daemon.problems().is_empty(), "{:?}", daemon.problems());
    daemon.stop();
}

fn later() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    let configure = |plugins: &str, text: &str| {
        let machine = format!("[daemon]\nwatch-configuration = true\n{}", bench.wants("a", text));
        bench.configure_with("deadlines.answer = \"1s\"", &machine);
        let file = bench.path("sysconfig.toml");
        let config = std::fs::read_to_string(&file).unwrap().replace("/plugins\"", &format!("/{plugins}\""));
        std::fs::write(bench.path("sysconfig.new"), config).unwrap();
        std::fs::rename(bench.path("sysconfig.new"), file).unwrap();
    };
    configure("plugins", "one");
    let daemon = bench.start();
    let share = Silent::mount(bench.path("plugins"));
    daemon.wait_for("the warning", has_no_answer);
    assert_eq!(daemon.status().health, Health::Ok, "what runs goes on: {:?}", daemon.problems());
    // The configuration is looked at nevertheless, and may name another directory.
    std::fs::create_dir(bench.path("other")).unwrap();
    configure("other", "two");
    daemon.wait_for("the new configuration", |daemon| daemon.bench.text("a").as_deref() == Some("two"));
    daemon.wait_for("the end of the warning", |daemon| !has_no_answer(daemon));
    // The end comes in spite of the look that does not.
    daemon.stop();
    drop(share);
}

fn undoing() {
    let bench = Bench::new();
    bench.install("a", &json!({ "undo": true }));
    let configure = |text: &str| bench.configure_with("deadlines.answer = \"1s\"", &bench.wants("a", text));
    configure("old");
    let daemon = bench.start();
    configure("new");
    let request = Apply { confirm_within_ms: Some(1000), ..Apply::default() };
    assert!(daemon.request(&request).unwrap().is_success());
    daemon.kill();
    let share = Silent::mount(bench.path("plugins"));
    let daemon = bench.start();
    assert!(daemon.request(&UndoChange {}).unwrap_err().message.contains("does not answer"));
    assert_eq!(bench.text("a").as_deref(), Some("new"), "{}", daemon.log());
    drop(share);
    daemon.wait_for("the undoing", |daemon| daemon.bench.text("a").as_deref() == Some("old"));
    daemon.stop();
}

fn not_to_be_killed() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("share")).unwrap();
    let mut share = Silent::mount(bench.path("share"));
    let script = format!(
        r#"#!/bin/sh
read -r line <&3
echo '{{"jsonrpc":"2.0","id":1,"result":{{"name":"a","version":"1.0.0","protocol":{{"min":1,"max":1}},"claims":[{{"key":"test.a"}}]}}}}' >&3
read -r line <&3
echo $$ >{}
read -r line <{}
"#,
        bench.path("waits").display(),
        bench.path("share/file").display()
    );
    bench.install_bytes("a", script.as_bytes());
    bench.install("b", &json!({}));
    let settings = "deadlines.answer = \"500ms\"\ndeadlines.stop = \"300ms\"";
    bench.configure_with(settings, &format!("{}{}", bench.wants("a", "text"), bench.wants("b", "text")));
    let daemon = bench.spawn();
    share.take_a_question();
    daemon.wait_for("the other plugin", |daemon| daemon.bench.text("b").as_deref() == Some("text"));
    daemon.wait_for("readiness", |daemon| daemon.log().contains("sysconfig: ready: "));
    assert!(daemon.log().contains("plugin a: not started: did not answer configure within 0.5 s"), "{}", daemon.log());
    let process = PathBuf::from(format!("/proc/{}", bench.text("waits").unwrap().lines().next().unwrap()));
    let state = || std::fs::read_to_string(process.join("stat")).unwrap_or_default();
    assert!(state().contains(") D "), "it waits in the kernel: {}", state());
    drop(share);
    daemon.wait_for("its end, which somebody saw to", |_| !process.exists());
    daemon.stop();
}

fn configuration() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    bench.configure_with("deadlines.answer = \"1s\"", &bench.wants("a", "one"));
    let is_told = |daemon: &common::Daemon<'_>| {
        let said = format!("or {}", bench.path("conf.d").display());
        daemon.problems().iter().any(|problem| problem.contains("no answer within") && problem.contains(&said))
    };
    let share = Silent::mount(bench.path("conf.d"));
    let daemon = bench.spawn();
    daemon.wait_for("the socket", |daemon| daemon.socket().exists());
    assert!(daemon.log().contains("starting as process"), "{}", daemon.log());
    daemon.wait_for(
        "what it is at",
        |daemon| matches!(daemon.status().activity, Activity::Busy { doing, .. } if doing.contains("configuration")),
    );
    daemon.wait_for("the error", is_told);
    assert_eq!(daemon.status().health, Health::Starting);
    // The end comes in spite of the look that does not.
    daemon.stop();
    let daemon = bench.spawn();
    daemon.wait_for("the socket", |daemon| daemon.socket().exists());
    drop(share);
    daemon.wait_for("the plugin", |daemon| daemon.bench.text("a").as_deref() == Some("one"));
    daemon.wait_for("health", |daemon| daemon.status().health == Health::Ok);
    assert!(!is_told(&daemon));

    let share = Silent::mount(bench.path("conf.d"));
    let plan = daemon.plan();
    assert!(plan.problems.iter().any(|problem| problem.message.contains("no answer within 1 s")), "{plan:?}");
    let refusal = daemon.request(&Apply::default()).unwrap_err();
    assert!(refusal.message.contains("files cannot be read"), "{refusal:?}");
    assert!(refusal.data.unwrap().problems[0].message.contains("no answer within 1 s"));
    // More often than there may be looks that hang.
    for _ in 0..10 {
        assert!(daemon.plan().problems.iter().any(|problem| problem.message.contains("no answer within 1 s")));
    }
    let status = daemon.status();
    assert_eq!((status.health, status.config.rejected), (Health::Degraded, None));
    let events = daemon.request(&Events::default()).unwrap().events;
    assert!(events.iter().all(|event| event.kind != HappeningKind::ConfigRefused), "{events:?}");
    drop(share);
    daemon.wait_for("health without a request", |daemon| daemon.status().health == Health::Ok);
    assert!(daemon.plan().problems.is_empty());
    daemon.stop();
}

fn start_of_an_image() {
    let bench = Bench::new();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../image/templates/files/dev/sysconfig-dev-start");
    let script = std::fs::read_to_string(file).unwrap();
    let [repository, private, installed] = ["repo", "private", "installed"].map(|name| bench.path(name));
    let place = |path: &PathBuf| path.display().to_string();
    let script = script.replace("/var/lib/sysconfig/daemon", &place(&private)).replace("/repo", &place(&repository));
    let script = script.replace("/usr/lib/sysconfig", &place(&installed));
    assert!(script.contains("patience=100\n"));
    let program = |path: &PathBuf, says: &str| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("#!/bin/sh\necho {says} \"$@\"\n")).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    program(&installed, "installed");
    let built = repository.join("sysconfig/target/release/sysconfig");
    program(&built, "built");
    // In tenths of a second: short only for what never answers, because a machine may be slow.
    let starts = |patience: u32| {
        let script = script.replace("patience=100\n", &format!("patience={patience}\n"));
        let output = common::program(std::path::Path::new("sh")).args(["-c", &script, "sh", "--smf"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap())
    };
    assert_eq!(starts(600)[0], "built --smf\n");
    let share = Silent::mount(repository.clone());
    let [said, told] = starts(10);
    assert_eq!(said, "installed --smf\n");
    assert!(told.contains(&format!("{} does not answer", repository.display())), "{told}");
    drop(share);
    // A build that is being worked on may do anything.
    for (patience, wrong, status) in [(10, "sleep 600", 137), (600, "exit 3", 3)] {
        std::fs::write(&built, format!("#!/bin/sh\nexec {wrong}\n").replace("exec exit", "exit")).unwrap();
        let [said, told] = starts(patience);
        assert_eq!(said, "installed --smf\n");
        let why = format!("{} does not run here: ", built.display());
        assert!(told.contains(&why) && told.contains(&format!("exit status {status}")), "{told}");
    }
    std::fs::remove_file(built).unwrap();
    let [said, told] = starts(600);
    assert!(said == "installed --smf\n" && told.contains("no "), "{told}");
}
