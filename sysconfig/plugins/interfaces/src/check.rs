//! What does not fit the machine that the configuration is to be for: asked before it comes into force, by a person. In a
//! daemon at work a link may come later, and it waits for that.

use crate::config::{Config, KEY, Selector};
use crate::error::network_error;
use crate::select::{self, Chosen, LinkFacts, Match};
use crate::steps::UNFIT_HELP;
use crate::{illumos, linux};
use std::ops::RangeInclusive;
use sysconfig_platform::stack::LinuxLink;
use sysconfig_platform::{Host, NetworkError, System, dladm};
use sysconfig_plugin::{Diagnostic, PluginError};

/// What there is to write of a link that is not there, instead of another name.
const OTHERWISE: &str = "if it comes later, write hotplug = true; for the configuration of another machine: --offline";

/// The links that there are.
enum Links {
    Linux(Vec<LinuxLink>),
    Illumos(Vec<dladm::Link>),
}

impl Links {
    fn of(host: &Host) -> Result<Self, NetworkError> {
        match host.system() {
            System::Linux => host.links().map(Self::Linux),
            System::Illumos => dladm::links(host).map(Self::Illumos),
        }
    }

    fn facts(&self) -> Vec<LinkFacts<'_>> {
        match self {
            Self::Linux(links) => linux::facts(links),
            Self::Illumos(links) => illumos::facts(links),
        }
    }

    /// Why there can be no IPv6 on a link that is to have it. On illumos that cannot be.
    fn ipv6_fault(&self, host: &Host, name: &str, mtu: Option<u32>) -> Result<Option<Diagnostic>, PluginError> {
        let Self::Linux(links) = self else { return Ok(None) };
        let Some(link) = links.iter().find(|link| link.name == name) else { return Ok(None) };
        let fault = linux::ipv6_fault_of(host, link, mtu)?;
        Ok(fault.map(|(message, help)| Diagnostic::error("addresses", message).help(help)))
    }

    /// What can be sent over a link, where its driver tells: the largest packet in bytes.
    fn possible_mtu(&self, host: &Host, name: &str) -> Result<Option<RangeInclusive<u32>>, NetworkError> {
        match self {
            Self::Linux(links) => {
                let link = links.iter().find(|link| link.name == name);
                // Where the driver does not say what the most is, the kernel looks at nothing.
                Ok(link.filter(|link| link.max_mtu != 0).map(|link| link.min_mtu..=link.max_mtu))
            }
            Self::Illumos(_) => {
                // IP may send less than what the link has to be set to.
                Ok(dladm::possible_mtu(host, name)?.map(|possible| 0..=*possible.end()))
            }
        }
    }
}

/// Links that the machine does not have, or that have no addresses, those that are matched twice, and sizes of packets that their
/// drivers do not allow.
pub(crate) fn faults(host: &Host, config: &Config) -> Result<Vec<Diagnostic>, PluginError> {
    let failed = |error| network_error("cannot look at the links", error);
    let links = Links::of(host).map_err(failed)?;
    let facts = links.facts();
    let matches = select::matches(config, &facts, &Chosen::default());
    let mut found = Vec::new();
    for (at, (interface, matched)) in config.interfaces.iter().zip(&matches).enumerate() {
        let key = format!("{KEY}[{at}]");
        let name = match matched {
            Match::Link(name) => name,
            // There is one to be found.
            Match::Open(_) => continue,
            Match::Nothing => {
                if interface.link_is_needed() {
                    found.push(absence(&key, &interface.selector, &facts));
                }
                continue;
            }
            Match::Unfit(unfit) => {
                let message = format!("the {} {unfit}", interface.selector);
                found.push(Diagnostic::error(format!("{key}.match"), message).help(UNFIT_HELP));
                continue;
            }
        };
        if let Some(first) = matches[..at].iter().position(|other| other.link() == Some(name)) {
            let message = format!("this is {name}, and so is {KEY}[{first}].match");
            let help = "put everything about one link into one interface";
            found.push(Diagnostic::error(format!("{key}.match"), message).help(help));
        }
        if interface.wanted().wants_v6() {
            let fault = links.ipv6_fault(host, name, interface.mtu)?;
            found.extend(fault.map(|fault| Diagnostic { key: format!("{key}.{}", fault.key), ..fault }));
        }
        if let Some(mtu) = interface.mtu {
            let possible = links.possible_mtu(host, name).map_err(failed)?;
            found.extend(possible.and_then(|possible| mtu_fault(&key, name, mtu, &possible)));
        }
    }
    Ok(found)
}

fn absence(key: &str, selector: &Selector, links: &[LinkFacts<'_>]) -> Diagnostic {
    let mut shown: Vec<String> = links.iter().map(|link| link.name.to_owned()).collect();
    let mut message = format!("this machine has no {selector}");
    let field = match selector {
        Selector { name: Some(name), .. } => {
            shown.sort_by_key(|other| strsim::damerau_levenshtein(name, other));
            "name"
        }
        Selector { mac: Some(_), .. } => {
            let with_mac = |link: &LinkFacts<'_>| link.mac.map(|mac| format!("{} with {mac}", link.name));
            shown = links.iter().filter_map(with_mac).collect();
            "mac"
        }
        _ => {
            if !links.is_empty() {
                message = "every link of this machine is matched by another interface".to_owned();
            }
            "first-up"
        }
    };
    let there_is = if shown.is_empty() { "none that could be meant".to_owned() } else { shown.join(", ") };
    Diagnostic::error(format!("{key}.match.{field}"), message).help(format!("there is {there_is}; {OTHERWISE}"))
}

fn mtu_fault(key: &str, link: &str, mtu: u32, possible: &RangeInclusive<u32>) -> Option<Diagnostic> {
    let help = match mtu {
        mtu if mtu < *possible.start() => format!("it allows no less than {}", possible.start()),
        mtu if mtu > *possible.end() => format!("it allows no more than {}", possible.end()),
        _ => return None,
    };
    let message = format!("the driver of {link} does not allow an MTU of {mtu}");
    Some(Diagnostic::error(format!("{key}.mtu"), message).help(help))
}
