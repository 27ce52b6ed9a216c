//! Which link an interface of the configuration is about.

use crate::config::{Config, Wanted};
use sysconfig_platform::mac::MacAddress;

/// What is known of a link on either system.
#[derive(Clone, Debug)]
pub(crate) struct LinkFacts<'a> {
    pub(crate) name: &'a str,
    pub(crate) mac: Option<MacAddress>,
    pub(crate) up: bool,
    /// Whether addresses can be on it.
    pub(crate) can_carry_ip: bool,
    /// The aggregation or bridge that it is a port of, and that has the addresses in its place.
    pub(crate) port_of: Option<&'a str>,
    /// The links that it lies on, as a VLAN does.
    pub(crate) over: Vec<&'a str>,
}

/// What `first-up` was.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chosen<'a> {
    /// The links, the surest first.
    pub(crate) links: Vec<&'a str>,
    /// Whether none had a signal then.
    pub(crate) is_guess: bool,
}

/// What came of looking for a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    /// It is this one.
    Link(String),
    /// There is none.
    Nothing,
    /// It is the first of these with a signal, which none has now. Many drivers know of none before the link is used.
    Open(Vec<String>),
    /// There is one that will not do, or more than one. This is what "the link with …" is.
    Unfit(String),
}

impl Match {
    pub(crate) fn link(&self) -> Option<&str> {
        match self {
            Self::Link(link) => Some(link),
            Self::Nothing | Self::Open(_) | Self::Unfit(_) => None,
        }
    }
}

/// An interface with its link.
#[derive(Clone, Debug)]
pub(crate) struct Selected {
    pub(crate) link: String,
    pub(crate) wanted: Wanted,
}

/// An interface whose link is not there.
#[derive(Clone, Debug)]
pub(crate) struct Absent {
    /// What was looked for.
    pub(crate) sought: String,
    /// What it is instead of one that will do.
    pub(crate) unfit: Option<String>,
    /// Whether that is to be told.
    pub(crate) is_needed: bool,
}

/// What came of matching.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    pub(crate) present: Vec<Selected>,
    pub(crate) absent: Vec<Absent>,
    /// The link of `first-up`.
    pub(crate) first_up: Option<String>,
    /// Among which links that is to be looked for.
    pub(crate) open: Vec<String>,
}

impl Selection {
    pub(crate) fn of(&self, link: &str) -> Option<&Wanted> {
        self.present.iter().find(|selected| selected.link == link).map(|selected| &selected.wanted)
    }
}

/// Finds the links. `chosen` is what `first-up` was before; the first of these that is there stays it, because the machine's
/// addresses must not move to another link when a cable is pulled.
pub(crate) fn select(config: &Config, links: &[LinkFacts<'_>], chosen: &Chosen<'_>) -> Selection {
    let mut selection = Selection::default();
    for (interface, found) in config.interfaces.iter().zip(matches(config, links, chosen)) {
        let sought = interface.selector.to_string();
        if interface.selector.first_up == Some(true) {
            selection.first_up = found.link().map(str::to_owned);
        }
        let (sought, unfit) = match found {
            Match::Link(link) if selection.of(&link).is_none() => {
                selection.present.push(Selected { link, wanted: interface.wanted() });
                continue;
            }
            // Two interfaces can match one link, one by its name and one by its address; the first has it.
            Match::Link(link) => (format!("{sought} besides {link}, which another interface is about"), None),
            Match::Nothing => (sought, None),
            Match::Open(links) => {
                selection.open = links;
                continue;
            }
            Match::Unfit(unfit) => (sought, Some(unfit)),
        };
        // What is there and will not do is not what `optional` and `hotplug` are about.
        let is_needed = interface.link_is_needed() || unfit.is_some();
        selection.absent.push(Absent { sought, unfit, is_needed });
    }
    selection
}

/// The link of each interface.
pub(crate) fn matches(config: &Config, links: &[LinkFacts<'_>], chosen: &Chosen<'_>) -> Vec<Match> {
    let mut found: Vec<_> = config.interfaces.iter().map(|interface| by_identity(interface, links)).collect();
    for (at, interface) in config.interfaces.iter().enumerate() {
        if interface.selector.first_up == Some(true) {
            let taken: Vec<_> = found.iter().filter_map(Match::link).collect();
            found[at] = first_up(links, chosen, &taken);
        }
    }
    found
}

fn by_identity(interface: &crate::config::Interface, links: &[LinkFacts<'_>]) -> Match {
    let selector = &interface.selector;
    if let Some(name) = selector.name.as_deref() {
        return match links.iter().find(|link| link.name == name) {
            Some(link) => unless_port(link, "is"),
            None => Match::Nothing,
        };
    }
    let Some(mac) = selector.mac_address() else { return Match::Nothing };
    by_mac(&links.iter().filter(|link| link.mac == Some(mac)).collect::<Vec<_>>())
}

/// Bridges and bonds share the address of a port of theirs, and VLANs that of the link that they lie on: of these one can be
/// meant. Which of two others is, nobody can say.
fn by_mac(same: &[&LinkFacts<'_>]) -> Match {
    let usable: Vec<_> = same.iter().filter(|link| link.port_of.is_none()).collect();
    let lies_on_another = |link: &LinkFacts<'_>| usable.iter().any(|other| link.over.contains(&other.name));
    let lowest: Vec<_> = usable.iter().filter(|link| !lies_on_another(link)).collect();
    match (lowest.as_slice(), same) {
        ([], []) => Match::Nothing,
        ([], [port, ..]) => unless_port(port, &format!("is {},", port.name)),
        ([link], _) => Match::Link(link.name.to_owned()),
        (twins, _) => {
            let names: Vec<_> = twins.iter().map(|link| link.name).collect();
            Match::Unfit(format!("is each of {}", names.join(", ")))
        }
    }
}

fn unless_port(link: &LinkFacts<'_>, is: &str) -> Match {
    match link.port_of {
        Some(other) => Match::Unfit(format!("{is} a port of {other}, which has the addresses in its place")),
        None => Match::Link(link.name.to_owned()),
    }
}

/// The first link with a signal that no other interface is about.
fn first_up(links: &[LinkFacts<'_>], chosen: &Chosen<'_>, taken: &[&str]) -> Match {
    let is_free = |link: &&LinkFacts<'_>| link.can_carry_ip && link.port_of.is_none() && !taken.contains(&link.name);
    let mut free: Vec<_> = links.iter().filter(is_free).collect();
    free.sort_by_key(|link| natural(link.name));
    let kept = chosen.links.iter().find_map(|name| free.iter().find(|link| link.name == *name));
    // A guess holds until somebody knows better.
    let kept = kept.filter(|kept| !chosen.is_guess || kept.up || !free.iter().any(|link| link.up));
    let found = kept.or_else(|| free.iter().find(|link| link.up));
    match (found, free.as_slice()) {
        (Some(link), _) | (None, [link]) => Match::Link(link.name.to_owned()),
        (None, []) => Match::Nothing,
        (None, _) => Match::Open(free.iter().map(|link| link.name.to_owned()).collect()),
    }
}

/// `net10` comes after `net9`.
fn natural(name: &str) -> (String, u64) {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (stem.to_owned(), name[stem.len()..].parse().unwrap_or_default())
}
