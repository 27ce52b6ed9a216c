//! What `validate` refuses, and at which key.

use crate::support::{config, illumos, linux};

/// Each line: whether only one system refuses it, what stands in the entry, the key below it, part of the message.
const CASES: &[(&str, &str, &str, &str)] = &[
    ("both", "size = \"1 GiB\"", "", "exactly one of a volume, a device and a file"),
    ("both", "volume = \"rpool/a\"\nfile = \"/a\"\nsize = \"1 GiB\"", "", "exactly one"),
    ("both", "volume = \"rpool\"\nsize = \"1 GiB\"", "volume", "it is a pool"),
    ("both", "volume = \"rpool/a b\"\nsize = \"1 GiB\"", "volume", "' ' cannot be part of it"),
    ("both", "volume = \"rpool/a\"", "size", "needs a size"),
    ("both", "volume = \"rpool/a\"\nsize = \"big\"", "size", "is not a size"),
    ("both", "volume = \"rpool/a\"\nsize = \"4096\"", "size", "has no unit"),
    ("both", "volume = \"rpool/a\"\nsize = \"512 KiB\"", "size", "less than 1 MiB"),
    ("both", "file = \"/a\"\nsize = \"20 % of pool\"", "size", "a file lies in no pool"),
    ("both", "file = \"a\"\nsize = \"1 GiB\"", "file", "no absolute path"),
    ("both", "file = \"/a/../b\"\nsize = \"1 GiB\"", "file", "roundabout"),
    ("both", "file = \"/dev/sdb1\"\nsize = \"1 GiB\"", "file", "device = "),
    ("both", "device = \"/dev/x\"\nsize = \"1 GiB\"", "size", "has the size that it has"),
    ("both", "device = \"/dev/zvol/dsk/rpool/a\"", "device", "is a volume"),
    ("both", "file = \"/a\"\nabsent = true", "absent", "needs permission"),
    ("both", "file = \"/a\"\nsize = \"1 GiB\"\nencrypted = true", "encrypted", "only volumes"),
    ("both", "file = \"/a\"\nsiez = \"1 GiB\"", "", "unknown field `siez`"),
    ("illumos", "file = \"/a b\"\nsize = \"1 GiB\"", "file", "vfstab cannot express spaces"),
    ("illumos", "file = \"/a\"\nsize = \"1 GiB\"\npriority = 5", "priority", "no priorities on illumos"),
    ("linux", "file = \"/a\"\nsize = \"1 GiB\"\npriority = -1", "priority", "not between 0 and 32767"),
    ("linux", "device = \"/dev/sdb1\"\nallow-destructive = true", "allow-destructive", "another disk after a reboot"),
    ("linux", "volume = \"rpool/a\"\nsize = \"1 GiB\"\nencrypted = true", "encrypted", "only on illumos"),
];

#[test]
fn every_refusal_names_its_key() {
    for (name, mut fixture) in [("illumos", illumos()), ("linux", linux())] {
        for (_, text, key, part) in CASES.iter().filter(|(on, ..)| [name, "both"].contains(on)) {
            let text = format!("[[storage.swap]]\n{text}\n");
            let found = fixture.harness.validate(config(&text));
            assert_eq!(found.len(), 1, "{name} {text}{found:?}");
            let key = if key.is_empty() { String::new() } else { format!(".{key}") };
            assert!(found[0].key.starts_with(&format!("storage.swap[0]{key}")), "{text}{found:?}");
            assert!(found[0].message.contains(part), "{text}{found:?}");
        }
    }
}

#[test]
fn one_area_twice() {
    let text = "[[storage.swap]]\nfile = \"/a\"\nsize = \"1 GiB\"\n[[storage.swap]]\nfile = \"/a\"\nsize = \"2 GiB\"\n";
    let found = linux().harness.validate(config(text));
    assert_eq!(
        (found[0].key.as_str(), found[0].message.as_str()),
        ("storage.swap[1]", "the same area as storage.swap[0]")
    );
}
