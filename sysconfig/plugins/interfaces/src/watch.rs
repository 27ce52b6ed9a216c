//! Telling the daemon of leases and links, also when nothing is asked.
//!
//! A lease that comes late or changes, and a link that appears, are news for the plugins `dns` and `hostname` and
//! for this one. Neither system wakes somebody for all of them, so a thread looks from time to time. The daemon
//! remembers each last word, and a repetition is no news to it. Who observes does not always change something, as when
//! there is only a plan to show: so only the thread asks to have the machine looked at again, when it sees another one than
//! it saw before, or than there was at the first observation.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use sysconfig_platform::{Host, NetworkError, System, dladm, ipadm, lease};
use sysconfig_plugin::{Context, Emitter, Level};

/// The topic of the leases that are in force: a list of what the servers told.
pub const LEASES: &str = lease::TOPIC;
/// The topic of changes that nobody has planned for yet: leases or links are others than they were. The data is when
/// that was seen, in milliseconds since 1970, so that none is a repetition.
pub const CHANGED: &str = "network.changed";

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

/// Asks the daemon to plan anew.
pub(crate) fn tell_change(emitter: &Emitter) {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    emitter.emit(CHANGED, serde_json::json!(since_1970.as_millis()));
}

impl Watch {
    pub(crate) fn every(interval: Duration) -> Self {
        Self { interval, said: Arc::default(), running: None }
    }

    /// Looks now, because who plans after us is to know of the leases that we got; and from now on from time to time.
    pub(crate) fn look(&mut self, host: &Host, context: &Context) {
        see(host, &context.emitter(), &self.said, Who::Observer);
        if self.running.is_some() {
            return;
        }
        let ended = Arc::new(AtomicBool::new(false));
        let (host, emitter, interval) = (host.clone(), context.emitter(), self.interval);
        let (said, end) = (self.said.clone(), ended.clone());
        let watch = move || {
            while !end.load(Ordering::Relaxed) {
                std::thread::sleep(interval);
                if see(&host, &emitter, &said, Who::Thread) {
                    tell_change(&emitter);
                }
            }
        };
        // Without a thread, new leases are noticed with the next plan.
        if let Err(error) = std::thread::Builder::new().name("watch".to_owned()).spawn(watch) {
            context.log(Level::Warn, format!("nobody watches for new leases: {error}"));
        }
        self.running = Some(Running(ended));
    }
}

/// Who looks.
#[derive(Clone, Copy, PartialEq)]
enum Who {
    Observer,
    Thread,
}

/// What the thread compares.
#[derive(Debug, PartialEq)]
struct Words {
    /// What the servers told.
    leases: serde_json::Value,
    /// The links, by their numbers too, since one that is made anew is as bare as a new one, the addresses that a network gives, since a server may tell nothing but those, and duplicate ones: the check
    /// of an address ends after the step that has set it.
    sights: Vec<String>,
}

/// Says which leases there are when they have changed; answers whether anything has since the thread looked last.
fn see(host: &Host, emitter: &Emitter, said: &Mutex<Option<Words>>, who: Who) -> bool {
    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
    // A look that fails says nothing, and the next one will do.
    let Ok(mut words) = words(host, said.as_ref()) else { return false };
    // Who asks may not have heard it, as after a plan; the daemon knows a repetition.
    if who == Who::Observer || said.as_ref().is_none_or(|said| said.leases != words.leases) {
        emitter.emit(LEASES, words.leases.clone());
    }
    let has_changed = said.as_ref() != Some(&words);
    if let (Who::Observer, Some(said)) = (who, said.as_mut()) {
        words.sights = std::mem::take(&mut said.sights);
    }
    *said = Some(words);
    has_changed
}

/// What there is to say. Of a client that does not answer, what it `said` last; the links are looked at nevertheless.
fn words(host: &Host, said: Option<&Words>) -> Result<Words, NetworkError> {
    let mut sights: Vec<String> = Vec::new();
    match host.system() {
        System::Illumos => {
            sights.extend(dladm::links(host)?.into_iter().map(|link| format!("{} {}", link.name, link.up)));
            let news =
                |row: &ipadm::Address| ["dhcp", "addrconf"].contains(&row.kind.as_str()) || row.state == "duplicate";
            let rows = ipadm::addresses(host)?.into_iter().filter(news);
            sights.extend(rows.map(|row| format!("{} {} {:?}", row.object, row.state, row.address)));
        }
        System::Linux => {
            sights
                .extend(host.links()?.into_iter().map(|link| format!("{} {} {}", link.index, link.name, link.running)));
            let news = host.addresses()?.into_iter().filter(|known| known.dynamic || known.duplicate);
            sights.extend(news.map(|known| format!("{} {} {}", known.index, known.address, known.duplicate)));
        }
    }
    let leases = match (lease::leases(host), said) {
        (Err(NetworkError::NoAnswer { .. }), Some(said)) => said.leases.clone(),
        (leases, _) => serde_json::to_value(leases?).unwrap_or_default(),
    };
    Ok(Words { leases, sights })
}
