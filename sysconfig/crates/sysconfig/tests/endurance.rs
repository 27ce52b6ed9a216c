//! The same again and again: nothing grows.

mod common;

use common::{Bench, Daemon};
use serde_json::json;
use sysconfig_protocol::admin::Reload;
use test_judge::soak;

/// What a process holds.
#[derive(Debug, Clone, Copy)]
struct Process {
    descriptors: usize,
    threads: usize,
    resident_kib: usize,
}

impl Process {
    fn of(pid: impl std::fmt::Display) -> Self {
        let process = std::path::PathBuf::from(format!("/proc/{pid}"));
        Self {
            descriptors: count(process.join("fd")),
            threads: count(process.join("task")),
            resident_kib: kib(&process, "VmRSS:"),
        }
    }
}

/// A line of a process's status that is about memory.
fn kib(process: &std::path::Path, line: &str) -> usize {
    let status = std::fs::read_to_string(process.join("status")).unwrap();
    let found = status.lines().find_map(|found| found.strip_prefix(line)).unwrap();
    found.trim().trim_end_matches(" kB").parse().unwrap()
}

/// What a daemon and its plugin hold.
#[derive(Debug, Clone, Copy)]
struct Holdings {
    daemon: Process,
    plugin: Process,
    plugins: usize,
    files: usize,
}

fn count(path: impl AsRef<std::path::Path>) -> usize {
    std::fs::read_dir(path).map_or(0, Iterator::count)
}

fn files_below(path: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files_below(&entry.path()) } else { 1 }).sum()
}

fn holdings(daemon: &Daemon<'_>) -> Holdings {
    Holdings {
        daemon: Process::of(daemon.pid().as_raw_nonzero()),
        plugin: Process::of(daemon.plugin("a").pid.unwrap()),
        plugins: daemon.bench.plugin_processes().len(),
        files: files_below(&daemon.bench.path("state")),
    }
}

impl Holdings {
    /// Whether this is no more than was held before, apart from memory. There may be less: what was about to end at the
    /// first look is gone at the second. One file more is no growth: the journal begins a second one when the first is
    /// full, and a copy of a plugin that was exchanged is collected with the next exchange.
    fn is_within(&self, before: &Self) -> bool {
        let pairs = [(&self.daemon, &before.daemon), (&self.plugin, &before.plugin)];
        pairs.iter().all(|(now, before)| now.descriptors <= before.descriptors && now.threads <= before.threads)
            && self.plugins <= before.plugins
            && self.files <= before.files + 1
    }
}

/// Memory that two halves of a run may differ by without a leak, in KiB: 100 bytes for each of the 5000 rounds that lie
/// between them in a soak; in a short run what is still finding its size is more than that.
fn noise_kib() -> usize {
    if soak() { 500 } else { 2048 }
}

/// Looks at memory in each half of a run.
const SAMPLES: usize = 20;

/// Does something so often that growth would show, and compares what is held at the beginning and at the end, and the
/// memory of two halves: caches, rings and the allocator find their size in the rounds before, and a leak goes on. The
/// median of a half is not moved by a moment at which an old process or thread was still there.
fn nothing_grows(bench: &Bench, warm: usize, mut round: impl FnMut(&Daemon<'_>, usize)) {
    let half = if soak() { 5000 } else { 100 };
    let daemon = bench.start();
    (0..warm).for_each(|number| round(&daemon, number));
    daemon.wait_for("the first old processes to go", |daemon| daemon.bench.plugin_processes().len() == 1);
    let before = holdings(&daemon);
    let mut medians = Vec::new();
    for begin in [warm, warm + half] {
        let (mut of_daemon, mut of_plugin) = (Vec::new(), Vec::new());
        for number in begin..begin + half {
            round(&daemon, number);
            if (number - begin) % (half / SAMPLES) == 0 {
                let now = holdings(&daemon);
                of_daemon.push(now.daemon.resident_kib);
                of_plugin.push(now.plugin.resident_kib);
            }
        }
        medians.push([median(of_daemon), median(of_plugin)]);
    }
    daemon.wait_for(&format!("no more than {before:?} to be held"), |daemon| holdings(daemon).is_within(&before));
    for (who, first, second) in [("daemon", medians[0][0], medians[1][0]), ("plugin", medians[0][1], medians[1][1])] {
        assert!(second < first + noise_kib(), "{who}: {first} KiB became {second} KiB within {half} rounds");
    }
    daemon.stop();
}

fn median(mut samples: Vec<usize>) -> usize {
    samples.sort_unstable();
    samples[samples.len() / 2]
}

/// Configures what is wanted; a line of the log for every call is not what this is about.
fn configure(bench: &Bench, machine: &str) {
    bench.configure(machine);
    let config = std::fs::read_to_string(bench.path("sysconfig.toml")).unwrap();
    std::fs::write(bench.path("sysconfig.toml"), config.replace("\"trace\"", "\"info\"")).unwrap();
}

/// What makes a round weigh so much that a few that are kept would show, where there are only a few.
fn filler() -> String {
    "x".repeat(if soak() { 0 } else { 32 << 10 })
}

/// Rounds until what has a limit has reached it: events and lines of the log are remembered up to a number.
fn warm() -> usize {
    if soak() { 5000 } else { 100 }
}

#[test]
fn applies_leave_nothing_behind() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    configure(&bench, &bench.wants("a", &filler()));
    nothing_grows(&bench, warm(), |daemon, number| {
        std::fs::write(daemon.bench.path("a"), format!("spoilt {number}{}", filler())).unwrap();
        let report = daemon.apply();
        assert!(report.is_success() && report.plugins[0].steps.len() == 1, "{report:?}");
    });
}

#[test]
fn reloads_of_the_configuration_leave_nothing_behind() {
    let bench = Bench::new();
    bench.install("a", &json!({}));
    configure(&bench, &bench.wants("a", "text"));
    nothing_grows(&bench, warm(), |daemon, number| {
        configure(&bench, &bench.wants("a", &format!("text {number}{}", filler())));
        assert!(daemon.request(&Reload {}).unwrap().changed);
    });
}

#[test]
fn reloads_of_a_plugin_leave_nothing_behind() {
    let bench = Bench::new();
    bench.install("a", &json!({ "version": "0.0.0" }));
    configure(&bench, &bench.wants("a", &filler()));
    nothing_grows(&bench, if soak() { warm() } else { 10 }, |daemon, number| {
        let version = format!("1.{number}.0");
        daemon.bench.install("a", &json!({ "version": version }));
        daemon.wait_for_plugin("a", "the build", |plugin| plugin.version.as_ref() == Some(&version));
    });
}

/// All plugins of a path were in memory at the same time, one for each processor.
#[test]
fn large_plugins_take_no_memory_of_the_daemon() {
    const PADDING_KIB: usize = 16 << 10;
    let plugins = ["a", "b", "c", "d"];
    let peak = |padding_kib: usize| {
        let bench = Bench::new();
        for name in plugins {
            bench.install_padded(name, padding_kib << 10, &json!({}));
        }
        [(); 2].map(|()| {
            let daemon = bench.start();
            let peak = kib(&std::path::PathBuf::from(format!("/proc/{}", daemon.pid().as_raw_nonzero())), "VmHWM:");
            daemon.stop();
            peak
        })
    };
    let ([first_small, second_small], [first, second]) = (peak(0), peak(PADDING_KIB));
    assert!(first < first_small + PADDING_KIB * 3 / 2, "one new file at a time: {first_small} KiB became {first} KiB");
    assert!(second < second_small + PADDING_KIB / 2, "none that is known: {second_small} KiB became {second} KiB");
}
