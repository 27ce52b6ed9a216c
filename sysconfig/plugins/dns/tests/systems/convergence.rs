//! Random valid configurations from random beginnings: afterwards the machine is so, and nothing is left to do.

use crate::support::Fixture;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};
use std::fs;
use sysconfig_platform::fake::{illumos, linux};
use sysconfig_platform::resolver::{DNS_CLIENT, NAME_CACHE};
use sysconfig_platform::smf::State;

/// What may be wanted; `dhcp` stands for what leases tell.
fn wish() -> impl Strategy<Value = Value> {
    let servers = subsequence(vec!["192.0.2.53", "198.51.100.7", "2001:DB8::53", "fe80::1", "dhcp"], 1..=3);
    let search = subsequence(vec!["example.org", "lan", "a.b.example", "dhcp"], 0..=4);
    let options = subsequence(vec!["ndots:2", "timeout:3", "attempts:1", "rotate"], 0..=4);
    (servers.prop_shuffle(), search.prop_shuffle(), options)
        .prop_map(|(servers, search, options)| json!({ "servers": servers, "search": search, "options": options }))
}

/// What a machine may have in the place of the resolver's file.
fn file() -> impl Strategy<Value = Option<String>> {
    let lines = subsequence(
        vec![
            "nameserver 192.0.2.1",
            "search old.example",
            "domain x.example",
            "# office",
            "; old",
            "options rotate",
            "",
        ],
        0..=7,
    );
    proptest::option::of(
        (lines, any::<bool>()).prop_map(|(lines, ends)| lines.join("\n") + if ends { "\n" } else { "" }),
    )
}

/// What the servers of a machine's leases tell.
#[derive(Clone, Debug, Default)]
struct Told {
    servers: Vec<&'static str>,
    search: Vec<&'static str>,
}

/// A list of a wish as it is written, in the usual form: with what leases tell in its place, each item once.
fn written(list: &Value, told: &[&str], most: usize) -> Vec<String> {
    let mut written = Vec::new();
    for item in list.as_array().unwrap().iter().filter_map(Value::as_str) {
        let items = if item == "dhcp" { told } else { &[item][..] };
        for item in items.iter().map(|item| item.to_lowercase()) {
            if !written.contains(&item) {
                written.push(item);
            }
        }
    }
    written.truncate(most);
    written
}

fn servers(wish: &Value, told: &Told) -> Vec<String> {
    written(&wish["servers"], &told.servers, 3)
}

fn check<M>(fixture: &mut Fixture<M>, wishes: &[Value], told: &Told) {
    for wish in wishes {
        assert_eq!(fixture.harness.validate(json!({ "network.dns": wish })), []);
        fixture.converge(wish);
        let wanted = servers(wish, told);
        if wanted.is_empty() {
            continue;
        }
        let content = fixture.read("/etc/resolv.conf");
        let found: Vec<_> = content.lines().filter_map(|line| line.strip_prefix("nameserver ")).collect();
        assert_eq!(found, wanted, "{content}");
        let found: Vec<_> = content.lines().filter_map(|line| line.strip_prefix("search ")).collect();
        let wanted = Some(written(&wish["search"], &told.search, 6)).filter(|search| !search.is_empty());
        assert_eq!(found, Vec::from_iter(wanted.map(|search| search.join(" "))), "{content}");
    }
}

/// What servers of leases may tell, and one that tells nothing.
fn told() -> impl Strategy<Value = Told> {
    let servers = subsequence(vec!["10.0.2.3", "192.0.2.53", "10.0.2.4", "10.0.2.5"], 0..=4).prop_shuffle();
    let search = subsequence(vec!["lease.example", "lan"], 0..=2);
    (servers, search).prop_map(|(servers, search)| Told { servers, search })
}

/// A machine whose link has that lease.
fn with_lease(fixture: &Fixture<illumos::Machine>, told: &Told) {
    use illumos::network::{Kind, Server};
    let owned = |list: &[&str]| list.iter().map(|item| (*item).to_owned()).collect();
    let options = [("DNSserv", owned(&told.servers)), ("DNSdmain", owned(&told.search))].into();
    fixture.machine.network(|network| {
        network.add_link("net0", 1);
        let server = Server { address: "10.0.2.15/24".parse().unwrap(), router: None, options, looks: 0 };
        network.servers.insert("net0".to_owned(), server);
        network.add_object("net0/dhcp", Kind::Dhcp);
    });
}

fn put<M>(fixture: &Fixture<M>, path: &str, content: Option<&String>) {
    match content {
        Some(content) => fixture.write(path, content),
        None => drop(fs::remove_file(fixture.root.locate(path))),
    }
}

fn cases() -> ProptestConfig {
    ProptestConfig { cases: if test_judge::soak() { 1000 } else { 40 }, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn linux_converges_from_anywhere(before in file(), wishes in proptest::collection::vec(wish(), 1..4)) {
        let mut fixture = Fixture::new(linux::Machine::start());
        put(&fixture, "/etc/resolv.conf", before.as_ref());
        check(&mut fixture, &wishes, &Told::default());
    }

    #[test]
    fn illumos_converges_from_anywhere(
        before in file(),
        switch in proptest::option::of(select(vec![
            "hosts: files\nipnodes: files\n",
            "hosts: files dns\nipnodes: files dns\n",
            "hosts: files [NOTFOUND=return] dns\nipnodes: files [TRYAGAIN=continue] dns\n",
            "hosts: nis [NOTFOUND=return] files\npasswd: files nis\n",
            "# nothing\n",
        ])),
        client in select(vec![State::Disabled, State::Online, State::Maintenance]),
        cache in select(vec![State::Disabled, State::Online]),
        told in told(),
        wishes in proptest::collection::vec(wish(), 1..4),
    ) {
        let mut fixture = Fixture::new(illumos::Machine::start());
        put(&fixture, "/etc/resolv.conf", before.as_ref());
        put(&fixture, "/etc/nsswitch.conf", switch.map(str::to_owned).as_ref());
        fixture.machine.set_state(DNS_CLIENT, client);
        fixture.machine.set_state(NAME_CACHE, cache);
        with_lease(&fixture, &told);
        check(&mut fixture, &wishes, &told);
        if wishes.iter().any(|wish| !servers(wish, &told).is_empty()) {
            prop_assert_eq!(fixture.machine.state(DNS_CLIENT), Some(State::Online));
            prop_assert_eq!(fixture.machine.state(NAME_CACHE), Some(cache), "a cache is not switched on");
        }
    }
}
