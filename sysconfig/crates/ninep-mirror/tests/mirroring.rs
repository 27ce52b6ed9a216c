//! What is copied, when, and what is left alone.

mod common;

use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, Instant};

use common::server::{T_GETATTR, T_LOPEN, T_READ, T_READDIR, T_WALK};
use common::share::{Content, Sent};
use common::{Bench, PATIENCE, RELEASE, path, round};
use ninep_mirror::mirror::MirrorError;

fn keys(bench: &Bench) -> Vec<String> {
    bench.files().into_keys().collect()
}

#[test]
fn tracked_files_and_executables_are_copied_and_nothing_else() {
    let bench = Bench::with_files();
    for name in ["untracked", "images/disk.raw", ".git/config", "sysconfig/target/release/deps/a"] {
        bench.share.file(name, "no");
    }
    bench.share.file(&format!("{RELEASE}/plugin-a.d"), "no");
    bench.share.executable(&format!("{RELEASE}/libx.d"), b"no");
    bench.share.executable("sysconfig/target/debug/plugin-a", b"no");
    bench.share.executable("sysconfig/target/x86_64-unknown-illumos/release/plugin-b", b"\x7fELF b");
    bench.share.host().put("pipe", Content::Pipe, 0o644);
    bench.share.track(&["README.md", "docs/guide.md", "docs/link", "pipe", "never-checked-out"]);
    let round = bench.round();
    let expected = [
        ("README.md", "read me"),
        ("docs/guide.md", "guide"),
        ("docs/link", "-> ../README.md"),
        ("sysconfig/target/release/plugin-a", "\x7fELF a"),
        ("sysconfig/target/x86_64-unknown-illumos/release/plugin-b", "\x7fELF b"),
    ];
    assert_eq!(bench.files(), expected.map(|(path, text)| (path.to_owned(), text.to_owned())).into());
    assert_eq!((round.files, round.problems, round.changes), (5, 0, 5));
    let metadata = |name: &str| std::fs::metadata(bench.destination().join(name)).unwrap();
    assert_eq!(metadata("README.md").permissions().mode() & 0o7777, 0o644);
    assert_eq!(metadata(&format!("{RELEASE}/plugin-a")).permissions().mode() & 0o7777, 0o755);
    let host = bench.share.host();
    let mtime = host.nodes["README.md"].mtime;
    assert_eq!((metadata("README.md").mtime() as u64, metadata("README.md").mtime_nsec()), (mtime.0, 5));
}

#[test]
fn what_has_not_changed_is_not_read_again() {
    let bench = Bench::with_files();
    let generation = bench.round().generation;
    let (mut mirror, mut session) = (bench.mirror(), bench.session());
    let first = round(&mut mirror, &mut session).unwrap();
    assert_eq!((first.changes, first.generation), (0, generation), "the records outlive the program");
    bench.share.count_requests(0);
    round(&mut mirror, &mut session).unwrap();
    assert_eq!(bench.share.count_requests(T_READ), 0, "neither files nor the index");
    bench.share.file("README.md", "READ ME");
    assert_eq!(round(&mut mirror, &mut session).unwrap().changes, 1);
    assert_eq!(bench.share.count_requests(T_READ), 1);
    assert_eq!(bench.files()["README.md"], "READ ME");
}

#[test]
fn a_change_is_one_whatever_it_leaves_the_same() {
    let bench = Bench::with_files();
    bench.round();
    let before = bench.share.host().nodes["README.md"].clone();
    // A file put back with its old time: cp -p, or an archive.
    bench.share.file("README.md", "me read");
    bench.share.host().nodes.get_mut("README.md").unwrap().mtime = before.mtime;
    bench.round();
    assert_eq!(bench.files()["README.md"], "me read");
    bench.share.host().nodes.get_mut("README.md").unwrap().mode = 0o755;
    bench.round();
    let mode = std::fs::metadata(bench.destination().join("README.md")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
}

#[test]
fn replacement_is_atomic_and_leaves_whoever_reads_the_old_file_alone() {
    let bench = Bench::with_files();
    bench.round();
    let mut old = std::fs::File::open(bench.destination().join("README.md")).unwrap();
    bench.share.file("README.md", "new");
    bench.round();
    let mut text = String::new();
    old.read_to_string(&mut text).unwrap();
    assert_eq!(text, "read me");
    assert_eq!(bench.files()["README.md"], "new");
}

#[test]
fn what_vanishes_is_removed_and_what_somebody_put_there_stays() {
    let bench = Bench::with_files();
    bench.round();
    std::fs::write(bench.destination().join("docs/notes"), "mine").unwrap();
    std::fs::write(bench.destination().join(format!("{RELEASE}/mine")), "mine").unwrap();
    bench.share.remove("docs");
    bench.share.remove(&format!("{RELEASE}/plugin-a"));
    bench.round();
    assert_eq!(keys(&bench), ["README.md", "docs/notes", "sysconfig/target/release/mine"]);
    std::fs::remove_file(bench.destination().join("docs/notes")).unwrap();
    bench.share.file("docs/guide.md", "again");
    bench.round();
    bench.share.track(&["README.md"]);
    bench.round();
    assert_eq!(keys(&bench), ["README.md", "sysconfig/target/release/mine"], "what is not tracked any more goes");
}

#[test]
fn cargo_clean_takes_the_executables_away() {
    let bench = Bench::with_files();
    bench.share.executable("sysconfig/target/x86_64-unknown-illumos/release/plugin-a", b"x");
    bench.round();
    bench.share.remove("sysconfig/target");
    bench.round();
    assert_eq!(keys(&bench), ["README.md", "docs/guide.md", "docs/link"], "and the directories");
}

#[test]
fn an_executable_that_becomes_something_else_is_none() {
    let bench = Bench::with_files();
    bench.round();
    bench.share.host().nodes.get_mut(&format!("{RELEASE}/plugin-a")).unwrap().mode = 0o644;
    bench.round();
    assert!(!bench.files().contains_key(&format!("{RELEASE}/plugin-a")));
}

#[test]
fn a_file_and_a_directory_change_places() {
    let bench = Bench::new();
    bench.share.file("a", "file");
    bench.share.file("b/c/d", "deep");
    bench.share.track(&["a", "b/c/d"]);
    bench.round();
    bench.share.remove("a");
    bench.share.remove("b");
    bench.share.file("a/x", "deep now");
    bench.share.file("b", "file now");
    bench.share.track(&["a/x", "b"]);
    let round = bench.round();
    assert_eq!(round.problems, 0, "{:?}", bench.log.take());
    assert_eq!(bench.files(), [("a/x", "deep now"), ("b", "file now")].map(|(k, v)| (k.into(), v.into())).into());
}

#[test]
fn a_file_that_is_being_written_is_copied_when_it_rests() {
    let bench = Bench::with_files();
    let plugin = format!("{RELEASE}/plugin-a");
    let (name, mut reads) = (plugin.clone(), 0);
    // A linker writes while the file is read, three times.
    bench.share.host().before = Some(Box::new(move |host, kind, path| {
        if kind == T_READ && path == name && reads < 3 {
            reads += 1;
            host.write_in_place(&name, format!("part {reads}").as_bytes());
        }
    }));
    bench.round();
    assert_eq!(bench.files()[&plugin], "part 3");
    let copies = bench.log.take().iter().filter(|line| line.contains("plugin-a")).count();
    assert_eq!(copies, 1, "nothing unfinished was ever in place");
}

#[test]
fn a_file_that_never_rests_is_told_and_keeps_nothing_else_waiting() {
    let mut bench = Bench::with_files();
    bench.plan.limits.patience = std::time::Duration::from_millis(300);
    bench.share.host().before = Some(Box::new(|host, kind, path| {
        if kind == T_GETATTR && path == "README.md" {
            host.write_in_place("README.md", b"a log");
        }
    }));
    let round = bench.round();
    assert_eq!((round.problems, round.changes), (1, 3));
    assert!(!bench.files().contains_key("README.md"));
    assert!(bench.log.take().contains(&"problem README.md: it keeps changing".to_owned()));
    bench.share.host().before = None;
    assert_eq!(bench.round().problems, 0);
}

#[test]
fn an_error_is_no_evidence_that_a_file_is_gone() {
    let bench = Bench::with_files();
    bench.round();
    let before = bench.files();
    for (kind, name, code) in [
        (T_WALK, "README.md", 13),
        (T_GETATTR, "docs/guide.md", 5),
        (T_READDIR, RELEASE, 5),
        (T_WALK, RELEASE, 13),
        (T_WALK, "sysconfig/target/release/plugin-a", 5),
    ] {
        bench.share.host().quirks.errors = vec![(kind, name.to_owned(), code)];
        let mut mirror = bench.mirror();
        let mut session = bench.session();
        let problems = round(&mut mirror, &mut session).unwrap().problems;
        assert!((1..=2).contains(&problems), "{kind} {name}: {:?}", bench.log.take());
        assert_eq!(bench.files(), before, "{kind} {name}");
        bench.share.host().quirks.errors.clear();
        assert_eq!(round(&mut mirror, &mut session).unwrap().problems, 0, "{kind} {name}: it is over");
    }
}

#[test]
fn what_cannot_be_listed_is_unknown_and_not_gone() {
    let mut bench = Bench::with_files();
    bench.plan.tracked_only = false;
    bench.round();
    let before = bench.files();
    for (kind, name, code) in [(T_READDIR, "docs", 5), (T_WALK, "docs", 13), (T_GETATTR, "docs/guide.md", 5)] {
        bench.share.host().quirks.errors = vec![(kind, name.to_owned(), code)];
        assert!(bench.round().problems > 0, "{kind} {name}");
        assert_eq!(bench.files(), before, "{kind} {name}");
    }
}

#[test]
fn a_file_that_is_away_for_a_moment_is_not_removed() {
    let bench = Bench::with_files();
    let (mut mirror, mut session) = (bench.mirror(), bench.session());
    round(&mut mirror, &mut session).unwrap();
    // cargo and git unlink a file before they make the new one, and the look falls in between.
    let old = bench.share.host().nodes.remove("README.md").unwrap();
    let mut looks = 0;
    bench.share.host().before = Some(Box::new(move |host, kind, path| {
        looks += usize::from(kind == T_WALK && path == "README.md");
        if looks == 2 {
            host.nodes.insert("README.md".to_owned(), old.clone());
        }
    }));
    round(&mut mirror, &mut session).unwrap();
    assert!(!bench.log.take().contains(&"removed README.md".to_owned()));
    assert_eq!(bench.files()["README.md"], "read me");
}

#[test]
fn another_share_or_an_empty_one_changes_nothing() {
    let mut bench = Bench::with_files();
    bench.plan.expected = Some(path("docs/guide.md"));
    let (mut mirror, mut session) = (bench.mirror(), bench.session());
    round(&mut mirror, &mut session).unwrap();
    let before = bench.files();
    for name in ["README.md", "docs", "sysconfig", ".git"] {
        bench.share.remove(name);
    }
    let error = round(&mut mirror, &mut session).unwrap_err();
    assert!(matches!(error, MirrorError::WrongShare { .. }), "{error}");
    assert_eq!(bench.files(), before);
    // Between two passes only the executables are looked at.
    mirror.look_at_executables(&mut session).unwrap();
    let give_up = Instant::now() + PATIENCE;
    let error = loop {
        assert!(Instant::now() < give_up, "the second look does not come");
        match mirror.settle(&mut session) {
            Ok(()) => std::thread::sleep(Duration::from_millis(2)),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, MirrorError::WrongShare { .. }), "{error}");
    assert_eq!(bench.files(), before);
}

#[test]
fn a_destination_that_is_taken_away_ends_the_round() {
    for own_only in [false, true] {
        let bench = Bench::with_files();
        let (mut mirror, mut session) = (bench.mirror(), bench.session());
        round(&mut mirror, &mut session).unwrap();
        let taken = bench.destination().join(if own_only { ".ninep-mirror" } else { "" });
        std::fs::rename(&taken, bench.directory.path().join("taken")).unwrap();
        std::fs::create_dir(&taken).unwrap();
        let error = round(&mut mirror, &mut session).unwrap_err();
        assert!(error.to_string().ends_with("repo was removed or replaced while the mirror ran"), "{error}");
        assert!(mirror.is_destination_gone());
        drop(mirror);
        bench.round();
        assert!(!bench.mirror().is_destination_gone(), "another start makes it anew");
        assert_eq!(bench.files()["README.md"], "read me");
    }
}

#[test]
fn wherever_the_server_breaks_off_the_next_round_completes_the_work() {
    // Several messages and restarts of the program are between any two states.
    let bench = Bench::with_files();
    bench.round();
    let complete = |bench: &Bench| {
        bench.share.host().mangle = None;
        let round = bench.round();
        assert_eq!(round.problems, 0);
        bench.files()
    };
    for broken_at in 0.. {
        bench.share.file("README.md", &format!("text {broken_at}"));
        bench.share.file(&format!("docs/new-{broken_at}"), "new");
        bench.share.remove(&format!("docs/new-{}", i64::from(broken_at) - 1));
        let new = format!("docs/new-{broken_at}");
        bench.share.track(&["README.md", "docs/guide.md", "docs/link", &new]);
        let mut left = broken_at;
        bench.share.host().mangle = Some(Box::new(move |_, reply| {
            left -= 1;
            if left < 0 { Sent::Close } else { Sent::Messages(vec![reply]) }
        }));
        let finished = bench.try_session().is_ok_and(|mut session| round(&mut bench.mirror(), &mut session).is_ok());
        let files = complete(&bench);
        assert_eq!(files["README.md"], format!("text {broken_at}"));
        let names: Vec<_> = files.keys().filter(|name| name.starts_with("docs/new")).collect();
        assert_eq!(names, [&new], "broken at request {broken_at}");
        if finished {
            assert!(broken_at > 30, "the server was broken at every request of a round");
            return;
        }
    }
}

#[test]
fn damaged_records_cost_copying_and_nothing_else() {
    let bench = Bench::with_files();
    bench.round();
    std::fs::write(bench.destination().join(".ninep-mirror/state"), "nonsense").unwrap();
    std::fs::write(bench.destination().join(".ninep-mirror/incoming"), "left by a killed mirror").unwrap();
    assert_eq!(bench.round().changes, 4);
    assert!(bench.log.take().iter().any(|line| line.contains("makes no sense")));
    assert_eq!(bench.round().changes, 0);
}

#[test]
fn what_was_changed_here_becomes_as_it_is_there() {
    let bench = Bench::with_files();
    bench.round();
    std::fs::write(bench.destination().join("README.md"), "changed here, perhaps cut by a crash").unwrap();
    std::fs::remove_file(bench.destination().join("docs/guide.md")).unwrap();
    assert_eq!(bench.round().changes, 2);
    assert_eq!(bench.files()["README.md"], "read me");
    assert_eq!(bench.files()["docs/guide.md"], "guide");
}

#[test]
fn what_stands_in_the_way_is_told_and_not_removed() {
    let bench = Bench::with_files();
    std::fs::create_dir_all(bench.destination().join("README.md/mine")).unwrap();
    std::os::unix::fs::symlink("/tmp", bench.destination().join("docs")).unwrap();
    let round = bench.round();
    assert_eq!(round.problems, 3, "{:?}", bench.log.take());
    assert_eq!(keys(&bench), ["README.md/mine/", "docs", "sysconfig/target/release/plugin-a"]);
    std::fs::remove_dir_all(bench.destination().join("README.md")).unwrap();
    std::fs::remove_file(bench.destination().join("docs")).unwrap();
    assert_eq!(bench.round().problems, 0);
}

#[test]
fn without_an_index_everything_is_copied_and_that_is_said() {
    let bench = Bench::with_files();
    bench.share.file("untracked/file", "x");
    bench.share.file("images/disk", "x");
    bench.share.remove(".git");
    bench.share.file(".git", "gitdir: /elsewhere");
    bench.round();
    let expected = ["README.md", "docs/guide.md", "docs/link", "sysconfig/target/release/plugin-a", "untracked/file"];
    assert_eq!(keys(&bench), expected);
    bench.share.remove("untracked");
    bench.round();
    assert!(!keys(&bench).contains(&"untracked/file".to_owned()));
}

#[test]
fn an_index_that_cannot_be_read_is_as_none_at_first_and_as_before_later() {
    let bench = Bench::with_files();
    bench.share.file("untracked", "x");
    let deny = |bench: &Bench| bench.share.host().quirks.errors = vec![(T_LOPEN, ".git/index".to_owned(), 13)];
    deny(&bench);
    bench.round();
    assert!(bench.files().contains_key("untracked"));
    bench.share.host().quirks.errors.clear();
    let (mut mirror, mut session) = (bench.mirror(), bench.session());
    round(&mut mirror, &mut session).unwrap();
    assert!(!bench.files().contains_key("untracked"), "the index counts when it can be read");
    deny(&bench);
    bench.share.track(&["untracked"]);
    let before = bench.files();
    round(&mut mirror, &mut session).unwrap();
    assert_eq!(bench.files(), before);
}

#[test]
fn a_damaged_index_leaves_what_is_known() {
    let bench = Bench::with_files();
    let (mut mirror, mut session) = (bench.mirror(), bench.session());
    round(&mut mirror, &mut session).unwrap();
    let before = bench.files();
    let index = bench.share.host().nodes[".git/index"].clone();
    bench.share.file(".git/index", "DIRC and then nothing");
    bench.log.take();
    assert_eq!(round(&mut mirror, &mut session).unwrap().problems, 1);
    assert_eq!(bench.files(), before);
    let told = bench.log.take();
    assert!(told.len() == 1 && told[0].starts_with("problem: .git/index: "), "{told:?}");
    assert_eq!(round(&mut mirror, &mut session).unwrap().problems, 1, "as long as it is so");
    assert_eq!(bench.log.take(), [""; 0], "and it is told once");
    bench.share.host().nodes.insert(".git/index".to_owned(), index);
    assert_eq!(round(&mut mirror, &mut session).unwrap().problems, 0);
}

#[test]
fn servers_differ_and_the_copy_does_not() {
    let reference = {
        let bench = Bench::with_files();
        bench.round();
        bench.files()
    };
    for (walk_names, entries, read_bytes, io_unit, msize) in
        [(1, 0, 0, 0, 0), (2, 1, 1, 0, 1024), (0, 3, 2, 100, 4096), (0, 0, 0, 1_000_000, 8192)]
    {
        let bench = Bench::with_files();
        let mut host = bench.share.host();
        (host.quirks.walk_names, host.quirks.entries, host.quirks.read_bytes) = (walk_names, entries, read_bytes);
        (host.quirks.io_unit, host.quirks.msize) = (io_unit, msize);
        drop(host);
        assert_eq!(bench.round().problems, 0);
        assert_eq!(bench.files(), reference);
    }
}

#[test]
fn deep_paths_take_several_walks() {
    let bench = Bench::new();
    let deep = ["d"; 35].join("/");
    bench.share.file(&deep, "deep");
    bench.share.track(&[&deep]);
    bench.round();
    assert_eq!(bench.files()[&deep], "deep");
    bench.share.remove("d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d");
    bench.round();
    assert!(bench.files().keys().all(|name| name == "/"), "{:?}", bench.files());
}

#[test]
fn the_stamp_says_how_fresh_the_copy_is() {
    let bench = Bench::with_files();
    let (mut mirror, mut session) = (bench.mirror(), bench.session());
    round(&mut mirror, &mut session).unwrap();
    round(&mut mirror, &mut session).unwrap();
    let stamp = std::fs::read_to_string(bench.destination().join(".ninep-mirror/stamp")).unwrap();
    assert!(stamp.starts_with("{\"round\":2,\"generation\":4,\"time_unix_ms\":"), "{stamp}");
    assert!(stamp.ends_with(",\"files\":4,\"bytes\":30,\"problems\":0}\n"), "{stamp}");
}
