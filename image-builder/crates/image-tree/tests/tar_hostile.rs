//! Archives that want to escape, lie or confuse, made header by header.

mod support;

use image_tree::{
    Follow, Metadata, Node, NodeKind, ReadTarOptions, Store, TarError, TarWarningKind, Timestamp, Tree, Unpacked,
    parse_acl, read_tar,
};
use support::{mode, path};

/// One entry: type, name, name of the link, content, and changes to the finished header.
struct Entry<'a> {
    type_flag: u8,
    name: &'a [u8],
    link: &'a [u8],
    content: &'a [u8],
}

fn entry<'a>(type_flag: u8, name: &'a [u8]) -> Entry<'a> {
    Entry { type_flag, name, link: b"", content: b"" }
}

impl<'a> Entry<'a> {
    fn link(self, link: &'a [u8]) -> Self {
        Self { link, ..self }
    }

    fn content(self, content: &'a [u8]) -> Self {
        Self { content, ..self }
    }

    fn header(&self) -> tar::Header {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..self.name.len()].copy_from_slice(self.name);
        header.as_mut_bytes()[157..157 + self.link.len()].copy_from_slice(self.link);
        header.set_entry_type(tar::EntryType::new(self.type_flag));
        header.set_size(self.content.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header
    }

    fn bytes(&self) -> Vec<u8> {
        self.bytes_with(|_| ())
    }

    fn bytes_with(&self, change: impl FnOnce(&mut [u8; 512])) -> Vec<u8> {
        let mut header = self.header();
        change(header.as_mut_bytes());
        header.set_cksum();
        let mut bytes = [header.as_bytes(), self.content].concat();
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }
}

const END: [u8; 1024] = [0; 1024];

fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut bytes: Vec<u8> = entries.iter().flat_map(Entry::bytes).collect();
    bytes.extend(END);
    bytes
}

/// Extended header records, with their lengths.
fn records(pairs: &[(&str, &[u8])]) -> Vec<u8> {
    let mut all = Vec::new();
    for (key, value) in pairs {
        let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
        let length = (rest.len()..).find(|length| length.to_string().len() + rest.len() == *length).unwrap();
        all.extend([length.to_string().into_bytes(), rest].concat());
    }
    all
}

fn read(bytes: &[u8]) -> Result<(Unpacked, Store, tempfile::TempDir), TarError> {
    let (scratch, store) = support::store();
    let unpacked = read_tar(bytes, &store, ReadTarOptions::default())?;
    Ok((unpacked, store, scratch))
}

fn tree(entries: &[Entry<'_>]) -> Tree {
    let (unpacked, ..) = read(&archive(entries)).unwrap();
    assert_eq!(unpacked.warnings, []);
    unpacked.tree
}

/// The error and its causes, as the user sees them.
fn failure(bytes: &[u8]) -> String {
    let error = read(bytes).map(|(unpacked, ..)| unpacked).unwrap_err();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

fn paths(tree: &Tree) -> Vec<String> {
    tree.walk().map(|entry| entry.path.to_string()).collect()
}

#[test]
fn nothing_escapes() {
    let dot_dot = failure(&archive(&[entry(b'0', b"ok"), entry(b'0', b"a/../../etc/passwd")]));
    let wanted = "cannot read archive entry 2 (`a/../../etc/passwd`, at byte 512): impossible name: \
                  path `a/../../etc/passwd` contains `..`";
    assert_eq!(dot_dot, wanted);
    let by_link = failure(&archive(&[entry(b'1', b"a").link(b"../etc/passwd")]));
    assert!(by_link.contains("contains `..`"), "{by_link}");

    assert_eq!(paths(&tree(&[entry(b'0', b"/etc/passwd")])), ["/", "/etc", "/etc/passwd"]);
    assert_eq!(paths(&tree(&[entry(b'0', b"//./etc//./passwd")])), ["/", "/etc", "/etc/passwd"]);

    let through_links = tree(&[
        entry(b'2', b"up").link(b"../../../.."),
        entry(b'2', b"abs").link(b"/"),
        entry(b'0', b"up/one"),
        entry(b'0', b"abs/tmp/two"),
        entry(b'1', b"up/three").link(b"abs/up/one"),
    ]);
    assert_eq!(paths(&through_links), ["/", "/abs", "/one", "/three", "/tmp", "/tmp/two", "/up"]);
    assert_eq!(through_links.links(&path("/three")).unwrap().count(), 2);

    let looped = failure(&archive(&[entry(b'2', b"a").link(b"b"), entry(b'2', b"b").link(b"a"), entry(b'0', b"a/x")]));
    assert!(looped.ends_with("cannot place the entry: /a leads through more than 40 symbolic links"), "{looped}");
    let file = failure(&archive(&[entry(b'0', b"file"), entry(b'0', b"file/x")]));
    assert!(file.ends_with("cannot place the entry: /file is a regular file, not a directory"), "{file}");
}

#[test]
fn later_entries_replace_earlier_ones() {
    let replaced = tree(&[
        entry(b'0', b"a").content(b"old"),
        entry(b'2', b"a").link(b"x"),
        entry(b'0', b"a").content(b"new"),
        entry(b'5', b"d"),
        entry(b'0', b"d/kept"),
        entry(b'5', b"./d/"),
        entry(b'2', b"l").link(b"d"),
        entry(b'5', b"l"),
        entry(b'5', b"empty"),
        entry(b'0', b"empty"),
        entry(b'0', b"f"),
        entry(b'1', b"g").link(b"f"),
        entry(b'1', b"g").link(b"f"),
        entry(b'1', b"f").link(b"f"),
        entry(b'6', b"f"),
    ]);
    assert_eq!(replaced.get(&path("/a")).unwrap().content().unwrap().len(), 3);
    assert!(replaced.get(&path("/d/kept")).is_some());
    assert!(replaced.get(&path("/l")).unwrap().is_directory(), "a directory replaces a link to one");
    assert!(!replaced.get(&path("/empty")).unwrap().is_directory());
    assert_eq!(replaced.get(&path("/f")).unwrap().kind, NodeKind::Fifo);
    assert!(replaced.get(&path("/g")).unwrap().content().is_some() && replaced.link_sets().count() == 0);

    let full = failure(&archive(&[entry(b'0', b"d/x"), entry(b'0', b"d")]));
    assert!(full.ends_with("cannot place the entry: directory /d is not empty"), "{full}");
}

#[test]
fn the_root_has_metadata_and_stays_a_directory() {
    let root = entry(b'5', b"./").bytes_with(|header| {
        header[100..107].copy_from_slice(b"0001700");
        header[108..115].copy_from_slice(b"0000007");
    });
    let (unpacked, ..) = read(&[root, END.to_vec()].concat()).unwrap();
    assert_eq!(unpacked.tree.root_metadata(), &Metadata::new(7, 0, 0o1700));
    let link = failure(&archive(&[entry(b'2', b".").link(b"x")]));
    assert!(link.ends_with("the root directory of the image can only be a directory"), "{link}");
}

#[test]
fn missing_parents_are_made() {
    let made = tree(&[entry(b'0', b"a/b/c")]);
    assert_eq!(made.get(&path("/a/b")), Some(&Node::directory(mode(0o755))));
}

#[test]
fn links_to_nothing_are_errors() {
    let none = failure(&archive(&[entry(b'1', b"a").link(b"none")]));
    assert!(none.ends_with("cannot place the entry: /none does not exist in the image"), "{none}");
    let directory = failure(&archive(&[entry(b'5', b"d"), entry(b'1', b"a").link(b"d")]));
    assert!(directory.ends_with("cannot place the entry: /d is a directory"), "{directory}");
    let empty = failure(&archive(&[entry(b'2', b"a")]));
    assert!(empty.ends_with("cannot place the entry: /a cannot get an empty link target"), "{empty}");
}

#[test]
fn lies_about_lengths_are_errors() {
    let size = |digits: &'static [u8]| {
        let bytes = entry(b'0', b"a").bytes_with(|header| header[124..124 + digits.len()].copy_from_slice(digits));
        failure(&[bytes, END.to_vec()].concat())
    };
    assert!(size(b"77777777777").ends_with("the archive is cut off"));
    assert!(size(b"99999999999").ends_with("impossible size"));
    assert!(size(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff").ends_with("impossible size"));
    assert!(size(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff").ends_with("the archive is cut off"));
    let long_name = entry(b'L', b"././@LongLink").bytes_with(|header| header[124..135].copy_from_slice(b"77777777777"));
    assert!(failure(&long_name).ends_with("extended header of 8589934591 bytes"));
    let size = records(&[("size", b"99999999999999999999")]);
    assert!(failure(&archive(&[entry(b'x', b"x").content(&size), entry(b'0', b"a")])).ends_with("impossible size"));
}

#[test]
fn what_is_no_archive_says_so() {
    assert!(failure(b"").ends_with("the archive is cut off"));
    assert!(failure(&[b'x'; 4096]).contains("entry 1 (``, at byte 0): this is no tar header"));
    assert!(failure(b"\xfd7zXZ\0rest").ends_with("the archive is compressed with xz; only gzip is understood"));
    assert!(failure(b"\x28\xb5\x2f\xfdrest").contains("compressed with zstd"));
    assert!(failure(b"\x1f\x8b\x08\0garbage garbage garbage").contains("cannot read archive entry 1"));
    let mut bytes = archive(&[entry(b'0', b"one"), entry(b'0', b"two")]);
    bytes[512] = b'T';
    assert!(failure(&bytes).contains("entry 2 (``, at byte 512): this is no tar header"));
    let unfinished = records(&[("path", b"x")]);
    let dangling = failure(&archive(&[entry(b'x', b"x").content(&unfinished)]));
    assert!(dangling.ends_with("malformed extended header: no entry follows it"), "{dangling}");
}

#[test]
fn impossible_names_are_errors() {
    let named =
        |name: &[u8]| failure(&archive(&[entry(b'x', b"x").content(&records(&[("path", name)])), entry(b'0', b"a")]));
    assert!(named(b"a\0b").contains("contains a NUL byte"));
    assert!(named(&[b'n'; 256]).contains("more than 255 bytes"));
    assert!(named(&b"d/".repeat(1100)).contains("more than 4095 bytes or 1024 components"));
    assert!(
        named(&[&b"x"[..], &b"/yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy".repeat(100)].concat())
            .contains("more than 4095")
    );
}

#[test]
fn devices_and_ids_have_limits() {
    let device = |major: &'static [u8]| {
        let bytes = entry(b'3', b"d").bytes_with(|header| header[329..329 + major.len()].copy_from_slice(major));
        [bytes, END.to_vec()].concat()
    };
    let (unpacked, ..) = read(&device(b"0000001")).unwrap();
    assert_eq!(unpacked.tree.get(&path("/d")).unwrap().kind, NodeKind::CharDevice { major: 1, minor: 0 });
    assert!(failure(&device(b"\x80\0\0\x01\0\0\0\0")).ends_with("impossible device number"));
    let uid = records(&[("uid", b"4294967296")]);
    assert!(failure(&archive(&[entry(b'x', b"x").content(&uid), entry(b'0', b"a")])).ends_with("impossible uid"));
}

/// illumos tar with extended headers, access control lists and extended attributes (its flags `E`, `p`, `@`).
#[test]
fn archives_of_illumos_are_understood() {
    let long = [&b"usr/share/"[..], &[b'n'; 120]].concat();
    let extended = records(&[
        ("path", &long),
        ("uid", b"3000000"),
        ("mtime", b"1234567890.123456789"),
        ("SUN.devmajor", b"300"),
        ("SUN.devminor", b"70000"),
    ]);
    let entries = [
        entry(b'X', b"/tmp/xhdr").content(&extended),
        entry(b'4', b"usr/share/nnn"),
        entry(b'A', b"ufsacl").content(b"1000004\0user::rwx"),
        entry(b'0', b"file").content(b"content"),
        entry(b'E', b"/dev/null").content(b"1.0\0 header of the attribute"),
        entry(b'E', b"/dev/null").content(b"value of the attribute"),
        entry(b'0', b"last"),
        entry(b'Z', b"strange").content(b"skipped"),
    ];
    let (unpacked, ..) = read(&archive(&entries)).unwrap();
    let device = unpacked.tree.get(&path([b"/", &long[..]].concat())).unwrap();
    assert_eq!(device.kind, NodeKind::BlockDevice { major: 300, minor: 70000 });
    assert_eq!(device.metadata.uid, 3_000_000);
    assert_eq!(device.metadata.mtime, Timestamp { secs: 1_234_567_890, nanos: 123_456_789 });
    assert_eq!(unpacked.tree.len(), 1 + 3 + 2, "nothing at /dev/null");
    let warnings: Vec<_> =
        unpacked.warnings.iter().map(|warning| (warning.kind.clone(), warning.count, warning.first_entry)).collect();
    let wanted =
        [(TarWarningKind::Acl, 1, 2), (TarWarningKind::AttributeFile, 2, 3), (TarWarningKind::UnknownType(b'Z'), 1, 6)];
    assert_eq!(warnings, wanted);
    assert_eq!(unpacked.warnings[2].first_name, b"strange");
}

/// Both ways in which systems with such lists archive them: illumos tar before the entry, libarchive in its header.
#[test]
fn access_control_lists_come_with_their_entries() {
    let text = "user:webservd:r-----a-R-c--s:fd-----:allow:80,owner@:rw-p--aARWcCos:-------:allow";
    let ancillary = [b"D000000\0label\0".as_slice(), b"3000002\0", text.as_bytes(), b"\0"].concat();
    let schily = records(&[("SCHILY.acl.ace", text.as_bytes())]);
    let names = records(&[("SCHILY.acl.ace", b"user:joe:r:allow")]);
    let entries = [
        entry(b'A', b"any name").content(&ancillary),
        entry(b'0', b"sun").content(b"content"),
        entry(b'x', b"x").content(&schily),
        entry(b'5', b"star/"),
        entry(b'0', b"none"),
        entry(b'x', b"x").content(&names),
        entry(b'0', b"names"),
    ];
    let (unpacked, ..) = read(&archive(&entries)).unwrap();
    let acl = |name: &str| unpacked.tree.get(&path(name)).unwrap().metadata.acl.clone();
    let expected = parse_acl(text.as_bytes()).unwrap();
    assert_eq!(acl("/sun").as_deref(), Some(&expected[..]));
    assert_eq!(acl("/star").as_deref(), Some(&expected[..]));
    assert_eq!((acl("/none"), acl("/names")), (None, None));
    let warnings: Vec<_> = unpacked.warnings.iter().map(|warning| (warning.kind.clone(), warning.count)).collect();
    assert_eq!(warnings, [(TarWarningKind::Acl, 2)], "the label, and the list without numbers");
}

#[test]
fn global_headers_last_until_they_are_taken_back() {
    let global = records(&[("uid", b"5"), ("gid", b"6")]);
    let (local, back) = (records(&[("uid", b"7")]), records(&[("gid", b"")]));
    let read = tree(&[
        entry(b'g', b"g").content(&global),
        entry(b'0', b"a"),
        entry(b'x', b"x").content(&local),
        entry(b'0', b"b"),
        entry(b'0', b"c"),
        entry(b'x', b"x").content(&back),
        entry(b'0', b"d"),
    ]);
    let ids = |name: &str| (read.get(&path(name)).unwrap().metadata.uid, read.get(&path(name)).unwrap().metadata.gid);
    assert_eq!([ids("/a"), ids("/b"), ids("/c"), ids("/d")], [(5, 6), (7, 6), (5, 6), (5, 0)]);
}

#[test]
fn what_is_not_kept_is_said() {
    let odd = records(&[
        ("atime", b"1"),
        ("VENDOR.odd\n", b"1"),
        ("SCHILY.acl.access", b"user::rwx"),
        ("LIBARCHIVE.xattr.user.x", b"AA"),
    ]);
    let kept = records(&[("SCHILY.xattr.user.k", b"v"), ("LIBARCHIVE.xattr.user.k", b"dg")]);
    let (unpacked, ..) = read(
        &[
            archive(&[
                entry(b'x', b"x").content(&odd),
                entry(b'0', b"a"),
                entry(b'x', b"x").content(&kept),
                entry(b'0', b"b"),
                entry(b'V', b"label"),
                entry(b'D', b"dump").content(b"Yfile\0\0"),
            ]),
            vec![1; 600],
        ]
        .concat(),
    )
    .unwrap();
    let messages: Vec<_> = unpacked.warnings.iter().map(|warning| warning.kind.to_string()).collect();
    let wanted = [
        "access control lists other than those of NFSv4, or with names without numbers, are left out",
        "extended headers `LIBARCHIVE.xattr.user.x` are not understood",
        "extended headers `VENDOR.odd\\n` are not understood",
        "labels and directory lists of backups are left out",
        "what follows the end mark of the archive is left out",
    ];
    assert_eq!(messages, wanted);
    assert_eq!(unpacked.warnings[3].count, 2);
    assert!(unpacked.tree.get(&path("/dump")).unwrap().is_directory());
    assert_eq!(unpacked.tree.get(&path("/b")).unwrap().metadata.xattrs.len(), 1);
    let volumes = failure(&archive(&[entry(b'M', b"rest")]));
    assert!(volumes.ends_with("an archive of several volumes is not supported"), "{volumes}");
}

/// A hostile archive cannot make the list of warnings long.
#[test]
fn warnings_are_bounded() {
    let keywords: Vec<String> = (0..5000).map(|number| format!("VENDOR.{number}")).collect();
    let pairs: Vec<(&str, &[u8])> = keywords.iter().map(|keyword| (keyword.as_str(), &b"x"[..])).collect();
    let (unpacked, ..) = read(&archive(&[entry(b'x', b"x").content(&records(&pairs)), entry(b'0', b"a")])).unwrap();
    assert!(unpacked.warnings.len() <= 101);
    assert_eq!(unpacked.warnings.iter().map(|warning| warning.count).sum::<u64>(), 5000);
}

/// A few bytes may claim to be a file of many exabytes with holes; that costs nothing.
#[test]
fn huge_sparse_files_cost_nothing() {
    let map = records(&[
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"huge"),
        ("GNU.sparse.realsize", b"9223372036854775807"),
    ]);
    let mut data = b"2\n1000\n4\n9223372036854775807\n0\n".to_vec();
    data.resize(512, 0);
    data.extend(b"data");
    let (unpacked, store, _scratch) =
        read(&archive(&[entry(b'x', b"x").content(&map), entry(b'0', b"ignored").content(&data)])).unwrap();
    let (_, node) = unpacked.tree.lookup(&path("/huge"), Follow::No).unwrap();
    let content = node.content().unwrap();
    assert_eq!((content.len(), content.data_len()), (i64::MAX as u64, 4));
    let mut around = [1; 8];
    store.open_content(content).unwrap().read_at(&mut around, 998).unwrap();
    assert_eq!(around[..2], [0, 0]);

    for lie in [
        "1\n1000\n3\n",
        "1\n1000\n5\n",
        "1\n9223372036854775805\n4\n",
        "2\n8\n2\n4\n2\n",
        "99\n",
        "x\n",
        "123456789012345678901234\n",
    ] {
        let mut data = lie.as_bytes().to_vec();
        data.resize(512, 0);
        data.extend(b"data");
        let bytes = archive(&[entry(b'x', b"x").content(&map), entry(b'0', b"ignored").content(&data)]);
        let text = failure(&bytes);
        assert!(text.contains("map of a sparse file") || text.contains("cut off"), "{lie:?}: {text}");
    }
}
