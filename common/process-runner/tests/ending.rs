//! What becomes of running programs when the process that started them ends.
//!
//! That process is this same test program, running only [`other_process`] in a role.

use process_runner::{Command, CommandError, Detached};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const ROLE: &str = "PROCESS_RUNNER_TEST_ROLE";
const DIRECTORY: &str = "PROCESS_RUNNER_TEST_DIRECTORY";
const PATIENCE: Duration = Duration::from_secs(120);

/// Says who it and its child are, and tidies up when it is asked to end; for a minute at most.
const TIDY: &str = "trap 'echo tidied >tidied; exit 1' TERM; sleep 60 & echo $$ $! >pids.new; mv pids.new pids; wait";
/// Ends when it is asked, but its child does not.
const CARELESS: &str = "sh -c 'trap \"\" TERM; sleep 60; sleep 60' & echo $$ $! >pids.new; mv pids.new pids; wait";
/// Cannot be asked.
const STUBBORN: &str = "trap '' TERM; sleep 60 & echo $$ $! >pids.new; mv pids.new pids; wait; wait";
/// Goes on until it is let go, or its directory is gone.
const WAITING: &str = "echo >started; until [ -e free ] || [ ! -e started ]; do sleep 0.1; done";

#[test]
#[ignore = "the other tests start this as a process of its own"]
fn other_process() {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is set by the other tests"));
    let directory = PathBuf::from(variable(DIRECTORY));
    let script = |text: &str| Command::new("sh").arg("-c").arg(text).current_dir(&directory);
    match variable(ROLE).as_str() {
        "guarded" => {
            let lock = File::create(directory.join("lock")).unwrap();
            flock(&lock, FlockOperation::LockExclusive).unwrap();
            let _guard = process_runner::guard(OwnedFd::from(lock.try_clone().unwrap()));
            script("exit 0").run().unwrap();
            let _ = script(TIDY).run();
        }
        "let go" => {
            let lock = File::create(directory.join("lock")).unwrap();
            let guard = process_runner::guard(OwnedFd::from(lock));
            let other = script(WAITING);
            let other = std::thread::spawn(move || other.run().is_ok());
            wait_for(|| directory.join("started").exists());
            drop(guard);
            fs::write(directory.join("free"), "").unwrap();
            fs::write(directory.join("ended"), other.join().unwrap().to_string()).unwrap();
        }
        "ending" => {
            let ender = std::thread::spawn({
                let pids = directory.join("pids");
                move || {
                    wait_for(|| pids.exists());
                    process_runner::end_all(Duration::from_millis(300));
                }
            });
            let ended = script(&fs::read_to_string(directory.join("script")).unwrap()).run();
            let refused = ender.join().map(|()| script("exit 0").run());
            let refused = matches!(refused, Ok(Err(CommandError::Ending { .. })));
            fs::write(directory.join("ended"), format!("{} {refused}", ended.is_err())).unwrap();
        }
        other => panic!("no role {other}"),
    }
}

fn start(role: &str, directory: &Path) -> Detached {
    let log = File::create(directory.join("log")).unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "other_process", "--ignored", "--nocapture"])
        .env(ROLE, role)
        .env(DIRECTORY, directory)
        .spawn_detached(&log)
        .unwrap()
}

fn wait_for(mut happened: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < until, "it did not happen in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether any of the processes works still; one that nobody has waited for yet does not.
fn is_any_alive(directory: &Path) -> bool {
    let pids = fs::read_to_string(directory.join("pids")).unwrap();
    pids.split_whitespace().any(|pid| {
        let state = Command::new("ps").args(["-o", "stat=", "-p", pid]).run_any().unwrap().stdout_text();
        !state.trim().is_empty() && !state.trim().starts_with('Z')
    })
}

/// Two workspaces in one process: what worked in the second was ended together with the guard of the first.
#[test]
fn a_guard_that_is_dropped_leaves_programs_to_the_process_that_lives() {
    let directory = tempfile::tempdir().unwrap();
    let mut process = start("let go", directory.path());
    wait_for(|| process.try_wait().unwrap().is_some());
    let log = fs::read_to_string(directory.path().join("log")).unwrap();
    assert_eq!(fs::read_to_string(directory.path().join("ended")).ok().as_deref(), Some("true"), "{log}");
}

/// A builder was killed, and what it had started went on for ever.
#[test]
fn a_killed_process_leaves_no_program_and_its_lock_until_all_have_ended() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let mut process = start("guarded", directory.path());
    wait_for(|| at("pids").exists());
    assert!(is_any_alive(directory.path()));
    let lock = File::open(at("lock")).unwrap();
    assert!(flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err(), "the process holds it");
    process.kill();
    wait_for(|| flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok());
    assert!(!is_any_alive(directory.path()), "the lock was free before the programs had ended");
    assert!(at("tidied").exists(), "it was asked before it was killed");
}

#[test]
fn everything_is_ended_on_request_and_nothing_starts_any_more() {
    for text in [TIDY, CARELESS, STUBBORN] {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("script"), text).unwrap();
        let mut process = start("ending", directory.path());
        wait_for(|| at("ended").exists() && !fs::read(at("ended")).unwrap().is_empty());
        assert_eq!(fs::read_to_string(at("ended")).unwrap(), "true true", "{text}");
        assert!(!is_any_alive(directory.path()), "{text}");
        assert_eq!(at("tidied").exists(), text == TIDY);
        wait_for(|| process.try_wait().unwrap().is_some());
    }
}
