//! There already, but different: each case ends in the right plan, or in the right refusal, on both systems. Linux wants a
//! header on what is to be swap, which is a step more, and has no volumes with keys to throw away.

mod devices;
mod files;
mod volumes;

use crate::support::{Fixture, illumos, linux_with_zfs};
use sysconfig_platform::System;
use sysconfig_platform::fake::storage::Storage;
use sysconfig_plugin::Risk;

const GIB: u64 = 1 << 30;

struct Case {
    what: &'static str,
    setup: fn(&mut Storage),
    config: &'static str,
    /// Each step: its risk and the beginning of its line, with the paths of illumos.
    plan: Plan,
    linux: OnLinux,
}

type Plan = &'static [(Risk, &'static str)];

/// How Linux differs.
enum OnLinux {
    Same,
    /// The steps there.
    Steps(Plan),
    /// It has no such thing, and says so when it is configured.
    None,
}
/// The same with the paths of a system.
fn of(system: System, text: &str) -> String {
    match system {
        System::Illumos => text.to_owned(),
        System::Linux => {
            let text = text
                .replace("/dev/zvol/dsk/", "/dev/zvol/")
                .replace("/dev/dsk/c1t0d0s1", "/dev/disk/by-partlabel/swap");
            text.replace(" - - swap - no -", " none swap sw 0 0")
        }
    }
}

fn planned(fixture: &mut Fixture, config: &str) -> Vec<(Risk, String)> {
    fixture.plan(config).into_iter().map(|step| (step.risk, step.summary)).collect()
}

fn check(case: &Case, mut fixture: Fixture) {
    let system = fixture.host.system();
    let (about, config) =
        (format!("{} on {system}", case.what), of(system, &format!("[[storage.swap]]\n{}", case.config)));
    let plan = match (&case.linux, system) {
        (OnLinux::Steps(plan), System::Linux) => plan,
        (OnLinux::None, System::Linux) => {
            let found = fixture.harness.validate(crate::support::config(&config));
            return assert!(found.iter().any(sysconfig_plugin::Diagnostic::is_error), "{about}: {found:?}");
        }
        _ => case.plan,
    };
    fixture.machine.storage(case.setup);
    let planned = planned(&mut fixture, &config);
    assert_eq!(planned.len(), plan.len(), "{about}: {planned:#?}");
    for ((risk, summary), (wanted, begin)) in planned.iter().zip(plan) {
        assert!(risk == wanted && summary.starts_with(&of(system, begin)), "{about}: {planned:#?}");
    }
    // Without the second permission nothing that is there changes, and what is allowed comes about.
    let before = fixture.machine.storage(|storage| storage.datasets.clone());
    let steps = fixture.plan(&config);
    for step in steps.iter().filter(|step| step.action == "leave") {
        let error = fixture.harness.apply(step).unwrap_err();
        assert!(!error.data.unwrap().help.unwrap_or_default().is_empty(), "{about}: no way out is named");
    }
    assert_eq!(fixture.machine.storage(|storage| storage.datasets.clone()), before);
    if planned.iter().all(|(_, summary)| !summary.starts_with("leave")) {
        fixture.converge_up_to(&config, Risk::Destructive);
    }
}

fn check_all(cases: &[Case]) {
    for case in cases {
        check(case, illumos());
        check(case, linux_with_zfs());
    }
}
