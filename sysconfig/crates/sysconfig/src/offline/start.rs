//! Starting plugins from their files, all at the same time.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use sysconfig_protocol::ProtocolRange;
use sysconfig_protocol::admin::Failure;
use sysconfig_protocol::method::Hello;

use super::{Looked, OfflineError, Plugins};
use crate::config::{Deadlines, LogOutput, LoggingSettings};
use crate::discovery::{Candidate, CopyStore, Finding, Scanner, Search, System};
use crate::log::Log;
use crate::plugin::{CallError, Launcher, Stop};

/// How long it may take to read a plugin's program, and to end it when it does not answer, beyond the deadline for its
/// answer. Programs come from shares, of emulated machines too.
const TO_EXECUTE: Duration = Duration::from_secs(30);

/// The plugin files of a path, of which none was started.
#[derive(Debug)]
pub struct PluginFiles {
    findings: Vec<Finding>,
    scratch: tempfile::TempDir,
}

impl PluginFiles {
    /// Looks at what is there. This never ends where a file system does not answer; it starts nothing.
    ///
    /// # Errors
    ///
    /// When there is no temporary directory.
    pub fn look(search: Search) -> Result<Self, OfflineError> {
        let scratch = tempfile::tempdir().map_err(OfflineError::Temporary)?;
        let store = Arc::new(CopyStore::open(&scratch.path().join("store"))?);
        let findings = Scanner::new(search, System::detect(), store).first_look();
        Ok(Self { findings, scratch })
    }

    /// Starts them all. Warnings of plugins go to standard error.
    ///
    /// This ends in time whatever the plugins and the file systems that hold them do: what does not answer is told by its
    /// name, and is not left running.
    ///
    /// # Errors
    ///
    /// When there is no standard input for plugins.
    pub fn start(self, settings: &Deadlines) -> Result<Plugins, OfflineError> {
        let log = Log::to_stderr(None);
        let logging = LoggingSettings { level: sysconfig_protocol::Level::Warn, output: LogOutput::Console };
        // Standard error can always be logged to.
        drop(log.configure(&logging));
        let input = std::fs::File::open("/dev/null").map_err(OfflineError::Temporary)?;
        let launcher = Launcher::new(log, input, Stop::default(), settings.stop, |_| ());
        let (mut looked, mut candidates, mut missing) = (Vec::new(), Vec::new(), BTreeMap::new());
        for finding in self.findings {
            match finding {
                Finding::Candidate(candidate) => candidates.push(candidate),
                Finding::Refused { name, path, message, help, .. } => {
                    looked.push(Looked { name, path, description: Err(Failure { message, help }), process: None });
                }
                Finding::Missing(now) => missing = now,
                Finding::Vanished { .. } | Finding::Late(_) | Finding::Failed | Finding::ConfigChanged { .. } => (),
            }
        }
        let patience = settings.start + TO_EXECUTE;
        let deadlines = settings.clone();
        let work = move |candidate: &Candidate| greet(&launcher, candidate, &deadlines);
        let greeted = all_at_once(&candidates, patience, work);
        let greeted = greeted.into_iter().zip(&candidates);
        looked.extend(greeted.map(|(greeted, candidate)| greeted.unwrap_or_else(|| not_started(candidate, patience))));
        looked.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Plugins { looked, missing, settings: settings.clone(), _scratch: self.scratch })
    }
}

/// What comes of the work on each, in the same order, as far as it is done within a time.
///
/// What comes later is dropped: of a plugin, that ends its processes.
fn all_at_once<T, R>(inputs: &[T], patience: Duration, work: impl Fn(&T) -> R + Send + Sync + 'static) -> Vec<Option<R>>
where
    T: Clone + Send + 'static,
    R: Send + 'static,
{
    let (sender, done) = mpsc::channel();
    let work = Arc::new(work);
    for (index, input) in inputs.iter().cloned().enumerate() {
        let (sender, work) = (sender.clone(), Arc::clone(&work));
        let run = move || drop(sender.send((index, work(&input))));
        // Without a thread for it, nothing comes of it.
        drop(std::thread::Builder::new().name("start".to_owned()).spawn(run));
    }
    drop(sender);
    let give_up = Instant::now() + patience;
    let mut results: Vec<_> = inputs.iter().map(|_| None).collect();
    while let Ok((index, result)) = done.recv_timeout(give_up.saturating_duration_since(Instant::now())) {
        results[index] = Some(result);
    }
    results
}

/// Its own deadline bounds how long a plugin that runs may take, so it does not run: its program cannot be read.
fn not_started(candidate: &Candidate, patience: Duration) -> Looked {
    let message = format!("it could not be started within {} s", patience.as_secs());
    let help = Some("see that the disk or share that holds it answers".to_owned());
    let (name, path) = (candidate.name.clone(), candidate.path.clone());
    Looked { name, path, description: Err(Failure { message, help }), process: None }
}

fn greet(launcher: &Launcher, candidate: &Candidate, deadlines: &Deadlines) -> Looked {
    let (name, path) = (candidate.name.clone(), candidate.path.clone());
    let failed = |message: String| Err(Failure { message, help: None });
    let mut process = match launcher.start(&name, &path) {
        Ok(process) => process,
        Err(error) => {
            let description = failed(format!("{error}: {}", error.source));
            return Looked { name, path, description, process: None };
        }
    };
    let hello = Hello { protocol: ProtocolRange::SUPPORTED, daemon: env!("CARGO_PKG_VERSION").to_owned() };
    let description = match process.call(&hello, deadlines.start) {
        Ok(description) if description.name == name => Ok(description),
        Ok(description) => failed(format!("it says that it is plugin {:?}", description.name)),
        Err(error @ CallError::Refused(_)) => failed(format!("hello: {error}")),
        Err(CallError::Fault(fault)) => {
            // It would not hear that it is to end, either.
            let ending = process.end_after_fault().map(|ending| format!(" ({ending})")).unwrap_or_default();
            return Looked { name, path, description: failed(format!("hello: {fault}{ending}")), process: None };
        }
    };
    Looked { name, path, description, process: Some(process) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_end_keeps_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
        let inputs = [1, 2, 3];
        let (read, begun) = (fifo.clone(), std::sync::Barrier::new(3));
        let work = move |number: &u32| {
            // One after another, none of them would get past this.
            begun.wait();
            if *number == 2 {
                drop(std::fs::read(&read));
            }
            number * 10
        };
        assert_eq!(all_at_once(&inputs, Duration::from_secs(5), work), [Some(10), None, Some(30)]);
        // Whoever opens the other end lets it go.
        drop(std::fs::File::options().write(true).open(&fifo).unwrap());
        let none: [u32; 0] = [];
        assert_eq!(all_at_once(&none, Duration::from_secs(60), |number| *number), []);
    }
}
