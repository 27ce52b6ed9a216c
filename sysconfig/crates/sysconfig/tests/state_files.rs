//! Files of the state that cannot be read when the daemon starts: what they held is lost, and the machine must not be.

mod common;

use std::path::Path;

use common::Bench;
use common::confirming::{LONG_MS, apply_within, both, texts, two_plugins, want};
use sysconfig_protocol::admin::{Confirm, Health, History};

/// Puts something into the place of a file that not even root can read as one.
fn spoil(kind: &str, path: &Path) {
    drop(std::fs::remove_file(path));
    match kind {
        "directory" => std::fs::create_dir_all(path.join("in the way")).unwrap(),
        "loop" => std::os::unix::fs::symlink(path, path).unwrap(),
        "pipe" => {
            let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR);
            rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
        }
        // It has no blocks, and whoever read it would need the memory.
        "huge" => std::fs::File::create(path).unwrap().set_len(1 << 40).unwrap(),
        other => panic!("{other}"),
    }
}

/// The daemon ended, or waited for ever, so that a machine had no network for want of its history.
#[test]
fn history_that_cannot_be_read_is_moved_aside_and_keeps_nobody_from_work() {
    for (kind, cause) in [
        ("directory", "Is a directory"),
        ("loop", "Too many levels of symbolic links"),
        ("pipe", "no regular file"),
        ("huge", "too large"),
    ] {
        let bench = Bench::new();
        two_plugins(&bench).stop();
        for name in ["applied.json", "key.json", "journal.jsonl"] {
            spoil(kind, &bench.path("state").join(name));
        }
        want(&bench, "new");
        let daemon = bench.start();
        assert_eq!(texts(&bench), both("new"), "{kind}: {:?}", daemon.problems());
        let problems = daemon.problems().join("\n");
        for name in ["applied.json cannot be read", "key.json cannot be read", "the journal cannot be read"] {
            let told = problems.lines().find(|problem| problem.contains(name)).unwrap_or_else(|| panic!("{problems}"));
            assert!(told.contains(cause) && told.contains("is kept as"), "{kind}: {told}");
            assert!(daemon.log().contains(name), "{kind}: {}", daemon.log());
        }
        assert_eq!(daemon.status().health, Health::Ok, "{kind}: it warns only: {problems}");
        let history = daemon.request(&History { limit: None }).unwrap();
        assert_eq!(history.steps.len(), 2, "{kind}: what was done since is known");
        daemon.stop();
        for name in ["applied.json", "key.json", "journal.jsonl"] {
            let aside = bench.path("state").join(format!("{name}.damaged"));
            assert!(aside.symlink_metadata().is_ok(), "{kind}: {name}");
        }
        let daemon = bench.start();
        assert_eq!(daemon.problems(), Vec::<String>::new(), "{kind}");
        daemon.stop();
    }
}

/// Nobody knows what it said: a change may wait for its confirmation. The daemon is there, says so, and applies nothing by itself.
#[test]
fn a_confirmation_that_cannot_be_read_is_taken_for_no_confirmation() {
    for kind in ["directory", "loop", "pipe", "huge"] {
        let bench = Bench::new();
        let daemon = two_plugins(&bench);
        want(&bench, "new");
        apply_within(&daemon, LONG_MS);
        daemon.kill();
        let record = bench.path("state/confirmation.json");
        spoil(kind, &record);
        want(&bench, "newer");
        for _ in 0..2 {
            let daemon = bench.start();
            assert_eq!(texts(&bench), both("new"), "{kind}: nothing is applied by itself");
            let status = daemon.status();
            assert_eq!(status.health, Health::Degraded);
            let unread = status.problems.iter().find(|problem| problem.message.contains("cannot be read")).unwrap();
            assert!(unread.message.contains("confirmation.json"), "{unread:?}");
            let help = unread.help.as_ref().unwrap();
            assert!(help.starts_with("nothing is applied until somebody asks for it"), "{kind}: {help}");
            assert!(kind == "pipe" || help.contains("something else is in its place"), "{kind}: {help}");
            let lost = "a change that nobody has confirmed may be in force";
            assert!(daemon.problems().join("\n").contains(lost), "{kind}: {:?}", daemon.problems());
            let error = daemon.request(&Confirm {}).unwrap_err();
            assert!(error.advice().unwrap().contains("the record of one may be lost"), "{kind}: {error:?}");
            daemon.stop();
        }
        assert!(bench.log().contains("confirmation.json cannot be read"), "{kind}: {}", bench.log());
        let daemon = bench.start();
        assert!(daemon.apply().is_success(), "{kind}");
        assert_eq!(texts(&bench), both("newer"));
        if kind == "directory" {
            let told = daemon.problems().join("\n");
            assert!(told.contains("which were undone, is not remembered: cannot remove"), "{told}");
            std::fs::remove_dir_all(&record).unwrap();
        } else {
            assert!(bench.path("state/confirmation.json.damaged").symlink_metadata().is_ok(), "{kind}");
        }
        daemon.wait_for("the record", |daemon| !daemon.problems().join("\n").contains("not remembered"));
        daemon.stop();
        let daemon = bench.start();
        assert_eq!(daemon.problems(), Vec::<String>::new(), "{kind}");
        daemon.stop();
    }
}
