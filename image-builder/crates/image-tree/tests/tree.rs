//! Trees as values: resolving, changing, sharing, comparing.

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use image_tree::{
    Change, ChangeKind, Content, DEPTH_MAX, Field, Follow, ImagePath, Metadata, Node, NodeKind, Store, Timestamp, Tree,
    TreeError, diff,
};
use support::{add, mode, path};

fn file(text: &str) -> Node {
    let content = Content::plain(image_tree::BlobHash::of(text.as_bytes()), text.len() as u64);
    Node::regular(content, mode(0o644))
}

fn symlink(target: &str) -> Node {
    Node::symlink(target, mode(0o777))
}

/// A tree with symbolic links of every kind.
fn maze() -> Tree {
    let mut tree = Tree::default();
    for (at, target) in [
        ("/bin", "usr/bin"),
        ("/abs", "/usr/lib/"),
        ("/up", "../../../../usr"),
        ("/usr/lib/up", "../bin"),
        ("/usr/lib/far", "./../.././etc"),
        ("/loop", "loop2/x"),
        ("/loop2", "loop"),
        ("/dangling", "usr/none"),
        ("/deep-dangling", "none/none"),
        ("/to-file", "etc/file"),
    ] {
        add(&mut tree, at, symlink(target));
    }
    add(&mut tree, "/usr/bin/ls", file("ls"));
    add(&mut tree, "/etc/file", file("file"));
    tree
}

#[test]
fn paths_resolve_inside_the_tree() {
    let tree = maze();
    let cases = [
        ("/", Follow::No, "/", Some("directory")),
        ("/bin", Follow::No, "/bin", Some("symbolic link")),
        ("/bin", Follow::Yes, "/usr/bin", Some("directory")),
        ("/bin/ls", Follow::No, "/usr/bin/ls", Some("regular file")),
        ("/abs/up/ls", Follow::No, "/usr/bin/ls", Some("regular file")),
        ("/up", Follow::Yes, "/usr", Some("directory")),
        ("/up/lib/far/file", Follow::No, "/etc/file", Some("regular file")),
        ("/to-file", Follow::Yes, "/etc/file", Some("regular file")),
        ("/bin/new", Follow::No, "/usr/bin/new", None),
        ("/dangling", Follow::Yes, "/usr/none", None),
        ("/dangling", Follow::No, "/dangling", Some("symbolic link")),
    ];
    for (at, follow, wanted, kind) in cases {
        let at = path(at);
        let found = tree.resolve(&at, follow).unwrap();
        assert_eq!((found.path, found.node.map(|node| node.kind.name())), (path(wanted), kind), "{at}");
    }
}

#[test]
fn paths_that_lead_nowhere_say_where_they_end() {
    let tree = maze();
    let not_found = |at| TreeError::NotFound { path: path(at) };
    let cases = [
        ("/none/x", not_found("/none")),
        ("/bin/none/x", not_found("/usr/bin/none")),
        ("/dangling/x", not_found("/usr/none")),
        ("/deep-dangling", not_found("/none")),
        ("/bin/ls/x", TreeError::NotADirectory { path: path("/usr/bin/ls"), kind: "regular file" }),
        ("/to-file/x", TreeError::NotADirectory { path: path("/etc/file"), kind: "regular file" }),
        ("/loop", TreeError::TooManySymlinks { path: path("/loop") }),
        ("/loop2/x", TreeError::TooManySymlinks { path: path("/loop2/x") }),
    ];
    for (at, wanted) in cases {
        assert_eq!(tree.resolve(&path(at), Follow::Yes).unwrap_err(), wanted, "{at}");
    }
    assert_eq!(tree.lookup(&path("/bin/new"), Follow::No).unwrap_err(), not_found("/usr/bin/new"));
}

#[test]
fn forty_links_are_followed_and_no_more() {
    let mut tree = Tree::default();
    tree.insert(&path("/0"), file("end")).unwrap();
    for number in 1..=41 {
        tree.insert(&path(format!("/{number}")), symlink(&(number - 1).to_string())).unwrap();
    }
    assert_eq!(tree.resolve(&path("/40"), Follow::Yes).unwrap().path, path("/0"));
    assert!(matches!(tree.resolve(&path("/41"), Follow::Yes), Err(TreeError::TooManySymlinks { .. })));
}

#[test]
fn changes_go_through_links_in_parents_only() {
    let mut tree = maze();
    assert_eq!(tree.insert(&path("/bin/new"), file("new")).unwrap(), path("/usr/bin/new"));
    assert_eq!(tree.insert(&path("/to-file"), file("replaced")).unwrap(), path("/to-file"));
    assert_eq!(tree.get(&path("/etc/file")), Some(&file("file")), "the link was replaced, not its target");
    assert_eq!(tree.remove(&path("/abs")).unwrap(), path("/abs"));
    assert!(tree.get(&path("/usr/lib")).is_some());
    tree.set_metadata(&path("/bin"), Follow::Yes, mode(0o700)).unwrap();
    assert_eq!(tree.get(&path("/usr/bin")).unwrap().metadata, mode(0o700));
    assert_eq!(tree.get(&path("/bin")).unwrap().metadata, mode(0o777));
    assert_eq!(tree.create_dir(&path("/bin/sub"), mode(0o711), &mode(0)).unwrap(), path("/usr/bin/sub"));
    assert_eq!(tree.hard_link(&path("/bin/new"), &path("/up/other")).unwrap(), path("/usr/other"));
}

#[test]
fn missing_parents_get_metadata_of_their_own() {
    let mut tree = maze();
    assert_eq!(tree.create_dir(&path("/dangling/a/b"), mode(0o700), &mode(0o750)).unwrap(), path("/usr/none/a/b"));
    for (at, wanted) in [("/usr/none", 0o750), ("/usr/none/a", 0o750), ("/usr/none/a/b", 0o700), ("/usr", 0o755)] {
        assert_eq!(tree.get(&path(at)).unwrap().metadata, mode(wanted), "{at}");
    }
    let before = tree.clone();
    tree.create_dir(&path("/usr/none/a"), mode(0), &mode(0)).unwrap();
    assert_eq!(tree, before, "what exists is left as it is");
    let error = tree.create_dir(&path("/etc/file/x"), mode(0), &mode(0)).unwrap_err();
    assert_eq!(error, TreeError::NotADirectory { path: path("/etc/file"), kind: "regular file" });
    let error = tree.create_dir(&path("/etc/file"), mode(0), &mode(0)).unwrap_err();
    assert_eq!(error, TreeError::NotADirectory { path: path("/etc/file"), kind: "regular file" });
}

#[test]
fn a_failed_change_changes_nothing() {
    let original = maze();
    let at = path;
    type Change = fn(&mut Tree) -> Result<ImagePath, TreeError>;
    let failures: [(&str, Change); 13] = [
        ("/usr is a directory", |tree| tree.insert(&path("/usr"), file("x"))),
        ("/ is a directory", |tree| tree.insert(&path("/"), file("x"))),
        ("/etc/file is a regular file, not a directory", |tree| {
            tree.insert(&path("/etc/file"), Node::directory(mode(0)))
        }),
        ("/none does not exist in the image", |tree| tree.insert(&path("/none/x"), file("x"))),
        ("directory /usr is not empty", |tree| tree.remove(&path("/usr"))),
        ("directory / is not empty", |tree| tree.remove(&path("/"))),
        ("the root directory of the image can only be a directory", |tree| tree.remove_subtree(&path("/"))),
        ("/none does not exist in the image", |tree| tree.remove_subtree(&path("/none"))),
        ("/usr is a directory", |tree| tree.hard_link(&path("/usr"), &path("/x"))),
        ("/bin exists already", |tree| tree.hard_link(&path("/etc/file"), &path("/bin"))),
        ("/x cannot get an empty link target", |tree| tree.insert(&path("/x"), symlink(""))),
        ("/etc/file cannot get mode bits beyond 07777", |tree| {
            tree.update_metadata(&path("/etc/file"), Follow::No, |metadata| metadata.mode = 0o10000)
        }),
        ("/etc/file cannot get a time with a billion nanoseconds or more", |tree| {
            let mtime = Timestamp { secs: 0, nanos: 1_000_000_000 };
            tree.set_metadata(&path("/etc/file"), Follow::No, Metadata { mtime, ..mode(0) })
        }),
    ];
    for (message, change) in failures {
        let mut tree = original.clone();
        assert_eq!(change(&mut tree).unwrap_err().to_string(), message);
        assert_eq!(tree, original, "{message}");
    }
    assert!(original.get(&at("/x")).is_none());
}

#[test]
fn snapshots_do_not_see_later_changes() {
    let mut tree = maze();
    let snapshot = tree.clone();
    let hash = snapshot.hash();
    tree.update_metadata(&path("/usr/bin/ls"), Follow::No, |metadata| metadata.uid = 7).unwrap();
    assert_eq!(snapshot.get(&path("/usr/bin/ls")).unwrap().metadata.uid, 0);
    assert_ne!(tree.hash(), hash);
    assert_eq!(snapshot.hash(), hash);
    tree.update_metadata(&path("/usr/bin/ls"), Follow::No, |metadata| metadata.uid = 0).unwrap();
    assert_eq!(tree.hash(), hash, "the hash depends on what is there, not on how it came");
}

#[test]
fn hard_links_are_one_node() {
    let mut tree = Tree::default();
    add(&mut tree, "/a/one", file("x"));
    tree.hard_link(&path("/a/one"), &path("/two")).unwrap();
    tree.hard_link(&path("/two"), &path("/a/three")).unwrap();
    let links = tree.links(&path("/two")).unwrap();
    assert_eq!((links.count(), links.first()), (3, &path("/a/one")));
    assert_eq!(links.paths().cloned().collect::<Vec<_>>(), ["/a/one", "/a/three", "/two"].map(path));
    assert_eq!((tree.statistics().nodes(), tree.statistics().content_bytes), (3, 1));

    tree.update_metadata(&path("/two"), Follow::No, |metadata| metadata.mode = 0o4755).unwrap();
    assert_eq!(tree.get(&path("/a/three")).unwrap().metadata.mode, 0o4755);

    tree.insert(&path("/two"), file("new")).unwrap();
    assert_eq!(tree.get(&path("/a/one")).unwrap().content(), file("x").content(), "replacing unlinks first");
    assert!(tree.links(&path("/two")).is_none());
    assert_eq!(tree.links(&path("/a/one")).unwrap().count(), 2);
    tree.remove(&path("/a/three")).unwrap();
    assert!(tree.links(&path("/a/one")).is_none(), "one name left is an ordinary file");
    assert_eq!(tree.link_sets().count(), 0);
}

#[test]
fn hard_links_are_part_of_the_hash() {
    let mut linked = Tree::default();
    add(&mut linked, "/a", file("x"));
    let mut copied = linked.clone();
    linked.hard_link(&path("/a"), &path("/b")).unwrap();
    add(&mut copied, "/b", file("x"));
    assert_ne!(linked.hash(), copied.hash());
    assert_ne!(linked, copied);
    let fields = ChangeKind::Changed(BTreeSet::from([Field::Links]));
    let wanted = ["/a", "/b"].map(|at| Change { path: path(at), kind: fields.clone() });
    assert_eq!(diff(&copied, &linked), wanted);
}

#[test]
fn subtrees_and_grafts_carry_links_along() {
    let mut tree = Tree::default();
    add(&mut tree, "/a/in/one", file("x"));
    tree.hard_link(&path("/a/in/one"), &path("/a/in/two")).unwrap();
    tree.hard_link(&path("/a/in/one"), &path("/outside")).unwrap();
    add(&mut tree, "/a/in/lone", file("y"));
    tree.hard_link(&path("/a/in/lone"), &path("/a/out")).unwrap();

    let part = tree.subtree(&path("/a/in")).unwrap();
    assert_eq!(part.links(&path("/one")).unwrap().count(), 2);
    assert!(part.links(&path("/lone")).is_none(), "its other name is not in the subtree");

    tree.graft(&path("/a/out"), &part).unwrap();
    let sets: Vec<Vec<_>> = tree.link_sets().map(|links| links.paths().cloned().collect()).collect();
    let wanted = [vec!["/a/in/one", "/a/in/two", "/outside"], vec!["/a/out/one", "/a/out/two"]];
    assert_eq!(sets, wanted.map(|set| set.into_iter().map(path).collect::<Vec<_>>()));
    assert_eq!(tree.subtree(&path("/a/out")).unwrap(), part);

    tree.remove_subtree(&path("/a")).unwrap();
    assert_eq!(tree.link_sets().count(), 0);
    assert_eq!(tree.walk().map(|entry| entry.path).collect::<Vec<_>>(), [path("/"), path("/outside")]);
    assert!(tree.subtree(&path("/outside")).is_none() && tree.subtree(&path("/none")).is_none());
}

#[test]
fn walks_are_in_path_order_and_can_be_pruned() {
    let mut tree = Tree::default();
    for at in ["/b/x", "/a-b", "/a/z/1", "/a/a", "/c"] {
        add(&mut tree, at, file(at));
    }
    let order = ["/", "/a", "/a/a", "/a/z", "/a/z/1", "/a-b", "/b", "/b/x", "/c"].map(path);
    assert_eq!(tree.walk().map(|entry| entry.path).collect::<Vec<_>>(), order);
    assert!(order.is_sorted());
    let below: Vec<_> = tree.walk_from(&path("/a")).map(|entry| entry.path).collect();
    assert_eq!(below, order[1..5]);
    assert_eq!(tree.walk_from(&path("/none")).count(), 0);

    let mut walk = tree.walk();
    let mut pruned = Vec::new();
    while let Some(entry) = walk.next() {
        if matches!(entry.path.as_bytes(), b"/a" | b"/a-b") {
            walk.skip_subtree();
        }
        pruned.push(entry.path);
    }
    assert_eq!(pruned, ["/", "/a", "/a-b", "/b", "/b/x", "/c"].map(path));
    let names: Vec<_> =
        tree.read_dir(&path("/a")).unwrap().map(|(name, node)| (name.to_vec(), node.kind.name())).collect();
    assert_eq!(names, [(b"a".to_vec(), "regular file"), (b"z".to_vec(), "directory")]);
    assert!(tree.read_dir(&path("/c")).is_none());
}

#[test]
fn differences_name_what_changed() {
    let old = maze();
    let mut new = old.clone();
    assert_eq!(diff(&old, &new), []);
    new.insert(&path("/etc/file"), file("other")).unwrap();
    new.update_metadata(&path("/usr"), Follow::No, |metadata| (metadata.gid, metadata.mtime.secs) = (3, 1)).unwrap();
    new.insert(&path("/bin"), symlink("usr/sbin")).unwrap();
    new.remove(&path("/abs")).unwrap();
    new.insert(&path("/abs"), Node::directory(mode(0o755))).unwrap();
    new.insert(&path("/abs/in"), Node { kind: NodeKind::Fifo, metadata: mode(0o600) }).unwrap();
    new.remove_subtree(&path("/usr/bin")).unwrap();
    let changed = |fields: &[Field]| ChangeKind::Changed(fields.iter().copied().collect());
    let wanted = [
        ("/abs", changed(&[Field::Kind, Field::Mode])),
        ("/abs/in", ChangeKind::Added),
        ("/bin", changed(&[Field::Target])),
        ("/etc/file", changed(&[Field::Content])),
        ("/usr", changed(&[Field::Gid, Field::Mtime])),
        ("/usr/bin", ChangeKind::Removed),
        ("/usr/bin/ls", ChangeKind::Removed),
    ];
    assert_eq!(diff(&old, &new), wanted.map(|(at, kind)| Change { path: path(at), kind }));
}

/// Everything that recurses over directories, each in a thread with the usual stack.
#[test]
fn the_deepest_tree_fits_into_the_stack_of_a_thread() {
    let scratch = tempfile::tempdir().unwrap();
    let store = Store::open(scratch.path().join("store")).unwrap();
    let deepest = path("/d".repeat(DEPTH_MAX));
    let mut tree = Tree::default();
    tree.create_dir(&deepest, mode(0o755), &mode(0o755)).unwrap();

    assert_eq!(in_small_thread("hash", || tree.hash()), tree.clone().hash());
    assert_eq!(in_small_thread("statistics", || tree.statistics().directories), DEPTH_MAX as u64 + 1);
    let hash = in_small_thread("save", || tree.save(&store).unwrap());
    let loaded = in_small_thread("load", || Tree::load(&store, hash).unwrap());
    assert_eq!(loaded, tree);
    let removed = in_small_thread("diff", || diff(&loaded, &Tree::default()));
    assert_eq!(removed.len(), DEPTH_MAX);
    let other = in_small_thread("change", || {
        let mut other = loaded.clone();
        other.update_metadata(&deepest, Follow::No, |metadata| metadata.uid = 1).unwrap();
        other
    });
    assert_eq!(in_small_thread("diff", || diff(&loaded, &other)).len(), 1);
    in_small_thread("drop", move || drop(other));
    assert_eq!(tree.walk().count(), DEPTH_MAX + 1);
    let error = loaded.clone().graft(&path("/d"), &tree).unwrap_err();
    assert!(matches!(error, TreeError::Path { .. }), "{error}");
}

fn in_small_thread<T: Send>(what: &str, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name(what.to_owned()).stack_size(2 << 20);
        builder.spawn_scoped(scope, work).unwrap().join().unwrap()
    })
}

/// With 200 000 files, 2 000 changes each followed by a hash take far less than a second if they touch only
/// the way to the root, and minutes if they walk the tree.
#[test]
fn touching_one_file_does_not_walk_the_tree() {
    let mut tree = Tree::default();
    for directory in 0..2000 {
        let at = path(format!("/{}/{directory}", directory % 50));
        tree.create_dir(&at, mode(0o755), &mode(0o755)).unwrap();
        for name in 0..100 {
            tree.insert(&at.join(name.to_string()).unwrap(), file("x")).unwrap();
        }
    }
    let mut hashes = BTreeSet::from([tree.hash()]);
    let start = Instant::now();
    for uid in 1..=2000_u32 {
        let snapshot = tree.clone();
        let at = path(format!("/{}/{}/{}", uid % 50, uid % 50, uid % 100));
        tree.update_metadata(&at, Follow::No, |metadata| metadata.uid = uid).unwrap();
        hashes.insert(tree.hash());
        assert_eq!(diff(&snapshot, &tree).len(), 1);
        assert_eq!(tree.statistics().other_names, 200_000);
    }
    assert_eq!(hashes.len(), 2001);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}
