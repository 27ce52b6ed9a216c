//! Leases on simulated Linux machines, with and without systemd-networkd.

use crate::linux::{DHCP, machine, shown, with_networkd};
use sysconfig_platform::fake::linux::network::Server;
use sysconfig_platform::stack::LinuxAddress;

/// The address that a server has reserved is there in any case, and that is no reason to configure the link once more.
#[test]
fn networkd_configures_a_link_once_for_a_lease_of_the_fixed_address() {
    let mut fixture = with_networkd();
    fixture.converge(&DHCP.replace("dhcp", "10.0.2.15/24"));
    fixture.converge(DHCP);
    assert_eq!(shown(&fixture), ["eth0 10.0.2.15/24"]);
    let commands = fixture.machine.commands();
    assert!(!commands.iter().any(|command| command.contains("networkctl reconfigure")), "{commands:?}");
}

#[test]
fn a_dhcp6_lease_is_waited_for_and_its_servers_are_told() {
    for mut fixture in [machine(), with_networkd()] {
        let text =
            "[[network.interface]]\nmatch = { name = \"eth0\" }\naddresses = [\"dhcp6\"]\nlease-deadline = \"1s\"\n";
        let (message, help) = fixture.fail(text);
        assert_eq!(message, "no DHCPv6 server has answered on eth0 in 1 s");
        assert!(help.contains("goes on asking"), "{help}");
        let left = fixture.harness.plan().unwrap();
        assert_eq!(left.iter().map(|step| &*step.summary).collect::<Vec<_>>(), ["get a DHCPv6 lease for eth0"]);
        fixture.machine.network(|network| {
            let dump = ("dhcp6_name_servers=2001:db8::53\n".to_owned(), "DNS=2001:db8::53\n".to_owned());
            let server = Server { address: "2001:db8::50/128".parse().unwrap(), router: None, dump };
            network.servers6.insert("eth0".to_owned(), server);
        });
        // Both clients are started anew, because the simulated ones ask only then.
        fixture.converge("[network]\ninterface = []\n");
        fixture.converge(text);
        assert_eq!(shown(&fixture), ["eth0 2001:db8::50/128"]);
        let told = fixture.harness.emitted();
        let lease = told.iter().rev().find(|event| event.topic == "dhcp.leases").unwrap();
        assert_eq!(lease.data[0]["servers"], serde_json::json!(["2001:db8::53"]));
    }
}

/// To the kernel, a lease that never ends looks like a fixed address with a route of somebody else's to its network.
#[test]
fn what_an_administrator_sets_is_no_lease() {
    for mut fixture in [machine(), with_networkd()] {
        let text = DHCP.replace("\"dhcp\"]", "\"dhcp\", \"dhcp6\"]\nlease-deadline = \"1s\"");
        fixture.machine.network(|network| network.servers.clear());
        let (message, _) = fixture.fail(&text);
        assert_eq!(message, "no DHCP server has answered on eth0 in 1 s");
        fixture.machine.network(|network| {
            for address in ["192.0.2.77/24", "2001:db8::77/128"] {
                let fixed = LinuxAddress::fixed(network.links[0].index, address.parse().unwrap());
                network.addresses.push(LinuxAddress { noprefixroute: true, ..fixed });
            }
        });
        let (message, _) = fixture.fail(&text);
        assert_eq!(message, "no DHCP server has answered on eth0 in 1 s");
        let left = fixture.harness.plan().unwrap();
        let left: Vec<_> = left.iter().map(|step| &*step.summary).collect();
        let waiting = "give the DHCP servers of eth0 time to answer";
        assert_eq!(left, [waiting, "get a lease for eth0", "get a DHCPv6 lease for eth0"]);
        assert_eq!(shown(&fixture), ["eth0 192.0.2.77/24", "eth0 2001:db8::77/128"]);
    }
}

/// Where networkd says of an address that a server gave it, that is the lease.
#[test]
fn a_dhcp6_lease_for_ever_is_known_by_the_word_of_networkd() {
    let mut fixture = with_networkd();
    let text = "[[network.interface]]\nmatch = { name = \"eth0\" }\naddresses = [\"dhcp6\"]\n";
    fixture.machine.network(|network| {
        let server = Server { address: "2001:db8::50/128".parse().unwrap(), router: None, dump: Default::default() };
        network.servers6.insert("eth0".to_owned(), server);
    });
    fixture.converge(text);
    fixture.machine.network(|network| {
        let leased = &mut network.addresses[0];
        (leased.dynamic, leased.noprefixroute) = (false, true);
    });
    assert_eq!(fixture.converge(text), [""; 0]);
}
