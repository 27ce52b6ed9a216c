//! What `IFLA_LINKINFO` says of a link.

use super::text;
use netlink_packet_core::NlasIterator;

/// Kinds of links that lie on another one and send over it. Others use `IFLA_LINK`, too: at a `veth` it is the other end.
const STACKED: [&str; 5] = ["vlan", "macvlan", "macvtap", "ipvlan", "ipvtap"];

// `linux/if_link.h`; libc has them for one C library only.
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_SLAVE_KIND: u16 = 4;

/// Of what kind a link is.
#[derive(Default)]
pub(super) struct Kinds {
    own: Option<String>,
    /// Of what kind the link is that it is a port of.
    as_port: Option<String>,
}

impl Kinds {
    pub(super) fn of(value: &[u8]) -> Self {
        let mut kinds = Self::default();
        for attribute in NlasIterator::new(value).map_while(Result::ok) {
            match attribute.kind() {
                IFLA_INFO_KIND => kinds.own = text(attribute.value()),
                IFLA_INFO_SLAVE_KIND => kinds.as_port = text(attribute.value()),
                _ => {}
            }
        }
        kinds
    }

    /// Whether it lies on the link that `IFLA_LINK` names.
    pub(super) fn lies_on_another(&self) -> bool {
        self.own.as_deref().is_some_and(|kind| STACKED.contains(&kind))
    }

    /// Whether it keeps its addresses although it has a controller: in a VRF only its routes are in another table.
    pub(super) fn has_own_addresses(&self) -> bool {
        self.as_port.as_deref() == Some("vrf")
    }
}
