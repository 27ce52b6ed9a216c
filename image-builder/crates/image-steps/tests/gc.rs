//! What `gc` forgets, and what it keeps.

mod support;

use image_steps::{Progress, Silent, StepState, build, collect, plan};
use image_tree::Store;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use support::{Bench, DIR, PACK, Ran, contents, steps};

const FAILING: &str = r#"{ "t": "ensure_perms", "path": "/none", "owner": "root", "group": "root", "mode": "644" }"#;

fn tidy_up(bench: &Bench) {
    let progress: Arc<dyn Progress> = Arc::new(Silent);
    collect(&bench.request("t").location, &progress).expect("tidied up");
}

/// Which steps of the template `t` need not be done.
fn cached(bench: &Bench, of: &str) -> Vec<bool> {
    bench.template("t", of);
    let progress: Arc<dyn Progress> = Arc::new(Silent);
    let planned = plan(&bench.request("t"), &progress).expect("a plan");
    planned.last().expect("the template itself").steps.iter().map(|step| step.cached == Some(true)).collect()
}

/// The failed build took the place of the good one, whose steps were forgotten.
#[test]
fn a_failed_build_keeps_what_it_has_done_and_what_the_good_one_is_made_of() {
    let bench = Bench::new();
    let good = steps(&[DIR, &contents("/etc/a", "one"), PACK]);
    let failing = steps(&[DIR, &contents("/etc/a", "two"), &contents("/etc/b", "b"), FAILING, PACK]);
    bench.template("t", &good).build("t").expect("it builds");
    bench.template("t", &failing);
    bench.failure("t");
    tidy_up(&bench);
    assert_eq!(cached(&bench, &good), [true; 3]);
    assert_eq!(cached(&bench, &failing), [true, true, true, false, false]);
    // The next one that comes to its end is the newest, and nothing is left of the others.
    let newest = steps(&[DIR, &contents("/etc/a", "two"), PACK]);
    bench.template("t", &newest).build("t").expect("it builds");
    tidy_up(&bench);
    assert_eq!(cached(&bench, &newest), [true; 3]);
    assert_eq!(cached(&bench, &good), [true, false, false]);
    assert_eq!(cached(&bench, &failing), [true, true, false, false, false]);
}

/// Dies as a process does that is killed: nothing is tidied up.
struct Dying;

impl Progress for Dying {
    fn template(&self, _group: &str, _name: &str, _steps: usize) {}
    fn step(&self, _index: usize, title: &str, state: StepState) {
        assert!(state != StepState::Running || !title.ends_with("/etc/last"), "killed");
    }
    fn message(&self, _text: &str) {}
    fn detail(&self, _text: &str) {}
}

fn kill(bench: &Bench, of: &str) {
    bench.template("t", of);
    let progress: Arc<dyn Progress> = Arc::new(Dying);
    let outcome = catch_unwind(AssertUnwindSafe(|| drop(build(&bench.request("t"), &progress))));
    assert!(outcome.is_err(), "it was not killed");
}

/// Only steps up to the last one that takes long were kept.
#[test]
fn a_killed_build_keeps_all_that_it_has_done() {
    let bench = Bench::new();
    let base = steps(&[DIR, PACK]);
    bench.template("base", &base).build("base").expect("it builds");
    let unpack = r#"{ "t": "unpack_tar", "name": "out.tar" }"#;
    let (first, second, last) = (contents("/etc/a", "a"), contents("/etc/b", "b"), contents("/etc/last", "x"));
    for begin in [unpack, DIR] {
        let killed = steps(&[begin, &first, &second, &last]);
        kill(&bench, &killed);
        tidy_up(&bench);
        assert_eq!(cached(&bench, &killed), [true, true, true, false]);
        // Killed once more, it keeps what the first one has done, too.
        let further = steps(&[begin, &first, &second, &contents("/etc/c", "c"), &last]);
        kill(&bench, &further);
        tidy_up(&bench);
        assert_eq!(cached(&bench, &further), [true, true, true, true, false]);
    }
    // Another build that comes to its end is what counts from then on.
    let newest = steps(&[DIR, &contents("/etc/other", "o")]);
    bench.template("t", &newest).build("t").expect("it builds");
    tidy_up(&bench);
    assert_eq!(cached(&bench, &steps(&[DIR, &first])), [true, false]);
    assert_eq!(cached(&bench, &newest), [true, true]);
}

/// It is written down in pieces then.
#[test]
fn a_long_build_that_is_killed_keeps_all_that_it_has_done() {
    let bench = Bench::new();
    let mut list: Vec<String> = (0..600).map(|number| contents(&format!("/etc/f{number}"), "x")).collect();
    list.insert(0, DIR.to_owned());
    list.push(contents("/etc/last", "x"));
    let killed = list.join(", ");
    kill(&bench, &killed);
    tidy_up(&bench);
    assert_eq!(cached(&bench, &killed).into_iter().filter(|cached| *cached).count(), 601);
}

/// Records of earlier versions lay there until `clean`: of outputs by their names alone, and of steps under keys that
/// have the version in them.
#[test]
fn what_earlier_versions_remembered_is_forgotten() {
    let bench = Bench::new();
    let of = steps(&[DIR, &contents("/etc/a", "a")]);
    bench.template("t", &of).build("t").expect("it builds");
    let store = || Store::open(bench.path("work/store")).expect("the store");
    let count = |namespace: &str| store().records(namespace).expect("records").len();
    let put = |namespace: &str, key: &[u8], value: &[u8]| store().record_put(namespace, key, value).expect("written");
    let history = store().records("history").expect("records").remove(0);
    let old = String::from_utf8(history.value).expect("JSON").replace("image-steps ", "image-steps 0.");
    for namespace in ["history", "history-chain", "history-unfinished", "target", "evidence"] {
        put(namespace, b"g-t", old.as_bytes());
    }
    tidy_up(&bench);
    assert_eq!(cached(&bench, &of), [true; 2]);
    for (namespace, left) in [("history", 1), ("history-chain", 0), ("history-unfinished", 0), ("target", 0)] {
        assert_eq!(count(namespace), left, "{namespace}");
    }
    assert_eq!((count("evidence"), count("step")), (0, 2));
    // A step that only a build of an earlier version is made of has a key that no step has any more.
    put("history", &history.key, old.as_bytes());
    put("history-chain", &history.key, &[7; 32]);
    put("history-unfinished", &history.key, old.as_bytes());
    tidy_up(&bench);
    assert_eq!((count("step"), count("history-chain"), count("history-unfinished")), (0, 0, 0));
    let progress: Arc<dyn Progress> = Arc::new(Silent);
    let planned = plan(&bench.request("t"), &progress).expect("a plan");
    let why = planned[0].steps[0].why.as_deref();
    assert_eq!(why, Some("the last build was done by another version of image-builder"));
}

/// Builds `name`, with a feature or without one; answers the steps that ran.
fn build_variant(bench: &Bench, name: &str, feature: Option<(&str, &str)>) -> Vec<String> {
    let ran = Arc::new(Ran::default());
    let progress: Arc<dyn Progress> = Arc::clone(&ran) as Arc<dyn Progress>;
    let mut request = bench.request(name);
    if let Some((feature, output_name)) = feature {
        request.features.apply(feature).expect("a feature");
        request.output_name = Some(output_name.to_owned());
    }
    build(&request, &progress).expect("it builds");
    std::mem::take(&mut *ran.0.lock().expect("not poisoned"))
}

/// The template between was known by its newest build alone, which was that of the other variant.
#[test]
fn what_each_output_was_made_of_is_kept_whichever_variant_was_built_last() {
    let bench = Bench::new();
    fs::create_dir_all(bench.path("templates/g/include")).expect("a directory");
    bench.write("templates/g/include/f.json", &format!(r#"{{ "steps": [ {} ] }}"#, contents("/etc/f", "f")));
    let guarded = r#"{ "t": "include", "name": "f", "with": "f" }"#;
    let base = steps(&[DIR, guarded, &contents("/etc/base", "b")]);
    let dataset =
        |fields: &str, steps: &str| format!(r#"{{ "dataset": {{ "name": "d"{fields} }}, "steps": [ {steps} ] }}"#);
    bench.write("templates/g/base.json", &dataset(r#", "output_snapshot": "base""#, &base));
    let two = steps(&[guarded, &contents("/etc/two", "2"), r#"{ "t": "pack_tar", "name": "root.tar" }"#]);
    bench.write("templates/g/two.json", &dataset(r#", "input_snapshot": "base""#, &two));
    let fat =
        r#"{ "pcfs": { "label": "X", "size": 2 }, "steps": [ { "t": "unpack_tar", "name": "root.tar" }, STEP ] }"#;
    bench.write("templates/g/fat.json", &fat.replace("STEP", &contents("/etc/fat", "x")));

    build_variant(&bench, "fat", None);
    build_variant(&bench, "fat", Some(("f", "fatf")));
    tidy_up(&bench);
    let progress: Arc<dyn Progress> = Arc::new(Silent);
    let planned = plan(&bench.request("fat"), &progress).expect("a plan");
    let cached = |subject: &str| -> Vec<Option<bool>> {
        let of = planned.iter().find(|planned| planned.subject == subject).expect("it is planned");
        of.steps.iter().map(|step| step.cached).collect()
    };
    assert_eq!(cached("g/base"), [Some(true); 2]);
    // Its archive is that of the other variant now, and has to be packed again.
    assert_eq!(cached("g/two"), [Some(true), Some(false)]);
    assert_eq!(build_variant(&bench, "fat", None), ["pack_tar root.tar"]);
    // The same for the other one, and without what is before it having been looked at.
    tidy_up(&bench);
    assert_eq!(build_variant(&bench, "fat", Some(("f", "fatf"))), ["pack_tar root.tar"]);
}
