//! Leases.

use crate::world::{
    NOTHING, PATIENCE, RANGE, addresses, build, config, converge, end, eventually, eventually_within, leases, plugin,
    reaches, read, serve, sh,
};
use serde_json::json;
use sysconfig_platform::Host;
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin_dns::DnsPlugin;
use sysconfig_plugin_hostname::HostnamePlugin;

/// Long enough for the client's own check for duplicates on a slow machine.
pub(crate) const DHCP: &str =
    "[[network.interface]]\nmatch = { name = \"eth0\" }\naddresses = [\"dhcp\"]\nlease-deadline = \"60s\"\n";
pub(crate) const STATIC: &str =
    "[[network.interface]]\nmatch = { name = \"eth0\" }\naddresses = [\"192.0.2.10/24\"]\ngateway = \"192.0.2.1\"\n";

pub(crate) fn is_leased(addresses: &[String]) -> bool {
    let number = |address: &String| address.strip_prefix("192.0.2.")?.strip_suffix("/24")?.parse::<u8>().ok();
    matches!(addresses, [one] if number(one).is_some_and(|number| (50..100).contains(&number)))
}

/// What the server has said is told to the other plugins.
pub(crate) fn assert_told(harness: &mut Harness) {
    // The client puts the address on the link before it can be asked. The name is that of the machine that runs the tests: the
    // server gives back what the client says.
    eventually("the server's words", || {
        let told = leases(harness);
        let lease = (&told[0]["interface"], &told[0]["servers"], &told[0]["search"]);
        (lease == (&json!("eth0"), &json!(["192.0.2.53"]), &json!(["example.org"]))).then_some(())
    });
}

pub(crate) fn lease() {
    build();
    serve("dnsmasq", RANGE);
    let mut harness = plugin();
    let before = read("/etc/resolv.conf");
    converge(&mut harness, DHCP);
    assert!(is_leased(&addresses(4)), "{:?}", addresses(4));
    assert!(sh("ip route show default").contains("via 192.0.2.1"), "the router comes with the lease");
    assert!(reaches("192.0.2.1"));
    assert_told(&mut harness);
    assert_eq!(read("/etc/resolv.conf"), before, "the client leaves the resolver to its owner");
}

/// A lease that never ends, which the kernel does not tell from a fixed address.
pub(crate) fn endless() {
    endless_on(build);
}

/// The same on a machine that `begin` makes.
pub(crate) fn endless_on(begin: fn()) {
    begin();
    serve("dnsmasq", &RANGE.replace(",120", ",infinite"));
    let mut harness = plugin();
    converge(&mut harness, DHCP);
    assert!(is_leased(&addresses(4)), "{:?}", addresses(4));
    assert!(sh("ip -4 addr show dev eth0").contains("valid_lft forever"), "{}", sh("ip -4 addr show dev eth0"));
    assert_told(&mut harness);
    converge(&mut harness, STATIC);
    assert_eq!(addresses(4), ["192.0.2.10/24"]);
    assert_eq!(leases(&mut harness), json!([]));
    converge(&mut harness, DHCP);
    converge(&mut harness, NOTHING);
    assert!(addresses(4).is_empty(), "{:?}", addresses(4));
}

/// Nobody answers, and an administrator sets addresses that have the flags of those that are leased for ever.
pub(crate) fn no_server() {
    no_server_on(build);
}

/// The same on a machine that `begin` makes.
pub(crate) fn no_server_on(begin: fn()) {
    begin();
    let mut harness = plugin();
    let both = DHCP.replace("60s", "1s").replace("\"dhcp\"", "\"dhcp\", \"dhcp6\"");
    harness.configure(config(&both));
    assert_eq!(harness.converge().unwrap_err().message, "no DHCP server has answered on eth0 in 1 s");
    sh("ip addr add 192.0.2.77/24 dev eth0 noprefixroute; ip addr add 2001:db8::77/128 dev eth0 noprefixroute nodad");
    assert_eq!((addresses(4), addresses(6)), (vec!["192.0.2.77/24".to_owned()], vec!["2001:db8::77/128".to_owned()]));
    let planned: Vec<_> = harness.plan().unwrap().into_iter().map(|step| step.summary).collect();
    let waiting = "give the DHCP servers of eth0 time to answer";
    assert_eq!(planned, [waiting, "get a lease for eth0", "get a DHCPv6 lease for eth0"]);
    assert_eq!(harness.converge().unwrap_err().message, "no DHCP server has answered on eth0 in 1 s");
}

pub(crate) fn renewal() {
    renewal_on(build);
}

/// The same on a machine that `begin` makes.
pub(crate) fn renewal_on(begin: fn()) {
    begin();
    serve("dnsmasq", &format!("{RANGE} --dhcp-option=option:T1,5"));
    let mut harness = plugin();
    converge(&mut harness, DHCP);
    let leased = addresses(4);
    end("dnsmasq");
    serve("dnsmasq", &format!("{} --dhcp-option=option:T1,5", RANGE.replace("192.0.2.53", "192.0.2.54")));
    eventually("the new name server", || (leases(&mut harness)[0]["servers"] == json!(["192.0.2.54"])).then_some(()));
    assert_eq!(addresses(4), leased, "the address stays");
    assert_eq!(harness.plan().unwrap(), []);
}

pub(crate) fn server_gone() {
    server_gone_on(build, || ());
}

/// The same on a machine that `begin` makes, with what `more` serves when the server is there.
pub(crate) fn server_gone_on(begin: fn(), more: fn()) {
    begin();
    let mut harness = plugin();
    harness.configure(config(&DHCP.replace("60s", "1s")));
    let error = harness.converge().unwrap_err();
    assert_eq!(error.message, "no DHCP server has answered on eth0 in 1 s");
    assert_eq!(harness.plan().unwrap().len(), 1, "only waiting is left");
    serve("dnsmasq", RANGE);
    more();
    eventually("the lease", || is_leased(&addresses(4)).then_some(()));
    assert_eq!(harness.plan().unwrap(), []);
}

/// The server is away for longer than its lease lasts, and a new one gives another.
pub(crate) fn expiry() {
    build();
    serve("dnsmasq", RANGE);
    let mut harness = plugin();
    converge(&mut harness, DHCP);
    end("dnsmasq");
    // dnsmasq gives none for less than two minutes.
    eventually_within(4 * PATIENCE, "the end of the lease", || addresses(4).is_empty().then_some(()));
    assert_eq!(sh("ip route show default"), "", "the router goes with it");
    assert_eq!(leases(&mut harness), json!([]));
    harness.configure(config(&DHCP.replace("60s", "1s")));
    let planned: Vec<_> = harness.plan().unwrap().into_iter().map(|step| step.summary).collect();
    assert_eq!(planned, ["get a lease for eth0"]);
    assert_eq!(harness.converge().unwrap_err().message, "no DHCP server has answered on eth0 in 1 s");
    serve("dnsmasq", RANGE);
    eventually("another lease", || is_leased(&addresses(4)).then_some(()));
    assert_eq!(harness.plan().unwrap(), []);
    assert_told(&mut harness);
}

/// The router that the server tells is configured, too.
pub(crate) fn configured_router_stays() {
    build();
    serve("dnsmasq", RANGE);
    let mut harness = plugin();
    let with_router = format!("{DHCP}gateway = \"192.0.2.1\"\n");
    let is_there = || {
        sh("ip route show default")
            .lines()
            .any(|line| line.starts_with("default via 192.0.2.1 dev eth0") && !line.contains("metric"))
    };
    for text in [STATIC, &with_router, STATIC] {
        converge(&mut harness, text);
        assert!(is_there(), "{text}{}", sh("ip route"));
        assert!(reaches("192.0.2.1"));
    }
}

pub(crate) fn serve_beside() {
    serve("other", &RANGE.replace("192.0.2.50,192.0.2.99", "192.0.2.60,192.0.2.69"));
}

pub(crate) fn two_servers() {
    build();
    serve("dnsmasq", RANGE);
    serve_beside();
    let mut harness = plugin();
    converge(&mut harness, DHCP);
    assert!(is_leased(&addresses(4)), "one of them, and not both: {:?}", addresses(4));
}

pub(crate) fn static_to_dhcp_and_back() {
    build();
    serve("dnsmasq", RANGE);
    let mut harness = plugin();
    converge(&mut harness, STATIC);
    assert_eq!(addresses(4), ["192.0.2.10/24"]);
    converge(&mut harness, DHCP);
    assert!(is_leased(&addresses(4)), "{:?}", addresses(4));
    converge(&mut harness, STATIC);
    assert_eq!(addresses(4), ["192.0.2.10/24"]);
    assert!(reaches("192.0.2.1"));
    assert!(read("/run/dnsmasq.log").contains("DHCPRELEASE"), "the lease was given back");
    assert_eq!(leases(&mut harness), json!([]));
    converge(&mut harness, NOTHING);
    assert!(addresses(4).is_empty());
}

pub(crate) fn resolver_and_name() {
    build();
    serve("dnsmasq", &format!("{RANGE} --dhcp-option=12,client1"));
    let host = || Host::current().expect("this is Linux");
    // A file of a machine that nobody else manages; under systemd it would be a link to resolved's.
    sh("rm -f /etc/resolv.conf; echo 'nameserver 198.51.100.1' >/etc/resolv.conf");
    let mut interfaces = plugin();
    converge(&mut interfaces, DHCP);
    let mut dns = Harness::start(DnsPlugin::new(host()));
    dns.configure(json!({ "network.dns": { "servers": ["198.51.100.53", "dhcp"], "search": ["dhcp", "lan"] } }));
    dns.converge().unwrap();
    assert!(
        read("/etc/resolv.conf")
            .ends_with("\nsearch example.org lan\nnameserver 198.51.100.53\nnameserver 192.0.2.53\n"),
        "{}",
        read("/etc/resolv.conf")
    );
    assert_eq!(dns.plan().unwrap(), []);
    serve_names();
    sh("echo 'hosts: files dns' >/etc/nsswitch.conf");
    assert!(sh("getent ahostsv4 h").contains("192.0.2.77"), "over the search list, from the server that answers");
    let mut name = Harness::start(HostnamePlugin::new(host()));
    name.configure(json!({ "system.hostname": { "from": "dhcp", "fallback": "dev" } }));
    let planned: Vec<_> = name.plan().unwrap().into_iter().map(|step| step.summary).collect();
    assert!(planned.contains(&"run under the host name client1".to_owned()), "{planned:?}");
    name.converge().unwrap();
    assert_eq!((sh("uname -n"), read("/etc/hostname")), ("client1\n".to_owned(), "client1\n".to_owned()));
    assert_eq!(name.plan().unwrap(), []);
}

/// A name server of the domain `example.org`, at the address that the DHCP server tells.
fn serve_names() {
    sh("ip -n srv addr add 192.0.2.53/24 dev srv0
        ip netns exec srv dnsmasq --conf-file=/dev/null --listen-address=192.0.2.53 --bind-interfaces --no-resolv --no-hosts \
            --address=/h.example.org/192.0.2.77 --local=// --pid-file=/run/names.pid --user=root");
}
