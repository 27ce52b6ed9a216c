//! Random names and hosts files: afterwards the machine is so, nothing is left to do, and rows of others are as they were.

use proptest::prelude::*;
use serde_json::json;
use std::fs;
use sysconfig_platform::Host;
use sysconfig_platform::fake::{illumos, linux};
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin_hostname::HostnamePlugin;

/// Names by the RFCs, some with a domain.
fn name() -> impl Strategy<Value = String> {
    "[a-z0-9]([a-z0-9-]{0,14}[a-z0-9])?(\\.[a-z]([a-z0-9-]{0,6}[a-z0-9])?){0,2}"
        .prop_filter("digits alone are an address", |name| name.bytes().any(|byte| byte.is_ascii_alphabetic()))
}

/// Rows of a hosts file, sound and odd ones.
fn rows() -> impl Strategy<Value = Vec<String>> {
    let row = prop_oneof![
        Just("127.0.0.1\tlocalhost".to_owned()),
        Just("::1 localhost ip6-localhost # v6".to_owned()),
        Just("# a comment".to_owned()),
        Just(String::new()),
        "192\\.0\\.2\\.[1-9] [a-z]{1,8}\\.example",
        "[ -~&&[^#]]{0,20}",
    ];
    proptest::collection::vec(row, 0..8)
}

/// A name, or one from a lease with that as the fallback.
fn wish() -> impl Strategy<Value = (String, bool)> {
    (name(), any::<bool>())
}

fn converge(
    host: &Host,
    file: &str,
    rows: &[String],
    wishes: &[(String, bool)],
    leased: Option<&str>,
) -> Result<(), TestCaseError> {
    let text = rows.iter().map(|row| format!("{row}\n")).collect::<String>();
    fs::write(host.root.locate(file), &text).unwrap();
    let mut harness = Harness::start(HostnamePlugin::new(host.clone()));
    for (name, from_lease) in wishes {
        let value = if *from_lease { json!({ "from": "dhcp", "fallback": name }) } else { json!(name) };
        let name = named(name, *from_lease, leased);
        let config = json!({ "system.hostname": value });
        prop_assert_eq!(harness.validate(config.clone()), vec![]);
        harness.configure(config);
        let converged = harness.converge().map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
        prop_assert_eq!(converged.diagnostics, vec![]);
        prop_assert_eq!(harness.plan().unwrap(), vec![]);
        let now = fs::read_to_string(host.root.locate(file)).unwrap();
        let others: Vec<_> = now.lines().filter(|row| rows.iter().any(|known| known == row)).collect();
        prop_assert_eq!(&others, rows, "{}", now);
        prop_assert!(now.split_whitespace().any(|word| word.eq_ignore_ascii_case(name)), "{}", now);
    }
    Ok(())
}

/// The name that comes of a wish.
fn named<'a>(name: &'a str, from_lease: bool, leased: Option<&'a str>) -> &'a str {
    leased.filter(|_| from_lease).unwrap_or(name)
}

fn cases() -> ProptestConfig {
    ProptestConfig { cases: if test_judge::soak() { 1000 } else { 40 }, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn linux_converges_from_anywhere(rows in rows(), kept in "[ -~]{0,20}\n?", wishes in proptest::collection::vec(wish(), 1..4)) {
        let (_directory, host, _machine) = linux::Machine::start();
        fs::write(host.root.locate("/etc/hostname"), kept).unwrap();
        converge(&host, "/etc/hosts", &rows, &wishes, None)?;
        let kept = fs::read_to_string(host.root.locate("/etc/hostname")).unwrap();
        prop_assert_eq!(kept.lines().last(), wishes.last().map(|(name, _)| name.as_str()));
    }

    #[test]
    fn illumos_converges_from_anywhere(
        rows in rows(),
        kept in "[ -~]{0,20}\n?",
        leased in proptest::option::of(name()),
        wishes in proptest::collection::vec(wish(), 1..4),
    ) {
        use illumos::network::{Kind, Server};
        let (_directory, host, machine) = illumos::Machine::start();
        fs::write(host.root.locate("/etc/nodename"), kept).unwrap();
        machine.network(|network| {
            network.add_link("net0", 1);
            let options = [("Hostname", leased.iter().cloned().collect())].into();
            let server = Server { address: "10.0.2.15/24".parse().unwrap(), router: None, options, looks: 0 };
            network.servers.insert("net0".to_owned(), server);
            network.add_object("net0/dhcp", Kind::Dhcp);
        });
        converge(&host, "/etc/inet/hosts", &rows, &wishes, leased.as_deref())?;
        let (last, from_lease) = wishes.last().unwrap();
        prop_assert_eq!(machine.name(), named(last, *from_lease, leased.as_deref()));
        let link = fs::symlink_metadata(host.root.locate("/etc").join("hosts")).unwrap();
        prop_assert!(link.file_type().is_symlink(), "the link stays a link");
    }
}
