//! Directories, what is in their way, and what is salvaged from them.

use super::{DIR, FILE, refused};
use crate::image::Image;
use image_tree::{ImagePath, Metadata, Node};

#[test]
fn what_stands_in_the_way() {
    let mut image = Image::with_accounts();
    image.put_node("l", Node::symlink("etc", Metadata::new(0, 0, 0o777)));
    refused(&mut image, &[("a", &format!("file @x@ {FILE}l/x"))], "because /l is a symbolic link");
    refused(&mut image, &[("a", &format!("{DIR}l"))], "because /l is a symbolic link");
    refused(&mut image, &[("a", "hardlink path=h target=none")], "cannot be linked to /none");
    refused(&mut image, &[("a", "hardlink path=h target=i\nhardlink path=i target=h")], "cannot be linked");
    refused(&mut image, &[("a", "file path=x mode=0644 owner=root group=sys")], "has no payload");
    refused(&mut image, &[("a", &format!("file {} {FILE}x", "0".repeat(40)))], "not to be had");
    refused(&mut image, &[("a", &format!("file @x@ timestamp=yesterday {FILE}x"))], "which is not a time");
    image.put("d/mine", "mine");
    image.put("f", "a file");
    image.change(&[("a", &format!("file @x@ {FILE}d\n{DIR}f"))]).unwrap();
    assert_eq!(
        image.list("d") + &image.list("f") + &image.list("var/pkg/lost+found"),
        "0644 0:3 d \"x\"\n0755 0:3 f/\n0755 0:0 var/pkg/lost+found/\n0755 0:0 var/pkg/lost+found/d-20240301T010203Z/\n\
         0644 0:3 var/pkg/lost+found/d-20240301T010203Z/mine \"mine\"\n\
         0644 0:3 var/pkg/lost+found/f-20240301T010203Z \"a file\"\n"
    );
    assert_eq!(image.warnings.len(), 2);
}

#[test]
fn a_directory_takes_what_was_salvaged_from_another() {
    let mut image = Image::with_accounts();
    image.change(&[("a/1", &format!("{DIR}old\nfile @x@ {FILE}old/x\n{DIR}old/sub"))]).unwrap();
    image.put("old/mine", "mine");
    image.put("old/sub/deep", "deep");
    image.put("old/kept", "theirs");
    image.put("new/kept", "kept");
    let new = "dir mode=0755 owner=root group=sys path=new salvage-from=old";
    image.change(&[("a/2", new)]).unwrap();
    assert_eq!((image.text("new/mine"), image.text("new/sub/deep")), ("mine".into(), "deep".into()));
    assert_eq!(image.text("new/kept"), "kept");
    assert_eq!(image.text("var/pkg/lost+found/old-20240301T010203Z/kept"), "theirs");
    assert_eq!(image.warnings, ["what was at /old before is kept as /var/pkg/lost+found/old-20240301T010203Z"]);
    refused(&mut image, &[("a/2", "dir mode=0755 owner=root group=sys path=n salvage-from=../x")], "`dir`");
}

/// What is salvaged from far below needs the directories between, and never comes to be through a link.
#[test]
fn what_was_salvaged_deep_below_keeps_its_place_below() {
    for (salvage, prepared, expected) in [
        ("old", "", Some("new/a/b/mine")),
        ("", "", Some("new/old/a/b/mine")),
        ("/", "", Some("new/old/a/b/mine")),
        ("old", "link", None),
        ("old", "file", None),
    ] {
        let mut image = Image::with_accounts();
        let old = format!("{DIR}old\n{DIR}old/a\n{DIR}old/a/b\n{DIR}etc");
        image.change(&[("a/1", &old)]).unwrap();
        image.put("old/a/b/mine", "mine");
        let way = ImagePath::new("/new/a").unwrap();
        let parent = ImagePath::new("/new").unwrap();
        if !prepared.is_empty() {
            image.tree.insert(&parent, Node::directory(Metadata::new(0, 0, 0o755))).unwrap();
            let node = match prepared {
                "link" => Node::symlink("/etc", Metadata::new(0, 0, 0o777)),
                _ => Node::directory(Metadata::new(0, 0, 0o755)),
            };
            image.tree.insert(&way, node).unwrap();
        }
        if prepared == "file" {
            image.tree.remove_subtree(&way).unwrap();
            image.put("new/a", "in the way");
        }
        let new = format!("dir mode=0755 owner=root group=sys path=new salvage-from=\"{salvage}\"\n{DIR}etc");
        image.change(&[("a/2", &new)]).unwrap();
        let kept = "var/pkg/lost+found/old/a/b-20240301T010203Z/mine";
        assert_eq!(image.text(expected.unwrap_or(kept)), "mine", "{salvage:?} {prepared}");
        assert!(image.tree.get(&ImagePath::new("/etc/b").unwrap()).is_none(), "{salvage:?} {prepared}");
    }
}

#[test]
fn directories_that_nobody_delivers_are_like_the_one_above() {
    let mut image = Image::with_accounts();
    let manifest = format!(
        "dir mode=01777 owner=bin group=staff path=top\nfile @x@ {FILE}top/a/b/x\n\
         dir mode=0700 owner=root group=sys path=top/c/d/e\nlink path=top/f/g/l target=x"
    );
    image.change(&[("a", &manifest)]).unwrap();
    let list = image.list("top");
    let directories: Vec<&str> = list.lines().filter(|line| line.ends_with('/')).collect();
    assert_eq!(
        directories,
        [
            "1777 2:10 top/",
            "1777 2:10 top/a/",
            "0755 2:10 top/a/b/",
            "1777 2:10 top/c/",
            "1777 2:10 top/c/d/",
            "0700 0:3 top/c/d/e/",
            "1777 2:10 top/f/",
            "0755 2:10 top/f/g/",
        ]
    );
    // The place is there for a file that is not delivered at first, too.
    image.change(&[("b", &format!("file @x@ preserve=legacy {FILE}etc/later/x"))]).unwrap();
    assert_eq!(image.list("etc/later"), "0755 0:0 etc/later/\n");
}

#[test]
fn removal_leaves_what_is_not_the_packages() {
    let mut image = Image::with_accounts();
    let manifest = format!(
        "{DIR}d\n{DIR}var\nfile @x@ {FILE}d/x\nfile @p@ preserve=true {FILE}d/edited\nfile @q@ preserve=true {FILE}d/q\n\
         file @a@ preserve=install-only {FILE}keep/a\nfile @t@ preserve=install-only {FILE}top\nlink path=d/l target=x\nfile @z@ {FILE}implied/z"
    );
    image.change(&[("a", &manifest)]).unwrap();
    image.put("d/edited", "mine");
    image.put("d/user", "mine");
    image.put("implied/user", "mine");
    image.put("var/pkg/own", "metadata");
    image.change(&[]).unwrap();
    let list = image.list("");
    let left: Vec<&str> = list.lines().filter(|line| line.contains('"') && !line.contains("etc/")).collect();
    assert_eq!(
        left,
        [
            "0644 0:3 top \"t\"",
            "0644 0:3 var/pkg/lost+found/d/edited-20240301T010203Z \"mine\"",
            "0644 0:3 var/pkg/lost+found/d-20240301T010203Z/user \"mine\"",
            "0644 0:3 var/pkg/lost+found/implied-20240301T010203Z/user \"mine\"",
            "0644 0:3 var/pkg/lost+found/keep-20240301T010203Z/a \"a\"",
            "0644 0:3 var/pkg/own \"metadata\"",
        ]
    );
}

#[test]
fn what_was_put_in_the_place_of_a_directory_is_salvaged_as_that_goes() {
    let mut image = Image::with_accounts();
    image.change(&[("a", &format!("{DIR}d\n{DIR}e\n{DIR}e/sub\nfile @x@ {FILE}f/x\n{DIR}gone"))]).unwrap();
    for path in ["d", "e", "f", "gone"] {
        image.tree.remove_subtree(&ImagePath::from_relative(path).unwrap()).unwrap();
    }
    image.put_node("d", Node::symlink("etc", Metadata::new(0, 0, 0o777)));
    image.put("e", "mine");
    image.put("f", "mine");
    image.change(&[]).unwrap();
    assert_eq!(
        image.list("var/pkg/lost+found"),
        "0755 0:0 var/pkg/lost+found/\n0777 0:0 var/pkg/lost+found/d-20240301T010203Z -> etc\n\
         0644 0:3 var/pkg/lost+found/e-20240301T010203Z \"mine\"\n0644 0:3 var/pkg/lost+found/f-20240301T010203Z \"mine\"\n"
    );
}

#[test]
fn directories_of_the_image_itself_stay() {
    let mut image = Image::with_accounts();
    let manifest = format!("{DIR}var\n{DIR}var/pkg\n{DIR}var/sadm/install\nlegacy pkg=SUNWcs\n{DIR}var/sadm/other");
    image.change(&[("a", &manifest)]).unwrap();
    image.put("var/sadm/pkg/SUNWcs/mine", "mine");
    image.change(&[]).unwrap();
    assert_eq!(
        image.list("var/sadm"),
        "0755 0:3 var/sadm/\n0755 0:3 var/sadm/install/\n0644 0:0 var/sadm/install/contents \"\"\n"
    );
    assert_eq!(image.text("var/pkg/lost+found/var/sadm/pkg/SUNWcs-20240301T010203Z/mine"), "mine");
}

/// Who takes over from another package goes on from what is there; a further one makes it anew.
#[test]
fn a_further_package_resets_a_directory_or_link() {
    let manifest = format!("{DIR}d\n{DIR}f\nlink path=l target=d");
    for (after, is_reset) in [
        (&["a/1", "b", "c"][..], true),
        (&["A", "a/1", "b"], true),
        (&["b", "c", "e"], true),
        (&["a/1", "c"], true),
        (&["c"], false),
        (&["b"], false),
        (&["a/2", "b"], false),
    ] {
        let mut image = Image::with_accounts();
        image.change(&[("a/1", &manifest), ("b", &manifest)]).unwrap();
        image.put_node("d", Node::directory(Metadata::new(2, 2, 0o700)));
        image.put_node("l", Node::symlink("mine", Metadata::new(0, 0, 0o777)));
        let packages: Vec<(&str, &str)> = after.iter().map(|name| (*name, manifest.as_str())).collect();
        image.change(&packages).unwrap();
        let expected = if is_reset { "0755 0:3 d/\n0777 0:0 l -> d\n" } else { "0700 2:2 d/\n0777 0:0 l -> mine\n" };
        assert_eq!(image.list("d") + &image.list("l"), expected, "{after:?}");
    }
    // A file in the place of the directory is salvaged.
    let mut image = Image::with_accounts();
    image.change(&[("a", &manifest)]).unwrap();
    image.tree.remove(&ImagePath::new("/f").unwrap()).unwrap();
    image.put("f", "mine");
    image.change(&[("a", &manifest), ("b", &manifest)]).unwrap();
    assert_eq!(image.list("f"), "0755 0:3 f/\n");
    assert_eq!(image.text("var/pkg/lost+found/f-20240301T010203Z"), "mine");
}

#[test]
fn a_directory_becomes_a_link_and_the_other_way_round() {
    let mut image = Image::with_accounts();
    let as_dir = format!("{DIR}lib\nfile @x@ {FILE}lib/x");
    let as_link = format!("{DIR}usr/lib\nfile @x@ {FILE}usr/lib/x\nlink path=lib target=usr/lib");
    image.change(&[("a", &as_dir)]).unwrap();
    image.change(&[("a", &as_link)]).unwrap();
    assert_eq!(image.list("lib"), "0777 0:0 lib -> usr/lib\n");
    image.change(&[("a", &as_dir)]).unwrap();
    assert_eq!(image.list("lib"), "0755 0:3 lib/\n0644 0:3 lib/x \"x\"\n");
    assert!(image.warnings.is_empty());
}
