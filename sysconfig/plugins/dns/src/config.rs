//! The configuration of the plugin, and what can be wrong with it.

use serde::Deserialize;
use std::net::IpAddr;
use sysconfig_platform::hostname;
use sysconfig_platform::lease::Lease;
use sysconfig_platform::resolver::{
    LONGEST_SEARCH_LIST, MOST_SEARCH_DOMAINS, MOST_SERVERS, ResolverSettings, usual_form,
};
use sysconfig_plugin::Diagnostic;

/// The configuration key that the plugin owns.
pub(crate) const KEY: &str = "network.dns";

/// What stands in a list where that of the DHCP servers belongs.
pub(crate) const FROM_LEASES: &str = "dhcp";

/// Longest domain name in characters, without a dot at the end (RFC 1035).
const LONGEST_DOMAIN: usize = 253;

/// What is configured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The resolver.
    #[serde(rename = "network.dns")]
    pub dns: Dns,
}

/// The value of `network.dns`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dns {
    /// Addresses of name servers, in order; `dhcp` stands for those of the leases.
    pub servers: Vec<String>,
    /// Domains that are tried for names without a dot, in order; `dhcp` stands for those of the leases.
    #[serde(default)]
    pub search: Vec<String>,
    /// Options of the resolver, as in `resolv.conf`.
    #[serde(default)]
    pub options: Vec<String>,
}

impl Dns {
    /// The configuration in the platform's terms, addresses in their usual form. Nothing is listed twice, and what
    /// leases would add beyond the resolver's limits is left out.
    #[must_use]
    pub fn settings(&self, leases: &[Lease]) -> ResolverSettings {
        let leased = || leases.iter().flat_map(|lease| lease.servers.iter().map(ToString::to_string)).collect();
        let mut servers = filled(&self.servers, leased, usual_form);
        servers.truncate(MOST_SERVERS);
        let leased = || leases.iter().flat_map(|lease| lease.search.iter().cloned()).collect();
        let mut search = filled(&self.search, leased, str::to_owned);
        search.truncate(MOST_SEARCH_DOMAINS);
        while search.join(" ").len() > LONGEST_SEARCH_LIST {
            search.pop();
        }
        ResolverSettings { servers, search, options: self.options.clone() }
    }

    /// Whether something comes from leases.
    pub(crate) fn uses_leases(&self) -> bool {
        self.servers.iter().chain(&self.search).any(|item| item == FROM_LEASES)
    }
}

/// A list with what leases tell in its place, each item once.
fn filled(list: &[String], leased: impl Fn() -> Vec<String>, form: impl Fn(&str) -> String) -> Vec<String> {
    let mut filled: Vec<String> = Vec::new();
    for item in list {
        let items = if item == FROM_LEASES { leased() } else { vec![form(item)] };
        for item in items {
            if !filled.contains(&item) {
                filled.push(item);
            }
        }
    }
    filled
}

/// The JSON Schema of `network.dns`.
pub(crate) fn schema() -> serde_json::Value {
    serde_json::json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["servers"],
        "properties": {
            "servers": {
                "description": "Addresses of name servers, in order; dhcp stands for those of the leases.",
                "type": "array",
                "minItems": 1,
                "maxItems": MOST_SERVERS,
                "items": {
                    "type": "string",
                    "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }, { "const": FROM_LEASES }],
                },
            },
            "search": {
                "description": "Domains that are tried for names without a dot, in order; dhcp stands for those of the leases.",
                "type": "array",
                "maxItems": MOST_SEARCH_DOMAINS,
                "items": { "type": "string" },
            },
            "options": {
                "description": "Options of the resolver, as in resolv.conf.",
                "type": "array",
                "items": { "type": "string", "examples": ["ndots:2", "rotate"] },
            },
        },
    })
}

/// Everything that is wrong.
pub(crate) fn faults(dns: &Dns) -> Vec<Diagnostic> {
    let mut found = server_faults(&dns.servers);
    found.extend(search_faults(&dns.search));
    found.extend(option_faults(&dns.options));
    found
}

fn server_faults(servers: &[String]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    if servers.is_empty() {
        let message = "no name server is given";
        found.push(Diagnostic::error(format!("{KEY}.servers"), message).help(
            "for example servers = [\"192.0.2.53\"] or [\"dhcp\"]; without the section the resolver is left alone",
        ));
    }
    for (index, server) in servers.iter().enumerate() {
        let key = format!("{KEY}.servers[{index}]");
        match server.parse::<IpAddr>() {
            Err(_) if server == FROM_LEASES => {}
            Err(_) => {
                let message = format!("{server:?} is not an address");
                let help = "write the server's IPv4 or IPv6 address: its name could not be looked up without it";
                found.push(Diagnostic::error(key, message).help(help));
            }
            Ok(address) if address.is_unspecified() || address.is_multicast() => {
                found.push(Diagnostic::error(key, format!("{server} is not the address of a single server")));
            }
            Ok(_) if index >= MOST_SERVERS => {
                let message = format!("only the first {MOST_SERVERS} servers are used");
                found.push(Diagnostic::error(key, message).help("leave this one out"));
            }
            Ok(_) => {}
        }
        let same = |other: &String| usual_form(other) == usual_form(server);
        if servers[..index].iter().any(same) {
            let message = format!("{server} is listed twice");
            found.push(Diagnostic::warning(format!("{KEY}.servers[{index}]"), message));
        }
    }
    found
}

fn search_faults(search: &[String]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (index, domain) in search.iter().enumerate() {
        let key = format!("{KEY}.search[{index}]");
        let name = domain.strip_suffix('.').unwrap_or(domain);
        let fault = if name.len() > LONGEST_DOMAIN {
            Some(format!("it has more than {LONGEST_DOMAIN} characters"))
        } else {
            name.split('.').find_map(domain_label_fault)
        };
        if let Some(fault) = fault {
            let message = format!("{domain:?} is not a domain: {fault}");
            found.push(Diagnostic::error(key, message));
        } else if index >= MOST_SEARCH_DOMAINS {
            let message = format!("only the first {MOST_SEARCH_DOMAINS} domains are searched");
            found.push(Diagnostic::error(key, message).help("leave this one out"));
        }
    }
    let length = search.join(" ").len();
    if length > LONGEST_SEARCH_LIST {
        let message = format!("the search list has {length} characters, more than {LONGEST_SEARCH_LIST}");
        found.push(Diagnostic::error(format!("{KEY}.search"), message).help("leave domains out"));
    }
    found
}

/// Like a part of a host name, except that domains may have underscores.
fn domain_label_fault(label: &str) -> Option<String> {
    hostname::label_fault(&label.replace('_', "u"))
}

/// The options that take a number, with its range.
const NUMBERS: [(&str, u32, u32); 3] = [("ndots", 0, 15), ("timeout", 1, 30), ("attempts", 1, 5)];

/// The options that are just named; those of glibc and of illumos.
const FLAGS: [&str; 12] = [
    "debug",
    "edns0",
    "inet6",
    "no-aaaa",
    "no-check-names",
    "no-reload",
    "no-tld-query",
    "rotate",
    "single-request",
    "single-request-reopen",
    "trust-ad",
    "use-vc",
];

fn option_faults(options: &[String]) -> Vec<Diagnostic> {
    let faulty = |(index, option): (usize, &String)| {
        let fault = option_fault(option)?;
        let diagnostic = Diagnostic::error(format!("{KEY}.options[{index}]"), fault);
        Some(diagnostic.help(format!("the options are {}", known_options())))
    };
    options.iter().enumerate().filter_map(faulty).collect()
}

fn option_fault(option: &str) -> Option<String> {
    let (name, value) = match option.split_once(':') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    let number = NUMBERS.iter().find(|(known, ..)| *known == name);
    match (number, value) {
        (Some((_, least, most)), value) => {
            let value = value.and_then(|value| value.parse::<u32>().ok());
            let fits = value.is_some_and(|value| (*least..=*most).contains(&value));
            (!fits).then(|| format!("{option:?} needs a number from {least} to {most} after `{name}:`"))
        }
        (None, None) if FLAGS.contains(&name) => None,
        (None, Some(_)) if FLAGS.contains(&name) => Some(format!("the option {name} takes no value")),
        // The resolver libraries skip what they do not know without a word, so a typing mistake must be found here.
        (None, _) => Some(format!("no resolver option is named {name:?}")),
    }
}

fn known_options() -> String {
    let numbers = NUMBERS.iter().map(|(name, ..)| format!("{name}:N"));
    let flags = FLAGS.iter().map(|name| (*name).to_owned());
    numbers.chain(flags).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns(servers: &[&str], search: &[&str], options: &[&str]) -> Dns {
        let owned = |list: &[&str]| list.iter().map(|item| (*item).to_owned()).collect();
        Dns { servers: owned(servers), search: owned(search), options: owned(options) }
    }

    /// Key below `network.dns.` and whether it is an error, of each finding.
    fn found(dns: &Dns) -> Vec<(String, bool)> {
        let short = |key: &str| key.strip_prefix("network.dns.").unwrap().to_owned();
        faults(dns).iter().map(|fault| (short(&fault.key), fault.is_error())).collect()
    }

    #[test]
    fn what_is_right_is_accepted() {
        let options = ["ndots:0", "ndots:15", "timeout:30", "attempts:5", "rotate", "edns0"];
        let search = ["example.org", "lan", "_sites.example.org", "example.net."];
        assert_eq!(found(&dns(&["10.0.2.3", "2001:db8::1", "127.0.0.1"], &search, &options)), []);
        let long = "a".repeat(63);
        let four = [long.as_str(); 4].join(".");
        assert_eq!(four.len(), 255);
        assert_eq!(found(&dns(&["192.0.2.1"], &[&four[2..]], &[])), [], "253 characters are allowed");
    }

    #[test]
    fn every_limit_has_a_finding_at_its_place() {
        let error = |key: &str| vec![(key.to_owned(), true)];
        let server = ["192.0.2.1"];
        assert_eq!(found(&dns(&[], &[], &[])), error("servers"));
        for wrong in ["dns.example.org", "192.0.2", "192.0.2.1/24", "0.0.0.0", "::", "224.0.0.1", "fe80::1%net0", ""] {
            assert_eq!(found(&dns(&[wrong], &[], &[])), error("servers[0]"), "{wrong}");
        }
        let four = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"];
        assert_eq!(found(&dns(&four, &[], &[])), error("servers[3]"));
        let twice = ["2001:db8::1", "2001:DB8:0::1"];
        assert_eq!(found(&dns(&twice, &[], &[])), [("servers[1]".to_owned(), false)]);
        for wrong in ["a..b", "ex ample", "-a.org", "", "."] {
            assert_eq!(found(&dns(&server, &["ok.org", wrong], &[])), error("search[1]"), "{wrong}");
        }
        let seven = ["a", "b", "c", "d", "e", "f", "g"];
        assert_eq!(found(&dns(&server, &seven, &[])), error("search[6]"));
        let long = "a".repeat(60);
        let list = [long.as_str(); 5];
        assert_eq!(found(&dns(&server, &list, &[])), error("search"));
        for wrong in ["rotat", "ndots", "ndots:16", "ndots:-1", "timeout:0", "attempts:x", "rotate:1", ""] {
            assert_eq!(found(&dns(&server, &[], &["rotate", wrong])), error("options[1]"), "{wrong}");
        }
    }

    #[test]
    fn addresses_take_their_usual_form() {
        assert_eq!(dns(&["2001:DB8:0:0::1"], &[], &[]).settings(&[]).servers, ["2001:db8::1"]);
    }
    #[test]
    fn leases_fill_their_place_up_to_the_limits() {
        let lease = |interface: &str, servers: &[&str], search: &[&str]| Lease {
            interface: interface.to_owned(),
            servers: servers.iter().map(|server| server.parse().unwrap()).collect(),
            search: search.iter().map(|domain| (*domain).to_owned()).collect(),
            hostname: None,
        };
        let leases = [
            lease("net0", &["192.0.2.53", "192.0.2.54"], &["example.org"]),
            lease("net1", &["198.51.100.53"], &["lan", "example.org"]),
        ];
        let filled = |servers: &[&str], search: &[&str]| {
            let settings = dns(servers, search, &[]).settings(&leases);
            (settings.servers.join(" "), settings.search.join(" "))
        };
        assert_eq!(
            filled(&["dhcp"], &["dhcp"]),
            ("192.0.2.53 192.0.2.54 198.51.100.53".into(), "example.org lan".into())
        );
        assert_eq!(filled(&["10.0.2.3", "dhcp"], &[]), ("10.0.2.3 192.0.2.53 192.0.2.54".into(), String::new()));
        assert_eq!(
            filled(&["dhcp", "10.0.2.3"], &["lan", "dhcp"]),
            ("192.0.2.53 192.0.2.54 198.51.100.53".into(), "lan example.org".into())
        );
        assert_eq!(found(&dns(&["dhcp"], &["dhcp"], &[])), []);
        assert!(dns(&["dhcp"], &[], &[]).settings(&[]).servers.is_empty());
    }
}
