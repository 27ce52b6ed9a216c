//! A plugin on a simulated machine that stops for good at a command, a change of the kernel, or a change of a file: in this process,
//! on a thread that never comes back, so that it works for what no other process can be given.

use serde_json::Value;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use sysconfig_platform::Host;
use sysconfig_platform::fake::stops::Stops;
use sysconfig_plugin::{Context, Plugin};

/// Longer than any machine is busy.
const DEADLINE: Duration = Duration::from_secs(120);
/// More places than any way has.
const PLACES_MAX: usize = 10_000;

/// Observes, plans and applies; from the first step on, after `places` touches of the machine the plugin stops. Answers the change in
/// whose middle it did; none when everything is applied before it comes to that.
///
/// # Panics
/// When the plugin fails.
pub fn apply<P: Plugin + 'static>(new: fn(Host) -> P, host: &Host, config: &Value, places: usize) -> Option<Value> {
    let config = config.clone();
    run(host, places, move |host, begins| {
        let mut plugin = new(host);
        let config: P::Config = serde_json::from_value(config).expect("the plugin reads its configuration");
        let context = Context::detached();
        let state = plugin.observe(&config, &context).expect("the plugin observes");
        for step in plugin.plan(&config, &state).expect("the plugin plans") {
            begins(serde_json::to_value(&step.change).expect("a change is written in journals"));
            plugin.apply(&step.change, &context).expect("the plugin applies");
        }
    })
}

/// The same of undoing changes, the last one first.
///
/// # Panics
/// When the plugin fails.
pub fn undo<P: Plugin + 'static>(new: fn(Host) -> P, host: &Host, changes: &[Value], places: usize) -> Option<Value> {
    let changes = changes.to_vec();
    run(host, places, move |host, begins| {
        let mut plugin = new(host);
        for data in changes.into_iter().rev() {
            begins(data.clone());
            let change: P::Change = serde_json::from_value(data).expect("the plugin reads its journal");
            plugin.undo(&change, &Context::detached()).expect("the plugin undoes");
        }
    })
}

/// Lets a plugin `work` that tells at which change it begins.
fn run(host: &Host, places: usize, work: impl FnOnce(Host, &dyn Fn(Value)) + Send + 'static) -> Option<Value> {
    let (stopped, has_stopped) = channel();
    let (begins, begun) = channel();
    let stops = Stops::new(stopped.clone());
    let is_done = Arc::new(AtomicBool::new(false));
    let (done, host) = (is_done.clone(), host.clone());
    let thread = std::thread::spawn(move || {
        // All of it is this thread's, so that nothing ends in order when it stops.
        let is_first = Cell::new(true);
        work(stops.on_this_thread(&host), &|change| {
            if is_first.take() {
                stops.begin(places);
            }
            begins.send(change).expect("the test listens");
        });
        // It is told, because threads of the plugin's may hold the other end of the channel for as long as they sleep.
        done.store(true, Ordering::Release);
        stopped.send(()).expect("the test listens");
    });
    match has_stopped.recv_timeout(DEADLINE) {
        Ok(()) if is_done.load(Ordering::Acquire) => None,
        Ok(()) => Some(begun.try_iter().last().expect("nothing counts before the first step")),
        Err(RecvTimeoutError::Disconnected) => {
            thread.join().expect("the plugin applies everything");
            unreachable!("it tells when it has")
        }
        Err(RecvTimeoutError::Timeout) => panic!("the plugin neither ends nor stops"),
    }
}

/// Stops a plugin at one place after the other until there is none left. `run` lets each stop happen to a new machine, on which it
/// then goes on, and answers what [`apply`] did. Answers the kinds of the changes in whose middle the plugin stopped.
///
/// # Panics
/// When `run` does, or it came to no stop.
pub fn everywhere(mut run: impl FnMut(usize) -> Option<Value>) -> BTreeSet<String> {
    let changes: Vec<Value> = (0..PLACES_MAX).map_while(&mut run).collect();
    assert!(!changes.is_empty(), "nothing is changed");
    changes.iter().map(kind).collect()
}

/// The kind of a change as journals have it: a value of its own, or the key of everything else.
fn kind(change: &Value) -> String {
    let of_system = ["linux", "illumos"].iter().find_map(|system| change.get(system));
    let change = of_system.unwrap_or(change);
    let key = || change.as_object().and_then(|map| map.keys().next()).map(String::as_str);
    change
        .get("kind")
        .and_then(Value::as_str)
        .or_else(key)
        .or_else(|| change.as_str())
        .expect("a change has a kind")
        .to_owned()
}
