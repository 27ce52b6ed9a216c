//! The document of the JSON answers names their members, all of them and no others, with their types.

use crate::support::sysconfigctl;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use sysconfig_protocol::admin::{
    Activity, AppliedStep, ApplyReport, ConfigStatus, ConfirmReport, Confirmation, CycleReport, EventsReport, Failure,
    Happening, HappeningKind, Health, HistoryReport, LogLine, LogsReport, PastStep, Paths, Place, PlanReport,
    PluginApply, PluginPlan, PluginReload, PluginState, PluginStatus, PluginsReport, Pong, Problem, ReloadReport,
    ReloadResult, StatusReport, StepResult, UndoReport, UndoneStep,
};
use sysconfig_protocol::{Diagnostic, Digest, FieldChange, Level, Risk, Severity, Step};

/// The type that each member is documented with, by heading and name.
type Documented = BTreeMap<String, BTreeMap<String, String>>;

/// An answer with everything in it that there can be, under the heading that it is documented under.
struct Sample {
    heading: &'static str,
    object: Map<String, Value>,
    /// Takes such an object for an answer and prints it again, when it can be taken for one.
    print: Option<fn(Value) -> Option<Value>>,
}

impl Sample {
    /// Of what has a type that whoever asks can use.
    fn of<T: Serialize + DeserializeOwned>(heading: &'static str, answer: &T) -> Self {
        let print = |object| serde_json::to_value(serde_json::from_value::<T>(object).ok()?).ok();
        Self { print: Some(print), ..Self::printed(heading, serde_json::to_value(answer).unwrap()) }
    }

    fn printed(heading: &'static str, answer: Value) -> Self {
        let Value::Object(object) = answer else { panic!("{heading}: {answer}") };
        Self { heading, object, print: None }
    }

    /// What is printed of an answer that has nothing to say for a member, as a part of the member's type.
    fn when_none(&self, member: &str) -> &'static str {
        let mut object = self.object.clone();
        object.remove(member);
        match self.print.and_then(|print| print(Value::Object(object))) {
            None => "",
            Some(printed) => match printed.get(member) {
                None => OR_ABSENT,
                Some(Value::Null) => OR_NULL,
                Some(_) => "",
            },
        }
    }
}

const OR_NULL: &str = " or null";
const OR_ABSENT: &str = " or absent";

fn text() -> String {
    "x".to_owned()
}

fn some() -> Option<String> {
    Some(text())
}

/// Every struct is written out, so that a new member does
/// not compile before it is here.
fn of_the_daemon() -> Vec<Sample> {
    let place = || Place { file: text(), line: 1, column: 1 };
    let problem =
        || Problem { subject: text(), message: text(), help: some(), place: Some(place()), severity: Severity::Error };
    let change = || FieldChange { field: text(), from: json!(1), to: json!(2), sensitive: true };
    let step = || Step {
        id: text(),
        action: text(),
        resource: text(),
        summary: text(),
        changes: vec![change()],
        risk: Risk::Safe,
        key: text(),
        data: Value::Null,
    };
    let finding = || Diagnostic { key: text(), message: text(), help: some(), severity: Severity::Error };
    let failure = || Failure { message: text(), help: some() };
    let (result, duration_ms) = (StepResult::Failed, 1);
    let applied_step = || AppliedStep { step: step(), result, duration_ms, error: Some(failure()) };
    let applied_part = || PluginApply {
        plugin: text(),
        steps: vec![applied_step()],
        diagnostics: vec![finding()],
        error: Some(failure()),
    };
    let apply = || ApplyReport {
        digest: Digest(text()),
        dry_run: false,
        plugins: vec![applied_part()],
        problems: vec![problem()],
        confirm_by_unix_ms: Some(1),
    };
    let planned =
        || PluginPlan { plugin: text(), steps: vec![step()], diagnostics: vec![finding()], error: Some(failure()) };
    let (at_unix_ms, since_unix_ms, number) = (1, 1, 1);
    let reload = || PluginReload {
        at_unix_ms,
        result: ReloadResult::Live,
        latency_ms: Some(1),
        since_change: true,
        build_id: some(),
        error: some(),
    };
    let plugin = || PluginStatus {
        name: text(),
        path: text(),
        private_copy: some(),
        version: some(),
        build_id: some(),
        state: PluginState::Running,
        pid: Some(1),
        claims: vec![text()],
        configured: true,
        since_unix_ms,
        last_error: some(),
        help: some(),
        reload: Some(reload()),
        restarts: 1,
        applied_unix_ms: Some(1),
    };
    let activity = || Activity::Calling { plugin: text(), method: text(), since_unix_ms };
    let config = || ConfigStatus { files: vec![text()], loaded_unix_ms: 1, rejected: some() };
    let cycle = || CycleReport {
        trigger: text(),
        started_unix_ms: 1,
        duration_ms,
        applied: true,
        changed: 1,
        already_so: 1,
        failed: 1,
        pending: 1,
    };
    let confirmation = || Confirmation { by_unix_ms: 1, steps: 1 };
    let paths = || Paths { config: text(), config_dir: text(), state_dir: text(), run_dir: text() };
    let status = StatusReport {
        version: text(),
        pid: 1,
        executable: some(),
        paths: Some(paths()),
        started_unix_ms: 1,
        health: Health::Ok,
        activity: activity(),
        config: config(),
        last_cycle: Some(cycle()),
        confirmation: Some(confirmation()),
        plugins: vec![plugin()],
        problems: vec![problem()],
    };
    let undone = || UndoneStep { plugin: text(), undone: applied_step() };
    let happening = || Happening { number, at_unix_ms, kind: HappeningKind::Ready, plugin: some(), message: text() };
    let line = || LogLine { number, at_unix_ms, level: Level::Info, subject: text(), message: text() };
    let past = || PastStep {
        sequence: 1,
        at_unix_ms,
        duration_ms: Some(1),
        plugin: text(),
        undo: true,
        step: step(),
        result: Some(result),
        error: some(),
    };
    let reloaded = ReloadReport {
        accepted: false,
        changed: false,
        error: some(),
        problems: vec![problem()],
        apply: Some(apply()),
    };
    let plan = PlanReport { digest: Digest(text()), plugins: vec![planned()], problems: vec![problem()] };
    vec![
        Sample::of("Ping", &Pong { version: text(), pid: 1 }),
        Sample::of("Status", &status),
        Sample::of("Paths", &paths()),
        Sample::of("Activity", &activity()),
        Sample::of("Activity", &Activity::Busy { doing: text(), since_unix_ms }),
        Sample::of("Activity", &Activity::Idle),
        Sample::of("Config", &config()),
        Sample::of("Cycle", &cycle()),
        Sample::of("Confirmation", &confirmation()),
        Sample::of("Problem", &problem()),
        Sample::of("Place", &place()),
        Sample::of("Plugins", &PluginsReport { path: vec![text()], hot_reload: true, plugins: vec![plugin()] }),
        Sample::of("Plugin", &plugin()),
        Sample::of("Plugin reload", &reload()),
        Sample::of("Plan", &plan),
        Sample::of("Planned part", &planned()),
        Sample::of("Step", &step()),
        Sample::of("Change", &change()),
        Sample::of("Finding", &finding()),
        Sample::of("Failure", &failure()),
        Sample::of("Apply", &apply()),
        Sample::of("Applied part", &applied_part()),
        Sample::of("Applied step", &applied_step()),
        Sample::of("Confirm", &ConfirmReport { steps: 1 }),
        Sample::of("Undo", &UndoReport { steps: vec![undone()] }),
        Sample::of("Undone step", &undone()),
        Sample::of("Reload", &reloaded),
        Sample::of("Events", &EventsReport { events: vec![happening()], last: 1 }),
        Sample::of("Event", &happening()),
        Sample::of("Logs", &LogsReport { lines: vec![line()], last: 1 }),
        Sample::of("Line", &line()),
        Sample::of("History", &HistoryReport { steps: vec![past()] }),
        Sample::of("Past step", &past()),
    ]
}

/// What is printed without a daemon.
fn of_the_program() -> Vec<Sample> {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    std::fs::write(path("main.toml"), "[system]\nhostname = \"dev\"\n").unwrap();
    std::fs::create_dir_all(path("sysconfig/plugins")).unwrap();
    std::fs::write(path("sysconfig/Cargo.toml"), "[workspace]\nmembers = [\"plugins/*\"]\n").unwrap();
    let socket = path("nobody.sock");
    let run = |arguments: &[&str]| {
        let ran = sysconfigctl(Path::new(&socket), &[&["--json"], arguments].concat());
        let text = if ran.out.is_empty() { ran.err } else { ran.out };
        serde_json::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    };
    let (file, drop_ins) = (path("main.toml"), path("d"));
    let checked = run(&["config", "check", &file]);
    let doctor = run(&["doctor", "--config", &file, "--config-dir", &drop_ins]);
    vec![
        Sample::printed("Config check", checked.clone()),
        Sample::printed("Checked files", checked["checked"][0].clone()),
        Sample::printed("Doctor", doctor.clone()),
        Sample::printed("Check", doctor["checks"][0].clone()),
        Sample::printed("Shown key", run(&["config", "show", &file])["system.hostname"].clone()),
        Sample::printed("New plugin", run(&["plugin", "new", "ntp", "--checkout", &path("")])),
        Sample::printed("Error", run(&["ping"])["error"].clone()),
    ]
}

/// The rows of each table.
fn documented() -> Documented {
    let document = include_str!("../../../../../docs/formats/admin-protocol.md");
    let mut documented = Documented::new();
    for section in document.split("\n## ").skip(1) {
        let (heading, rest) = section.split_once('\n').unwrap();
        let rows = rest.lines().filter_map(|line| {
            let (member, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
            Some((member.to_owned(), rest.split_once(" |")?.0.to_owned()))
        });
        documented.insert(heading.to_owned(), rows.collect());
    }
    documented
}

/// Whether a value is of the type that is documented.
fn is_of(value: &Value, kind: &str, documented: &Documented) -> bool {
    let all = |kind: &str| value.as_array().is_some_and(|items| items.iter().all(|item| is_of(item, kind, documented)));
    match kind.trim_end_matches(OR_NULL).trim_end_matches(OR_ABSENT) {
        "any" => true,
        "text" => value.is_string(),
        "number" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        kind => match kind.strip_prefix("list of ") {
            Some(kind) => all(kind),
            None => {
                let (members, object) = (documented.get(kind), value.as_object());
                members.zip(object).is_some_and(|(members, object)| object.keys().all(|key| members.contains_key(key)))
            }
        },
    }
}

#[test]
fn every_member_of_every_answer_is_documented_with_its_type_and_nothing_else_is() {
    let samples: Vec<_> = of_the_daemon().into_iter().chain(of_the_program()).collect();
    let documented = documented();
    let mut members: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for Sample { heading, object, .. } in &samples {
        members.entry(heading).or_default().extend(object.keys().map(String::as_str));
    }
    let names = documented.iter().map(|(heading, rows)| (heading.as_str(), rows.keys().map(String::as_str).collect()));
    assert_eq!(members, names.collect());
    for sample in &samples {
        for (member, kind) in &documented[sample.heading] {
            let said = format!("{}, {member}: {kind}", sample.heading);
            let Some(value) = sample.object.get(member) else {
                assert!(kind.ends_with(OR_ABSENT), "{said}: it may be absent");
                continue;
            };
            assert!(is_of(value, kind, &documented) || (value.is_null() && kind.ends_with(OR_NULL)), "{said}: {value}");
            let is_lacking = |other: &Sample| other.heading == sample.heading && !other.object.contains_key(member);
            if sample.print.is_some() && !samples.iter().any(is_lacking) {
                let end = [OR_NULL, OR_ABSENT].into_iter().find(|end| kind.ends_with(end)).unwrap_or_default();
                assert_eq!(sample.when_none(member), end, "{said}");
            }
        }
    }
}
