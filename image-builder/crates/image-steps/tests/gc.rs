//! What `gc` forgets, and what it keeps.

mod support;

use image_steps::{Progress, Silent, StepState, build, collect, plan};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use support::{Bench, DIR, PACK, contents, steps};

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
