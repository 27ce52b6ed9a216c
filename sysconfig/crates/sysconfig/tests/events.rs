//! What plugins tell each other through the daemon.

mod common;

use common::Bench;
use serde_json::json;
use sysconfig_protocol::admin::{Apply, Confirm, Health, PluginRestart, PluginState, Reload, UndoChange};

/// A plugin `z` that says what is in the file `word`, and a plugin `a` that appends it to its text.
fn speaker_and_listener(bench: &Bench) {
    bench.install("z", &json!({ "emit_file": ["lease", bench.path("word")] }));
    bench.install("a", &json!({ "after": ["z"], "subscribe": ["lease"] }));
    bench.configure(&format!("{}{}", bench.wants("a", "text"), bench.wants("z", "z")));
}

#[test]
fn a_later_plugin_knows_before_its_first_step_what_an_earlier_one_said() {
    let bench = Bench::new();
    speaker_and_listener(&bench);
    std::fs::write(bench.path("word"), "one").unwrap();
    let daemon = bench.start();
    assert_eq!(bench.text("a").as_deref(), Some("text\"one\""));
    assert_eq!(daemon.log().matches("plugin a: changed").count(), 1, "nothing was written twice: {}", daemon.log());
    assert_eq!(daemon.status().health, Health::Ok);
    daemon.stop();
}

#[test]
fn news_is_acted_on_once_and_a_repetition_never() {
    let bench = Bench::new();
    speaker_and_listener(&bench);
    std::fs::write(bench.path("word"), "one").unwrap();
    let daemon = bench.start();
    let writes = || daemon.log().matches("plugin a: changed").count();
    daemon.plan();
    daemon.plan();
    assert_eq!(writes(), 1);
    std::fs::write(bench.path("word"), "two").unwrap();
    // A look at the machine is what makes this speaker speak; the listener then acts by itself.
    daemon.plan();
    daemon.wait_for("the news to be acted on", |daemon| daemon.bench.text("a").as_deref() == Some("text\"two\""));
    std::fs::remove_file(bench.path("word")).unwrap();
    daemon.plan();
    daemon.wait_for("the word to be taken back", |daemon| daemon.bench.text("a").as_deref() == Some("text"));
    // The file is there before the daemon hears of it.
    daemon.wait_for("the step to be told", |_| writes() >= 3);
    assert_eq!(writes(), 3);
    daemon.stop();
}

/// A resolver plugin that was rebuilt while a lease was in force planned to remove the lease's name servers: only the
/// old process had heard of them.
#[test]
fn a_new_process_is_told_what_the_old_one_knew() {
    let bench = Bench::new();
    speaker_and_listener(&bench);
    std::fs::write(bench.path("word"), "one").unwrap();
    let daemon = bench.start();
    bench.install("a", &json!({ "after": ["z"], "subscribe": ["lease"], "prefix": "new " }));
    daemon.wait_for("the new build", |daemon| daemon.bench.text("a").as_deref() == Some("new text\"one\""));
    let restarted = daemon.request(&PluginRestart { name: "a".to_owned() }).unwrap();
    assert_eq!(restarted.state, PluginState::Running);
    let plan = daemon.plan();
    assert!(plan.plugins.iter().all(|plugin| plugin.steps.is_empty()), "{plan:?}");
    daemon.stop();
}

#[test]
fn what_a_plugin_said_goes_with_its_part_of_the_configuration() {
    let bench = Bench::new();
    speaker_and_listener(&bench);
    std::fs::write(bench.path("word"), "one").unwrap();
    let daemon = bench.start();
    assert_eq!(bench.text("a").as_deref(), Some("text\"one\""));
    bench.configure(&bench.wants("a", "text"));
    assert!(daemon.request(&Reload {}).unwrap().accepted);
    daemon.wait_for("the word to be forgotten", |daemon| daemon.bench.text("a").as_deref() == Some("text"));
    daemon.stop();
}

#[test]
fn plugins_that_answer_each_other_for_ever_are_slowed_down() {
    let bench = Bench::new();
    let first = bench.path("first word");
    bench.install("a", &json!({ "subscribe": ["ping"], "answer_events": "pong", "blurt": ["pong", first] }));
    bench.install("b", &json!({ "subscribe": ["pong"], "answer_events": "ping" }));
    bench.configure(&format!("{}{}", bench.wants("a", "a"), bench.wants("b", "b")));
    let daemon = bench.start();
    std::fs::write(first, "ball").unwrap();
    daemon.wait_for("the brake", |daemon| daemon.log().contains("events come too fast"));
    let before = daemon.log().matches("told of ").count();
    assert!(before <= 60, "{before} events were told");
    assert_eq!(daemon.status().plugins.len(), 2, "and the daemon serves");
    daemon.stop();
}

/// It observes for each of its own words, also to verify, and has something new to say each time.
#[test]
fn a_plugin_that_tells_itself_something_new_with_every_look_is_slowed_down() {
    let bench = Bench::new();
    bench.install("a", &json!({ "subscribe": ["news"], "chatter": "news" }));
    bench.configure(&bench.wants("a", "text"));
    let daemon = bench.start();
    daemon.wait_for("the brake", |daemon| daemon.log().contains("events come too fast"));
    assert_eq!(bench.text("a").as_deref(), Some("text"));
    assert_eq!(daemon.log().matches("plugin a: changed").count(), 1, "{}", daemon.log());
    assert_eq!(daemon.status().health, Health::Ok, "{:?}", daemon.problems());
    daemon.stop();
}

/// What it says with every look is the same, so it is no news after the first time, also when that look was to verify.
#[test]
fn a_plugin_that_tells_itself_the_same_with_every_look_is_asked_anew_once() {
    let bench = Bench::new();
    bench.install("a", &json!({ "subscribe": ["news"], "emit_file": ["news", bench.path("word")] }));
    bench.configure(&bench.wants("a", "text"));
    std::fs::write(bench.path("word"), "one").unwrap();
    let daemon = bench.start();
    daemon.wait_for("its own word", |daemon| daemon.bench.text("a").as_deref() == Some("text\"one\""));
    for _ in 0..3 {
        daemon.plan();
    }
    let cycles = daemon.log().matches("cycle (event news of plugin a)").count();
    assert!(cycles <= 1, "{}", daemon.log());
    assert_eq!(daemon.status().health, Health::Ok, "{:?}", daemon.problems());
    daemon.stop();
}

/// Whoever had its turn already was not told before something else happened.
#[test]
fn what_is_said_late_in_a_round_is_heard_as_well() {
    let bench = Bench::new();
    bench.install("a", &json!({ "subscribe": ["answer"] }));
    bench.install("m", &json!({ "after": ["a"], "subscribe": ["lease"], "answer_events": "answer" }));
    bench.install("n", &json!({ "after": ["m"], "subscribe": ["lease"] }));
    bench.install("z", &json!({ "after": ["n"], "emit_file": ["lease", bench.path("word")] }));
    let wants: String = ["a", "m", "n", "z"].map(|name| bench.wants(name, name)).concat();
    bench.configure(&wants);
    let daemon = bench.start();
    std::fs::write(bench.path("word"), "one").unwrap();
    daemon.plan();
    daemon.wait_for("the answer to be heard", |daemon| daemon.bench.text("a").as_deref() == Some("a1"));
    daemon.stop();
}

/// News for a plugin whose configuration it refuses wakes nobody, again and again.
#[test]
fn news_waits_for_a_configuration_that_is_accepted() {
    let bench = Bench::new();
    bench.install("z", &json!({ "emit_file": ["lease", bench.path("word")] }));
    bench.install("a", &json!({ "after": ["z"], "subscribe": ["lease"], "refuse": true }));
    bench.configure(&format!("{}{}", bench.wants("a", "text"), bench.wants("z", "z")));
    let daemon = bench.start();
    std::fs::write(bench.path("word"), "one").unwrap();
    daemon.plan();
    let before = daemon.log().matches("cycle (").count();
    std::thread::sleep(std::time::Duration::from_millis(500));
    let log = daemon.log();
    assert!(log.matches("cycle (").count() <= before + 1 && !log.contains("too fast"), "{log}");
    daemon.stop();
}

/// A plugin `z` that says once what is in the file `word`, and a plugin `a` that appends it to its text.
fn blurter_and_listener(bench: &Bench, sleep_ms: u64) {
    bench.install("z", &json!({ "blurt": ["lease", bench.path("word")], "observe_sleep_ms": sleep_ms, "undo": true }));
    bench.install("a", &json!({ "after": ["z"], "subscribe": ["lease"] }));
}

fn blurt(bench: &Bench) {
    // Whole at once: the plugin reads it as soon as it is there.
    std::fs::write(bench.path("word.new"), "one").unwrap();
    std::fs::rename(bench.path("word.new"), bench.path("word")).unwrap();
}

/// While a change waited for its confirmation, nothing acted on news, as it should be; nor did anything afterwards.
#[test]
fn what_is_said_while_a_change_waits_is_acted_on_afterwards() {
    for confirmed in [true, false] {
        let bench = Bench::new();
        blurter_and_listener(&bench, 0);
        let wants = |text: &str| bench.configure(&format!("{}{}", bench.wants("a", "text"), bench.wants("z", text)));
        wants("old");
        let daemon = bench.start();
        wants("new");
        let request = Apply { confirm_within_ms: Some(3_600_000), ..Apply::default() };
        assert!(daemon.request(&request).unwrap().is_success());
        blurt(&bench);
        daemon.wait_for("the word", |daemon| daemon.log().contains("plugin z: says lease"));
        // It hears the word when it is asked for its plan, and must not act on it then either.
        daemon.plan();
        assert_eq!(bench.text("a").as_deref(), Some("text"), "the change waits");
        match confirmed {
            true => drop(daemon.request(&Confirm {}).unwrap()),
            false => assert!(daemon.request(&UndoChange {}).unwrap().is_success()),
        }
        daemon.wait_for("the news to be acted on", |daemon| daemon.bench.text("a").as_deref() == Some("text\"one\""));
        assert_eq!(bench.text("z").as_deref(), Some(if confirmed { "new" } else { "old" }));
        daemon.stop();
    }
}

/// A plan for files that are not in force asks the plugins about them, and what they said meanwhile was heard by nobody.
/// Whoever says a thing only once, such as that a link has gone, had said it in vain.
#[test]
fn what_is_said_once_while_other_files_are_planned_is_acted_on_afterwards() {
    let bench = Bench::new();
    blurter_and_listener(&bench, 700);
    let wants = |text: &str| bench.configure(&format!("{}{}", bench.wants("a", "text"), bench.wants("z", text)));
    wants("old");
    let daemon = bench.start();
    let observed = || daemon.log().matches("plugin z: calling observe").count();
    let before = observed();
    wants("new");
    std::thread::scope(|scope| {
        let plan = scope.spawn(|| daemon.plan());
        daemon.wait_for("the look", |_| observed() > before);
        blurt(&bench);
        let plan = plan.join().unwrap();
        let planned: Vec<_> = plan.plugins.iter().map(|plugin| (&*plugin.plugin, plugin.steps.len())).collect();
        assert_eq!(planned, [("z", 1), ("a", 0)]);
    });
    daemon.wait_for("the news to be acted on", |daemon| daemon.bench.text("a").as_deref() == Some("text\"one\""));
    assert_eq!(bench.text("z").as_deref(), Some("old"), "the plan changed nothing");
    daemon.stop();
}
