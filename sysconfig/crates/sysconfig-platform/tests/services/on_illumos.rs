//! `tests/on-illumos.sh`, which looks at a real guest, in an imagined one: that it finds what is wrong, and that
//! `docs/illumos-status.md` names what it looks at.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use crate::guest::{Guest, with_each_shell, with_one_shell};

const SCRIPT: &str = "../../../../tests/on-illumos.sh";
const STATUS: &str = include_str!("../../../../../docs/illumos-status.md");

/// What `svcadm` does: each restart gives another contract, a refreshed mirror makes a round, and a refreshed daemon takes
/// what its extra file says. DIR is the guest.
const SVCADM: &str = r#"
extra=DIR/etc/sysconfig.d/99-on-illumos.toml
case $1-$2 in
restart-*) echo again >>DIR/restarts ;;
refresh-*dev-9p-mount*) echo round >>DIR/repo/.ninep-mirror/stamp ;;
refresh-*sysconfig*)
    : >DIR/rejected
    [ -f "$extra" ] || exit 0
    if grep 'no = .toml' "$extra" >/dev/null; then
        echo "The configuration files cannot be used: $extra:1: no table" >DIR/rejected
    elif grep 'storage.pool' "$extra" >/dev/null; then
        echo ONLINE >DIR/pool
        echo /dev/zvol/dsk/rpool/on-illumos | tee DIR/volume >DIR/swap
        echo "swap DIR/var/tmp/on-illumos/mount tmpfs rw 0" >>DIR/etc/mnttab
    elif grep 'swap = ..$' "$extra" >/dev/null; then
        : >DIR/swap
        echo 'rpool/ROOT/be / zfs rw 0' >DIR/etc/mnttab
    fi
    ;;
esac
"#;

/// The process of a plugin is another one when its file is. By the time that somebody looks again, a mirror that goes on
/// has put back what the host has.
const SYSCONFIGCTL: &str = r#"
case $1 in
plugins)
    file=DIR/repo/sysconfig/target/release/sysconfig-plugin-dns
    set -- $(cksum "$file")
    echo "NAME  STATE    VERSION  BUILD  PID  CLAIMS       FILE"
    echo "dns   running  0.1.0    abc    $1   network.dns  $file"
    [ -e DIR/stands ] || cp DIR/built "$file"
    ;;
config) echo "FILE: faulty, say the plugins: this machine has no link nosuch0" ;;
status) cat DIR/rejected ;;
esac
"#;

const ZPOOL: &str = r#"
case $* in
"list on-illumos") [ -s DIR/pool ] ;;
*autoexpand*) echo on ;;
*expandsize*) echo - ;;
*health*) cat DIR/pool ;;
destroy*) : >DIR/pool ;;
*) echo 'rpool is healthy' ;;
esac
"#;

const SVCS: &str = "case $* in -x) ;; *ctid*) wc -l <DIR/restarts ;; *) echo 'online         -' ;; esac";

/// A guest in which everything is as it should be.
fn healthy(guest: &Guest) {
    let directory = guest.path("").display().to_string();
    let directory = directory.trim_end_matches('/');
    for (name, says) in [
        ("uname", "SunOS"),
        ("beadm", "openindiana;uuid;NR;/;1;static;1"),
        ("bootadm", "the location for the active menu: rpool/ROOT/openindiana"),
        ("modinfo", " 90 vioblk (VirtIO block driver)\n 91 vio9p (VIRTIO 9P driver)"),
        ("stty", "speed 115200 baud; rows = 24; columns = 80;"),
        ("ipadm", "static:ok\ndhcp:ok"),
        ("route", "   route to: default\n    gateway: 10.0.2.2"),
        (
            "netstat",
            "\nIRE Table: IPv4\ndefault              0.0.0.0         10.0.2.2             vioif0  1500     0   2 UG       0      0 ",
        ),
        ("dhcpinfo", "10.0.2.3"),
        ("hostname", "dev"),
        ("smbios", "  io.systemd.credential.binary:ssh.authorized_keys.root=x"),
        ("svccfg", ""),
        ("mkfile", ""),
    ] {
        guest.command(name, &format!("cat <<'END'\n{says}\nEND"));
    }
    for (name, body) in [
        ("svcadm", SVCADM),
        ("svcs", SVCS),
        ("sysconfigctl", SYSCONFIGCTL),
        ("zpool", ZPOOL),
        ("zfs", "case $1 in list) [ -s DIR/volume ] ;; destroy) : >DIR/volume ;; esac"),
        ("swap", "cat DIR/swap"),
        ("pgrep", "[ \"$*\" = '-x ninep-mirror' ] && echo 4711"),
        ("pstop", "[ \"$*\" = 4711 ] && : >DIR/stands"),
        ("prun", "[ \"$*\" = 4711 ] && rm DIR/stands"),
        ("su", "echo 'the daemon refuses: user 1 may not administer this system'; exit 1"),
    ] {
        guest.command(name, &body.replace("DIR", directory));
    }
    // Each wait is a round of the mirror.
    guest.write("bin/sleep", "#!/bin/sh\necho round >>\"$REPO/.ninep-mirror/stamp\"\n");
    guest.program("usr/lib/ninep-mirror", "echo '/dev/9p/0 is busy: another program holds it' >&2; exit 3");
    for (path, content) in [
        ("repo/.ninep-mirror/stamp", "round\n"),
        ("repo/sysconfig/Cargo.toml", ""),
        ("repo/sysconfig/target/release/sysconfig-plugin-dns", "a build"),
        ("built", "a build"),
        ("restarts", "once\n"),
        ("rejected", ""),
        ("swap", ""),
        ("pool", ""),
        ("volume", ""),
        ("dev/9p/0", ""),
        ("dev/console", ""),
        ("etc/shadow", ""),
        ("etc/svc/repository.db", ""),
        ("etc/sysconfig.d/10-dev.toml", ""),
        ("etc/resolv.conf", "nameserver 10.0.2.3\n"),
        ("etc/nsswitch.conf", "hosts: files dns\n"),
        ("var/run/sysconfig/sysconfig.sock", ""),
        ("root/.ssh/authorized_keys", "ssh-ed25519 AAAA dev-vm\n"),
    ] {
        guest.write(path, content);
    }
    let private = PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(guest.path("etc/svc/repository.db"), private).expect("a file of ours");
    guest.write("etc/passwd", &format!("root:x:0:0::{directory}/root:/bin/sh\n"));
}

fn with_each_guest(test: impl Fn(&Guest)) {
    with_each_shell(SCRIPT, |guest| {
        healthy(guest);
        test(guest);
    });
}

/// The names of what the script looked at, by what it said of them.
fn claims(said: &str, verdict: &str) -> BTreeSet<String> {
    let lines = said.lines().filter_map(|line| line.trim_start().strip_prefix(verdict));
    lines.map(|line| line.trim_start().split([':', ' ']).next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_healthy_guest_holds_every_claim_that_the_status_names() {
    with_each_guest(|guest| {
        let (code, said) = guest.run(&[]);
        assert_eq!((code, claims(&said, "FAIL")), (Some(0), BTreeSet::new()), "{said}");
        assert!(!guest.path("stands").exists(), "the mirror goes on");
        let named: BTreeSet<_> = STATUS
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|word| {
                ["boot-", "smf-", "share-", "daemon-", "storage-", "ssh-"].iter().any(|kind| word.starts_with(kind))
            })
            .map(str::to_owned)
            .collect();
        assert_eq!(claims(&said, "ok"), named, "what is looked at, and what docs/illumos-status.md says is looked at");
    });
}

/// The files that are not those of a healthy guest, and the claims that do not hold then.
#[test]
fn what_does_not_hold_is_found() {
    let says = |says: &str| format!("#!/bin/sh\necho '{says}'\n");
    let cases: [(&str, String, &[&str]); 21] = [
        (
            "bin/zpool",
            "#!/bin/sh\n[ \"$*\" != 'list on-illumos' ] || exit 1\necho something else\n".to_owned(),
            &["boot-scrub", "boot-autoexpand", "storage-pool"],
        ),
        ("bin/modinfo", says("something else"), &["boot-drivers", "share-driver"]),
        ("bin/stty", says("speed 9600 baud;"), &["boot-console-speed"]),
        ("bin/hostname", says("unknown"), &["daemon-hostname"]),
        ("etc/svc/repository.db", "for everybody".to_owned(), &["smf-repository"]),
        ("bin/ipadm", says("dhcp:inaccessible"), &["daemon-network"]),
        ("bin/route", says("not in table"), &["daemon-route"]),
        ("bin/netstat", says("default 0.0.0.0 10.0.2.15 vioif0 0 0 1 U 0 0"), &["daemon-route-table"]),
        ("bin/dhcpinfo", says(""), &["daemon-lease"]),
        ("etc/resolv.conf", "nameserver 10.0.2.30\n".to_owned(), &["daemon-dns"]),
        ("etc/nsswitch.conf", "hosts: files\n".to_owned(), &["daemon-name-service"]),
        ("bin/su", says("pong"), &["daemon-peer-credentials"]),
        // A restart that starts nothing anew, a refresh that nobody hears.
        (
            "bin/svcadm",
            says(""),
            &["smf-restart-share", "smf-restart-daemon", "smf-refused-refresh", "storage-swap", "storage-mount"],
        ),
        (
            "bin/svcs",
            says("maintenance    -"),
            &["smf-nothing-broken", "smf-share", "smf-daemon", "smf-restart-daemon"],
        ),
        ("bin/swap", says("/dev/zvol/dsk/rpool/on-illumos"), &["storage-released"]),
        ("bin/mkfile", "#!/bin/sh\nexit 1\n".to_owned(), &["storage-configured"]),
        ("usr/lib/ninep-mirror", "#!/bin/sh\nexit 0\n".to_owned(), &["share-exclusive"]),
        ("usr/lib/ninep-mirror", "#!/bin/sh\necho 'there is no device'\nexit 3\n".to_owned(), &["share-exclusive"]),
        ("bin/sleep", "#!/bin/sh\n".to_owned(), &["share-fresh"]),
        ("bin/pstop", "#!/bin/sh\necho 'pstop: permission denied'\nexit 1\n".to_owned(), &["daemon-hot-reload"]),
        (
            "bin/sysconfigctl",
            "#!/bin/sh\necho dns running 0.1 abc 77 network.dns $REPO/sysconfig/target/release/sysconfig-plugin-dns\n"
                .to_owned(),
            &["daemon-hot-reload", "daemon-config-check"],
        ),
    ];
    with_one_shell(SCRIPT, |guest| {
        healthy(guest);
        for (path, content, expected) in &cases {
            guest.write(path, content);
            let (code, said) = guest.run(&[]);
            let failed = claims(&said, "FAIL");
            assert!(
                code == Some(1) && expected.iter().all(|name| failed.contains(*name)),
                "{path}, {expected:?}: {said}"
            );
            if *path != "bin/zpool" {
                assert_eq!(
                    (guest.text("pool"), guest.text("volume")),
                    (String::new(), String::new()),
                    "{path}: it leaves"
                );
            }
            healthy(guest);
            for left in ["etc/sysconfig.d/99-on-illumos.toml", "var/tmp/on-illumos"] {
                assert!(!guest.path(left).exists(), "{path}: it leaves {left}");
            }
        }
    });
}

/// A refresh that ends the process, which then comes back, is no refresh.
#[test]
fn a_refresh_that_restarts_is_found() {
    with_each_guest(|guest| {
        let restarts = guest.path("restarts").display().to_string();
        let body = SVCADM.replace("DIR", guest.path("").display().to_string().trim_end_matches('/'));
        guest.command("svcadm", &format!("echo again >>{restarts}\n{body}"));
        let failed = claims(&guest.run(&[]).1, "FAIL");
        for name in ["smf-refresh-share", "smf-refused-refresh"] {
            assert!(failed.contains(name), "{name}: {failed:?}");
        }
    });
}

#[test]
fn another_system_is_no_place_to_look() {
    with_each_guest(|guest| {
        guest.command("uname", "echo Linux");
        assert_eq!(guest.run(&[]), (Some(2), "on-illumos.sh: this is Linux, and no illumos\n".to_owned()));
    });
}
