//! The document of the JSON answers names their members, all of them and no others.

use crate::support::sysconfigctl;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use sysconfig_protocol::admin::{
    Activity, AppliedStep, ApplyReport, ConfigStatus, ConfirmReport, Confirmation, CycleReport, EventsReport, Failure,
    Happening, HappeningKind, Health, HistoryReport, LogLine, LogsReport, PastStep, Paths, Place, PlanReport,
    PluginApply, PluginPlan, PluginReload, PluginState, PluginStatus, PluginsReport, Pong, Problem, ReloadReport,
    ReloadResult, StatusReport, StepResult, UndoReport, UndoneStep,
};
use sysconfig_protocol::{Diagnostic, Digest, FieldChange, Level, Risk, Severity, Step};

type Members = BTreeMap<String, BTreeSet<String>>;

fn text() -> String {
    "x".to_owned()
}

fn some() -> Option<String> {
    Some(text())
}

/// Members of objects, by the heading that they are documented under. Every struct is written out, so that a new member does
/// not compile before it is here.
fn of_the_daemon() -> Vec<(&'static str, Value)> {
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
        ("Ping", value(&Pong { version: text(), pid: 1 })),
        ("Status", value(&status)),
        ("Paths", value(&paths())),
        ("Activity", value(&activity())),
        ("Activity", value(&Activity::Busy { doing: text(), since_unix_ms })),
        ("Activity", value(&Activity::Idle)),
        ("Config", value(&config())),
        ("Cycle", value(&cycle())),
        ("Confirmation", value(&confirmation())),
        ("Problem", value(&problem())),
        ("Place", value(&place())),
        ("Plugins", value(&PluginsReport { path: vec![text()], hot_reload: true, plugins: vec![plugin()] })),
        ("Plugin", value(&plugin())),
        ("Plugin reload", value(&reload())),
        ("Plan", value(&plan)),
        ("Planned part", value(&planned())),
        ("Step", value(&step())),
        ("Change", value(&change())),
        ("Finding", value(&finding())),
        ("Failure", value(&failure())),
        ("Apply", value(&apply())),
        ("Applied part", value(&applied_part())),
        ("Applied step", value(&applied_step())),
        ("Confirm", value(&ConfirmReport { steps: 1 })),
        ("Undo", value(&UndoReport { steps: vec![undone()] })),
        ("Undone step", value(&undone())),
        ("Reload", value(&reloaded)),
        ("Events", value(&EventsReport { events: vec![happening()], last: 1 })),
        ("Event", value(&happening())),
        ("Logs", value(&LogsReport { lines: vec![line()], last: 1 })),
        ("Line", value(&line())),
        ("History", value(&HistoryReport { steps: vec![past()] })),
        ("Past step", value(&past())),
    ]
}

fn value(printed: &impl Serialize) -> Value {
    serde_json::to_value(printed).unwrap()
}

/// What is printed without a daemon.
fn of_the_program() -> Vec<(&'static str, Value)> {
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
        ("Config check", checked.clone()),
        ("Checked files", checked["checked"][0].clone()),
        ("Doctor", doctor.clone()),
        ("Check", doctor["checks"][0].clone()),
        ("Shown key", run(&["config", "show", &file])["system.hostname"].clone()),
        ("New plugin", run(&["plugin", "new", "ntp", "--checkout", &path("")])),
        ("Error", run(&["ping"])["error"].clone()),
    ]
}

/// The first column of each table, by heading.
fn documented() -> Members {
    let document = include_str!("../../../../../docs/formats/admin-protocol.md");
    let mut members = Members::new();
    for section in document.split("\n## ").skip(1) {
        let (heading, rest) = section.split_once('\n').unwrap();
        let rows = rest.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        members.insert(heading.to_owned(), rows.map(|(member, _)| member.to_owned()).collect());
    }
    members
}

#[test]
fn every_member_of_every_answer_is_documented_and_nothing_else_is() {
    let mut members = Members::new();
    for (heading, object) in of_the_daemon().into_iter().chain(of_the_program()) {
        let names = object.as_object().unwrap_or_else(|| panic!("{heading}: {object}")).keys().cloned();
        members.entry(heading.to_owned()).or_default().extend(names);
    }
    assert_eq!(members, documented());
}
