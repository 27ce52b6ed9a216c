//! The simulated illumos machine takes the command lines that the real programs take, and refuses the others with the same status.
#![cfg(feature = "fake")]

use sysconfig_platform::fake::illumos::Machine;
use sysconfig_platform::{Completed, Invocation, Runner, dladm};

fn run(machine: &Machine, line: &str) -> Completed {
    let mut words = line.split_whitespace();
    machine.run(&Invocation::new(words.next().unwrap(), words)).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// One machine goes through the rows from the first to the last.
fn check(machine: &Machine, rows: &[(&str, i32, &str)]) {
    for (line, code, said) in rows {
        let answer = run(machine, line);
        let text = format!("{}{}", answer.stdout, answer.stderr);
        assert!(answer.code == *code && text.contains(said), "{line}: {} {text}", answer.code);
    }
}

/// Of a line without what it needs, or with what does not belong there.
const WITHOUT: &str = "usage";

#[test]
fn options_of_ipadm() {
    let (_root, _host, machine) = Machine::start();
    machine.network(|network| network.add_link("net0", 15));
    check(
        &machine,
        &[
            ("/usr/sbin/ipadm create-if -x net0", 2, WITHOUT),
            ("/usr/sbin/ipadm create-if net0", 0, ""),
            ("/usr/sbin/ipadm create-if net0", 1, "Could not create net0 : Interface already exists"),
            ("/usr/sbin/ipadm create-addr -T static net0/v4", 2, WITHOUT),
            ("/usr/sbin/ipadm create-addr -T static -w 5 -a 192.0.2.9/24 net0/v4", 2, WITHOUT),
            ("/usr/sbin/ipadm create-addr -a 192.0.2.9/24 -d -T static -t net0/v4", 0, ""),
            ("/usr/sbin/ipadm create-addr -T static -a local=192.0.2.8/24 net0/4", 1, "Invalid address object name"),
            // Trap 4: the empty column is a column.
            ("/usr/sbin/ipadm show-addr -p -o addrobj,persistent,state net0/v4", 0, "net0/v4::down\n"),
            ("/usr/sbin/ipadm up-addr net0/v4", 1, "Persistent operation on temporary object"),
            ("/usr/sbin/ipadm up-addr -t net0/v4", 0, ""),
            // Trap 5.
            ("/usr/sbin/ipadm create-addr -T static -a 2001:db8::5/64 net0/v6s", 1, "Can't assign requested address"),
            ("/usr/sbin/ipadm create-addr -T addrconf -a 2001:db8::5/64 net0/v6", 2, WITHOUT),
            ("/usr/sbin/ipadm create-addr -pstateful=no,stateless=no -T addrconf net0/v6", 0, ""),
            ("/usr/sbin/ipadm create-addr -T static -a 2001:db8::5/64 net0/v6s", 0, ""),
            // Trap 1.
            ("/usr/sbin/ipadm create-addr -T dhcp -1 -h box -w 5 net0/dhcp", 0, "timed out"),
            // Trap 2.
            ("/usr/sbin/ipadm show-addr -p -o addr net0/v6s", 0, "2001:db8::5/64\n"),
            ("/usr/sbin/ipadm show-addr -p -o addrobj,addr net0/v6s", 0, "net0/v6s:2001\\:db8\\:\\:5/64\n"),
            ("/usr/sbin/ipadm show-addr -p net0/v6s", 2, WITHOUT),
            ("/usr/sbin/ipadm show-addr -p -o nothing net0/v6s", 1, "Unknown field"),
            // Trap 3.
            ("/usr/sbin/ipadm show-ifprop -p -o current -p mtu -m ipv4 net0", 2, WITHOUT),
            ("/usr/sbin/ipadm set-ifprop -p mtu=1400 -m ipv4 net0", 0, ""),
            ("/usr/sbin/ipadm show-ifprop -c -o current -p mtu -m ipv4 net0", 0, "1400\n"),
            ("/usr/sbin/ipadm enable-if net0", 2, WITHOUT),
            ("/usr/sbin/ipadm delete-addr -x net0/v6s", 2, WITHOUT),
            ("/usr/sbin/ipadm delete-addr -r net0/dhcp", 0, ""),
            ("/usr/sbin/ipadm delete-addr -r net0/dhcp", 1, "Object not found"),
        ],
    );
}

#[test]
fn options_of_dladm_and_route() {
    let (_root, host, machine) = Machine::start();
    machine.network(|network| network.add_link("net0", 15));
    check(
        &machine,
        &[
            ("/usr/sbin/dladm show-phys -p -o link,media,state,speed,duplex", 0, "net0:Ethernet:up:1000:full\n"),
            ("/usr/sbin/dladm show-phys -m -p -o address", 0, "2:8:20:ab:1:f\n"),
            ("/usr/sbin/dladm show-phys -m -p -o link,address", 0, "net0:2\\:8\\:20\\:ab\\:1\\:f\n"),
            ("/usr/sbin/dladm show-linkprop -p -o value -p mtu net0", 1, WITHOUT),
            ("/usr/sbin/dladm show-linkprop -c -o link,property,value -p mtu net0", 0, "net0:mtu:1500\n"),
            // Trap 24.
            ("/usr/sbin/route -n get 192.0.2.1", 3, "not in table"),
            ("/usr/sbin/route -n -p add default 192.0.2.1", 128, "unreachable"),
            ("/usr/sbin/route -n -p delete default 192.0.2.1", 3, "not in table"),
        ],
    );
    // Trap 3: with the flag of other listings nothing would be answered, which is taken for a driver that does not tell.
    assert_eq!(dladm::possible_mtu(&host, "net0").unwrap(), Some(68..=9000));
    machine.network(|network| network.links.get_mut("net0").unwrap().tells_mtu = false);
    assert_eq!(dladm::possible_mtu(&host, "net0").unwrap(), None);
}

#[test]
fn options_of_services_and_storage() {
    let (_root, _host, machine) = Machine::start();
    machine.storage(|storage| storage.add_device("/dev/dsk/c1t0d0s0", 1 << 30, Some("ufs")));
    check(
        &machine,
        &[
            // Trap 11: two services have this name.
            ("/usr/bin/svcs -H -o state,nstate sysconfig", 1, "matches multiple"),
            ("/usr/sbin/svcadm restart sysconfig", 1, "matches multiple"),
            // Trap 7: there is no such property.
            ("/usr/bin/svcprop -p config/nameserver svc:/network/dns/client:default", 1, "Couldn't find property"),
            ("/usr/sbin/svcadm enable -q svc:/network/dns/client:default", 2, "Usage"),
            // Trap 26: `-s` is no promise.
            ("/usr/sbin/svcadm enable -s svc:/network/dns/client:default", 0, ""),
            ("/usr/bin/svcs -H -o state,nstate svc:/network/dns/client:default", 0, "offline"),
            // Trap 16.
            ("/usr/sbin/swap -l", 1, "No swap devices configured"),
            ("/usr/sbin/swap -a relative", 1, "path must be absolute"),
            // Trap 19.
            ("/usr/sbin/mount -t ufs /dev/dsk/c1t0d0s0 /etc", 2, "Usage"),
            ("/usr/sbin/mount -F 9p share /etc", 1, "9p"),
            ("/usr/sbin/mount -F ufs /dev/dsk/c1t0d0s0 /nowhere", 32, "does not exist"),
            ("/usr/sbin/mount -F ufs /dev/dsk/c1t0d0s0 /etc", 0, ""),
            ("/usr/sbin/mount -F ufs /dev/dsk/c1t0d0s0 /etc", 16, "busy"),
            ("/usr/sbin/zfs create -j rpool/data", 2, "usage"),
            ("/usr/sbin/zfs create nothing/data", 1, "cannot create 'nothing/data': no such pool"),
            ("/usr/sbin/zfs create rpool/a/b", 1, "cannot create 'rpool/a/b': parent does not exist"),
            ("/usr/sbin/zpool status -j", 2, "usage"),
        ],
    );
}
