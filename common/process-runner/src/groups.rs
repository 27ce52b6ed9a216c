//! The process groups that run right now, so that all of them can be ended together.
//!
//! Every program runs in a process group of its own, so a signal from the terminal does not reach it, and nobody
//! ends it when this process dies. Hence two ways out: [`end_all`] for a process that ends in good order, and a
//! [`guard`] for one that is killed.

use crate::guard::Guard;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the other members of a group are waited for when its head has ended.
const MEMBERS_GRACE: Duration = Duration::from_secs(1);

static GROUPS: Mutex<Groups> = Mutex::new(Groups { running: Vec::new(), is_ending: false, guard: None });

struct Groups {
    /// None of the heads has been waited for, so that no id is another process's by now.
    running: Vec<Group>,
    is_ending: bool,
    guard: Option<Guard>,
}

/// A program that runs.
struct Group {
    head: Pid,
    /// The id of its process group.
    id: Pid,
    /// A process that does nothing, for which the group was made. See [`Guard::make_group`].
    keeper: Option<Child>,
}

/// Starts a program in a group of its own, which is noted; `None` when everything is being ended.
pub(crate) fn start(command: &mut Command) -> io::Result<Option<Child>> {
    let mut groups = lock();
    if groups.is_ending {
        return Ok(None);
    }
    let mut keeper = groups.guard.as_mut().and_then(Guard::make_group);
    let group = keeper.as_ref().and_then(pid);
    let started = command.process_group(group.map_or(0, |group| group.as_raw_nonzero().get())).spawn();
    match started.as_ref().ok().and_then(pid) {
        Some(head) => groups.running.push(Group { head, id: group.unwrap_or(head), keeper }),
        None => groups.let_go(group, keeper.as_mut()),
    }
    started.map(Some)
}

/// Whether the program has ended, and how; then its group is forgotten.
pub(crate) fn try_wait(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    // Under the lock: once it is waited for, its id may be given to another process at any time.
    let mut groups = lock();
    let status = child.try_wait()?;
    if status.is_some() {
        groups.forget(child);
    }
    Ok(status)
}

/// Kills the whole group and waits for its head.
pub(crate) fn kill(child: &mut Child) -> io::Result<()> {
    let group = |head: Pid| lock().running.iter().find(|group| group.head == head).map_or(head, |group| group.id);
    if let Some(group) = pid(child).map(group) {
        // It may have ended in this very moment: then there is nothing left to kill.
        let _ = kill_process_group(group, Signal::KILL);
    }
    while try_wait(child)?.is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Ends every program that runs, for a process that is about to exit: no program is started from now on.
///
/// Each gets `TERM`, so that it can remove what it has begun, and after `grace` whatever is left is killed; what a
/// program leaves of its group when it ends has a second. Programs that were started detached or on the user's
/// terminal are left alone.
pub fn end_all(grace: Duration) {
    let mut left = {
        let mut groups = lock();
        groups.is_ending = true;
        groups.running.iter().map(|group| group.id).collect::<Vec<_>>()
    };
    for pid in &left {
        let _ = kill_process_group(*pid, Signal::TERM);
    }
    // The threads that started the programs wait for them; so their heads disappear from the list.
    wait_until(grace, || lock().running.is_empty());
    // An id is not given away as long as a group has it, and this looks too often to miss its end.
    let mut all_gone = || {
        left.retain(|pid| test_kill_process_group(*pid) != Err(Errno::SRCH));
        left.is_empty()
    };
    if !wait_until(MEMBERS_GRACE, &mut all_gone) {
        for pid in &left {
            let _ = kill_process_group(*pid, Signal::KILL);
        }
        wait_until(MEMBERS_GRACE, || lock().running.is_empty());
    }
}

/// Whether it happened in time.
fn wait_until(patience: Duration, mut happened: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + patience;
    while !happened() {
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

/// Has the programs that are started from now on ended even when this process is killed.
///
/// A shell waits beside them for the end of this process; when it comes, it does what [`end_all`] does. It keeps
/// `held` open for so long: a lock that belongs to the open file is free only when nothing works under it any
/// more. The shell is started with the first program. There is one guard at a time: where another is still
/// needed, this one has no effect.
#[must_use = "the guard ends with the value"]
pub fn guard(held: OwnedFd) -> Guarded {
    let mut groups = lock();
    let is_ours = groups.guard.is_none();
    if is_ours {
        groups.guard = Some(Guard::new(held));
    }
    Guarded { is_ours }
}

/// As long as this lives, programs do not outlive this process. See [`guard`].
#[derive(Debug)]
pub struct Guarded {
    is_ours: bool,
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if self.is_ours {
            let mut groups = lock();
            let mut guard = groups.guard.take();
            // This process lives, and other threads may work elsewhere: what they run is not the shell's to end.
            for group in &groups.running {
                guard.iter_mut().for_each(|guard| guard.remove(group.id));
            }
            // Not under the lock: it waits for the shell.
            drop(groups);
            drop(guard);
        }
    }
}

impl Groups {
    fn forget(&mut self, child: &Child) {
        let head = pid(child);
        if let Some(index) = self.running.iter().position(|group| Some(group.head) == head) {
            let mut group = self.running.swap_remove(index);
            self.let_go(Some(group.id), group.keeper.as_mut());
        }
    }

    fn let_go(&mut self, group: Option<Pid>, keeper: Option<&mut Child>) {
        if let (Some(guard), Some(group)) = (&mut self.guard, group) {
            guard.remove(group);
        }
        if let Some(keeper) = keeper {
            // It has ended when it was not ours to keep it, and is waited for in any case.
            let _ = keeper.kill().and_then(|()| keeper.wait());
        }
    }
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

fn lock() -> MutexGuard<'static, Groups> {
    // Every critical section leaves the list whole.
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}
