//! Exit statuses. They are documented in the help and stay as they are.

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for is so.
    Success,
    /// What was asked for failed, at least in part; standard error or the answer says why.
    Failed,
    /// The command line is wrong.
    Usage,
    /// The daemon cannot be reached.
    Unreachable,
    /// `status`: the daemon runs, and not everything configured is in force.
    Degraded,
}

impl Exit {
    /// The exit status.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Degraded => 4,
        }
    }

    /// Success when `good`, else failure.
    #[must_use]
    pub fn success_if(good: bool) -> Self {
        if good { Self::Success } else { Self::Failed }
    }
}
