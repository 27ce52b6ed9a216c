//! What a build tells while it runs. The engine talks to this; the command line decides how it looks.

use std::fmt;

/// How one step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    /// The step is running now.
    Running,
    /// The step was done.
    Done,
    /// The result of an earlier run was taken.
    Cached,
}

/// Listener of a build.
pub trait Progress: Send + Sync {
    /// A template is begun: its group and name, and how many steps it has.
    fn template(&self, group: &str, name: &str, steps: usize);
    /// Step `index`, counted from 0, is in this state.
    fn step(&self, index: usize, title: &str, state: StepState);
    /// Something worth a line in a log.
    fn message(&self, text: &str);
    /// Something that may replace the last detail: a line of a program's output.
    fn detail(&self, text: &str);
}

/// A listener that says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn template(&self, _group: &str, _name: &str, _steps: usize) {}
    fn step(&self, _index: usize, _title: &str, _state: StepState) {}
    fn message(&self, _text: &str) {}
    fn detail(&self, _text: &str) {}
}

impl fmt::Debug for dyn Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}
