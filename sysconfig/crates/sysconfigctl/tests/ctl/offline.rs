//! What works without a daemon: `config`, `plugin new`, `completions`, `man`, and most of `doctor`.

use crate::support::{Ran, sysconfigctl};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A directory with the example plugin, which is a Python program, and a configuration.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new(config: &str) -> Self {
        let place = Self { directory: tempfile::tempdir().unwrap() };
        fs::create_dir(place.path("plugins")).unwrap();
        fs::create_dir(place.path("d")).unwrap();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../examples/sysconfig-plugin-motd");
        fs::copy(example, place.path("plugins/sysconfig-plugin-motd")).unwrap();
        fs::write(place.path("main.toml"), config).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs a command; `@` in an argument is the directory.
    fn run(&self, arguments: &[&str]) -> Ran {
        let directory = self.directory.path().display().to_string();
        let arguments: Vec<_> = arguments.iter().map(|argument| argument.replace('@', &directory)).collect();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        sysconfigctl(&self.path("nobody.sock"), &arguments)
    }
}

/// The configuration was faulty then, as nobody owned its keys, and the schema had none.
#[test]
fn a_named_directory_of_plugins_that_is_not_there_is_told() {
    let place = Place::new("[motd]\ntext = \"hi\"\n");
    for command in
        [&["config", "check", "@/main.toml", "--plugins", "@/none"][..], &["config", "schema", "--plugins", "@/none"]]
    {
        let ran = place.run(command);
        let said = format!("cannot look for plugins in {}: No such file", place.path("none").display());
        assert!(ran.code == 1 && ran.out.is_empty() && ran.err.contains(&said), "{}{}", ran.out, ran.err);
    }
}

/// A file of half a million keys came to 130 MB of faults.
#[test]
fn of_very_many_faults_the_first_ones_are_told() {
    let keys: String = (0..1000).map(|number| format!("k{number} = 1\n")).collect();
    let place = Place::new(&format!("motd = 7\n{keys}"));
    let check = ["config", "check", "--plugins", "@/plugins", "@/main.toml"];
    let ran = place.run(&check);
    assert_eq!((ran.code, ran.out.matches("no plugin owns").count()), (1, 100), "{}", ran.out);
    assert!(ran.out.contains("901 more faults are not shown"), "{}", ran.out);
    let ran = place.run(&[&["--json"][..], &check].concat());
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["checked"][0]["problems"].as_array().unwrap().len(), 101);
}

/// It called a plugin path wrong that nobody had configured.
#[test]
fn doctor_judges_no_plugin_path_that_it_cannot_know() {
    let place = Place::new("[plugins\n");
    let ran = place.run(&["doctor", "--config", "@/main.toml", "--config-dir", "@/d"]);
    assert!(ran.code == 1 && ran.out.contains("?      plugins: where they are looked for"), "{}", ran.out);
    assert!(!ran.out.contains("/usr/lib/sysconfig-plugins") && !ran.out.contains("none was found"), "{}", ran.out);
}

#[test]
fn files_are_checked_by_the_plugins_of_a_directory() {
    let place = Place::new("[system]\nmotd = 7\nmtod = \"x\"\n");
    let ran = place.run(&["config", "check", "--plugins", "@/plugins", "@/main.toml"]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("faulty, say the plugins motd"), "{}", ran.out);
    assert!(ran.out.contains("no plugin owns the key system.mtod"), "{}", ran.out);
    assert!(ran.out.contains("main.toml:3:1\n  help: did you mean system.motd?"), "{}", ran.out);
    assert!(ran.out.contains("system.motd: the message of the day is a string\n  at "), "{}", ran.out);
    assert!(ran.out.contains("main.toml:2:1"), "{}", ran.out);
    let ran = place.run(&["config", "check", "@/main.toml"]);
    assert_eq!(ran.code, 0, "a file that is named says nothing about plugins: {}", ran.out);

    let path = format!("[plugins]\npath = \"{}\"\n", place.path("plugins").display());
    fs::write(place.path("main.toml"), format!("{path}[system]\nmotd = \"hello\"\n")).unwrap();
    let own = ["--config", "@/main.toml", "--config-dir", "@/d"];
    let ran = place.run(&[&["--json", "config", "check"][..], &own].concat());
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["checked"][0]["plugins"][0], "motd", "the daemon's own files say where plugins are");
}

#[test]
fn a_broken_plugin_is_told_and_the_others_are_asked() {
    let place = Place::new("[system]\nmotd = \"hello\"\n");
    fs::write(place.path("plugins/sysconfig-plugin-broken"), "garbage").unwrap();
    let ran = place.run(&["config", "check", "--plugins", "@/plugins", "@/main.toml"]);
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert!(ran.out.contains("warning: plugin broken: "), "{}", ran.out);
    let ran = place.run(&["config", "schema", "--plugins", "@/plugins"]);
    assert_eq!(ran.code, 1, "a schema without a plugin's keys would refuse them");
    assert!(ran.err.contains("sysconfig-plugin-broken"), "{}", ran.err);
}

#[test]
fn the_schema_holds_the_daemons_keys_and_those_of_plugins() {
    let place = Place::new("");
    let ran = place.run(&["config", "schema", "--plugins", "@/plugins"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let schema: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(schema["properties"]["system"]["properties"]["motd"]["type"], "string");
    assert_eq!(schema["properties"]["plugins"]["properties"]["hot-reload"]["type"], "boolean");
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn show_says_what_all_files_say_and_where() {
    let place = Place::new("[system]\nhostname = \"dev\"\n[logging]\nlevel = \"debug\"\n");
    fs::write(
        place.path("d/10.toml"),
        "[[network.interface]]\nmatch = { name = \"net0\" }\n[network.dns]\nservers = [\"192.0.2.1\"]\n\"a b\" = 1\n",
    )
    .unwrap();
    let show = ["config", "show", "--config", "@/main.toml", "--config-dir", "@/d"];
    let ran = place.run(&show);
    assert_eq!(
        ran.out,
        "logging.level = \"debug\"\nnetwork.dns.\"a b\" = 1\nnetwork.dns.servers = [\"192.0.2.1\"]\n\
         network.interface = [{ match = { name = \"net0\" } }]\nsystem.hostname = \"dev\"\n",
        "{}",
        ran.err
    );
    // What is shown is a configuration that says the same.
    fs::write(place.path("again.toml"), &ran.out).unwrap();
    let again = place.run(&["config", "show", "--config", "@/again.toml", "--config-dir", "@/none"]);
    assert_eq!(again.out, ran.out, "{}", again.err);
    let with_origin = place.run(&[&show[..], &["--origin"]].concat());
    let line = format!("system.hostname = \"dev\"  # {}:2:1\n", place.path("main.toml").display());
    assert!(with_origin.out.ends_with(&line), "{}", with_origin.out);
    let json: Value = serde_json::from_str(&place.run(&[&["--json"], &show[..]].concat()).out).unwrap();
    assert_eq!(json["network.dns.servers"]["value"][0], "192.0.2.1");
    assert_eq!(json["network.dns.servers"]["origin"]["line"], 4);
    fs::write(place.path("d/20.toml"), "system.hostname = \"other\"\n").unwrap();
    let ran = place.run(&show);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("system.hostname is set twice"), "{}", ran.err);
}

#[test]
fn doctor_says_what_is_wrong_before_the_daemon_runs() {
    let place = Place::new("[system]\nmotd = \"hello\"\n");
    let path = format!("[plugins]\npath = \"{}\"\n", place.path("plugins").display());
    fs::write(place.path("main.toml"), path).unwrap();
    fs::write(place.path("plugins/sysconfig-plugin-broken"), "garbage").unwrap();
    let doctor = ["doctor", "--config", "@/main.toml", "--config-dir", "@/d"];
    let ran = place.run(&doctor);
    assert_eq!(ran.code, 1, "{}", ran.out);
    for words in [
        "ok     configuration: ",
        "WRONG  daemon: the daemon does not run",
        "help: start it with",
        "ok     plugin motd: ",
        "WRONG  plugin broken: ",
        "things are wrong",
    ] {
        assert!(ran.out.contains(words), "{words} is not in\n{}", ran.out);
    }
    let json: Value = serde_json::from_str(&place.run(&[&["--json"], &doctor[..]].concat()).out).unwrap();
    assert_eq!(json["healthy"], false);
    assert!(json["checks"].as_array().unwrap().iter().any(|check| check["verdict"] == "wrong"));
    fs::write(place.path("main.toml"), "[x]\npassword = \"hunter2\n").unwrap();
    let ran = place.run(&doctor);
    assert!(ran.out.contains("WRONG  configuration: ") && ran.out.contains("main.toml:2:20"), "{}", ran.out);
    assert!(!ran.out.contains("hunter"), "what it says is put into reports for others: {}", ran.out);
}

/// One after another, they would take longer than any one look may.
#[test]
fn doctor_names_every_silent_plugin_and_leaves_none_behind() {
    let place = Place::new("");
    let path = place.path("plugins").display().to_string();
    let config = format!("[plugins]\npath = \"{path}\"\n[plugins.deadlines]\nstart = \"3s\"\n");
    fs::write(place.path("main.toml"), config).unwrap();
    let fifo = place.path("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    let held = fs::File::options().read(true).write(true).open(&fifo).unwrap();
    // Neither it nor its child ends when it is told to; as long as one of them lives, the pipe has a reader.
    let (begun, fifo_path) = (place.path("begun"), fifo.display());
    let script =
        format!("#!/bin/sh\ntrap '' TERM\nexec 4<{fifo_path}\n: >{}\nsleep 600 &\nsleep 600\n", begun.display());
    let names: Vec<_> = (0..20).map(|number| format!("silent{number}")).collect();
    for name in &names {
        let file = place.path(&format!("plugins/sysconfig-plugin-{name}"));
        fs::write(&file, &script).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let ran = place.run(&["doctor", "--config", "@/main.toml", "--config-dir", "@/d"]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    for name in &names {
        assert!(ran.out.contains(&format!("WRONG  plugin {name}: ")), "{name} is not in\n{}", ran.out);
    }
    assert!(
        ran.out.contains("hello: did not answer hello within 3 s") && !ran.out.contains("disks and shares"),
        "{}",
        ran.out
    );
    assert!(begun.exists(), "none of them was started");
    let mut writer = fs::File::options().write(true).open(&fifo).unwrap();
    drop(held);
    let give_up = Instant::now() + Duration::from_secs(60);
    while writer.write_all(b"x").is_ok() {
        assert!(Instant::now() < give_up, "some of them still run");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A mount whose server is gone keeps whoever looks at it for ever; doctor, which people run because of that, hung with it.
#[test]
fn privileged_doctor_ends_where_a_server_is_gone() {
    if !rustix::process::geteuid().is_root() || !std::path::Path::new("/dev/fuse").exists() {
        return test_judge::skip("a file system without a server needs root and /dev/fuse");
    }
    let place = Place::new("");
    let config = format!("[plugins]\npath = \"{}\"\n", place.path("plugins").display());
    fs::write(place.path("main.toml"), config).unwrap();
    // The shell is the server, and never reads what it is asked; once it has ended, whoever waits is let go.
    let script = "exec 9<>/dev/fuse\n\
        mount -i -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 gone \"$1\"\n\
        code=0; \"$2\" --socket \"$3/none\" doctor --config \"$3/main.toml\" --config-dir \"$3/none\" 9<&- || code=$?\n\
        exit $code";
    let (mount, root) = (place.path("plugins"), place.path(""));
    let ended = process_runner::Command::new("unshare")
        .args(["--mount", "sh", "-euc", script, "sh"])
        .args([mount.as_os_str(), env!("CARGO_BIN_EXE_sysconfigctl").as_ref(), root.as_os_str()])
        .deadline(std::time::Duration::from_secs(60))
        .run_any()
        .unwrap();
    let said = ended.stdout_text();
    assert_eq!(ended.code, Some(1), "{said}{}", ended.stderr_text());
    assert!(said.contains("no answer within 5 s: the server of its file system is gone"), "{said}");
    assert!(said.contains(&format!("help: umount --lazy {}", mount.display())), "{said}");
    assert!(said.contains("WRONG  daemon: ") && said.ends_with("Mend the first one first.\n"), "{said}");
}

/// A program that reads errors had to read usage errors as text, and to look for places in it.
#[test]
fn every_error_is_one_object_with_the_same_members_where_json_is_wanted() {
    let place = Place::new("[a]\nx = 1\nx = 2\n");
    let config = ["--config", "@/main.toml", "--config-dir", "@/none"];
    let with = |words: &[&'static str]| [words, &config[..]].concat();
    for (arguments, code) in [
        (vec!["apply", "--nonsense", "--json"], 2),
        (vec!["--json", "history", "-n", "0"], 2),
        (vec!["--json", "nonsense"], 2),
        (with(&["config", "show", "--json"]), 1),
        (with(&["config", "schema", "--json"]), 1),
        (vec!["config", "show", "@/main.toml", "--json"], 1),
        (vec!["ping", "--json"], 3),
    ] {
        let ran = place.run(&arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {}", ran.err);
        let error: serde_json::Value = serde_json::from_str(&ran.err).expect(&ran.err);
        let mut members: Vec<_> = error["error"].as_object().unwrap().keys().cloned().collect();
        members.sort();
        assert_eq!(members, ["causes", "code", "help", "message", "problems"], "{}", ran.err);
        let faults = error["error"]["problems"].as_array().unwrap();
        assert_eq!(faults.len(), usize::from(arguments[0] == "config"), "{}", ran.err);
        assert!(faults.iter().all(|fault| fault["place"]["line"] == 3 && fault["place"]["column"] == 1), "{}", ran.err);
        assert!(!error["error"]["message"].as_str().unwrap().contains("help:"), "{}", ran.err);
    }
    let ran = place.run(&with(&["config", "check", "--json"]));
    let report: serde_json::Value = serde_json::from_str(&ran.out).expect(&ran.out);
    assert_eq!(report["checked"][0]["problems"][0]["place"]["line"], 3, "{}", ran.out);
}

#[test]
fn a_file_is_shown_by_itself() {
    let place = Place::new("[a]\nx = 1\n");
    let ran = place.run(&["config", "show", "@/main.toml"]);
    assert_eq!((ran.code, &*ran.out), (0, "a.x = 1\n"), "{}", ran.err);
}

/// It said that the daemon did not run, whose process was named by the lock beside the socket.
#[test]
fn a_socket_that_was_removed_is_told_from_a_daemon_that_does_not_run() {
    let place = Place::new("");
    assert!(!place.run(&["ping"]).err.contains("holds the lock"));
    fs::write(place.path("lock"), format!("{}\n", std::process::id())).unwrap();
    let ran = place.run(&["ping"]);
    assert!(ran.code == 3 && ran.err.contains("holds the lock beside it"), "{}", ran.err);
    assert!(!ran.err.contains("does not run"), "{}", ran.err);
}

/// A daemon that was killed and that its parent has not waited for.
#[test]
#[expect(clippy::disallowed_methods, reason = "the runner waits for its programs, and this one must not be waited for")]
fn a_process_that_has_ended_holds_no_lock() {
    let place = Place::new("");
    let mut child = std::process::Command::new("true").spawn().unwrap();
    fs::write(place.path("lock"), format!("{}\n", child.id())).unwrap();
    let give_up = Instant::now() + Duration::from_secs(60);
    while !place.run(&["ping"]).err.contains("does not run") {
        assert!(Instant::now() < give_up, "{}", place.run(&["ping"]).err);
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait().unwrap();
}

#[test]
fn a_new_plugin_is_made_once_and_only_in_a_checkout() {
    let place = Place::new("");
    let ran = place.run(&["plugin", "new", "ntp", "--checkout", "@"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("is not in a checkout"), "{}", ran.err);
    fs::create_dir_all(place.path("sysconfig/plugins")).unwrap();
    fs::write(place.path("sysconfig/Cargo.toml"), "[workspace]\nmembers = [\"plugins/*\"]\n").unwrap();
    for name in ["Ntp", "-ntp", "1ntp", "../ntp", "n tp", ""] {
        let ran = place.run(&["plugin", "new", "--checkout", "@", "--", name]);
        assert_eq!(ran.code, 1, "{name:?}");
        assert!(ran.err.contains("is not a plugin's name"), "{name:?}: {}", ran.err);
    }
    let ran = place.run(&["plugin", "new", "time-servers", "--checkout", "@/sysconfig/plugins"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let made = place.path("sysconfig/plugins/time-servers");
    let library = fs::read_to_string(made.join("src/lib.rs")).unwrap();
    assert!(library.contains("pub struct TimeServersPlugin(") && !library.contains('@'), "{library}");
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with("//") && line.trim() != "}";
    assert!(library.lines().filter(is_code).count() <= 50, "a new plugin is some fifty lines");
    assert!(fs::read_to_string(made.join("src/main.rs")).unwrap().contains("sysconfig_plugin_time_servers::"));
    fs::write(made.join("src/lib.rs"), "mine").unwrap();
    let ran = place.run(&["plugin", "new", "time-servers", "--checkout", "@"]);
    assert_eq!(ran.code, 1, "nothing is written over");
    assert_eq!(fs::read_to_string(made.join("src/lib.rs")).unwrap(), "mine");
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let place = Place::new("");
    for shell in ["bash", "zsh", "fish"] {
        let ran = place.run(&["completions", shell]);
        assert!(ran.code == 0 && ran.out.contains("confirm-within"), "{shell}: {}", ran.out);
    }
    let page = place.run(&["man"]).out;
    assert!(page.starts_with(".ie") && page.contains("Exit status"), "{page}");
    fs::create_dir(place.path("man")).unwrap();
    assert_eq!(place.run(&["man", "@/man"]).code, 0);
    for name in ["sysconfigctl.1", "sysconfigctl-apply.1", "sysconfigctl-config-check.1", "sysconfigctl-plugin-new.1"] {
        assert!(place.path("man").join(name).exists(), "{name}");
    }
    let ran = place.run(&["man", "@/none"]);
    assert!(ran.code == 1 && ran.err.contains("none"), "{}", ran.err);
}

#[test]
fn the_documents_name_verbs_and_options_that_there_are() {
    let (commands, problems) =
        test_judge::wrong_in_documents("sysconfigctl", env!("CARGO_BIN_EXE_sysconfigctl").as_ref());
    assert_eq!(problems, [""; 0]);
    assert!(commands >= 15, "{commands} commands of sysconfigctl were found");
}
