//! illumos' automatic network, which owns interfaces and name servers while it is on.

use crate::Host;
use crate::smf::{self, SmfError};

/// The instance whose being online means that the automatic network is on.
pub const NWAM: &str = "svc:/network/physical:nwam";

/// How to turn the automatic network off, for people.
pub const TURN_OFF: &str =
    "svcadm disable -s svc:/network/physical:nwam && svcadm enable -s svc:/network/physical:default";

/// Whether the automatic network owns the network configuration.
///
/// # Errors
/// [`SmfError::Ask`].
pub fn owns_network(host: &Host) -> Result<bool, SmfError> {
    let state = smf::property(host, NWAM, "restarter/state")?;
    Ok(state.is_some_and(|values| values == ["online"]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::illumos::Machine;

    #[test]
    fn only_an_online_instance_owns_the_network() {
        let (_directory, host, machine) = Machine::start();
        assert!(!owns_network(&host).unwrap(), "it is disabled on a fresh machine");
        machine.set_state(NWAM, smf::State::Online);
        assert!(owns_network(&host).unwrap());
        machine.remove_service(NWAM);
        assert!(!owns_network(&host).unwrap(), "a system without it");
    }
}
