//! A state directory that cannot be written: told, and no reason to end.

mod common;

use common::confirming::{LONG_MS, apply_within, both, texts, two_plugins, want};
use common::{Bench, Daemon};
use plugin_testing::namespace::{self, sh};
use serde_json::json;
use sysconfig_protocol::admin::{Confirm, Health, History, Ping, PluginRestart, PluginState, StepResult, UndoChange};

fn is_told(daemon: &Daemon<'_>, what: &str) -> bool {
    daemon.problems().iter().any(|problem| problem.starts_with(&format!("state: {what}")))
}

/// Puts something into the place of a file that not even root can open, and that may go: a path that leads through a file.
fn cannot_be_opened(bench: &Bench, path: &std::path::Path) {
    std::fs::remove_file(path).unwrap();
    std::os::unix::fs::symlink(bench.path("sysconfig.toml/x"), path).unwrap();
}

/// It was told for ever, and never written, when the same was found in force again.
#[test]
fn what_is_in_force_is_written_down_as_soon_as_it_can_be() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    let before = bench.text("state/applied.json");
    std::fs::create_dir(bench.path("state/applied.json.new")).unwrap();
    want(&bench, "new");
    for _ in 0..2 {
        assert!(daemon.apply().is_success());
        assert!(is_told(&daemon, "what is in force is not remembered: cannot write"), "{:?}", daemon.problems());
        assert_eq!((daemon.status().health, texts(&bench)), (Health::Ok, both("new")));
    }
    assert_eq!(bench.text("state/applied.json"), before);
    std::fs::remove_dir(bench.path("state/applied.json.new")).unwrap();
    daemon.wait_for("its end", |daemon| daemon.problems().is_empty());
    assert_ne!(bench.text("state/applied.json"), before);
    daemon.stop();
}

/// It was in the log only, and the next daemon applied what had been undone.
#[test]
fn what_was_undone_is_written_down_as_soon_as_it_can_be() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    want(&bench, "new");
    apply_within(&daemon, LONG_MS);
    std::fs::create_dir(bench.path("state/confirmation.json.new")).unwrap();
    assert!(daemon.request(&UndoChange {}).unwrap().is_success());
    assert!(is_told(&daemon, "which changes wait for their confirmation"), "{:?}", daemon.problems());
    std::fs::remove_dir(bench.path("state/confirmation.json.new")).unwrap();
    daemon.wait_for("its end", |daemon| !is_told(daemon, "which changes"));
    daemon.kill();
    let daemon = bench.start();
    assert_eq!(texts(&bench), both("old"), "{:?}", daemon.problems());
    daemon.stop();
}

/// A machine that was cut off stayed so, because of a disk that had become full meanwhile.
#[test]
fn a_change_is_undone_also_where_that_cannot_be_taken_down() {
    for is_asked in [true, false] {
        let bench = Bench::new();
        let daemon = two_plugins(&bench);
        want(&bench, "new");
        let stalls = bench.path("undo-stalls");
        let journal = bench.path("state/journal.jsonl");
        let obstacles = ["confirmation.json.new", "applied.json.new"];
        let obstacles = obstacles.map(|name| bench.path("state").join(name));
        let obstruct = || {
            cannot_be_opened(&bench, &journal);
            obstacles.iter().for_each(|path| std::fs::create_dir(path).unwrap());
        };
        if is_asked {
            apply_within(&daemon, LONG_MS);
            obstruct();
            let report = daemon.request(&UndoChange {}).unwrap();
            assert!(report.is_success(), "{report:?}");
        } else {
            std::fs::write(&stalls, "").unwrap();
            apply_within(&daemon, 1);
            daemon.wait_for("the first step of it", |_| bench.path("undo-has-stalled").exists());
            obstruct();
            std::fs::remove_file(&stalls).unwrap();
        }
        daemon.wait_for("the undoing", |daemon| daemon.status().confirmation.is_none());
        assert_eq!(texts(&bench), both("old"), "{:?}", daemon.problems());
        assert!(is_told(&daemon, "what came of steps is not remembered: cannot open"), "{:?}", daemon.problems());
        // The next daemon finds the change waiting still, and takes back again what is back.
        daemon.kill();
        obstacles.iter().for_each(|path| std::fs::remove_dir(path).unwrap());
        std::fs::remove_file(&journal).unwrap();
        let daemon = bench.start();
        if is_asked {
            assert!(daemon.request(&UndoChange {}).unwrap().is_success());
        }
        daemon.wait_for("the undoing", |daemon| daemon.status().confirmation.is_none());
        assert_eq!(texts(&bench), both("old"), "{:?}", daemon.problems());
        let held =
            |name: &str| format!("plugin {name}: its last change was undone, and is not applied again by itself");
        let problems = daemon.problems();
        assert!(problems.contains(&held("a")) && problems.contains(&held("b")), "{problems:?}");
        daemon.stop();
    }
}

/// Steps were taken down in a file that nobody could find, and a plugin that ended never ran again.
#[test]
fn a_record_that_is_removed_at_run_time_is_made_anew() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    let key = bench.text("state/key.json");
    std::fs::remove_dir_all(bench.path("state")).unwrap();
    want(&bench, "new");
    assert!(daemon.apply().is_success());
    assert_eq!((texts(&bench), bench.text("state/key.json")), (both("new"), key));
    let past = daemon.request(&History::default()).unwrap();
    assert_eq!(past.steps.len(), 2, "those of this apply: {past:?}");
    assert!(past.steps.iter().all(|step| step.result == Some(StepResult::Changed)), "{past:?}");
    assert!(bench.text("state/applied.json").is_some_and(|applied| applied.contains("config")));
    std::fs::remove_dir_all(bench.path("state")).unwrap();
    let name = daemon.status().plugins[0].name.clone();
    let restarted = daemon.request(&PluginRestart { name }).unwrap();
    assert_eq!(restarted.state, PluginState::Running, "{restarted:?}");
    daemon.stop();
}

/// It failed until the deadline undid the change.
#[test]
fn a_change_is_confirmed_whose_record_was_removed() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    want(&bench, "new");
    apply_within(&daemon, LONG_MS);
    let key = bench.text("state/key.json");
    std::fs::remove_dir_all(bench.path("state")).unwrap();
    assert_eq!(daemon.request(&Confirm {}).unwrap().steps, 2);
    assert_eq!((daemon.problems(), bench.text("state/key.json")), (Vec::new(), key));
    daemon.kill();
    let daemon = bench.start();
    assert_eq!((texts(&bench), daemon.status().confirmation), (both("new"), None));
    assert_eq!(daemon.problems(), Vec::<String>::new());
    daemon.stop();
}

/// It was tried every two seconds for ever.
#[test]
fn what_is_in_force_without_steps_is_written_into_a_record_that_was_removed() {
    for is_journal_open in [true, false] {
        let bench = Bench::new();
        let daemon = two_plugins(&bench);
        let daemon = if is_journal_open {
            daemon
        } else {
            daemon.stop();
            cannot_be_opened(&bench, &bench.path("state/journal.jsonl"));
            bench.start()
        };
        std::fs::remove_dir_all(bench.path("state")).unwrap();
        for name in ["a", "b"] {
            std::fs::write(bench.path(name), "new").unwrap();
        }
        want(&bench, "new");
        let report = daemon.apply();
        assert!(report.is_success() && report.plugins.iter().all(|plugin| plugin.steps.is_empty()), "{report:?}");
        let is_there = |name| bench.path("state").join(name).exists();
        daemon.wait_for("the record", |daemon| {
            ["applied.json", "key.json"].into_iter().all(is_there) && daemon.problems().is_empty()
        });
        daemon.stop();
    }
}

/// The next daemon knew nothing of it.
#[test]
fn a_step_in_doubt_goes_into_the_record_that_is_made_anew() {
    for is_whole_directory_removed in [true, false] {
        let bench = Bench::new();
        let lethal = bench.path("lethal");
        bench.install("a", &json!({ "die_in_apply_while": lethal, "die_at_start_while": lethal }));
        bench.install("b", &json!({ "after": ["a"] }));
        want(&bench, "old");
        let daemon = bench.start();
        std::fs::write(&lethal, "").unwrap();
        want(&bench, "new");
        assert_eq!(daemon.apply().plugins[0].steps[0].result, StepResult::Unknown);
        let doubt = format!(
            "plugin a: nobody knows whether this step was done, because its plugin or the daemon ended: \
                             write {}",
            bench.path("a").display()
        );
        let is_doubted = |daemon: &Daemon<'_>| daemon.problems().contains(&doubt);
        assert!(is_doubted(&daemon), "{:?}", daemon.problems());
        match is_whole_directory_removed {
            true => std::fs::remove_dir_all(bench.path("state")).unwrap(),
            false => std::fs::remove_file(bench.path("state/journal.jsonl")).unwrap(),
        }
        bench.configure(&format!("{}{}", bench.wants("a", "new"), bench.wants("b", "newer")));
        daemon.apply();
        assert_eq!(bench.text("b").as_deref(), Some("newer"));
        daemon.kill();
        std::fs::remove_file(&lethal).unwrap();
        let daemon = bench.start();
        assert!(is_doubted(&daemon), "{is_whole_directory_removed}: {:?}", daemon.problems());
        assert!(daemon.apply().is_success());
        assert_eq!((texts(&bench)[0].as_deref(), daemon.problems()), (Some("new"), Vec::new()));
        assert_eq!(bench.open_steps(), [""; 0], "it is resolved");
        daemon.stop();
    }
}

/// The daemon ended, and said that it was another one's.
#[test]
fn something_in_the_place_of_the_state_directory_ends_nobody() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    std::fs::remove_dir_all(bench.path("state")).unwrap();
    std::fs::write(bench.path("state"), "in the way").unwrap();
    want(&bench, "new");
    let step = daemon.apply().plugins[0].steps[0].clone();
    let error = step.error.unwrap();
    assert!(step.result == StepResult::Failed && error.message.contains("cannot prepare directory"), "{error:?}");
    assert!(error.help.as_ref().is_some_and(|help| help.contains("in its place")), "{error:?}");
    assert!(is_told(&daemon, "what is in force is not remembered"), "{:?}", daemon.problems());
    assert_eq!((texts(&bench), bench.text("state").as_deref()), (both("old"), Some("in the way")));
    std::fs::remove_file(bench.path("state")).unwrap();
    daemon.wait_for("the record", |daemon| !is_told(daemon, ""));
    assert!(daemon.apply().is_success());
    assert_eq!(texts(&bench), both("new"));
    daemon.stop();
}

/// A second daemon would have had the directory for itself, beside the first.
#[test]
fn a_lock_that_was_removed_is_taken_again_and_one_in_place_is_kept() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    for (file, text) in [("lock", "one"), ("journal.jsonl", "two")] {
        std::fs::remove_file(bench.path("state").join(file)).unwrap();
        want(&bench, text);
        assert!(daemon.apply().is_success());
        assert_eq!((texts(&bench), daemon.problems()), (both(text), Vec::new()));
        let mut other = Bench::new();
        other.state = bench.path("state");
        let status = other.command().status().unwrap();
        let said = other.log();
        assert!(status.code() == Some(1) && said.contains("another sysconfig runs already as"), "{said}");
    }
    daemon.stop();
}

/// The two locks were one, which ends for both as soon as either does.
#[test]
fn one_directory_for_both_is_refused() {
    let mut bench = Bench::new();
    std::os::unix::fs::symlink(bench.path("run"), bench.path("link")).unwrap();
    for state in ["run", "link"] {
        bench.state = bench.path(state);
        let mut command = bench.command();
        let mut child = command.spawn().unwrap();
        let give_up = std::time::Instant::now() + common::PATIENCE;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            let is_ready = bench.log().contains("ready: ");
            if is_ready || std::time::Instant::now() > give_up {
                drop(child.kill());
                panic!("{state}: it does not end: {}", bench.log());
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        };
        assert_eq!(status.code(), Some(1), "{state}: {}", bench.log());
        assert!(bench.log().contains("cannot be the run directory and the state directory"), "{}", bench.log());
        assert!(bench.log().contains("--state-dir"), "{}", bench.log());
        std::fs::remove_file(bench.path("log")).unwrap();
    }
}

/// The daemon ended, and its service went into maintenance.
#[test]
fn privileged_a_full_or_read_only_state_directory_ends_nobody() {
    namespace::run("full or read-only", &[], &[], &[]);
}

/// Neither could lock what is not there, and each wrote over the other's record when it came.
#[test]
fn privileged_of_two_daemons_without_a_state_directory_one_stays() {
    namespace::run("two without a directory", &[], &[], &[]);
}

/// They were moved aside, maybe those of a daemon that had the directory for itself.
#[test]
fn privileged_damaged_files_stay_where_they_are_until_the_directory_is_locked() {
    namespace::run("damaged and not locked", &[], &[], &[]);
}

/// A step of an earlier daemon that was in doubt was never told.
#[test]
fn a_step_in_doubt_is_told_as_soon_as_the_journal_can_be_read() {
    for is_damaged in [false, true] {
        let bench = Bench::new();
        two_plugins(&bench).stop();
        let (path, aside) = (bench.path("state/journal.jsonl"), bench.path("aside"));
        let mut lines = bench.text("state/journal.jsonl").unwrap();
        let intent = lines.lines().find(|line| line.contains("\"intent\"")).unwrap();
        let open = intent.replace("\"sequence\":1,", "\"sequence\":77,");
        assert_ne!(open, intent);
        lines = format!("{lines}{open}\n{}", if is_damaged { "nonsense\n" } else { "" });
        std::fs::write(&aside, lines).unwrap();
        // The journal takes its place at once: the daemon would begin one where there is none.
        cannot_be_opened(&bench, &path);
        want(&bench, "new");
        let daemon = bench.start();
        let unknown = "whether a step of the daemon before is in doubt is not known: cannot read";
        assert!(is_told(&daemon, unknown), "{:?}", daemon.problems());
        let report = daemon.apply();
        assert_eq!(report.plugins[0].steps[0].result, StepResult::Failed, "{report:?}");
        assert_eq!(texts(&bench), both("old"));
        std::fs::rename(&aside, &path).unwrap();
        daemon.wait_for("the journal", |daemon| !is_told(daemon, unknown));
        let problems = daemon.problems();
        let doubts = problems.iter().filter(|problem| problem.contains("nobody knows whether this step was done"));
        assert_eq!(doubts.count(), 1, "{problems:?}");
        assert_eq!(is_told(&daemon, "1 line of the journal makes no sense"), is_damaged, "{problems:?}");
        assert!(daemon.apply().is_success());
        assert_eq!(texts(&bench), both("new"));
        let problems = daemon.problems();
        assert_eq!(problems.len(), usize::from(is_damaged), "{problems:?}");
        assert_eq!(bench.open_steps(), Vec::<String>::new(), "what was in doubt is resolved in the journal as well");
        daemon.stop();
        let daemon = bench.start();
        assert_eq!(daemon.problems(), Vec::<String>::new());
        daemon.stop();
    }
}

/// Two daemons on one machine undo each other's work, whatever directories they have.
#[test]
fn privileged_a_daemon_by_hand_refuses_while_the_service_runs() {
    namespace::run("beside the service", &[], &[], &[]);
}

#[test]
#[ignore = "started by the other tests, in namespaces of its own"]
fn other_process() {
    match namespace::scenario().as_deref() {
        Some("full or read-only") => {
            full_from_the_start();
            for is_full in [true, false] {
                later(is_full);
            }
        }
        Some("beside the service") => beside_the_service(),
        Some("damaged and not locked") => damaged_and_not_locked(),
        Some("two without a directory") => {
            two_without_a_directory();
            a_directory_that_comes_with_a_record();
        }
        _ => (),
    }
}

/// The state directory is a small file system.
fn small_disk(bench: &Bench) {
    let state = bench.path("state");
    std::fs::create_dir_all(&state).unwrap();
    sh(&format!("mount -t tmpfs -o size=32m,mode=700 tmpfs {}", state.display()));
}

fn fill(bench: &Bench) {
    sh(&format!("cat /dev/zero > {} 2>/dev/null || true", bench.path("state/filler").display()));
}

fn full_from_the_start() {
    let bench = Bench::new();
    small_disk(&bench);
    fill(&bench);
    bench.install("a", &json!({}));
    bench.configure(&bench.wants("a", "text"));
    let daemon = bench.start();
    assert!(daemon.problems().iter().any(|problem| problem.starts_with("state: ")), "{:?}", daemon.problems());
    assert_eq!(daemon.plugin("a").state, PluginState::Backoff);
    assert_eq!(bench.text("a"), None);
    std::fs::remove_file(bench.path("state/filler")).unwrap();
    daemon.wait_for("the plugin", |daemon| daemon.bench.text("a").as_deref() == Some("text"));
    daemon.wait_for("health", |daemon| daemon.problems().is_empty());
    daemon.stop();
}

fn later(is_full: bool) {
    let bench = Bench::new();
    small_disk(&bench);
    two_plugins(&bench).stop();
    let state = bench.path("state").display().to_string();
    if is_full {
        fill(&bench);
        // A journal that ends a page, so that the next line needs another one.
        sh(&format!("cd {state} && cat /dev/zero >> filler 2>/dev/null || true"));
    } else {
        sh(&format!("mount -o remount,ro {state}"));
    }
    want(&bench, "new");
    let daemon = bench.start();
    assert!(daemon.request(&Ping {}).is_ok());
    let report = daemon.apply();
    if !is_full {
        assert!(is_told(&daemon, "what came of steps is not remembered"), "{:?}", daemon.problems());
        let step = &report.plugins[0].steps[0];
        assert_eq!(step.result, StepResult::Failed, "{report:?}");
        let error = step.error.clone().unwrap();
        assert!(error.message.contains("Read-only file system"), "{error:?}");
        assert!(error.help.as_ref().is_some_and(|help| help.contains("mounted read-only")), "{error:?}");
        assert_eq!(texts(&bench), both("old"), "nothing is done that cannot be taken down first");
        assert_eq!(daemon.status().health, Health::Degraded);
    }
    match is_full {
        true => std::fs::remove_file(bench.path("state/filler")).unwrap(),
        false => drop(sh(&format!("mount -o remount,rw {state}"))),
    }
    assert!(daemon.apply().is_success());
    assert_eq!(texts(&bench), both("new"));
    daemon.wait_for("the end of it", |daemon| daemon.problems().is_empty());
    daemon.stop();
}

/// A disk without room for another file, on which files can be renamed still.
fn damaged_and_not_locked() {
    let bench = Bench::new();
    let state = bench.path("state");
    std::fs::create_dir(&state).unwrap();
    sh(&format!("mount -t tmpfs -o nr_inodes=100,mode=700 tmpfs {}", state.display()));
    let names = ["applied.json", "confirmation.json", "key.json"];
    for name in names {
        std::fs::write(state.join(name), format!("no {name}")).unwrap();
    }
    let fillers = (0..100).map(|number| state.join(format!("filler {number}")));
    let fillers: Vec<_> = fillers.take_while(|path| std::fs::write(path, "").is_ok()).collect();
    let daemon = bench.start();
    assert!(is_told(&daemon, "what came of steps is not remembered"), "{:?}", daemon.problems());
    for name in names {
        let what = format!("{} was damaged, and what it held is there still", state.join(name).display());
        assert!(is_told(&daemon, &what), "{:?}", daemon.problems());
        assert_eq!(bench.text(&format!("state/{name}")), Some(format!("no {name}")), "it may be another daemon's");
        assert!(!state.join(format!("{name}.damaged")).exists(), "{name}");
    }
    fillers.iter().for_each(|path| std::fs::remove_file(path).unwrap());
    daemon.wait_for("the lock", |daemon| !is_told(daemon, "what came of steps is not remembered"));
    for name in names {
        let what = format!("{0} was damaged, and what it held is kept as {0}.damaged", state.join(name).display());
        daemon.wait_for("the news of it", |daemon| is_told(daemon, &what));
        assert_eq!(bench.text(&format!("state/{name}.damaged")), Some(format!("no {name}")));
    }
    daemon.stop();
    let daemon = bench.start();
    assert!(!is_told(&daemon, ""), "it is told once: {:?}", daemon.problems());
    assert!(daemon.problems().iter().any(|problem| problem.starts_with("confirmation: the record")));
    daemon.stop();
}

fn two_without_a_directory() {
    let (mut one, mut other) = (Bench::new(), Bench::new());
    let disk = one.path("disk");
    std::fs::create_dir(&disk).unwrap();
    sh(&format!("mount -t tmpfs -o ro,mode=755 tmpfs {}", disk.display()));
    (one.state, other.state) = (disk.join("state"), disk.join("state"));
    let (mut first, mut second) = (one.start(), other.start());
    for daemon in [&first, &second] {
        assert!(is_told(daemon, "what came of steps is not remembered"), "{:?}", daemon.problems());
    }
    sh(&format!("mount -o remount,rw {}", disk.display()));
    // Whoever comes first has it; nobody says which.
    let give_up = std::time::Instant::now() + common::PATIENCE;
    let ended = loop {
        assert!(std::time::Instant::now() < give_up, "nobody ends: {}{}", one.log(), other.log());
        let left = [first.ended(), second.ended()];
        if left.iter().any(Option::is_some) {
            break left;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    let (gone, stays) = match ended {
        [Some(status), None] => (status, second),
        [None, Some(status)] => (status, first),
        both => panic!("nobody is left: {both:?}"),
    };
    assert_eq!(gone.code(), Some(1));
    let said = format!("{}{}", one.log(), other.log());
    assert!(said.contains("another sysconfig runs already"), "{said}");
    stays.wait_for("health", |daemon| daemon.problems().is_empty());
    assert!(disk.join("state/journal.jsonl").exists());
    stays.stop();
}

/// What the daemon remembers is not what is there, so it ends, and the next one reads it.
fn a_directory_that_comes_with_a_record() {
    let mut bench = Bench::new();
    let disk = bench.path("disk");
    for directory in ["disk", "other/state"] {
        std::fs::create_dir_all(bench.path(directory)).unwrap();
    }
    let open = r#"{"kind":"intent","sequence":7,"at_unix_ms":1,"plugin":"x","plan":"00","step":{"id":"1","action":"set","resource":"a","summary":"set a"}}"#;
    std::fs::write(bench.path("other/state/journal.jsonl"), format!("{open}\n")).unwrap();
    sh(&format!("mount -t tmpfs -o ro,mode=755 tmpfs {}", disk.display()));
    bench.state = disk.join("state");
    let mut daemon = bench.start();
    assert!(is_told(&daemon, "what came of steps is not remembered"), "{:?}", daemon.problems());
    sh(&format!("mount --bind {} {}", bench.path("other").display(), disk.display()));
    assert_eq!(daemon.wait().code(), Some(1));
    let said = bench.log();
    assert!(said.contains("is not what this sysconfig found there") && said.contains("start it again"), "{said}");
    assert_eq!(bench.text("other/state/journal.jsonl").unwrap(), format!("{open}\n"), "nothing was written");
    let daemon = bench.start();
    let problems = daemon.problems();
    assert!(
        problems.iter().any(|problem| problem.starts_with("plugin x: ") && problem.ends_with("set a")),
        "{problems:?}"
    );
    daemon.stop();
}

fn beside_the_service() {
    sh("mkdir -p /var/run/sysconfig && mount -t tmpfs -o mode=700 tmpfs /var/run/sysconfig");
    let (service, by_hand) = (Bench::new(), Bench::new());
    let command = |bench: &Bench, run_directory: &str| {
        let mut arguments = bench.arguments();
        arguments.retain(|argument| argument != "--beside-service");
        let at = arguments.iter().position(|argument| argument == "--run-dir").unwrap();
        arguments[at + 1] = run_directory.to_owned();
        let mut command = common::program(std::path::Path::new(env!("CARGO_BIN_EXE_sysconfig")));
        command.args(arguments).stderr(std::process::Stdio::piped());
        command
    };
    let mut child = command(&service, "/var/run/sysconfig").spawn().unwrap();
    let give_up = std::time::Instant::now() + common::PATIENCE;
    while std::os::unix::net::UnixStream::connect("/var/run/sysconfig/sysconfig.sock").is_err() {
        assert!(std::time::Instant::now() < give_up, "the service's daemon does not come");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let output = command(&by_hand, by_hand.path("run").to_str().unwrap()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("runs already as process {}", child.id())), "{said}");
    assert!(said.contains("--beside-service"), "{said}");
    by_hand.start().stop();
    child.kill().unwrap();
    child.wait().unwrap();
    let mut child = command(&by_hand, by_hand.path("run").to_str().unwrap()).spawn().unwrap();
    let log = std::io::BufReader::new(child.stderr.take().unwrap());
    assert!(std::io::BufRead::lines(log).any(|line| line.unwrap().contains("ready: ")), "its socket is nobody's");
    child.kill().unwrap();
    child.wait().unwrap();
}
