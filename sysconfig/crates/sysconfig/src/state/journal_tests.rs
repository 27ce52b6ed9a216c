//! Tests of the journal.

use serde_json::Value;
use sysconfig_protocol::{FieldChange, Risk};

use super::*;

fn step(id: &str) -> Step {
    let secret = FieldChange { field: "key".into(), from: Value::Null, to: "hunter2".into(), sensitive: true };
    Step {
        id: id.to_owned(),
        action: "set".to_owned(),
        resource: "thing".to_owned(),
        summary: "set the thing".to_owned(),
        changes: vec![secret],
        risk: Risk::Safe,
        key: "test.x".to_owned(),
        data: Value::from("hunter2"),
    }
}

#[test]
fn a_step_without_a_result_is_in_doubt_and_secrets_are_not_stored() {
    let directory = tempfile::tempdir().unwrap();
    let (mut journal, in_doubt, _) = Journal::open(directory.path()).unwrap();
    assert_eq!(in_doubt, []);
    let first = journal.intent("x", "digest", &step("1")).unwrap();
    journal.result(first, StepResult::Changed, None).unwrap();
    journal.intent("x", "digest", &step("2")).unwrap();
    drop(journal);
    let (mut journal, in_doubt, _) = Journal::open(directory.path()).unwrap();
    assert_eq!(in_doubt.len(), 1);
    assert_eq!(in_doubt[0].step.id, "2");
    assert_eq!(journal.intent("x", "digest", &step("3")).unwrap(), 3, "numbers are not used twice");
    let text = std::fs::read_to_string(directory.path().join("journal.jsonl")).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn history_joins_begin_and_end_also_across_a_rotation_and_doubts_stay() {
    let directory = tempfile::tempdir().unwrap();
    let (mut journal, ..) = Journal::open(directory.path()).unwrap();
    let long = Step { summary: "x".repeat(100_000), ..step("1") };
    journal.intent("doubtful", "digest", &step("0")).unwrap();
    for _ in 0..15 {
        let sequence = journal.intent("x", "digest", &long).unwrap();
        journal.result(sequence, StepResult::Failed, Some("no".to_owned())).unwrap();
    }
    journal.undo_intent("x", "digest", &step("2")).unwrap();
    assert!(directory.path().join("journal.jsonl.old").exists());
    let steps = history(directory.path(), 3).unwrap();
    assert_eq!(steps.iter().map(|step| step.sequence).collect::<Vec<_>>(), [15, 16, 17]);
    assert_eq!((steps[1].result, steps[1].error.as_deref()), (Some(StepResult::Failed), Some("no")));
    assert!(steps[1].duration_ms.is_some() && steps[2].result.is_none() && steps[2].undo);
    drop(journal);
    let (_, in_doubt, _) = Journal::open(directory.path()).unwrap();
    assert_eq!(in_doubt.iter().map(|step| step.step.id.as_str()).collect::<Vec<_>>(), ["0", "2"]);
    assert_eq!(history(&directory.path().join("none"), 3).unwrap(), []);
}

/// The next daemon did not know of it.
#[test]
fn what_is_in_doubt_goes_into_the_file_that_is_begun_where_one_was_removed() {
    for was_read_only in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        let (mut journal, ..) = Journal::open(directory.path()).unwrap();
        let doubtful = journal.intent("x", "digest", &step("1")).unwrap();
        let done = journal.intent("x", "digest", &step("2")).unwrap();
        journal.result(done, StepResult::Changed, None).unwrap();
        if was_read_only {
            journal = Journal::closed(directory.path());
            journal.read_closed();
        }
        let before = history(directory.path(), 1).unwrap();
        std::fs::remove_file(&path).unwrap();
        journal.let_go();
        if !was_read_only {
            // Less than the line.
            journal.room = Some(9);
            journal.ensure_open().unwrap_err();
            journal.room = None;
        }
        journal.ensure_open().unwrap();
        let carried = history(directory.path(), 10).unwrap();
        assert_eq!(carried.iter().map(|step| step.sequence).collect::<Vec<_>>(), [doubtful]);
        assert!(carried[0].at_unix_ms <= before[0].at_unix_ms, "it was begun when it was begun");
        let (mut again, in_doubt, _) = Journal::open(directory.path()).unwrap();
        assert_eq!(in_doubt.iter().map(|doubt| doubt.sequence).collect::<Vec<_>>(), [Some(doubtful)]);
        again.result(doubtful, StepResult::Unknown, None).unwrap();
        std::fs::remove_file(&path).unwrap();
        again.let_go();
        assert!(again.intent("x", "digest", &step("3")).unwrap() > doubtful, "numbers go on");
        let left: Vec<_> = again.open.keys().copied().collect();
        assert_eq!(history(directory.path(), 10).unwrap().iter().map(|step| step.sequence).collect::<Vec<_>>(), left);
        assert_eq!(left.len(), 1, "what has a result is not carried over");
    }
}

/// A piece of a line stayed, and the next line was lost with it.
#[test]
fn a_line_that_does_not_fit_leaves_no_piece() {
    let directory = tempfile::tempdir().unwrap();
    let (mut journal, ..) = Journal::open(directory.path()).unwrap();
    let first = journal.intent("x", "digest", &step("1")).unwrap();
    let path = directory.path().join("journal.jsonl");
    let whole = std::fs::read(&path).unwrap();
    for room in [0, 1, 40] {
        journal.room = Some(room);
        let error = journal.intent("x", "digest", &step("2")).unwrap_err();
        assert!(error.to_string().starts_with("cannot append to "), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), whole, "a step that is not begun is not in doubt");
        journal.result(first, StepResult::Changed, None).unwrap_err();
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }
    journal.room = None;
    journal.result(first, StepResult::Changed, None).unwrap();
    journal.intent("x", "digest", &step("3")).unwrap();
    drop(journal);
    let (_, in_doubt, unreadable) = Journal::open(directory.path()).unwrap();
    assert!(unreadable.is_none(), "{unreadable:?}");
    assert_eq!(in_doubt.iter().map(|doubt| doubt.step.id.as_str()).collect::<Vec<_>>(), ["3"]);
}

/// What a daemon that is killed at any point of a rotation leaves.
#[test]
fn an_interrupted_rotation_loses_no_doubt_and_no_number() {
    let directory = tempfile::tempdir().unwrap();
    let (mut journal, ..) = Journal::open(directory.path()).unwrap();
    let doubtful = journal.intent("x", "digest", &step("0")).unwrap();
    let done = journal.intent("x", "digest", &step("1")).unwrap();
    journal.result(done, StepResult::Changed, None).unwrap();
    let mut left = Vec::new();
    let leave = |left: &mut Vec<tempfile::TempDir>| {
        let copy = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(directory.path()).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
        left.push(copy);
    };
    leave(&mut left);
    journal.rotate(|| leave(&mut left)).unwrap();
    leave(&mut left);
    assert_eq!(left.len(), 6);
    for (point, left) in left.iter().enumerate() {
        for piece in ["journal.jsonl.new", "journal.jsonl.old.new"] {
            std::fs::write(left.path().join(piece), "{\"kind\":").unwrap();
        }
        let (mut journal, in_doubt, unreadable) = Journal::open(left.path()).unwrap();
        assert!(unreadable.is_none(), "{point}: {unreadable:?}");
        assert_eq!(in_doubt.iter().map(|doubt| doubt.sequence).collect::<Vec<_>>(), [Some(doubtful)], "{point}");
        journal.result(doubtful, StepResult::Unknown, None).unwrap();
        drop(journal);
        let (mut journal, in_doubt, _) = Journal::open(left.path()).unwrap();
        assert!(in_doubt.is_empty(), "{point}");
        assert_eq!(journal.intent("x", "digest", &step("2")).unwrap(), done + 1, "{point}: numbers go on");
        let steps = history(left.path(), 10).unwrap();
        assert_eq!(steps.last().map(|step| step.sequence), Some(done + 1), "{point}");
        let mut numbers: Vec<_> = steps.iter().map(|step| step.sequence).collect();
        numbers.dedup();
        assert_eq!(numbers.len(), steps.len(), "{point}: no step is told twice");
    }
}

/// As an earlier build left it: a line that was cut off, ended, and followed by others.
#[test]
fn lines_that_make_no_sense_are_told_once_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let (mut journal, ..) = Journal::open(directory.path()).unwrap();
    journal.intent("x", "digest", &step("1")).unwrap();
    drop(journal);
    let path = directory.path().join("journal.jsonl");
    let whole = std::fs::read_to_string(&path).unwrap();
    let next = whole.replace("\"sequence\":1", "\"sequence\":2");
    let damaged = format!("{whole}{}\n{next}", &whole[..whole.len() / 2]);
    std::fs::write(&path, &damaged).unwrap();

    let (mut journal, in_doubt, unreadable) = Journal::open(directory.path()).unwrap();
    let said = unreadable.unwrap().to_string();
    assert!(said.starts_with("1 line of the journal makes no sense to this version, and what it held is"), "{said}");
    let kept = directory.path().join("journal.jsonl.damaged");
    assert!(said.contains(kept.to_str().unwrap()), "{said}");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), damaged);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{whole}{next}"));
    assert_eq!(in_doubt.len(), 2);
    assert_eq!(journal.intent("x", "digest", &step("3")).unwrap(), 3, "what is written goes into the new file");
    drop(journal);
    let (_, in_doubt, unreadable) = Journal::open(directory.path()).unwrap();
    assert!(in_doubt.len() == 3 && unreadable.is_none(), "it is told once: {unreadable:?}");

    // Where there is no room for a copy, they stay, and so does the daemon.
    std::fs::remove_file(&kept).unwrap();
    std::fs::create_dir(&kept).unwrap();
    let damaged = format!("{whole}x\ny\n");
    std::fs::write(&path, &damaged).unwrap();
    let (mut journal, in_doubt, unreadable) = Journal::open(directory.path()).unwrap();
    let said = unreadable.unwrap().to_string();
    assert!(said.starts_with("2 lines of the journal make no sense to this version"), "{said}");
    assert!(said.contains("could not be kept: cannot write") && said.contains("directory"), "{said}");
    assert_eq!((in_doubt.len(), journal.intent("x", "digest", &step("2")).unwrap()), (1, 2));
    assert!(std::fs::read_to_string(&path).unwrap().starts_with(&damaged));
}

#[test]
fn every_cut_of_the_journal_can_be_opened() {
    let directory = tempfile::tempdir().unwrap();
    let (mut journal, ..) = Journal::open(directory.path()).unwrap();
    let sequence = journal.intent("x", "digest", &step("1")).unwrap();
    journal.result(sequence, StepResult::Failed, Some("no".to_owned())).unwrap();
    let path = directory.path().join("journal.jsonl");
    let whole = std::fs::read(&path).unwrap();
    let intent_end = whole.iter().position(|byte| *byte == b'\n').unwrap();
    for cut in 0..=whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let (mut journal, in_doubt, _) = Journal::open(directory.path()).unwrap();
        let result_is_whole = cut + 1 >= whole.len();
        let expected = usize::from(cut >= intent_end && !result_is_whole);
        assert_eq!(in_doubt.len(), expected, "cut after {cut} bytes");
        let next = journal.intent("x", "digest", &step("2")).unwrap();
        drop(journal);
        let (_, in_doubt, _) = Journal::open(directory.path()).unwrap();
        assert!(in_doubt.iter().any(|step| step.step.id == "2"), "cut after {cut} bytes, next is {next}");
    }
}

/// A journal that has no room for a second file goes on growing, and is begun anew when there is room.
#[test]
fn a_rotation_without_room_keeps_nobody_from_his_step() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (mut journal, ..) = Journal::open(directory.path()).unwrap();
    let mut large = step("large");
    large.summary = "x".repeat(usize::try_from(ROTATE_BYTES).unwrap());
    let doubtful = journal.intent("x", "digest", &large).unwrap();
    for obstacle in ["journal.jsonl.old.new", "journal.jsonl.old", "journal.jsonl.new"] {
        std::fs::create_dir(path(obstacle)).unwrap();
        // Nobody can take it away to make room.
        std::fs::write(path(obstacle).join("file"), "").unwrap();
        let before = std::fs::metadata(path("journal.jsonl")).unwrap().len();
        let sequence = journal.intent("x", "digest", &step("small")).unwrap();
        journal.result(sequence, StepResult::Changed, None).unwrap();
        assert!(std::fs::metadata(path("journal.jsonl")).unwrap().len() > before, "{obstacle}");
        std::fs::remove_dir_all(path(obstacle)).unwrap();
        drop(std::fs::remove_file(path("journal.jsonl.old")));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "{obstacle}: nothing takes up room");
    }
    let steps = history(directory.path(), 10).unwrap().len();
    journal.result(doubtful, StepResult::Changed, None).unwrap();
    journal.intent("x", "digest", &step("last")).unwrap();
    assert!(std::fs::metadata(path("journal.jsonl")).unwrap().len() < 4096);
    assert_eq!(history(directory.path(), 10).unwrap().len(), steps + 1);
}

/// What not even root can open, and may be able to later: the path leads through a file.
fn obstruct(path: &std::path::Path) {
    let file = path.with_extension("file");
    std::fs::write(&file, "").unwrap();
    std::os::unix::fs::symlink(file.join("x"), path).unwrap();
}

/// The disk was read-only when the daemon started.
#[test]
fn a_journal_that_could_not_be_opened_is_opened_by_the_first_line_that_can_be_written() {
    let directory = tempfile::tempdir().unwrap();
    let (mut journal, ..) = Journal::open(directory.path()).unwrap();
    journal.intent("x", "digest", &step("1")).unwrap();
    drop(journal);
    let mut journal = Journal::closed(directory.path());
    for doubts in [1, 0] {
        journal.read_closed();
        assert_eq!(journal.take_found().in_doubt.len(), doubts, "each doubt is told once");
    }
    let path = directory.path().join("journal.jsonl");
    std::fs::rename(&path, directory.path().join("aside")).unwrap();
    obstruct(&path);
    journal.intent("x", "digest", &step("2")).unwrap_err();
    assert!(journal.take_found().unreadable.is_none());
    std::fs::remove_file(&path).unwrap();
    std::fs::rename(directory.path().join("aside"), &path).unwrap();
    std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"nonsense\n").unwrap();
    let second = journal.intent("x", "digest", &step("2")).unwrap();
    let Found { in_doubt, unreadable } = journal.take_found();
    assert!(unreadable.unwrap().to_string().starts_with("1 line of the journal") && in_doubt.is_empty());
    assert!(journal.take_found().unreadable.is_none(), "once");
    let numbers: Vec<_> = history(directory.path(), 10).unwrap().iter().map(|step| step.sequence).collect();
    assert_eq!((numbers, second), (vec![1, 2], 2));
}

/// It is a file of a share, or of another user, when the daemon starts.
#[test]
fn what_is_in_doubt_in_a_journal_that_could_not_be_read_is_told_when_it_can_be() {
    for can_be_written in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        let (mut journal, ..) = Journal::open(directory.path()).unwrap();
        journal.intent("x", "digest", &step("1")).unwrap();
        drop(journal);
        std::fs::rename(&path, directory.path().join("aside")).unwrap();
        obstruct(&path);
        let mut journal = Journal::closed(directory.path());
        journal.ensure_open().unwrap_err();
        for _ in 0..2 {
            journal.read_closed();
            assert!(journal.unread().unwrap().to_string().starts_with("cannot read "), "nobody knows of no doubt");
            assert!(journal.take_found().in_doubt.is_empty());
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::rename(directory.path().join("aside"), &path).unwrap();
        match can_be_written {
            true => journal.ensure_open().unwrap(),
            false => journal.read_closed(),
        }
        assert!(journal.unread().is_none());
        let in_doubt = journal.take_found().in_doubt;
        assert_eq!((in_doubt.len(), in_doubt[0].sequence, in_doubt[0].is_inherited), (1, Some(1), true));
        assert_eq!(journal.intent("x", "digest", &step("2")).unwrap(), 2, "numbers go on");
        assert!(journal.take_found().in_doubt.is_empty(), "once, and what this daemon begins is not an earlier one's");
    }
}
