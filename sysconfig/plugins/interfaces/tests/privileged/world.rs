//! The namespaces, the cable between them, and the servers at its other end.

use plugin_testing::namespace;
pub(crate) use plugin_testing::namespace::sh;
use serde_json::Value;
use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};
use sysconfig_platform::Host;
use sysconfig_plugin::Event;
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin_interfaces::InterfacesPlugin;

/// How long anything may take on a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a scenario in new namespaces, or says why not.
pub(crate) fn run(scenario: &str) {
    let needs = [
        ("ip", "iproute2"),
        ("dnsmasq", "dnsmasq-base"),
        ("dhcpcd", "dhcpcd-base"),
        ("arping", "iputils-arping"),
        ("networkctl", "systemd"),
        ("dbus-daemon", "dbus"),
    ];
    namespace::run(scenario, &["--net", "--uts"], &needs, &[]);
}

/// Waits until something is so.
pub(crate) fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, look)
}

/// The same for something that takes longer by its nature.
pub(crate) fn eventually_within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        if Instant::now() >= until {
            let log = fs::read_to_string("/run/dnsmasq.log").unwrap_or_default();
            panic!("{what} has not come about; {}\n{log}", sh("ip addr; ip route; ip -6 route"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Lays the cable. Private places take the place of what the plugins write to.
pub(crate) fn build() {
    sh("mount -t tmpfs none /run
        mkdir -p /run/netns /run/etc
        mkdir -p /var/lib/dhcpcd && mount -t tmpfs none /var/lib/dhcpcd
        cp -a /etc/. /run/etc && mount --bind /run/etc /etc
        ip link set lo up
        ip netns add srv
        ip link add eth0 type veth peer name srv0
        ip link set srv0 netns srv
        ip -n srv link set lo up
        ip -n srv addr add 192.0.2.1/24 dev srv0
        ip -n srv addr add 2001:db8::1/64 dev srv0 nodad
        ip -n srv link set srv0 up");
}

/// Puts networkd in charge: the program itself, its bus and `networkctl` are real. A system manager there is not, so the
/// one question that it is asked, what networkd is at, a script answers in its place by looking whether it runs. The
/// kernel's view of devices is read-only, as in a container, which says that no udev will come to name them.
pub(crate) fn start_networkd() {
    sh("mount -t sysfs -o ro none /sys
        mkdir -p /run/dbus /run/systemd/netif
        find /etc/systemd/network -mindepth 1 -delete
        for name in links leases lldp; do mkdir /run/systemd/netif/$name; done
        chown -R systemd-network /run/systemd/netif
        cat >/run/systemctl <<'END'
#!/bin/sh
[ \"$*\" = 'show --property=ActiveState,Job systemd-networkd.service' ] || exit 1
touch /run/networkd.asked
if [ -e /run/networkd.state ]; then state=$(cat /run/networkd.state)
elif kill -0 $(cat /run/networkd.pid) 2>/dev/null; then state=active
else state=inactive; fi
echo ActiveState=$state
END
        chmod +x /run/systemctl
        mount --bind /run/systemctl /usr/bin/systemctl
        dbus-daemon --system --fork --nopidfile");
    launch_networkd();
}

/// Starts the program itself, again after its end.
pub(crate) fn launch_networkd() {
    sh("/usr/lib/systemd/systemd-networkd >>/run/networkd.log 2>&1 & echo $! >/run/networkd.pid");
    eventually("networkd", || sh("networkctl --no-legend list 2>&1 || true").contains("eth0").then_some(()));
}

/// The configuration that asks for no interface.
pub(crate) const NOTHING: &str = "[network]\ninterface = []\n";

/// The usual options of a DHCP server.
pub(crate) const RANGE: &str = "--dhcp-range=192.0.2.50,192.0.2.99,120 --dhcp-option=option:dns-server,192.0.2.53 \
                                --dhcp-option=option:domain-name,example.org";

/// Starts dnsmasq under a name.
pub(crate) fn serve(name: &str, options: &str) {
    sh(&format!(
        "ip netns exec srv dnsmasq --conf-file=/dev/null --port=0 --interface=srv0 --bind-dynamic --no-ping --no-resolv \
         --dhcp-authoritative --log-dhcp --log-facility=/run/{name}.log --pid-file=/run/{name}.pid \
         --dhcp-leasefile=/run/{name}.leases --user=root {options}"
    ));
}

/// Ends a server by its process id.
pub(crate) fn end(name: &str) {
    sh(&format!("kill $(cat /run/{name}.pid); while kill -0 $(cat /run/{name}.pid) 2>/dev/null; do sleep 0.1; done"));
}

pub(crate) fn plugin() -> Harness {
    let host = Host::current().expect("this is Linux");
    Harness::start(InterfacesPlugin::new(host).watching_every(Duration::from_millis(300)))
}

pub(crate) fn config(text: &str) -> Value {
    let document: Value = toml::from_str(text).unwrap();
    serde_json::json!({ "network.interface": document["network"]["interface"] })
}

/// Applies, and checks that nothing is left to do.
pub(crate) fn converge(harness: &mut Harness, text: &str) {
    converge_to(harness, &config(text), text);
}

/// The same with a configuration as a plugin gets it, and where it is from.
pub(crate) fn converge_to(harness: &mut Harness, config: &Value, text: &str) {
    harness.configure(config.clone());
    let mut converge = || {
        let failed = |error| panic!("{text}\n{error:?}\n{}", sh("ip addr; ip route; cat /run/*.log || true"));
        harness.converge().unwrap_or_else(failed)
    };
    let mut converged = converge();
    if converged.steps.iter().any(|(step, _)| step.action == "look") {
        // The daemon is told to plan anew then.
        converged = converge();
    }
    assert!(converged.diagnostics.is_empty(), "{text}\n{:?}", converged.diagnostics);
    let left = harness.plan().unwrap();
    assert!(left.is_empty(), "the second plan is empty:\n{text}\n{left:#?}");
}

/// The addresses of `eth0` of a family, without those of the link only.
pub(crate) fn addresses(family: u8) -> Vec<String> {
    let lines = sh(&format!("ip -{family} -o addr show dev eth0 scope global"));
    lines.lines().filter_map(|line| line.split_whitespace().nth(3)).map(str::to_owned).collect()
}

/// Whether another machine answers: nobody listens there, which its kernel says.
pub(crate) fn reaches(address: &str) -> bool {
    let address = SocketAddr::new(address.parse().unwrap(), 9);
    let result = TcpStream::connect_timeout(&address, Duration::from_secs(2));
    result.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// The last word about the leases.
pub(crate) fn leases(harness: &mut Harness) -> Value {
    // Events come with the next answer.
    harness.observe().unwrap();
    let events: Vec<Event> = harness.emitted();
    let last = events.into_iter().rev().find(|event| event.topic == "dhcp.leases");
    last.map(|event| event.data).unwrap_or_default()
}

pub(crate) fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}
