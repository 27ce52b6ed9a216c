//! Names of every kind, as the kernel and mount(8) read and write them.

use crate::world::{build, converge};
use plugin_testing::namespace::sh;

const NOTHING: &str = "[storage]\nmount = []\n";
/// In TOML's literal strings, so that nothing but the tables escapes anything.
const NAMES: [&str; 9] = [
    "a b",
    r"back\slash",
    r"looks\040escaped",
    "#hash",
    "ends with a blank ",
    "with,comma",
    "ünïcode",
    "x (deleted)",
    "tag=value",
];

fn entry(device: &str, name: &str, fstype: &str, options: &str) -> String {
    let point = format!("/mnt/w/{name}");
    format!(
        "[[storage.mount]]\ndevice = '{device}'\nmountpoint = '{point}'\ntype = '{fstype}'\noptions = [{options}]\n"
    )
}

/// What is mounted, what the rows mount again, and what goes are the same, and what others have named in no known way stays.
pub(crate) fn names() {
    let mut harness = build();
    // Bytes that are no text, in the table of mounts and in that of the boot.
    sh("d=$(printf '/mnt/w/b\\351d'); mkdir \"$d\"; mount -t tmpfs none \"$d\"
        printf 'none /mnt/w/b\\351d tmpfs defaults 0 0\\n' >> /etc/fstab");
    let table = std::fs::read("/etc/fstab").unwrap();
    let shown = NAMES.map(|name| entry(&format!("/mnt/w/{name}/src"), &format!("again {name}"), "bind", ""));
    let all = NAMES.map(|name| entry(&format!("of {name}"), name, "tmpfs", "'size=1m'")).concat();
    converge(&mut harness, &all);
    for name in NAMES {
        sh(&format!("mkdir '/mnt/w/{name}/src'; touch '/mnt/w/{name}/src/{name}'"));
    }
    let text = format!("{all}{}", shown.concat());
    converge(&mut harness, &text);
    for name in NAMES {
        sh(&format!("test -e '/mnt/w/again {name}/{name}'"));
    }
    // The rows are judged by the program that reads them at boot.
    sh(&NAMES.map(|name| format!("umount '/mnt/w/again {name}'; mount '/mnt/w/again {name}'")).join("\n"));
    assert_eq!(converge(&mut harness, &text), [""; 0]);
    sh(&NAMES.map(|name| format!("test -e '/mnt/w/again {name}/{name}'")).join("\n"));
    sh(&NAMES.map(|name| format!("rm -r '/mnt/w/{name}/src'; umount '/mnt/w/again {name}'")).join("\n"));
    converge(&mut harness, NOTHING);
    assert_eq!(std::fs::read("/etc/fstab").unwrap(), table);
    let left: Vec<_> = std::fs::read_dir("/mnt/w").unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

/// A directory in a third place, and one that is covered by something of somebody else's or mounted twice.
pub(crate) fn again() {
    let mut harness = build();
    sh("mkdir -p /mnt/w/src/deep /mnt/other/deep; touch /mnt/w/src/deep/file /mnt/other/deep/new");
    let text = [("src", "one"), ("one", "two"), ("two/deep", "three")]
        .map(|(from, to)| entry(&format!("/mnt/w/{from}"), to, "bind", ""))
        .concat();
    converge(&mut harness, &text);
    sh("test -e /mnt/w/three/file; umount /mnt/w/three; umount /mnt/w/two; mount /mnt/w/two; mount /mnt/w/three");
    assert_eq!(converge(&mut harness, &text), [""; 0]);
    // Mounted once more, it is what is wanted still; and all of it can be taken away.
    sh("mount --bind /mnt/w/src/deep /mnt/w/three");
    assert_eq!(converge(&mut harness, &text), [""; 0]);
    sh("umount /mnt/w/three");
    // What shows a directory in whose place another one comes is mounted anew.
    let other = text.replace("/mnt/w/src", "/mnt/other");
    let anew = converge(&mut harness, &other);
    assert!(anew.contains(&"mount /mnt/w/two/deep at /mnt/w/three".to_owned()), "{anew:?}");
    sh("test -e /mnt/w/three/new");
    converge(&mut harness, NOTHING);
    assert_eq!(sh("ls /mnt/w").trim(), "src");
}
