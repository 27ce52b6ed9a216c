//! One build at a time in a workspace.
//!
//! Two at once would write the same image under construction and let two `apt` work in the same directories. The
//! lock is a `flock` of `WORKSPACE/lock`, which the kernel frees when its holder dies, however it dies; the file's
//! content is only there to name the holder.

use crate::debian;
use crate::holder::Holder;
use crate::leftovers;
use crate::target;
use crate::workspace::{Workspace, WorkspaceError};
use process_runner::Guarded;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the programs of a killed holder are waited for, which keep the lock until they have ended.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);
/// How often one that waits for a holder that works tries again.
const WAIT: Duration = Duration::from_millis(200);

/// The workspaces that this process has locked.
static HELD: Mutex<Vec<Workspace>> = Mutex::new(Vec::new());

/// Whoever has this is the only one that writes to the workspace.
///
/// The programs that it starts end with it, even when this process is killed.
#[derive(Debug)]
pub struct WorkspaceLock {
    file: File,
    root: PathBuf,
    was_killed: Option<Holder>,
    /// The one after this is told of the killed run, too.
    hands_on: bool,
    _guard: Option<Guarded>,
}

impl WorkspaceLock {
    /// Takes the lock, and removes what a killed run has left half made.
    ///
    /// It is not waited for, unless its holder is dead and only the programs are left that are being ended for it.
    ///
    /// # Errors
    /// [`WorkspaceError::Busy`] when another process has it; when the file cannot be used.
    pub fn acquire(workspace: &Workspace) -> Result<Self, WorkspaceError> {
        Self::acquire_or(workspace, |_| false)
    }

    /// The same, and another process that has it is waited for. Whoever that is, as far as it has said so, is told to `tell`
    /// once for each.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn wait_for(workspace: &Workspace, mut tell: impl FnMut(Option<&Holder>)) -> Result<Self, WorkspaceError> {
        let mut told: Option<Option<Holder>> = None;
        Self::acquire_or(workspace, |holder| {
            if told.as_ref().is_none_or(|told| told.as_ref() != holder) {
                tell(holder);
                told = Some(holder.cloned());
            }
            std::thread::sleep(WAIT);
            true
        })
    }

    /// Takes the lock, and tries again as long as `goes_on` says so of whoever has it.
    fn acquire_or(
        workspace: &Workspace,
        mut goes_on: impl FnMut(Option<&Holder>) -> bool,
    ) -> Result<Self, WorkspaceError> {
        let path = workspace.root().join("lock");
        let failed = |operation| {
            let path = path.clone();
            move |source| WorkspaceError::Lock { operation, path, source }
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(failed("open"))?;
        while !lock(&mut file).map_err(failed("lock"))? {
            let holder = Holder::read(&mut file);
            if !goes_on(holder.as_ref()) {
                return Err(WorkspaceError::Busy { path, holder });
            }
        }
        let was_killed = Holder::read(&mut file);
        Holder::this_process().write(&mut file).map_err(failed("write"))?;
        held().push(workspace.clone());
        let guard = file.try_clone().ok().map(|file| process_runner::guard(OwnedFd::from(file)));
        let root = workspace.root().to_owned();
        let locked = Self { file, root, was_killed, hands_on: false, _guard: guard };
        leftovers::take_up(workspace)?;
        Ok(locked)
    }

    /// The same for a run that goes on with nothing: the build after it still hears of a run before it that was killed.
    ///
    /// # Errors
    /// As for [`Self::acquire`].
    pub fn acquire_in_between(workspace: &Workspace) -> Result<Self, WorkspaceError> {
        let mut lock = Self::acquire(workspace)?;
        lock.hands_on = true;
        Ok(lock)
    }

    /// The process that had the lock last, when it was killed.
    #[must_use]
    pub fn was_killed(&self) -> Option<&Holder> {
        self.was_killed.as_ref()
    }
}

impl Drop for WorkspaceLock {
    fn drop(&mut self) {
        let mut held = held();
        if let Some(index) = held.iter().position(|workspace| workspace.root() == self.root) {
            held.remove(index);
        }
        // An empty file says that the holder has ended in good order. The lock is given up explicitly, because the
        // guard has the same open file.
        let _ = match self.was_killed.take().filter(|_| self.hands_on) {
            Some(killed) => killed.write(&mut self.file),
            None => self.file.set_len(0),
        };
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// Ends every program and removes everything half made, for a process that is about to exit.
///
/// No program can be started afterwards, and no image in several forms gets its names; one that is just getting them is
/// waited for. `grace` is what the programs are given to tidy up. Other threads may go on building meanwhile.
pub fn abandon(grace: Duration) {
    process_runner::end_all(grace);
    target::end_placing();
    debian::end_making();
    for workspace in held().iter() {
        // What cannot be removed now is removed by the next run.
        let _ = leftovers::remove_unfinished(workspace);
    }
}

/// Whether the lock was free. One whose holder is dead is waited for.
fn lock(file: &mut File) -> io::Result<bool> {
    let until = Instant::now() + PATIENCE;
    loop {
        match flock(&*file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => {
                let is_ending = Holder::read(file).is_some_and(|holder| !holder.is_alive());
                if !is_ending || Instant::now() >= until {
                    return Ok(false);
                }
                std::thread::sleep(POLL);
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn held() -> std::sync::MutexGuard<'static, Vec<Workspace>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::holder::utc;
    use crate::workspace::Location;
    use std::path::Path;

    fn workspace(directory: &Path) -> Workspace {
        Workspace::open(&Location::Directory(directory.to_owned())).expect("a workspace")
    }

    #[test]
    fn a_second_holder_is_refused_and_told_of_the_first() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let workspace = workspace(directory.path());
        let first = WorkspaceLock::acquire(&workspace).expect("it is free");
        assert_eq!(first.was_killed(), None);
        let error = WorkspaceLock::acquire(&workspace).expect_err("it is taken");
        let (text, help) = (error.to_string(), error.help().expect("a way out"));
        let pid = std::process::id();
        assert!(text.contains(&format!("worked in by process {pid}, since 20")), "{text}");
        assert!(text.contains(": ") && help.contains(&format!("kill {pid}")), "{text} {help}");
        drop(first);
        let again = WorkspaceLock::acquire(&workspace).expect("it is free again");
        assert_eq!(again.was_killed(), None, "the first one ended in good order");
    }

    #[test]
    fn what_a_killed_holder_has_left_is_removed_and_it_is_named() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let workspace = workspace(directory.path());
        let holder = Holder { pid: 1, since: utc(0), command: "image-builder build".to_owned() };
        let mut file = File::create(workspace.root().join("lock")).expect("the lock of the killed one");
        holder.write(&mut file).expect("it is written");
        for path in ["output/x.raw.tmp", "output/.packing-abc123", "debian/.writing-abc123", "output/x.raw"] {
            std::fs::write(workspace.root().join(path), "").expect("a file");
        }
        std::fs::create_dir_all(workspace.work().join("root-ext4-abc123/attributes")).expect("a directory");
        let locked = WorkspaceLock::acquire(&workspace).expect("a dead holder blocks nobody");
        assert_eq!(locked.was_killed(), Some(&holder));
        let names = |path: &Path| {
            let entries = std::fs::read_dir(path).expect("it is there");
            entries.map(|entry| entry.expect("an entry").file_name()).collect::<Vec<_>>()
        };
        assert_eq!(names(workspace.output()), ["x.raw"]);
        assert!(names(workspace.work()).is_empty() && names(&workspace.debian()).is_empty());
    }

    #[test]
    fn who_only_comes_in_between_hands_on_what_was_killed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let workspace = workspace(directory.path());
        let holder = Holder { pid: 1, since: utc(0), command: "image-builder build".to_owned() };
        let mut file = File::create(workspace.root().join("lock")).expect("the lock of the killed one");
        holder.write(&mut file).expect("it is written");
        for _ in 0..2 {
            let between = WorkspaceLock::acquire_in_between(&workspace).expect("it is free");
            assert_eq!(between.was_killed(), Some(&holder));
        }
        assert_eq!(WorkspaceLock::acquire(&workspace).expect("it is free").was_killed(), Some(&holder));
        let after = WorkspaceLock::acquire_in_between(&workspace).expect("it is free");
        assert_eq!(after.was_killed(), None, "that was heard of");
    }
}
