//! What `up` is asked for, and whom it tells how far it is.

use crate::accelerator::Accelerator;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

/// What is asked of `up`; what is `None` stays as it was the last time.
#[derive(Clone, Debug)]
pub struct UpOptions {
    /// The image.
    pub image: Option<PathBuf>,
    /// The machine type, as QEMU names it.
    pub machine: Option<String>,
    /// The guest's memory in MiB.
    pub memory_mib: Option<u32>,
    /// The number of virtual processors.
    pub cpus: Option<u32>,
    /// The host directory that the guest sees.
    pub share: ShareChoice,
    /// The accelerator; found out by trying when `None`.
    pub accelerator: Option<Accelerator>,
    /// Whether the machine's disk is thrown away first.
    pub recreate: bool,
    /// How long the guest may take to be ready; `None` does not wait.
    pub timeout: Option<Duration>,
}

/// Which host directory the guest sees.
#[derive(Clone, Debug)]
pub enum ShareChoice {
    /// The one of the last time, or `default` when the machine is new.
    Remembered {
        /// What a new machine gets.
        default: Option<PathBuf>,
        /// Whether the guest may change it.
        writable: bool,
    },
    /// None at all.
    None,
    /// This one.
    Directory {
        /// The directory.
        path: PathBuf,
        /// Whether the guest may change it.
        writable: bool,
    },
}

/// What is said while something takes time.
pub trait Progress {
    /// One thing that was found out or done.
    fn note(&mut self, message: &str);
    /// The guest is still not ready; called some times each second. Whether to go on waiting is the answer.
    fn waiting(&mut self, elapsed: Duration) -> ControlFlow<()>;
}
