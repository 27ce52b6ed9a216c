//! Signals.

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// SIGTERM, SIGINT: end.
    Stop,
    /// SIGHUP: read the configuration again, and open the log anew.
    Reload,
    /// SIGCHLD: a plugin's process ended, though something may still hold its connection.
    ChildEnded,
}

/// Starts the thread `signals`, which hands each request to `deliver`.
///
/// # Errors
///
/// When the handlers or the thread cannot be set up.
pub fn listen(deliver: impl Fn(Request) + Send + 'static) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGCHLD])?;
    let run = move || {
        for signal in signals.forever() {
            deliver(match signal {
                SIGHUP => Request::Reload,
                SIGCHLD => Request::ChildEnded,
                _ => Request::Stop,
            });
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(run)?;
    Ok(())
}
