//! Running real programs of the host: `sh` is the only one that every supported host has.

use process_runner::{Command, CommandError, Input, ReadError, Stream};
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn sh(script: &str) -> Command {
    Command::new("sh").arg("-c").arg(script)
}

#[test]
fn both_streams_and_the_status_are_captured() {
    let output = sh("echo out; echo err >&2; exit 3").run_any().expect("sh runs");
    assert_eq!(
        (output.code, output.stdout_text().as_str(), output.stderr_text().as_str()),
        (Some(3), "out\n", "err\n")
    );
}

#[test]
fn a_failure_names_the_command_its_status_and_its_last_words() {
    let error = sh("echo 'no space left' >&2; exit 7").run().expect_err("exit 7 is a failure");
    assert_eq!(
        error.to_string(),
        "`sh -c 'echo '\\''no space left'\\'' >&2; exit 7'` failed with exit status 7; it said:\nno space left"
    );
}

#[test]
fn a_missing_program_is_told_apart() {
    let error = Command::new("no-such-program-here").run().expect_err("it does not exist");
    assert!(error.is_not_found(), "{error}");
}

#[test]
fn the_deadline_ends_the_whole_family() {
    let begin = Instant::now();
    let error = sh("echo begun; sleep 60 & wait").deadline(Duration::from_millis(300)).run().expect_err("too slow");
    assert!(matches!(&error, CommandError::Deadline { tail, .. } if tail == "begun"), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(20), "the sleep held the pipe: {:?}", begin.elapsed());
}

#[test]
fn a_grandchild_that_keeps_the_pipe_does_not_hold_us() {
    let begin = Instant::now();
    let output = sh("sleep 60 & echo done; echo $! >&2").run().expect("sh ends at once");
    assert_eq!(output.stdout_text(), "done\n");
    assert!(begin.elapsed() < Duration::from_secs(20));
    let pid = output.stderr_text();
    sh(&format!("kill {}", pid.trim())).run().expect("the sleep is ours to end");
}

#[test]
fn input_is_fed_and_a_program_that_reads_nothing_is_fine() {
    let output = sh("cat").stdin(Input::Bytes(vec![b'x'; 300_000])).run().expect("cat copies");
    assert_eq!(output.stdout.len(), 300_000);
    let output = sh("exit 0").stdin(Input::Bytes(vec![b'x'; 300_000])).run().expect("unread input is no failure");
    assert!(output.stdout.is_empty());
    let output = sh("wc -c").run_feeding(|stdin| stdin.write_all(b"12345")).expect("wc counts");
    assert_eq!(output.stdout_text().trim(), "5");
}

#[test]
fn output_streams_to_a_consumer() {
    let total = sh("i=0; while [ $i -lt 1000 ]; do echo $i; i=$((i+1)); done")
        .run_reading(|stdout: &mut dyn Read| {
            let mut text = String::new();
            stdout.read_to_string(&mut text).map(|_| text.lines().count())
        })
        .expect("sh runs and text is read");
    assert_eq!(total, 1000);
    let outcome = sh("yes | head -c 1000000; exit 0").run_reading(|_| Err::<(), _>("enough"));
    assert!(matches!(outcome, Err(ReadError::Reader("enough"))), "a consumer that gives up ends the program");
}

/// Reads everything, and wants it to have `wanted` bytes, as an archive says itself where it ends.
fn exactly(wanted: usize) -> impl FnOnce(&mut dyn Read) -> Result<(), std::io::Error> {
    move |stdout| {
        let mut bytes = vec![0; wanted];
        stdout.read_exact(&mut bytes)
    }
}

/// Only "the archive is cut off" was told of a program that had said why it could write none.
#[test]
fn a_program_that_fails_by_itself_is_told_before_its_reader() {
    for (written, script) in [
        ("nothing", "echo 'E: no user namespaces' >&2; exit 1"),
        ("half", "head -c 700 /dev/zero; echo 'E: no user namespaces' >&2; exit 1"),
        ("half, and it was killed", "head -c 700 /dev/zero; echo 'E: no user namespaces' >&2; kill -9 $$"),
    ] {
        let error = sh(script).run_reading(exactly(10_000)).expect_err(written);
        let ReadError::Both { command: CommandError::Failed { tail, .. }, reader } = &error else {
            panic!("{written}: {error:?}");
        };
        assert_eq!((tail.as_str(), reader.kind()), ("E: no user namespaces", std::io::ErrorKind::UnexpectedEof));
        let source = std::error::Error::source(&error).expect("the reader's own trouble is kept");
        assert!(error.to_string().contains("E: no user namespaces") && !source.to_string().is_empty());
    }
    // It went on, and failed, although its first bytes were enough for the reader to give up.
    let script = "echo garbage; sleep 0.1; echo 'E: no space' >&2; exit 2";
    let error = sh(script)
        .run_reading(|stdout| stdout.read_exact(&mut [0; 3]).and(Err::<(), _>(std::io::Error::other("no archive"))));
    assert!(
        matches!(&error, Err(ReadError::Both { command: CommandError::Failed { code: Some(2), .. }, .. })),
        "{error:?}"
    );
}

/// The program's complaint about the closed pipe is no news.
#[test]
fn a_reader_that_fails_first_is_told_alone() {
    for script in ["yes", "yes; echo 'E: tar failed' >&2; exit 1"] {
        let begin = Instant::now();
        let outcome = sh(script)
            .run_reading(|stdout| stdout.read_exact(&mut [0; 3]).and(Err::<(), _>(std::io::Error::other("full"))));
        assert!(
            matches!(&outcome, Err(ReadError::Reader(reader)) if reader.to_string() == "full"),
            "{script}: {outcome:?}"
        );
        assert!(begin.elapsed() < Duration::from_secs(20), "{script}: {:?}", begin.elapsed());
    }
}

#[test]
fn a_program_that_fails_although_all_was_read_is_told() {
    let error = sh("echo abc; exit 5").run_reading(exactly(4)).expect_err("exit 5 is a failure");
    assert!(matches!(error, ReadError::Command(CommandError::Failed { code: Some(5), .. })), "{error:?}");
}

/// A program ended, and its grandchild held the pipe that we wrote to: the feeding thread waited for the grandchild,
/// whatever the deadline.
#[test]
fn a_grandchild_that_keeps_our_end_of_a_pipe_does_not_hold_us() {
    let begin = Instant::now();
    let script = "exec 3<&0; sleep 60 <&3 >/dev/null 2>&1 & echo $!";
    let output = sh(script).stdin(Input::Bytes(vec![b'x'; 300_000])).deadline(Duration::from_secs(5)).run();
    let pid = output.expect("sh ends at once").stdout_text();
    let mut text = String::new();
    let read = sh("sleep 60 2>/dev/null & echo $!").run_reading(|stdout| stdout.read_to_string(&mut text));
    read.expect("sh ends at once, and text is read");
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    sh(&format!("kill {} {}", pid.trim(), text.trim())).run().expect("both are ours to end");
}

/// A program that takes the end of half an input for something to wait for ran until its deadline.
#[test]
fn a_program_whose_input_fails_is_ended_at_once() {
    let begin = Instant::now();
    let endless = sh("cat >/dev/null; while :; do sleep 1; done");
    let ended = endless.run_feeding(|stdin| {
        stdin.write_all(b"half")?;
        Err(std::io::Error::other("the source is damaged"))
    });
    assert!(matches!(&ended, Err(CommandError::Pipe { source, .. }) if source.to_string().contains("damaged")));
    let thread = std::thread::spawn(move || endless.run_feeding(|_| panic!("the source is a mess")).is_ok());
    assert!(thread.join().is_err(), "a panic goes through");
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[test]
fn a_program_that_reads_too_slowly_is_ended_at_its_deadline() {
    let begin = Instant::now();
    let ended = sh("sleep 60").deadline(Duration::from_millis(300)).run_feeding(|stdin| {
        loop {
            stdin.write_all(&[b'x'; 300_000])?;
        }
    });
    assert!(matches!(ended, Err(CommandError::Deadline { .. })), "{ended:?}");
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[test]
fn lines_come_as_they_are_written() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    sh("echo one; echo two >&2; printf three")
        .on_line(move |stream, line| {
            sink.lock().expect("not poisoned").push((stream, line.to_owned()));
        })
        .run()
        .expect("sh runs");
    let mut seen = seen.lock().expect("not poisoned").clone();
    seen.sort_by(|a, b| a.1.cmp(&b.1));
    let expected = [(Stream::Stdout, "one"), (Stream::Stdout, "three"), (Stream::Stderr, "two")];
    assert_eq!(seen, expected.map(|(stream, line)| (stream, line.to_owned())));
}

#[test]
fn the_environment_is_what_was_asked_for() {
    let output = Command::new("/usr/bin/env").env_clear().env("A", "1").env("B", "2").env_remove("B").run();
    assert_eq!(output.expect("env prints").stdout_text(), "A=1\n");
}

#[test]
fn a_detached_program_logs_and_can_be_ended() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let log = std::fs::File::create(directory.path().join("log")).expect("a log");
    let mut detached = sh("echo alive; sleep 60").spawn_detached(&log).expect("sh starts");
    let begin = Instant::now();
    while std::fs::read(directory.path().join("log")).expect("the log").is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(20), "nothing was logged");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(detached.try_wait().expect("it can be waited for").is_none());
    detached.kill();
    assert!(detached.try_wait().expect("it can be waited for").is_some());
}

#[test]
fn environment_and_input_stay_out_of_the_debug_text() {
    let command = sh("true").env("TOKEN", "secret").stdin(Input::Bytes(b"secret".to_vec()));
    assert_eq!(format!("{command:?}"), "Command(`sh -c true`)");
}
