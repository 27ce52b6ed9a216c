//! Links that other programs manage.

use crate::linux::{DHCP, STATIC, machine, shown, with_networkd};
use crate::support::Fixture;
use std::fs;
use sysconfig_platform::fake::linux::Machine;

fn write(fixture: &Fixture<Machine>, path: &str, content: &str) {
    let path = fixture.root.locate(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

#[test]
fn a_link_has_one_manager() {
    for (path, content, who) in [
        ("/run/NetworkManager/devices/2", "[device]\nmanaged=true\n", "NetworkManager"),
        ("/run/network/ifstate", "lo=lo\neth0=eth0\n", "ifupdown"),
        ("/run/dhcpcd/pid", "1\n", "dhcpcd"),
        ("/run/dhcpcd/eth0-4.pid", "1\n", "dhcpcd"),
        ("/proc/7/cmdline", "dhclient\0-4\0eth0\0", "dhclient"),
        ("/proc/7/cmdline", "busybox\0udhcpc\0-i\0eth0\0", "udhcpc"),
    ] {
        let mut fixture = machine();
        let path = fixture.root.locate(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        fs::create_dir_all(fixture.root.locate("/proc/1")).unwrap();
        if who.ends_with("dhclient") || who == "udhcpc" {
            fs::write(fixture.root.locate("/proc/7/comm"), if who == "udhcpc" { "busybox\n" } else { "dhclient\n" })
                .unwrap();
        }
        let (message, help) = fixture.fail(STATIC);
        assert!(message.contains(who), "{message}");
        assert!(!help.is_empty());
        assert_eq!(shown(&fixture), [""; 0]);
    }
}

/// Daemons that say nowhere which links they have: what they read tells it, and only while they run.
#[test]
fn links_of_wicked_and_connman_are_refused_until_they_leave_them_alone() {
    let taken = "eth0 is managed by";
    let wicked = ("7", "wickedd", "/usr/sbin/wickedd\0--systemd\0--foreground\0");
    let connman = ("7", "connmand", "/usr/sbin/connmand\0-n\0");
    let ifcfg = "/etc/sysconfig/network/ifcfg-eth0";
    let main = "/etc/connman/main.conf";
    let nothing = ("/run/none", "");
    const LEAVES_ALL: &str = "[General]\nNetworkInterfaceBlacklist=e\n";
    for (process, file, says) in [
        (wicked, (ifcfg, "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n"), Some(("wicked", "wicked ifdown eth0"))),
        (wicked, (ifcfg, "BOOTPROTO=static\n"), Some(("wicked", "STARTMODE=off"))),
        (wicked, ("/run/wicked/leaseinfo.eth0.static.ipv4", ""), Some(("wicked", "/run/wicked/leaseinfo.eth0"))),
        (wicked, (ifcfg, "STARTMODE='off' # why\n"), None),
        (wicked, ("/run/wicked/leaseinfo.eth01.dhcp.ipv4", ""), None),
        (wicked, nothing, None),
        (("7", "bash", "bash\0"), (ifcfg, "STARTMODE=auto\n"), None),
        (
            connman,
            nothing,
            Some((
                "ConnMan",
                "NetworkInterfaceBlacklist=vmnet,vboxnet,virbr,ifb,ve-,vb-,ham,veth,eth0 under [General] in /etc/connman/main.conf ",
            )),
        ),
        (
            connman,
            (main, "[General]\nNetworkInterfaceBlacklist=veth, usb\n"),
            Some(("ConnMan", "Blacklist=veth,usb,eth0 ")),
        ),
        (connman, (main, "[General]\nNetworkInterfaceBlacklist = veth,eth\n"), None),
        (("7", "connmand", "connmand\0-i\0wlan*\0"), nothing, None),
        (("7", "connmand", "connmand\0--nodevice=usb0,eth?\0"), nothing, None),
        (("7", "connmand", "connmand\0-I\0usb0\0"), nothing, Some(("ConnMan", "eth0"))),
        (("7", "connmand", "connmand\0-iwlan*\0"), nothing, None),
        (("7", "connmand", "connmand\0-n\0-Iusb0,eth0\0"), nothing, None),
        (("7", "connmand", "connmand\0-ieth0\0"), nothing, Some(("ConnMan", "eth0"))),
        (("7", "connmand", "connmand\0-c\0/etc/own.conf\0"), (main, LEAVES_ALL), Some(("ConnMan", "/etc/own.conf"))),
        (("7", "connmand", "connmand\0--config=/etc/own.conf\0"), ("/etc/own.conf", LEAVES_ALL), None),
    ] {
        let mut fixture = machine();
        let (pid, name, arguments) = process;
        let proc = format!("/proc/{pid}/");
        for (path, content) in [(proc.clone() + "comm", format!("{name}\n")), (proc + "cmdline", arguments.to_owned())]
        {
            write(&fixture, &path, &content);
        }
        write(&fixture, file.0, file.1);
        match says {
            None => {
                fixture.converge(STATIC);
            }
            Some((who, advice)) => {
                let (message, help) = fixture.fail(STATIC);
                assert!(message.starts_with(&format!("{taken} {who}")), "{message}");
                assert!(help.contains(advice), "{help}");
                assert_eq!(shown(&fixture), [""; 0], "nothing is changed");
            }
        }
    }
}

/// One that leaves the link alone frees it from no other one.
#[test]
fn one_connman_of_several_suffices() {
    let mut fixture = machine();
    for (pid, arguments) in [("7", "connmand\0-i\0wlan0\0"), ("8", "connmand\0-i\0eth0\0")] {
        write(&fixture, &format!("/proc/{pid}/comm"), "connmand\n");
        write(&fixture, &format!("/proc/{pid}/cmdline"), arguments);
    }
    let (message, _) = fixture.fail(STATIC);
    assert!(message.starts_with("eth0 is managed by ConnMan"), "{message}");
}

/// What the advice says helps.
#[test]
fn a_link_that_another_manager_leaves_alone_is_configured() {
    let mut fixture = machine();
    let write = |path: &str, content: &str| write(&fixture, path, content);
    write("/etc/dhcpcd.conf", "hostname\ndenyinterfaces eth0\n");
    write("/run/dhcpcd/pid", "1\n");
    write("/run/NetworkManager/devices/2", "[device]\nmanaged=false\n");
    write("/run/network/ifstate", "lo=lo\n");
    // A client in a container, whose link has the same name.
    write("/proc/7/comm", "dhclient\n");
    write("/proc/7/cmdline", "dhclient\0eth0\0");
    for (process, namespace) in [("self", "net:[1]"), ("7", "net:[2]")] {
        let directory = fixture.root.locate(format!("/proc/{process}/ns"));
        fs::create_dir_all(&directory).unwrap();
        std::os::unix::fs::symlink(namespace, directory.join("net")).unwrap();
    }
    fs::create_dir_all(fixture.root.locate("/proc/1")).unwrap();
    fixture.converge(STATIC);
    let (message, _) = fixture.fail(&STATIC.replace("eth0", "eth1"));
    assert!(message.starts_with("eth1 is managed by a dhcpcd"), "{message}");
    // Only what was started since then has read it.
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    fs::File::open(fixture.root.locate("/etc/dhcpcd.conf")).unwrap().set_modified(later).unwrap();
    let (message, help) = fixture.fail(STATIC);
    assert!(message.starts_with("eth0 is managed by a dhcpcd") && help.contains("started again"), "{message}: {help}");
}

/// With our file in the place of that one, the VLAN would not be made at the next boot.
#[test]
fn a_file_that_makes_other_links_is_not_replaced() {
    let mut fixture = with_networkd();
    let write = |path: &str, content: &str| write(&fixture, path, content);
    let index = fixture.machine.network(|network| network.links[0].index);
    write(
        &format!("/run/systemd/netif/links/{index}"),
        "ADMIN_STATE=configured\nNETWORK_FILE=/run/systemd/network/10-netplan-eth0.network\n\
         NETWORK_FILE_DROPINS=\"/etc/systemd/network/10-netplan-eth0.network.d/vlan.conf\"\n",
    );
    write("/run/systemd/network/10-netplan-eth0.network", "[Match]\nName=eth0\n\n[Network]\nDHCP=ipv4\n");
    write("/etc/systemd/network/10-netplan-eth0.network.d/vlan.conf", "[Network]\nVLAN = vlan10\n");
    let beside = "/etc/systemd/network/05-sysconfig-eth0.network.d/links.conf";
    let (message, help) = fixture.fail(DHCP);
    assert_eq!(
        message,
        "/etc/systemd/network/10-netplan-eth0.network.d/vlan.conf says VLAN=vlan10 of eth0, and the file of sysconfig would \
         take its place"
    );
    assert_eq!(help, format!("write [Network] and VLAN=vlan10 into {beside}, and apply again"));
    let path = fixture.root.locate(beside);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "[Network]\nVLAN=vlan10\n").unwrap();
    fixture.converge(DHCP);
}
