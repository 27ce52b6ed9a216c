//! The thread that polls.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::scan::{Finding, Scanner, Search};

/// The running thread; it ends when this is dropped, or when nobody wants its findings any more.
#[derive(Debug)]
pub struct Watch {
    commands: Sender<Search>,
}

impl Watch {
    /// Looks in other places from now on.
    pub fn search(&self, search: Search) {
        // The thread lives as long as the daemon listens to it.
        drop(self.commands.send(search));
    }
}

/// Starts the thread `watch`. `deliver` answers whether there will be anybody for the next finding.
///
/// # Errors
///
/// When the thread cannot be started.
pub fn watch(
    mut scanner: Scanner,
    interval: Duration,
    deliver: impl Fn(Finding) -> bool + Send + 'static,
) -> std::io::Result<Watch> {
    let (commands, requests): (Sender<Search>, Receiver<Search>) = channel();
    let run = move || {
        loop {
            match requests.recv_timeout(interval) {
                Ok(search) => scanner.set_search(search),
                Err(RecvTimeoutError::Timeout) => (),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if !scanner.poll().into_iter().all(&deliver) {
                return;
            }
        }
    };
    std::thread::Builder::new().name("watch".to_owned()).spawn(run)?;
    Ok(Watch { commands })
}
