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
mod examples;
mod fixed;
mod ipv6;
mod networkd;
mod routes;
mod world;

/// No test, but the process that the tests start.
#[test]
#[ignore = "the other tests start it, in a namespace"]
fn other_process() {
    let Some(scenario) = plugin_testing::namespace::scenario() else { return };
    let scenarios: &[(&str, fn())] = &[
        ("lease", dhcp::lease),
        ("endless", dhcp::endless),
        ("no_server", dhcp::no_server),
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
        ("made_anew", fixed::link_made_anew),
        ("without_ipv6", fixed::without_ipv6),
        ("duplicate_ipv4", fixed::duplicate),
        ("first_address", fixed::the_first_address_goes_alone),
        ("small_packets", fixed::small_packets),
        ("autoconfiguration", ipv6::autoconfiguration_and_dhcp6),
        ("endless6", ipv6::endless),
        ("duplicate", ipv6::duplicate),
        ("another_default_route", routes::another_default_route),
        ("advertised_router", routes::beside_an_advertised_router),
        ("without_a_gateway", routes::without_a_gateway),
        ("routes_with_addresses", routes::with_the_addresses_that_go),
        ("route_that_stays", routes::of_somebody_else_that_stays),
        ("examples", examples::with_dhcpcd),
        ("confirmation", daemon::the_connection_comes_back),
        ("no_lease_of_the_daemon", daemon::a_lease_that_never_comes_blocks_nothing),
        ("late_link_of_the_daemon", daemon::a_late_link_is_configured),
        ("confirmation_with_networkd", daemon::the_connection_comes_back_with_networkd),
        ("failed_change", daemon::a_failed_change_is_undone_with_dhcpcd),
        ("failed_change_with_networkd", daemon::a_failed_change_is_undone_with_networkd),
        ("confirmation_from_a_lease", daemon::the_lease_comes_back),
        ("lease_to_resolver", daemon::a_lease_reaches_the_resolver),
        ("plugin_dns", daemon::be_the_plugin_dns),
        ("first_up_at_boot", daemon::the_first_link_with_a_signal_is_found_at_boot),
        ("routes_of_others", routes::of_somebody_else_that_go_with_an_address),
        ("networkd_fixed", networkd::fixed_addresses_and_routes),
        ("networkd_static_to_dhcp_and_back", networkd::static_to_dhcp_and_back),
        ("networkd_endless", networkd::endless),
        ("networkd_endless6", networkd::endless6),
        ("networkd_no_server", networkd::no_server),
        ("networkd_renewal", networkd::renewal),
        ("networkd_server_gone", networkd::server_gone),
        ("networkd_autoconfiguration", networkd::autoconfiguration_and_dhcp6),
        ("networkd_take_over", networkd::takes_over_from_a_file_and_gives_back),
        ("networkd_duplicate", networkd::duplicate),
        ("networkd_undone", networkd::undone),
        ("networkd_foreign_address", networkd::foreign_address),
        ("networkd_late", networkd::late),
        ("networkd_no_signal", networkd::no_signal),
        ("networkd_server_gone_after_a_lease", networkd::server_gone_after_a_lease),
        ("networkd_two_servers", networkd::two_servers),
        ("networkd_examples", examples::with_networkd),
        ("networkd_small_packets", networkd::ipv6_and_small_packets),
        ("networkd_not_told", networkd::file_that_it_was_not_told_of),
        ("first_up_confirmation", daemon::the_first_link_with_a_signal_goes_with_its_change),
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
    privileged_lease_that_never_ends => "endless";
    privileged_fixed_address_is_no_lease => "no_server";
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
    privileged_link_that_is_made_anew => "made_anew";
    privileged_link_without_ipv6 => "without_ipv6";
    privileged_ipv6_autoconfiguration_and_dhcp6 => "autoconfiguration";
    privileged_dhcp6_lease_that_never_ends => "endless6";
    privileged_duplicate_ipv6_address => "duplicate";
    privileged_default_route_of_somebody_else => "another_default_route";
    privileged_configured_router_beside_an_advertised_one => "advertised_router";
    privileged_routes_without_a_gateway => "without_a_gateway";
    privileged_routes_go_only_with_the_last_address => "routes_with_addresses";
    privileged_routes_of_others_that_go_with_an_address => "routes_of_others";
    privileged_route_that_the_kernel_keeps_is_in_the_way => "route_that_stays";
    privileged_examples_of_the_document => "examples";
    privileged_unconfirmed_change_is_undone => "confirmation";
    privileged_networkd_unconfirmed_change_is_undone => "confirmation_with_networkd";
    privileged_unconfirmed_change_that_failed_is_undone => "failed_change";
    privileged_networkd_unconfirmed_change_that_failed_is_undone => "failed_change_with_networkd";
    privileged_unconfirmed_change_brings_the_lease_back => "confirmation_from_a_lease";
    privileged_lease_reaches_the_resolver_through_the_daemon => "lease_to_resolver";
    privileged_first_link_with_a_signal_is_found_at_boot => "first_up_at_boot";
    privileged_lease_that_never_comes_blocks_nothing => "no_lease_of_the_daemon";
    privileged_late_link_is_configured_by_the_daemon => "late_link_of_the_daemon";
    privileged_networkd_fixed_addresses_and_routes => "networkd_fixed";
    privileged_networkd_static_to_dhcp_and_back => "networkd_static_to_dhcp_and_back";
    privileged_networkd_lease_that_never_ends => "networkd_endless";
    privileged_networkd_dhcp6_lease_that_never_ends => "networkd_endless6";
    privileged_networkd_fixed_address_is_no_lease => "networkd_no_server";
    privileged_networkd_renewal_brings_another_name_server => "networkd_renewal";
    privileged_networkd_servers_that_are_gone_and_come => "networkd_server_gone";
    privileged_networkd_ipv6_autoconfiguration_and_dhcp6 => "networkd_autoconfiguration";
    privileged_networkd_takes_over_and_gives_back => "networkd_take_over";
    privileged_networkd_duplicate_ipv4_address => "networkd_duplicate";
    privileged_networkd_change_is_undone => "networkd_undone";
    privileged_networkd_address_of_somebody_else => "networkd_foreign_address";
    privileged_networkd_that_starts_late => "networkd_late";
    privileged_networkd_link_without_a_signal_beside_another => "networkd_no_signal";
    privileged_networkd_server_that_is_gone_after_its_lease => "networkd_server_gone_after_a_lease";
    privileged_networkd_two_servers => "networkd_two_servers";
    privileged_networkd_examples_of_the_document => "networkd_examples";
    privileged_first_address_of_a_network_goes_alone => "first_address";
    privileged_packets_too_small_for_ipv6 => "small_packets";
    privileged_networkd_packets_too_small_for_ipv6 => "networkd_small_packets";
    privileged_networkd_is_told_of_a_file_that_it_does_not_know => "networkd_not_told";
    privileged_unconfirmed_first_link_with_a_signal_is_undone => "first_up_confirmation";
}
