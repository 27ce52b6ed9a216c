//! Builds that are killed at each of the system calls by which something becomes final: a name is given, a file is brought
//! to the disk.
//!
//! Chance hits these rarely, so `strace` counts them, and has the kernel kill the build as it comes to a chosen one.

use crate::kills::{Before, Finished, Reference, go_on, lose};
use crate::scene::Scene;
use process_runner::{Command, Output};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use test_judge::soak;

const CALLS: [&str; 6] = ["rename", "renameat", "renameat2", "linkat", "fsync", "fdatasync"];

/// How many places of each call are tried in each state, when not all are.
const FEW: usize = 5;

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

/// What became of builds that were to be killed.
#[derive(Debug, Default)]
struct Tally {
    killed: usize,
    taken_up: usize,
}

impl Tally {
    /// Kills builds at some commits of each kind in a workspace as it is `before`, and goes on after each; whether
    /// builds can be traced at all.
    fn kill_at_commits(
        &mut self,
        (scene, strace): (&Scene, &Path),
        name: &str,
        reference: &Reference,
        before: Before,
        crash: Crash,
    ) -> bool {
        let trace = format!("trace={}", CALLS.join(","));
        before.prepare(scene, name, 0);
        let whole = traced(scene, strace, &["-e", &trace], name);
        if !whole.success() && whole.stderr_text().contains("ptrace") {
            test_judge::lack("this machine lets no process be traced");
            return false;
        }
        assert!(whole.success(), "{}", whole.stderr_text());
        for (call, count) in count_calls(scene) {
            let step = if soak() { 1 } else { count.div_ceil(FEW) };
            for at in (1..=count).rev().step_by(step) {
                before.prepare(scene, name, 0);
                let inject = format!("inject={call}:signal=KILL:when={at}");
                let output = traced(scene, strace, &["-e", &format!("trace={call}"), "-e", &inject], name);
                let said = output.stderr_text();
                let context = format!("{before:?}, {crash:?}, killed at {call} {at} of {count}:\n{said}");
                self.killed += usize::from(!output.success());
                let there = scene.image("work", name);
                assert!(there.is_none_or(|image| reference.images.contains(&image)), "half an image, {context}");
                let mut finished = Finished::default();
                match crash {
                    Crash::Build => finished.read(&said),
                    Crash::Machine => {
                        lose(&scene.path("work"), |_| 0);
                    }
                }
                go_on(scene, name, &reference.images[0], &finished, &context);
                self.taken_up += finished.total();
            }
        }
        true
    }
}

#[test]
fn a_build_that_is_killed_at_any_commit_goes_on() {
    let Some(strace) = test_judge::find("strace", "strace") else { return };
    let scene = Scene::plain();
    let reference = Reference::make(&scene, "disc");
    let mut tally = Tally::default();
    for before in [Before::Nothing, Before::Sibling("tar"), Before::OtherInputs] {
        if !tally.kill_at_commits((&scene, &strace), "disc", &reference, before, Crash::Build) {
            return;
        }
    }
    assert!(tally.killed > 20 && tally.taken_up > 100, "{tally:?}");
}

/// A step about packages is known by its lock, and the lock by the packages before it: after a crash of the machine that
/// state may be nowhere although a record names it, which is noticed when the lock wants it.
#[test]
fn a_build_of_packages_that_is_killed_at_any_commit_goes_on() {
    let Some(strace) = test_judge::find("strace", "strace") else { return };
    let scene = Scene::packages();
    let reference = Reference::make(&scene, "packages");
    let mut tally = Tally::default();
    for (before, crash) in [
        (Before::Nothing, Crash::Build),
        (Before::Nothing, Crash::Machine),
        (Before::Sibling("stage"), Crash::Build),
        (Before::OtherInputs, Crash::Machine),
    ] {
        if !tally.kill_at_commits((&scene, &strace), "packages", &reference, before, crash) {
            return;
        }
    }
    assert!(tally.killed > 20 && tally.taken_up > 50, "{tally:?}");
}
