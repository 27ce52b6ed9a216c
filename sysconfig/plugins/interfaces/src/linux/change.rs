//! The steps, forwards and backwards.

use super::{accept_ra_path, accepts_ra, duplicate};
use crate::error::{file_error, network_error};
use crate::record::Record;
use crate::steps::Waiting;
use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};
use sysconfig_platform::dhcpcd::{self, DhcpcdError, Family};
use sysconfig_platform::route::BoundRoute;
use sysconfig_platform::stack::{LinuxLink, NetworkStack};
use sysconfig_platform::{Host, IpNet, NetworkError, Route, files, lease, networkd};
use sysconfig_plugin::{Context, Outcome, PluginError};

/// How long networkd may take to configure a link: IPv6 routes wait for the check for duplicate addresses.
const PATIENCE_WITH_NETWORKD: Duration = Duration::from_secs(20);

/// How long it may take to let go of one.
const PATIENCE_WITH_THE_END: Duration = Duration::from_secs(2);

/// What has to come of a file for networkd, apart from what depends on servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// Fixed addresses.
    pub addresses: Vec<IpNet>,
    /// Routes whose gateways can be reached over fixed addresses.
    pub routes: Vec<Route>,
    /// The largest packet in bytes.
    pub mtu: Option<u32>,
    /// Whether servers are asked as well: networkd says that it is done only when they have answered.
    pub asks_servers: bool,
}

impl Expected {
    /// When nothing has to come of it.
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// One change of the machine, with what was there before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Remember the link that `first-up` stands for.
    Choose {
        /// The link.
        link: Option<String>,
        /// The link before.
        previous: Option<String>,
    },
    /// Write the file for networkd, or take it away.
    File {
        /// The link.
        link: String,
        /// The file; none to take it away.
        content: Option<String>,
        /// The file before.
        previous: Option<String>,
        /// What has to come of it.
        expected: Expected,
    },
    /// Switch a link on.
    Up {
        /// The link.
        link: String,
    },
    /// Set the largest packet.
    SetMtu {
        /// The link.
        link: String,
        /// In bytes.
        mtu: u32,
        /// Before.
        previous: u32,
        /// Whether it is configured, and not given back.
        is_ours: bool,
    },
    /// Make the kernel listen to router advertisements, or not.
    AcceptRa {
        /// The link.
        link: String,
        /// Whether to.
        accept: bool,
        /// Whether it is configured, and not given back.
        is_ours: bool,
    },
    /// Put an address on a link.
    AddAddress {
        /// The link.
        link: String,
        /// The address.
        address: IpNet,
    },
    /// Take an address of ours off a link.
    DeleteAddress {
        /// The link.
        link: String,
        /// The address.
        address: IpNet,
    },
    /// Add a route.
    AddRoute {
        /// The link.
        link: String,
        /// The route.
        route: Route,
    },
    /// Delete a route of ours.
    DeleteRoute {
        /// The link.
        link: String,
        /// The route.
        route: Route,
    },
    /// Start a DHCP client.
    Start {
        /// The link.
        link: String,
        /// The family.
        family: Family,
        /// Its configuration.
        content: String,
        /// The configuration of the one that ran before.
        previous: Option<String>,
    },
    /// End a DHCP client of ours.
    Release {
        /// The link.
        link: String,
        /// The family.
        family: Family,
        /// Its configuration.
        previous: String,
    },
    /// Wait for something that only others can do.
    Wait(Waiting),
}

impl Change {
    pub(crate) fn apply(&self, host: &Host, context: &Context) -> Result<Outcome, PluginError> {
        match self {
            Self::Choose { link, .. } => remember(host, |record| record.first_up.clone_from(link))?,
            Self::File { link, content, expected, .. } => {
                remember_mtu(host, link, expected)?;
                return file(host, link, content.as_deref(), expected, context);
            }
            Self::Up { link } => {
                return kernel(host, link, "switch it on", |stack, link| stack.set_up(link.index, true));
            }
            Self::SetMtu { link, mtu, previous, is_ours } => {
                remember(host, |record| match is_ours {
                    true => Some(*record.mtus.entry(link.clone()).or_insert(*previous)),
                    false => record.mtus.remove(link),
                })?;
                return set_mtu(host, link, *mtu);
            }
            Self::AcceptRa { link, accept, is_ours } => {
                remember(host, |record| match is_ours {
                    true => Some(*record.accept_ra.entry(link.clone()).or_insert(!accept)),
                    false => record.accept_ra.remove(link),
                })?;
                return accept_ra(host, link, *accept);
            }
            Self::AddAddress { link, address } => {
                if !has_address(host, link, *address)? {
                    duplicate::refuse(host, link, *address, context)?;
                }
                return add_address(host, link, *address);
            }
            Self::DeleteAddress { link, address } => return delete_address(host, link, *address),
            Self::AddRoute { link, route } => return add_route(host, link, route),
            Self::DeleteRoute { link, route } => return delete_route(host, link, route),
            Self::Start { link, family, content, .. } => return start(host, link, *family, content),
            Self::Release { link, family, .. } => return release(host, link, *family),
            Self::Wait(waiting) => return wait(host, waiting, context),
        }
        Ok(Outcome::Changed)
    }

    pub(crate) fn undo(&self, host: &Host, context: &Context) -> Result<Outcome, PluginError> {
        match self {
            Self::Choose { previous, .. } => remember(host, |record| record.first_up.clone_from(previous))?,
            Self::File { link, previous, expected, .. } => {
                let outcome = file(host, link, previous.as_deref(), &Expected::default(), context)?;
                if expected.mtu.is_some() && !previous.as_ref().is_some_and(|previous| previous.contains("\nMTUBytes="))
                {
                    give_mtu_back(host, link)?;
                }
                return Ok(outcome);
            }
            Self::SetMtu { link, previous, is_ours, .. } => {
                if *is_ours {
                    remember(host, |record| record.mtus.remove(link))?;
                }
                return set_mtu(host, link, *previous);
            }
            Self::AcceptRa { link, accept, is_ours } => {
                if *is_ours {
                    remember(host, |record| record.accept_ra.remove(link))?;
                }
                return accept_ra(host, link, !accept);
            }
            Self::AddAddress { link, address } => return delete_address(host, link, *address),
            Self::DeleteAddress { link, address } => return add_address(host, link, *address),
            Self::AddRoute { link, route } => return delete_route(host, link, route),
            Self::DeleteRoute { link, route } => return add_route(host, link, route),
            Self::Start { link, family, previous: Some(previous), .. } | Self::Release { link, family, previous } => {
                return start(host, link, *family, previous);
            }
            Self::Start { link, family, previous: None, .. } => return release(host, link, *family),
            Self::Up { link } => {
                return kernel(host, link, "switch it off", |stack, link| stack.set_up(link.index, false));
            }
            // Waiting changes nothing.
            Self::Wait(_) => return Ok(Outcome::AlreadySo),
        }
        Ok(Outcome::Changed)
    }
}

fn remember<T>(host: &Host, change: impl FnOnce(&mut Record) -> T) -> Result<(), PluginError> {
    Record::update(host, change).map_err(|error| file_error("cannot remember what is done", error))
}

/// Finds the link and lets the kernel do something with it.
fn kernel(
    host: &Host,
    link: &str,
    what: &str,
    change: impl FnOnce(&dyn NetworkStack, &LinuxLink) -> std::io::Result<()>,
) -> Result<Outcome, PluginError> {
    let operation = format!("cannot change {link}");
    let failed = |error| network_error(&operation, error);
    let links = host.links().map_err(failed)?;
    let Some(found) = links.iter().find(|known| known.name == link) else {
        return Err(PluginError::new(format!("{operation}: the link is gone")));
    };
    change(host.stack(), found).map_err(|source| {
        let operation = what.to_owned();
        network_error(&format!("cannot change {link}"), NetworkError::Kernel { operation, source })
    })?;
    Ok(Outcome::Changed)
}

fn index(host: &Host, link: &str) -> Result<Option<u32>, PluginError> {
    let links = host.links().map_err(|error| network_error("cannot look at the links", error))?;
    Ok(links.iter().find(|known| known.name == link).map(|known| known.index))
}

fn has_address(host: &Host, link: &str, address: IpNet) -> Result<bool, PluginError> {
    let index = index(host, link)?;
    let addresses = host.addresses().map_err(|error| network_error("cannot look at the addresses", error))?;
    Ok(addresses.iter().any(|known| Some(known.index) == index && known.address == address))
}

fn has_route(host: &Host, link: &str, route: &Route) -> Result<bool, PluginError> {
    let index = index(host, link)?;
    let routes = host.routes().map_err(|error| network_error("cannot look at the routes", error))?;
    Ok(routes.iter().any(|known| {
        Some(known.index) == index
            && known.route == *route
            && known.metric <= 1024
            && (known.metric == 0 || route.via.is_ipv6())
    }))
}

fn set_mtu(host: &Host, link: &str, mtu: u32) -> Result<Outcome, PluginError> {
    let mut outcome = Outcome::Changed;
    kernel(host, link, &format!("set its MTU to {mtu}"), |stack, found| match found.mtu == mtu {
        true => {
            outcome = Outcome::AlreadySo;
            Ok(())
        }
        false => stack.set_mtu(found.index, mtu),
    })?;
    Ok(outcome)
}

fn accept_ra(host: &Host, link: &str, accept: bool) -> Result<Outcome, PluginError> {
    let operation = "cannot change whether router advertisements are listened to";
    let present = accepts_ra(host, link).map_err(|error| file_error(operation, error))?;
    if present.is_none_or(|present| present == accept) {
        return Ok(Outcome::AlreadySo);
    }
    // Not replaced by renaming: it is no file, but a value of the kernel.
    let path = accept_ra_path(link);
    std::fs::write(host.root.locate(&path), if accept { "1\n" } else { "0\n" })
        .map_err(|error| PluginError::new(format!("cannot write {path}")).source(error))?;
    Ok(Outcome::Changed)
}

fn add_address(host: &Host, link: &str, address: IpNet) -> Result<Outcome, PluginError> {
    if has_address(host, link, address)? {
        return Ok(Outcome::AlreadySo);
    }
    remember(host, |record| record.addresses.insert((link.to_owned(), address)))?;
    kernel(host, link, &format!("put {address} on it"), |stack, found| stack.add_address(found.index, address))
}

fn delete_address(host: &Host, link: &str, address: IpNet) -> Result<Outcome, PluginError> {
    let outcome = match has_address(host, link, address)? {
        true => kernel(host, link, &format!("take {address} off it"), |stack, found| {
            stack.delete_address(found.index, address)
        })?,
        false => Outcome::AlreadySo,
    };
    remember(host, |record| record.addresses.remove(&(link.to_owned(), address)))?;
    Ok(outcome)
}

fn add_route(host: &Host, link: &str, route: &Route) -> Result<Outcome, PluginError> {
    if has_route(host, link, route)? {
        return Ok(Outcome::AlreadySo);
    }
    remember(host, |record| record.routes.insert(BoundRoute { route: *route, interface: Some(link.to_owned()) }))?;
    kernel(host, link, &format!("add the route {route}"), |stack, found| stack.add_route(found.index, route))
}

fn delete_route(host: &Host, link: &str, route: &Route) -> Result<Outcome, PluginError> {
    let outcome = match has_route(host, link, route)? {
        true => kernel(host, link, &format!("delete the route {route}"), |stack, found| {
            stack.delete_route(found.index, route)
        })?,
        false => Outcome::AlreadySo,
    };
    remember(host, |record| record.routes.retain(|ours| !is_over(ours, link) || ours.route != *route))?;
    Ok(outcome)
}

/// Whether a route of ours leads over a link.
pub(super) fn is_over(ours: &BoundRoute, link: &str) -> bool {
    ours.interface.as_deref().is_none_or(|interface| interface == link)
}

fn start(host: &Host, link: &str, family: Family, content: &str) -> Result<Outcome, PluginError> {
    let ours = dhcpcd::ours(host, link, family).map_err(|error| dhcp_error(link, family, error.into()))?;
    if ours.as_deref() == Some(content) {
        return Ok(Outcome::AlreadySo);
    }
    dhcpcd::start(host, link, family, content).map_err(|error| dhcp_error(link, family, error))?;
    Ok(Outcome::Changed)
}

fn release(host: &Host, link: &str, family: Family) -> Result<Outcome, PluginError> {
    let ours = dhcpcd::ours(host, link, family).map_err(|error| dhcp_error(link, family, error.into()))?;
    if ours.is_none() {
        return Ok(Outcome::AlreadySo);
    }
    dhcpcd::release(host, link, family).map_err(|error| dhcp_error(link, family, error))?;
    Ok(Outcome::Changed)
}

fn dhcp_error(link: &str, family: Family, error: DhcpcdError) -> PluginError {
    let is_missing = matches!(error, DhcpcdError::Missing);
    let plugin_error = PluginError::new(format!("cannot run {family} on {link}")).source(error);
    match is_missing {
        true => plugin_error.help("install dhcpcd (Debian: dhcpcd-base), or let systemd-networkd run"),
        false => plugin_error,
    }
}

/// networkd sets an MTU, and never takes it back.
fn remember_mtu(host: &Host, link: &str, expected: &Expected) -> Result<(), PluginError> {
    if expected.mtu.is_none() {
        return Ok(());
    }
    let links = host.links().map_err(|error| network_error("cannot look at the links", error))?;
    let Some(before) = links.iter().find(|known| known.name == link).map(|known| known.mtu) else { return Ok(()) };
    remember(host, |record| *record.mtus.entry(link.to_owned()).or_insert(before))
}

fn give_mtu_back(host: &Host, link: &str) -> Result<(), PluginError> {
    let mut before = None;
    remember(host, |record| before = record.mtus.remove(link))?;
    before.map_or(Ok(()), |mtu| set_mtu(host, link, mtu).map(drop))
}

fn file(
    host: &Host,
    link: &str,
    content: Option<&str>,
    expected: &Expected,
    context: &Context,
) -> Result<Outcome, PluginError> {
    refuse_duplicates(host, link, expected, context)?;
    let path = networkd::path(link);
    let written = match content {
        Some(content) => files::make_directory(&host.root, networkd::DIRECTORY)
            .and_then(|()| files::replace(&host.root, &path, content.as_bytes())),
        None => files::remove(&host.root, &path),
    };
    let written = written.map_err(|error| file_error("cannot tell systemd-networkd", error))?;
    let is_same = written == files::Written::AlreadySo;
    let active = networkd::is_active(host)
        .map_err(|error| PluginError::new("cannot find out whether systemd-networkd runs").source(error))?;
    if !active {
        return Ok(if is_same { Outcome::AlreadySo } else { Outcome::Changed });
    }
    if is_same && all_there(host, link, expected)? {
        return Ok(Outcome::AlreadySo);
    }
    let before = Report::of(host, link)?;
    let command = if is_same { networkd::reconfigure_command(link) } else { networkd::reload_command() };
    host.run(&command)
        .map_err(|error| PluginError::new("cannot make systemd-networkd read its files").source(error))?;
    wait_for_networkd(host, link, expected, before.as_ref(), context)?;
    Ok(Outcome::Changed)
}

/// networkd looks for other machines with an IPv4 address only when it is told to, and then at every boot for seconds.
/// A link that is off cannot be asked over, and is not ours to switch on.
fn refuse_duplicates(host: &Host, link: &str, expected: &Expected, context: &Context) -> Result<(), PluginError> {
    let links = host.links().map_err(|error| network_error("cannot look at the links", error))?;
    if !links.iter().any(|known| known.name == link && known.up) {
        return Ok(());
    }
    for address in &expected.addresses {
        if !has_address(host, link, *address)? {
            duplicate::refuse(host, link, *address, context)?;
        }
    }
    Ok(())
}

fn all_there(host: &Host, link: &str, expected: &Expected) -> Result<bool, PluginError> {
    for address in &expected.addresses {
        if !has_address(host, link, *address)? {
            return Ok(false);
        }
    }
    for route in &expected.routes {
        if !has_route(host, link, route)? {
            return Ok(false);
        }
    }
    let Some(mtu) = expected.mtu else { return Ok(true) };
    let links = host.links().map_err(|error| network_error("cannot look at the links", error))?;
    Ok(links.iter().any(|known| known.name == link && known.mtu == mtu))
}

/// networkd answers before it has done anything, and takes everything away before it puts it there: only when it has
/// reported anew, what is there is what came of it.
fn wait_for_networkd(
    host: &Host,
    link: &str,
    expected: &Expected,
    before: Option<&Report>,
    context: &Context,
) -> Result<(), PluginError> {
    let patience = if expected.is_nothing() { PATIENCE_WITH_THE_END } else { PATIENCE_WITH_NETWORKD };
    let until = Instant::now() + context.remaining().map_or(patience, |left| left.min(patience));
    let mut was_done = false;
    loop {
        let report = Report::of(host, link)?;
        let is_anew = report.is_none() || report.as_ref() != before;
        // Without a carrier a link is being configured for ever, although its own settings have come about.
        let has_addresses = !expected.addresses.is_empty() || !expected.routes.is_empty();
        let is_at_it = report.is_some_and(|report| report.is_configuring) && has_addresses && !expected.asks_servers;
        let is_done = is_anew && !is_at_it && all_there(host, link, expected)?;
        // Twice, because a report may be about something that happened before.
        if is_done && was_done {
            return Ok(());
        }
        was_done = is_done;
        if Instant::now() >= until || context.is_cancelled() {
            if expected.is_nothing() {
                return Ok(());
            }
            let message = format!("systemd-networkd has not configured {link} in time");
            return Err(PluginError::new(message).help(format!("networkctl status {link} says why")));
        }
        std::thread::sleep(host.poll_interval);
    }
}

/// What networkd has written about a link, and which of its reports it is.
#[derive(PartialEq)]
struct Report {
    inode: u64,
    modified: (i64, i64),
    is_configuring: bool,
}

impl Report {
    fn of(host: &Host, link: &str) -> Result<Option<Self>, PluginError> {
        let Some(index) = index(host, link)? else { return Ok(None) };
        let path = host.root.locate(format!("{}/{index}", lease::LINKS));
        let (Ok(metadata), Ok(text)) = (std::fs::metadata(&path), std::fs::read_to_string(&path)) else {
            return Ok(None);
        };
        let is_configuring = text.lines().any(|line| line == "ADMIN_STATE=configuring");
        Ok(Some(Self { inode: metadata.ino(), modified: (metadata.mtime(), metadata.mtime_nsec()), is_configuring }))
    }
}

fn wait(host: &Host, waiting: &Waiting, context: &Context) -> Result<Outcome, PluginError> {
    waiting.wait(host, context, || {
        Ok(match waiting {
            Waiting::Link { .. } => false,
            Waiting::Lease { link, family, .. } => has_lease(host, link, *family)?,
            Waiting::Duplicate { link, address } => !is_duplicate(host, link, address)?,
        })
    })
}

fn has_lease(host: &Host, link: &str, family: Family) -> Result<bool, PluginError> {
    let index = index(host, link)?;
    let addresses = host.addresses().map_err(|error| network_error("cannot look for the lease", error))?;
    Ok(addresses.iter().any(|known| Some(known.index) == index && lease::is_leased(known, family)))
}

fn is_duplicate(host: &Host, link: &str, address: &str) -> Result<bool, PluginError> {
    let index = index(host, link)?;
    let addresses = host.addresses().map_err(|error| network_error("cannot look at the address", error))?;
    Ok(addresses
        .iter()
        .any(|known| Some(known.index) == index && known.duplicate && known.address.to_string() == address))
}
