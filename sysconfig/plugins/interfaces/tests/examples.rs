//! Every example of `docs/network.md`, on simulated machines of both systems.

use serde_json::{Value, json};
use std::path::Path;
use sysconfig_platform::Host;
use sysconfig_platform::fake::{illumos, linux};
use sysconfig_plugin::Plugin;
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin_dns::DnsPlugin;
use sysconfig_plugin_hostname::HostnamePlugin;
use sysconfig_plugin_interfaces::InterfacesPlugin;

fn examples() -> Vec<String> {
    plugin_testing::examples("docs/network.md")
}

/// Applies the part of a plugin, when the example has one; nothing may be left to do.
fn apply<P: Plugin + Send + 'static>(plugin: P, key: &str, document: &Value, example: &str) {
    let Some(value) = key.split('.').try_fold(document, |at, name| at.get(name)) else { return };
    let config = json!({ key: value });
    let mut harness = Harness::start(plugin);
    assert_eq!(harness.validate(config.clone()), [], "{example}");
    harness.configure(config);
    let mut converged = harness.converge().unwrap_or_else(|error| panic!("{example}\n{error:?}"));
    if converged.steps.iter().any(|(step, _)| step.action == "look") {
        // The daemon is told to plan anew then.
        converged = harness.converge().unwrap_or_else(|error| panic!("{example}\n{error:?}"));
    }
    assert_eq!(converged.diagnostics, [], "{example}");
    assert_eq!(harness.plan().unwrap(), [], "{example}");
}

fn apply_all(host: &Host, example: &str) {
    let document: Value = toml::from_str(example).unwrap_or_else(|error| panic!("{example}\n{error}"));
    for table in document.as_object().unwrap().values() {
        for name in table.as_object().unwrap().keys() {
            assert!(["interface", "dns", "hostname"].contains(&name.as_str()), "nobody owns {name}:\n{example}");
        }
    }
    apply(InterfacesPlugin::new(host.clone()), "network.interface", &document, example);
    apply(DnsPlugin::new(host.clone()), "network.dns", &document, example);
    apply(HostnamePlugin::new(host.clone()), "system.hostname", &document, example);
}

#[test]
fn every_example_works_on_illumos() {
    use illumos::network::Server;
    // And what the development image of illumos has.
    let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../image/templates/files/openindiana/20-network.toml");
    for example in examples().into_iter().chain([std::fs::read_to_string(image).unwrap()]) {
        let (_directory, host, machine) = illumos::Machine::start();
        machine.network(|network| {
            network.add_link("net0", 0xf);
            network.add_link("net1", 0x10);
            let options = [("DNSserv", vec!["10.0.2.3".to_owned()]), ("Hostname", vec!["client1".to_owned()])].into();
            let server = Server { address: "10.0.2.15/24".parse().unwrap(), router: None, options, looks: 1 };
            network.servers.insert("net0".to_owned(), server);
            let identifier = "1,1,745123456,02:08:20:AB:01:0F".to_owned();
            let options = [("2", vec![identifier]), ("23", vec!["2001:db8::53".to_owned()])].into();
            let server = Server { address: "2001:db8:6::50/64".parse().unwrap(), router: None, options, looks: 1 };
            network.servers6.insert("net0".to_owned(), server);
        });
        apply_all(&host, &example);
    }
}

#[test]
fn every_example_works_on_linux_with_and_without_networkd() {
    use linux::network::Server;
    for (example, networkd) in examples().iter().flat_map(|example| [(example, false), (example, true)]) {
        let (_directory, host, machine) = linux::Machine::start();
        if networkd {
            machine.run_systemd(&host.root);
        }
        machine.network(|network| {
            network.has_networkd = networkd;
            network.has_dhcpcd = true;
            network.add_link("net0");
            network.add_link("net1");
            network.links[0].mac = Some("2:8:20:ab:1:f".parse().unwrap());
            let dump = ("domain_name_servers=10.0.2.3\n".to_owned(), "DNS=10.0.2.3\n".to_owned());
            let server = Server { address: "10.0.2.15/24".parse().unwrap(), router: None, dump };
            network.servers.insert("net0".to_owned(), server);
            let dump = ("dhcp6_name_servers=2001:db8::53\n".to_owned(), "DNS=2001:db8::53\n".to_owned());
            let server = Server { address: "2001:db8:6::50/128".parse().unwrap(), router: None, dump };
            network.servers6.insert("net0".to_owned(), server);
        });
        apply_all(&host, example);
    }
}

#[test]
fn there_are_examples() {
    assert!(examples().len() > 8, "the document is read wrongly");
}
