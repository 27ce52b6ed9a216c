//! The plugin's process ends at every command, at every change of a file and of the kernel's name; then another one goes on.

use plugin_testing::stopped;
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use sysconfig_platform::fake::Machine;
use sysconfig_platform::{Host, System, hostname};
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin_hostname::HostnamePlugin;
use tempfile::TempDir;

fn start(system: System, from: &str) -> (TempDir, Host) {
    let (directory, host, _) = Machine::start(system);
    let hosts = if system == System::Illumos { "/etc/inet/hosts" } else { "/etc/hosts" };
    fs::write(host.root.locate(hosts), "127.0.0.1 localhost\n192.0.2.1 gateway # office\n").unwrap();
    fs::write(host.root.locate(hostname::persistent_path(system)), "# by the installer\ninstalled\n").unwrap();
    if !from.is_empty() {
        converge(&host, from);
    }
    (directory, host)
}

fn converge(host: &Host, name: &str) {
    let mut harness = Harness::start(HostnamePlugin::new(host.clone()));
    harness.configure(json!({ "system.hostname": name }));
    assert_eq!(harness.converge().unwrap().diagnostics, []);
    assert_eq!(harness.plan().unwrap(), [], "the second plan is empty");
}

/// The name that runs, and the files.
fn state(host: &Host) -> (String, Vec<(String, Vec<u8>)>) {
    let directories = ["/etc", "/etc/inet"].map(|path| host.root.locate(path));
    let entries = directories.iter().flat_map(|directory| fs::read_dir(directory).into_iter().flatten().flatten());
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    let mut files: Vec<_> =
        files.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect();
    files.sort();
    (hostname::running(host).unwrap(), files)
}

#[test]
fn after_a_stop_anywhere_the_next_apply_converges() {
    for system in [System::Linux, System::Illumos] {
        for (from, to) in [("", "dev"), ("dev", "other.example.org"), ("dev", "gateway")] {
            let (_directory, whole) = start(system, from);
            converge(&whole, to);
            let expected = state(&whole);
            let kinds = stopped::everywhere(|places| {
                let (_directory, host) = start(system, from);
                let config = json!({ "system.hostname": to });
                let stopped = stopped::apply(HostnamePlugin::new, &host, &config, places)?;
                converge(&host, to);
                assert_eq!(state(&host), expected, "{system}, from {from} to {to}, stopped at {places}: {stopped}");
                Some(stopped)
            });
            assert_eq!(kinds, BTreeSet::from(["persist", "rows", "run"].map(str::to_owned)), "{system}");
        }
    }
}
