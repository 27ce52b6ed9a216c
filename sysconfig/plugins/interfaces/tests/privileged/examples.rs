//! Every example of `docs/network.md` on the real kernel, with the real clients and servers: what it says is so, and the second
//! plan is empty.

use crate::world::{NOTHING, build, converge_to, plugin, serve, sh, start_networkd};
use serde_json::{Value, json};
use sysconfig_platform::Host;
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin_dns::DnsPlugin;
use sysconfig_plugin_hostname::HostnamePlugin;

/// The links of the examples, and at the other end of `net0` the servers that they speak of.
fn build_net0_and_net1() {
    build();
    sh("ip link add net0 address 02:08:20:ab:01:0f type veth peer name srv1
        ip link add net1 type veth peer name srv2
        ip link set srv1 netns srv; ip link set srv2 netns srv
        ip -n srv addr add 10.0.2.1/24 dev srv1
        ip -n srv addr add 2001:db8:6::1/64 dev srv1 nodad
        ip -n srv link set srv1 up; ip -n srv link set srv2 up; ip link set net1 up
        rm -f /etc/resolv.conf; echo 'nameserver 198.51.100.1' >/etc/resolv.conf");
    serve(
        "dnsmasq",
        "--interface=srv1 --dhcp-range=10.0.2.50,10.0.2.99,120 --dhcp-option=option:dns-server,10.0.2.3 \
         --enable-ra --dhcp-range=2001:db8:6::100,2001:db8:6::1ff,slaac,64,120 --ra-param=srv1,4,120 \
         --dhcp-option=option6:dns-server,[2001:db8::53]",
    );
}

pub(crate) fn with_dhcpcd() {
    build_net0_and_net1();
    try_all();
}

pub(crate) fn with_networkd() {
    build_net0_and_net1();
    start_networkd();
    try_all();
}

fn try_all() {
    let host = || Host::current().expect("this is Linux");
    let mut interfaces = plugin();
    for example in plugin_testing::examples("docs/network.md") {
        let document: Value = toml::from_str(&example).unwrap();
        if let Some(mut wanted) = document.pointer("/network/interface").cloned() {
            // A slow machine is to be given time.
            for interface in wanted.as_array_mut().unwrap() {
                interface["lease-deadline"] = json!("60s");
            }
            converge_to(&mut interfaces, &json!({ "network.interface": wanted }), &example);
        }
        if let Some(wanted) = document.pointer("/network/dns") {
            converge_to(&mut Harness::start(DnsPlugin::new(host())), &json!({ "network.dns": wanted }), &example);
        }
        if let Some(wanted) = document.pointer("/system/hostname") {
            converge_to(
                &mut Harness::start(HostnamePlugin::new(host())),
                &json!({ "system.hostname": wanted }),
                &example,
            );
        }
        let nothing: Value = toml::from_str(NOTHING).unwrap();
        converge_to(&mut interfaces, &json!({ "network.interface": nothing["network"]["interface"] }), &example);
    }
}
