//! What only others can do.

use super::Planner;
use crate::select::Selected;
use crate::steps::Waiting;
use sysconfig_platform::dhcpcd::Family;
use sysconfig_platform::lease;

impl Planner<'_> {
    pub(super) fn duplicates(&mut self, selected: &Selected) {
        let index = self.index(&selected.link);
        let found = self.state.addresses.iter().filter(|known| known.duplicate && Some(known.index) == index);
        for known in found.filter(|known| selected.wanted.statics.contains(&known.address)) {
            let (link, address) = (selected.link.clone(), known.address.to_string());
            self.waits.push(Waiting::Duplicate { link, address });
        }
    }

    /// The leases that are wanted and not there yet.
    pub(super) fn leases(&mut self, selected: &Selected) {
        let Selected { link, wanted, .. } = selected;
        let index = self.index(link);
        for (family, is_wanted) in [(Family::Ipv4, wanted.dhcp), (Family::Ipv6, wanted.dhcp6)] {
            let released = self.released.contains(&(link.clone(), family));
            let mut here = self.state.addresses.iter().filter(|known| Some(known.index) == index);
            let has_lease = !released && here.any(|known| lease::is_leased(known, family));
            if is_wanted && !wanted.optional && !has_lease {
                let deadline_s = wanted.lease_deadline.as_secs();
                self.waits.push(Waiting::Lease { link: link.clone(), family, deadline_s, is_over: false });
            }
        }
    }
}
