//! A daemon that is killed anywhere is followed by one that knows the truth.

mod common;

use std::io::Write;
use std::time::{Duration, Instant};

use common::{Bench, PATIENCE};
use serde_json::json;
use sysconfig_protocol::admin::{Apply, Health};
use sysconfig_protocol::{Call, Id, Message, Request};
use test_judge::{Random, soak};

/// Files that each of the two plugins writes, one step each.
const FILES: usize = 4;

/// How long each step takes at least.
const STEP_MS: u64 = 10;

fn want(bench: &Bench, text: &str) {
    bench.configure(&format!("{}{}", bench.wants("a", text), bench.wants("b", text)));
}

/// Every file of both plugins.
fn texts(bench: &Bench) -> Vec<Option<String>> {
    let files = ["a", "b"].into_iter().flat_map(|name| {
        (0..FILES).map(move |number| if number == 0 { name.to_owned() } else { format!("{name}.{number}") })
    });
    files.map(|file| bench.text(&file)).collect()
}

#[test]
fn after_a_kill_at_any_moment_the_state_is_true_and_the_step_in_doubt_is_named() {
    let bench = Bench::new();
    let script = |after: &[&str]| json!({ "files": FILES, "apply_sleep_ms": STEP_MS, "after": after });
    bench.install("a", &script(&[]));
    bench.install("b", &script(&["a"]));
    want(&bench, "before");
    let begin = Instant::now();
    bench.start().stop();
    let whole_run = u64::try_from(begin.elapsed().as_millis()).unwrap();

    let mut random = Random::new(0);
    let (mut doubts, points) = (0, if soak() { 200 } else { 20 });
    for point in 0..points {
        let text = format!("text {point}");
        want(&bench, &text);
        let daemon = bench.spawn();
        // Every other one among the steps, the rest anywhere.
        let span = if point % 2 == 0 { whole_run } else { 2 * u64::try_from(FILES).unwrap() * STEP_MS };
        if point % 2 == 1 {
            let begun = || bench.log().matches("calling apply").count();
            let give_up = Instant::now() + PATIENCE;
            let before = begun();
            while begun() == before && Instant::now() < give_up {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        std::thread::sleep(Duration::from_millis(random.next_u64() % span));
        daemon.kill();
        let in_doubt = bench.open_steps();
        doubts += in_doubt.len();

        let daemon = bench.start();
        assert_eq!(texts(&bench), vec![Some(text); 2 * FILES], "point {point}\n{}", daemon.log());
        let problems = daemon.problems().join("\n");
        for step in &in_doubt {
            assert!(problems.contains(step.as_str()), "point {point}: {step} is not told in {problems:?}");
        }
        assert_eq!(problems.matches("nobody knows").count(), in_doubt.len(), "point {point}: {problems}");
        assert_eq!(daemon.status().health, Health::Ok, "point {point}: {problems}");
        let second = daemon.apply();
        assert!(second.is_success() && second.plugins.iter().all(|plugin| plugin.steps.is_empty()), "point {point}");
        daemon.stop();
        assert_eq!(bench.open_steps(), [""; 0], "point {point}: what was told is settled");
    }
    assert!(doubts > 0, "no kill hit a step, so nothing was tried");
}

/// It is noted before anybody looks at the machine, its steps before they are begun, and until they are back.
#[test]
fn a_change_to_be_confirmed_is_undone_in_whole_after_a_kill_at_any_moment_of_it() {
    let bench = Bench::new();
    let script = |after: &[&str]| json!({ "files": FILES, "apply_sleep_ms": 3, "undo": true, "after": after });
    bench.install("a", &script(&[]));
    bench.install("b", &script(&["a"]));
    want(&bench, "0");
    bench.start().stop();
    let (stalls, stalled) = (bench.path("undo-stalls"), bench.path("undo-has-stalled"));
    let mut random = Random::new(0);
    let (mut waited, points) = (0, if soak() { 200 } else { 20 });
    for point in 1..=points {
        let all = |text: usize| vec![Some(text.to_string()); 2 * FILES];
        assert_eq!(texts(&bench), all(point - 1), "point {point}");
        let daemon = bench.start();
        want(&bench, &point.to_string());
        if point % 4 == 0 {
            std::fs::write(&stalls, "").unwrap();
        }
        // Nobody waits for the answer. The time that it has counts from the end of the steps.
        let request = Apply { confirm_within_ms: Some(1), ..Apply::default() };
        let request = Request { id: Id::Number(1), method: Apply::METHOD.to_owned(), params: json!(request) };
        daemon.connect().write_all(&Message::Request(request).to_line()).unwrap();
        match point % 4 {
            // In the middle of the undoing.
            0 => daemon.wait_for("the undoing", |_| stalled.exists()),
            // Behind the note of the change, which is there before a plugin has looked, or behind that of a step.
            1 | 2 => daemon.wait_for("the record", |_| bench.path("state/confirmation.json").exists()),
            _ => (),
        }
        if point % 4 != 0 {
            std::thread::sleep(Duration::from_millis(random.next_u64() % 60));
        }
        daemon.kill();
        for file in [&stalls, &stalled] {
            drop(std::fs::remove_file(file));
        }
        let record = bench.text("state/confirmation.json").unwrap_or_default();
        waited += usize::from(record.contains("\"by_unix_ms\""));

        let daemon = bench.start();
        daemon.wait_for("the undoing", |daemon| daemon.status().confirmation.is_none());
        let is_begun = !record.is_empty();
        let (found, told) = (texts(&bench), daemon.problems());
        assert_eq!(found, all(if is_begun { point - 1 } else { point }), "point {point}: {record}\n{}", daemon.log());
        let is_held = told.iter().any(|problem| {
            let of = ["its last change was undone, and is not applied again", "was not carried out to its end"];
            of.iter().any(|held| problem.contains(held))
        });
        assert_eq!(is_held, is_begun, "point {point}: {told:?}");
        assert!(daemon.apply().is_success());
        assert_eq!((texts(&bench), daemon.problems()), (all(point), Vec::new()), "point {point}");
        daemon.stop();
        assert_eq!((bench.open_steps(), bench.text("state/confirmation.json")), (Vec::new(), None), "point {point}");
    }
    assert!(waited >= points / 4, "those in the middle of an undoing at least: {waited}");
}

/// The plugin of a killed daemon was still in its step when the next daemon looked at the machine; what it wrote
/// afterwards was the old text.
#[test]
fn the_next_daemon_waits_for_the_plugins_of_a_killed_one() {
    let bench = Bench::new();
    bench.install("a", &json!({ "apply_sleep_ms": 700 }));
    bench.configure(&bench.wants("a", "old"));
    let daemon = bench.spawn();
    daemon.wait_for("the step", |daemon| daemon.log().contains("plugin a: calling apply"));
    daemon.kill();
    bench.configure(&bench.wants("a", "new"));
    let daemon = bench.start();
    let log = daemon.log();
    assert!(log.contains("waiting for the plugins of an earlier daemon"), "{log}");
    std::thread::sleep(Duration::from_millis(800));
    assert_eq!(bench.text("a").as_deref(), Some("new"));
    daemon.stop();
}
