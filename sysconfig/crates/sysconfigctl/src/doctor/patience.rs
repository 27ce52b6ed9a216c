//! Looks that may never end: at a mount whose server is gone, every call waits for ever.

use std::fs::File;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use process_runner::Command;
use rustix::process::{Pid, Signal, kill_process_group};

/// How long a directory may take to be listed, on a share of an emulated machine.
pub(super) const TO_ANSWER: Duration = Duration::from_secs(5);

/// Whether a directory can be listed within a time, or found not to be one. A process of its own tries that: Linux does not
/// even end a process that waits for some file systems, and this one must end. So nobody waits for it, either; it is killed,
/// and gone as soon as the system lets it.
pub(super) fn answers(directory: &Path, patience: Duration) -> bool {
    ends(&Command::new("ls").arg("-lL").arg(directory), patience)
}

fn ends(command: &Command, patience: Duration) -> bool {
    // What cannot be tried is left to those who look at it next.
    let Ok(nowhere) = File::options().write(true).open("/dev/null") else { return true };
    let Ok(mut running) = command.spawn_detached(&nowhere) else { return true };
    let give_up = Instant::now() + patience;
    while Instant::now() < give_up {
        if !matches!(running.try_wait(), Ok(None)) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    // It was not waited for, so the id is still its own, and that of its group.
    if let Some(group) = i32::try_from(running.pid()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    false
}

/// What a look finds within a time. One that does not end is left to itself, in its thread, so it must not start anything
/// that would be left with it.
pub(super) fn within<T: Send + 'static>(patience: Duration, look: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, found) = mpsc::channel();
    let run = move || drop(sender.send(look()));
    std::thread::Builder::new().name("look".to_owned()).spawn(run).ok()?;
    found.recv_timeout(patience).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn fifo(directory: &Path) -> std::path::PathBuf {
        let fifo = directory.join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
        fifo
    }

    #[test]
    fn nobody_waits_for_what_does_not_end() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = fifo(directory.path());
        let read = fifo.clone();
        assert!(within(Duration::from_millis(100), move || std::fs::read(read)).is_none());
        // Whoever opens the other end lets it go.
        drop(File::options().write(true).open(&fifo).unwrap());
        assert!(answers(directory.path(), Duration::from_secs(60)));
        assert!(answers(&directory.path().join("none"), Duration::from_secs(60)));
        assert_eq!(within(Duration::from_secs(60), || 7), Some(7));
    }

    /// A child of the program reads a pipe, so that its end can be seen at the other end.
    #[test]
    fn what_does_not_end_is_killed_with_its_children() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = fifo(directory.path());
        let other = fifo.clone();
        let opening = std::thread::spawn(move || File::options().write(true).open(other).unwrap());
        let hanging = Command::new("sh").args(["-c", "cat \"$1\" & wait", "sh"]).arg(&fifo);
        // Once it has begun to read; on a busy machine that takes more than one attempt.
        while !opening.is_finished() {
            assert!(!ends(&hanging, Duration::from_millis(500)));
        }
        let mut writer = opening.join().unwrap();
        let give_up = Instant::now() + Duration::from_secs(60);
        while writer.write_all(b"x").is_ok() {
            assert!(Instant::now() < give_up, "it still reads");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
