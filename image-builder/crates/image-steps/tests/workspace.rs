//! What a build does to its workspace, and what a plan does not.

mod support;

use image_steps::{
    BuildError, BuildRequest, PlannedTemplate, Progress, StepState, Workspace, WorkspaceError, WorkspaceLock, build,
    plan,
};
use image_tree::{GcRoots, Store};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use support::{Bench, DIR, OWNER, PACK, contents, steps};

fn silent() -> Arc<dyn Progress> {
    Arc::new(image_steps::Silent)
}

fn planned(bench: &Bench, name: &str) -> Vec<PlannedTemplate> {
    plan(&bench.request(name), &silent()).expect("a plan")
}

/// Everything below a directory with the time of its last change; nothing when it is not there.
fn listing(directory: &Path) -> Vec<(PathBuf, SystemTime)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let entry = entry.expect("an entry");
        let metadata = entry.metadata().expect("its metadata");
        found.push((entry.path(), metadata.modified().expect("its time")));
        found.extend(listing(&entry.path()));
    }
    found.sort();
    found
}

/// A base and an image made of it.
fn base_and_image(base: &str) -> Bench {
    let bench = Bench::new();
    bench.template("base", &steps(&[DIR, &contents("/etc/base", base), PACK]));
    let unpack = r#"{ "t": "unpack_tar", "name": "out.tar" }"#;
    let pack = r#"{ "t": "pack_tar", "name": "image.tar" }"#;
    bench.template("image", &steps(&[unpack, &contents("/etc/more", "more"), pack]));
    bench
}

/// Two builds at once wrote the same image under construction.
#[test]
fn a_second_build_at_the_same_time_is_refused_and_plan_is_not() {
    let bench = base_and_image("one");
    bench.build("image").expect("it builds");
    let workspace = Workspace::open(&bench.request("image").location).expect("it is there");
    let lock = WorkspaceLock::acquire(&workspace).expect("nobody works in it");
    let error = bench.build("image").expect_err("somebody works in it");
    assert!(matches!(*error, BuildError::Workspace(WorkspaceError::Busy { holder: Some(_), .. })), "{error}");
    assert_eq!(planned(&bench, "image").len(), 2);
    drop(lock);
    bench.build("image").expect("it is free again");
}

/// Says when somebody is waited for.
struct Waits(std::sync::mpsc::SyncSender<String>);

impl Progress for Waits {
    fn template(&self, _group: &str, _name: &str, _steps: usize) {}
    fn step(&self, _index: usize, _title: &str, _state: StepState) {}
    fn message(&self, text: &str) {
        if text.starts_with("waiting for ") {
            self.0.send(text.to_owned()).expect("somebody listens");
        }
    }
    fn detail(&self, _text: &str) {}
}

#[test]
fn a_build_that_is_to_wait_says_for_whom_and_goes_on_then() {
    let bench = base_and_image("one");
    let request = BuildRequest { wait: true, ..bench.request("image") };
    let workspace = Workspace::open(&request.location).expect("it is made");
    let lock = WorkspaceLock::acquire(&workspace).expect("nobody works in it");
    let (sender, told) = std::sync::mpsc::sync_channel(16);
    let progress: Arc<dyn Progress> = Arc::new(Waits(sender));
    let waiting = std::thread::spawn(move || build(&request, &progress).map(drop).map_err(Box::new));
    let said = told.recv().expect("it waits");
    assert!(said.contains(&format!("process {}, since ", std::process::id())), "{said}");
    assert!(!bench.path("work/output/image.tar").exists());
    drop(lock);
    waiting.join().expect("it ends").expect("it builds");
    assert!(bench.path("work/output/image.tar").exists());
    assert_eq!(told.try_iter().count(), 0, "one is told once");
}

/// `plan` made the workspace and the store.
#[test]
fn a_plan_makes_and_changes_nothing() {
    let bench = base_and_image("one");
    assert_eq!(planned(&bench, "image").len(), 2);
    assert!(!bench.path("work").exists(), "a plan needs no workspace");
    bench.build("image").expect("it builds");
    bench.template("base", &steps(&[DIR, &contents("/etc/base", "two"), PACK]));
    // A file large enough for its hash to be remembered, which is a change, too.
    bench.write("templates/g/files/large", &"x".repeat(100_000));
    let large = format!(r#"{{ "t": "ensure_file", "file": "/etc/large", "src": "large", {OWNER} }}"#);
    bench.template("large", &steps(&[DIR, &large]));
    let before = listing(&bench.path("work"));
    planned(&bench, "image");
    planned(&bench, "large");
    assert_eq!(listing(&bench.path("work")), before);
}

/// The steps below a base that is to be built were shown as cached, by the archive that was still there.
#[test]
fn what_is_made_of_a_base_that_will_change_is_unknown() {
    let bench = base_and_image("one");
    bench.build("image").expect("it builds");
    let all = |wanted: Option<bool>, template: &PlannedTemplate| {
        template.steps.iter().all(|step| step.cached == wanted && step.awaits.is_none())
    };
    let known = planned(&bench, "image");
    assert!(known.iter().all(|template| all(Some(true), template)), "{known:?}");
    bench.template("base", &steps(&[DIR, &contents("/etc/base", "two"), PACK]));
    let changed = planned(&bench, "image");
    let subjects: Vec<_> = changed.iter().map(|template| template.subject.as_str()).collect();
    assert_eq!(subjects, ["g/base", "g/image"]);
    for step in &changed[1].steps {
        assert_eq!((step.cached, step.awaits.as_deref()), (None, Some("g/base")), "{}", step.title);
    }
    bench.build("image").expect("it builds");
    assert!(planned(&bench, "image").iter().all(|template| all(Some(true), template)));
}

#[test]
fn what_is_made_of_a_snapshot_that_will_change_is_unknown() {
    let bench = Bench::new();
    let stage =
        |target: &str, list: &str| format!(r#"{{ "dataset": {{ "name": "d", {target} }}, "steps": [ {list} ] }}"#);
    let one = |text: &str| stage(r#""output_snapshot": "strap""#, &steps(&[DIR, &contents("/etc/a", text)]));
    bench
        .write("templates/g/one.json", &one("a"))
        .write("templates/g/two.json", &stage(r#""input_snapshot": "strap""#, PACK));
    bench.build("two").expect("it builds");
    assert_eq!(planned(&bench, "two")[1].steps[0].cached, Some(true));
    bench.write("templates/g/one.json", &one("b"));
    assert_eq!(planned(&bench, "two")[1].steps[0].awaits.as_deref(), Some("g/one"));
}

/// The engine took a record for granted whose tree a collection had removed.
#[test]
fn what_the_store_has_lost_is_made_again() {
    let bench = base_and_image("one");
    bench.build("image").expect("it builds");
    let archive = fs::read(bench.path("work/output/image.tar")).expect("the archive");
    Store::open(bench.path("work/store")).expect("the store").gc(&GcRoots::default()).expect("everything goes");
    fs::remove_file(bench.path("work/output/image.tar")).expect("the archive is to be made again");
    bench.build("image").expect("it builds again");
    assert_eq!(fs::read(bench.path("work/output/image.tar")).expect("the archive"), archive);
    assert_eq!(bench.build("image").expect("it builds"), Vec::<String>::new());
}

/// A step's result was remembered under the content that its input had before.
#[test]
fn an_input_that_is_replaced_while_it_is_read_is_not_remembered() {
    /// Replaces the file when the step that reads it begins, after its hash was taken.
    struct Replace(PathBuf);
    impl Progress for Replace {
        fn template(&self, _group: &str, _name: &str, _steps: usize) {}
        fn step(&self, _index: usize, title: &str, state: StepState) {
            if title == "ensure_file /etc/a" && state == StepState::Running {
                fs::write(&self.0, "two").expect("the input is replaced");
            }
        }
        fn message(&self, _text: &str) {}
        fn detail(&self, _text: &str) {}
    }
    let bench = Bench::new();
    let read = format!(r#"{{ "t": "ensure_file", "file": "/etc/a", "src": "a", {OWNER} }}"#);
    bench.write("templates/g/files/a", "one").template("reads", &steps(&[DIR, &read, PACK]));
    let replace: Arc<dyn Progress> = Arc::new(Replace(bench.path("templates/g/files/a")));
    build(&bench.request("reads"), &replace).expect("it builds");
    assert_eq!(bench.text("out.tar", "/etc/a"), "two");
    bench.write("templates/g/files/a", "one");
    bench.build("reads").expect("it builds");
    assert_eq!(bench.text("out.tar", "/etc/a"), "one");
}

/// A base that could not be read was taken for one that nobody makes, and the old archive was used.
#[test]
fn a_provider_that_cannot_be_read_is_reported() {
    let bench = base_and_image("one");
    bench.build("image").expect("it builds");
    bench.write("templates/g/base.json", "{ \"dataset\": { \"name\": \"base\" }, \"steps\": [ ");
    let error = bench.build("image").expect_err("the base cannot be read");
    assert!(matches!(&*error, BuildError::Template { subject, .. } if subject == "g/base"), "{error}");
    let error = plan(&bench.request("image"), &silent()).expect_err("the base cannot be read");
    assert!(matches!(&error, BuildError::Template { subject, .. } if subject == "g/base"), "{error}");
}

/// A wrong template stopped every build under the same root, whoever needed it.
#[test]
fn a_wrong_template_stops_only_those_who_need_it() {
    let bench = base_and_image("one");
    bench.build("image").expect("it builds");
    bench.write("templates/g/a.json", "{ \"dataset\": 1 }");
    let log = Arc::new(Messages::default());
    let progress: Arc<dyn Progress> = Arc::clone(&log) as Arc<dyn Progress>;
    build(&bench.request("image"), &progress).expect("it does not need the wrong one");
    plan(&bench.request("image"), &progress).expect("it does not need the wrong one");
    let said = log.0.lock().expect("not poisoned").join("\n");
    assert!(!said.contains("g/a"), "it is nobody's business: {said}");

    // Nobody knows whether the wrong one would make what is missing.
    bench.template("needs", r#"{ "t": "unpack_tar", "name": "other.tar" }"#);
    let failure = bench.failure("needs");
    assert!(failure.contains("other.tar does not exist") && failure.contains("those that are wrong: g/a"), "{failure}");
    // Something that somebody put there is taken as it is.
    std::fs::copy(bench.path("work/output/out.tar"), bench.path("work/output/other.tar")).expect("put there");
    bench.build("needs").expect("it is there");
}

/// Only the warnings of the template that was asked for were told.
#[test]
fn warnings_of_every_template_are_told_once() {
    let bench = Bench::new();
    let old = |key: &str, list: &str| format!(r#"{{ "dataset": {{ "name": "d" }}, "{key}": 1, "steps": [ {list} ] }}"#);
    let unpack = |name: &str| format!(r#"{{ "t": "unpack_tar", "name": "{name}" }}"#);
    let pack = |name: &str| format!(r#"{{ "t": "pack_tar", "name": "{name}" }}"#);
    bench
        .write("templates/g/base.json", &old("base_key", &steps(&[DIR, PACK])))
        .write("templates/g/left.json", &old("left_key", &steps(&[&unpack("out.tar"), &pack("left.tar")])))
        .write("templates/g/right.json", &old("right_key", &steps(&[&unpack("out.tar"), &pack("right.tar")])))
        .write("templates/g/all.json", &old("all_key", &steps(&[&unpack("left.tar"), &unpack("right.tar")])));
    let built = build(&BuildRequest { lenient: true, ..bench.request("all") }, &silent()).expect("it builds");
    let mut keys: Vec<&str> = built
        .warnings
        .iter()
        .filter_map(|warning| warning.message().split('`').find(|w| w.ends_with("_key")))
        .collect();
    keys.sort_unstable();
    assert_eq!(keys, ["all_key", "base_key", "left_key", "right_key"], "{:?}", built.warnings);
}

/// `--no-deps` began with an empty root when the snapshot was not there.
#[test]
fn without_dependencies_what_is_missing_is_told() {
    let bench = Bench::new();
    let target = r#""dataset": { "name": "d", "input_snapshot": "strap" }"#;
    bench.write("templates/g/two.json", &format!(r#"{{ {target}, "steps": [ {PACK} ] }}"#));
    let request = BuildRequest { no_deps: true, ..bench.request("two") };
    let error = build(&request, &silent()).expect_err("it is not there");
    assert!(error.to_string().contains("snapshot g/d@strap does not exist"), "{error}");
}

/// What a message says is kept, for the test of a recovered store.
#[derive(Default)]
struct Messages(Mutex<Vec<String>>);

impl Progress for Messages {
    fn template(&self, _group: &str, _name: &str, _steps: usize) {}
    fn step(&self, _index: usize, _title: &str, _state: StepState) {}
    fn message(&self, text: &str) {
        self.0.lock().expect("not poisoned").push(text.to_owned());
    }
    fn detail(&self, _text: &str) {}
}

#[test]
fn what_was_recovered_of_an_unfinished_pack_is_told_in_words() {
    let bench = base_and_image("one");
    bench.build("image").expect("it builds");
    fs::write(bench.path("work/store/packs/00000099.pack"), [b"imgpack\x01", &[0; 2000][..]].concat()).expect("a pack");
    let messages = Arc::new(Messages::default());
    let progress: Arc<dyn Progress> = Arc::clone(&messages) as Arc<dyn Progress>;
    build(&bench.request("image"), &progress).expect("it builds");
    let messages = messages.0.lock().expect("not poisoned").join("\n");
    assert!(messages.contains("00000099.pack was not finished: kept 0 contents, 0 KiB; cut off 1 KiB"), "{messages}");
}

/// Everybody could read the archive, which holds /etc/shadow, wherever the directory around it let them.
#[test]
fn what_is_built_is_for_its_owner_only() {
    let bench = base_and_image("one");
    bench.build("image").expect("it builds");
    for name in ["out.tar", "image.tar"] {
        let mode = fs::metadata(bench.path("work/output").join(name)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}
