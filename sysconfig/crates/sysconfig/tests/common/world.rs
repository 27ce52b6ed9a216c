//! A daemon, a machine made of files, and a model that knows what may be in them.
//!
//! What the daemon does by itself, as starting a plugin again after a pause, may come between any two operations. So the
//! model does not foretell the files: after each operation it knows what each may contain, and what the status may say then.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use sysconfig_protocol::Severity;
use sysconfig_protocol::admin::{
    Activity, Events, Health, History, PastStep, PluginRestart, PluginState, PluginStatus, StatusReport, StepResult,
};
use sysconfig_protocol::envelope::code;

use super::{Bench, Daemon, PATIENCE};

/// The plugins, in the order of their steps.
pub(crate) const NAMES: [&str; 3] = ["a", "b", "c"];

/// What the model knows of one plugin and its part.
#[derive(Debug, Clone, Default)]
pub(crate) struct Part {
    /// What the configuration files say.
    pub(crate) written: Option<String>,
    /// What the configuration in force says.
    pub(crate) text: Option<String>,
    /// The part may be applied without a request, because it was not since it was set, or since a new build came.
    pub(crate) owes: bool,
    /// The text that was undone, or not come to.
    pub(crate) held: Option<String>,
    /// Somebody changed the machine, and nobody has looked since.
    pub(crate) unlooked: bool,
    /// What comes back when an undoing that failed is tried again.
    pub(crate) left: BTreeSet<Option<String>>,
    /// What is in the file.
    pub(crate) machine: Option<String>,
    /// Prefixes of its builds, by the builds' names.
    pub(crate) builds: BTreeMap<String, String>,
    /// The build in place.
    pub(crate) newest: String,
}

/// A change that waits for its confirmation.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    /// The texts of the parts that it is about.
    pub(crate) parts: BTreeMap<&'static str, String>,
    /// Those that it has not brought in line.
    pub(crate) not_done: BTreeSet<&'static str>,
    /// What was in the files of the parts with steps.
    pub(crate) before: BTreeMap<&'static str, Option<String>>,
}

/// A moment at which the daemon did nothing.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) status: StatusReport,
    machine: BTreeMap<&'static str, Option<String>>,
    history: Vec<PastStep>,
    calls: Vec<String>,
}

pub(crate) struct World<'a> {
    pub(crate) bench: &'a Bench,
    pub(crate) daemon: Option<Daemon<'a>>,
    pub(crate) parts: BTreeMap<&'static str, Part>,
    pub(crate) waiting: Option<Waiting>,
    /// SIGHUP came while a change waited.
    pub(crate) reload_waits: bool,
    /// What the files may contain after the operation, beside what follows from the parts.
    pub(crate) may: BTreeMap<&'static str, BTreeSet<Option<String>>>,
    /// Steps that the last daemon had begun when it was killed.
    pub(crate) doubts: Vec<String>,
    pub(crate) trace: Vec<String>,
    pub(crate) last: Option<Sample>,
}

impl Part {
    /// What the file contains when the part is in force, by any of its builds.
    fn wanted(&self) -> BTreeSet<Option<String>> {
        let with = |text: &String| self.builds.values().map(|prefix| Some(format!("{prefix}{text}"))).collect();
        self.text.as_ref().filter(|text| !text.contains("forbidden")).map(with).unwrap_or_default()
    }

    /// The configuration files are put in force.
    fn take_over(&mut self) {
        self.owes |= self.text != self.written;
        self.text.clone_from(&self.written);
        if self.held != self.text {
            self.held = None;
        }
    }

    fn may_be_applied(&self) -> bool {
        self.owes && self.text.is_some() && self.held != self.text
    }
}

impl<'a> World<'a> {
    pub(crate) fn new(bench: &'a Bench) -> Self {
        Self {
            bench,
            daemon: None,
            parts: NAMES.into_iter().map(|name| (name, Part::default())).collect(),
            waiting: None,
            reload_waits: false,
            may: BTreeMap::new(),
            doubts: Vec::new(),
            trace: Vec::new(),
            last: None,
        }
    }

    pub(crate) fn daemon(&self) -> &Daemon<'a> {
        self.daemon.as_ref().unwrap()
    }

    pub(crate) fn part(&mut self, name: &str) -> &mut Part {
        self.parts.get_mut(name).unwrap()
    }

    /// The files come into force.
    pub(crate) fn take_over(&mut self) {
        self.parts.values_mut().for_each(Part::take_over);
    }

    /// Somebody asks for everything to be in force, whatever was undone.
    pub(crate) fn release(&mut self) {
        for name in NAMES {
            let part = self.part(name);
            part.held = None;
            // What could not be undone before is nobody's wish any more.
            part.left.clear();
            self.may_apply_once(name);
        }
    }

    /// A part is applied by the operation, if by nothing else.
    pub(crate) fn may_apply_once(&mut self, name: &'static str) {
        let wanted = self.part(name).wanted();
        self.may.entry(name).or_default().extend(wanted);
    }

    pub(crate) fn texts(&self) -> BTreeMap<&'static str, Option<String>> {
        NAMES.into_iter().map(|name| (name, self.bench.text(name))).collect()
    }

    /// The change that waits is undone, or was meanwhile.
    pub(crate) fn undone(&mut self) {
        let Some(waiting) = self.waiting.take() else { return };
        // One that was asked for, had no step and is in force has nothing to be held for.
        let plugins = self.daemon().status().plugins;
        let is_in_force =
            |name: &str| plugins.iter().any(|plugin| plugin.name == name && plugin.applied_unix_ms.is_some());
        for (name, text) in &waiting.parts {
            let is_undone = waiting.before.contains_key(name);
            let part = self.part(name);
            if is_undone || (waiting.not_done.contains(name) && !is_in_force(name)) {
                part.held = Some(text.clone()).filter(|held| part.text.as_ref() == Some(held));
            }
        }
        for (name, before) in waiting.before {
            self.part(name).left.insert(before);
        }
    }

    /// Notes what may happen by itself from now on.
    pub(crate) fn foresee(&mut self) {
        for name in NAMES {
            let waits = self.waiting.is_some();
            let part = self.part(name);
            let mut may = part.left.clone();
            may.insert(part.machine.clone());
            if part.may_be_applied() && !waits {
                may.extend(part.wanted());
            }
            self.may.entry(name).or_default().extend(may);
        }
    }

    /// Waits for a moment at which the daemon does nothing, and takes down what there is. What it was told before has been
    /// done then, because a request that changes nothing goes through the same queue.
    fn sample(&self) -> Sample {
        let daemon = self.daemon();
        let pass = || loop {
            let error = daemon.request(&PluginRestart { name: "nobody".to_owned() }).unwrap_err();
            if error.code == code::NO_SUCH_PLUGIN {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let newest = || daemon.request(&Events { after: 0, limit: Some(1) }).unwrap().last;
        let give_up = Instant::now() + PATIENCE;
        loop {
            pass();
            let before = newest();
            let status = daemon.status();
            let history = daemon.request(&History { limit: Some(100_000) }).unwrap().steps;
            let machine = self.texts();
            let calls = self.bench.text("calls").unwrap_or_default().lines().map(str::to_owned).collect();
            pass();
            if before == newest() && status.activity == Activity::Idle && status == daemon.status() {
                return Sample { status, machine, history, calls };
            }
            assert!(Instant::now() < give_up, "the daemon never rests\n{}", daemon.log());
        }
    }

    /// Judges what the operation has left.
    pub(crate) fn judge(&mut self) {
        self.foresee();
        let sample = self.sample();
        let status = sample.status.clone();
        let history = (sample.history.clone(), sample.calls.clone());
        let machine = sample.machine.clone();
        self.last = Some(sample);
        assert_eq!(status.confirmation.is_some(), self.waiting.is_some(), "a change waits");
        for (name, found) in &machine {
            assert!(self.may[name].contains(found), "{name} is {found:?}, and may be one of {:?}", self.may[name]);
            self.part(name).machine.clone_from(found);
        }
        self.may.clear();
        self.judge_status(&status);
        judge_history(&history.0, &history.1);
        let told = problems(&status).join("\n");
        for doubt in std::mem::take(&mut self.doubts) {
            assert!(told.contains(&format!("ended: {doubt}")), "nobody is told of the doubt: {doubt}");
        }
    }

    fn judge_status(&mut self, status: &StatusReport) {
        for name in NAMES {
            let plugin = status.plugins.iter().find(|plugin| plugin.name == name);
            let is_in_line = plugin.is_some_and(|plugin| is_in_line(status, plugin));
            let part = self.parts.get_mut(name).unwrap();
            let said = about(status, name);
            if let Some(plugin) = plugin.filter(|plugin| !plugin.claims.is_empty()) {
                assert_eq!(plugin.configured, part.text.is_some(), "{name} is configured");
            }
            if !said.contains("cannot be undone") {
                let left = std::mem::take(&mut part.left);
                let is_back = left.is_empty() || left.contains(&part.machine);
                assert!(is_back || part.held.is_none(), "{name} was undone to one of {left:?}: {:?}", part.machine);
            }
            let Some(plugin) = plugin.filter(|_| is_in_line) else {
                assert!(part.text.is_none() || status.health != Health::Ok, "{name} is not in line, and all is well");
                let runs = plugin.is_some_and(|plugin| plugin.state == PluginState::Running);
                if runs && part.held.is_some() && part.held == part.text {
                    assert!(said.contains("by itself"), "{name} is held, and nobody is told: {said}");
                }
                continue;
            };
            assert!(plugin.applied_unix_ms.is_some(), "{name} is in line, and never was applied");
            let prefix = &part.builds[plugin.build_id.as_ref().unwrap()];
            let wanted = part.text.as_ref().map(|text| format!("{prefix}{text}"));
            if !part.unlooked {
                assert_eq!(part.machine, wanted, "{name} is in line, says the status");
            }
            let decided = plugin.reload.as_ref().and_then(|reload| reload.build_id.as_ref());
            part.owes &= plugin.build_id.as_ref() != Some(&part.newest) && decided != Some(&part.newest);
        }
    }
}

/// Every step that a plugin was asked for is in the history, and every one that has a result was asked for.
fn judge_history(history: &[PastStep], calls: &[String]) {
    for name in NAMES {
        for undo in [false, true] {
            let steps = || history.iter().filter(|step| step.plugin == name && step.undo == undo);
            let certain = |step: &&PastStep| match step.result {
                Some(StepResult::Changed | StepResult::AlreadySo) => true,
                // Of what a plugin has not been asked for, the daemon says why.
                Some(StepResult::Failed) => step.error.as_ref().is_some_and(|error| error.contains("do: ")),
                _ => false,
            };
            let verb = if undo { "undo" } else { "apply" };
            let is_it = |call: &&String| call.starts_with(verb) && call.ends_with(&format!("/{name}"));
            let (certain, all) = (steps().filter(certain).count(), steps().count());
            let asked = calls.iter().filter(is_it).count();
            assert!(
                certain <= asked && asked <= all,
                "{name} was asked {asked} times to {verb}, of {certain} to {all}"
            );
        }
    }
}

pub(crate) fn problems(status: &StatusReport) -> Vec<String> {
    status.problems.iter().map(|problem| format!("{}: {}", problem.subject, problem.message)).collect()
}

/// What is said of a plugin.
fn about(status: &StatusReport, name: &str) -> String {
    let subject = format!("plugin {name}: ");
    problems(status).into_iter().filter(|problem| problem.starts_with(&subject)).collect::<Vec<_>>().join("\n")
}

/// Whether the status says that a plugin's part is in force.
pub(crate) fn is_in_line(status: &StatusReport, plugin: &PluginStatus) -> bool {
    let subject = format!("plugin {}", plugin.name);
    let mut errors = status.problems.iter().filter(|problem| problem.severity == Severity::Error);
    plugin.state == PluginState::Running && plugin.configured && !errors.any(|problem| problem.subject == subject)
}

/// Who finds a failure has to know how it came about.
impl Drop for World<'_> {
    #[expect(clippy::print_stderr, reason = "a test has nobody else to tell")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let status = self.last.as_ref().map(|sample| serde_json::to_string_pretty(&sample.status));
            eprintln!("operations:\n  {}\nparts: {:#?}", self.trace.join("\n  "), self.parts);
            eprintln!("change: {:?}\nstatus: {}", self.waiting, status.and_then(Result::ok).unwrap_or_default());
            let log = self.bench.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("log:\n{}", lines[lines.len().saturating_sub(150)..].join("\n"));
        }
    }
}
