//! With the real daemon: a change that cuts the connection and that nobody confirms, and a link that appears late.

use crate::dhcp::is_leased;
use crate::world::{RANGE, addresses, build, end, eventually, reaches, read, serve, sh, start_networkd};
use serde_json::json;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use sysconfig_protocol::admin::DEFAULT_SOCKET;

const GOOD: &str =
    "[[network.interface]]\nmatch = { name = \"eth0\" }\naddresses = [\"192.0.2.10/24\"]\ngateway = \"192.0.2.1\"\n";

fn write(interfaces: &str) {
    let text = format!("[plugins]\npath = \"/run/plugins\"\nallow-untrusted-owner = true\n\n{interfaces}");
    fs::write("/run/sysconfig.toml", text).unwrap();
}

fn ask(method: &str, params: &serde_json::Value) -> serde_json::Value {
    let mut stream = eventually("the daemon's socket", || UnixStream::connect(DEFAULT_SOCKET).ok());
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    stream.write_all(format!("{request}\n").as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

fn start(interfaces: &str) {
    build();
    start_here(interfaces);
}

/// Starts the daemon on a machine that is there.
fn start_here(interfaces: &str) {
    fs::create_dir_all("/run/plugins").unwrap();
    fs::copy(env!("CARGO_BIN_EXE_sysconfig-plugin-interfaces"), "/run/plugins/sysconfig-plugin-interfaces").unwrap();
    write(interfaces);
    std::thread::spawn(|| {
        let arguments =
            ["sysconfig", "--config", "/run/sysconfig.toml", "--config-dir", "/run/none", "--state-dir", "/run/state"];
        sysconfig::run(clap::Parser::parse_from(arguments));
    });
}

fn health() -> String {
    ask("status", &json!({}))["result"]["health"].as_str().unwrap_or_default().to_owned()
}

pub(crate) fn the_connection_comes_back() {
    start(GOOD);
    eventually("the first configuration", || reaches("192.0.2.1").then_some(()));
    write(&GOOD.replace("192.0.2.10", "203.0.113.10").replace("192.0.2.1\"", "203.0.113.1\""));
    let answer = ask("apply", &json!({ "confirm_within_ms": 10_000 }));
    assert_eq!(answer.get("error"), None, "{answer}");
    assert_eq!(addresses(4), ["203.0.113.10/24"], "{answer}");
    assert!(!reaches("192.0.2.1"), "the connection is cut");
    eventually("the old address", || (addresses(4) == ["192.0.2.10/24"]).then_some(()));
    assert!(reaches("192.0.2.1"), "and its connection");
}

/// The daemon answers and does everything else; when the server comes, nobody asks for anything.
pub(crate) fn a_lease_that_never_comes_blocks_nothing() {
    start(
        "[[network.interface]]\nmatch = { name = \"eth0\" }\naddresses = [\"dhcp\"]\nlease-deadline = \"2s\"\n\
         [[network.interface]]\nmatch = { name = \"lo9\" }\naddresses = [\"198.51.100.7/24\"]\noptional = true\n",
    );
    eventually("readiness without a lease", || (health() == "degraded").then_some(()));
    let status = ask("status", &json!({})).to_string();
    assert!(status.contains("no DHCP server has answered on eth0 in 2 s"), "{status}");
    serve("dnsmasq", RANGE);
    eventually("the lease", || is_leased(&addresses(4)).then_some(()));
    eventually("health", || (health() == "ok").then_some(()));
}

/// Nobody asks for anything: the plugin sees the link and the daemon looks anew.
pub(crate) fn a_late_link_is_configured() {
    start(&format!(
        "{GOOD}\n[[network.interface]]\nmatch = {{ name = \"late0\" }}\naddresses = [\"198.51.100.7/24\"]\n"
    ));
    eventually("the link that is there", || reaches("192.0.2.1").then_some(()));
    sh("ip link add late0 type veth peer name late1");
    eventually("the late one", || sh("ip -4 addr show dev late0").contains("198.51.100.7/24").then_some(()));
}

const MOVED: &str = "203.0.113.10/24";

/// The configuration with an address that cuts the connection.
fn moved() -> String {
    GOOD.replace("192.0.2.10", "203.0.113.10").replace("192.0.2.1\"", "203.0.113.1\"")
}

/// The same where systemd-networkd is in charge.
pub(crate) fn the_connection_comes_back_with_networkd() {
    build();
    start_networkd();
    start_here(GOOD);
    eventually("the first configuration", || reaches("192.0.2.1").then_some(()));
    write(&moved());
    let answer = ask("apply", &json!({ "confirm_within_ms": 10_000 }));
    assert_eq!(answer.get("error"), None, "{answer}");
    assert_eq!(addresses(4), [MOVED], "{answer}");
    assert!(!reaches("192.0.2.1"), "the connection is cut");
    eventually("the old address", || (addresses(4) == ["192.0.2.10/24"]).then_some(()));
    eventually("and its connection", || reaches("192.0.2.1").then_some(()));
}

/// A change whose last step fails, because no server answers, has cut the connection all the same.
fn a_failed_change_is_undone() {
    eventually("the first configuration", || reaches("192.0.2.1").then_some(()));
    write(
        &moved()
            .replace("\"203.0.113.10/24\"", "\"dhcp\", \"203.0.113.10/24\"")
            .replace("gateway", "lease-deadline = \"2s\"\ngateway"),
    );
    let answer = ask("apply", &json!({ "confirm_within_ms": 5_000 }));
    assert!(answer.to_string().contains("no DHCP server has answered on eth0 in 2 s"), "{answer}");
    assert!(answer.to_string().contains("confirm_by_unix_ms"), "what was done waits for its confirmation: {answer}");
    assert_eq!(addresses(4), [MOVED], "{answer}");
    eventually("the old address", || (addresses(4) == ["192.0.2.10/24"]).then_some(()));
    eventually("and its connection", || reaches("192.0.2.1").then_some(()));
}

pub(crate) fn a_failed_change_is_undone_with_dhcpcd() {
    start(GOOD);
    a_failed_change_is_undone();
    eventually("the end of the client", || (sh("ps -e -o comm= | grep -c dhcpcd || true") == "0\n").then_some(()));
}

pub(crate) fn a_failed_change_is_undone_with_networkd() {
    build();
    start_networkd();
    start_here(GOOD);
    a_failed_change_is_undone();
}

/// From a lease, whose server is still there, and which is there again afterwards.
pub(crate) fn the_lease_comes_back() {
    start("[[network.interface]]\nmatch = { name = \"eth0\" }\naddresses = [\"dhcp\"]\nlease-deadline = \"60s\"\n");
    serve("dnsmasq", RANGE);
    eventually("the lease", || is_leased(&addresses(4)).then_some(()));
    eventually("the end of the first cycle", || (health() == "ok").then_some(()));
    write(&moved());
    let answer = ask("apply", &json!({ "confirm_within_ms": 5_000 }));
    assert_eq!(answer.get("error"), None, "{answer}");
    assert_eq!(addresses(4), [MOVED], "{answer}");
    eventually("a lease again", || is_leased(&addresses(4)).then_some(()));
    eventually("and its connection", || reaches("192.0.2.1").then_some(()));
}

/// What a server tells `interfaces` hears, and `dns` is told by the daemon; nobody asks for anything.
pub(crate) fn a_lease_reaches_the_resolver() {
    build();
    sh("rm -f /etc/resolv.conf; echo 'nameserver 198.51.100.1' >/etc/resolv.conf");
    serve("dnsmasq", &format!("{RANGE} --dhcp-option=option:T1,5"));
    // The program of the plugin `dns` is another crate's: this one takes its part.
    fs::create_dir_all("/run/plugins").unwrap();
    let here = std::env::current_exe().unwrap();
    let script = format!(
        "#!/bin/sh\n{}=plugin_dns exec {} --exact other_process --ignored --nocapture\n",
        plugin_testing::namespace::SCENARIO,
        here.display()
    );
    let path = "/run/plugins/sysconfig-plugin-dns";
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    start_here(
        "[[network.interface]]\nmatch = { name = \"eth0\" }\naddresses = [\"dhcp\"]\nlease-deadline = \"60s\"\n\
         [network.dns]\nservers = [\"dhcp\", \"198.51.100.53\"]\nsearch = [\"dhcp\"]\n",
    );
    let says = |server: &str| {
        let wanted = format!("search example.org\nnameserver {server}\nnameserver 198.51.100.53\n");
        read("/etc/resolv.conf").ends_with(&wanted).then_some(())
    };
    eventually("the name server of the lease", || says("192.0.2.53"));
    eventually("health", || (health() == "ok").then_some(()));
    end("dnsmasq");
    serve("dnsmasq", &format!("{} --dhcp-option=option:T1,5", RANGE.replace("192.0.2.53", "192.0.2.54")));
    eventually("that of the renewal", || says("192.0.2.54"));
    eventually("health", || (health() == "ok").then_some(()));
}

/// The process that the daemon starts as the plugin `dns`.
pub(crate) fn be_the_plugin_dns() {
    let host = sysconfig_platform::Host::current().expect("this is Linux");
    sysconfig_plugin::testing::serve_daemon(sysconfig_plugin_dns::DnsPlugin::new(host));
}

/// At boot: the links are off, and the first by name has no cable.
pub(crate) fn the_first_link_with_a_signal_is_found_at_boot() {
    build();
    sh("ip link add a0 type veth peer name a1; ip link set a1 netns srv; ip link set eth0 down");
    start_here("[[network.interface]]\nmatch = { first-up = true }\naddresses = [\"192.0.2.10/24\"]\n");
    eventually("the address", || (addresses(4) == ["192.0.2.10/24"]).then_some(()));
    eventually("the connection", || reaches("192.0.2.1").then_some(()));
    eventually("health", || (health() == "ok").then_some(()));
    assert!(!sh("ip -o link show a0").contains(",UP"), "what is not used is off as before: {}", sh("ip -o link"));
}

/// What the look at the signals has found is part of the change, and goes with it.
pub(crate) fn the_first_link_with_a_signal_goes_with_its_change() {
    build();
    sh("ip link add a0 type veth peer name a1; ip link set a1 netns srv; ip link set eth0 down");
    start_here("[network]\ninterface = []\n");
    eventually("the first configuration", || (health() == "ok").then_some(()));
    write("[[network.interface]]\nmatch = { first-up = true }\naddresses = [\"192.0.2.10/24\"]\n");
    let answer = ask("apply", &json!({ "confirm_within_ms": 5_000 }));
    assert_eq!(answer.get("error"), None, "{answer}");
    assert_eq!(addresses(4), ["192.0.2.10/24"], "{answer}");
    assert!(answer.to_string().contains("put 192.0.2.10/24 on eth0"), "it is told: {answer}");
    eventually("the end of the change", || addresses(4).is_empty().then_some(()));
    eventually("the end of the look", || (!sh("ip -o link show eth0").contains(",UP")).then_some(()));
    // It stays so: nothing but a request applies what was undone.
    eventually("the word that it was undone", || {
        ask("status", &json!({})).to_string().contains("undone").then_some(())
    });
    assert!(addresses(4).is_empty(), "{:?}", addresses(4));
}
