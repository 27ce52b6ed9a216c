//! The scanner on real directories: what counts, when it is taken, what is refused.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::service::instance::prepare_directory;

struct Bench {
    directory: tempfile::TempDir,
    scanner: Scanner,
}

impl Bench {
    fn new(path: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        prepare_directory(&state).unwrap();
        let path: Vec<_> = path.iter().map(|name| directory.path().join(name)).collect();
        for plugins in &path {
            std::fs::create_dir_all(plugins).unwrap();
            std::fs::set_permissions(plugins, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let search = Search { path, allow_untrusted_owner: false };
        let store = Arc::new(CopyStore::open(&state).unwrap());
        Self { scanner: Scanner::new(search, System::detect(), store), directory }
    }

    fn write(&self, path: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        drop(std::fs::remove_file(&path));
        std::fs::write(&path, contents).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Two polls, and what they found: names with `+`, `-` or the reason for refusal.
    fn settle(&mut self) -> Vec<String> {
        let findings = self.scanner.poll().into_iter().chain(self.scanner.poll());
        findings
            .map(|finding| match finding {
                Finding::Candidate(candidate) => format!("+{}", candidate.name),
                Finding::Vanished { name } => format!("-{name}"),
                Finding::ConfigChanged { .. } | Finding::Late(_) | Finding::Failed => {
                    unreachable!("the scanner looks at plugins only")
                }
                Finding::Missing(missing) => {
                    let names = missing.keys().map(|path| path.file_name().unwrap().to_str().unwrap());
                    format!("missing: {}", names.collect::<Vec<_>>().join(" "))
                }
                Finding::Refused { name, message, .. } => format!("{name}: {message}"),
            })
            .collect()
    }
}

const SCRIPT: &str = "#!/bin/sh\n";

#[test]
fn only_files_of_the_right_name_count() {
    let mut bench = Bench::new(&["p"]);
    for name in
        ["sysconfig-plugin-a", "sysconfig-plugin-a.d", "sysconfig-plugin-b.tmp", "sysconfig-plugin-", "plugin-c"]
    {
        bench.write(&format!("p/{name}"), SCRIPT);
    }
    bench.write("p/sysconfig-plugin-Upper", SCRIPT);
    assert_eq!(bench.settle(), ["+a"]);
    assert_eq!(bench.settle(), [""; 0], "nothing changed, nothing is found");
}

#[test]
fn a_file_is_taken_when_two_looks_agree() {
    let mut bench = Bench::new(&["p"]);
    bench.write("p/sysconfig-plugin-a", SCRIPT);
    assert!(bench.scanner.poll().is_empty(), "seen for the first time");
    bench.write("p/sysconfig-plugin-a", "#!/bin/sh\nexit\n");
    assert!(bench.scanner.poll().is_empty(), "changed since");
    assert_eq!(bench.settle(), ["+a"]);
}

/// It was waited for in silence, as if it were not there.
#[test]
fn a_file_that_is_never_the_same_for_two_looks_is_told_and_taken_when_it_is() {
    let mut bench = Bench::new(&["p"]);
    let look = |bench: &mut Bench, number: u32| {
        bench.write("p/sysconfig-plugin-a", format!("{SCRIPT}{}", "#".repeat(usize::try_from(number).unwrap())));
        bench.scanner.poll()
    };
    assert!((0..10).all(|number| look(&mut bench, number).is_empty()), "a linker is at work");
    let tracked = bench.scanner.tracked.get_mut("a").unwrap();
    tracked.unsettled = Some(Instant::now().checked_sub(LONGEST_CHANGE).unwrap());
    let found = look(&mut bench, 10);
    assert!(
        matches!(&*found, [Finding::Refused { name, message, is_tried_again: true, .. }]
            if name == "a" && message == IS_CHANGED),
        "{found:?}"
    );
    assert!((11..20).all(|number| look(&mut bench, number).is_empty()), "it is told once");
    assert!(bench.scanner.tries_again());
    assert_eq!(bench.settle(), ["+a"]);
    assert!(!bench.scanner.tries_again());
}

/// Where changed files are not picked up, it was neither taken nor told, then or ever.
#[test]
fn a_file_that_is_written_during_the_first_look_is_told() {
    let mut bench = Bench::new(&["p"]);
    bench.write("p/sysconfig-plugin-a", SCRIPT);
    let first = Identity::of(&std::fs::metadata(bench.directory.path().join("p/sysconfig-plugin-a")).unwrap());
    let path = bench.directory.path().join("p/sysconfig-plugin-a");
    // As if it had been another one at each look so far.
    let mut tracked = Tracked::new(Sighting::now(None));
    tracked.seen = vec![(path, Some(Identity { inode: first.inode + 1, ..first }))];
    bench.scanner.tracked.insert("a".to_owned(), tracked);
    let found = bench.scanner.tell_unsettled();
    assert!(matches!(&*found, [Finding::Refused { message, .. }] if message == IS_CHANGED), "{found:?}");
    assert!(bench.scanner.tries_again());
    assert_eq!(bench.settle(), ["+a"]);
    assert!(bench.scanner.tell_unsettled().is_empty());
}

/// Whoever restarted a plugin got what a linker had written so far of another.
#[test]
fn a_file_that_was_mended_is_taken_at_once_and_no_other() {
    let mut bench = Bench::new(&["p"]);
    let mended = bench.write("p/sysconfig-plugin-a", SCRIPT);
    let other = bench.write("p/sysconfig-plugin-b", SCRIPT);
    for path in [&mended, &other] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    assert_eq!(bench.settle(), ["a: not executable", "b: not executable"]);
    for path in [&mended, &other] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    bench.write("p/sysconfig-plugin-new", SCRIPT);
    let wanted = BTreeSet::from(["a".to_owned(), "new".to_owned()]);
    let found = bench.scanner.look_again(&wanted);
    assert!(matches!(&found[..], [Finding::Candidate(candidate)] if candidate.name == "a"), "{found:?}");
    assert_eq!(bench.settle(), ["+b", "+new"], "when they are the same for two polls");
}

#[test]
fn a_link_over_the_old_name_is_a_change_even_of_the_same_size_and_time() {
    let mut bench = Bench::new(&["p"]);
    let path = bench.write("p/sysconfig-plugin-a", "#!/bin/sh\n1\n");
    assert_eq!(bench.settle(), ["+a"]);
    let time = std::fs::metadata(&path).unwrap().modified().unwrap();
    let dep = bench.write("deps/sysconfig-plugin-a", "#!/bin/sh\n2\n");
    std::fs::File::options().append(true).open(&dep).unwrap().set_modified(time).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::hard_link(dep, &path).unwrap();
    assert_eq!(bench.settle(), ["+a"]);
}

#[test]
fn contents_replaced_in_place_are_a_change_even_of_the_same_size_and_time() {
    let mut bench = Bench::new(&["p"]);
    let path = bench.write("p/sysconfig-plugin-a", "#!/bin/sh\n1\n");
    assert_eq!(bench.settle(), ["+a"]);
    let time = std::fs::metadata(&path).unwrap().modified().unwrap();
    // Longer than the clock of any file system takes to go on.
    std::thread::sleep(std::time::Duration::from_millis(20));
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"2", 10).unwrap();
    file.set_modified(time).unwrap();
    assert_eq!(bench.settle(), ["+a"]);
}

#[test]
fn who_may_write_a_directory_behind_a_link_does_not_choose_the_program() {
    let mut bench = Bench::new(&["p", "open"]);
    let target = bench.write("deps/sysconfig-plugin-a", SCRIPT);
    let open = bench.directory.path().join("open");
    symlink(&target, open.join("cur")).unwrap();
    symlink("../open/cur", bench.directory.path().join("p/sysconfig-plugin-a")).unwrap();
    assert_eq!(bench.settle(), ["+a"]);
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    let other = bench.write("deps/other", SCRIPT);
    std::fs::remove_file(open.join("cur")).unwrap();
    symlink(other, open.join("cur")).unwrap();
    for allow_untrusted_owner in [false, true] {
        bench.scanner.set_search(Search { allow_untrusted_owner, ..bench.scanner.search.clone() });
        let found = bench.settle();
        let said = format!("{} is writable by others (mode 777)", open.display());
        assert!(found.len() == 1 && found[0].starts_with("a: not trusted: ") && found[0].contains(&said), "{found:?}");
    }
    // Nothing about the file changes with its directory.
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755)).unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while bench.settle() != ["+a"] {
        assert!(Instant::now() < until, "it is looked at again");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_file_that_is_gone_is_told_once() {
    let mut bench = Bench::new(&["p"]);
    let path = bench.write("p/sysconfig-plugin-a", SCRIPT);
    assert_eq!(bench.settle(), ["+a"]);
    std::fs::remove_file(path).unwrap();
    assert_eq!(bench.settle(), ["-a"]);
    assert_eq!(bench.settle(), [""; 0]);
}

#[test]
fn unusable_files_are_refused_with_the_reason() {
    let mut bench = Bench::new(&["p"]);
    let plugins = bench.directory.path().join("p");
    bench.write("p/sysconfig-plugin-garbage", "garbage");
    bench.write("p/sysconfig-plugin-elf", b"\x7fELF\x02\x01\x01 cut off");
    std::fs::create_dir(plugins.join("sysconfig-plugin-directory")).unwrap();
    // Nobody writes into it, so whoever opened it would wait for ever.
    let pipe = plugins.join("sysconfig-plugin-pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, pipe, rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
    symlink("/nowhere/at/all", plugins.join("sysconfig-plugin-link")).unwrap();
    let mode = |name: &str, mode: u32| {
        let path = bench.write(&format!("p/{name}"), SCRIPT);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("sysconfig-plugin-data", 0o644);
    mode("sysconfig-plugin-open", 0o777);
    mode("sysconfig-plugin-group", 0o775);
    if rustix::process::geteuid().is_root() {
        // Root's own group is no other.
        std::os::unix::fs::chown(plugins.join("sysconfig-plugin-group"), None, Some(1000)).unwrap();
    }
    let found = bench.settle();
    for (name, reason) in [
        ("garbage", "neither an ELF executable nor a script"),
        ("elf", "damaged ELF executable"),
        ("directory", "not a regular file"),
        ("pipe", "not a regular file"),
        ("link", "cannot be opened"),
        ("data", "not executable"),
        ("open", "is writable by others (mode 777)"),
        ("group", "is writable by others (mode 775)"),
    ] {
        assert!(found.iter().any(|found| found.starts_with(name) && found.contains(reason)), "{name}: {found:?}");
    }
    assert_eq!(found.len(), 8);
}

/// What a share of a development host looks like, and what is refused there all the same.
#[test]
fn any_owner_is_a_setting_and_anybody_who_can_write_is_not() {
    let mut bench = Bench::new(&["p"]);
    let mode = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let group = bench.write("p/sysconfig-plugin-group", SCRIPT);
    mode(&group, 0o775);
    mode(&bench.write("p/sysconfig-plugin-open", SCRIPT), 0o777);
    let foreign = bench.write("p/sysconfig-plugin-foreign", SCRIPT);
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        // Root's own group is no other.
        std::os::unix::fs::chown(group, None, Some(1000)).unwrap();
        std::os::unix::fs::chown(foreign, Some(1000), Some(1000)).unwrap();
    }
    let help = |finding: Finding| match finding {
        Finding::Refused { name, help: Some(help), .. } => Some((name, help)),
        _ => None,
    };
    let looked = bench.scanner.poll().into_iter().chain(bench.scanner.poll());
    let helps: std::collections::BTreeMap<_, _> = looked.filter_map(help).collect();
    let is_advised = |name: &str| helps[name].contains("or set allow-untrusted-owner");
    assert!(is_advised("group") && !is_advised("open"), "nothing but chmod helps there: {helps:?}");
    bench.scanner.forget_findings();
    let found = bench.settle();
    let refused = |name: &str| found.iter().any(|found| found.starts_with(&format!("{name}: not trusted: ")));
    assert!(refused("group") && refused("open") && refused("foreign") == is_root, "{found:?}");

    let search = Search { allow_untrusted_owner: true, ..bench.scanner.search.clone() };
    bench.scanner.set_search(search);
    let mut found = bench.settle();
    found.sort();
    assert_eq!(found[..2], ["+foreign", "+group"], "{found:?}");
    assert!(found.len() == 3 && found[2].contains("is writable by others (mode 777)"), "{found:?}");
    mode(&bench.directory.path().join("p"), 0o777);
    bench.scanner.set_search(Search { allow_untrusted_owner: false, ..bench.scanner.search.clone() });
    bench.settle();
    bench.scanner.set_search(Search { allow_untrusted_owner: true, ..bench.scanner.search.clone() });
    let found = bench.settle();
    assert!(
        found.iter().all(|found| found.contains("is writable by others")),
        "whoever writes the directory: {found:?}"
    );
}

#[test]
fn the_first_directory_has_precedence_and_the_next_one_steps_in() {
    let mut bench = Bench::new(&["p", "q"]);
    let first = bench.write("p/sysconfig-plugin-a", SCRIPT);
    let second = bench.write("q/sysconfig-plugin-a", SCRIPT);
    let path = |findings: Vec<Finding>| match findings.into_iter().next() {
        Some(Finding::Candidate(candidate)) => candidate.path,
        other => panic!("{other:?}"),
    };
    assert_eq!(path(bench.scanner.first_look()), first);
    std::fs::remove_file(&first).unwrap();
    assert_eq!(path(bench.scanner.first_look()), second);
}

#[test]
fn executables_of_another_system_are_passed_over_for_the_build_for_this_one() {
    let mut bench = Bench::new(&["target/release"]);
    let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let mut foreign = own.clone();
    // e_machine is at offset 18; 183 is AArch64, 62 is x86-64.
    foreign[18] = if own[18] == 62 { 183 } else { 62 };
    foreign.truncate(own.len());
    bench.write("target/release/sysconfig-plugin-a", &foreign);
    let found = bench.settle();
    assert!(found.len() == 1 && found[0].starts_with("a: "), "{found:?}");
    let triple = bench.scanner.system.triples().remove(0);
    let right = bench.write(&format!("target/{triple}/release/sysconfig-plugin-a"), own);
    std::fs::set_permissions(right.parent().unwrap(), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(bench.settle(), ["+a"]);
}

#[test]
fn a_directory_that_is_not_there_is_told_once_and_again_when_it_comes() {
    let mut bench = Bench::new(&["p", "late"]);
    let late = bench.directory.path().join("late");
    std::fs::remove_dir(&late).unwrap();
    assert_eq!(bench.settle(), ["missing: late"]);
    assert_eq!(bench.settle(), [""; 0]);
    std::fs::write(&late, "a file").unwrap();
    assert_eq!(bench.settle(), ["missing: late"], "for another reason");
    std::fs::remove_file(&late).unwrap();
    bench.write("late/sysconfig-plugin-a", SCRIPT);
    assert_eq!(bench.settle(), ["missing: ", "+a"]);
}

#[test]
fn a_directory_whose_stand_in_for_this_system_is_there_is_not_missed() {
    let mut bench = Bench::new(&["target/release"]);
    let triple = &System::detect().triples()[0];
    std::fs::remove_dir(bench.directory.path().join("target/release")).unwrap();
    std::fs::create_dir_all(bench.directory.path().join("target").join(triple).join("release")).unwrap();
    assert_eq!(bench.settle(), [""; 0]);
}
