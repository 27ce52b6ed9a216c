//! The thread that polls.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::scan::{Finding, Scanner, Search};
use crate::config::ConfigWatch;

/// What is looked at, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attention {
    /// Where plugins are looked for.
    pub search: Search,
    /// Whether plugin files are looked at.
    pub plugins: bool,
    /// Whether configuration files are looked at.
    pub configuration: bool,
    /// The time between two looks.
    pub interval: Duration,
}

/// The running thread; it ends when this is dropped, or when nobody wants its findings any more.
#[derive(Debug)]
pub struct Watch {
    commands: Sender<Attention>,
}

impl Watch {
    /// Looks at something else from now on.
    pub fn attend(&self, attention: Attention) {
        // The thread lives as long as the daemon listens to it.
        drop(self.commands.send(attention));
    }
}

/// Starts the thread `watch`, which looks at the plugin directories and at the configuration files; while it is to look
/// at neither, it sleeps. `deliver` answers whether there will be anybody for the next finding.
///
/// # Errors
///
/// When the thread cannot be started.
pub fn watch(
    scanner: Scanner,
    config: ConfigWatch,
    attention: Attention,
    deliver: impl Fn(Finding) -> bool + Send + 'static,
) -> std::io::Result<Watch> {
    let (commands, requests) = channel();
    let watcher = Watcher { scanner, config, attention };
    std::thread::Builder::new().name("watch".to_owned()).spawn(move || watcher.run(&requests, &deliver))?;
    Ok(Watch { commands })
}

struct Watcher {
    scanner: Scanner,
    config: ConfigWatch,
    attention: Attention,
}

impl Watcher {
    fn run(mut self, requests: &Receiver<Attention>, deliver: &impl Fn(Finding) -> bool) {
        loop {
            let request = match self.attention.plugins || self.attention.configuration {
                true => requests.recv_timeout(self.attention.interval),
                false => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match request {
                Ok(attention) => self.attend(attention),
                Err(RecvTimeoutError::Timeout) => (),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if !self.look().into_iter().all(deliver) {
                return;
            }
        }
    }

    fn attend(&mut self, attention: Attention) {
        self.scanner.set_search(attention.search.clone());
        if attention.plugins && !self.attention.plugins {
            // What was found last may have come when nobody wanted it any more.
            self.scanner.forget_findings();
        }
        self.attention = attention;
    }

    fn look(&mut self) -> Vec<Finding> {
        let mut findings = if self.attention.plugins { self.scanner.poll() } else { Vec::new() };
        // A plugin and a key of its are mostly new together: the plugin first.
        if self.attention.configuration {
            findings.extend(self.config.poll().map(|seen| Finding::ConfigChanged { seen }));
        }
        findings
    }
}
