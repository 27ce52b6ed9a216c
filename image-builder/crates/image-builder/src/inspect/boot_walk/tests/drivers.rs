//! The tables of drivers, and what the packages say of them.

use super::super::files::Files;
use super::root::{MANIFEST, Root};
use crate::inspect::findings::Findings;

/// What the packages say of drivers, and nobody has put into the tables.
#[test]
fn drivers_of_packages_that_the_tables_lack_are_told() {
    let mut root = Root::whole();
    root.packages(
        "set name=pkg.summary value=virtio\n\
         driver name=vioblk alias=pci1af4,1001 \\\n    perms=\"* 0666 root sys\" \\\n    clone_perms=\"vioblk 0666 root sys\"\n\
         driver name=vio9p class=9p variant.arch=i386\n\
         driver name=gone variant.arch=sparc\n",
    );
    root.file("/etc/minor_perm", "# who may\nvioblk:* 0666 root sys\nclone:vioblk 0666 root sys\n");
    root.file("/etc/driver_classes", "pci pci\nvio9p 9p\n");
    let found = root.found();
    assert_eq!(found.bad, [""; 0]);
    assert!(found.good.iter().any(|good| good == "boot: all 2 drivers of the packages are in the tables"), "{found:?}");
    let package = "boot: driver/network/vioif@0.5.11";
    for (path, content, expected) in [
        ("/etc/driver_aliases", "", "/etc/driver_aliases has no line `vioblk \"pci1af4,1001\"` for its driver vioblk"),
        ("/etc/driver_classes", "pci pci\n", "/etc/driver_classes has no line `vio9p 9p` for its driver vio9p"),
        (
            "/etc/minor_perm",
            "vioblk:a 0666 root sys\nclone:vioblk 0666 root sys\n",
            "/etc/minor_perm has no line `vioblk:* 0666 root sys` for its driver vioblk",
        ),
        (
            "/etc/minor_perm",
            "vioblk:* 0666 root sys\n",
            "/etc/minor_perm has no line `clone:vioblk 0666 root sys` for its driver vioblk",
        ),
    ] {
        let before = root.text(path).expect("read").expect("there");
        root.file(path, content);
        root.archive();
        let bad = root.found().bad;
        assert_eq!(bad.len(), 1, "{bad:?}");
        assert!(bad[0].starts_with(package) && bad[0].ends_with(expected), "{bad:?}");
        root.file(path, before);
    }
    root.file(MANIFEST, "driver name=vioif\n");
    root.archive();
    let bad = root.found().bad;
    assert!(
        bad[0].ends_with("its driver vioif has no number in /etc/name_to_major, so the kernel does not know it"),
        "{bad:?}"
    );
    // What cannot be compared is said, and is no damage.
    root.file(MANIFEST, "driver name=vioblk\ndriver name=\"vio9p\n");
    let found = root.found();
    assert!(
        found.bad.is_empty() && !found.good.iter().any(|good| good.contains("drivers of the packages")),
        "{found:?}"
    );
    assert!(found.unread[0].contains(MANIFEST) && found.unread[0].contains(": line 2, column "), "{found:?}");
    root.0.remove(MANIFEST);
    let found = root.found();
    assert!(found.bad.is_empty() && found.unread[0].contains(MANIFEST), "{found:?}");
}

/// Template steps and administrators change such lines, and no boot needs them.
#[test]
fn what_the_tables_say_otherwise_of_a_driver_is_told_and_no_fault() {
    let mut root = Root::whole();
    root.packages(
        "driver name=vioblk perms=\"* 0666 root sys\" clone_perms=\"0666 root sys\" privs=sys_net_config \\\n\
         devlink=\"type=ddi_pseudo;name=vioblk\\tvioblk\" policy=\"read_priv_set=all\" policy=\"ctl write_priv_set=all\"\n",
    );
    let whole = [
        ("/etc/minor_perm", "clone:vioblk 0666 root sys\nvioblk:* 0666 root sys\n"),
        ("/etc/devlink.tab", "# links\ntype=ddi_pseudo;name=vioblk\tvioblk\n"),
        ("/etc/security/extra_privs", "vioblk:sys_net_config\n"),
        (
            "/etc/security/device_policy",
            "*\tread_priv_set=none\nvioblk\tread_priv_set=all\nvioblk:ctl write_priv_set=all\n",
        ),
    ];
    whole.iter().for_each(|(path, text)| root.file(path, *text));
    let told = |root: &Root| {
        let Findings { good, bad, .. } = root.found();
        assert_eq!(bad, [""; 0]);
        assert!(good.contains(&"boot: all 1 drivers of the packages are in the tables".to_owned()), "{good:?}");
        good.into_iter()
            .filter_map(|good| Some(good.strip_prefix("boot: driver/network/vioif@0.5.11-1: ")?.to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&root), [""; 0]);
    for (path, content, expected) in [
        (
            "/etc/minor_perm",
            "vioblk:* 0600 root sys\nclone:vioblk 0666 root sys\n",
            "/etc/minor_perm has `vioblk:* 0600 root sys` for its driver vioblk, and not `vioblk:* 0666 root sys`",
        ),
        (
            "/etc/minor_perm",
            "vioblk:* 0666 root sys\nclone:vioblk 0666 root net\n",
            "/etc/minor_perm has `clone:vioblk 0666 root net` for its driver vioblk, and not `clone:vioblk 0666 root sys`",
        ),
        (
            "/etc/devlink.tab",
            "",
            "/etc/devlink.tab has no line `type=ddi_pseudo;name=vioblk vioblk` for its driver vioblk",
        ),
        (
            "/etc/security/extra_privs",
            "vioblk:sys_mount\n",
            "/etc/security/extra_privs has no line `vioblk:sys_net_config` for its driver vioblk",
        ),
        (
            "/etc/security/device_policy",
            "vioblk read_priv_set=all\n",
            "/etc/security/device_policy has no line `vioblk:ctl write_priv_set=all` for its driver vioblk",
        ),
        (
            "/etc/security/device_policy",
            "vioblk read_priv_set=none\nvioblk:ctl write_priv_set=all\n",
            "/etc/security/device_policy has `vioblk:* read_priv_set=none` for its driver vioblk, and not \
             `vioblk:* read_priv_set=all`",
        ),
    ] {
        let mut root = root.clone();
        root.file(path, content);
        assert_eq!(told(&root), [format!("{expected}, which stops no boot")]);
    }
    // No line can begin with such a name.
    let majors = root.text("/etc/name_to_major").expect("read").expect("there");
    root.file("/etc/name_to_major", format!("{majors}\"#odd\" 300\n"));
    root.packages("driver name=#odd perms=\"* 0666 root sys\"\n");
    root.archive();
    assert_eq!(told(&root), [""; 0]);
}
