//! Why a plan does something: the true reason, for steps and for images.

mod support;

use image_steps::{PlannedTemplate, Progress, Silent, plan};
use std::fs;
use std::sync::Arc;
use support::{Bench, DIR, PACK, contents, steps};

fn planned(bench: &Bench, name: &str) -> Vec<PlannedTemplate> {
    let progress: Arc<dyn Progress> = Arc::new(Silent);
    plan(&bench.request(name), &progress).expect("a plan")
}

/// The first step of a template that will run, and why.
fn reason(bench: &Bench, name: &str) -> String {
    let planned = planned(bench, name);
    let steps = &planned.last().expect("the template").steps;
    let first = steps.iter().find(|step| step.cached == Some(false)).expect("one runs");
    format!("{}: {}", first.title, first.why.as_deref().unwrap_or_default())
}

const FAILING: &str = r#"{ "t": "ensure_perms", "path": "/none", "owner": "root", "group": "root", "mode": "644" }"#;

/// It was said that the result is not in the cache any more, where there never was one.
#[test]
fn a_step_that_failed_is_told_as_such() {
    let bench = Bench::new();
    bench.template("t", &steps(&[DIR, FAILING, PACK]));
    bench.failure("t");
    assert_eq!(reason(&bench, "t"), "ensure_perms /none: the last build failed or was ended here");
    bench.template("t", &steps(&[DIR, FAILING.replace("644", "600").as_str(), PACK]));
    assert_eq!(reason(&bench, "t"), "ensure_perms /none: the step was changed");
}

/// The same, where the last build had done the step after another state, and what is before it is known from elsewhere.
#[test]
fn a_step_that_was_done_after_another_state_is_told_as_such() {
    let bench = Bench::new();
    let with = |text: &str| steps(&[DIR, &contents("/etc/a", text), &contents("/etc/b", "b")]);
    bench.template("t", &with("one")).template("u", &steps(&[DIR, &contents("/etc/a", "two")]));
    bench.build("t").expect("it builds");
    bench.build("u").expect("it builds");
    bench.template("t", &with("two"));
    assert_eq!(reason(&bench, "t"), "ensure_file /etc/b: ensure_file /etc/a before it was changed");
}

/// A build that failed hid the one before it.
#[test]
fn the_nearest_build_gives_the_reason() {
    let bench = Bench::new();
    let (a, other, b) = (contents("/etc/a", "a"), contents("/etc/a", "other"), contents("/etc/b", "b"));
    bench.template("t", &steps(&[DIR, &a, &b])).build("t").expect("it builds");
    bench.template("t", &steps(&[DIR, &other, FAILING]));
    bench.failure("t");
    bench.template("t", &steps(&[DIR, &a, &contents("/etc/b", "changed")]));
    assert_eq!(reason(&bench, "t"), "ensure_file /etc/b: the step was changed");
}

#[test]
fn an_image_that_will_be_written_has_its_reason() {
    let bench = Bench::new();
    let fat = |size: u32, text: &str| {
        let steps = contents("/a", text);
        bench.write(
            "templates/g/fat.json",
            &format!(r#"{{ "pcfs": {{ "label": "X", "size": {size} }}, "steps": [ {steps} ] }}"#),
        );
    };
    let why = || {
        let image = planned(&bench, "fat").pop().expect("the template").image.expect("an image");
        assert_eq!(image.current, image.why.is_none());
        image.why.unwrap_or_default()
    };
    fat(2, "one");
    assert_eq!(why(), "a step before it will run");
    bench.build("fat").expect("it builds");
    assert_eq!(why(), "");
    fat(3, "one");
    assert_eq!(why(), "the target was changed");
    fat(2, "two");
    bench.build("fat").expect("it builds");
    // All steps are known from the first build.
    bench.template("u", &contents("/a", "one")).build("u").expect("it builds");
    fat(2, "one");
    assert_eq!(why(), "it was made of another state");
    bench.build("fat").expect("it builds");
    fs::remove_file(bench.path("work/output/g-fat.pcfs")).expect("it was there");
    assert_eq!(why(), "g-fat.pcfs is not there");
}
