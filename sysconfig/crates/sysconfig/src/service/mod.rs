//! How the daemon stands towards whoever started it: readiness, single instance, signals.

pub mod instance;
pub mod lease;
pub mod readiness;
pub mod signals;
