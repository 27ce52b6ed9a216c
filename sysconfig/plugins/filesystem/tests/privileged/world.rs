//! The namespace, and what is needed to look into it.

use plugin_testing::namespace::{lacks, sh};
use process_runner::Command;
use serde_json::Value;
use sysconfig_platform::Host;
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin_filesystem::FilesystemPlugin;

/// Ends the scenario when the kernel has no such file system, or no loop devices.
pub(crate) fn needs_filesystem(name: &str) {
    let known = std::fs::read_to_string("/proc/filesystems").unwrap();
    let is_known = known.lines().any(|line| line.split_whitespace().last() == Some(name));
    // A module may still be found when it is asked for.
    let loads =
        || Command::new("/bin/sh").args(["-c", &format!("modprobe {name}")]).run_any().is_ok_and(|o| o.success());
    if !is_known && !loads() {
        lacks(name);
    }
    let has_loops =
        Command::new("/bin/sh").args(["-c", "losetup --find"]).run_any().is_ok_and(|output| output.success());
    if !has_loops {
        lacks("loop devices");
    }
}

/// Private places take the place of what the plugin writes to, and the machine's systemd is not told of them.
pub(crate) fn build() -> Harness {
    sh("mount -t tmpfs none /mnt
        mkdir -p /mnt/etc /mnt/w /var/lib/sysconfig
        mount -t tmpfs none /var/lib/sysconfig
        printf 'theirs  /theirs\\text4 ro 0 0 # mine\\n' > /mnt/etc/fstab
        mount --bind /mnt/etc /etc
        [ ! -d /run/systemd ] || mount -t tmpfs none /run/systemd");
    Harness::start(FilesystemPlugin::new(Host::current().unwrap()))
}

pub(crate) fn config(text: &str) -> Value {
    plugin_testing::config(text, &["storage.dataset", "storage.mount"])
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
