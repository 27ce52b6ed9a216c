//! The namespace, and what is needed to look into it.

use process_runner::Command;
use serde_json::{Value, json};
use std::time::Duration;
use sysconfig_platform::Host;
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin_filesystem::FilesystemPlugin;

/// The variable that tells `other_process` what to do.
pub(crate) const SCENARIO: &str = "PRIVILEGED_SCENARIO";
/// What the kernel says when it has no such file system.
const UNKNOWN: &str = "THE KERNEL LACKS ";

/// Runs a scenario in new namespaces, or says why not.
pub(crate) fn run(scenario: &str, needs: &[(&str, &str)]) {
    let always = [("unshare", "util-linux"), ("mount", "mount")];
    if always.iter().chain(needs).any(|(program, package)| test_judge::find(program, package).is_none()) {
        return;
    }
    let namespaces = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"];
    let allowed = Command::new("unshare").args(namespaces).arg("true").run_any();
    if !allowed.is_ok_and(|output| output.success()) {
        test_judge::skip("mount namespaces need root");
        return;
    }
    let output = Command::new("unshare")
        .args(namespaces)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "other_process", "--ignored", "--nocapture"])
        .env(SCENARIO, scenario)
        .deadline(Duration::from_secs(300))
        .run_any()
        .unwrap();
    let said = format!("{}{}", output.stdout_text(), output.stderr_text());
    if let Some((_, what)) = said.split_once(UNKNOWN) {
        test_judge::lack(&format!("this kernel has no {}", what.lines().next().unwrap_or_default()));
        return;
    }
    assert!(output.success() && said.contains("1 passed"), "{scenario}:\n{said}");
}

/// Ends the scenario when the kernel has no such file system, or no loop devices.
pub(crate) fn needs_filesystem(name: &str) {
    let known = std::fs::read_to_string("/proc/filesystems").unwrap();
    let is_known = known.lines().any(|line| line.split_whitespace().last() == Some(name));
    // A module may still be found when it is asked for.
    let loads =
        || Command::new("/bin/sh").args(["-c", &format!("modprobe {name}")]).run_any().is_ok_and(|o| o.success());
    assert!(is_known || loads(), "{UNKNOWN}{name}");
    let has_loops =
        Command::new("/bin/sh").args(["-c", "losetup --find"]).run_any().is_ok_and(|output| output.success());
    assert!(has_loops, "{UNKNOWN}loop devices");
}

pub(crate) fn sh(script: &str) -> String {
    let output = Command::new("/bin/sh").args(["-ec", script]).deadline(Duration::from_secs(60)).run_any().unwrap();
    assert!(output.success(), "{script}\n{}{}", output.stdout_text(), output.stderr_text());
    output.stdout_text()
}

/// Private places take the place of what the plugin writes to.
pub(crate) fn build() -> Harness {
    sh("mount -t tmpfs none /mnt
        mkdir -p /mnt/etc /mnt/w /var/lib/sysconfig
        mount -t tmpfs none /var/lib/sysconfig
        printf 'theirs  /theirs\\text4 ro 0 0 # mine\\n' > /mnt/etc/fstab
        mount --bind /mnt/etc /etc");
    Harness::start(FilesystemPlugin::new(Host::current().unwrap()))
}

pub(crate) fn config(text: &str) -> Value {
    let document: Value = toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    json!({ "storage.mount": document["storage"]["mount"] })
}

/// Applies, and checks that nothing is left to do; answers the lines of the steps.
pub(crate) fn converge(harness: &mut Harness, text: &str) -> Vec<String> {
    assert_eq!(harness.validate(config(text)), [], "{text}");
    harness.configure(config(text));
    let converged =
        harness.converge().unwrap_or_else(|error| panic!("{text}\n{error:?}\n{}", sh("cat /proc/self/mountinfo")));
    assert_eq!(converged.diagnostics, [], "{text}");
    assert_eq!(harness.plan().unwrap(), [], "{text}\n{}", sh("cat /proc/self/mountinfo"));
    converged.steps.into_iter().map(|(step, _)| step.summary).collect()
}
