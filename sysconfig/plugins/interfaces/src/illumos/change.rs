//! The steps, forwards and backwards.

mod links;

use crate::error::{file_error, network_error};
use crate::record::{Record, give_back, keep_original, remember};
use crate::steps::Waiting;
use links::{MTUS, delete_interface, give_mtu_back, look, object_on, set_link_mtu, set_mtu};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use sysconfig_platform::dhcpcd::Family;
use sysconfig_platform::ipadm::{self, AddressSpec, Protocol};
use sysconfig_platform::route::{self, BoundRoute};
use sysconfig_platform::{Host, IpNet, NetworkError, System, lease};
use sysconfig_plugin::{Context, Level, Outcome, PluginError};

/// The longest time that `ipadm` itself waits for a lease; then the plugin looks, and notices when it is cancelled.
const WAIT_IN_IPADM: Duration = Duration::from_secs(5);

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
    /// Find out which of several links has a signal.
    Look {
        /// The links.
        links: Vec<String>,
        /// Those of them that IP does not use.
        off: Vec<String>,
    },
    /// Make an interface.
    CreateInterface {
        /// Its link.
        link: String,
    },
    /// Enable an interface.
    EnableInterface {
        /// Its link.
        link: String,
    },
    /// Delete an interface, on which nothing is left.
    DeleteInterface {
        /// Its link.
        link: String,
    },
    /// Let a link carry larger packets.
    LinkMtu {
        /// The link.
        link: String,
        /// In bytes.
        mtu: u32,
        /// Before.
        previous: u32,
    },
    /// Set the largest packet of a protocol.
    SetMtu {
        /// The interface.
        link: String,
        /// The protocol.
        protocol: Protocol,
        /// In bytes.
        mtu: u32,
        /// Before.
        previous: u32,
        /// Whether it is configured, and not given back.
        is_ours: bool,
    },
    /// Make an address object.
    Create {
        /// Its name.
        object: String,
        /// What it is made of.
        spec: AddressSpec,
        /// How long to wait for a lease, in seconds.
        wait_s: u64,
    },
    /// Delete an address object.
    Delete {
        /// Its name.
        object: String,
        /// What it was made of.
        spec: AddressSpec,
    },
    /// Enable an address object.
    Enable {
        /// Its name.
        object: String,
    },
    /// Mark an address as up.
    Up {
        /// The name of its object.
        object: String,
    },
    /// Add a route and keep it.
    AddRoute {
        /// The route.
        route: BoundRoute,
        /// Whether it was kept, and only missing from the kernel.
        was_kept: bool,
    },
    /// Delete a route and forget it.
    DeleteRoute {
        /// The route.
        route: BoundRoute,
    },
    /// Wait for something that only others can do.
    Wait(Waiting),
}

impl Change {
    pub(crate) fn apply(&self, host: &Host, context: &Context) -> Result<Outcome, PluginError> {
        let operation = self.operation();
        let failed = |error| network_error(&operation, error);
        match self {
            Self::Choose { link, .. } => {
                remember(host, |record| {
                    record.guessed &= record.found_up == *link;
                    record.found_up = None;
                    record.first_up.clone_from(link);
                })?;
                return Ok(Outcome::Changed);
            }
            Self::Look { links, off } => look(host, context, links, off)?,
            Self::CreateInterface { link } => ipadm::ensure_interface(host, link).map_err(failed)?,
            Self::EnableInterface { link } => {
                ipadm::run(host, &ipadm::enable_interface(link), &operation).map(drop).map_err(failed)?;
            }
            Self::DeleteInterface { link } => return delete_interface(host, link, &operation),
            Self::LinkMtu { link, mtu, previous } => {
                // The interface that is made on it begins with the size of the link; what it had is forgotten otherwise.
                let set = || set_link_mtu(host, link, *mtu, &operation).map_err(failed);
                keep_original(host, MTUS, (link, *previous), set)?;
            }
            Self::SetMtu { link, protocol, mtu, previous, is_ours } => {
                let set = || set_mtu(host, link, *protocol, *mtu, &operation).map_err(failed);
                match is_ours {
                    true => keep_original(host, MTUS, (link, *previous), set)?,
                    false => give_mtu_back(host, link, *protocol, *mtu, &operation)?,
                }
            }
            Self::Create { object, spec, wait_s } => return create(host, object, spec, *wait_s, context),
            Self::Delete { object, spec } => return delete(host, object, spec),
            Self::Enable { object } => {
                ipadm::run(host, &ipadm::enable_address(object), &operation).map(drop).map_err(failed)?;
            }
            Self::Up { object } => {
                ipadm::run_as_lasting_as_possible(host, &ipadm::up_address(object), &operation).map_err(failed)?;
            }
            Self::AddRoute { route, .. } => {
                let mut is_new = false;
                remember(host, |record| is_new = record.routes.insert(route.clone()))?;
                match route::add(host, route) {
                    Ok(()) => {}
                    // It is left over then, and other links have routes, too.
                    Err(error) if error.is_unreachable() => {
                        context
                            .log(Level::Warn, format!("the route {route} is not set: its gateway cannot be reached"));
                        if is_new {
                            remember(host, |record| record.routes.remove(route))?;
                        }
                        return Ok(Outcome::AlreadySo);
                    }
                    Err(error) => return Err(failed(error)),
                }
                remember(host, |record| record.cut.remove(route))?;
            }
            Self::DeleteRoute { route } => {
                route::delete(host, route).map_err(failed)?;
                remember(host, |record| {
                    record.cut.remove(route);
                    record.routes.remove(route)
                })?;
            }
            Self::Wait(waiting) => return wait(host, waiting, context),
        }
        Ok(Outcome::Changed)
    }

    pub(crate) fn undo(&self, host: &Host, context: &Context) -> Result<Outcome, PluginError> {
        let operation = format!("cannot undo: {}", self.operation());
        let failed = |error| network_error(&operation, error);
        match self {
            Self::Choose { previous, .. } => remember(host, |record| record.first_up.clone_from(previous))?,
            Self::Look { .. } => remember(host, |record| record.found_up = None)?,
            Self::CreateInterface { link } => {
                if let Some(object) = object_on(host, link).map_err(failed)? {
                    context.log(Level::Info, format!("the interface {link} stays: {object} is on it now"));
                    return Ok(Outcome::AlreadySo);
                }
                return delete_interface(host, link, &operation);
            }
            Self::DeleteInterface { link } => ipadm::ensure_interface(host, link).map_err(failed)?,
            Self::LinkMtu { link, previous, .. } => {
                let set = || set_link_mtu(host, link, *previous, &operation).map_err(failed);
                give_back(host, MTUS, (link, *previous), set)?;
            }
            Self::SetMtu { link, protocol, mtu, previous, is_ours } => {
                let set = || set_mtu(host, link, *protocol, *previous, &operation).map_err(failed);
                match is_ours {
                    true => give_mtu_back(host, link, *protocol, *previous, &operation)?,
                    false => keep_original(host, MTUS, (link, *mtu), set)?,
                }
            }
            Self::Create { object, spec, .. } => return delete(host, object, spec),
            Self::Delete { object, spec } => {
                let outcome = create(host, object, spec, 1, context)?;
                add_cut_routes(host, object)?;
                return Ok(outcome);
            }
            Self::AddRoute { was_kept: true, .. } => return Ok(Outcome::AlreadySo),
            Self::AddRoute { route, was_kept: false } => {
                route::delete(host, route).map_err(failed)?;
                remember(host, |record| record.routes.remove(route))?;
            }
            Self::DeleteRoute { route } => {
                remember(host, |record| record.routes.insert(route.clone()))?;
                route::add(host, route).map_err(failed)?;
            }
            // What was out of operation before was so by accident, and waiting changes nothing.
            Self::EnableInterface { .. } | Self::Enable { .. } | Self::Up { .. } | Self::Wait(_) => {
                return Ok(Outcome::AlreadySo);
            }
        }
        Ok(Outcome::Changed)
    }

    /// What it is that cannot be done.
    fn operation(&self) -> String {
        match self {
            Self::Choose { .. } => "cannot keep the choice of a link".to_owned(),
            Self::Look { .. } => "cannot look which link has a signal".to_owned(),
            Self::CreateInterface { link } => format!("cannot make the interface {link}"),
            Self::EnableInterface { link } => format!("cannot enable the interface {link}"),
            Self::DeleteInterface { link } => format!("cannot unplumb the interface {link}"),
            Self::LinkMtu { link, .. } | Self::SetMtu { link, .. } => format!("cannot set the MTU of {link}"),
            Self::Create { object, spec, .. } => format!("cannot make {object} for {spec}"),
            Self::Delete { object, .. } => format!("cannot delete {object}"),
            Self::Enable { object } => format!("cannot enable {object}"),
            Self::Up { object } => format!("cannot bring {object} up"),
            Self::AddRoute { route, .. } => format!("cannot add the route {route}"),
            Self::DeleteRoute { route } => format!("cannot delete the route {route}"),
            Self::Wait(waiting) => waiting.failure(System::Illumos).to_string(),
        }
    }
}

/// The object of that name, when it is there: a fixed address is compared by the caller.
fn rows_of(host: &Host, object: &str) -> Result<Vec<ipadm::Address>, NetworkError> {
    let mut rows = ipadm::addresses(host)?;
    rows.retain(|row| row.object == object);
    Ok(rows)
}

fn create(
    host: &Host,
    object: &str,
    spec: &AddressSpec,
    wait_s: u64,
    context: &Context,
) -> Result<Outcome, PluginError> {
    let link = object.split('/').next().unwrap_or_default();
    let operation = format!("cannot put {spec} on {link}");
    let failed = |error| network_error(&operation, error);
    let rows = ipadm::addresses(host).map_err(failed)?;
    let is_same = |row: &ipadm::Address| match spec {
        AddressSpec::Static { address } => row.is_fixed() && row.address == Some(*address),
        AddressSpec::Dhcp => row.kind == "dhcp",
        AddressSpec::Addrconf { .. } => row.kind == "addrconf",
    };
    // Somebody may have made it under another name since the plan.
    if rows.iter().any(|row| row.interface() == link && is_same(row)) {
        return Ok(Outcome::AlreadySo);
    }
    if let Some(other) = rows.iter().find(|row| row.object == object) {
        let message = format!("{operation}: {object} is there and something else ({})", other.kind);
        return Err(PluginError::new(message).help("plan and apply again"));
    }
    let left = context.remaining().unwrap_or(WAIT_IN_IPADM) / 2;
    let wait = Duration::from_secs(wait_s).min(WAIT_IN_IPADM).min(left);
    match ipadm::make_address(host, object, spec, wait) {
        Ok(()) => {}
        // No reason to leave other links alone; the plan tells it.
        Err(error @ NetworkError::Duplicate { .. }) => {
            let help = error.help().unwrap_or_default();
            context.log(Level::Error, format!("{operation}: {error}: {help}"));
            note_taken(host, link, spec, true)?;
            return Ok(Outcome::AlreadySo);
        }
        Err(error) => return Err(failed(error)),
    }
    note_taken(host, link, spec, false)?;
    Ok(Outcome::Changed)
}

/// Remembers whether another machine had a fixed address.
fn note_taken(host: &Host, link: &str, spec: &AddressSpec, is_taken: bool) -> Result<(), PluginError> {
    let AddressSpec::Static { address } = spec else { return Ok(()) };
    let taken = (link.to_owned(), *address);
    remember(host, |record| if is_taken { record.taken.insert(taken) } else { record.taken.remove(&taken) })
}

fn delete(host: &Host, object: &str, spec: &AddressSpec) -> Result<Outcome, PluginError> {
    let operation = format!("cannot delete {object}");
    let failed = |error| network_error(&operation, error);
    let rows = rows_of(host, object).map_err(failed)?;
    let Some(row) = rows.first() else { return Ok(Outcome::AlreadySo) };
    let networks: Vec<IpNet> = rows.iter().filter_map(|row| row.address).collect();
    let is_lost = |kept: &BoundRoute| networks.iter().any(|net| net.contains(&kept.route.via));
    let lost: Vec<BoundRoute> = route::kept(host).map_err(failed)?.into_iter().filter(is_lost).collect();
    remember(host, |record| record.cut.extend(lost))?;
    // A lease is given back to its server, when there is one.
    let release = *spec == AddressSpec::Dhcp && row.address.is_some();
    ipadm::remove_address(host, object, release).map_err(failed)?;
    Ok(Outcome::Changed)
}

/// Gives the kernel again what it lost with an address that is back.
fn add_cut_routes(host: &Host, object: &str) -> Result<(), PluginError> {
    let failed = |error| network_error("cannot add the routes of an address again", error);
    let networks: Vec<IpNet> =
        rows_of(host, object).map_err(failed)?.into_iter().filter_map(|row| row.address).collect();
    let record = Record::load(host).map_err(|error| file_error("cannot read what was done before", error))?;
    for route in record.cut.iter().filter(|cut| networks.iter().any(|net| net.contains(&cut.route.via))) {
        route::add(host, route).map_err(failed)?;
        remember(host, |record| record.cut.remove(route))?;
    }
    Ok(())
}

fn wait(host: &Host, waiting: &Waiting, context: &Context) -> Result<Outcome, PluginError> {
    waiting.wait(host, context, || {
        Ok(match waiting {
            Waiting::Link { .. } => false,
            Waiting::Lease { link, family, .. } => has_lease(host, link, *family)?,
            Waiting::Leases { leases, .. } => {
                let found = leases.iter().map(|(link, family)| has_lease(host, link, *family));
                found.collect::<Result<Vec<_>, _>>()?.into_iter().all(|has| has)
            }
            // Addresses are put on a link of illumos whether it has one or not.
            Waiting::Signal { .. } => true,
            Waiting::Duplicate { link, address } => !is_duplicate(host, link, address)?,
        })
    })
}

fn has_lease(host: &Host, link: &str, family: Family) -> Result<bool, PluginError> {
    let failed = |error| network_error("cannot look for the lease", error);
    let rows = ipadm::addresses(host).map_err(failed)?;
    match family {
        Family::Ipv4 => Ok(rows.iter().any(|row| row.interface() == link && row.kind == "dhcp" && row.is_usable())),
        Family::Ipv6 => lease::has_dhcp6(host, link, &rows).map_err(failed),
    }
}

fn is_duplicate(host: &Host, link: &str, address: &str) -> Result<bool, PluginError> {
    let rows = ipadm::addresses(host).map_err(|error| network_error("cannot look at the address", error))?;
    Ok(rows.iter().any(|row| {
        let is_it = row.address.is_some_and(|net| net.to_string() == address);
        row.interface() == link && row.state == "duplicate" && is_it
    }))
}
