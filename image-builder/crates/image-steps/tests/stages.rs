//! Stages that work on one dataset: the state machine of the illumos image builder row by row, without what it gets wrong.

mod support;

use image_steps::{BuildRequest, Progress, Redo, build};
use std::sync::Arc;
use support::{Bench, DIR, OWNER, Ran, contents, steps};
use template::Features;

fn stage(bench: &Bench, name: &str, snapshots: &str, list: &[&str]) {
    let text = format!(r#"{{ "dataset": {{ "name": "d" {snapshots} }}, "steps": [ {} ] }}"#, steps(list));
    bench.write(&format!("templates/g/{name}.json"), &text);
}

const STRAP: &str =
    r#"{ "t": "ensure_file", "file": "/etc/strap", "src": "strap", "owner": "root", "group": "root", "mode": "644" }"#;

/// Three stages, as the public collections have them.
fn scene() -> Bench {
    let bench = Bench::new();
    bench.write("templates/g/files/strap", "one");
    stage(&bench, "1-strap", r#", "output_snapshot": "strap""#, &[DIR, STRAP]);
    let image = contents("/etc/image", "image");
    stage(&bench, "2-image", r#", "input_snapshot": "strap", "output_snapshot": "image""#, &[&image]);
    stage(&bench, "3-archive", r#", "input_snapshot": "image""#, &[r#"{ "t": "pack_tar", "name": "out.tar" }"#]);
    bench
}

/// The steps that ran, when a stage was built with `redo`.
fn ran(bench: &Bench, name: &str, redo: Redo) -> Vec<String> {
    let ran = Arc::new(Ran::default());
    let progress: Arc<dyn Progress> = Arc::clone(&ran) as Arc<dyn Progress>;
    build(&BuildRequest { redo, ..bench.request(name) }, &progress).expect("it builds");
    let titles = ran.0.lock().expect("not poisoned");
    titles.clone()
}

const FIRST: [&str; 2] = ["ensure_dir /etc", "ensure_file /etc/strap"];
const SECOND: &str = "ensure_file /etc/image";
const THIRD: &str = "pack_tar out.tar";

#[test]
fn what_a_stage_begins_with_is_made_first() {
    let bench = scene();
    assert_eq!(ran(&bench, "3-archive", Redo::Nothing), [FIRST[0], FIRST[1], SECOND, THIRD]);
    assert_eq!(bench.text("out.tar", "/etc/strap"), "one");
    // Everything is there: nothing is done, not even when the first stage is asked for alone.
    for name in ["1-strap", "2-image", "3-archive"] {
        assert_eq!(ran(&bench, name, Redo::Nothing), [""; 0], "{name}");
    }
}

/// The original ran the steps on an empty dataset when there was none yet.
#[test]
fn a_snapshot_that_nobody_makes_is_an_error_and_not_an_empty_root() {
    let bench = scene();
    stage(&bench, "lost", r#", "input_snapshot": "never""#, &[DIR]);
    let failure = bench.failure("lost");
    assert!(failure.contains("never") && failure.contains("does not exist"), "{failure}");
    // One of another dataset, or of another group, does not count.
    bench.write("templates/g/other.json", r#"{ "dataset": { "name": "e", "input_snapshot": "strap" }, "steps": [] }"#);
    let failure = bench.failure("other");
    assert!(failure.contains("strap"), "{failure}");
}

/// The snapshot was the whole key of the cache there: a changed template, file or feature changed nothing.
#[test]
fn a_change_of_whatever_went_in_reaches_the_last_stage() {
    let bench = scene();
    ran(&bench, "3-archive", Redo::Nothing);
    bench.write("templates/g/files/strap", "two");
    assert_eq!(ran(&bench, "3-archive", Redo::Nothing), [FIRST[1], SECOND, THIRD]);
    assert_eq!(bench.text("out.tar", "/etc/strap"), "two");
    // And back: what was made before is known still, only the archive is written again.
    bench.write("templates/g/files/strap", "one");
    assert_eq!(ran(&bench, "3-archive", Redo::Nothing), [THIRD]);
    let with = format!(r#"{{ "t": "ensure_file", "file": "/etc/${{f?f}}${{f!none}}", "contents": "", {OWNER} }}"#);
    stage(&bench, "1-strap", r#", "output_snapshot": "strap""#, &[DIR, STRAP, &with]);
    assert_eq!(ran(&bench, "3-archive", Redo::Nothing), ["ensure_file /etc/none", SECOND, THIRD]);
    let features = Features::from_directives(["f"]).expect("a directive");
    let progress: Arc<dyn Progress> = Arc::new(image_steps::Silent);
    build(&BuildRequest { features, ..bench.request("3-archive") }, &progress).expect("it builds");
    assert_eq!(bench.text("out.tar", "/etc/f"), "");
}

/// Doing the first stage again destroyed all later snapshots there, so that only the first one was ever kept.
#[test]
fn doing_an_early_stage_again_costs_the_later_ones_nothing() {
    let bench = scene();
    ran(&bench, "3-archive", Redo::Nothing);
    assert_eq!(ran(&bench, "1-strap", Redo::Template), FIRST);
    assert_eq!(ran(&bench, "2-image", Redo::Nothing), [""; 0]);
    assert_eq!(ran(&bench, "3-archive", Redo::Nothing), [""; 0]);
}

#[test]
fn a_reset_begins_with_the_input_snapshot() {
    let bench = scene();
    ran(&bench, "3-archive", Redo::Nothing);
    assert_eq!(ran(&bench, "2-image", Redo::Template), [SECOND]);
    // Without an input snapshot it begins with nothing, and says nothing of snapshots.
    assert_eq!(ran(&bench, "1-strap", Redo::Template), FIRST);
}

/// A full reset destroyed the input there, too, and the steps ran on an empty dataset.
#[test]
fn a_full_reset_does_the_earlier_stages_again() {
    let bench = scene();
    ran(&bench, "3-archive", Redo::Nothing);
    assert_eq!(ran(&bench, "3-archive", Redo::Dataset), [FIRST[0], FIRST[1], SECOND, THIRD]);
    assert_eq!(bench.text("out.tar", "/etc/strap"), "one");
    assert_eq!(bench.text("out.tar", "/etc/image"), "image");
}

/// Without a snapshot of its own a stage is no state for others; that it exists is no reason to ask for a reset.
#[test]
fn a_stage_without_snapshots_can_be_built_again() {
    let bench = scene();
    stage(&bench, "plain", "", &[DIR, &contents("/etc/plain", "1")]);
    assert_eq!(ran(&bench, "plain", Redo::Nothing).len(), 2);
    stage(&bench, "plain", "", &[DIR, &contents("/etc/plain", "2")]);
    assert_eq!(ran(&bench, "plain", Redo::Nothing), ["ensure_file /etc/plain"]);
}

/// `-N` names outputs and what is under construction; stages still find each other by what the templates say.
#[test]
fn another_output_name_changes_no_dataset_and_no_snapshot() {
    let bench = scene();
    let progress: Arc<dyn Progress> = Arc::new(image_steps::Silent);
    for name in ["1-strap", "2-image"] {
        build(&BuildRequest { output_name: Some("mine".to_owned()), ..bench.request(name) }, &progress).expect(name);
    }
    assert_eq!(ran(&bench, "3-archive", Redo::Nothing), [THIRD]);
}
