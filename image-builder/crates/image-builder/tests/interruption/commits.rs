//! Builds that are killed at each of the system calls by which something becomes final: a name is given, a file is brought
//! to the disk.
//!
//! Chance hits these rarely, so `strace` counts them, and has the kernel kill the build as it comes to a chosen one.

use crate::kills::{Before, Finished, KILLS, KILLS_SOAK, Reference, go_on, lose};
use crate::scene::Scene;
use process_runner::{Command, Output};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use test_judge::{Random, soak};

const CALLS: [&str; 6] = ["rename", "renameat", "renameat2", "linkat", "fsync", "fdatasync"];

fn traced(scene: &Scene, strace: &Path, arguments: &[&str], name: &str) -> Output {
    let build = scene.command("work", &["build", "-g", "g", "-n", name]);
    let mut command = Command::new(strace).args(["-f", "-qq", "-o"]).arg(scene.path("calls")).args(arguments);
    command = command.args(["sh", "-c", &format!("exec {build}")]);
    scene.surround(command).run_any().unwrap()
}

/// How often the thread that makes a call most often makes it: `strace` counts for each by itself.
fn count_calls(scene: &Scene) -> BTreeMap<&'static str, usize> {
    let mut counts: BTreeMap<(&str, &'static str), usize> = BTreeMap::new();
    let text = fs::read_to_string(scene.path("calls")).unwrap();
    for line in text.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some(name) = CALLS.into_iter().find(|name| call.starts_with(&format!("{name}("))) {
            *counts.entry((thread, name)).or_default() += 1;
        }
    }
    let mut most = BTreeMap::new();
    for ((_, name), count) in counts {
        let known = most.entry(name).or_insert(0);
        *known = count.max(*known);
    }
    most
}

/// What is lost beside the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crash {
    /// Nothing.
    Build,
    /// What was written since something was last made durable, as when the power fails.
    Machine,
}

/// A place to kill a build at: in which state, at which call of which kind.
#[derive(Clone, Copy, Debug)]
struct Place {
    before: Before,
    crash: Crash,
    call: &'static str,
    at: usize,
}

/// A template whose builds are killed at their commits.
struct Killed<'s> {
    scene: &'s Scene,
    strace: PathBuf,
    name: &'s str,
    reference: Reference,
    kills: usize,
    taken_up: usize,
}

impl Killed<'_> {
    /// All places at which a build can be killed that begins in this state; none where nothing can be traced.
    fn places(&self, before: Before, crash: Crash) -> Option<Vec<Place>> {
        let trace = format!("trace={}", CALLS.join(","));
        before.prepare(self.scene, self.name, 0);
        let whole = traced(self.scene, &self.strace, &["-e", &trace], self.name);
        if !whole.success() && whole.stderr_text().contains("ptrace") {
            test_judge::lack("this machine lets no process be traced");
            return None;
        }
        assert!(whole.success(), "{}", whole.stderr_text());
        let counts = count_calls(self.scene).into_iter();
        let places = counts.flat_map(|(call, count)| (1..=count).map(move |at| Place { before, crash, call, at }));
        Some(places.collect())
    }

    /// Kills a build there, and goes on.
    fn kill(&mut self, place: Place) {
        let Self { scene, name, .. } = *self;
        let Place { before, crash, call, at } = place;
        before.prepare(scene, name, 0);
        let was_there = scene.image("work", name).is_some();
        let inject = format!("inject={call}:signal=KILL:when={at}");
        let output = traced(scene, &self.strace, &["-e", &format!("trace={call}"), "-e", &inject], name);
        let said = output.stderr_text();
        let context = format!("{place:?}:\n{said}");
        self.kills += usize::from(!output.success());
        self.reference.assert_none_is_half(scene, name, was_there, &context);
        let mut finished = Finished::default();
        match crash {
            Crash::Build => finished.read(&said),
            Crash::Machine => drop(lose(&scene.path("work"), |_| 0)),
        }
        go_on(scene, name, &self.reference.images[0], &finished, &context);
        self.taken_up += finished.total();
    }
}

/// Kills builds at places that lie all over them, and at every one where there is time.
fn kill_at_commits(scene: &Scene, name: &str, states: &[(Before, Crash)]) {
    let Some(strace) = test_judge::find("strace", "strace") else { return };
    let reference = Reference::make(scene, name);
    let mut killed = Killed { scene, strace, name, reference, kills: 0, taken_up: 0 };
    let mut places = Vec::new();
    for (before, crash) in states {
        let Some(more) = killed.places(*before, *crash) else { return };
        places.extend(more);
    }
    let wanted = if soak() { KILLS_SOAK } else { KILLS };
    let mut random = Random::new(1);
    for last in (1..places.len()).rev() {
        places.swap(last, random.below(last + 1));
    }
    // Not every build comes to each of its calls in the same thread, so some places are missed.
    for (tried, place) in places.iter().cycle().enumerate().take(places.len().max(2 * wanted)) {
        if killed.kills < wanted || killed.taken_up == 0 || (soak() && tried < places.len()) {
            killed.kill(*place);
        }
    }
    assert!(killed.kills >= wanted, "{} kills at {} places", killed.kills, places.len());
    // What is lost with the machine is no promise, so that half of the kills may have nothing to take up.
    assert!(killed.taken_up > 0, "no kill came after a step");
}

#[test]
fn a_build_that_is_killed_at_any_commit_goes_on() {
    let states = [Before::Nothing, Before::Sibling("tar"), Before::OtherInputs];
    kill_at_commits(&Scene::plain(), "disc", &states.map(|before| (before, Crash::Build)));
}

/// The forms of an image get their names one after the other; a build that is killed in between left some of the image
/// before.
#[test]
fn a_build_of_a_pool_that_is_killed_at_any_commit_goes_on() {
    let states = [(Before::OtherInputs, Crash::Build), (Before::Nothing, Crash::Machine)];
    kill_at_commits(&Scene::pool(), "pool", &states);
}

/// A step about packages is known by its lock, and the lock by the packages before it: after a crash of the machine that
/// state may be nowhere although a record names it, which is noticed when the lock wants it.
#[test]
fn a_build_of_packages_that_is_killed_at_any_commit_goes_on() {
    let states = [
        (Before::Nothing, Crash::Build),
        (Before::Nothing, Crash::Machine),
        (Before::Sibling("stage"), Crash::Build),
        (Before::OtherInputs, Crash::Machine),
    ];
    kill_at_commits(&Scene::packages(), "packages", &states);
}
