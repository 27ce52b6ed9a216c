//! The program: pace, signals, exit status, readiness, a server that comes and goes.

mod common;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::program::{Running, mirror};
use common::server::{T_READ, T_READDIR, listen, message};
use common::share::Sent;
use common::{Bench, PATIENCE, RELEASE};
use rustix::process::{Pid, Signal};

/// A share behind a socket.
fn served() -> (Bench, PathBuf) {
    let bench = Bench::with_files();
    let socket = bench.directory.path().join("socket");
    listen(&bench.share, &socket);
    (bench, socket)
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < give_up, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn once_ends_with_what_came_of_it() {
    let (bench, socket) = served();
    let once = |arguments: &[&str]| {
        let mut command = mirror(&bench.destination());
        let output = command.arg("--once").arg("--socket").arg(&socket).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (status, said) = once(&[]);
    assert_eq!(status, Some(0), "{said}");
    assert!(
        said.contains("connected to ") && said.contains("3 tracked files") && said.contains("round 1: 4 files"),
        "{said}"
    );
    assert_eq!(bench.files().len(), 4);
    let (status, said) = once(&["--json", "--expect", "no/such/file"]);
    assert_eq!(status, Some(3), "{said}");
    let line = said.lines().next().unwrap();
    assert!(
        line.starts_with("{\"time_unix_ms\":")
            && line.ends_with("no/such/file, so it is not the one that is wanted\"}"),
        "{line}"
    );
    bench.share.link("docs/link", "/etc");
    assert_eq!(once(&[]).0, Some(4), "a file could not be copied");
    assert_eq!(once(&["--interval", "5"]).0, Some(2), "a wrong option");
    let (status, said) = once(&["--socket", "/no/such/socket"]);
    assert_eq!(status, Some(2), "an option twice: {said}");
    let output = mirror(&bench.destination()).args(["--once", "--socket", "/no/such/socket"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn without_a_device_the_program_ends_at_once_and_says_why() {
    if std::path::Path::new("/dev/9p").exists() {
        test_judge::skip("this machine has /dev/9p");
        return;
    }
    let bench = Bench::new();
    let output = mirror(&bench.destination()).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, "ninep-mirror: there is no device of the vio9p driver in /dev/9p\n");
}

#[test]
fn a_new_executable_comes_and_rounds_go_on() {
    let (bench, socket) = served();
    let mut running = Running::start(mirror(&bench.destination()).arg("--socket").arg(&socket).args([
        "--verbose",
        "--interval",
        "300ms",
    ]));
    running.wait_for("round 1: 4 files");
    // How soon is a matter of `bench/`.
    bench.share.executable(&format!("{RELEASE}/plugin-a"), b"\x7fELF new");
    running.wait_for("copied sysconfig/target/release/plugin-a, 8 bytes");
    assert_eq!(bench.files()[&format!("{RELEASE}/plugin-a")], "\x7fELF new");
    bench.share.file("README.md", "new");
    running.wait_for("copied README.md");
    assert_eq!(bench.files()["README.md"], "new");
    running.signal(Signal::TERM);
    assert_eq!(running.wait().code(), Some(0));
}

#[test]
fn hangup_begins_a_round_at_once() {
    let (bench, socket) = served();
    let mut running =
        Running::start(mirror(&bench.destination()).arg("--socket").arg(&socket).args(["--interval", "20m"]));
    running.wait_for("round 1");
    bench.share.file("README.md", "new");
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(bench.files()["README.md"], "read me", "it is not time yet");
    running.signal(Signal::HUP);
    running.wait_for("round 2: 4 files");
    assert_eq!(bench.files()["README.md"], "new");
}

#[test]
fn a_server_that_goes_and_comes_again_is_found_again() {
    let (bench, socket) = served();
    let mut running =
        Running::start(mirror(&bench.destination()).arg("--socket").arg(&socket).args(["--interval", "50ms"]));
    running.wait_for("round 1");
    bench.share.host().mangle = Some(Box::new(|_, _| Sent::Close));
    running.wait_for("the server closed the connection; trying again in 250 ms");
    running.wait_for("trying again in 500 ms");
    bench.share.executable(&format!("{RELEASE}/plugin-a"), b"\x7fELF new");
    bench.share.host().mangle = None;
    running.wait_for("copied sysconfig/target/release/plugin-a");
}

#[test]
fn a_hanging_server_does_not_keep_the_program_from_ending() {
    let (bench, socket) = served();
    bench.share.host().mangle =
        Some(Box::new(|_, reply| Sent::Messages(if reply[4] == 25 { Vec::new() } else { vec![reply] })));
    let mut running =
        Running::start(mirror(&bench.destination()).arg("--socket").arg(&socket).args(["--request-timeout", "10m"]));
    running.wait_for("connected");
    std::thread::sleep(Duration::from_millis(100));
    let asked = Instant::now();
    running.signal(Signal::TERM);
    assert_eq!(running.wait().code(), Some(0));
    assert!(asked.elapsed() < PATIENCE, "{:?}", asked.elapsed());
}

#[test]
fn on_request_to_end_the_file_at_hand_is_finished_and_no_other_begun() {
    let (bench, socket) = served();
    let large = format!("{RELEASE}/plugin-b");
    bench.share.executable(&large, &[b'b'; 2_000_000]);
    bench.share.executable(&format!("{RELEASE}/plugin-c"), b"c");
    let (sender, reading) = std::sync::mpsc::channel();
    let name = large.clone();
    bench.share.host().before = Some(Box::new(move |_, kind, path| {
        if kind == T_READ && path == name {
            // The test may have seen enough.
            let _ = sender.send(());
            std::thread::sleep(Duration::from_millis(20));
        }
    }));
    let mut command = mirror(&bench.destination());
    let mut running = Running::start(command.arg("--socket").arg(&socket).args(["--msize", "65536"]));
    reading.recv_timeout(PATIENCE).unwrap();
    running.signal(Signal::TERM);
    assert_eq!(running.wait().code(), Some(0));
    let files = bench.files();
    assert_eq!(files[&large].len(), 2_000_000);
    assert!(!files.contains_key(&format!("{RELEASE}/plugin-c")));
    assert!(!bench.destination().join(".ninep-mirror/incoming").exists());
}

#[test]
fn killed_at_any_moment_the_next_run_completes_the_work() {
    let (bench, socket) = served();
    for number in 0..40 {
        bench.share.file(&format!("docs/{number}"), "x");
    }
    let names: Vec<_> = (0..40).map(|number| format!("docs/{number}")).collect();
    for killed_after_ms in [0, 10, 30, 80, 120, 260, 265, 270, 280, 300] {
        let destination = bench.destination();
        let mut names: Vec<_> = names.iter().map(String::as_str).collect();
        names.extend(["README.md", "docs/guide.md", "docs/link"]);
        bench.share.track(&names);
        let mut running = Running::start(mirror(&destination).arg("--socket").arg(&socket));
        std::thread::sleep(Duration::from_millis(killed_after_ms));
        running.signal(Signal::KILL);
        running.wait();
        for (name, text) in bench.files() {
            let whole = name.starts_with(".ninep")
                || text == "x"
                || ["guide", "read me", "-> ../README.md", "\x7fELF a", ""].contains(&text.as_str());
            assert!(whole, "{name} is in place before it is whole: {text:?}");
        }
        // In the meantime the host goes back; everything that the killed mirror made must go, too.
        bench.share.track(&["README.md"]);
        let output = mirror(&destination).args(["--once", "--socket"]).arg(&socket).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        let left: Vec<_> = bench.files().into_keys().collect();
        assert_eq!(left, ["README.md", "sysconfig/target/release/plugin-a"], "killed after {killed_after_ms} ms");
        std::fs::remove_dir_all(&destination).unwrap();
    }
}

#[test]
fn a_second_mirror_of_the_same_directory_refuses() {
    let (bench, socket) = served();
    let mut running = Running::start(mirror(&bench.destination()).arg("--socket").arg(&socket));
    running.wait_for("round 1");
    let output = mirror(&bench.destination()).arg("--socket").arg(&socket).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("ninep-mirror: another mirror writes to "), "{said}");
}

#[test]
fn under_smf_the_first_process_returns_when_the_first_round_is_complete() {
    let (bench, socket) = served();
    let log = std::fs::File::create(bench.directory.path().join("log")).unwrap();
    let mut command = mirror(&bench.destination());
    let status = command.arg("--smf").arg("--socket").arg(&socket).stdout(log).status().unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(bench.files().len(), 4, "the files are there when the method returns");
    let stamp = bench.destination().join(".ninep-mirror/stamp");
    assert!(stamp.exists());
    // The mirror goes on in a process of its own.
    bench.share.executable(&format!("{RELEASE}/plugin-a"), b"\x7fELF new");
    let is_new = || bench.files().get(&format!("{RELEASE}/plugin-a")).is_some_and(|text| text == "\x7fELF new");
    wait_until("the mirror does not go on", is_new);
    let holder = std::fs::read_to_string(bench.destination().join(".ninep-mirror/lock")).unwrap();
    let pid = Pid::from_raw(holder.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    wait_until("the mirror does not end", || rustix::process::test_kill_process(pid).is_err());
}

#[test]
fn under_smf_a_first_round_that_does_not_come_is_a_failure() {
    let (bench, socket) = served();
    bench.share.host().mangle = Some(Box::new(|_, _| Sent::Messages(Vec::new())));
    let mut command = mirror(&bench.destination());
    let output = command.args(["--smf", "--ready-within", "300ms", "--socket"]).arg(&socket).output().unwrap();
    assert_eq!(output.status.code(), Some(95));
    let output = mirror(&bench.destination())
        .args(["--smf", "--device", "/no/such/device", "--ready-within", "300ms"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(95), "an unknown device may still come");
    let wrong = mirror(&bench.destination()).args(["--smf", "--interval", "5"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(96), "a wrong option");
    if !std::path::Path::new("/dev/9p").exists() {
        let output = mirror(&bench.destination()).arg("--smf").output().unwrap();
        assert_eq!(output.status.code(), Some(96), "without a device, trying again would not help");
    }
}

#[test]
fn promises_of_a_hostile_server_take_no_memory() {
    let (bench, socket) = served();
    // A directory without end, whose names are longer than any file system has them.
    let (mut count, padding) = (0_u64, [b'n'; 8000]);
    bench.share.host().mangle = Some(Box::new(move |kind, reply| {
        if kind != T_READDIR {
            return Sent::Messages(vec![reply]);
        }
        let mut entries = Vec::new();
        for _ in 0..15 {
            count += 1;
            entries.extend([&[0; 13], count.to_le_bytes().as_slice(), &[0], &8008_u16.to_le_bytes()].concat());
            entries.extend([count.to_be_bytes().as_slice(), &padding].concat());
        }
        let body = [&u32::try_from(entries.len()).unwrap().to_le_bytes(), entries.as_slice()].concat();
        Sent::Messages(vec![message(41, u16::from_le_bytes([reply[5], reply[6]]), &body)])
    }));
    let mut command = common::program::program("/bin/sh".as_ref());
    // 256 MiB of address space, which threads need for the most part; the names alone would be 400 MB.
    let script = "ulimit -v 262144; exec \"$@\"";
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_ninep-mirror"), "--once", "--untracked"]);
    let output = command.arg("--socket").arg(&socket).arg("--dest").arg(bench.destination()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(4), "{said} {}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("a directory has more than 50000 entries"), "{said}");
}

#[test]
fn the_documents_name_verbs_and_options_that_there_are() {
    let (commands, problems) =
        test_judge::wrong_in_documents("ninep-mirror", env!("CARGO_BIN_EXE_ninep-mirror").as_ref());
    assert_eq!(problems, [""; 0]);
    assert!(commands >= 2, "{commands} commands of ninep-mirror were found");
}
