//! The plugin with the real kernel, the real `mkswap`, `swapon` and `swapoff`.
//!
//! The test starts this very program again as `other_process`, in new mount and process namespaces with a private `/etc`
//! and `/var/lib/sysconfig`. Swap has no namespace, so the areas are small, lie in a directory of the test's own, and are
//! taken out of use whatever happens. Only root may do this, and only where the kernel lets files be swapped to; else
//! the test is a visible skip.

use plugin_testing::namespace::{self, sh};
use process_runner::Command;
use serde_json::Value;
use std::path::Path;
use sysconfig_platform::{Host, swap};
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin_swap::SwapPlugin;

/// The variable that names the directory in which `other_process` works.
const DIRECTORY: &str = "PRIVILEGED_DIRECTORY";

/// Takes every area of a directory out of use, also when the test has failed or its process was killed.
struct Guard<'a>(&'a Path);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let used = std::fs::read_to_string(swap::PROC_SWAPS).unwrap_or_default();
        let ours = swap::parse_proc_swaps(&used).into_iter().filter(|area| Path::new(&area.path).starts_with(self.0));
        for area in ours {
            let _ = Command::new("swapoff").arg(&area.path).run_any();
        }
    }
}

#[test]
fn privileged_swap_file_of_changing_size() {
    let needs = [("mkswap", "util-linux"), ("swapon", "mount")];
    if needs.iter().any(|(program, package)| test_judge::find(program, package).is_none()) {
        return;
    }
    // Not where temporary files lie in memory, or on an overlay.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let _guard = Guard(directory.path());
    let probe = directory.path().join("probe");
    let script = format!("fallocate -l 1M {0}; chmod 600 {0}; mkswap {0}; swapon {0}; swapoff {0}", probe.display());
    let probed = Command::new("/bin/sh").args(["-ec", &script]).run_any().unwrap();
    if !probed.success() {
        test_judge::lack("this kernel swaps to no files here");
        return;
    }
    namespace::run("swap", &[], &needs, &[(DIRECTORY, directory.path().as_os_str())]);
}

/// No test, but the process that the test starts.
#[test]
#[ignore = "the other test starts it, in a namespace"]
fn other_process() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    sh(&format!(
        "mkdir -p {directory}/etc /var/lib/sysconfig
        mount -t tmpfs none /var/lib/sysconfig
        printf 'theirs  none\\tswap sw 0 0 # mine\\n' > {directory}/etc/fstab
        mount --bind {directory}/etc /etc"
    ));
    let before = std::fs::read_to_string("/etc/fstab").unwrap();
    let mut harness = Harness::start(SwapPlugin::new(Host::current().unwrap()));
    let path = format!("{directory}/swap");
    let text = format!("[[storage.swap]]\nfile = \"{path}\"\nsize = \"2 MiB\"\npriority = 3\n");
    converge(&mut harness, &text);
    let used = || swap::areas(&Host::current().unwrap()).unwrap().into_iter().find(|area| area.path == path);
    assert_eq!(used().map(|area| (area.bytes, area.priority)), Some(((2 << 20) - 4096, Some(3))));
    assert_eq!(std::fs::read_to_string("/etc/fstab").unwrap(), format!("{before}{path}\tnone\tswap\tpri=3\t0\t0\n"));
    // The row is judged by the program that reads it at boot.
    sh(&format!("swapoff {path}; swapon --all --ifexists || true"));
    assert_eq!(converge(&mut harness, &text), [""; 0], "what the row does is what was asked for");
    converge(&mut harness, &text.replace("2 MiB", "4 MiB"));
    assert_eq!(used().map(|area| area.bytes), Some((4 << 20) - 4096));
    // Swapped off behind our back, and used again.
    sh(&format!("swapoff {path}"));
    assert_eq!(converge(&mut harness, &text.replace("2 MiB", "4 MiB")), [format!("use {path} as swap")]);
    converge(&mut harness, "[storage]\nswap = []\n");
    assert_eq!((used(), std::fs::read_to_string("/etc/fstab").unwrap()), (None, before));
    assert!(Path::new(&path).exists(), "the file is kept");
    let absent = format!("[[storage.swap]]\nfile = \"{path}\"\nabsent = true\nallow-destructive = true\n");
    converge(&mut harness, &absent);
    assert!(!Path::new(&path).exists());
}

fn config(text: &str) -> Value {
    plugin_testing::config(text, &["storage.swap"])
}

fn converge(harness: &mut Harness, text: &str) -> Vec<String> {
    assert_eq!(harness.validate(config(text)), [], "{text}");
    harness.configure(config(text));
    let converged = harness.converge().unwrap_or_else(|error| panic!("{text}\n{error:?}"));
    assert_eq!(converged.diagnostics, [], "{text}");
    assert_eq!(harness.plan().unwrap(), [], "{text}");
    converged.steps.into_iter().map(|(step, _)| step.summary).collect()
}
