//! Whatever programs and DHCP servers say: it is read, or refused, and never more than that.

use sysconfig_platform::lease::{parse_dump, parse_lease, parse_leased4, parse_leased6, parse_values};
use sysconfig_platform::{dladm, ipadm, resolver, route};

const ANSWERS: &[&str] = &[
    "lo0/v6:static:ok:U--:\\:\\:1/128\nnet0/scv6:addrconf:ok:U--:fe80\\:\\:8\\:20ff%net0/10\nnet0/x:dhcp:down::?\n",
    "lo0:ok:---\nnet0:down:-46\n",
    "e1000g0:phys:1500:up:\nvnic0:vnic:9000:unknown:e1000g0\n",
    "e1000g0:primary:2\\:8\\:20\\:ab\\:1\\:f\n",
    "persistent: route add default 192.0.2.1\npersistent: route add -inet6 -net 2001:db8::/32 fe80::1 -ifp net0\n",
    "  Destination           Gateway           Flags\ndefault              10.0.2.2             UG        2\n",
    "   route to: 10.1.0.0\ndestination: 10.0.0.0\n       mask: 255.0.0.0\n    gateway: 10.0.2.2\n",
    "domain_name_servers='192.0.2.53 192.0.2.54'\nhost_name=client1\ndhcp6_domain_search=lan example.org.\n",
    "ADDRESS=192.0.2.57\nDNS=192.0.2.53 2001:db8::53\nDOMAINNAME=example.org\nHOSTNAME=client1\n",
    "10.0.2.3\n10.0.2.4\n",
];

/// What a client keeps of a DHCP and of a DHCPv6 server's last message.
#[test]
fn fuzz_kept_messages() {
    let given = [&[0, 3, 0, 40][..], &[0; 12], &[0, 5, 0, 24], &[0xfd; 16], &[0xff; 8]].concat();
    let message6 = [&[7, 1, 2, 3][..], &[0, 1, 0, 2, 9, 9], &given].concat();
    let mut message4 = vec![2; 236];
    message4.extend([99, 130, 83, 99, 53, 1, 5, 255]);
    assert_eq!(parse_leased4(&message4).map(|address| address.octets()), Some([2; 4]));
    assert_eq!(parse_leased6(&message6), [std::net::Ipv6Addr::from([0xfd; 16])]);
    test_judge::fuzz(5000, |random| {
        let mut bytes = random.pick(&[&message4, &message6]).to_vec();
        random.damage(&mut bytes);
        let is_within = |address: &[u8]| bytes.windows(address.len()).any(|part| part == address);
        assert!(parse_leased4(&bytes).is_none_or(|address| is_within(&address.octets())), "{bytes:?}");
        assert!(parse_leased6(&bytes).iter().all(|address| is_within(&address.octets())), "{bytes:?}");
    });
}

#[test]
fn fuzz_answers() {
    test_judge::fuzz(5000, |random| {
        let mut bytes = random.pick(ANSWERS).as_bytes().to_vec();
        random.damage(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        drop((ipadm::parse_interfaces(&text), ipadm::parse_addresses(&text), dladm::parse_links(&text, &text, &text)));
        drop((route::parse_listed(&text, false), route::parse_listed(&text, true)));
        let kept = route::parse_kept(&text).into_iter().map(|bound| bound.route);
        for route in kept.chain(route::parse_got(&text)) {
            assert_eq!(route.to, route.to.trunc(), "{text}");
            assert_eq!(route.to.addr().is_ipv6(), route.via.is_ipv6(), "{text}");
        }
        let _ = parse_values(&text);
        for lease in [parse_dump("net0", &text), parse_lease("net0", &text)] {
            // What a server tells ends up in files of the system, one word in its place.
            let settings = resolver::ResolverSettings {
                servers: lease.servers.iter().map(ToString::to_string).collect(),
                search: lease.search.clone(),
                options: Vec::new(),
            };
            assert_eq!(resolver::ResolverSettings::parse(&settings.format()), settings, "{text}");
        }
    });
}
