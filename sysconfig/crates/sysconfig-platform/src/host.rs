//! The machine that plugins act on.

use crate::hostname::{KernelNodeName, NodeName};
use crate::stack::NetworkStack;
use crate::{Completed, Invocation, ProcessRunner, Root, Runner};
use process_runner::CommandError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The kinds of system that plugins can configure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// illumos distributions, with SMF.
    Illumos,
    /// Linux, with or without systemd.
    Linux,
}

impl System {
    /// The system this program was built for; `None` where there is no platform module for it.
    #[must_use]
    pub fn current() -> Option<Self> {
        if cfg!(target_os = "illumos") {
            Some(Self::Illumos)
        } else if cfg!(target_os = "linux") {
            Some(Self::Linux)
        } else {
            None
        }
    }

    /// This system, or the one that the program is for, where that is known: a program without the simulated machines
    /// meets no other. The compiler knows the answer, so that programs hold no code for the other system.
    #[inline(always)]
    #[must_use]
    pub fn met(self) -> Self {
        if cfg!(any(test, feature = "fake")) { self } else { Self::current().unwrap_or(self) }
    }

    /// Whether the program can meet this system; see [`Self::met`].
    #[inline(always)]
    #[must_use]
    pub fn is_met(self) -> bool {
        self.met() == self
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Illumos => "illumos",
            Self::Linux => "Linux",
        })
    }
}

/// A machine: its kind, its root, and the seams to its programs and its kernel.
#[derive(Clone, Debug)]
pub struct Host {
    system: System,
    /// The directory that stands for `/`.
    pub root: Root,
    /// How long to pause between two looks at something that takes time.
    pub poll_interval: Duration,
    pub(crate) runner: Arc<dyn Runner>,
    pub(crate) node_name: Arc<dyn NodeName>,
    pub(crate) stack: Arc<dyn NetworkStack>,
}

impl Host {
    /// The machine this program runs on; `None` on a system without a platform module.
    #[must_use]
    pub fn current() -> Option<Self> {
        Some(Self {
            system: System::current()?,
            root: Root::default(),
            poll_interval: Duration::from_millis(100),
            runner: Arc::new(ProcessRunner),
            node_name: Arc::new(KernelNodeName),
            stack: kernel_stack(),
        })
    }

    /// A machine put together from parts, for tests.
    #[cfg(any(test, feature = "fake"))]
    #[must_use]
    pub fn assembled(system: System, root: Root, runner: Arc<dyn Runner>, node_name: Arc<dyn NodeName>) -> Self {
        Self {
            system,
            root,
            poll_interval: Duration::from_millis(1),
            runner,
            node_name,
            stack: Arc::new(crate::stack::NoStack),
        }
    }

    /// The machine with another network stack, for tests.
    #[cfg(any(test, feature = "fake"))]
    #[must_use]
    pub fn with_stack(self, stack: Arc<dyn NetworkStack>) -> Self {
        Self { stack, ..self }
    }

    /// Which system's rules apply.
    #[inline(always)]
    #[must_use]
    pub fn system(&self) -> System {
        self.system.met()
    }

    /// Runs a program of the machine; every exit status is an answer.
    ///
    /// # Errors
    /// See [`Runner::run`].
    pub fn run_any(&self, invocation: &Invocation) -> Result<Completed, CommandError> {
        self.runner.run(invocation)
    }

    /// Runs a program of the machine; an exit status other than 0 is an error.
    ///
    /// # Errors
    /// See [`Runner::run`], and [`CommandError::Failed`].
    pub fn run(&self, invocation: &Invocation) -> Result<Completed, CommandError> {
        self.runner.run(invocation)?.success(invocation)
    }
}

#[cfg(target_os = "linux")]
fn kernel_stack() -> Arc<dyn NetworkStack> {
    Arc::new(crate::netlink::RouteNetlink)
}

#[cfg(not(target_os = "linux"))]
fn kernel_stack() -> Arc<dyn NetworkStack> {
    Arc::new(crate::stack::NoStack)
}
