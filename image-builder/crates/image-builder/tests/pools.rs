//! `verify`, `ls`, `cat` and `diff` on bare pools that the writer made: what no template asks for, and pools may have.

#[path = "../../zfs-image/tests/fixture/mod.rs"]
mod fixture;

use fixture::{Fixture, path_of};
use image_tree::{Content, Extent, Metadata, Node, Tree};
use process_runner::Command;
use serde_json::{Value, json};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::time::Duration;
use zfs_format::feature::FeatureSet;
use zfs_image::writer::{PoolSpec, VdevSpec};

struct Pools(Fixture);

impl Pools {
    fn new() -> Self {
        Self(Fixture::new())
    }

    /// A tree with these files in its root.
    fn tree(&self, files: &[(&[u8], &str)]) -> Tree {
        let mut tree = Tree::new(Metadata::new(0, 0, 0o755));
        for (name, content) in files {
            let path = path_of("/").join(name).expect("a name");
            tree.insert(&path, self.0.file(content.as_bytes(), 0o644)).expect("inserted");
        }
        tree
    }

    /// Writes a pool with that tree as what boots.
    fn write(&self, name: &str, tree: Tree, change: impl FnOnce(&mut PoolSpec)) {
        let mut spec = self.0.spec();
        spec.datasets[2].tree = Some(tree);
        spec.datasets.truncate(3);
        change(&mut spec);
        fs::write(self.0.scratch.path().join(name), self.0.write(&spec)).expect("an image");
    }

    fn write_plain(&self, name: &str, tree: Tree) {
        self.write(name, tree, |_| ());
    }

    /// Exit status, standard output and standard error.
    fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> (Option<i32>, String, String) {
        let command = Command::new(env!("CARGO_BIN_EXE_image-builder")).args(arguments);
        let output = command.current_dir(self.0.scratch.path()).deadline(Duration::from_secs(120)).run_any();
        let output = output.expect("image-builder runs");
        (output.code, output.stdout_text(), output.stderr_text().replace("\n  │ ", " "))
    }

    fn good<A: AsRef<OsStr>>(&self, arguments: &[A]) -> String {
        let (status, stdout, stderr) = self.run(arguments);
        assert_eq!(status, Some(0), "{stdout}{stderr}");
        stdout
    }

    fn json<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Value {
        serde_json::from_str(&self.good(arguments)).expect("JSON")
    }
}

/// They were called equal: nobody looked at the pools themselves.
#[test]
fn pools_differ_in_what_they_are() {
    let pools = Pools::new();
    pools.write("one", pools.tree(&[]), |_| ());
    pools.write("same", pools.tree(&[]), |spec| spec.seed = [8; 32]);
    assert_eq!(pools.good(&["diff", "one", "same"]), "", "identities are another for each image");
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    type Change = Box<dyn Fn(&mut PoolSpec)>;
    let changes: [(Change, &[&str]); 6] = [
        (
            Box::new(|spec| {
                spec.features = FeatureSet::none();
                spec.datasets[2].properties.retain(|(name, _)| name != "compression");
            }),
            &["feature@bookmarks enabled → -", "feature@lz4_compress active → -"],
        ),
        (Box::new(|spec| spec.ashift = 12), &["ashift 9 → 12"]),
        (
            Box::new(move |spec| spec.properties = vec![set("failmode", "panic"), set("comment", "mine")]),
            &["autoexpand on → -", "comment - → mine", "failmode - → panic"],
        ),
        (Box::new(|spec| spec.bootfs = None), &["bootfs rpool/ROOT/be → -"]),
        (
            Box::new(|spec| {
                spec.vdev = VdevSpec {
                    path: "/dev/dsk/c2t0d0s0".to_owned(),
                    phys_path: Some("/pci@0,0/disk@0:a".to_owned()),
                    devid: Some("id1,kdev@x/a".to_owned()),
                    whole_disk: false,
                };
            }),
            &[
                "devid - → id1,kdev@x/a",
                "path /dev/dsk/c1t0d0s1 → /dev/dsk/c2t0d0s0",
                "phys_path - → /pci@0,0/disk@0:a",
                "whole_disk 1 → 0",
            ],
        ),
        (
            Box::new(|spec| {
                let rename = |name: &str| name.replacen("rpool", "tank", 1);
                spec.name = rename(&spec.name);
                spec.bootfs = spec.bootfs.as_deref().map(rename);
                spec.datasets.iter_mut().for_each(|dataset| dataset.name = rename(&dataset.name));
            }),
            &["name rpool → tank"],
        ),
    ];
    for (change, expected) in changes {
        pools.write("two", pools.tree(&[]), |spec| change(spec));
        let (status, stdout, stderr) = pools.run(&["diff", "one", "two"]);
        assert_eq!(status, Some(4), "{expected:?}: {stdout}{stderr}");
        let line = stdout.lines().find(|line| line.starts_with("~ pool ")).unwrap_or_default();
        for one in expected {
            assert!(line.contains(one), "{one} is not in {stdout}");
        }
        assert!(!line.contains("bootfs") || expected[0].contains("bootfs"), "{line}");
    }
}

/// Only how many names there are was compared.
#[test]
fn names_of_one_file_that_are_regrouped_differ() {
    let pools = Pools::new();
    let write = |image: &str, links: [(&str, &str); 2]| {
        let mut tree = pools.tree(&[(b"a", "x"), (b"z", "y")]);
        for (name, other) in links {
            tree.insert(&path_of(name), pools.0.file(b"x", 0o644)).expect("inserted");
            tree.hard_link(&path_of(name), &path_of(other)).expect("linked");
        }
        pools.write_plain(image, tree);
    };
    write("one", [("/b", "/c"), ("/d", "/e")]);
    write("same", [("/d", "/e"), ("/b", "/c")]);
    write("two", [("/b", "/d"), ("/c", "/e")]);
    assert_eq!(pools.good(&["diff", "one", "same"]), "");
    let (status, stdout, _) = pools.run(&["diff", "one", "two"]);
    assert_eq!(status, Some(4), "{stdout}");
    let line = |name: &str, dataset: &str| format!("~ {dataset} /{name}: other names of it\n");
    let of = |dataset: &str| ["b", "c", "d", "e"].map(|name| line(name, dataset)).concat();
    assert_eq!(stdout, format!("{}{}", of("rpool/ROOT/be"), of("rpool/ROOT/be@install")));
}

/// A hole of an exbibyte was read in steps of 256 KiB.
#[test]
fn holes_take_no_time() {
    let pools = Pools::new();
    let write = |image: &str, at: u64, data: &[u8]| {
        let blob = pools.0.store.put_bytes(data).expect("stored").blob();
        let extents = [Extent { offset: at, len: data.len() as u64 }];
        let content = Content::sparse(blob, 1 << 60, &extents).expect("sparse");
        let mut tree = pools.tree(&[(b"small", "x")]);
        let file = Node::regular(content, Metadata::new(0, 0, 0o644));
        tree.insert(&path_of("/sparse"), file).expect("inserted");
        pools.write_plain(image, tree);
    };
    write("one", 1 << 50, b"data");
    write("same", 1 << 50, b"data");
    write("other", 1 << 50, b"date");
    write("elsewhere", 1 << 51, b"data");
    assert_eq!(pools.good(&["diff", "one", "same"]), "");
    for image in ["other", "elsewhere"] {
        let (status, stdout, stderr) = pools.run(&["diff", "one:rpool/ROOT/be", &format!("{image}:rpool/ROOT/be")]);
        assert_eq!(status, Some(4), "{stderr}");
        assert_eq!(stdout, "~ rpool/ROOT/be /sparse: content\n", "{image}");
    }
    assert!(pools.good(&["ls", "-R", "one", "/"]).contains(" 1152921504606846976 "));
    assert!(pools.good(&["verify", "one"]).starts_with("good: pool rpool: "));
}

/// They could not be asked for, and two of them had one path in JSON.
#[test]
fn names_are_bytes() {
    let pools = Pools::new();
    pools.write_plain("image", pools.tree(&[(b"f\xff", "one"), (b"f\xfe", "two"), (b"f\\xff", "three")]));
    let raw = |words: &[&[u8]]| words.iter().map(|word| OsStr::from_bytes(word).to_owned()).collect::<Vec<OsString>>();
    for (name, content) in [(b"/f\xff".as_slice(), "one"), (b"/f\xfe", "two"), (br"/f\xff", "three")] {
        assert_eq!(pools.good(&raw(&[b"cat", b"image", name])), content);
        let listed = pools.json(&raw(&[b"ls", b"--json", b"image", name]));
        let hexadecimal = listed["files"][0]["path_hex"].as_str().unwrap_or_default().to_owned();
        let expected = if content == "three" { "" } else { &format!("2f66{:02x}", name[2]) };
        assert_eq!(hexadecimal, expected, "{listed}");
    }
    let (status, _, stderr) = pools.run(&raw(&[b"cat", b"image", b"/\xfd"]));
    assert!(status == Some(1) && stderr.contains(r"/\xfd of rpool/ROOT/be"), "{stderr}");
    // So is the name of the image.
    let other = OsStr::from_bytes(b"image\xff:x");
    fs::rename(pools.0.scratch.path().join("image"), pools.0.scratch.path().join(other)).expect("renamed");
    assert!(pools.good(&raw(&[b"ls", b"image\xff:x:rpool/ROOT/be", b"/"])).contains(r"f\xfe"));
}

#[test]
fn extended_attributes_are_listed() {
    let pools = Pools::new();
    let mut tree = pools.tree(&[(b"plain", "x")]);
    let mut file = pools.0.file(b"x", 0o755);
    file.metadata.xattrs.insert(b"security.capability".to_vec(), vec![0; 20]);
    file.metadata.xattrs.insert(b"\xff".to_vec(), Vec::new());
    tree.insert(&path_of("/attributed"), file).expect("inserted");
    pools.write_plain("image", tree);
    let said = pools.good(&["ls", "image", "/"]);
    let marks: Vec<&str> = said.lines().map(|line| &line[..11]).collect();
    assert_eq!(marks, ["-rwxr-xr-x@", "-rw-r--r-- "], "{said}");
    let files = pools.json(&["ls", "--json", "image", "/"])["files"].clone();
    let expected = json!([
        { "name": "security.capability", "bytes": 20 },
        { "name": "\u{fffd}", "name_hex": "ff", "bytes": 0 },
    ]);
    assert_eq!((&files[0]["xattrs"], &files[1]["xattrs"]), (&expected, &Value::Null));
}

#[test]
fn what_a_pool_is_can_be_seen() {
    let pools = Pools::new();
    pools.write("image", pools.tree(&[]), |spec| {
        spec.properties.push(("comment".to_owned(), "from a test".to_owned()));
        spec.vdev.devid = Some("id1,kdev@x/a".to_owned());
    });
    let said = pools.good(&["ls", "image"]);
    for line in [
        "  version: 5000",
        "  label: ashift=9 devid=id1,kdev@x/a is_log=0 path=/dev/dsk/c1t0d0s1 type=disk whole_disk=1",
        "  properties: autoexpand=on bootfs=rpool/ROOT/be comment=from a test",
    ] {
        assert!(said.lines().any(|found| found == line), "{line} is not in\n{said}");
    }
    let pool = pools.json(&["ls", "--json", "image"])["pool"].clone();
    assert_eq!(pool["version"], 5000);
    assert_eq!(pool["label"]["ashift"], "9");
    assert_eq!(pool["properties"]["bootfs"], "rpool/ROOT/be");
    assert_eq!(
        (&pool["features"]["lz4_compress"], &pool["features"]["bookmarks"]),
        (&json!("active"), &json!("enabled"))
    );
}

/// They were called damaged, or without a pool.
#[test]
fn images_of_other_forms_are_named() {
    let pools = Pools::new();
    for (magic, at, form) in [
        (b"KDMV".as_slice(), 0, "a VMDK image"),
        (&[0x7f, 0x10, 0xda, 0xbe], 0x40, "a VDI image"),
        (b"vhdxfile", 0, "a VHDX image"),
        (b"conectix", 0, "a dynamic VHD image"),
    ] {
        let file = fs::File::create(pools.0.scratch.path().join("image")).expect("an image");
        file.set_len(1 << 20).expect("long enough");
        // A table that is there makes it no damaged disk.
        file.write_all_at(b"EFI PART", 512).expect("written");
        file.write_all_at(magic, at).expect("written");
        for arguments in [vec!["verify", "image"], vec!["ls", "image"], vec!["diff", "image", "image"]] {
            let (status, _, stderr) = pools.run(&arguments);
            assert_eq!(status, Some(1), "{form}: {stderr}");
            assert!(stderr.contains(&format!("image is {form}")) && stderr.contains("qemu-img convert"), "{stderr}");
        }
    }
}
