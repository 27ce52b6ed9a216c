//! Routes beside those of others.

use crate::world::{NOTHING, build, config, converge, eventually, plugin, reaches, serve, sh};
use sysconfig_plugin::Outcome;

const GATEWAY: &str =
    "[[network.interface]]\nmatch = { name = \"eth0\" }\naddresses = [\"192.0.2.10/24\"]\ngateway = \"192.0.2.1\"\n";

/// The kernel says of a route that there is one already when that leads over another gateway.
pub(crate) fn another_default_route() {
    build();
    sh("ip link add other0 type veth peer name other1
        ip addr add 198.51.100.7/24 dev other0
        ip link set other0 up; ip link set other1 up");
    let mut harness = plugin();
    let refused = |error: sysconfig_protocol::ErrorObject| (error.message, error.data.and_then(|data| data.help));
    sh("ip route add default via 198.51.100.1");
    harness.configure(config(GATEWAY));
    let (message, help) = refused(harness.plan().unwrap_err());
    assert_eq!(
        message,
        "the route default via 192.0.2.1 is wanted over eth0, and there is default via 198.51.100.1 over other0"
    );
    let help = help.unwrap();
    assert!(!sh("ip addr show dev eth0").contains("192.0.2.10"), "nothing was changed");

    // It comes between plan and step.
    sh(help.strip_prefix("if it is not needed: ").unwrap());
    let steps = harness.plan().unwrap();
    sh("ip route add default via 198.51.100.1");
    let (last, first) = steps.split_last().unwrap();
    for step in first {
        harness.apply(step).unwrap_or_else(|error| panic!("{}: {error:?}", step.summary));
    }
    let (message, help) = refused(harness.apply(last).unwrap_err());
    assert_eq!(message, "cannot change eth0");
    assert!(help.unwrap().contains("ip route"), "it is said where to look");

    sh("ip route del default via 198.51.100.1; ip route add default via 198.51.100.1 metric 100");
    converge(&mut harness, GATEWAY);
    assert_eq!(sh("ip route show default").lines().count(), 2, "one of another priority stands beside it");
    assert!(reaches("192.0.2.1"));
}

/// On a network with advertisements a link has their router before it is configured.
pub(crate) fn beside_an_advertised_router() {
    build();
    serve("dnsmasq", "--enable-ra --dhcp-range=2001:db8::,ra-only,64 --ra-param=srv0,4,1800");
    sh("ip link set eth0 up");
    eventually("the advertised router", || sh("ip -6 route show default").contains("proto ra").then_some(()));
    let mut harness = plugin();
    for router in ["2001:db8::1", "fe80::1"] {
        converge(
            &mut harness,
            &format!(
                "[[network.interface]]\nmatch = {{ name = \"eth0\" }}\naddresses = [\"2001:db8::5/64\"]\ngateway = \"{router}\"\n"
            ),
        );
        let routes = sh("ip -6 route show default");
        let ours = format!("default via {router} dev eth0 proto static metric 512");
        assert!(routes.contains(&ours) && routes.contains("proto ra"), "{routes}");
    }
    converge(&mut harness, NOTHING);
    let routes = sh("ip -6 route show default");
    assert!(!routes.contains("proto static") && routes.contains("proto ra"), "{routes}");
}

/// Routes that lead over no gateway, or over several, or nowhere.
pub(crate) fn without_a_gateway() {
    build();
    sh("ip link add other0 type veth peer name other1
        ip addr add 198.51.100.7/24 dev other0
        ip link set other0 up; ip link set other1 up");
    let mut harness = plugin();
    for route in
        ["default dev other0", "default nexthop via 198.51.100.1 nexthop via 198.51.100.2", "blackhole default"]
    {
        sh(&format!("ip route add {route}"));
        harness.configure(config(GATEWAY));
        let error = harness.plan().unwrap_err();
        assert!(
            error.message.starts_with("the route default via 192.0.2.1 is wanted over eth0, and there is "),
            "{route}"
        );
        let help = error.data.and_then(|data| data.help).unwrap();
        sh(help.strip_prefix("if it is not needed: ").unwrap());
        assert_eq!(sh("ip route show default"), "", "{help}");
    }
    converge(&mut harness, GATEWAY);
}

/// The kernel takes routes off with the last IPv4 address of a link, and with no other one. Those that it keeps are left alone: a
/// machine that is reached over them stays so. Judged before the steps and after they are undone.
pub(crate) fn with_the_addresses_that_go() {
    build();
    let all = "ip -4 route show proto static; ip -6 route show proto static";
    let mut harness = plugin();
    for (before, after, gateway, is_taken_off) in [
        ("192.0.2.10/24\", \"10.0.0.5/24", "192.0.2.10/24\", \"10.0.0.6/24", "192.0.2.1", false),
        ("192.0.2.10/24\", \"10.0.0.5/24", "192.0.2.10/24\", \"10.0.0.6/24", "10.0.0.1", false),
        ("10.0.0.5/24", "10.0.0.6/24", "10.0.0.1", false),
        ("10.0.0.5/24", "10.0.0.5/16", "10.0.0.1", true),
        ("2001:db8::5/64", "2001:db8::6/64", "2001:db8::1", false),
    ] {
        let with = |addresses: &str| {
            format!(
                "[[network.interface]]\nmatch = {{ name = \"eth0\" }}\naddresses = [\"{addresses}\"]\n\
                 gateway = \"{gateway}\"\n"
            )
        };
        converge(&mut harness, &with(before));
        let present = sh(all);
        assert!(present.contains(&format!("default via {gateway} dev eth0")), "{present}");
        harness.configure(config(&with(after)));
        let steps = harness.converge().unwrap().steps;
        assert_eq!(harness.plan().unwrap(), []);
        assert_eq!(sh(all), present, "{before} to {after}");
        let summaries: Vec<_> = steps.iter().map(|(step, _)| &*step.summary).collect();
        let touches = summaries.iter().any(|summary| summary.contains("the route"));
        assert_eq!(touches, is_taken_off, "{summaries:?}");
        for (step, outcome) in steps.iter().rev() {
            // As the daemon does it: what was so already is not undone.
            if *outcome == Outcome::Changed {
                harness.undo(step).unwrap_or_else(|error| panic!("{}: {error:?}", step.summary));
            }
        }
        assert_eq!(sh(all), present, "{after} undone");
        harness.configure(config(&with(before)));
        assert_eq!(harness.plan().unwrap(), []);
        converge(&mut harness, NOTHING);
        assert_eq!(sh(all), "", "{after}");
    }
}

/// A route of somebody else's that the kernel keeps is in the way as before.
pub(crate) fn of_somebody_else_that_stays() {
    build();
    let mut harness = plugin();
    let with = |address: &str, gateway: &str| {
        format!(
            "[[network.interface]]\nmatch = {{ name = \"eth0\" }}\naddresses = [\"192.0.2.10/24\"{address}]\n{gateway}"
        )
    };
    converge(&mut harness, &with(", \"10.0.0.5/24\"", ""));
    sh("ip route add default via 10.0.0.1");
    harness.configure(config(&with("", "gateway = \"192.0.2.1\"\n")));
    let error = harness.plan().unwrap_err();
    assert!(error.message.ends_with("there is default via 10.0.0.1 over eth0"), "{}", error.message);
}

/// Routes of somebody else's that the kernel takes off with an address of ours, in any table. Those that need not go do not, and
/// those that must are named before, and are there again when that is undone.
pub(crate) fn of_somebody_else_that_go_with_an_address() {
    build();
    let all = || {
        let text = sh("ip -4 route show table all | grep ^10 || true");
        let mut routes: Vec<_> = text.lines().map(|line| line.trim_end().to_owned()).collect();
        routes.sort();
        routes
    };
    let mut harness = plugin();
    let other = GATEWAY.replace("192.0.2.10", "192.0.2.11");
    for (wanted, stay, named) in [
        (
            &*other,
            // In other tables the kernel does not look for sources.
            vec!["10.5.0.0/16 via 192.0.2.1 dev eth0", "10.8.0.0/16 via 192.0.2.1 dev eth0 table 77 src 192.0.2.10"],
            vec!["10.6.0.0/16 via 192.0.2.1", "10.7.0.0/16 dev eth0"],
        ),
        (NOTHING, vec![], vec!["10.5.0.0/16 via 192.0.2.1", "10.6.0.0/16 via 192.0.2.1", "10.7.0.0/16 dev eth0"]),
    ] {
        converge(&mut harness, GATEWAY);
        sh("ip route add 10.5.0.0/16 via 192.0.2.1
            ip route add 10.6.0.0/16 via 192.0.2.1 src 192.0.2.10 mtu 1300
            ip route add 10.7.0.0/16 dev eth0 src 192.0.2.10
            ip route add 10.8.0.0/16 via 192.0.2.1 src 192.0.2.10 table 77");
        let present = all();
        assert_eq!(present.len(), 4);
        harness.configure(config(wanted));
        let steps = harness.converge().unwrap().steps;
        assert_eq!(all(), stay, "{wanted}");
        let changes = steps.iter().flat_map(|(step, _)| &step.changes);
        let gone = changes.filter(|change| change.field == "route" && change.to.is_null());
        let mut gone: Vec<_> = gone.filter_map(|change| change.from.as_str()).collect();
        gone.sort_unstable();
        assert_eq!(gone, named, "{wanted}");
        for (step, _) in steps.iter().rev() {
            harness.undo(step).unwrap_or_else(|error| panic!("{}: {error:?}", step.summary));
        }
        assert_eq!(all(), present, "{wanted}");
        harness.configure(config(GATEWAY));
        assert_eq!(harness.plan().unwrap(), [], "{wanted}{}", sh("ip route"));
        sh("ip route flush table 77; for to in 5 6 7; do ip route del 10.$to.0.0/16; done");
    }
}
