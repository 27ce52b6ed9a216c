//! Random sequences of everything that administrators, developers and accidents do to one daemon: its status never lies, and
//! nothing comes into force that nobody asked for.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::Duration;

use common::Bench;
use common::accidents::Sequence;
use common::operations::{Build, Operation, SHORT_MS, any, install, write};
use common::world::{NAMES, Part, Waiting, World};
use serde_json::{Value, json};
use sysconfig_protocol::admin::{
    Apply, ApplyReport, Confirm, Plan, PluginApply, PluginRestart, Reload, StepResult, UndoChange,
};
use sysconfig_protocol::envelope::code;
use sysconfig_protocol::{Call, Digest, ErrorObject, Id, Message, Request};
use test_judge::{Random, fuzz, soak};

fn has_worked(plugin: &PluginApply) -> bool {
    let is_done = |result| matches!(result, StepResult::Changed | StepResult::AlreadySo);
    plugin.is_success() && plugin.steps.iter().all(|step| is_done(step.result))
}

impl Sequence<'_> {
    fn perform(&mut self, operation: Operation) {
        let bench = self.world.bench;
        match operation {
            Operation::Write(texts, has_stray) => {
                write(bench, &texts, if has_stray { "[test.nobody]\nx = 1\n" } else { "" });
                for (name, text) in texts {
                    self.world.part(name).written = text;
                }
            }
            Operation::WriteNonsense => {
                std::fs::write(bench.path("nonsense"), "[test\n").unwrap();
                std::fs::rename(bench.path("nonsense"), bench.path("sysconfig.toml")).unwrap();
            }
            Operation::Reload => self.reload(),
            Operation::Hangup => self.hang_up(),
            Operation::Apply => self.apply_twice(),
            Operation::ApplyWithin(within) => {
                self.apply(&Apply { confirm_within_ms: Some(within), ..Apply::default() }).ok();
            }
            Operation::ApplyPlan(is_fresh, within) => {
                if is_fresh {
                    self.digest = self.world.daemon().request(&Plan {}).unwrap().digest;
                }
                let plan = Some(self.digest.clone());
                self.apply(&Apply { plan, confirm_within_ms: within, ..Apply::default() }).ok();
            }
            Operation::Plan => {
                self.digest = self.world.daemon().request(&Plan {}).unwrap().digest;
                self.looked();
            }
            Operation::DryRun => {
                let planned = self.world.daemon().request(&Apply { dry_run: true, ..Apply::default() });
                if planned.is_ok_and(|report| report.plugins.iter().all(|plugin| plugin.error.is_none())) {
                    self.looked();
                }
            }
            Operation::Confirm => self.confirm(),
            Operation::Undo => self.undo(),
            Operation::ObstructUndo(name) => std::fs::write(bench.path("undo-fails"), name).unwrap(),
            Operation::LetUndo => drop(std::fs::remove_file(bench.path("undo-fails"))),
            Operation::Install(name, build) => self.install(name, build),
            Operation::Remove(name) => self.remove(name),
            Operation::PutBack(name) => {
                drop(std::fs::hard_link(bench.path(&format!("deps/{name}")), bench.plugin_file(name)));
                self.await_build(name);
            }
            Operation::Drift(name, text) => self.drift(name, text),
            Operation::KillPlugin(name) => self.kill_plugin(name),
            Operation::RestartPlugin(name) => {
                self.builds_are_tried(&[name]);
                self.world.daemon().request(&PluginRestart { name: name.to_owned() }).ok();
            }
            Operation::StopAndStart => {
                self.world.daemon.take().unwrap().stop();
                self.start();
            }
            Operation::Kill => {
                self.kill();
                self.start();
            }
            Operation::KillInApply(within, after_ms) => self.kill_in_apply(within, after_ms),
        }
    }

    /// The machine was looked at, as far as the configuration in force is what the files say.
    fn looked(&mut self) {
        for part in self.world.parts.values_mut() {
            part.unlooked &= part.text != part.written;
        }
    }

    /// The files are put in force, and applied as far as nothing was undone.
    fn taken_over(&mut self) {
        self.world.take_over();
        for name in NAMES {
            let part = self.world.part(name);
            if part.held.is_none() || part.held != part.text {
                self.world.may_apply_once(name);
            }
        }
    }

    fn reload(&mut self) {
        match self.world.daemon().request(&Reload {}) {
            Ok(report) if report.accepted && report.changed => {
                self.taken_over();
                self.looked();
            }
            Ok(report) => assert_eq!(report.accepted, report.error.is_none(), "{report:?}"),
            Err(error) => assert_eq!(error.code, code::CONFIRMATION_PENDING, "{error:?}"),
        }
    }

    fn hang_up(&mut self) {
        let waits = self.world.waiting.is_some();
        let words = if waits { "and the reload for that" } else { "SIGHUP: reading the configuration again" };
        let heard = |log: String| log.matches(words).count();
        let before = heard(self.world.daemon().log());
        self.world.daemon().signal(rustix::process::Signal::HUP);
        self.world.daemon().wait_for("the signal", |daemon| heard(daemon.log()) > before);
        self.world.reload_waits |= waits;
        if !waits {
            self.reloaded();
        }
    }

    /// The files were read, and nobody was told what came of it but by the status.
    fn reloaded(&mut self) {
        self.world.daemon().request(&PluginRestart { name: "nobody".to_owned() }).unwrap_err();
        let is_good = self.world.daemon().status().config.rejected.is_none();
        if is_good && self.world.parts.values().any(|part| part.text != part.written) {
            self.taken_over();
        }
    }

    fn apply_twice(&mut self) {
        let Ok(first) = self.apply(&Apply::default()) else { return };
        let Ok(second) = self.apply(&Apply::default()) else { return };
        if first.is_success() && second.is_success() {
            let is_empty = second.plugins.iter().all(|plugin| plugin.steps.is_empty());
            assert!(is_empty, "everything was in force: {second:?}");
        }
    }

    fn apply(&mut self, request: &Apply) -> Result<ApplyReport, ErrorObject> {
        let waits = self.world.waiting.is_some();
        let asked = self.asked_for();
        let report = self.world.daemon().request(request);
        let report = report.inspect_err(|error| {
            let known = [code::FAILED, code::PLAN_CHANGED, code::CANNOT_UNDO, code::CONFIRMATION_PENDING];
            assert!(known.contains(&error.code), "{error:?}");
            assert_eq!(error.code == code::CONFIRMATION_PENDING, waits, "{error:?}");
        })?;
        assert!(!waits, "something was applied while a change waited");
        self.world.take_over();
        self.looked();
        self.world.release();
        if let Some(within) = request.confirm_within_ms {
            self.guarded(within, &asked, &report);
        }
        Ok(report)
    }

    /// The parts that an apply would be about: they have a new text, or were undone. That is so of a key without an owner, too.
    fn asked_for(&self) -> BTreeSet<&'static str> {
        let is_asked = |part: &Part| part.text != part.written || (part.held.is_some() && part.held == part.text);
        NAMES.into_iter().filter(|name| is_asked(&self.world.parts[name])).collect()
    }

    /// What is known of a change that is undone unless it is confirmed.
    fn guarded(&mut self, within: u64, asked: &BTreeSet<&'static str>, report: &ApplyReport) {
        let of = |name: &str| report.plugins.iter().find(|plugin| plugin.plugin == name);
        let has_steps = |name: &str| {
            let not_done = [StepResult::NotRun, StepResult::AlreadySo, StepResult::Refused];
            of(name).is_some_and(|plugin| plugin.steps.iter().any(|step| !not_done.contains(&step.result)))
        };
        let about = NAMES.into_iter().filter(|name| asked.contains(name) || has_steps(name));
        let parts = &self.world.parts;
        let waiting = Waiting {
            parts: about.filter_map(|name| Some((name, parts[name].text.clone()?))).collect(),
            not_done: asked.iter().copied().filter(|name| !of(name).is_some_and(has_worked)).collect(),
            before: NAMES
                .into_iter()
                .filter(|name| has_steps(name))
                .map(|name| (name, parts[name].machine.clone()))
                .collect(),
        };
        let waits = report.confirm_by_unix_ms.is_some();
        assert_eq!(waits, !waiting.before.is_empty(), "{report:?}");
        self.world.waiting = Some(waiting);
        if !waits {
            self.hold_what_was_not_done();
        } else if within == SHORT_MS {
            self.builds_are_tried(&NAMES);
            self.world.daemon().wait_for("the undoing", |daemon| daemon.status().confirmation.is_none());
            self.world.undone();
        }
    }

    /// Nobody waits any more for what a change has not come to.
    fn hold_what_was_not_done(&mut self) {
        let waiting = self.world.waiting.take().unwrap();
        let status = self.world.daemon().status();
        for name in waiting.not_done {
            let plugin = status.plugins.iter().find(|plugin| plugin.name == name);
            let is_in_force = plugin.is_some_and(|plugin| plugin.applied_unix_ms.is_some());
            let part = self.world.part(name);
            part.held =
                waiting.parts.get(name).filter(|text| !is_in_force && part.text.as_ref() == Some(text)).cloned();
        }
    }

    fn confirm(&mut self) {
        let waits = self.world.waiting.is_some();
        self.builds_are_tried(&NAMES);
        let confirmed = self.world.daemon().request(&Confirm {});
        assert_eq!(confirmed.is_ok(), waits, "{confirmed:?}");
        if waits {
            self.hold_what_was_not_done();
            self.went_on();
        }
    }

    fn went_on(&mut self) {
        if std::mem::take(&mut self.world.reload_waits) {
            self.reloaded();
        }
    }

    fn undo(&mut self) {
        let waits = self.world.waiting.is_some();
        self.builds_are_tried(&NAMES);
        let undone = self.world.daemon().request(&UndoChange {});
        assert!(undone.is_ok() || !waits, "{undone:?}");
        self.world.undone();
        self.went_on();
    }

    fn kill_in_apply(&mut self, within: Option<u64>, after_ms: u64) {
        let waits = self.world.waiting.is_some();
        let asked = self.asked_for();
        let before = self.world.texts();
        let request = Apply { confirm_within_ms: within, ..Apply::default() };
        let request = Request { id: Id::Number(1), method: Apply::METHOD.to_owned(), params: json!(request) };
        self.world.daemon().connect().write_all(&Message::Request(request).to_line()).unwrap();
        // Anywhere in it, or before, or behind.
        std::thread::sleep(Duration::from_millis(after_ms));
        self.kill();
        if within.is_some() {
            self.world.doubts.clear();
        }
        let record = self.world.bench.text("state/confirmation.json").unwrap_or_default();
        let record = serde_json::from_str::<Value>(&record).unwrap_or_default();
        let steps = record["pending"]["steps"].as_array().cloned().unwrap_or_default();
        self.start();
        if waits {
            return;
        }
        // It may not have come to that.
        let left: Vec<_> = self.world.parts.iter().map(|(name, part)| (*name, part.left.clone())).collect();
        self.world.release();
        for (name, left) in left {
            self.world.part(name).left = left;
        }
        if within.is_none() {
            return;
        }
        let parts = &self.world.parts;
        let of = asked.iter().filter_map(|name| Some((*name, parts[name].text.clone()?))).collect();
        let before = before.into_iter().filter(|(name, _)| steps.iter().any(|step| step["plugin"] == *name)).collect();
        let waiting = Waiting { parts: of, not_done: asked, before };
        if within == Some(SHORT_MS) {
            // Whether it was begun nobody can tell; what is there is one or the other.
            self.world.daemon().wait_for("the undoing", |daemon| daemon.status().confirmation.is_none());
            for (name, before) in waiting.before {
                self.world.may.entry(name).or_default().insert(before);
            }
        } else if self.world.daemon().status().confirmation.is_some() {
            self.world.waiting = Some(waiting);
        }
    }
}

fn descriptors(world: &World<'_>) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", world.daemon().pid().as_raw_nonzero())).unwrap().count()
}

fn run(random: &mut Random) {
    let bench = Bench::new();
    let all = |text: &str| NAMES.into_iter().map(|name| (name, Some(text.to_owned()))).collect::<BTreeMap<_, _>>();
    write(&bench, &all("first"), "");
    let world = World::new(&bench);
    let mut sequence = Sequence { world, digest: Digest("0".repeat(64)), builds: 0, hanging: Vec::new() };
    for name in NAMES {
        sequence.builds += 1;
        let id = install(&bench, name, Build::Good, sequence.builds);
        let part = sequence.world.part(name);
        part.builds.insert(id.clone(), String::new());
        (part.newest, part.written) = (id, Some("first".to_owned()));
    }
    sequence.start();
    sequence.world.judge();
    let held = descriptors(&sequence.world);
    for _ in 0..20 + random.below(41) {
        let operation = any(random);
        sequence.world.trace.push(format!("{operation:?}"));
        sequence.perform(operation);
        sequence.world.judge();
    }
    sequence.end(held, &all("last"));
}

impl Sequence<'_> {
    /// Whatever has happened, good files and good plugins bring everything in force, and nothing is left.
    fn end(mut self, held: usize, last: &BTreeMap<&'static str, Option<String>>) {
        let bench = self.world.bench;
        self.world.trace.push("the end".to_owned());
        drop(std::fs::remove_file(bench.path("undo-fails")));
        for name in NAMES {
            self.install(name, Build::Good);
        }
        if self.world.waiting.is_some() {
            self.world.daemon().request(&UndoChange {}).unwrap();
        }
        write(bench, last, "");
        self.world.daemon().wait_for("everything to be in force", |daemon| daemon.apply().is_success());
        for (name, text) in &self.world.texts() {
            assert_eq!(text.as_deref(), Some("last"), "{name}");
        }
        let is_small = |_: &common::Daemon<'_>| descriptors(&self.world) <= held;
        self.world.daemon().wait_for("no more descriptors than at first", is_small);
        self.world.daemon.take().unwrap().stop();
        let known = ["applied.json", "journal.jsonl", "journal.old.jsonl", "key.json", "lock", "plugins"];
        let entries = std::fs::read_dir(bench.path("state")).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        // What a killed daemon was about to write is written over by the next one that writes the same.
        let was_killed = self.world.trace.iter().any(|operation| operation.starts_with("Kill"));
        let is_known = |name: &str| known.contains(&name) || (was_killed && name.ends_with(".new"));
        let stray: Vec<_> = names.filter(|name| !is_known(name)).collect();
        assert!(stray.is_empty(), "{stray:?}");
        assert_eq!(bench.open_steps(), [""; 0]);
    }
}

#[test]
fn whatever_happens_the_status_is_true_and_nothing_is_in_force_that_nobody_wants() {
    fuzz(if soak() { 300 } else { 6 }, run);
}
