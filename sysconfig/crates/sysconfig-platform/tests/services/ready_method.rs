//! The method of `svc:/system/dev-ready`.

use std::os::unix::fs::PermissionsExt;

use crate::guest::{Guest, with_each_shell};

/// `printf 'ssh-ed25519 AAAA dev-vm\n' | base64`
const ENCODED: &str = "c3NoLWVkMjU1MTkgQUFBQSBkZXYtdm0K";

fn with_each_guest(test: impl Fn(&Guest)) {
    with_each_shell("openindiana/dev-ready", |guest| {
        let home = guest.path("root").display().to_string();
        guest.write("etc/passwd", &format!("daemon:x:1:1::/:\nroot:x:0:0:Super-User:{home}:/usr/bin/bash\n"));
        guest.program("usr/lib/dev-ready", "");
        test(guest);
    });
}

/// As `smbios -t 11` prints.
fn firmware(guest: &Guest, string: &str) {
    let table =
        format!("cat <<END\nID    SIZE TYPE\n3     96   SMB_TYPE_OEMSTR (type 11) (OEM strings)\n\n  {string}\nEND");
    guest.program("usr/sbin/smbios", &table);
}

#[test]
fn the_machines_key_is_let_in_once() {
    with_each_guest(|guest| {
        firmware(guest, &format!("io.systemd.credential.binary:ssh.authorized_keys.root={ENCODED}"));
        let said = "dev-ready: the machine's key may log in as root\n".to_owned();
        assert_eq!(guest.run(&[]), (Some(0), said));
        assert_eq!(guest.run(&[]), (Some(0), String::new()));
        assert_eq!(guest.text("root/.ssh/authorized_keys"), "ssh-ed25519 AAAA dev-vm\n");
        for (path, mode) in [("root/.ssh", 0o700), ("root/.ssh/authorized_keys", 0o600)] {
            let found = guest.path(path).metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{path}");
        }
        assert_eq!(guest.log(), "smbios -t 11\ndev-ready\n".repeat(2));
    });
}

#[test]
fn keys_that_are_there_stay() {
    with_each_guest(|guest| {
        firmware(guest, &format!("io.systemd.credential.binary:ssh.authorized_keys.root={ENCODED}"));
        // Also where an editor has left the last line without an end.
        for mine in ["ssh-rsa BBBB mine\n", "ssh-rsa BBBB mine"] {
            guest.write("root/.ssh/authorized_keys", mine);
            assert_eq!(guest.run(&[]).0, Some(0));
            assert_eq!(guest.text("root/.ssh/authorized_keys"), "ssh-rsa BBBB mine\nssh-ed25519 AAAA dev-vm\n");
        }
        guest.write("root/.ssh/authorized_keys", "ssh-ed25519 AAAA dev-vm");
        assert_eq!(guest.run(&[]), (Some(0), String::new()), "it is there");
    });
}

/// bhyve passes no strings, and a machine without tables has no `smbios` that answers.
#[test]
fn without_a_key_the_guest_is_ready_all_the_same() {
    with_each_guest(|guest| {
        let no_key = "dev-ready: no key was passed; log in on the console\n";
        guest.program("usr/sbin/smbios", "echo 'smbios: failed to load SMBIOS' >&2; exit 1");
        assert_eq!(guest.run(&[]), (Some(0), no_key.to_owned()));
        firmware(guest, "To be filled by O.E.M.");
        assert_eq!(guest.run(&[]), (Some(0), no_key.to_owned()));
        // `printf 'rm -rf\n' | base64`
        firmware(guest, "io.systemd.credential.binary:ssh.authorized_keys.root=cm0gLXJmCg==");
        assert_eq!(guest.run(&[]), (Some(0), "dev-ready: what the firmware's tables hold is no key\n".to_owned()));
        assert_eq!(guest.text("root/.ssh/authorized_keys"), "");
        assert_eq!(guest.log(), "smbios -t 11\ndev-ready\n".repeat(3));
    });
}
