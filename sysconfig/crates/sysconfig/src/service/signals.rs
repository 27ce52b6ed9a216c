//! Signals.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// SIGTERM, SIGINT: end.
    Stop,
    /// SIGHUP: read the configuration again, and open the log anew.
    Reload,
}

/// Starts the thread `signals`, which hands each request to `deliver`.
///
/// # Errors
///
/// When the handlers or the thread cannot be set up.
pub fn listen(deliver: impl Fn(Request) + Send + 'static) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let run = move || {
        for signal in signals.forever() {
            deliver(if signal == SIGHUP { Request::Reload } else { Request::Stop });
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(run)?;
    Ok(())
}
