//! What was undone, or could not be, is known and left alone whatever becomes of its plugin.

mod common;

use common::confirming::{LONG_MS, apply_and_undo, apply_within, both, texts, two_plugins, want, without_a};
use common::{Bench, Daemon};
use serde_json::{Value, json};
use std::io::Write;
use sysconfig_protocol::Call;
use sysconfig_protocol::admin::{Apply, Confirm, PluginRestart, PluginState, Reload, UndoChange};
use sysconfig_protocol::envelope::{Id, Message, Request};

fn kill(daemon: &Daemon<'_>, plugin: &str) {
    let pid = i32::try_from(daemon.plugin(plugin).pid.unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// The plugin `a` comes back, and its part is not applied.
fn comes_and_is_held(bench: &Bench, daemon: &Daemon<'_>) {
    bench.install("a", &json!({ "undo": true }));
    let is_told =
        |daemon: &Daemon<'_>| daemon.problems().join("\n").contains("plugin a: its change was to be confirmed");
    daemon.wait_for("a word about it", is_told);
}

/// It was forgotten by a change to be confirmed that had not come to it, because its plugin was down: it stayed in force, and nobody
/// was told.
#[test]
fn what_could_not_be_undone_is_kept_by_a_change_that_does_not_come_to_it() {
    let bench = Bench::new();
    let (lethal, obstacle) = (bench.path("lethal"), bench.path("undo-fails"));
    bench.install("a", &json!({ "undo": true }));
    bench.install("b", &json!({ "undo": true, "after": ["a"], "die_at_start_while": lethal }));
    want(&bench, "old");
    let daemon = bench.start();
    want(&bench, "new");
    apply_within(&daemon, LONG_MS);
    std::fs::write(&obstacle, "b").unwrap();
    assert!(!daemon.request(&UndoChange {}).unwrap().is_success());
    std::fs::write(&lethal, "").unwrap();
    kill(&daemon, "b");
    daemon.wait_for_plugin("b", "its end", |plugin| plugin.state == PluginState::Quarantined);
    let told = |daemon: &Daemon<'_>| {
        let problems = daemon.problems().join("\n");
        assert!(problems.contains("plugin b: cannot be undone: write"), "{problems}");
        assert!(problems.contains("plugin b: its last change was not undone in whole"), "{problems}");
    };
    apply_within(&daemon, LONG_MS);
    assert_eq!(texts(&bench), both("new"), "{:?}", daemon.problems());
    told(&daemon);
    assert!(daemon.request(&UndoChange {}).unwrap().is_success());
    told(&daemon);
    std::fs::remove_file(&lethal).unwrap();
    std::fs::remove_file(&obstacle).unwrap();
    daemon.request(&PluginRestart { name: "b".to_owned() }).unwrap();
    daemon.wait_for("the rest of the undoing", |_| texts(&bench) == both("old"));
    daemon.stop();
}

/// Its plugin has another name now, and the same part: that was applied again by itself.
#[test]
fn what_was_undone_stays_so_when_its_plugin_is_renamed() {
    for is_running in [true, false] {
        let bench = Bench::new();
        let daemon = two_plugins(&bench);
        want(&bench, "new");
        apply_and_undo(&daemon);
        let rename = || {
            bench.uninstall("a");
            bench.install("renamed", &json!({ "undo": true, "claims": ["test.a"] }));
        };
        let daemon = if is_running {
            rename();
            daemon
        } else {
            daemon.stop();
            rename();
            bench.start()
        };
        daemon.wait_for_plugin("renamed", "the plugin", |plugin| plugin.state == PluginState::Running);
        // Whatever its start brings about comes before the plan.
        daemon.plan();
        let problems = daemon.problems();
        assert_eq!(texts(&bench), both("old"), "{is_running}: {problems:?}");
        let held = "plugin renamed: its last change was undone, and is not applied again by itself";
        assert!(problems.iter().any(|problem| problem == held), "{is_running}: {problems:?}");
        assert!(daemon.apply().is_success());
        assert_eq!(texts(&bench), both("new"));
        assert_eq!(daemon.problems(), Vec::<String>::new());
        daemon.stop();
    }
}

/// A build that owns one key more has another part, though nobody has changed the configuration.
#[test]
fn what_was_undone_stays_so_when_a_new_build_owns_other_keys() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    let further = "[test.further]\nkey = 1\n";
    bench.configure(&format!("{}{}{further}", bench.wants("a", "new"), bench.wants("b", "new")));
    apply_and_undo(&daemon);
    let build = json!({ "undo": true, "version": "2.0.0", "claims": ["test.a", "test.further"] });
    bench.install("a", &build);
    daemon.wait_for_plugin("a", "the new build", |plugin| plugin.version.as_deref() == Some("2.0.0"));
    daemon.plan();
    let problems = daemon.problems();
    assert_eq!(texts(&bench), both("old"), "{problems:?}");
    let held = "plugin a: its last change was undone, and is not applied again by itself";
    assert!(problems.iter().any(|problem| problem == held), "{problems:?}");
    daemon.stop();
    let daemon = bench.start();
    assert_eq!(texts(&bench), both("old"), "nor by the next daemon: {:?}", daemon.problems());
    assert!(daemon.apply().is_success());
    assert_eq!(texts(&bench), both("new"));
    daemon.stop();
}

/// Nobody owned its key, so nothing of it was held: it was applied as soon as its plugin came, without a guard.
#[test]
fn what_nobody_owned_when_a_change_was_made_is_not_applied_after_it() {
    for is_confirmed in [false, true] {
        let bench = Bench::new();
        let daemon = without_a(&bench, two_plugins(&bench));
        want(&bench, "new");
        apply_within(&daemon, LONG_MS);
        match is_confirmed {
            true => drop(daemon.request(&Confirm {}).unwrap()),
            false => assert!(daemon.request(&UndoChange {}).unwrap().is_success()),
        }
        let expected = |a: &str| [Some(a.to_owned()), Some(if is_confirmed { "new" } else { "old" }.to_owned())];
        // The next daemon knows it, too.
        daemon.stop();
        let daemon = bench.start();
        comes_and_is_held(&bench, &daemon);
        assert_eq!(texts(&bench), expected("old"));
        assert!(daemon.apply().is_success());
        assert_eq!(texts(&bench), both("new"), "who asks gets it");
        daemon.stop();
    }
}

/// The key was in force before, with the very same value.
#[test]
fn what_was_in_force_is_not_held_because_its_plugin_was_away() {
    let bench = Bench::new();
    let daemon = without_a(&bench, two_plugins(&bench));
    bench.configure(&format!("{}{}", bench.wants("a", "old"), bench.wants("b", "new")));
    apply_and_undo(&daemon);
    bench.install("a", &json!({ "undo": true }));
    daemon.wait_for_plugin("a", "its arrival", |plugin| plugin.state == PluginState::Running);
    let problems = daemon.problems().join("\n");
    assert!(!problems.contains("plugin a"), "{problems}");
    daemon.stop();
}

/// A daemon that refused to start left a change in force that nobody had confirmed, and that may have cut off whoever could mend
/// the files.
#[test]
fn a_change_that_waits_is_undone_though_the_files_have_faults_at_the_start() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    want(&bench, "new");
    apply_within(&daemon, LONG_MS);
    daemon.kill();
    let record = bench.path("state/confirmation.json");
    let mut noted: Value = serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
    noted["pending"]["by_unix_ms"] = json!(0);
    std::fs::write(&record, noted.to_string()).unwrap();
    let good = std::fs::read_to_string(bench.path("sysconfig.toml")).unwrap();
    std::fs::write(bench.path("sysconfig.toml"), format!("{good}[test\n")).unwrap();
    let mut daemon = bench.start();
    daemon.wait_for("the undoing", |daemon| daemon.status().confirmation.is_none());
    assert_eq!(texts(&bench), both("old"));
    let problems = daemon.problems().join("\n");
    assert!(problems.contains("sysconfig.toml"), "the fault is told: {problems}");
    assert!(problems.contains("nothing is configured"), "{problems}");
    // What was undone stays so when the files are mended.
    std::fs::write(bench.path("sysconfig.toml"), good).unwrap();
    assert!(daemon.request(&Reload {}).unwrap().accepted);
    assert_eq!(texts(&bench), both("old"));
    let problems = daemon.problems().join("\n");
    assert!(problems.contains("plugin a: its last change was undone"), "{problems}");
    assert!(!problems.contains("nothing is configured"), "{problems}");
    daemon.signal(rustix::process::Signal::TERM);
    assert!(daemon.wait().success());
    // Without a change that waits, nothing is touched.
    std::fs::write(bench.path("sysconfig.toml"), "[test\n").unwrap();
    let mut refused = bench.spawn();
    assert_eq!(refused.wait().code(), Some(96));
}

/// The keys of the new build were others than those of what was last in force, which kept the hold whatever somebody wrote.
#[test]
fn a_changed_configuration_ends_a_hold_also_with_a_build_that_owns_more() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    let further = "[test.further]\nkey = 1\n";
    let configure =
        |text: &str| bench.configure(&format!("{}{}{further}", bench.wants("a", text), bench.wants("b", "old")));
    configure("new");
    apply_and_undo(&daemon);
    bench.install("a", &json!({ "undo": true, "version": "2.0.0", "claims": ["test.a", "test.further"] }));
    daemon.wait_for_plugin("a", "the new build", |plugin| plugin.version.as_deref() == Some("2.0.0"));
    assert_eq!(bench.text("a").as_deref(), Some("old"));
    configure("mended");
    assert!(daemon.request(&Reload {}).unwrap().accepted);
    assert_eq!(bench.text("a").as_deref(), Some("mended"), "{:?}", daemon.problems());
    daemon.stop();
}

/// What is taken back has no hash in the record, and neither has what was hashed with a key that is lost.
#[test]
fn without_the_key_what_a_change_had_not_come_to_is_held() {
    let bench = Bench::new();
    let stall = bench.path("stall");
    bench.install("a", &json!({ "undo": true, "stall_in_apply_while": stall }));
    bench.install("b", &json!({ "undo": true, "after": ["a"] }));
    want(&bench, "old");
    let daemon = bench.start();
    std::fs::write(&stall, "").unwrap();
    want(&bench, "new");
    let request = Apply { confirm_within_ms: Some(LONG_MS), ..Apply::default() };
    let request = Request { id: Id::Number(1), method: Apply::METHOD.to_owned(), params: json!(request) };
    daemon.connect().write_all(&Message::Request(request).to_line()).unwrap();
    let is_noted = |_: &Daemon<'_>| bench.text("state/confirmation.json").is_some_and(|text| text.contains("summary"));
    daemon.wait_for("the note of the step", is_noted);
    daemon.kill();
    std::fs::remove_file(&stall).unwrap();
    std::fs::write(bench.path("state/key.json"), "damaged").unwrap();
    let daemon = bench.start();
    daemon.request(&UndoChange {}).unwrap();
    assert_eq!(texts(&bench), both("old"), "{:?}", daemon.problems());
    assert!(
        daemon.problems().join("\n").contains("plugin b: its change was to be confirmed"),
        "{:?}",
        daemon.problems()
    );
    daemon.stop();
}

/// What nobody owned is not held because of a change that says nothing new of it; it was, and only a request ended that.
#[test]
fn a_guarded_change_holds_no_key_that_is_as_it_was() {
    let bench = Bench::new();
    let further = "[test.further]\nkey = 1\n";
    let configure =
        |text: &str| bench.configure(&format!("{}{}{further}", bench.wants("a", "old"), bench.wants("b", text)));
    let daemon = two_plugins(&bench);
    configure("old");
    daemon.request(&Reload {}).unwrap();
    configure("new");
    apply_within(&daemon, LONG_MS);
    daemon.request(&Confirm {}).unwrap();
    bench.install("a", &json!({ "undo": true, "version": "2.0.0", "claims": ["test.a", "test.further"] }));
    daemon.wait_for_plugin("a", "the new build", |plugin| plugin.version.as_deref() == Some("2.0.0"));
    std::fs::remove_file(bench.path("a")).unwrap();
    daemon.stop();
    let daemon = bench.start();
    assert_eq!(bench.text("a").as_deref(), Some("old"), "{:?}", daemon.problems());
    daemon.stop();
}

/// It was held whatever somebody wrote, although the help says that this ends it.
#[test]
fn an_edit_ends_the_hold_of_a_key_that_nobody_owned() {
    let bench = Bench::new();
    let daemon = without_a(&bench, two_plugins(&bench));
    want(&bench, "new");
    apply_and_undo(&daemon);
    want(&bench, "edited");
    assert!(daemon.request(&Reload {}).unwrap().accepted);
    bench.install("a", &json!({ "undo": true }));
    daemon.wait_for("its part", |_| bench.text("a").as_deref() == Some("edited"));
    daemon.stop();
}

/// The record names a directory whose programs will run as root.
#[test]
fn a_record_that_anybody_may_have_written_starts_nothing() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    want(&bench, "new");
    apply_within(&daemon, LONG_MS);
    daemon.kill();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(bench.path("state/confirmation.json"), open).unwrap();
    std::fs::write(bench.path("sysconfig.toml"), "[test\n").unwrap();
    assert_eq!(bench.spawn().wait().code(), Some(96));
    assert!(bench.log().contains("others may have written the record of it"), "{}", bench.log());
}

/// The older hold is of another value.
#[test]
fn what_was_held_before_is_held_with_its_new_value_too() {
    let bench = Bench::new();
    let daemon = two_plugins(&bench);
    want(&bench, "new");
    apply_and_undo(&daemon);
    let daemon = without_a(&bench, daemon);
    want(&bench, "newest");
    apply_and_undo(&daemon);
    comes_and_is_held(&bench, &daemon);
    assert_eq!(texts(&bench), both("old"));
    daemon.stop();
}

/// It has no value that could be compared.
#[test]
fn a_key_that_a_change_takes_away_is_held_too() {
    let bench = Bench::new();
    bench.install("b", &json!({ "undo": true }));
    let configure = |b: &str, further: &str| {
        bench.configure(&format!("{}{further}{}", bench.wants("a", "new"), bench.wants("b", b)));
    };
    configure("old", "[test.a.further]\nkey = 1\n");
    let daemon = bench.start();
    configure("new", "");
    apply_and_undo(&daemon);
    comes_and_is_held(&bench, &daemon);
    assert_eq!(texts(&bench), [None, Some("old".to_owned())]);
    daemon.stop();
}

/// It was held whatever the files said by the time that its plugin came.
#[test]
fn an_edit_before_the_next_start_ends_the_hold_of_a_key_that_nobody_owned() {
    let bench = Bench::new();
    let daemon = without_a(&bench, two_plugins(&bench));
    want(&bench, "new");
    apply_and_undo(&daemon);
    daemon.stop();
    want(&bench, "edited");
    bench.install("a", &json!({ "undo": true }));
    let daemon = bench.start();
    assert_eq!(bench.text("a").as_deref(), Some("edited"), "{:?}", daemon.problems());
    daemon.stop();
}
