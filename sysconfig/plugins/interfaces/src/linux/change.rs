//! The steps, forwards and backwards.

mod client;
mod kernel;
mod lost;
mod told;

pub(super) use kernel::is_over;
pub(super) use told::Expected;

use super::duplicate;
use super::prefix_key;
use crate::error::network_error;
use crate::record::{Originals, give_back, keep_original, remember};
use crate::steps::{Waiting, find_up};
use client::{release, start};
use kernel::{add_address, add_route, delete_address, delete_route, has_address, index, kernel, set_ipv6, set_mtu};
use lost::{delete_keeping_routes, put_back};
use serde::{Deserialize, Serialize};
use sysconfig_platform::dhcpcd::Family;
use sysconfig_platform::{Host, IpNet, Route, lease};
use sysconfig_plugin::{Context, Level, Outcome, PluginError};
use told::{file, give_mtu_back};

const MTUS: Originals<u32> = |record| &mut record.mtus;
const VALUES: Originals<u8> = |record| &mut record.accept_ra_values;
const PREFIXES: Originals<u8> = |record| &mut record.prefix_values;

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
        /// Those of them that are off.
        off: Vec<String>,
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
        /// The value.
        value: u8,
        /// Before.
        previous: u8,
        /// Whether it is configured, and not given back.
        is_ours: bool,
    },
    /// Make the kernel take the prefixes of router advertisements, or not.
    Prefixes {
        /// The link.
        link: String,
        /// Which of the kernel's values it is.
        name: String,
        /// The value.
        value: u8,
        /// Before.
        previous: u8,
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
        /// Whether another one of the link goes before it, and comes back after it when that is undone.
        #[serde(default)]
        follows: bool,
        /// Those of which one has to be on the link before, where others are to replace it.
        #[serde(default)]
        after: Vec<IpNet>,
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
            Self::Choose { link, .. } => remember(host, |record| {
                record.guessed &= record.found_up == *link;
                record.found_up = None;
                record.first_up.clone_from(link);
            })?,
            Self::Look { links, off } => look(host, context, links, off)?,
            Self::File { link, content, expected, .. } => {
                // networkd sets an MTU, and never takes it back.
                if let Some(before) = expected.mtu_before {
                    remember(host, |record| *record.mtus.entry(link.clone()).or_insert(before))?;
                }
                return file(host, link, content.as_deref(), expected, context);
            }
            Self::Up { link } => {
                return kernel(host, link, "switch it on", |stack, link| stack.set_up(link.index, true));
            }
            Self::SetMtu { link, mtu, previous, is_ours } => {
                return match is_ours {
                    true => keep_original(host, MTUS, (link, *previous), || set_mtu(host, link, *mtu)),
                    false => give_back(host, MTUS, (link, *mtu), || set_mtu(host, link, *mtu)),
                };
            }
            Self::AcceptRa { link, value, previous, is_ours } => {
                return match is_ours {
                    true => {
                        keep_original(host, VALUES, (link, *previous), || set_ipv6(host, link, "accept_ra", *value))
                    }
                    false => give_back(host, VALUES, (link, *value), || set_ipv6(host, link, "accept_ra", *value)),
                };
            }
            Self::Prefixes { link, name, value, previous, is_ours } => {
                let key = prefix_key(link, name);
                let set = || set_ipv6(host, link, name, *value);
                return match is_ours {
                    true => keep_original(host, PREFIXES, (&key, *previous), set),
                    false => give_back(host, PREFIXES, (&key, *value), set),
                };
            }
            Self::AddAddress { link, address } => {
                if !has_address(host, link, *address)? && duplicate::is_taken(host, link, *address, context)? {
                    return Ok(Outcome::AlreadySo);
                }
                return add_address(host, link, *address);
            }
            Self::DeleteAddress { link, address, follows, after } => {
                if !after.is_empty() && !has_any(host, link, after)? {
                    let message = format!("{address} stays on {link}: none of the addresses that replace it is there");
                    context.log(Level::Warn, message);
                    return Ok(Outcome::AlreadySo);
                }
                return delete_keeping_routes(host, link, *address, *follows);
            }
            Self::AddRoute { link, route } => {
                let outcome = add_route(host, link, route)?;
                if outcome.is_none() {
                    context
                        .log(Level::Warn, format!("the route {route} is not set: {link} does not lead to its gateway"));
                }
                return Ok(outcome.unwrap_or(Outcome::AlreadySo));
            }
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
            Self::Look { off, .. } => {
                remember(host, |record| record.found_up = None)?;
                switch(host, off, false);
            }
            Self::File { link, previous, expected, .. } => {
                let outcome = file(host, link, previous.as_deref(), &Expected::default(), context)?;
                if expected.mtu.is_some() && !previous.as_ref().is_some_and(|previous| previous.contains("\nMTUBytes="))
                {
                    give_mtu_back(host, link)?;
                }
                return Ok(outcome);
            }
            Self::SetMtu { link, mtu, previous, is_ours } => {
                return match is_ours {
                    true => give_back(host, MTUS, (link, *previous), || set_mtu(host, link, *previous)),
                    false => keep_original(host, MTUS, (link, *mtu), || set_mtu(host, link, *previous)),
                };
            }
            Self::AcceptRa { link, value, previous, is_ours } => {
                return match is_ours {
                    true => give_back(host, VALUES, (link, *previous), || set_ipv6(host, link, "accept_ra", *previous)),
                    false => {
                        keep_original(host, VALUES, (link, *value), || set_ipv6(host, link, "accept_ra", *previous))
                    }
                };
            }
            Self::Prefixes { link, name, value, previous, is_ours } => {
                let key = prefix_key(link, name);
                let set = || set_ipv6(host, link, name, *previous);
                return match is_ours {
                    true => give_back(host, PREFIXES, (&key, *previous), set),
                    false => keep_original(host, PREFIXES, (&key, *value), set),
                };
            }
            Self::AddAddress { link, address } => return delete_address(host, link, *address),
            Self::DeleteAddress { link, address, follows, .. } => {
                return put_back(host, link, *address, *follows, context);
            }
            Self::AddRoute { link, route } => return delete_route(host, link, route),
            Self::DeleteRoute { link, route } => {
                let outcome = add_route(host, link, route)?;
                let unreachable =
                    || PluginError::new(format!("the route {route} is not set: {link} does not lead to its gateway"));
                return outcome.ok_or_else(unreachable);
            }
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

/// Whether one of the addresses is on a link. One of them that another machine has does not come to it.
fn has_any(host: &Host, link: &str, addresses: &[IpNet]) -> Result<bool, PluginError> {
    let found = addresses.iter().map(|address| has_address(host, link, *address));
    Ok(found.collect::<Result<Vec<_>, _>>()?.contains(&true))
}

/// A link has a signal only when it is on.
fn look(host: &Host, context: &Context, links: &[String], off: &[String]) -> Result<(), PluginError> {
    switch(host, off, true);
    let found = find_up(host, context, links, || {
        let links = host.links().map_err(|error| network_error("cannot look at the links", error))?;
        Ok(links.into_iter().filter(|link| link.running).map(|link| link.name).collect())
    });
    let chosen = found.as_ref().ok().and_then(Option::as_ref);
    let others: Vec<_> = off.iter().filter(|link| Some(*link) != chosen).cloned().collect();
    switch(host, &others, false);
    found.map(drop)
}

/// Switches links on or off. One that will not has no signal, and is not the one.
fn switch(host: &Host, links: &[String], on: bool) {
    for link in links {
        drop(kernel(host, link, "switch it", |stack, link| stack.set_up(link.index, on)));
    }
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
            Waiting::Signal { link } => duplicate::has_signal_now(host, link)?,
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
