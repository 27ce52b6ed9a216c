//! The queue that the engine takes everything from.
//!
//! It stays short while the engine does something long: what plugins say and what is found waits elsewhere, each about the
//! same thing once, and the number of commands is limited where they come from.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use sysconfig_protocol::ErrorObject;
use sysconfig_protocol::admin::{
    Apply, ApplyReport, ConfirmReport, PlanReport, PluginStatus, ReloadReport, UndoReport,
};
use sysconfig_protocol::envelope::code;

use crate::plugin::Fault;
use crate::service::signals;

/// Counts the commands that have a place in the queue.
#[derive(Debug, Clone, Default)]
pub struct Turns(Arc<AtomicUsize>);

impl Turns {
    /// A place, unless so many are taken.
    pub fn take(&self, most: usize) -> Option<Turn> {
        let turn = Turn { taken: self.clone(), is_wanted: Arc::new(AtomicBool::new(true)) };
        (self.0.fetch_add(1, Ordering::Relaxed) < most).then_some(turn)
    }
}

/// A place in the queue, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    taken: Turns,
    is_wanted: Arc<AtomicBool>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.taken.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where an answer goes.
#[derive(Debug)]
pub struct Reply<T> {
    sender: SyncSender<Result<T, ErrorObject>>,
    turn: Turn,
}

/// Where an answer comes from. Dropping it says that nobody waits any more.
#[derive(Debug)]
pub struct Answer<T> {
    /// The answer, in time.
    pub receiver: Receiver<Result<T, ErrorObject>>,
    is_wanted: Arc<AtomicBool>,
}

impl<T> Reply<T> {
    /// Both ends.
    pub fn new(turn: Turn) -> (Self, Answer<T>) {
        let (sender, receiver) = sync_channel(1);
        let is_wanted = turn.is_wanted.clone();
        (Self { sender, turn }, Answer { receiver, is_wanted })
    }

    /// Gives the answer. One for a client that went away goes nowhere.
    pub(super) fn send(self, result: Result<T, ErrorObject>) {
        // Whoever has the answer may ask anew.
        drop(self.turn);
        drop(self.sender.send(result));
    }

    /// Whether somebody still waits.
    pub(super) fn is_wanted(&self) -> bool {
        self.turn.is_wanted.load(Ordering::Relaxed)
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        self.is_wanted.store(false, Ordering::Relaxed);
    }
}

/// What the admin socket asks for, as far as the engine is needed for it.
#[derive(Debug)]
pub enum Command {
    /// Observe and plan.
    Plan(Reply<PlanReport>),
    /// Apply.
    Apply(Apply, Reply<ApplyReport>),
    /// Keep the change that waits for its confirmation.
    Confirm(Reply<ConfirmReport>),
    /// Take it back.
    UndoChange(Reply<UndoReport>),
    /// Read the configuration again.
    Reload(Reply<ReloadReport>),
    /// Stop and start a plugin.
    PluginRestart(String, Reply<PluginStatus>),
}

/// Everything that can happen.
#[derive(Debug)]
pub enum Event {
    /// An administrator asks for something.
    Command(Command),
    /// The watch has found something, which waits to be taken.
    Found,
    /// Plugins have said something, which waits to be taken.
    Said,
    /// A plugin's process cannot be talked to any more.
    Ended {
        /// The plugin's name.
        plugin: String,
        /// Which of its processes.
        instance: u64,
        /// Why not.
        fault: Fault,
    },
    /// A signal came.
    Signal(signals::Request),
}

impl Command {
    /// Answers that the daemon is stopping.
    pub(super) fn refuse(self) {
        fn refuse<T>(reply: Reply<T>) {
            reply.send(Err(ErrorObject::new(code::STOPPING, "the daemon is stopping")));
        }
        match self {
            Self::Plan(reply) => refuse(reply),
            Self::Apply(_, reply) => refuse(reply),
            Self::Confirm(reply) => refuse(reply),
            Self::UndoChange(reply) => refuse(reply),
            Self::Reload(reply) => refuse(reply),
            Self::PluginRestart(_, reply) => refuse(reply),
        }
    }

    /// Whether it only asks, and nobody waits for the answer any more.
    pub(super) fn is_pointless(&self) -> bool {
        match self {
            Self::Plan(reply) => !reply.is_wanted(),
            Self::Apply(request, reply) => request.dry_run && !reply.is_wanted(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_and_free_when_the_answer_is_there() {
        let turns = Turns::default();
        let (reply, answer) = Reply::<u8>::new(turns.take(2).unwrap());
        let (lost, _) = Reply::<u8>::new(turns.take(2).unwrap());
        assert!(turns.take(2).is_none() && turns.take(2).is_none(), "a refusal takes no place");
        assert!(turns.take(3).is_some(), "there is more room for who must not be refused");
        assert!(reply.is_wanted() && !lost.is_wanted());
        reply.send(Ok(7));
        assert_eq!(answer.receiver.recv().unwrap().unwrap(), 7);
        assert!(turns.take(2).is_some());
        drop(lost);
        assert!(turns.take(1).is_some());
    }
}
