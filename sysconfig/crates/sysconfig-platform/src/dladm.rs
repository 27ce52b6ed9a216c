//! illumos' datalinks: `dladm`.

use crate::mac::MacAddress;
use crate::network::NetworkError;
use crate::parsable::{self, RowError};
use crate::{Host, Invocation};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

const DLADM: &str = "/usr/sbin/dladm";

/// Longest name of a datalink in bytes (`MAXLINKNAMELEN` less its end).
pub const LONGEST_NAME: usize = 31;

/// A datalink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its name, such as `e1000g0`.
    pub name: String,
    /// `phys`, `aggr`, `etherstub`, `overlay`, `vlan`, `vnic`, …
    pub class: String,
    /// Its largest packet in bytes.
    pub mtu: u32,
    /// Whether a signal is there: `up`; `down` and `unknown` are not up.
    pub up: bool,
    /// The link-layer address, for physical links and VNICs, which are all that a zone has.
    pub mac: Option<MacAddress>,
    /// The links that it is made of or on: the ports of an aggregation, the one below a VNIC.
    pub over: Vec<String>,
}

/// Whether IP can be on a link among `all`: not on a switch (`etherstub`), not on what shows the packets of one (`bridge`), and not on
/// the ports of an aggregation.
#[must_use]
pub fn can_carry_ip(link: &Link, all: &[Link]) -> bool {
    let is_switch = ["etherstub", "bridge"].contains(&link.class.as_str());
    !is_switch && aggregation_of(link, all).is_none()
}

/// The aggregation among `all` that a link is a port of.
#[must_use]
pub fn aggregation_of<'a>(link: &Link, all: &'a [Link]) -> Option<&'a str> {
    let mut aggregations = all.iter().filter(|other| other.class == "aggr");
    aggregations.find(|other| other.over.contains(&link.name)).map(|other| other.name.as_str())
}

/// What is wrong with `name` as the name of a datalink, as a lowercase fragment; `None` when it is right.
#[must_use]
pub fn name_fault(name: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    if name.is_empty() {
        return Some("the name is empty".to_owned());
    }
    if name.len() > LONGEST_NAME {
        return Some(format!("it has more than {LONGEST_NAME} characters"));
    }
    if let Some(wrong) = name.chars().find(|c| !allowed(*c)) {
        return Some(format!("the character {wrong:?} is not allowed in a datalink's name"));
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return Some("a datalink's name does not start with a digit".to_owned());
    }
    if !name.ends_with(|c: char| c.is_ascii_digit()) {
        return Some("a datalink's name ends with its number, for example net0".to_owned());
    }
    None
}

/// The command that lists all datalinks.
#[must_use]
pub fn show_links() -> Invocation {
    Invocation::new(DLADM, ["show-link", "-p", "-o", "link,class,mtu,state,over"])
}

/// The command that lists the link-layer addresses of physical links.
#[must_use]
pub fn show_macs() -> Invocation {
    Invocation::new(DLADM, ["show-phys", "-m", "-p", "-o", "link,slot,address"])
}

/// The command that lists the link-layer addresses of virtual links.
#[must_use]
pub fn show_vnic_macs() -> Invocation {
    Invocation::new(DLADM, ["show-vnic", "-p", "-o", "link,macaddress"])
}

/// The command that sets the largest packet of a link; many drivers refuse it while the link is in use by IP.
#[must_use]
pub fn set_mtu(link: &str, mtu: u32) -> Invocation {
    Invocation::new(DLADM, ["set-linkprop", "-p", &format!("mtu={mtu}"), link])
}

/// The command that tells which sizes of packets a link can have.
#[must_use]
pub fn show_possible_mtu(link: &str) -> Invocation {
    Invocation::new(DLADM, ["show-linkprop", "-c", "-o", "possible", "-p", "mtu", link])
}

/// Parses the output of [`show_possible_mtu`]: a range, `1500-9000`, or what else the driver says that is none, `--` for
/// one that does not know (dladm(8), the field POSSIBLE).
#[must_use]
pub fn parse_possible_mtu(output: &str) -> Option<RangeInclusive<u32>> {
    let (least, most) = output.trim().split_once('-')?;
    let (least, most) = (least.trim().parse().ok()?, most.trim().parse().ok()?);
    (least <= most).then_some(least..=most)
}

/// Which sizes of packets a link can have; nothing where the driver does not say.
///
/// # Errors
/// [`NetworkError::Command`] when the program cannot be run.
pub fn possible_mtu(host: &Host, link: &str) -> Result<Option<RangeInclusive<u32>>, NetworkError> {
    let completed =
        host.run_any(&show_possible_mtu(link)).map_err(NetworkError::command("ask for sizes of packets"))?;
    // Whoever cannot answer is asked again by the change itself.
    Ok(parse_possible_mtu(&completed.stdout).filter(|_| completed.code == 0))
}

/// Parses the outputs of [`show_links`] and [`show_macs`], and that of [`show_vnic_macs`] where there are such links.
///
/// # Errors
/// [`RowError`].
pub fn parse_links(links: &str, macs: &str, vnic_macs: &str) -> Result<Vec<Link>, RowError> {
    let macs = parsable::rows::<3>(macs)?;
    let vnic_macs = parsable::rows::<2>(vnic_macs)?;
    let mac_of = |link: &str| {
        let physical = macs.iter().find(|[name, slot, _]| name == link && slot == "primary");
        let virtual_link = vnic_macs.iter().find(|[name, _]| name == link);
        let address = physical.map(|[.., address]| address).or(virtual_link.map(|[_, address]| address));
        address.and_then(|address| address.parse().ok())
    };
    let links = parsable::rows::<5>(links)?.into_iter().map(|[name, class, mtu, state, over]| Link {
        // With commas (illumos-gate, `cmd/dladm/dladm.c`, `print_link_topology`); empty, or `?` where it is not known.
        over: over.split(',').filter(|over| !over.is_empty()).map(str::to_owned).collect(),
        mac: mac_of(&name),
        // A link without a size is there all the same.
        mtu: mtu.parse().unwrap_or_default(),
        up: state == "up",
        name,
        class,
    });
    Ok(links.collect())
}

/// All datalinks. None at all means a zone that shares its addresses with the global zone.
///
/// # Errors
/// [`NetworkError::Command`] and [`NetworkError::Rows`].
pub fn links(host: &Host) -> Result<Vec<Link>, NetworkError> {
    let operation = "list the datalinks";
    let links = host.run(&show_links()).map_err(NetworkError::command(operation))?.stdout;
    let macs = host.run(&show_macs()).map_err(NetworkError::command(operation))?.stdout;
    let found = parse_links(&links, &macs, "").map_err(NetworkError::rows(operation))?;
    if !found.iter().any(|link| link.class == "vnic") {
        return Ok(found);
    }
    let vnic_macs = host.run(&show_vnic_macs()).map_err(NetworkError::command(operation))?.stdout;
    parse_links(&links, &macs, &vnic_macs).map_err(NetworkError::rows(operation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_with_their_addresses() {
        let links = "e1000g0:phys:1500:up:\nvnic0:vnic:9000:unknown:e1000g0\naggr1:aggr:1500:down:igb0,igb1\nigb0:phys:1500:up:\n\
                     stub0:etherstub:9000:unknown:\nodd0:misc:::\n";
        let macs = "e1000g0:primary:2\\:8\\:20\\:ab\\:1\\:f\ne1000g0:1:2\\:8\\:20\\:ab\\:1\\:10\n";
        let found = parse_links(links, macs, "vnic0:2\\:8\\:20\\:1\\:2\\:3\n").unwrap();
        let summary: Vec<_> = found.iter().map(|link| (link.name.as_str(), link.mtu, link.up)).collect();
        assert_eq!(
            summary,
            [
                ("e1000g0", 1500, true),
                ("vnic0", 9000, false),
                ("aggr1", 1500, false),
                ("igb0", 1500, true),
                ("stub0", 9000, false),
                ("odd0", 0, false)
            ]
        );
        let without_ip: Vec<_> =
            found.iter().filter(|link| !can_carry_ip(link, &found)).map(|link| &*link.name).collect();
        assert_eq!(without_ip, ["igb0", "stub0"]);
        assert_eq!(found[0].mac.unwrap().to_string(), "02:08:20:ab:01:0f");
        assert_eq!(found[1].mac.unwrap().to_string(), "02:08:20:01:02:03");
        assert_eq!(found[2].mac, None);
        assert_eq!(parse_links("", "", "").unwrap(), []);
        assert!(parse_links("e1000g0:phys:1500:up\n", "", "").is_err());
    }

    #[test]
    fn sizes_that_drivers_tell() {
        for (output, expected) in [
            ("1500-9000\n", Some(1500..=9000)),
            ("60 - 1500\n", Some(60..=1500)),
            ("--\n", None),
            ("1500\n", None),
            ("1500,9000\n", None),
            ("9000-1500\n", None),
            ("", None),
        ] {
            assert_eq!(parse_possible_mtu(output), expected, "{output:?}");
        }
    }

    #[test]
    fn names() {
        for name in ["net0", "e1000g0", "vnic_1", "a.b0"] {
            assert_eq!(name_fault(name), None, "{name}");
        }
        for (name, part) in
            [("net", "number"), ("0net0", "start"), ("net-0", "'-'"), ("", "empty"), (&"n0".repeat(16), "31")]
        {
            let fault = name_fault(name).unwrap_or_else(|| panic!("{name:?} must be refused"));
            assert!(fault.contains(part), "{name:?}: {fault}");
        }
    }
}
