//! Archives that want to escape, lie or confuse, made header by header.

mod support;

use image_tree::{
    Follow, Metadata, Node, NodeKind, ReadTarOptions, Store, TarError, TarErrorKind, TarWarningKind, Timestamp, Tree,
    Unpacked, parse_acl, read_tar,
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
    assert!(none.ends_with("a hard link to /none, which is not there: no entry before it has it"), "{none}");
    let itself = failure(&archive(&[entry(b'1', b"./a").link(b"a")]));
    assert!(itself.contains("a hard link to /a, which is not there: that is the link itself, and no"), "{itself}");
    // GNU tar archives a file so that it is asked for twice.
    assert_eq!(paths(&tree(&[entry(b'0', b"a"), entry(b'1', b"a").link(b"a")])), ["/", "/a"]);
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
    let nameless = failure(&archive(&[entry(b'0', b"")]));
    assert!(nameless.contains("entry 1 (``, at byte 0)"), "{nameless}");
    let unfinished = records(&[("path", b"x")]);
    let dangling = failure(&archive(&[entry(b'x', b"x").content(&unfinished)]));
    assert!(dangling.ends_with("malformed extended header: no entry follows it"), "{dangling}");
}

#[test]
fn a_gzip_file_may_have_several_members_and_padding() {
    let pack = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, bytes).unwrap();
        encoder.finish().unwrap()
    };
    let whole = archive(&[entry(b'0', b"one").content(b"1"), entry(b'0', b"two")]);
    let (first, second) = whole.split_at(700);
    let padding = vec![0; 300_000];
    for parts in [
        vec![pack(&whole), padding.clone()],
        vec![pack(first), pack(second)],
        vec![pack(first), padding.clone(), pack(second), vec![0]],
    ] {
        let (unpacked, ..) = read(&parts.concat()).unwrap();
        assert_eq!(paths(&unpacked.tree), ["/", "/one", "/two"]);
        assert!(unpacked.warnings.is_empty());
    }
    assert!(failure(&[pack(&whole), b"garbage and more of it".to_vec()].concat()).contains("invalid gzip header"));
    let cut = pack(&whole);
    assert!(failure(&cut[..cut.len() - 3]).contains("cut off"), "{}", failure(&cut[..cut.len() - 3]));
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

/// It was said that the root can only be a directory, which nobody had asked for.
#[test]
fn what_has_no_name_is_told() {
    for (type_flag, what) in [(b'0', "regular file"), (b'2', "symbolic link"), (b'6', "fifo"), (b'1', "hard link")] {
        let nameless = failure(&archive(&[entry(b'0', b"ok"), entry(type_flag, b"").link(b"ok")]));
        assert_eq!(nameless, format!("cannot read archive entry 2 (``, at byte 512): a {what} without a name"));
    }
    assert_eq!(paths(&tree(&[entry(b'5', b"")])), ["/"]);
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
}

/// An error in a header that comes before an entry names that entry, or if nothing does, the header.
#[test]
fn errors_of_extended_headers_are_of_an_entry() {
    let of = |pairs: &[(&str, &[u8])]| {
        failure(&archive(&[
            entry(b'0', b"first"),
            entry(b'x', b"PaxHeaders/a").content(&records(pairs)),
            entry(b'0', b"a"),
        ]))
    };
    let uid = of(&[("uid", b"4294967296"), ("path", b"usr/bin/a")]);
    assert_eq!(uid, "cannot read archive entry 2 (`usr/bin/a`, at byte 512): impossible uid");
    let unnamed = of(&[("gid", b"-1")]);
    assert_eq!(unnamed, "cannot read archive entry 2 (`PaxHeaders/a`, at byte 512): impossible gid");
    let attribute = of(&[("path", b"b"), ("SCHILY.xattr.user.\0", b"1")]);
    assert!(
        attribute.contains("entry 2 (`b`, at byte 512): malformed extended header: impossible name"),
        "{attribute}"
    );
    let long = entry(b'x', b"PaxHeaders/a").bytes_with(|header| header[124..135].copy_from_slice(b"77777777777"));
    assert!(failure(&long).contains("entry 1 (`PaxHeaders/a`, at byte 0): extended header of"), "{}", failure(&long));
}

/// Such a header's size may be the file's, or that of content. That shows behind it.
#[test]
fn hard_links_with_content_are_told() {
    let sized = |content: &'static [u8]| {
        let link = entry(b'1', b"b").link(b"a").bytes_with(|header| header[124..135].copy_from_slice(b"00000000007"));
        [&entry(b'0', b"a").content(b"content").bytes()[..], &link, content, &entry(b'0', b"c").bytes(), &END].concat()
    };
    let (unpacked, ..) = read(&sized(b"")).unwrap();
    assert_eq!(paths(&unpacked.tree), ["/", "/a", "/b", "/c"]);
    let wanted = "cannot read archive entry 2 (`b`, at byte 1024): a hard link with content is not supported";
    assert_eq!(failure(&sized(&[b'x'; 512])), wanted);
    assert_eq!(failure(&sized(&[0; 512])), wanted, "which an end mark would look like");
}

/// What a few headers say about all entries, or many about one, does not fill the memory.
#[test]
fn extended_attributes_are_bounded() {
    let header = |type_flag, name: &str, bytes: usize| {
        entry(type_flag, b"header").content(&records(&[(name, &vec![b'v'; bytes])])).bytes()
    };
    let large = failure(&[header(b'g', "SCHILY.xattr.user.a", 300_000), END.to_vec()].concat());
    assert!(large.contains("entry 1 (`header`, at byte 0): global headers say 300"), "{large}");
    let mut many = header(b'g', "SCHILY.xattr.user.a", 250_000);
    let empty: Vec<u8> = (0..300).flat_map(|number| entry(b'0', format!("f{number}").as_bytes()).bytes()).collect();
    many.extend([&empty[..], &END].concat());
    let many = failure(&many);
    assert!(many.contains("(`f268`, at byte ") && many.contains("global headers say 67"), "{many}");

    // What `write_tar` makes of a node with the most that it can have is read again.
    let two = [header(b'x', "SCHILY.xattr.user.a", 8 << 20), header(b'x', "SCHILY.xattr.user.b", 8 << 20)].concat();
    let (unpacked, store, _scratch) = read(&[&two[..], &entry(b'0', b"a").bytes(), &END].concat()).unwrap();
    let written = image_tree::write_tar(&unpacked.tree, &store, Vec::new(), Default::default()).unwrap();
    assert!(read(&written).unwrap().0.tree == unpacked.tree);
    let value =
        [entry(b'E', b"h").content(&attribute(b'0', b"a\0c\0")).bytes(), entry(b'E', b"v").content(b"1").bytes()];
    let third = [&two[..], &entry(b'0', b"a").bytes(), &value.concat(), &END].concat();
    let wanted = "entry 3 (`v`, at byte 16780800): extended attributes of 16777217 bytes; a file can have 16777216";
    assert!(failure(&third).ends_with(wanted), "{}", failure(&third));
}

/// Such a name has no file, which an attribute is in ZFS.
#[test]
fn attributes_that_could_be_no_file_are_left_out() {
    let odd = records(&[("SCHILY.xattr.user.a/b", b"1"), ("SCHILY.xattr...", b"2"), ("SCHILY.xattr.user.c", b"3")]);
    let (unpacked, ..) = read(&archive(&[entry(b'x', b"x").content(&odd), entry(b'0', b"a")])).unwrap();
    let names: Vec<_> = unpacked.tree.get(&path("/a")).unwrap().metadata.xattrs.keys().cloned().collect();
    assert_eq!(names, [b"user.c"]);
    let warning = &unpacked.warnings[0];
    assert_eq!((&warning.kind, warning.count, &warning.first_name[..]), (&TarWarningKind::AttributeName, 2, &b"a"[..]));
}

/// Fails where nobody has to read.
struct Forbidden;

impl std::io::Read for Forbidden {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("the archive was read on"))
    }
}

/// A map is in its entry, however many extents it says there are.
#[test]
fn sparse_maps_end_with_their_entries() {
    let map = records(&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"100")]);
    let (_scratch, store) = support::store();
    for start in ["99999999999\n", "99999999999\n9\n1\n8\n1\n"] {
        let mut file = entry(b'0', b"file").bytes_with(|header| header[124..135].copy_from_slice(b"00000000144"));
        file.extend([start.as_bytes(), &b"1\n0\n".repeat(300_000)].concat());
        let archive = [entry(b'x', b"x").content(&map).bytes(), file].concat();
        let archive = std::io::Read::chain(&archive[..], Forbidden);
        let error = read_tar(archive, &store, ReadTarOptions::default()).unwrap_err();
        assert!(matches!(error.kind, TarErrorKind::Field("map of a sparse file")), "{error:?}");
    }
}

#[test]
fn files_longer_than_any_system_opens_are_refused() {
    let keywords = [("GNU.sparse.major", &b"1"[..]), ("GNU.sparse.minor", b"0")];
    for (length, is_taken) in [(&b"9223372036854775807"[..], true), (b"9223372036854775808", false)] {
        let map = records(&[&keywords[..], &[("GNU.sparse.realsize", length)]].concat());
        let bytes = archive(&[
            entry(b'x', b"x").content(&map),
            entry(b'0', b"f").content(&[b"0\n".as_slice(), &[0; 510]].concat()),
        ]);
        assert_eq!(read(&bytes).is_ok(), is_taken);
        assert!(is_taken || failure(&bytes).ends_with("(`f`, at byte 0): impossible length of a sparse file"));
    }
    let (_scratch, store) = support::store();
    let huge = image_tree::Content::sparse(store.put_bytes(b"").unwrap().blob(), 1 << 63, &[]).unwrap();
    let refused = Tree::default().insert(&path("/huge"), Node::regular(huge, mode(0o644))).unwrap_err();
    assert!(refused.to_string().contains("more than 9223372036854775807 bytes"), "{refused}");
}

/// What illumos tar writes before an extended attribute (`xattr_hdr` and `xattr_buf`).
fn attribute(type_flag: u8, names: &[u8]) -> Vec<u8> {
    let part = [format!("{:06}\0", names.len()).as_bytes(), &[type_flag], names, b"\0"].concat();
    let lengths = format!("{:09}\0{:09}\0{:09}\0", 37 + part.len(), part.len(), 0);
    [b"1.0\0\0\0\0", lengths.as_bytes(), &part].concat()
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
    let short = records(&[("uid", b"1")]);
    let [note, hidden, system, of_directory, missing, lone] = [
        (b'0', &b"./file\0note\0"[..]),
        (b'5', b"file\0.\0"),
        (b'0', b"file\0SUNWattr_rw\0"),
        (b'0', b"usr/share\0note\0"),
        (b'0', b"missing\0x\0"),
        (b'0', b"file\0x\0"),
    ]
    .map(|(type_flag, names)| attribute(type_flag, names));
    let entries = [
        entry(b'X', b"/tmp/xhdr").content(&extended),
        entry(b'4', b"usr/share/nnn"),
        entry(b'A', b"ufsacl").content(b"1000004\0user::rwx"),
        entry(b'0', b"file").content(b"content"),
        entry(b'E', b"/dev/null/note.hdr").content(&note),
        entry(b'X', b"/tmp/xhdr").content(&short),
        entry(b'E', b"/dev/null/note").content(b"value of the attribute"),
        entry(b'E', b"/dev/null/..hdr").content(&hidden),
        entry(b'E', b"/dev/null/."),
        entry(b'E', b"/dev/null/SUNWattr_rw.hdr").content(&system),
        entry(b'E', b"/dev/null/SUNWattr_rw").content(b"a list of names and values"),
        entry(b'E', b"/dev/null/note.hdr").content(&of_directory),
        entry(b'E', b"/dev/null/note").content(b"of a directory"),
        entry(b'E', b"/dev/null/x.hdr").content(&missing),
        entry(b'E', b"/dev/null/x").content(b"1.0\0"),
        entry(b'E', b"/dev/null/x").content(b"what is no header"),
        entry(b'E', b"/dev/null/x.hdr").content(&lone),
        entry(b'0', b"last"),
        entry(b'Z', b"strange").content(b"skipped"),
    ];
    let (unpacked, ..) = read(&archive(&entries)).unwrap();
    let device = unpacked.tree.get(&path([b"/", &long[..]].concat())).unwrap();
    assert_eq!(device.kind, NodeKind::BlockDevice { major: 300, minor: 70000 });
    assert_eq!(device.metadata.uid, 3_000_000);
    assert_eq!(device.metadata.mtime, Timestamp { secs: 1_234_567_890, nanos: 123_456_789 });
    assert_eq!(unpacked.tree.len(), 1 + 3 + 2, "nothing at /dev/null");
    let notes = ["/file", "/usr/share"].map(|name| unpacked.tree.get(&path(name)).unwrap().metadata.xattrs.clone());
    let note = |value: &[u8]| std::collections::BTreeMap::from([(b"note".to_vec(), value.to_vec())]);
    assert_eq!(notes, [note(b"value of the attribute"), note(b"of a directory")]);
    let warnings: Vec<_> =
        unpacked.warnings.iter().map(|warning| (warning.kind.clone(), warning.count, warning.first_entry)).collect();
    let wanted = [
        (TarWarningKind::Acl, 1, 2),
        (TarWarningKind::AttributeFile, 4, 8),
        (TarWarningKind::UnknownType(b'Z'), 1, 16),
    ];
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
        ("LIBARCHIVE.xattr.user.x", b"A!"),
    ]);
    // Either order, and the one form alone.
    let kept = records(&[
        ("SCHILY.xattr.user.k", b"v"),
        ("LIBARCHIVE.xattr.user.k", b"dg"),
        ("LIBARCHIVE.xattr.user.l", b"dw=="),
        ("SCHILY.xattr.user.l", b"w"),
        ("LIBARCHIVE.xattr.user.%3Dm%20%25", b"AAE"),
    ]);
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
    let xattrs = &unpacked.tree.get(&path("/b")).unwrap().metadata.xattrs;
    let pairs: Vec<_> = xattrs.iter().map(|(name, value)| (&name[..], &value[..])).collect();
    assert_eq!(pairs, [(&b"user.=m %"[..], &b"\0\x01"[..]), (b"user.k", b"v"), (b"user.l", b"w")]);
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
