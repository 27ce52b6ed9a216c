//! Telling SMF when the first round is complete.
//!
//! SMF counts a contract service online when its start method returns. So with `--smf` the program starts itself once
//! more and waits; the second process is the mirror, and a byte on the socket that is its standard input lets the
//! first one exit. Nothing is forked, and no descriptor has to be conjured out of a number.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};

/// Tells the second process what it is.
const SECOND_PROCESS_VARIABLE: &str = "NINEP_MIRROR_READY_ON_STDIN";
const READY: &[u8; 1] = b"R";

/// Whether this is the second process of `--smf`.
pub(super) fn is_second_process() -> bool {
    std::env::var_os(SECOND_PROCESS_VARIABLE).is_some()
}

/// In the second process: the first round is complete.
pub(super) fn ready() {
    // A first process that was killed by the start timeout needs no answer.
    let _ = rustix::io::write(io::stdin(), READY);
}

/// In the first process: starts the mirror with the same arguments and waits until it is ready. Answers the exit status
/// to end with: 0 when it is, otherwise what the mirror ended with, or 1 when it takes longer than `time`.
#[expect(clippy::disallowed_methods, reason = "the mirror starts itself; the process runner waits for what it starts")]
pub(super) fn start_and_wait(arguments: impl Iterator<Item = OsString>, time: Duration) -> io::Result<u8> {
    let (mut ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).env(SECOND_PROCESS_VARIABLE, "1").process_group(0);
    command.stdin(Stdio::from(OwnedFd::from(theirs)));
    let mut mirror = command.spawn()?;
    // The command holds the mirror's end of the pair; without dropping it the mirror's death would go unnoticed.
    drop(command);
    ours.set_read_timeout(Some(time))?;
    let mut answer = [0; 1];
    match uninterrupted(&mut ours, &mut answer) {
        Ok(1) if answer == *READY => Ok(0),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            end(&mut mirror)?;
            Ok(1)
        }
        _ => Ok(exit_code(mirror.wait()?.code())),
    }
}

/// A read that signals do not end, as a stop and a continuation of this process do.
fn uninterrupted(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// An end without readiness is never a success.
fn exit_code(code: Option<i32>) -> u8 {
    code.and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0).unwrap_or(1)
}

fn end(mirror: &mut Child) -> io::Result<()> {
    rustix::process::kill_process(Pid::from_child(mirror), Signal::TERM)?;
    mirror.wait()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wait that a signal had ended was taken for the end of the mirror.
    #[test]
    fn a_signal_is_no_answer() {
        struct Stopped(bool);
        impl Read for Stopped {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.0, false) {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                buffer[..1].copy_from_slice(READY);
                Ok(1)
            }
        }
        let mut answer = [0];
        assert_eq!((uninterrupted(&mut Stopped(true), &mut answer).unwrap(), answer), (1, *READY));
    }
}
