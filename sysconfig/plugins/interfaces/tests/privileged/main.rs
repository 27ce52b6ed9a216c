//! The plugin with the real kernel, the real dhcpcd or systemd-networkd and the real dnsmasq, in namespaces of its own.
//!
//! Each test starts this very program again as `other_process`, in new network, mount and process namespaces: nothing of
//! the machine that runs the tests is touched, and everything that was started there ends with the namespace. The
//! machine under test has the link `eth0`; its other end, `srv0`, is in a network namespace of its own, where
//! the servers run.
//!
//! Only root may do this. A test that cannot be run is a visible skip.

mod daemon;
mod dhcp;
mod fixed;
mod ipv6;
mod networkd;
mod world;

/// No test, but the process that the tests start.
#[test]
#[ignore = "the other tests start it, in a namespace"]
fn other_process() {
    let Some(scenario) = plugin_testing::namespace::scenario() else { return };
    let scenarios: [(&str, fn()); 25] = [
        ("lease", dhcp::lease),
        ("renewal", dhcp::renewal),
        ("server_gone", dhcp::server_gone),
        ("expiry", dhcp::expiry),
        ("configured_router", dhcp::configured_router_stays),
        ("two_servers", dhcp::two_servers),
        ("static_to_dhcp_and_back", dhcp::static_to_dhcp_and_back),
        ("resolver_and_name", dhcp::resolver_and_name),
        ("fixed", fixed::fixed_addresses_and_routes),
        ("first_up", fixed::first_up),
        ("late_link", fixed::late_link),
        ("duplicate_ipv4", fixed::duplicate),
        ("autoconfiguration", ipv6::autoconfiguration_and_dhcp6),
        ("duplicate", ipv6::duplicate),
        ("confirmation", daemon::the_connection_comes_back),
        ("no_lease_of_the_daemon", daemon::a_lease_that_never_comes_blocks_nothing),
        ("late_link_of_the_daemon", daemon::a_late_link_is_configured),
        ("networkd_fixed", networkd::fixed_addresses_and_routes),
        ("networkd_static_to_dhcp_and_back", networkd::static_to_dhcp_and_back),
        ("networkd_renewal", networkd::renewal),
        ("networkd_server_gone", networkd::server_gone),
        ("networkd_autoconfiguration", networkd::autoconfiguration_and_dhcp6),
        ("networkd_take_over", networkd::takes_over_from_a_file_and_gives_back),
        ("networkd_duplicate", networkd::duplicate),
        ("networkd_undone", networkd::undone),
    ];
    let found = scenarios.iter().find(|(name, _)| *name == scenario);
    found.unwrap_or_else(|| panic!("there is no scenario {scenario}")).1();
}

macro_rules! privileged {
    ($($test:ident => $scenario:literal;)*) => {
        $(#[test]
        fn $test() {
            world::run($scenario);
        })*
    };
}

privileged! {
    privileged_lease => "lease";
    privileged_renewal_brings_another_name_server => "renewal";
    privileged_server_that_is_gone_and_comes => "server_gone";
    privileged_lease_that_ends_while_the_server_is_gone => "expiry";
    privileged_configured_router_survives_a_lease_with_the_same_one => "configured_router";
    privileged_two_servers => "two_servers";
    privileged_static_to_dhcp_and_back => "static_to_dhcp_and_back";
    privileged_resolver_and_name_from_the_lease => "resolver_and_name";
    privileged_fixed_addresses_and_routes => "fixed";
    privileged_duplicate_ipv4_address => "duplicate_ipv4";
    privileged_first_link_with_a_signal => "first_up";
    privileged_link_that_appears_late => "late_link";
    privileged_ipv6_autoconfiguration_and_dhcp6 => "autoconfiguration";
    privileged_duplicate_ipv6_address => "duplicate";
    privileged_unconfirmed_change_is_undone => "confirmation";
    privileged_lease_that_never_comes_blocks_nothing => "no_lease_of_the_daemon";
    privileged_late_link_is_configured_by_the_daemon => "late_link_of_the_daemon";
    privileged_networkd_fixed_addresses_and_routes => "networkd_fixed";
    privileged_networkd_static_to_dhcp_and_back => "networkd_static_to_dhcp_and_back";
    privileged_networkd_renewal_brings_another_name_server => "networkd_renewal";
    privileged_networkd_servers_that_are_gone_and_come => "networkd_server_gone";
    privileged_networkd_ipv6_autoconfiguration_and_dhcp6 => "networkd_autoconfiguration";
    privileged_networkd_takes_over_and_gives_back => "networkd_take_over";
    privileged_networkd_duplicate_ipv4_address => "networkd_duplicate";
    privileged_networkd_change_is_undone => "networkd_undone";
}
