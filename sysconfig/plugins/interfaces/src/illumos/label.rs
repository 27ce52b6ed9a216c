//! The labels of our address objects: what stands behind the slash in `net0/scdhcp`.
//!
//! `ipadm` does not tell how an `addrconf` object was made, so the label does.

use sysconfig_platform::ipadm::{AddressSpec, Take};

const DHCP: &str = "scdhcp";
const STATIC: &str = "sc";

/// The forms of IPv6 autoconfiguration.
const ADDRCONF: [(&str, Option<Take>); 4] = [
    ("scv6", None),
    ("scv6ll", Some(Take { stateful: false, stateless: false })),
    ("scv6dhcp", Some(Take { stateful: true, stateless: false })),
    ("scv6both", Some(Take { stateful: true, stateless: true })),
];

/// Whether an object with this label is ours.
pub(super) fn is_ours(label: &str) -> bool {
    let is_static = label.strip_prefix(STATIC).is_some_and(|number| number.parse::<u32>().is_ok());
    is_static || label == DHCP || ADDRCONF.iter().any(|(known, _)| *known == label)
}

/// The label for an object; `number` sets fixed addresses apart.
pub(super) fn label_for(spec: &AddressSpec, number: u32) -> String {
    match spec {
        AddressSpec::Static { .. } => format!("{STATIC}{number}"),
        AddressSpec::Dhcp => DHCP.to_owned(),
        AddressSpec::Addrconf { take } => {
            let known = ADDRCONF.iter().find(|(_, known)| known == take);
            // Taking only advertised prefixes is never asked for: the router decides whether there is more.
            known.map_or("scv6", |(label, _)| label).to_owned()
        }
    }
}

/// What an object of ours of this label and kind was made from; `address` is that of a fixed one.
pub(super) fn spec_of(label: &str, address: Option<sysconfig_platform::IpNet>) -> Option<AddressSpec> {
    if label == DHCP {
        return Some(AddressSpec::Dhcp);
    }
    if let Some((_, take)) = ADDRCONF.iter().find(|(known, _)| *known == label) {
        return Some(AddressSpec::Addrconf { take: *take });
    }
    address.map(|address| AddressSpec::Static { address })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_back() {
        let address = "192.0.2.10/24".parse().unwrap();
        let mut specs: Vec<_> = ADDRCONF.iter().map(|(_, take)| AddressSpec::Addrconf { take: *take }).collect();
        specs.extend([AddressSpec::Dhcp, AddressSpec::Static { address }]);
        for spec in specs {
            let label = label_for(&spec, 7);
            assert!(is_ours(&label), "{label}");
            assert_eq!(spec_of(&label, Some(address)), Some(spec));
        }
        for label in ["v4", "dhcp", "scx", "sc", "scv66", "_a", "?"] {
            assert!(!is_ours(label), "{label}");
        }
    }
}
