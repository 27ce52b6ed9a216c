//! With the real daemon: a change that cuts the connection and that nobody confirms, and a link that appears late.

use crate::dhcp::is_leased;
use crate::world::{RANGE, addresses, build, eventually, reaches, serve, sh};
use std::fs;
use std::io::{BufRead, BufReader, Write};
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
    let request = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    stream.write_all(format!("{request}\n").as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

fn start(interfaces: &str) {
    build();
    fs::create_dir_all("/run/plugins").unwrap();
    fs::copy(env!("CARGO_BIN_EXE_sysconfig-plugin-interfaces"), "/run/plugins/sysconfig-plugin-interfaces").unwrap();
    write(interfaces);
    std::thread::spawn(|| {
        let arguments =
            ["sysconfig", "--config", "/run/sysconfig.toml", "--config-dir", "/run/none", "--state-dir", "/run/state"];
        sysconfig::run(clap::Parser::parse_from(arguments));
    });
}

pub(crate) fn the_connection_comes_back() {
    start(GOOD);
    eventually("the first configuration", || reaches("192.0.2.1").then_some(()));
    write(&GOOD.replace("192.0.2.10", "203.0.113.10").replace("192.0.2.1\"", "203.0.113.1\""));
    let answer = ask("apply", &serde_json::json!({ "confirm_within_ms": 10_000 }));
    assert_eq!(answer.get("error"), None, "{answer}");
    assert_eq!(addresses(4), ["203.0.113.10/24"], "{answer}");
    assert!(!reaches("192.0.2.1"), "the connection is cut");
    eventually("the old address", || (addresses(4) == ["192.0.2.10/24"]).then_some(()));
    assert!(reaches("192.0.2.1"), "and its connection");
}

/// The daemon answers and does everything else; when the server comes, nobody asks for anything.
pub(crate) fn a_lease_that_never_comes_blocks_nothing() {
    let health = || ask("status", &serde_json::json!({}))["result"]["health"].as_str().unwrap_or_default().to_owned();
    start(
        "[[network.interface]]\nmatch = { name = \"eth0\" }\naddresses = [\"dhcp\"]\nlease-deadline = \"2s\"\n\
         [[network.interface]]\nmatch = { name = \"lo9\" }\naddresses = [\"198.51.100.7/24\"]\noptional = true\n",
    );
    eventually("readiness without a lease", || (health() == "degraded").then_some(()));
    let status = ask("status", &serde_json::json!({})).to_string();
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
