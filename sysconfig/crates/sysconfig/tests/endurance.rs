//! The same again and again: nothing grows.

mod common;

use common::{Bench, Daemon};
use serde_json::json;
use sysconfig_protocol::admin::Reload;
use test_judge::soak;

/// What a daemon holds.
#[derive(Debug, Clone, Copy)]
struct Holdings {
    descriptors: usize,
    threads: usize,
    plugins: usize,
    files: usize,
    resident_kib: usize,
}

fn count(path: impl AsRef<std::path::Path>) -> usize {
    std::fs::read_dir(path).map_or(0, Iterator::count)
}

fn files_below(path: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files_below(&entry.path()) } else { 1 }).sum()
}

fn holdings(daemon: &Daemon<'_>) -> Holdings {
    let process = std::path::PathBuf::from(format!("/proc/{}", daemon.pid().as_raw_nonzero()));
    let status = std::fs::read_to_string(process.join("status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    Holdings {
        descriptors: count(process.join("fd")),
        threads: count(process.join("task")),
        plugins: daemon.bench.plugin_processes().len(),
        files: files_below(&daemon.bench.path("state")),
        resident_kib: resident.trim().trim_end_matches(" kB").parse().unwrap(),
    }
}

impl Holdings {
    /// Whether this is no more than was held before. There may be less: what was about to end at the first look is gone at
    /// the second. One file more is no growth: the journal begins a second one when the first is full, and a copy of a
    /// plugin that was exchanged is collected with the next exchange.
    fn is_within(&self, before: &Self) -> bool {
        self.descriptors <= before.descriptors
            && self.threads <= before.threads
            && self.plugins <= before.plugins
            && self.files <= before.files + 1
    }
}

/// What the daemon holds once the threads, processes and copies that were about to go are gone.
fn settled(daemon: &Daemon<'_>, before: &Holdings) -> Holdings {
    daemon.wait_for(&format!("no more than {before:?} to be held"), |daemon| holdings(daemon).is_within(before));
    holdings(daemon)
}

/// Does something so often that growth would show, and compares what the daemon holds before and after.
fn nothing_grows(bench: &Bench, mut round: impl FnMut(&Daemon<'_>, usize)) {
    let rounds = if soak() { 10_000 } else { 200 };
    let daemon = bench.start();
    // Buffers find their size, and the ring of log lines is filled.
    let warm = rounds / 2;
    (0..warm).for_each(|number| round(&daemon, number));
    let before = holdings(&daemon);
    (warm..warm + rounds).for_each(|number| round(&daemon, number));
    let after = settled(&daemon, &before);
    assert!(after.resident_kib < before.resident_kib + 4096, "{before:?} became {after:?}");
    daemon.stop();
}

#[test]
fn applies_leave_nothing_behind() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    bench.configure(&bench.wants("a", "text"));
    // A line of the log for every call is not what this is about.
    let config = std::fs::read_to_string(bench.path("sysconfig.toml")).unwrap();
    std::fs::write(bench.path("sysconfig.toml"), config.replace("\"trace\"", "\"info\"")).unwrap();
    nothing_grows(&bench, |daemon, number| {
        std::fs::write(daemon.bench.path("a"), format!("spoilt {number}")).unwrap();
        let report = daemon.apply();
        assert!(report.is_success() && report.plugins[0].steps.len() == 1, "{report:?}");
    });
}

#[test]
fn reloads_of_the_configuration_leave_nothing_behind() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    bench.configure(&bench.wants("a", "text"));
    nothing_grows(&bench, |daemon, number| {
        bench.configure(&bench.wants("a", &format!("text {number}")));
        assert!(daemon.request(&Reload {}).unwrap().changed);
    });
}

#[test]
fn reloads_of_a_plugin_leave_nothing_behind() {
    let bench = Bench::new();
    bench.install("a", &json!({ "version": "0.0.0" }));
    bench.configure(&bench.wants("a", "text"));
    let rounds = if soak() { 10_000 } else { 200 };
    let daemon = bench.start();
    let mut reload = |number: usize| {
        let version = format!("{number}.0.0");
        bench.install("a", &json!({ "version": version }));
        daemon.wait_for_plugin("a", "the build", |plugin| plugin.version.as_ref() == Some(&version));
    };
    (1..4).for_each(&mut reload);
    daemon.wait_for("the first old processes to go", |daemon| daemon.bench.plugin_processes().len() == 1);
    let before = holdings(&daemon);
    (4..4 + rounds).for_each(&mut reload);
    let after = settled(&daemon, &before);
    assert!(after.resident_kib < before.resident_kib + 16_384, "{before:?} became {after:?}");
    daemon.stop();
}
