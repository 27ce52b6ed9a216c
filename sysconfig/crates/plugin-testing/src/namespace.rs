//! Tests with the real kernel: each starts its own program again as a test that does nothing by itself, in mount and process
//! namespaces of its own, so that nothing of the machine that runs the tests is touched, and what was made ends with them.

use process_runner::Command;
use std::time::Duration;

/// The variable that tells the other process what to do.
pub const SCENARIO: &str = "PRIVILEGED_SCENARIO";
/// What the other process says when the kernel has not what it needs.
const LACKS: &str = "THE KERNEL LACKS ";
/// How long a script, and a scenario, may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(120);
const SCENARIO_PATIENCE: Duration = Duration::from_secs(600);
const UNSHARE: [&str; 6] = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation"];

/// Runs the scenario of this name as `other_process`, in these namespaces and those that `flags` of `unshare` add, with some
/// more variables, when there are the programs that it needs; or says why not.
///
/// # Panics
/// When the scenario fails.
pub fn run(scenario: &str, flags: &[&str], needs: &[(&str, &str)], variables: &[(&str, &std::ffi::OsStr)]) {
    let always = [("unshare", "util-linux"), ("mount", "mount")];
    if always.iter().chain(needs).any(|(program, package)| test_judge::find(program, package).is_none()) {
        return;
    }
    let allowed = Command::new("unshare").args(UNSHARE).arg("private").args(flags).arg("true").run_any();
    if !allowed.is_ok_and(|output| output.success()) {
        return test_judge::skip("namespaces need root");
    }
    // The shell is the init of its namespace, and takes leave of what the scenario has started.
    let mut command = Command::new("unshare")
        .args(UNSHARE)
        .arg("private")
        .args(flags)
        .args(["sh", "-c", "\"$@\"; status=$?; exit $status", "sh"])
        .arg(std::env::current_exe().expect("a program knows where it is"))
        .args(["--exact", "other_process", "--ignored", "--nocapture"])
        .env(SCENARIO, scenario)
        .deadline(SCENARIO_PATIENCE);
    for (name, value) in variables {
        command = command.env(name, value);
    }
    let output = command.run_any().expect("the process starts and ends");
    let said = format!("{}{}", output.stdout_text(), output.stderr_text());
    if let Some((_, what)) = said.split_once(LACKS) {
        return test_judge::lack(&format!("this kernel has no {}", what.lines().next().unwrap_or_default()));
    }
    assert!(output.success() && said.contains("1 passed"), "{scenario}:\n{said}");
}

/// The scenario that this process is to run; none when it is not such a process.
#[must_use]
pub fn scenario() -> Option<String> {
    std::env::var(SCENARIO).ok()
}

/// Ends the scenario, because the kernel has no `what`; the test tells it, and does not fail.
///
/// # Panics
/// Always.
pub fn lacks(what: &str) -> ! {
    panic!("{LACKS}{what}");
}

/// Runs a script that must succeed; answers its words.
///
/// # Panics
/// When it fails.
pub fn sh(script: &str) -> String {
    let output = Command::new("/bin/sh").args(["-ec", script]).deadline(PATIENCE).run_any().expect("there is a shell");
    assert!(output.success(), "{script}\n{}{}", output.stdout_text(), output.stderr_text());
    output.stdout_text()
}
