//! What people see, as snapshots.

use crate::support::{NOW, apply_report, busy_status, plan_report, plugins_report, undo_report};
use sysconfig_protocol::admin::{Activity, Health};
use sysconfigctl::render;

#[test]
fn status_of_a_degraded_daemon() {
    insta::assert_snapshot!(render::status(&busy_status(), false, NOW));
}

#[test]
fn status_explained() {
    insta::assert_snapshot!(render::status(&busy_status(), true, NOW));
}

#[test]
fn status_when_all_is_well() {
    let mut report = busy_status();
    report.health = Health::Ok;
    report.activity = Activity::Idle;
    report.config.rejected = None;
    report.last_cycle = None;
    report.problems.clear();
    report.plugins.clear();
    insta::assert_snapshot!(render::status(&report, false, NOW));
}

#[test]
fn plugins() {
    insta::assert_snapshot!(render::plugins(&plugins_report(), NOW));
}

#[test]
fn plan() {
    insta::assert_snapshot!(render::plan(&plan_report()));
}

#[test]
fn plan_with_nothing_to_do() {
    let mut report = plan_report();
    report.plugins.retain(|plugin| plugin.plugin == "swap");
    report.problems.clear();
    assert_eq!(render::plan(&report), "Nothing to do: the machine is as configured.\n");
}

#[test]
fn a_warning_does_not_hide_that_there_is_nothing_to_do() {
    let mut report = plan_report();
    report.plugins.retain(|plugin| plugin.plugin == "hostname");
    report.plugins[0].steps.clear();
    report.problems.clear();
    let text = render::plan(&report);
    assert!(text.contains("the name is odd") && text.contains("Nothing to do"), "{text}");
}

#[test]
fn apply() {
    insta::assert_snapshot!(render::apply(&apply_report(), NOW));
}

#[test]
fn apply_as_a_dry_run() {
    let mut report = apply_report();
    report.dry_run = true;
    report.plugins.truncate(1);
    for step in &mut report.plugins[0].steps {
        step.result = sysconfig_protocol::admin::StepResult::NotRun;
        step.error = None;
    }
    insta::assert_snapshot!(render::apply(&report, NOW));
}

#[test]
fn apply_to_be_confirmed() {
    let mut report = apply_report();
    report.confirm_by_unix_ms = Some(NOW + 60_000);
    let text = render::apply(&report, NOW);
    assert!(text.contains("is undone in 60 s unless you keep it: sysconfigctl confirm"), "{text}");
}

#[test]
fn undo() {
    insta::assert_snapshot!(render::undo(&undo_report()));
}
