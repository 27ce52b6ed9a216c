//! How large `plan` says that something will be, and how it knows.

mod support;

use image_steps::{EstimatedSize, Progress, Silent, SizeBasis, plan};
use image_tree::Store;
use std::fs;
use std::sync::Arc;
use support::{Bench, DIR, contents, steps};

const FAILING: &str = r#"{ "t": "ensure_perms", "path": "/none", "owner": "root", "group": "root", "mode": "644" }"#;

fn size(bench: &Bench, name: &str) -> EstimatedSize {
    let progress: Arc<dyn Progress> = Arc::new(Silent);
    plan(&bench.request(name), &progress).expect("a plan").last().expect("the template itself").size
}

fn files(bytes: u64, basis: SizeBasis) -> EstimatedSize {
    EstimatedSize { files: bytes, image: None, basis }
}

/// Takes everything out of the store but its records.
fn lose_contents(bench: &Bench) {
    let packs = bench.path("work/store/packs");
    fs::remove_dir_all(&packs).expect("there were some");
    fs::create_dir(&packs).expect("an empty one");
}

#[test]
fn the_last_build_counts_after_one_that_failed() {
    let bench = Bench::new();
    bench.template("t", &steps(&[DIR, &contents("/etc/a", "12345")])).build("t").expect("it builds");
    bench.template("t", &steps(&[DIR, &contents("/etc/a", "1234567"), FAILING]));
    assert_eq!(size(&bench, "t"), files(7, SizeBasis::LastBuild));
    bench.failure("t");
    bench.template("t", &steps(&[DIR, &contents("/etc/a", "12345678"), FAILING]));
    assert_eq!(size(&bench, "t"), files(8, SizeBasis::LastBuild));
}

/// A plan read whole trees to count their bytes.
#[test]
fn known_sizes_are_told_without_looking_at_the_files() {
    let bench = Bench::new();
    let stage = |name: &str, snapshot: &str, list: &[&str]| {
        let dataset = format!(r#""name": "d", {snapshot}"#);
        let text = format!(r#"{{ "dataset": {{ {dataset} }}, "steps": [ {} ] }}"#, steps(list));
        bench.write(&format!("templates/g/{name}.json"), &text);
    };
    stage("first", r#""output_snapshot": "one""#, &[DIR, &contents("/etc/a", "12345")]);
    bench.build("first").expect("it builds");
    stage("second", r#""input_snapshot": "one""#, &[&contents("/etc/b", "123")]);
    let variant = |text: &str| steps(&[DIR, &contents("/etc/v", text)]);
    bench.template("t", &variant("one")).build("t").expect("it builds");
    bench.template("t", &variant("another")).build("t").expect("it builds");
    bench.template("t", &variant("one"));
    lose_contents(&bench);
    assert_eq!(size(&bench, "second"), files(8, SizeBasis::Inputs));
    assert_eq!(size(&bench, "t"), files(3, SizeBasis::Known));
}

#[test]
fn what_is_known_already_counts_for_the_steps_that_led_to_it() {
    let bench = Bench::new();
    bench.template("t", &steps(&[DIR, &contents("/etc/a", "12345"), &contents("/etc/a", "1"), FAILING]));
    bench.failure("t");
    assert_eq!(size(&bench, "t"), files(1, SizeBasis::Inputs));
}

/// A state that cannot be read counted as one without files, and as known.
#[test]
fn a_state_that_is_gone_is_not_known() {
    let bench = Bench::new();
    bench.template("t", &steps(&[DIR, &contents("/etc/a", "12345")])).build("t").expect("it builds");
    bench.template("t", &steps(&[DIR, &contents("/etc/a", "1234567")])).build("t").expect("it builds");
    bench.template("t", &steps(&[DIR, &contents("/etc/a", "12345")]));
    let store = Store::open(bench.path("work/store")).expect("a store");
    // As versions have left them that did not keep sizes.
    for record in store.records("step").expect("records") {
        let text = String::from_utf8(record.value).expect("JSON");
        let (before, rest) = text.split_once(r#""files":"#).expect("a size");
        let (_, after) = rest.split_once(',').expect("more");
        store.record_put("step", &record.key, format!("{before}{after}").as_bytes()).expect("written");
    }
    drop(store);
    assert_eq!(size(&bench, "t"), files(5, SizeBasis::Known), "its files can be counted");
    lose_contents(&bench);
    assert_eq!(size(&bench, "t"), files(5, SizeBasis::LastBuild));
}
