//! Simulated machines for tests: fakes with state, not recorded answers.
//!
//! They accept what the real programs accept and reject what those reject,
//! with the same exit statuses, so that a wrong option fails a test here
//! instead of a boot there. Files live in a temporary root.

pub mod illumos;
pub mod linux;
pub mod remote;
pub mod storage;

use crate::Completed;
use std::sync::{Mutex, MutexGuard, PoisonError};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn printed(stdout: impl Into<String>) -> Completed {
    Completed { stdout: stdout.into(), ..Completed::default() }
}

fn failed(code: i32, stderr: impl Into<String>) -> Completed {
    Completed { code, stderr: stderr.into(), ..Completed::default() }
}
