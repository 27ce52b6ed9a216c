//! Files on servers: whoever looks at one whose server is away waits for it for ever, and nothing else of swap is seen to.

use crate::support::{Fixture, linux, summaries};

const HERE: &str = "[[storage.swap]]\nfile = \"/var/swap\"\nsize = \"64 MiB\"\n";
const AWAY: &str =
    "/mnt/server/swap alone: cannot look at /mnt/server/swap: it lies in /mnt/server, and server:/x does not answer";

fn there(path: &str) -> String {
    format!("[[storage.swap]]\nfile = \"{path}\"\nsize = \"64 MiB\"\n")
}

/// A machine with a server that has gone away.
fn machine() -> Fixture {
    let fixture = linux();
    fixture.machine.storage(|storage| {
        storage.add_mount("server:/x", "/mnt/server", "nfs", &[]);
        storage.away.insert("server:/x".to_owned());
    });
    std::os::unix::fs::symlink("/mnt/server", fixture.host.root.locate("/data")).unwrap();
    fixture
}

#[test]
fn a_file_on_a_server_that_is_away_keeps_no_other_area_waiting() {
    let mut fixture = machine();
    // By a link, too, and one that is to be destroyed.
    let absent = "[[storage.swap]]\nfile = \"/mnt/server/old\"\nabsent = true\nallow-destructive = true\n";
    let text = format!("{}{HERE}{}{absent}", there("/mnt/server/swap"), there("/data/swap"));
    let (message, help) = fixture.fail(&text);
    assert!(message.contains("/mnt/server/swap was left alone") && help.contains("bring its server back"), "{message}");
    assert_eq!(fixture.used(), ["/var/swap 64"]);
    let left = fixture.plan(&text);
    let left = summaries(&left);
    assert_eq!(left.len(), 3, "{left:?}");
    assert_eq!(left[0], format!("leave {AWAY}"));
    assert!(left.iter().all(|step| step.contains("server:/x does not answer")), "{left:?}");
    let asked = fixture.machine.commands().into_iter().filter(|line| line.contains("ls -d")).count();
    assert_eq!(asked, 2, "once in each of two looks, whatever lies there");
}

/// Neither is it taken out of use when it leaves the configuration: that waits for the server as well.
#[test]
fn what_was_in_use_on_a_server_that_is_away_is_told_and_its_row_goes() {
    let mut fixture = machine();
    let record = "{\"areas\":{\"/mnt/server/swap\":{\"made\":true,\"row\":true,\"used\":true}}}";
    std::fs::create_dir_all(fixture.host.root.locate("/var/lib/sysconfig")).unwrap();
    std::fs::write(fixture.host.root.locate("/var/lib/sysconfig/swap.json"), record).unwrap();
    fixture.machine.storage(|storage| storage.add_row("/mnt/server/swap none swap sw 0 0\n"));
    let steps = fixture.plan("[storage]\nswap = []\n");
    let expected = ["no longer use /mnt/server/swap at boot".to_owned(), format!("leave {AWAY}")];
    assert_eq!(summaries(&steps), expected);
    fixture.harness.apply(&steps[0]).unwrap();
    assert!(!fixture.read("/etc/fstab").contains("/mnt/server"));
}

#[test]
fn a_file_on_another_machine_is_no_swap_even_when_it_answers() {
    for fstype in ["nfs4", "cifs", "fuse.sshfs", "ceph"] {
        let mut fixture = linux();
        fixture.machine.storage(|storage| storage.add_mount("server:/x", "/mnt/server", fstype, &[]));
        let steps = fixture.plan(&there("/mnt/server/swap"));
        assert_eq!(summaries(&steps), [format!("leave /mnt/server/swap alone: it lies on {fstype}")]);
    }
}
