//! Telling the daemon of leases and links, also when nothing is asked.
//!
//! A lease that comes late or changes, and a link that appears, are news for the plugins `dns` and `hostname` and
//! for this one. Neither system wakes somebody for all of them, so a thread looks from time to time. The daemon
//! remembers each last word, and a repetition is no news to it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use sysconfig_platform::{Host, NetworkError, System, dladm, lease};
use sysconfig_plugin::{Context, Emitter, Level};

/// The topic of the leases that are in force: a list of what the servers told.
pub const LEASES: &str = lease::TOPIC;
/// The topic of the links that are there: a list of names.
pub const LINKS: &str = "network.links";

/// How often the thread looks. A resolver that learns of another server later than this would be noticed.
const INTERVAL: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub(crate) struct Watch {
    interval: Duration,
    /// What was said last.
    said: Arc<Mutex<Option<Words>>>,
    /// There while the thread is wanted.
    running: Option<Running>,
}

#[derive(Debug)]
struct Running(Arc<AtomicBool>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::every(INTERVAL)
    }
}

impl Watch {
    pub(crate) fn every(interval: Duration) -> Self {
        Self { interval, said: Arc::default(), running: None }
    }

    /// Looks now, because who plans after us is to know of the leases that we got; and from now on from time to time.
    pub(crate) fn look(&mut self, host: &Host, context: &Context) {
        tell(host, &context.emitter(), &self.said);
        if self.running.is_some() {
            return;
        }
        let ended = Arc::new(AtomicBool::new(false));
        let (host, emitter, interval) = (host.clone(), context.emitter(), self.interval);
        let (said, end) = (self.said.clone(), ended.clone());
        let watch = move || {
            while !end.load(Ordering::Relaxed) {
                std::thread::sleep(interval);
                tell(&host, &emitter, &said);
            }
        };
        // Without a thread, new leases are noticed with the next plan.
        if let Err(error) = std::thread::Builder::new().name("watch".to_owned()).spawn(watch) {
            context.log(Level::Warn, format!("nobody watches for new leases: {error}"));
        }
        self.running = Some(Running(ended));
    }
}

/// The leases and the links.
type Words = (serde_json::Value, serde_json::Value);

/// Says what has changed since the last time.
fn tell(host: &Host, emitter: &Emitter, said: &Mutex<Option<Words>>) {
    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
    // A look that fails says nothing, and the next one will do.
    let Ok((leases, links)) = words(host) else { return };
    if said.as_ref().is_none_or(|said| said.0 != leases) {
        emitter.emit(LEASES, leases.clone());
    }
    if said.as_ref().is_none_or(|said| said.1 != links) {
        emitter.emit(LINKS, links.clone());
    }
    *said = Some((leases, links));
}

fn words(host: &Host) -> Result<Words, NetworkError> {
    let links: Vec<String> = match host.system {
        System::Illumos => dladm::links(host)?.into_iter().map(|link| link.name).collect(),
        System::Linux => host.links()?.into_iter().map(|link| link.name).collect(),
    };
    let leases = serde_json::to_value(lease::leases(host)?).unwrap_or_default();
    Ok((leases, serde_json::Value::from(links)))
}
