//! A machine whose plugin stops for good in the middle: after a command that changes the machine, after a change of the kernel's
//! network or name, before or after a change of a file. Before a change nothing is other than after the one before it. Whoever stops runs no further instruction, as after `kill -9`, because its thread never comes back.

use crate::hostname::NodeName;
use crate::stack::{LinuxAddress, LinuxLink, LinuxRoute, NetworkStack, OtherRoute, SavedRoute};
use crate::{CommandError, Completed, Host, Invocation, Route, Runner, files};
use ipnet::IpNet;
use std::io;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

/// What a thread does that stops there.
type Told = Sender<()>;

/// After how many places whoever touches the machine stops.
#[derive(Clone, Debug)]
pub struct Stops(Arc<Mutex<Left>>);

#[derive(Debug)]
struct Left {
    /// None before anything counts.
    places: Option<usize>,
    told: Told,
}

impl Stops {
    /// Tells `told` when somebody stops. Nothing counts before [`Self::begin`].
    #[must_use]
    pub fn new(told: Told) -> Self {
        Self(Arc::new(Mutex::new(Left { places: None, told })))
    }

    /// From now on whoever touches the machine does so `places` times more, and stops at the next one.
    pub fn begin(&self, places: usize) {
        super::lock(&self.0).places = Some(places);
    }

    /// The machine, for a plugin on this thread that is to stop.
    #[must_use]
    pub fn on_this_thread(&self, host: &Host) -> Host {
        let stops = self.clone();
        files::watch_this_thread(move || stops.touch());
        let thread = std::thread::current().id();
        let stopping = Arc::new(Stopping { stops: self.clone(), thread, host: host.clone() });
        let root = host.root.clone();
        Host::assembled(host.system(), root, stopping.clone(), stopping.clone()).with_stack(stopping)
    }

    fn touch(&self) {
        {
            let mut left = super::lock(&self.0);
            match &mut left.places {
                None => return,
                Some(0) => {
                    // Who waits for it may be gone already.
                    let _ = left.told.send(());
                }
                Some(places) => {
                    *places -= 1;
                    return;
                }
            }
        }
        loop {
            std::thread::park();
        }
    }
}

/// The machine behind the places.
#[derive(Debug)]
struct Stopping {
    stops: Stops,
    /// The thread that stops. Others of the plugin's look at the machine whenever they come to it, and would make the places others.
    thread: ThreadId,
    host: Host,
}

impl Stopping {
    fn after<T>(&self, change: impl FnOnce() -> T) -> T {
        let result = change();
        if std::thread::current().id() == self.thread {
            self.stops.touch();
        }
        result
    }
}

impl Runner for Stopping {
    fn run(&self, invocation: &Invocation) -> Result<Completed, CommandError> {
        let run = || self.host.runner.run(invocation);
        if is_look(invocation) { run() } else { self.after(run) }
    }
}

/// Whether a program only shows something. To take one for a change costs time, and nothing else.
fn is_look(invocation: &Invocation) -> bool {
    const PROGRAMS: [&str; 4] = ["svcs", "netstat", "dhcpinfo", "arping"];
    let name = invocation.program.rsplit('/').next().unwrap_or_default();
    let is_look = |word: &str| word.starts_with("show") || ["get", "--dumplease"].contains(&word);
    PROGRAMS.contains(&name) || invocation.args.iter().any(|word| is_look(word))
}

impl NodeName for Stopping {
    fn get(&self) -> io::Result<String> {
        self.host.node_name.get()
    }

    fn set(&self, name: &str) -> io::Result<()> {
        self.after(|| self.host.node_name.set(name))
    }
}

impl NetworkStack for Stopping {
    fn links(&self) -> io::Result<Vec<LinuxLink>> {
        self.host.stack.links()
    }

    fn addresses(&self) -> io::Result<Vec<LinuxAddress>> {
        self.host.stack.addresses()
    }

    fn routes(&self) -> io::Result<Vec<LinuxRoute>> {
        self.host.stack.routes()
    }

    fn other_routes(&self) -> io::Result<Vec<OtherRoute>> {
        self.host.stack.other_routes()
    }

    fn set_up(&self, index: u32, up: bool) -> io::Result<()> {
        self.after(|| self.host.stack.set_up(index, up))
    }

    fn set_mtu(&self, index: u32, mtu: u32) -> io::Result<()> {
        self.after(|| self.host.stack.set_mtu(index, mtu))
    }

    fn add_address(&self, index: u32, address: IpNet) -> io::Result<()> {
        self.after(|| self.host.stack.add_address(index, address))
    }

    fn delete_address(&self, index: u32, address: IpNet) -> io::Result<()> {
        self.after(|| self.host.stack.delete_address(index, address))
    }

    fn add_route(&self, index: u32, route: &Route) -> io::Result<()> {
        self.after(|| self.host.stack.add_route(index, route))
    }

    fn delete_route(&self, index: u32, route: &Route) -> io::Result<()> {
        self.after(|| self.host.stack.delete_route(index, route))
    }

    fn routes_with(&self, index: u32, address: IpNet) -> io::Result<Vec<SavedRoute>> {
        self.host.stack.routes_with(index, address)
    }

    fn restore_route(&self, route: &SavedRoute) -> io::Result<()> {
        self.after(|| self.host.stack.restore_route(route))
    }
}
