//! Ending on request: Ctrl-C, `kill`, and a terminal that is closed.
//!
//! The programs that a build starts are in process groups of their own, so the terminal's signal reaches only this
//! one. A thread takes it, ends them, removes what is half made, and ends the process.

use crate::{scratch, terminal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What programs are given to remove what they have begun; `mmdebstrap` removes a root.
const GRACE: Duration = Duration::from_secs(10);

static IS_ENDING: AtomicBool = AtomicBool::new(false);

/// Ends the process in good order when a signal asks for it, from now on.
///
/// A second signal ends it at once. One that was ignored when the process was started, as `nohup` does, remains so.
pub(crate) fn watch() -> io::Result<()> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let wanted = [SIGHUP, SIGINT, SIGTERM].into_iter().filter(|signal| !is_ignored(&status, *signal));
    let mut signals = Signals::new(wanted)?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if IS_ENDING.swap(true, Ordering::AcqRel) {
                std::process::exit(128 + signal);
            }
            // Beside this thread, which has to be there for a second signal.
            std::thread::spawn(move || end(signal));
        }
    });
    Ok(())
}

/// Does not return when a signal has come: what went wrong after that is nobody's business.
pub(crate) fn wait_if_ending() {
    while IS_ENDING.load(Ordering::Acquire) {
        std::thread::park();
    }
}

#[expect(clippy::print_stderr, reason = "the last words of an interrupted run")]
fn end(signal: i32) {
    image_steps::abandon(GRACE);
    scratch::remove_all();
    terminal::clear();
    eprintln!("image-builder: interrupted; finished steps are kept, and the next run goes on from there");
    std::process::exit(128 + signal);
}

/// proc(5): `SigIgn:` and a mask in hexadecimal, bit 0 for signal 1. Other systems have no such file.
fn is_ignored(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_left_alone() {
        let status = "Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n";
        assert!(is_ignored(status, SIGHUP));
        assert!(!is_ignored(status, SIGINT) && !is_ignored(status, SIGTERM) && !is_ignored("", SIGHUP));
    }
}
