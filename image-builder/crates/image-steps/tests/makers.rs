//! Which of several templates makes what another one takes, and with which features.

mod support;

use image_steps::{BuildError, BuildRequest, Progress, StepState, build, plan};
use std::sync::{Arc, Mutex};
use support::{Bench, DIR, OWNER, PACK, contents, steps};
use template::Features;

/// What a run did and said.
#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Progress for Log {
    fn template(&self, _group: &str, _name: &str, _steps: usize) {}
    fn step(&self, _index: usize, title: &str, state: StepState) {
        if state == StepState::Running {
            self.message(&format!("run {title}"));
        }
    }
    fn message(&self, text: &str) {
        self.0.lock().expect("not poisoned").push(text.to_owned());
    }
    fn detail(&self, _text: &str) {}
}

fn request(bench: &Bench, name: &str, features: &[&str]) -> BuildRequest {
    let features = Features::from_directives(features).expect("directives");
    BuildRequest { features, ..bench.request(name) }
}

/// Builds, and answers what ran and what was said.
fn built(bench: &Bench, name: &str, features: &[&str]) -> Result<String, Box<BuildError>> {
    let log = Arc::new(Log::default());
    let progress: Arc<dyn Progress> = Arc::clone(&log) as Arc<dyn Progress>;
    build(&request(bench, name, features), &progress).map_err(Box::new)?;
    let said = log.0.lock().expect("not poisoned").join("\n");
    Ok(said)
}

const UNPACK: &str = r#"{ "t": "unpack_tar", "name": "out.tar" }"#;
const PACK_IMAGE: &str = r#"{ "t": "pack_tar", "name": "image.tar" }"#;

fn stage(target: &str, list: &str) -> String {
    format!(r#"{{ "dataset": {{ "name": "d", {target} }}, "steps": [ {list} ] }}"#)
}

/// Two second stages that leave the same snapshot, of which the first by name won.
#[test]
fn of_several_makers_the_last_one_counts() {
    let bench = Bench::new();
    let second = |text: &str| stage(r#""output_snapshot": "image""#, &steps(&[DIR, &contents("/etc/a", text)]));
    bench
        .write("templates/g/image.json", &second("the usual"))
        .write("templates/g/image-mine.json", &second("mine"))
        .write("templates/g/archive.json", &stage(r#""input_snapshot": "image""#, PACK));
    let failure = bench.failure("archive");
    assert!(failure.contains("snapshot g/d@image is made by several templates: g/image, g/image-mine"), "{failure}");
    assert!(failure.contains("build the one that is meant by its name first"), "{failure}");
    for (name, text) in [("image-mine", "mine"), ("image", "the usual"), ("image-mine", "mine")] {
        bench.build(name).expect("it builds");
        bench.build("archive").expect("it is known who made the snapshot");
        assert_eq!(bench.text("out.tar", "/etc/a"), text);
    }
    // It is made anew by the one that made it.
    bench.write("templates/g/image-mine.json", &second("changed"));
    bench.build("archive").expect("it builds");
    assert_eq!(bench.text("out.tar", "/etc/a"), "changed");
    // One that is gone makes nothing.
    std::fs::remove_file(bench.path("templates/g/image-mine.json")).expect("it was there");
    bench.build("archive").expect("one is left");
    assert_eq!(bench.text("out.tar", "/etc/a"), "the usual");
}

/// A base with a file that only one feature brings, and an image of it.
fn base_and_image() -> Bench {
    let bench = Bench::new();
    let file = |key: &str| {
        format!(r#"{{ "t": "ensure_file", "file": "/etc/{key}", "contents": "x", "with": "{key}", {OWNER} }}"#)
    };
    bench.template("base", &steps(&[DIR, &file("ssh"), &file("extra"), PACK]));
    bench.template("image", &steps(&[UNPACK, PACK_IMAGE]));
    bench
}

fn has(bench: &Bench, path: &str) -> bool {
    bench.packed("image.tar").0.lookup(&support::at(path), image_tree::Follow::Yes).is_ok()
}

/// The base was made again without the features of its own build, and the archive replaced.
#[test]
fn what_was_built_by_its_name_keeps_its_features() {
    let bench = base_and_image();
    built(&bench, "base", &["ssh"]).expect("it builds");
    let said = built(&bench, "image", &["extra", "unknown"]).expect("it builds");
    assert!(has(&bench, "/etc/ssh") && has(&bench, "/etc/extra"), "what the run says counts, too");
    assert!(said.contains("g/base keeps the features of its own build where this one says nothing of them: -F ssh"));
    let said = built(&bench, "image", &["extra"]).expect("it builds");
    assert!(!said.contains("run ensure_file"), "nothing has changed: {said}");
    built(&bench, "image", &["^ssh"]).expect("it builds");
    assert!(!has(&bench, "/etc/ssh"), "the run says that it is to be without");
}

#[test]
fn what_was_built_on_the_way_has_the_features_of_the_run() {
    let bench = base_and_image();
    built(&bench, "image", &["ssh"]).expect("it builds");
    assert!(has(&bench, "/etc/ssh"));
    let said = built(&bench, "image", &[]).expect("it builds");
    assert!(!has(&bench, "/etc/ssh") && !said.contains("keeps the features"), "{said}");
}

/// Scripts that build stage after stage give each one the features that it needs.
#[test]
fn features_that_only_an_earlier_stage_needs_are_as_they_were() {
    let bench = Bench::new();
    let one = stage(r#""output_snapshot": "strap""#, &steps(&[DIR, &contents("/etc/${publisher}", "x")]));
    bench
        .write("templates/g/one.json", &one)
        .write("templates/g/two.json", &stage(r#""input_snapshot": "strap""#, PACK));
    bench.template("image", &steps(&[UNPACK, PACK_IMAGE]));
    built(&bench, "image", &[]).expect_err("nobody has said it yet");
    for by_name in [true, false] {
        built(&bench, if by_name { "one" } else { "image" }, &["publisher=p"]).expect("it builds");
        built(&bench, "image", &[]).expect("it is known");
        assert!(has(&bench, "/etc/p"));
    }
    built(&bench, "image", &["publisher=q"]).expect("it builds");
    assert!(has(&bench, "/etc/q") && !has(&bench, "/etc/p"));
}

#[test]
fn a_plan_without_dependencies_takes_what_is_there() {
    let bench = base_and_image();
    let alone = BuildRequest { no_deps: true, ..bench.request("image") };
    let progress: Arc<dyn Progress> = Arc::new(image_steps::Silent);
    let error = plan(&alone, &progress).expect_err("there is no base");
    assert!(error.to_string().contains("out.tar does not exist"), "{error}");
    bench.build("image").expect("it builds");
    assert_eq!(plan(&alone, &progress).expect("there is one").len(), 1);
}
