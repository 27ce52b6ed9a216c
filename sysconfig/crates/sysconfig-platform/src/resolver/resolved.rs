//! systemd-resolved, configured by a drop-in file of ours.

use super::{MARK, ResolverSettings, usual_form};

/// The directory of drop-in files.
pub const DIRECTORY: &str = "/etc/systemd/resolved.conf.d";
/// Our drop-in file.
pub const DROP_IN: &str = "/etc/systemd/resolved.conf.d/sysconfig.conf";
/// The unit that reads it.
pub const UNIT: &str = "systemd-resolved.service";

/// Sends every name to these servers, and not to those of a link, as `resolv.conf` would.
const EVERYTHING: &str = "~.";

/// Writes the drop-in. The empty assignments drop what files before it have set.
#[must_use]
pub fn format(settings: &ResolverSettings) -> String {
    let domains: Vec<&str> = std::iter::once(EVERYTHING).chain(settings.search.iter().map(String::as_str)).collect();
    format!("{MARK}\n[Resolve]\nDNS=\nDNS={}\nDomains=\nDomains={}\n", settings.servers.join(" "), domains.join(" "))
}

/// Parses a drop-in; options do not exist there.
#[must_use]
pub fn parse(content: &str) -> ResolverSettings {
    let mut settings = ResolverSettings::default();
    for line in content.lines() {
        let Some((key, value)) = line.trim().split_once('=') else {
            continue;
        };
        let list = match key.trim() {
            "DNS" => &mut settings.servers,
            "Domains" => &mut settings.search,
            _ => continue,
        };
        if value.trim().is_empty() {
            list.clear();
        }
        list.extend(value.split_whitespace().map(usual_form));
    }
    settings.search.retain(|domain| domain != EVERYTHING);
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drop_in_is_read_back() {
        let settings = ResolverSettings {
            servers: vec!["10.0.2.3".into(), "2001:db8::1".into()],
            search: vec!["example.org".into()],
            options: Vec::new(),
        };
        let content = format(&settings);
        assert_eq!(parse(&content), settings);
        assert!(content.contains("\nDomains=~. example.org\n"), "{content}");
        assert_eq!(parse(&format!("[Resolve]\nDNS=192.0.2.1\n{content}")), settings, "resets what was before");
    }
}
