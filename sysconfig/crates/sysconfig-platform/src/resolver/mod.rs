//! The DNS resolver: `resolv.conf`, who owns it, systemd-resolved, and illumos' name service switch.
//!
//! On illumos the DNS client is configured by files only. The properties and
//! the `nscfg` command that are often recommended belong to Solaris 11.

pub mod nsswitch;
mod owner;
pub mod resolved;

pub use owner::{Owner, owner};

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Where programs look for the resolver's configuration.
pub const RESOLV_CONF: &str = "/etc/resolv.conf";

/// How many servers the resolver libraries use; they ignore further ones without a word (`MAXNS`).
pub const MOST_SERVERS: usize = 3;
/// How many domains illumos searches (`MAXDNSRCH`).
pub const MOST_SEARCH_DOMAINS: usize = 6;
/// How many characters the search list may have, blanks between the domains included.
pub const LONGEST_SEARCH_LIST: usize = 256;

/// The instance of illumos' DNS client; online means that `/etc/resolv.conf` exists.
pub const DNS_CLIENT: &str = "svc:/network/dns/client:default";
/// The instance of illumos' cache, which keeps answers and old servers until it is restarted.
pub const NAME_CACHE: &str = "svc:/system/name-service-cache:default";

/// The first line of the files that are ours.
const MARK: &str = "# Written by sysconfig from network.dns; changes made here are overwritten.";

/// What the resolver does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolverSettings {
    /// Addresses of name servers, in order.
    pub servers: Vec<String>,
    /// Domains that are tried for names without a dot, in order.
    pub search: Vec<String>,
    /// Options such as `ndots:2`, in order.
    pub options: Vec<String>,
}

impl ResolverSettings {
    /// Parses `resolv.conf` as the resolver libraries do: keywords at the beginning of a line, comments after `#`
    /// or `;`, the last of `domain` and `search` counts, options add up. Addresses come out in their usual form.
    #[must_use]
    pub fn parse(content: &str) -> Self {
        let mut settings = Self::default();
        for line in content.lines() {
            let mut words = line.split_whitespace().take_while(|word| !word.starts_with(['#', ';']));
            if line.starts_with(char::is_whitespace) {
                continue;
            }
            match words.next() {
                Some("nameserver") => settings.servers.extend(words.next().map(usual_form)),
                Some("search") => settings.search = words.map(str::to_owned).collect(),
                Some("domain") => settings.search = words.take(1).map(str::to_owned).collect(),
                Some("options") => settings.options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        settings
    }

    /// Writes `resolv.conf`, marked as ours.
    #[must_use]
    pub fn format(&self) -> String {
        let mut content = format!("{MARK}\n");
        if !self.search.is_empty() {
            content += &format!("search {}\n", self.search.join(" "));
        }
        for server in &self.servers {
            content += &format!("nameserver {server}\n");
        }
        if !self.options.is_empty() {
            content += &format!("options {}\n", self.options.join(" "));
        }
        content
    }
}

/// An address as the standard library writes it; anything else as it is.
#[must_use]
pub fn usual_form(address: &str) -> String {
    match address.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => address.to_owned(),
    }
}

/// Whether a file was written by us.
#[must_use]
pub fn is_ours(content: &str) -> bool {
    content.lines().any(|line| line == MARK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn resolv_conf_is_read_as_the_libraries_read_it() {
        let settings = ResolverSettings::parse(
            "# comment\n; comment\nnameserver 10.0.2.3 # Added by DHCP\n nameserver 192.0.2.9\n\
             nameserver 2001:DB8:0:0::1\nsearch a.example\ndomain example.net extra\nsearch example.org b.example # x\n\
             options ndots:2\noptions rotate timeout:1\nsortlist 10.0.0.0\nnameservers 192.0.2.1\nnameserver\n",
        );
        assert_eq!(
            settings,
            ResolverSettings {
                servers: words(&["10.0.2.3", "2001:db8::1"]),
                search: words(&["example.org", "b.example"]),
                options: words(&["ndots:2", "rotate", "timeout:1"]),
            }
        );
        assert_eq!(ResolverSettings::parse("search a b\ndomain c\n").search, words(&["c"]));
    }

    #[test]
    fn what_is_written_is_marked_and_in_the_usual_order() {
        let settings = ResolverSettings {
            servers: words(&["10.0.2.3", "fec0::3"]),
            search: words(&["example.org"]),
            options: words(&["ndots:2"]),
        };
        let content = settings.format();
        assert!(is_ours(&content));
        assert!(!is_ours("nameserver 10.0.2.3\n"));
        let rest: Vec<_> = content.lines().skip(1).collect();
        assert_eq!(rest, ["search example.org", "nameserver 10.0.2.3", "nameserver fec0::3", "options ndots:2"]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            servers in proptest::collection::vec(any::<IpAddr>(), 0..4),
            search in proptest::collection::vec("[a-z]{1,8}\\.[a-z]{2,5}", 0..6),
            options in proptest::collection::vec("[a-z]{1,8}(:[0-9])?", 0..4),
        ) {
            let settings = ResolverSettings {
                servers: servers.iter().map(IpAddr::to_string).collect(),
                search,
                options,
            };
            prop_assert_eq!(ResolverSettings::parse(&settings.format()), settings);
        }

        #[test]
        fn any_text_can_be_read_and_means_the_same_written_anew(
            lines in proptest::collection::vec("(nameserver|search|domain|options|sortlist|#)?[ \t]?\\PC{0,20}", 0..8),
        ) {
            let settings = ResolverSettings::parse(&lines.join("\n"));
            prop_assert_eq!(ResolverSettings::parse(&settings.format()), settings);
        }
    }
}
