//! Which link an interface of the configuration is about.

use crate::config::{Config, Wanted};
use sysconfig_platform::mac::MacAddress;

/// What is known of a link on either system.
#[derive(Clone, Debug)]
pub(crate) struct LinkFacts<'a> {
    pub(crate) name: &'a str,
    pub(crate) mac: Option<MacAddress>,
    pub(crate) up: bool,
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
    pub(crate) optional: bool,
}

/// What came of matching.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    pub(crate) present: Vec<Selected>,
    pub(crate) absent: Vec<Absent>,
    /// The link of `first-up`.
    pub(crate) first_up: Option<String>,
}

impl Selection {
    pub(crate) fn of(&self, link: &str) -> Option<&Wanted> {
        self.present.iter().find(|selected| selected.link == link).map(|selected| &selected.wanted)
    }
}

/// Finds the links. `chosen` is the link that `first-up` was before; it stays while it is there, because the machine's
/// addresses must not move to another link when a cable is pulled.
pub(crate) fn select(config: &Config, links: &[LinkFacts<'_>], chosen: Option<&str>) -> Selection {
    let mut selection = Selection::default();
    let mut names: Vec<Option<String>> =
        config.interfaces.iter().map(|interface| by_identity(interface, links)).collect();
    for (at, interface) in config.interfaces.iter().enumerate() {
        if interface.selector.first_up == Some(true) {
            names[at] = first_up(links, chosen, &names);
            selection.first_up.clone_from(&names[at]);
        }
    }
    for (interface, name) in config.interfaces.iter().zip(names) {
        match name {
            // Two interfaces can match one link, one by its name and one by its address; the first has it.
            Some(link) if selection.of(&link).is_none() => {
                selection.present.push(Selected { link, wanted: interface.wanted() });
            }
            Some(_) => {}
            None => {
                let (sought, optional) = (interface.selector.to_string(), interface.optional);
                selection.absent.push(Absent { sought, optional });
            }
        }
    }
    selection
}

fn by_identity(interface: &crate::config::Interface, links: &[LinkFacts<'_>]) -> Option<String> {
    let selector = &interface.selector;
    let mac = selector.mac_address();
    let fits = |link: &&LinkFacts<'_>| selector.name.as_deref() == Some(link.name) || mac.is_some() && link.mac == mac;
    links.iter().find(fits).map(|link| link.name.to_owned())
}

/// The first link with a signal that no other interface is about. Many drivers know of no signal before the link
/// is used, so the first link at all is next best.
fn first_up(links: &[LinkFacts<'_>], chosen: Option<&str>, taken: &[Option<String>]) -> Option<String> {
    let mut free: Vec<_> = links.iter().filter(|link| !taken.iter().flatten().any(|name| name == link.name)).collect();
    free.sort_by_key(|link| natural(link.name));
    let kept = free.iter().find(|link| Some(link.name) == chosen);
    let up = || free.iter().find(|link| link.up);
    kept.or_else(up).or(free.first()).map(|link| link.name.to_owned())
}

/// `net10` comes after `net9`.
fn natural(name: &str) -> (String, u64) {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (stem.to_owned(), name[stem.len()..].parse().unwrap_or_default())
}
