//! Archives judged by programs that nobody here wrote: GNU tar both ways, libarchive's, and the `tar` crate.

mod support;

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use image_tree::{
    Content, Extent, Metadata, Node, NodeKind, ReadTarOptions, Store, Timestamp, Tree, WriteTarOptions, read_tar,
    write_tar,
};
use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr};
use support::{add, add_file, judge, mode, path, store};

fn gnu_tar() -> Option<Command> {
    let mut command = judge("tar", "tar")?;
    let version = command.arg("--version").output().unwrap().stdout;
    assert!(version.starts_with(b"tar (GNU tar)"), "`tar` is not GNU tar here");
    let mut command = judge("tar", "tar")?;
    command.env("TZ", "UTC").env("LC_ALL", "C").env_remove("TAR_OPTIONS");
    Some(command)
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{command:?}: {}: {errors}", output.status);
    output.stdout
}

/// A tree that an ordinary user can extract. 1 234 567 890 is 2009-02-13 23:31:30 UTC.
fn ordinary_tree(store: &Store) -> Tree {
    let at = |metadata: Metadata, secs, nanos| Metadata { mtime: Timestamp { secs, nanos }, ..metadata };
    let mut tree = Tree::new(at(mode(0o755), 1_234_567_890, 0));
    let long = format!("/long/{}/{}/file", "d".repeat(120), "e".repeat(200));
    for name in ["/file", long.as_str(), "/set-id", "/spaces and = and % and ä"] {
        add_file(&mut tree, store, name, name.as_bytes());
    }
    let content = tree.get(&path("/file")).unwrap().kind.clone();
    let bytes = Node { kind: content, metadata: at(mode(0o640), 1_234_567_890, 123_456_789) };
    tree.insert(&path(b"/not-utf8-\xff\xfe"), bytes).unwrap();
    let all = [path("/file"), path(&long), path("/set-id"), path("/spaces and = and % and ä"), path("/long")];
    for name in &all {
        tree.update_metadata(name, image_tree::Follow::No, |metadata| metadata.mtime.secs = 1_234_567_890).unwrap();
    }
    tree.update_metadata(&path("/set-id"), image_tree::Follow::No, |metadata| metadata.mode = 0o2755).unwrap();
    tree.hard_link(&path("/file"), &path("/zz-link")).unwrap();
    tree.hard_link(&path(&long), &path("/zz-long-link")).unwrap();
    add(&mut tree, "/symlink", Node::symlink("file", at(mode(0o777), 1, 0)));
    add(&mut tree, "/symlink-long", Node::symlink("t".repeat(150), at(mode(0o777), 1, 0)));
    add_file(&mut tree, store, "/file-old", b"old");
    let old = at(mode(0o644), -1_000_000_000, 250_000_000);
    tree.set_metadata(&path("/file-old"), image_tree::Follow::No, old).unwrap();
    add(&mut tree, "/fifo", Node { kind: NodeKind::Fifo, metadata: at(mode(0o600), 0, 0) });
    let data = store.put_bytes(&[b'x'; 8192]).unwrap();
    for (name, extents, len) in [
        ("/sparse-hole-last", vec![(0, 4096), (65536, 4096)], 1 << 20),
        ("/sparse-data-last", vec![(4096, 4096), (1 << 19, 4096)], (1 << 19) + 4096),
    ] {
        let extents: Vec<_> = extents.into_iter().map(|(offset, len)| Extent { offset, len }).collect();
        let content = Content::sparse(data.blob(), len, &extents).unwrap();
        add(&mut tree, name, Node::regular(content, at(mode(0o644), 1_600_000_000, 0)));
    }
    tree
}

/// What only root could extract.
fn devices_and_ids(tree: &mut Tree) {
    let owned = |uid, gid| Metadata { uid, gid, ..mode(0o640) };
    add(tree, "/dev/null", Node { kind: NodeKind::CharDevice { major: 1, minor: 3 }, metadata: mode(0o666) });
    add(
        tree,
        "/dev/sda",
        Node { kind: NodeKind::BlockDevice { major: 4_000_000, minor: 16_000_000 }, metadata: owned(0, 6) },
    );
    add(tree, "/owned", Node { kind: NodeKind::Fifo, metadata: owned(65534, 4_000_000_000) });
    let old = Metadata { mtime: Timestamp { secs: -1_000_000_000, nanos: 250_000_000 }, ..mode(0o4711) };
    add(tree, "/old", Node { kind: NodeKind::Fifo, metadata: old });
}

#[test]
fn gnu_tar_lists_what_we_write() {
    let Some(mut command) = gnu_tar() else { return };
    let (scratch, store) = store();
    let mut tree = ordinary_tree(&store);
    devices_and_ids(&mut tree);
    let archive = scratch.path().join("archive.tar.gz");
    let options = WriteTarOptions { gzip: Some(6), ..Default::default() };
    fs::write(&archive, write_tar(&tree, &store, Vec::new(), options).unwrap()).unwrap();
    let long = ["--list", "--verbose", "--gzip", "--numeric-owner", "--full-time", "--quoting-style=literal", "--file"];
    let listing = String::from_utf8_lossy(&run(command.args(long).arg(&archive))).into_owned();
    // Columns are as wide as they need to be; one space is enough to compare them.
    let lines: Vec<String> =
        listing.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let names = (format!("./long/{}", "d".repeat(120)), "e".repeat(200), "t".repeat(150));
    let wanted = [
        "drwxr-xr-x 0/0 0 2009-02-13 23:31:30 ./".to_owned(),
        "drwxr-xr-x 0/0 0 1970-01-01 00:00:00 ./dev/".to_owned(),
        "crw-rw-rw- 0/0 1,3 1970-01-01 00:00:00 ./dev/null".to_owned(),
        "brw-r----- 0/6 4000000,16000000 1970-01-01 00:00:00 ./dev/sda".to_owned(),
        "prw------- 0/0 0 1970-01-01 00:00:00 ./fifo".to_owned(),
        "-rw-r--r-- 0/0 5 2009-02-13 23:31:30 ./file".to_owned(),
        "-rw-r--r-- 0/0 3 1938-04-24 22:13:21.75 ./file-old".to_owned(),
        "drwxr-xr-x 0/0 0 2009-02-13 23:31:30 ./long/".to_owned(),
        format!("drwxr-xr-x 0/0 0 1970-01-01 00:00:00 {}/", names.0),
        format!("drwxr-xr-x 0/0 0 1970-01-01 00:00:00 {}/{}/", names.0, names.1),
        format!("-rw-r--r-- 0/0 332 2009-02-13 23:31:30 {}/{}/file", names.0, names.1),
        "-rw-r----- 0/0 5 2009-02-13 23:31:30.123456789 ./not-utf8-\u{fffd}\u{fffd}".to_owned(),
        // Before 1970 GNU tar prints the fraction as what is missing to the second: this is 20.25.
        "prws--x--x 0/0 0 1938-04-24 22:13:21.75 ./old".to_owned(),
        "prw-r----- 65534/4000000000 0 1970-01-01 00:00:00 ./owned".to_owned(),
        "-rwxr-sr-x 0/0 7 2009-02-13 23:31:30 ./set-id".to_owned(),
        "-rw-r--r-- 0/0 26 2009-02-13 23:31:30 ./spaces and = and % and ä".to_owned(),
        "-rw-r--r-- 0/0 528384 2020-09-13 12:26:40 ./sparse-data-last".to_owned(),
        "-rw-r--r-- 0/0 1048576 2020-09-13 12:26:40 ./sparse-hole-last".to_owned(),
        "lrwxrwxrwx 0/0 0 1970-01-01 00:00:01 ./symlink -> file".to_owned(),
        format!("lrwxrwxrwx 0/0 0 1970-01-01 00:00:01 ./symlink-long -> {}", names.2),
        "hrw-r--r-- 0/0 0 2009-02-13 23:31:30 ./zz-link link to ./file".to_owned(),
        format!("hrw-r--r-- 0/0 0 2009-02-13 23:31:30 ./zz-long-link link to {}/{}/file", names.0, names.1),
    ];
    for (line, wanted) in lines.iter().zip(&wanted) {
        assert_eq!(line, wanted);
    }
    assert_eq!(lines.len(), wanted.len());
}

#[test]
fn gnu_tar_extracts_what_we_write() {
    let Some(mut command) = gnu_tar() else { return };
    let (scratch, store) = store();
    let tree = ordinary_tree(&store);
    let archive = scratch.path().join("archive.tar");
    fs::write(&archive, write_tar(&tree, &store, Vec::new(), WriteTarOptions::default()).unwrap()).unwrap();
    let root = scratch.path().join("root");
    fs::create_dir(&root).unwrap();
    // The warning is about the time before 1970, which is extracted all the same.
    let arguments = ["--extract", "--preserve-permissions", "--no-same-owner", "--warning=no-timestamp", "--directory"];
    run(command.args(arguments).arg(&root).arg("--file").arg(&archive));
    for entry in tree.walk() {
        use std::os::unix::ffi::OsStrExt;
        let host = root.join(Path::new(std::ffi::OsStr::from_bytes(entry.path.relative_bytes())));
        let found = fs::symlink_metadata(&host).unwrap();
        let mtime = Timestamp { secs: found.mtime(), nanos: u32::try_from(found.mtime_nsec()).unwrap() };
        assert_eq!(mtime, entry.node.metadata.mtime, "{}", entry.path);
        if !found.is_symlink() {
            assert_eq!(found.mode() & 0o7777, u32::from(entry.node.metadata.mode), "{}", entry.path);
        }
        match &entry.node.kind {
            NodeKind::Regular(content) => {
                let mut wanted = Vec::new();
                std::io::Read::read_to_end(&mut store.open_content(content).unwrap(), &mut wanted).unwrap();
                assert!(fs::read(&host).unwrap() == wanted, "{} has other content", entry.path);
            }
            NodeKind::Symlink(target) => {
                assert_eq!(fs::read_link(&host).unwrap().as_os_str().as_bytes(), target);
            }
            _ => {}
        }
        if let Some(links) = entry.links {
            let first = root.join(Path::new(std::ffi::OsStr::from_bytes(links.first().relative_bytes())));
            assert_eq!(found.ino(), fs::metadata(first).unwrap().ino(), "{}", entry.path);
        }
    }
}

/// Files on the host with everything that an ordinary user can make.
fn host_files(root: &Path) {
    fs::create_dir(root).unwrap();
    fs::set_permissions(root, fs::Permissions::from_mode(0o751)).unwrap();
    fs::create_dir(root.join("dir")).unwrap();
    fs::write(root.join("dir/file"), b"content").unwrap();
    fs::set_permissions(root.join("dir/file"), fs::Permissions::from_mode(0o2705)).unwrap();
    fs::write(root.join("empty"), b"").unwrap();
    fs::hard_link(root.join("dir/file"), root.join("linked")).unwrap();
    symlink("../dir/file", root.join("symlink")).unwrap();
    let fifo = root.join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let mut sparse = fs::File::create(root.join("sparse")).unwrap();
    // More extents than fit into the header of the old format.
    for extent in 0..30_u64 {
        sparse.seek(SeekFrom::Start(extent * (1 << 20))).unwrap();
        sparse.write_all(&[u8::try_from(extent).unwrap() + 1; 4096]).unwrap();
    }
    sparse.set_len(64 << 20).unwrap();
}

/// Names and targets that only the newer formats can hold.
fn long_names(root: &Path) {
    let deep = root.join("p".repeat(120)).join("q".repeat(200));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), b"deep").unwrap();
    fs::hard_link(deep.join("file"), root.join("zz-deep")).unwrap();
    symlink("t".repeat(180), root.join("long-target")).unwrap();
    use std::os::unix::ffi::OsStrExt;
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"not-utf8-\xff")), b"bytes").unwrap();
}

/// Compares the tree with the files that GNU tar made the archive of.
fn compare(root: &Path, unpacked: &Tree, store: &Store, with_nanos: bool) {
    use std::os::unix::ffi::OsStrExt;
    for entry in unpacked.walk() {
        let host = root.join(Path::new(std::ffi::OsStr::from_bytes(entry.path.relative_bytes())));
        let found = fs::symlink_metadata(&host).unwrap();
        let metadata = &entry.node.metadata;
        let nanos = if with_nanos { u32::try_from(found.mtime_nsec()).unwrap() } else { 0 };
        assert_eq!(metadata.mtime, Timestamp { secs: found.mtime(), nanos }, "{}", entry.path);
        assert_eq!((metadata.uid, metadata.gid), (found.uid(), found.gid()), "{}", entry.path);
        assert_eq!(u32::from(metadata.mode), found.mode() & 0o7777, "{}", entry.path);
        let links = entry.links.map_or(1, |links| links.count() as u64);
        assert!(entry.node.is_directory() || links == found.nlink(), "{}", entry.path);
        match &entry.node.kind {
            NodeKind::Regular(content) => {
                assert_eq!(content.len(), found.len(), "{}", entry.path);
                let mut bytes = Vec::new();
                std::io::Read::read_to_end(&mut store.open_content(content).unwrap(), &mut bytes).unwrap();
                assert!(bytes == fs::read(&host).unwrap(), "{} has other content", entry.path);
            }
            NodeKind::Symlink(target) => assert_eq!(fs::read_link(&host).unwrap().as_os_str().as_bytes(), target),
            NodeKind::Directory => assert!(found.is_dir()),
            NodeKind::Fifo => assert_eq!(found.mode() & 0o170_000, 0o010_000),
            other => panic!("{} is a {}", entry.path, other.name()),
        }
    }
}

fn count(root: &Path) -> u64 {
    let entries = fs::read_dir(root).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| if entry.file_type().unwrap().is_dir() { count(&entry.path()) } else { 1 }).sum::<u64>() + 1
}

#[test]
fn we_read_what_gnu_tar_writes_in_every_format() {
    if gnu_tar().is_none() {
        return;
    }
    let (scratch, store) = store();
    let (plain, long) = (scratch.path().join("plain"), scratch.path().join("long"));
    host_files(&plain);
    host_files(&long);
    long_names(&long);
    let cases: [(&Path, &[&str], bool); 10] = [
        (&plain, &["--format=v7", "--exclude=./fifo"], false),
        (&plain, &["--format=ustar"], false),
        (&plain, &["--format=oldgnu", "--sparse"], false),
        (&long, &["--format=gnu"], false),
        (&long, &["--format=gnu", "--sparse", "--gzip"], false),
        (&long, &["--format=posix"], true),
        (&long, &["--format=posix", "--sparse", "--sparse-version=0.0"], true),
        (&long, &["--format=posix", "--sparse", "--sparse-version=0.1", "--gzip"], true),
        (&long, &["--format=posix", "--sparse", "--sparse-version=1.0"], true),
        (&long, &["--format=posix", "--blocking-factor=1", "--sort=name"], true),
    ];
    for (root, arguments, with_nanos) in cases {
        let mut command = gnu_tar().unwrap();
        command.args(["--create", "--file=-", "--directory"]).arg(root).args(arguments).arg(".");
        let archive = run(&mut command);
        let unpacked = read_tar(&archive[..], &store, ReadTarOptions::default()).unwrap();
        assert_eq!(unpacked.warnings, [], "{arguments:?}");
        let excluded = u64::from(arguments.contains(&"--exclude=./fifo"));
        assert_eq!(unpacked.tree.len(), count(root) - excluded, "{arguments:?}");
        compare(root, &unpacked.tree, &store, with_nanos);
        let sparse = unpacked.tree.get(&path("/sparse")).unwrap().content().unwrap();
        let extents = sparse.extents().map_or(0, <[Extent]>::len);
        assert_eq!(extents > 20, arguments.contains(&"--sparse"), "{arguments:?}: {extents} extents");
    }
}

/// Numbers that do not fit into a header are told in libarchive's way.
#[test]
fn devices_of_bsdtar_have_their_numbers() {
    let Some(mut bsdtar) = judge("bsdtar", "libarchive-tools") else { return };
    let (scratch, store) = store();
    let device = scratch.path().join("device");
    // The most that Linux has: 12 bits and 20.
    let number = rustix::fs::makedev(4095, (1 << 20) - 1);
    if let Err(error) = mknodat(CWD, &device, FileType::CharacterDevice, Mode::from_raw_mode(0o600), number) {
        test_judge::skip(&format!("a device cannot be made: {error}"));
        return;
    }
    let archive =
        run(bsdtar.args(["--create", "--format=pax", "--file=-", "--directory"]).arg(scratch.path()).arg("device"));
    let unpacked = read_tar(&archive[..], &store, ReadTarOptions::default()).unwrap();
    assert_eq!(
        unpacked.tree.get(&path("/device")).unwrap().kind,
        NodeKind::CharDevice { major: 4095, minor: (1 << 20) - 1 }
    );
    assert!(unpacked.warnings.is_empty());
}

#[test]
fn extended_attributes_pass_through_tar() {
    let Some(mut command) = gnu_tar() else { return };
    let (scratch, store) = store();
    let root = scratch.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("file"), b"x").unwrap();
    let names = ["user.plain", "user.with%3Dpercent", "user.with=equals"];
    for name in names {
        if let Err(error) = setxattr(root.join("file"), name, b"va\0l=ue\n", XattrFlags::empty()) {
            assert!(error == rustix::io::Errno::OPNOTSUPP, "{error}");
            test_judge::skip("the file system of the temporary directory has no extended attributes");
            return;
        }
    }
    let read = |archive: &[u8]| {
        let unpacked = read_tar(archive, &store, ReadTarOptions::default()).unwrap();
        let xattrs = &unpacked.tree.get(&path("/file")).unwrap().metadata.xattrs;
        assert_eq!(xattrs.keys().collect::<Vec<_>>(), names.map(str::as_bytes));
        assert!(xattrs.values().all(|value| value == b"va\0l=ue\n"));
        let warnings: Vec<_> = unpacked.warnings.iter().map(|warning| warning.kind.to_string()).collect();
        assert!(warnings.is_empty(), "{warnings:?}");
        unpacked
    };
    let arguments = ["--create", "--xattrs", "--format=posix", "--file=-", "--directory"];
    let unpacked = read(&run(command.args(arguments).arg(&root).arg(".")));
    // libarchive has a form of its own, beside that of star.
    if let Some(mut bsdtar) = judge("bsdtar", "libarchive-tools") {
        let arguments = ["--create", "--xattrs", "--format=pax", "--file=-", "--directory"];
        read(&run(bsdtar.args(arguments).arg(&root).arg(".")));
    }

    let written = write_tar(&unpacked.tree, &store, Vec::new(), WriteTarOptions::default()).unwrap();
    fs::write(scratch.path().join("written.tar"), written).unwrap();
    let mut command = gnu_tar().unwrap();
    let listing = run(command.args(["--list", "-vv", "--xattrs", "--file"]).arg(scratch.path().join("written.tar")));
    let listing = String::from_utf8_lossy(&listing);
    assert!(names.iter().all(|name| listing.contains(&format!("8 {name}"))), "{listing}");
}

/// The `tar` crate is always there, so this one is never skipped.
#[test]
fn the_tar_crate_reads_what_we_write() {
    let (_scratch, store) = store();
    let mut tree = ordinary_tree(&store);
    devices_and_ids(&mut tree);
    let archive = write_tar(&tree, &store, Vec::new(), WriteTarOptions::default()).unwrap();
    let mut expected = tree.walk();
    for found in tar::Archive::new(&archive[..]).entries().unwrap() {
        let found = found.unwrap();
        let wanted = expected.next().unwrap();
        let name = found.path_bytes().into_owned();
        if wanted.node.content().is_some_and(|content| content.extents().is_some()) {
            assert!(name.starts_with(b"./GNUSparseFile.0/"), "the crate does not know this format");
            continue;
        }
        let trimmed = name.strip_prefix(b"./").unwrap();
        assert_eq!(trimmed.strip_suffix(b"/").unwrap_or(trimmed), wanted.path.relative_bytes());
        assert_eq!(found.header().mode().unwrap(), u32::from(wanted.node.metadata.mode));
        assert_eq!(found.header().uid().unwrap(), u64::from(wanted.node.metadata.uid));
        match &wanted.node.kind {
            NodeKind::Symlink(target) => assert_eq!(found.link_name_bytes().unwrap(), &target[..]),
            NodeKind::CharDevice { major, minor } => {
                assert_eq!(found.header().device_major().unwrap(), Some(*major));
                assert_eq!(found.header().device_minor().unwrap(), Some(*minor));
            }
            _ => {}
        }
    }
    assert!(expected.next().is_none());
}
