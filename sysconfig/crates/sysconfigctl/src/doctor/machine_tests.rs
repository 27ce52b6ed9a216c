use super::*;

/// What a machine where all is well says, with something else instead of some of it.
fn illumos_with(others: &[(&str, &str)]) -> Vec<Check> {
    let well = [
        ("uname -a", "SunOS dev 5.11 illumos-1 i86pc i386 i86pc"),
        ("prtconf", "System Configuration:  Oracle Corporation  i86pc\nMemory size: 2048 Megabytes\n"),
        ("prtconf -d", "pci1af4,9 (pciex1af4,1009) [Red Hat Virtio 9p] (driver name: vio9p)"),
        ("modinfo", " 97 fffffffff8 2f8 226 1 vio9p (virtio 9p driver)"),
        ("ls /dev/9p", "0"),
        (
            "svcs -d -H -o state,fmri svc:/system/installer/sysconfig:default",
            "online         svc:/system/dev-9p-mount:default\ndisabled       svc:/network/nis/client:default",
        ),
        ("svcs -L svc:/system/installer/sysconfig:default", "/var/svc/log/system-installer-sysconfig:default.log"),
        ("dladm show-phys -p -o link,state", "vioif0:up"),
        (
            "ipadm show-addr -p -o addrobj,state,addr",
            "lo0/v4:ok:127.0.0.1/8\nvioif0/dhcp:ok:10.0.2.15/24\nvioif0/v6:ok:fe80\\:\\:1/10",
        ),
        ("zpool status -x", "all pools are healthy"),
        ("zfs list -Hp -d 0 -o name,used,avail", "rpool\t3221225472\t10737418240\ntank\t98304\t41943040"),
        ("svcs -x", ""),
    ];
    let say = |program: &str, arguments: &[&str]| {
        let command = [&[program.rsplit('/').next().unwrap()], arguments].concat().join(" ");
        let all = others.iter().chain(&well);
        let said = all.into_iter().find(|(known, _)| *known == command);
        let (_, text) = said.filter(|(_, text)| *text != "-")?;
        Some((*text).to_owned())
    };
    illumos(&say)
}

#[test]
fn a_machine_where_all_is_well() {
    let checks = illumos_with(&[]);
    assert!(checks.iter().all(|check| check.verdict == Verdict::Fine), "{checks:#?}");
    assert_eq!(checks.len(), 10);
    let found = |what: &str| checks.iter().find(|check| check.what == what).unwrap().found.clone();
    assert_eq!(found("addresses"), "vioif0/dhcp 10.0.2.15/24, vioif0/v6 fe80::1/10");
    assert_eq!(found("memory"), "2048 Megabytes");
    assert_eq!(found("room in pools"), "rpool 3072 MiB used, 10240 MiB free, tank 0 MiB used, 40 MiB free");
}

/// Each row of the troubleshooting list: what is said instead, the check that finds it, and words of what it says.
#[test]
fn what_is_wrong_is_found_and_can_be_mended() {
    const DEPENDENCIES: &str = "svcs -d -H -o state,fmri svc:/system/installer/sysconfig:default";
    type Case = (&'static [(&'static str, &'static str)], &'static str, Verdict, &'static str, &'static str);
    let cases: &[Case] = &[
        (&[("prtconf -d", "pci1af4,1")], "device of the share", Verdict::Odd, "has none", "--no-share"),
        (
            &[("modinfo", ""), ("pkg list -H driver/storage/vio9p", "driver/storage/vio9p 0.5.11 i--")],
            "device of the share",
            Verdict::Wrong,
            "not loaded",
            "devfsadm -i vio9p",
        ),
        (
            &[("modinfo", ""), ("pkg list -H driver/storage/vio9p", "")],
            "device of the share",
            Verdict::Wrong,
            "not installed",
            "pkg install driver/storage/vio9p",
        ),
        (
            &[("zfs list -Hp -d 0 -o name,used,avail", "rpool\t10737418240\t1048576")],
            "room in pools",
            Verdict::Wrong,
            "1 MiB free",
            "zfs list -o space",
        ),
        (&[("ls /dev/9p", "")], "device of the share", Verdict::Wrong, "/dev/9p is empty", "devfsadm"),
        (
            &[(
                DEPENDENCIES,
                "online  svc:/a:default\nmaintenance    svc:/system/dev-9p-mount:default\noffline* svc:/b:default",
            )],
            "what the daemon's service needs",
            Verdict::Wrong,
            "svc:/system/dev-9p-mount:default is maintenance\nsvc:/b:default is offline*",
            "svcs -xv",
        ),
        (&[("dladm show-phys -p -o link,state", "vioif0:down")], "links", Verdict::Odd, "none is up", ""),
        (
            &[("ipadm show-addr -p -o addrobj,state,addr", "vioif0/dhcp:duplicate:10.0.2.15/24")],
            "addresses",
            Verdict::Odd,
            "vioif0/dhcp 10.0.2.15/24 is duplicate",
            "ipadm show-addr",
        ),
        (
            &[("ipadm show-addr -p -o addrobj,state,addr", "lo0/v4:ok:127.0.0.1/8")],
            "addresses",
            Verdict::Odd,
            "none but the loopback's",
            "",
        ),
        (
            &[("zpool status -x", "  pool: rpool\n state: DEGRADED")],
            "pools",
            Verdict::Wrong,
            "DEGRADED",
            "zpool status -v",
        ),
        (
            &[("svcs -x", "svc:/network/ssh:default (SSH server)\n State: maintenance since Fri\nReason: it failed")],
            "services",
            Verdict::Odd,
            "svc:/network/ssh:default (SSH server)",
            "svcs -xv",
        ),
    ];
    for (others, what, verdict, found, help) in cases {
        let checks = illumos_with(others);
        let check = checks.iter().find(|check| check.what == *what).unwrap();
        assert_eq!(check.verdict, *verdict, "{others:?}: {check:?}");
        assert!(check.found.contains(found), "{check:?}");
        assert!(check.help.as_deref().unwrap_or_default().contains(help), "{check:?}");
        let others: Vec<_> = checks.iter().filter(|check| check.what != *what).collect();
        assert!(others.iter().all(|check| check.verdict == Verdict::Fine), "{others:?}");
    }
}

#[test]
fn programs_that_are_not_there_are_passed_over() {
    assert_eq!(illumos(&|_, _| None), []);
    assert!(linux(&|_, _| None).iter().all(|check| check.what == "memory"));
}

#[test]
fn what_linux_says() {
    let say = |program: &str, arguments: &[&str]| match (program, arguments[0]) {
        ("ip", _) => Some(
            "2: eth0    inet 10.0.2.15/24 brd 10.0.2.255 scope global dynamic eth0\\       valid_lft 86353sec\n\
            2: eth0    inet6 fec0::1/64 scope site dadfailed tentative \\       valid_lft forever"
                .to_owned(),
        ),
        ("systemctl", _) => Some("ssh.service loaded failed failed OpenBSD Secure Shell server".to_owned()),
        _ => None,
    };
    let checks = linux(&say);
    let found = |what: &str| checks.iter().find(|check| check.what == what).unwrap();
    assert_eq!(found("addresses").found, "eth0 fec0::1/64 is tentative");
    assert_eq!(found("services").verdict, Verdict::Odd);
    assert!(found("services").found.starts_with("ssh.service"));
}

#[test]
fn the_daemon_of_the_checkout_is_tried() {
    let runs = built_daemon(&|_, _| Some("{\"version\":\"0.1.0\",\"protocol\":1}".to_owned())).unwrap();
    assert_eq!(runs.verdict, Verdict::Fine);
    for said in [None, Some(String::new()), Some("exec format error".to_owned())] {
        assert_eq!(built_daemon(&|_, _| said.clone()).unwrap().verdict, Verdict::Wrong, "{said:?}");
    }
}
