//! What the daemon itself has not noticed: that the configuration files changed since it read them.

use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;

use sysconfig_protocol::Severity;
use sysconfig_protocol::admin::{Problem, StatusReport};

use super::Desk;
use crate::config::{Fingerprint, Sources};

/// How long files may take to be looked at; who asks for the status has not much time.
const PATIENCE: Duration = Duration::from_secs(1);

/// One look at the files at a time, however many ask for the status: the engine must find a place for its own.
#[derive(Debug, Clone, Default)]
pub struct Lookout(Arc<Mutex<Option<Receiver<Fingerprint>>>>);

impl Lookout {
    /// The files as they are, or none when their file system does not answer; nothing while somebody else is looking. A look
    /// that nobody has waited for any longer is taken up, and not waited for again.
    fn look(&self, sources: &Sources, before: &Fingerprint) -> Option<Option<Fingerprint>> {
        let mut pending = match self.0.try_lock() {
            Ok(pending) => pending,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        if let Some(late) = pending.take() {
            match late.try_recv() {
                Err(TryRecvError::Empty) => {
                    *pending = Some(late);
                    return Some(None);
                }
                // It is of another moment.
                Ok(_) | Err(TryRecvError::Disconnected) => (),
            }
        }
        let begun = Fingerprint::begin(sources, before.clone())?;
        match begun.recv_timeout(PATIENCE) {
            Ok(seen) => Some(Some(seen)),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                *pending = Some(begun);
                Some(None)
            }
        }
    }
}

/// The status, with the files as they are at this moment.
pub(super) fn status(desk: &Desk) -> StatusReport {
    let Some(seen) = desk.board.config_seen() else { return desk.board.status() };
    let Some(now) = desk.lookout.look(&desk.sources, &seen) else { return desk.board.status() };
    // Read afterwards: they may have been taken over meanwhile.
    let is_known = now.as_ref().is_some_and(|now| now.says_as_much_as(&seen)) || desk.board.config_seen() != Some(seen);
    let mut status = desk.board.status();
    let problem = |message: &str, help: &str| Problem {
        subject: "config".to_owned(),
        message: message.to_owned(),
        help: Some(help.to_owned()),
        place: None,
        severity: Severity::Warning,
    };
    match now {
        _ if is_known => (),
        Some(_) => status.problems.push(problem(
            "the files changed since they were read, and nobody knows whether what they say is in force",
            "sysconfigctl plan shows what they would change",
        )),
        None => status.problems.push(problem(
            "the files cannot be looked at: their file system does not answer",
            "see that it, or the server of it, answers",
        )),
    }
    status
}
