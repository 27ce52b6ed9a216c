//! What the service manager says.

use std::time::Duration;

use process_runner::Command;

use super::{Check, Verdict};

/// Long enough for a service manager on an emulated machine.
const DEADLINE: Duration = Duration::from_secs(10);

/// The service of the daemon, and that of the share that plugins come from.
pub(super) fn service() -> Vec<Check> {
    if cfg!(any(target_os = "illumos", target_os = "solaris")) {
        let share = "svc:/system/dev-9p-mount:default";
        let daemon = "svc:/system/installer/sysconfig:default";
        return [share, daemon].into_iter().filter_map(smf).collect();
    }
    ["dev-9p-mount.service", "sysconfig.service"].into_iter().filter_map(systemd).collect()
}

/// `svcs -H -o state` prints the state, and fails for a service that does not exist.
fn smf(fmri: &str) -> Option<Check> {
    let state = say("/usr/bin/svcs", &["-H", "-o", "state", fmri])?;
    let is_known = !state.is_empty();
    is_known.then(|| judge(fmri, &state, "online", &format!("svcs -xv {fmri}")))
}

/// `systemctl show` answers for units that do not exist, too, and says so.
fn systemd(unit: &str) -> Option<Check> {
    let state = say("systemctl", &["show", "--property=LoadState,ActiveState", "--value", unit])?;
    let mut lines = state.lines();
    let (load, active) = (lines.next()?, lines.next()?);
    (load == "loaded").then(|| judge(unit, active, "active", &format!("systemctl status {unit}")))
}

fn judge(service: &str, state: &str, good: &str, help: &str) -> Check {
    let what = format!("service {service}");
    match state {
        state if state == good => Check::fine(what, state),
        "disabled" | "inactive" => Check::new(what, Verdict::Odd, state).help(help),
        state => Check::wrong(what, state).help(help),
    }
}

/// The first lines that a program prints; none when it is not there, or fails without a word.
pub(super) fn say(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).env("LC_ALL", "C").deadline(DEADLINE).run_any().ok()?;
    Some(output.stdout_text().trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_service_that_was_not_wanted_is_merely_odd() {
        for (state, verdict) in [
            ("active", Verdict::Fine),
            ("inactive", Verdict::Odd),
            ("failed", Verdict::Wrong),
            ("activating", Verdict::Wrong),
        ] {
            assert_eq!(judge("x", state, "active", "look").verdict, verdict, "{state}");
        }
        assert_eq!(judge("x", "maintenance", "online", "svcs -xv x").help.as_deref(), Some("svcs -xv x"));
    }
}
