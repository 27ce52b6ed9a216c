//! `tests/on-illumos.sh`, which looks at a real guest, in an imagined one: that it finds what is wrong, and that
//! `docs/illumos-status.md` names what it looks at.

use std::collections::BTreeSet;

use crate::guest::{Guest, with_each_shell};

const SCRIPT: &str = "../../../../tests/on-illumos.sh";
const STATUS: &str = include_str!("../../../../../docs/illumos-status.md");

/// A guest in which everything is as it should be.
fn healthy(guest: &Guest) {
    for (name, says) in [
        ("uname", "SunOS"),
        ("zpool", "rpool is healthy"),
        ("beadm", "openindiana;uuid;NR;/;1;static;1"),
        ("bootadm", "the location for the active menu: rpool/ROOT/openindiana"),
        ("modinfo", " 90 vioblk (VirtIO block driver)\n 91 vio9p (VIRTIO 9P driver)"),
        ("prtconf", "name='ttya-mode' value='115200,8,n,1,-'"),
        ("ipadm", "vioif0/v4 dhcp ok 10.0.2.15/24"),
        ("hostname", "dev"),
        ("smbios", "  io.systemd.credential.binary:ssh.authorized_keys.root=x"),
        ("svccfg", ""),
        ("svcadm", ""),
    ] {
        guest.command(name, &format!("cat <<'END'\n{says}\nEND"));
    }
    guest.command("svcs", "case $1 in -x) ;; *) echo 'online         -' ;; esac");
    guest.command("sysconfigctl", "echo \"dns running $REPO/sysconfig/target/release/sysconfig-plugin-dns\"");
    // Each wait is a round of the mirror.
    guest.write("bin/sleep", "#!/bin/sh\necho round >>\"$REPO/.ninep-mirror/stamp\"\n");
    guest.program("usr/lib/ninep-mirror", "echo 'busy: held by another process' >&2; exit 3");
    guest.write("repo/.ninep-mirror/stamp", "");
    guest.write("repo/sysconfig/Cargo.toml", "");
    guest.write("dev/9p/0", "");
    guest.write("etc/shadow", "");
    guest.write("etc/sysconfig.d/10-dev.toml", "");
    guest.write("etc/passwd", &format!("root:x:0:0::{}:/bin/sh\n", guest.path("root").display()));
    guest.write("root/.ssh/authorized_keys", "ssh-ed25519 AAAA dev-vm\n");
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
        let named: BTreeSet<_> = STATUS
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|word| ["boot-", "smf-", "share-", "daemon-", "ssh-"].iter().any(|kind| word.starts_with(kind)))
            .map(str::to_owned)
            .collect();
        assert_eq!(claims(&said, "ok"), named, "what is looked at, and what docs/illumos-status.md says is looked at");
    });
}

#[test]
fn what_does_not_hold_is_found() {
    with_each_guest(|guest| {
        for (break_it, expected) in [
            ("bin/zpool", "boot-scrub"),
            ("bin/modinfo", "share-driver"),
            ("bin/prtconf", "boot-console-speed"),
            ("bin/hostname", "daemon-hostname"),
        ] {
            guest.write(break_it, "#!/bin/sh\necho something else\n");
            let (code, said) = guest.run(&[]);
            assert!(code == Some(1) && claims(&said, "FAIL").contains(expected), "{break_it}: {said}");
            healthy(guest);
        }
        guest.command("svcs", "case $1 in -x) echo 'svc:/a:b' ;; *) echo 'maintenance    -' ;; esac");
        guest.program("usr/lib/ninep-mirror", "exit 0");
        let (_, said) = guest.run(&[]);
        let failed = claims(&said, "FAIL");
        for expected in ["smf-nothing-broken", "smf-share", "smf-daemon", "smf-refused-refresh", "share-exclusive"] {
            assert!(failed.contains(expected), "{expected}: {said}");
        }
        assert!(!guest.path("etc/sysconfig.d/99-on-illumos.toml").exists(), "it leaves nothing");
    });
}

#[test]
fn another_system_is_no_place_to_look() {
    with_each_guest(|guest| {
        guest.command("uname", "echo Linux");
        assert_eq!(guest.run(&[]), (Some(2), "on-illumos.sh: this is Linux, and no illumos\n".to_owned()));
    });
}
