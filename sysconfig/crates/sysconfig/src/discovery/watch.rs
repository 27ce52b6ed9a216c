//! The thread that polls.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::scan::{Finding, Scanner, Search};
use crate::config::ConfigWatch;

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

/// Starts the thread `watch`, which looks at the plugin directories and at the configuration files. `deliver` answers whether there will be anybody for the next finding.
///
/// # Errors
///
/// When the thread cannot be started.
pub fn watch(
    mut scanner: Scanner,
    mut config: ConfigWatch,
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
            // A plugin and a key of its are mostly new together: the plugin first.
            let of_config = |config: &mut ConfigWatch| config.poll().map(|seen| Finding::ConfigChanged { seen });
            if !scanner.poll().into_iter().chain(of_config(&mut config)).all(&deliver) {
                return;
            }
        }
    };
    std::thread::Builder::new().name("watch".to_owned()).spawn(run)?;
    Ok(Watch { commands })
}
