//! The configuration of the plugin.

use serde::Deserialize;
use std::net::IpAddr;
use std::time::Duration;
use sysconfig_platform::mac::MacAddress;
use sysconfig_platform::{IpNet, Route, parse_net};

/// The configuration key that the plugin owns.
pub(crate) const KEY: &str = "network.interface";

/// How long a step waits for a lease when the configuration does not say.
const LEASE_DEADLINE: Duration = Duration::from_secs(10);

/// What is configured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The interfaces.
    #[serde(rename = "network.interface")]
    pub interfaces: Vec<Interface>,
}

/// One `[[network.interface]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Interface {
    /// Which link it is about.
    #[serde(rename = "match")]
    pub selector: Selector,
    /// Addresses with their prefix lengths, and `dhcp`, `dhcp6`, `addrconf`.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// The default routers, at most one for each family.
    #[serde(default)]
    pub gateway: OneOrMany,
    /// Further routes.
    #[serde(default)]
    pub routes: Vec<RouteEntry>,
    /// The largest packet in bytes.
    pub mtu: Option<u32>,
    /// How long to wait for a lease before going on without.
    pub lease_deadline: Option<String>,
    /// Whether the link may be absent, or without a lease, without that being a failure.
    #[serde(default)]
    pub optional: bool,
    /// Whether the link may come later. When it is there, it has to get its leases.
    #[serde(default)]
    pub hotplug: bool,
}

/// Which link an interface is about: one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Selector {
    /// The link of this name.
    pub name: Option<String>,
    /// The link with this link-layer address.
    pub mac: Option<String>,
    /// The first link with a signal; the choice is kept.
    pub first_up: Option<bool>,
}

/// One text, or a list of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected an address, or a list of them")]
pub enum OneOrMany {
    /// One.
    One(String),
    /// A list.
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl OneOrMany {
    /// The texts, each with the part of its key behind the name.
    pub(crate) fn items(&self) -> Vec<(String, &str)> {
        match self {
            Self::One(text) => vec![(String::new(), text)],
            Self::Many(texts) => {
                texts.iter().enumerate().map(|(at, text)| (format!("[{at}]"), text.as_str())).collect()
            }
        }
    }
}

/// A route.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteEntry {
    /// The destination network.
    pub to: String,
    /// The gateway.
    pub via: String,
}

/// One entry of `addresses`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressEntry {
    Dhcp,
    Dhcp6,
    Addrconf,
    Static(IpNet),
}

impl AddressEntry {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "dhcp" => Self::Dhcp,
            "dhcp6" => Self::Dhcp6,
            "addrconf" => Self::Addrconf,
            // Without a prefix length nothing is guessed.
            text => Self::Static(parse_net(text)?),
        })
    }
}

/// What is wanted on one interface, in parsed form; what cannot be parsed was refused by `validate`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) dhcp: bool,
    pub(crate) dhcp6: bool,
    pub(crate) addrconf: bool,
    pub(crate) statics: Vec<IpNet>,
    pub(crate) routes: Vec<Route>,
    pub(crate) mtu: Option<u32>,
    pub(crate) lease_deadline: Duration,
    pub(crate) optional: bool,
    /// The link-layer address that the link is known by.
    pub(crate) mac: Option<MacAddress>,
}

impl Wanted {
    /// Whether IPv6 is used at all.
    pub(crate) fn wants_v6(&self) -> bool {
        self.addrconf || self.dhcp6 || self.statics.iter().any(|net| net.addr().is_ipv6())
    }
}

impl Interface {
    /// Whether it is a fault when the machine does not have the link.
    pub(crate) fn link_is_needed(&self) -> bool {
        !self.optional && !self.hotplug
    }

    pub(crate) fn wanted(&self) -> Wanted {
        let entries: Vec<_> = self.addresses.iter().filter_map(|text| AddressEntry::parse(text)).collect();
        let mut statics = Vec::new();
        for entry in &entries {
            if let AddressEntry::Static(address) = entry {
                statics.push(*address);
            }
        }
        Wanted {
            dhcp: entries.contains(&AddressEntry::Dhcp),
            dhcp6: entries.contains(&AddressEntry::Dhcp6),
            addrconf: entries.contains(&AddressEntry::Addrconf),
            statics,
            routes: self.all_routes(),
            mtu: self.mtu,
            lease_deadline: self.lease_deadline.as_deref().and_then(parse_seconds).unwrap_or(LEASE_DEADLINE),
            optional: self.optional,
            mac: self.selector.mac_address(),
        }
    }

    fn all_routes(&self) -> Vec<Route> {
        let defaults = self.gateway.items().into_iter().filter_map(|(_, text)| text.parse::<IpAddr>().ok());
        let others = self
            .routes
            .iter()
            .filter_map(|entry| Some(Route { to: parse_net(&entry.to)?.trunc(), via: entry.via.parse().ok()? }));
        defaults.map(Route::default_over).chain(others).collect()
    }
}

impl Selector {
    pub(crate) fn mac_address(&self) -> Option<MacAddress> {
        self.mac.as_ref()?.parse().ok()
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.name, &self.mac) {
            (Some(name), _) => write!(f, "link {name}"),
            (None, Some(mac)) => write!(f, "link with the address {mac}"),
            (None, None) => f.write_str("first link with a signal"),
        }
    }
}

/// A whole number of seconds or minutes, `10s` or `2m`. The longest leaves a service enough of the 300 seconds that service
/// managers give it to start: leases are waited for at the same time.
pub(crate) fn parse_seconds(text: &str) -> Option<Duration> {
    const LONGEST: u64 = 120;
    let (number, factor) = match (text.strip_suffix('s'), text.strip_suffix('m')) {
        (Some(number), _) => (number, 1),
        (None, Some(number)) => (number, 60),
        (None, None) => return None,
    };
    let seconds = number.trim_end().parse::<u64>().ok()?.checked_mul(factor)?;
    (1..=LONGEST).contains(&seconds).then(|| Duration::from_secs(seconds))
}

/// The JSON Schema of `network.interface`.
pub(crate) const SCHEMA: &str = include_str!("interface.schema.json");
