//! Installation: every action and rule in a small image.

#[path = "support/image.rs"]
#[allow(dead_code, reason = "every test binary uses another part of this")]
mod image;

use image::Image;
use image_tree::{ImagePath, Metadata, Node};
use ips::facet::Facets;
use ips::mediator::{Choice, Implementation, Mediation, Source};
use ips::variant::Variants;

const DIR: &str = "dir mode=0755 owner=root group=sys path=";
const FILE: &str = "mode=0644 owner=root group=sys path=";

fn refused(image: &mut Image, packages: &[(&str, &str)], expected: &str) {
    let before = image.tree.clone();
    let error = image.change(packages).unwrap_err();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    assert!(text.contains(expected), "{text}");
    assert_eq!(image.tree, before);
}

#[test]
fn directories_files_and_links() {
    let mut image = Image::with_accounts();
    let manifest = "dir mode=1777 owner=root group=sys path=tmp\n\
        dir mode=02755 owner=bin group=staff path=/usr/share/\n\
        file @set-id@ mode=4555 owner=root group=bin path=usr/bin/su timestamp=20200101T000000Z\n\
        file @@ mode=0600 owner=bin group=staff path=\"usr/share/a b\"\n\
        hardlink path=usr/bin/dir target=ls\n\
        hardlink path=usr/bin/ls target=../../usr/bin/su\n\
        hardlink path=usr/sbin/su target=/usr/bin/dir\n\
        link path=bin target=./usr/bin\n\
        link path=usr/share/abs target=/etc/passwd\n\
        unknown what=ever\n";
    image.change(&[("a", manifest)]).unwrap();
    assert_eq!(
        image.list("usr") + &image.list("tmp") + &image.list("bin"),
        "0755 0:0 usr/\n0755 0:0 usr/bin/\n4555 0:2 usr/bin/dir \"set-id\"\n4555 0:2 usr/bin/ls = /usr/bin/dir\n\
         4555 0:2 usr/bin/su = /usr/bin/dir\n0755 0:0 usr/sbin/\n4555 0:2 usr/sbin/su = /usr/bin/dir\n\
         2755 2:10 usr/share/\n0600 2:10 usr/share/a b \"\"\n0777 0:0 usr/share/abs -> /etc/passwd\n\
         1777 0:3 tmp/\n0777 0:0 bin -> ./usr/bin\n"
    );
    let mtime = |path: &str| image.tree.get(&ImagePath::new(path).unwrap()).unwrap().metadata.mtime.secs;
    assert_eq!(mtime("/usr/bin/su"), 1_577_836_800);
    assert_eq!(mtime("/usr/share/a b"), image::TIME);
    // Parents that no package delivers are like the next one above, but for the place of the file itself.
    image.change(&[("a", manifest), ("b", &format!("file @x@ {FILE}usr/share/new/er/x"))]).unwrap();
    assert!(image.list("usr/share/new").starts_with("2755 2:10 usr/share/new/\n0755 2:10 usr/share/new/er/\n"));
    image.change(&[]).unwrap();
    assert_eq!(image.list("").lines().count(), Image::with_accounts().list("").lines().count());
}

#[test]
fn the_same_packages_give_the_same_tree_in_any_order_and_at_any_number_of_steps() {
    let packages = [
        ("a", "dir mode=0755 owner=root group=sys path=d\nfile @one@ mode=0644 owner=root group=sys path=d/one"),
        ("b", "dir mode=0755 owner=root group=sys path=d\nuser username=u group=staff uid=50 group-list=bin"),
        ("c", "file @two@ mode=0644 owner=u group=sys path=d/two\nhardlink path=d/three target=two"),
    ];
    let mut at_once = Image::with_accounts();
    at_once.change(&packages).unwrap();
    let mut in_steps = Image::with_accounts();
    for end in 1..=packages.len() {
        in_steps.change(&packages[..end]).unwrap();
    }
    assert_eq!(at_once.tree, in_steps.tree, "{}\n{}", at_once.list(""), in_steps.list(""));
    let mut reversed = Image::with_accounts();
    reversed.change(&[packages[2], packages[1], packages[0]]).unwrap();
    assert_eq!(at_once.tree, reversed.tree);
}

#[test]
fn a_first_installation_knows_owners_from_its_own_actions_and_files() {
    let mut image = Image::new();
    let mut text = "group groupname=root gid=0\ngroup groupname=sys gid=3\ngroup groupname=gdm gid=50\n\
        user username=root uid=0 group=root password=$5$y lastchg=13817 login-shell=/bin/bash\n\
        user username=gdm group=gdm uid=50 group-list=sys group-list=tty ftpuser=false gcos-field=\"\"\n\
        dir path=etc mode=0755 owner=root group=sys\nfile @x@ path=etc/gdm.conf mode=0640 owner=gdm group=gdm\n"
        .to_owned();
    let tables = [
        ("etc/passwd", "root:x:0:0:Super-User:/root:/usr/bin/bash\ndaemon:x:1:1::/:\n"),
        ("etc/shadow", "root:$5$old:6445:7:::::\ndaemon:NP:6445::::::\n"),
        ("etc/group", "root::0:\nsys::3:root,adm\ntty::7:\nother::9:gdm\n"),
        ("etc/ftpd/ftpusers", "# comment\nroot\n"),
    ];
    for (path, content) in tables {
        let hash = image.contents.payload_of(content.as_bytes());
        text += &format!("file {hash} path={path} mode=0644 owner=root group=sys preserve=true\n");
    }
    image.change(&[("base", &text)]).unwrap();
    assert!(image.list("etc/gdm.conf").starts_with("0640 50:50"), "{}", image.list("etc"));
    assert_eq!(image.text("etc/passwd"), "root:x:0:0:& User:/:/bin/bash\ndaemon:x:1:1::/:\ngdm:x:50:50::/:\n");
    assert_eq!(image.text("etc/shadow"), "root:$5$y:13817::::::\ndaemon:NP:6445::::::\ngdm:*LK*:19783::::::\n");
    assert_eq!(image.text("etc/group"), "root::0:\nsys::3:adm,gdm\ntty::7:gdm\nother::9:\ngdm::50:\n");
    assert_eq!(image.text("etc/ftpd/ftpusers"), "# comment\ngdm\n");
    assert_eq!(image.list("etc/.pwd.lock"), "0644 0:0 etc/.pwd.lock \"\"\n");
}

#[test]
fn users_and_groups_in_tables_that_are_there() {
    let mut image = Image::with_accounts();
    let manifest = "group groupname=auto\ngroup groupname=staff gid=11\n\
        user username=bin group=bin password=\"\"\nuser username=new group=auto home-dir=/home min=7\n";
    image.change(&[("a", manifest)]).unwrap();
    assert_eq!(
        image.text("etc/passwd"),
        "root:x:0:0:Super-User:/root:/bin/sh\nbin:x:2:2:& User:/:\nnew:x:1:1:& User:/home:\n"
    );
    assert_eq!(image.text("etc/shadow"), "root:$5$x:19000::::::\nbin:NP:6445::::::\nnew:*LK*:19783:7:::::\n");
    assert_eq!(image.text("etc/group"), "root::0:\nbin::2:root\nsys::3:root\nstaff::11:\nauto::1:\n");
    // Somebody sets a password; an update leaves it alone, and removal takes the user out of everything.
    image.put("etc/shadow", "root:$5$x:19000::::::\nbin:NP:6445::::::\nnew:$5$mine:20000:7:::::\n");
    let manifest =
        "group groupname=auto\nuser username=new group=auto home-dir=/new min=8 password=$5$theirs group-list=bin\n";
    image.change(&[("a", manifest)]).unwrap();
    assert!(image.text("etc/passwd").ends_with("new:x:1:1:& User:/new:\n"), "{}", image.text("etc/passwd"));
    assert_eq!(image.text("etc/shadow"), "root:$5$x:19000::::::\nnew:$5$mine:20000:8:::::\n");
    assert!(image.text("etc/group").contains("bin::2:root,new\n"));
    image.change(&[]).unwrap();
    assert_eq!(image.text("etc/passwd"), "root:x:0:0:Super-User:/root:/bin/sh\n");
    assert_eq!(image.text("etc/group"), "root::0:\nbin::2:root\nsys::3:root\n");
}

#[test]
fn accounts_that_are_impossible() {
    let mut image = Image::with_accounts();
    for (action, expected) in [
        ("user username=a group=none", "there is no group `none`"),
        ("user username=a", "no attribute `group`"),
        ("user username=a:b group=bin", "cannot stand in a table"),
        ("user username=a group=bin gcos-field=x:y", "`gcos-field` has a colon"),
        ("user username=a group=bin uid=x", "`uid=x`, which is not a number"),
        ("group groupname=+", "cannot stand in a table"),
    ] {
        refused(&mut image, &[("a", action)], expected);
    }
    refused(&mut image, &[("a", "file @x@ mode=0644 owner=nobody group=bin path=x")], "the user `nobody`");
    refused(&mut image, &[("a", "file @x@ mode=0644 owner=bin group=nogroup path=x")], "the group `nogroup`");
    refused(&mut image, &[("a", "file @x@ mode=0644 group=bin path=x")], "no attribute `owner`");
    refused(&mut image, &[("a", "file @x@ owner=bin group=bin path=x")], "no attribute `mode`");
    let mut empty = Image::new();
    refused(&mut empty, &[("a", "group groupname=a gid=1")], "the tables of users and groups are not there");
}

#[test]
fn packages_that_contradict_each_other() {
    let mut image = Image::with_accounts();
    let file = |path: &str| format!("file @x@ {FILE}{path}");
    for (a, b, expected) in [
        (file("f"), file("f"), "a@1-1 and b@1-1 deliver /f in ways that exclude each other"),
        (file("f"), format!("{DIR}f"), "it is a file in one and a dir in the other"),
        (format!("{DIR}d"), "dir mode=0700 owner=root group=sys path=d".to_owned(), "`mode` differs"),
        (format!("{DIR}d"), "dir mode=0755 owner=root group=bin path=d".to_owned(), "`group` differs"),
        (file("f"), file("f/g"), "/f is a file there, and /f/g is below it"),
        ("link path=l target=x".to_owned(), file("l/y"), "/l is a link there"),
        ("link path=l target=x".to_owned(), "link path=l target=y".to_owned(), "`target` differs"),
        (
            "link path=l target=x mediator=m mediator-version=1".to_owned(),
            "link path=l target=x".to_owned(),
            "mediator",
        ),
        ("user username=u group=bin".to_owned(), "user username=u group=bin".to_owned(), "the user u"),
        ("driver name=d".to_owned(), "driver name=d".to_owned(), "the driver d"),
        ("driver name=d alias=x".to_owned(), "driver name=e alias=x".to_owned(), "the driver alias x"),
        ("legacy pkg=S desc=a".to_owned(), "legacy pkg=S desc=b".to_owned(), "`desc` differs"),
    ] {
        refused(&mut image, &[("a", &a), ("b", &b)], expected);
    }
    let same =
        "dir mode=755 owner=root group=sys path=d/\nlink path=l target=x\nlegacy pkg=S desc=a\nlicense @l@ license=L";
    image.change(&[("a", same), ("b", &same.replace("755", "0755"))]).unwrap();
    image.change(&[("b", same)]).unwrap();
    assert_eq!(image.list("d") + &image.list("l"), "0755 0:3 d/\n0777 0:0 l -> x\n");
}

#[test]
fn one_package_lays_its_file_over_another() {
    let allow = format!("file @under@ overlay=allow preserve=true {FILE}f");
    let over = format!("file @over@ overlay=true {FILE}f");
    let mut image = Image::with_accounts();
    image.change(&[("a", &allow), ("b", &over)]).unwrap();
    assert_eq!(image.text("f"), "over");
    image.change(&[("a", &allow)]).unwrap();
    assert_eq!(image.text("f"), "under");
    for (a, b) in [
        (allow.replace(" preserve=true", ""), over.clone()),
        (allow.clone(), over.replace("0644", "0600")),
        (allow.clone(), allow.clone()),
        (over.clone(), over.clone()),
    ] {
        refused(&mut image, &[("a", &a), ("b", &b)], "exclude each other");
    }
}

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
fn files_that_are_preserved_when_they_are_first_delivered() {
    for (preserve, there, expected) in [
        ("true", None, "new"),
        ("renamenew", None, "new"),
        ("renameold", None, "new"),
        ("install-only", None, "new"),
        ("true", Some("mine"), "new"),
        ("renamenew", Some("mine"), "new"),
    ] {
        let mut image = Image::with_accounts();
        there.into_iter().for_each(|text| image.put("f", text));
        image.change(&[("a", &format!("file @new@ preserve={preserve} {FILE}f"))]).unwrap();
        assert_eq!(image.text("f"), expected, "{preserve}");
        if let Some(mine) = there {
            assert_eq!(image.text("var/pkg/lost+found/f-20240301T010203Z"), mine);
        }
    }
    for preserve in ["legacy", "abandon"] {
        let mut image = Image::with_accounts();
        image.change(&[("a", &format!("file @new@ preserve={preserve} {FILE}f"))]).unwrap();
        assert!(image.tree.get(&ImagePath::new("/f").unwrap()).is_none(), "{preserve}");
    }
}

#[test]
fn edited_files_are_preserved_on_update() {
    // What the user made of the file, and what is there after the update.
    for (preserve, edited, new, expected) in [
        ("true", Some("mine"), "new", "f=mine"),
        ("install-only", Some("mine"), "new", "f=mine"),
        ("renamenew", Some("mine"), "new", "f=mine f.new=new"),
        ("renameold", Some("mine"), "new", "f=new f.old=mine"),
        ("legacy", Some("mine"), "new", "f=new f.legacy=mine"),
        ("abandon", Some("mine"), "new", "f=mine"),
        ("true", None, "new", "f=new"),
        ("renamenew", None, "new", "f=new"),
        ("renameold", None, "new", "f=new"),
        ("true", Some("mine"), "old", "f=mine"),
        ("renamenew", Some("mine"), "old", "f=mine f.new=old"),
        ("renameold", Some("mine"), "old", "f=old f.old=mine"),
        ("install-only", None, "new", "f=old"),
        ("legacy", None, "new", "f=new f.legacy=old"),
        // Programs are replaced whatever the package says.
        ("true elfhash=x", Some("mine"), "new", "f=new"),
    ] {
        let mut image = Image::with_accounts();
        image.change(&[("a/1", &format!("file @old@ preserve=true {FILE}f"))]).unwrap();
        edited.into_iter().for_each(|text| image.put("f", text));
        let mode = "mode=0600 owner=root group=sys path=";
        image.change(&[("a/2", &format!("file @{new}@ preserve={preserve} {mode}f"))]).unwrap();
        assert_eq!(and_beside(&image, "f"), expected, "{preserve}");
        // The new content is beside the file, which is as it was.
        let is_kept = preserve == "renamenew" && edited.is_some() || preserve == "abandon";
        assert!(image.list("f").starts_with(if is_kept { "0644" } else { "0600" }), "{preserve}: {}", image.list("f"));
    }
}

/// A file, and what is beside it.
fn and_beside(image: &Image, path: &str) -> String {
    let found = ["", ".new", ".old", ".legacy", ".update"].map(|suffix| format!("{path}{suffix}"));
    let found = found.iter().filter(|path| image.tree.get(&ImagePath::from_relative(path).unwrap()).is_some());
    found.map(|path| format!("{path}={}", image.text(path))).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_file_that_another_version_of_a_package_brings_meets_one_that_is_there() {
    for (preserve, expected) in [
        ("true", "f=mine"),
        ("renamenew", "f=mine f.new=new"),
        ("renameold", "f=new f.old=mine"),
        ("install-only", "f=mine"),
        ("legacy", "f=mine"),
    ] {
        let mut image = Image::with_accounts();
        image.put("f", "mine");
        image.change(&[("a/1", "dir mode=0755 owner=root group=sys path=d")]).unwrap();
        image.change(&[("a/2", &format!("file @new@ preserve={preserve} {FILE}f"))]).unwrap();
        assert_eq!(and_beside(&image, "f"), expected, "{preserve}");
        assert!(image.warnings.is_empty(), "{:?}", image.warnings);
    }
    // At the first installation of the package, install-only leaves the file where it is, too.
    let mut image = Image::with_accounts();
    image.put("f", "mine");
    image.change(&[("a", &format!("file @new@ preserve=install-only {FILE}f"))]).unwrap();
    assert_eq!(and_beside(&image, "f"), "f=mine");
}

#[test]
fn an_older_version_does_not_take_what_was_edited() {
    for (edited, expected) in [(Some("mine"), "f=old f.update=mine"), (None, "f=old")] {
        let mut image = Image::with_accounts();
        image.change(&[("a/2", &format!("file @new@ preserve=true {FILE}f"))]).unwrap();
        edited.into_iter().for_each(|text| image.put("f", text));
        image.change(&[("a/1", &format!("file @old@ preserve=true {FILE}f"))]).unwrap();
        assert_eq!(and_beside(&image, "f"), expected);
    }
}

#[test]
fn a_legacy_file_is_moved_away_once_and_what_was_removed_stays_removed() {
    let mut image = Image::with_accounts();
    let file = |content: &str, preserve: &str| format!("file @{content}@ preserve={preserve} {FILE}f");
    image.change(&[("a/1", &file("one", "true"))]).unwrap();
    image.change(&[("a/2", &file("two", "legacy"))]).unwrap();
    image.put("f", "mine");
    image.change(&[("a/3", &file("three", "legacy"))]).unwrap();
    assert_eq!(and_beside(&image, "f"), "f=three f.legacy=one");
    let mut image = Image::with_accounts();
    image.change(&[("a/1", &file("one", "install-only"))]).unwrap();
    image.tree.remove(&ImagePath::new("/f").unwrap()).unwrap();
    image.change(&[("a/2", &file("two", "install-only"))]).unwrap();
    assert_eq!(and_beside(&image, "f"), "");
}

#[test]
fn a_package_that_goes_on_without_a_file_takes_it_along() {
    let mut image = Image::with_accounts();
    let manifest = format!("file @f@ preserve=true {FILE}f\nfile @g@ preserve=install-only {FILE}g");
    image.change(&[("a/1", &manifest)]).unwrap();
    image.put("f", "mine");
    image.change(&[("a/2", "dir mode=0755 owner=root group=sys path=d")]).unwrap();
    assert_eq!((and_beside(&image, "f"), and_beside(&image, "g")), (String::new(), "g=g".to_owned()));
    assert!(image.warnings.is_empty(), "{:?}", image.warnings);
}

#[test]
fn only_mode_and_owner_are_set_where_the_content_is_the_same() {
    let mut image = Image::with_accounts();
    image.change(&[("a/1", &format!("file @x@ {FILE}f"))]).unwrap();
    image.put("f", "mine");
    image.change(&[("a/2", "file @x@ mode=0600 owner=bin group=sys path=f timestamp=20200101T000000Z")]).unwrap();
    assert_eq!(image.list("f"), "0600 2:3 f \"mine\"\n");
    let mtime = image.tree.get(&ImagePath::new("/f").unwrap()).unwrap().metadata.mtime;
    assert_eq!(mtime.secs, 1_577_836_800);
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
    assert_eq!(
        image.warnings,
        ["/old, which no package delivered, was moved to /var/pkg/lost+found/old-20240301T010203Z"]
    );
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
fn groups_and_users_that_were_changed_by_somebody() {
    let mut image = Image::with_accounts();
    image.put("etc/ftpd/ftpusers", "# comment\nroot\n");
    let user = "user username=u group=staff uid=50";
    image.change(&[("a/1", &format!("{user} group-list=none"))]).unwrap();
    assert!(image.text("etc/group").ends_with("staff::10:\nnone:::u\n"), "{}", image.text("etc/group"));
    assert_eq!(image.warnings, ["user u is to be in group none, which is not there"]);
    // Who was shut out by somebody stays so, unless the package says something else.
    image.put("etc/ftpd/ftpusers", "# comment\nroot\nu\n");
    image.change(&[("a/2", &format!("{user} home-dir=/u"))]).unwrap();
    assert_eq!(image.text("etc/ftpd/ftpusers"), "# comment\nroot\nu\n");
    image.change(&[("a/3", &format!("{user} ftpuser=true"))]).unwrap();
    assert_eq!(image.text("etc/ftpd/ftpusers"), "# comment\nroot\n");
    // A group that gets another number keeps its users, and one that goes is gone.
    image.change(&[("a/4", &format!("{user}\ngroup groupname=staff gid=77"))]).unwrap();
    assert!(image.text("etc/passwd").ends_with("u:x:50:77:& User:/:\n"), "{}", image.text("etc/passwd"));
    image.change(&[("b", "group groupname=bin gid=2")]).unwrap();
    assert!(!image.text("etc/group").contains("staff"));
    image.change(&[]).unwrap();
    assert!(!image.text("etc/group").contains("bin"), "{}", image.text("etc/group"));
}

#[test]
fn a_file_without_preserve_is_replaced_and_an_unchanged_one_left_alone() {
    let mut image = Image::with_accounts();
    let old = format!("file @old@ {FILE}f\nfile @same@ {FILE}g\nhardlink path=h target=f");
    image.change(&[("a/1", &old)]).unwrap();
    image.put("f", "mine");
    image.put("g", "mine");
    image.change(&[("a/2", &old.replace("old", "new"))]).unwrap();
    assert_eq!((image.text("f"), image.text("g"), image.text("h")), ("new".into(), "mine".into(), "new".into()));
    assert!(image.tree.links(&ImagePath::new("/h").unwrap()).is_some());
}

#[test]
fn a_file_moves_with_what_was_made_of_it() {
    for (edited, expected) in [(Some("mine"), "mine"), (None, "new")] {
        let mut image = Image::with_accounts();
        image.change(&[("a", &format!("file @old@ preserve=true {FILE}etc/f"))]).unwrap();
        edited.into_iter().for_each(|text| image.put("etc/f", text));
        let moved = format!("file @new@ preserve=true original_name=a:etc/f {FILE}etc/dir/g");
        image.change(&[("b", &moved)]).unwrap();
        assert_eq!(image.text("etc/dir/g"), expected);
        assert!(image.tree.get(&ImagePath::new("/etc/f").unwrap()).is_none());
    }
}

#[test]
fn removal_leaves_what_is_not_the_packages() {
    let mut image = Image::with_accounts();
    let manifest = format!(
        "{DIR}d\n{DIR}var\nfile @x@ {FILE}d/x\nfile @p@ preserve=true {FILE}d/edited\nfile @q@ preserve=true {FILE}d/q\n\
         file @a@ preserve=install-only {FILE}keep/a\nlink path=d/l target=x\nfile @z@ {FILE}implied/z"
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
            "0644 0:3 implied/user \"mine\"",
            "0644 0:3 keep/a \"a\"",
            "0644 0:3 var/pkg/lost+found/d/edited-20240301T010203Z \"mine\"",
            "0644 0:3 var/pkg/lost+found/d-20240301T010203Z/user \"mine\"",
            "0644 0:3 var/pkg/own \"metadata\"",
        ]
    );
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

#[test]
fn mediated_links_follow_the_choice() {
    let python = |version: &str| {
        format!(
            "link mediator=python mediator-version={version} path=usr/bin/python target=python{version}\n\
             hardlink mediator=python mediator-version={version} path=usr/bin/py target=python{version}\n\
             file @{version}@ {FILE}usr/bin/python{version}"
        )
    };
    let mut image = Image::with_accounts();
    image.change(&[("a", &python("3.4")), ("b", &python("3.10"))]).unwrap();
    assert_eq!(image.list("usr/bin/python"), "0777 0:0 usr/bin/python -> python3.10\n");
    assert_eq!(image.text("usr/bin/py"), "3.10");
    let choice = Choice {
        mediation: Mediation { version: Some("3.4".parse().unwrap()), implementation: None::<Implementation> },
        version_source: Source::Local,
        implementation_source: Source::System,
    };
    image.mediators.insert("python".to_owned(), choice);
    image.change(&[("a", &python("3.4")), ("b", &python("3.10"))]).unwrap();
    assert_eq!(image.list("usr/bin/python"), "0777 0:0 usr/bin/python -> python3.4\n");
    assert_eq!(image.text("usr/bin/py"), "3.4");
    image.change(&[("b", &python("3.10"))]).unwrap();
    assert!(image.tree.get(&ImagePath::new("/usr/bin/python").unwrap()).is_none());
}

#[test]
fn variants_and_facets_leave_actions_out_and_bring_them_back() {
    let manifest = format!(
        "file @x86@ variant.arch=i386 {FILE}f\nfile @sparc@ variant.arch=sparc {FILE}f\n\
         dir facet.doc=true mode=0755 owner=root group=sys path=doc\nfile @man@ facet.doc=true {FILE}doc/man\n\
         file @debug@ variant.debug.illumos=true {FILE}debug"
    );
    let mut image = Image::with_accounts();
    image.facets.set("doc", Some(false));
    image.change(&[("a", &manifest)]).unwrap();
    assert_eq!(image.text("f"), "x86");
    assert!(!image.list("").contains("doc") && !image.list("").contains("debug"));
    let packages = image.packages.clone();
    image.change_to(packages.clone(), &Variants::new("sparc"), &Facets::default()).unwrap();
    assert_eq!((image.text("f"), image.text("doc/man")), ("sparc".into(), "man".into()));
    let mut without = Facets::default();
    without.set("doc", Some(false));
    image.change_to(packages, &Variants::new("i386"), &without).unwrap();
    assert!(image.text("f") == "x86" && !image.list("").contains("doc"));
}

#[test]
fn licences_and_svr4_packages() {
    let mut image = Image::with_accounts();
    let manifest = "set name=pkg.summary value=\"A package\"\nlicense @the text@ license=\"lic_CDDL, and more\"\n\
        legacy pkg=SUNWcs desc=\"core software\" version=11.11 arch=i386\ndir mode=0755 owner=root group=bin path=var/sadm/install\n";
    image.change(&[("sys/2", manifest)]).unwrap();
    assert_eq!(
        image.list("var"),
        "0755 0:0 var/\n0755 0:0 var/pkg/\n0755 0:0 var/pkg/license/\n0755 0:0 var/pkg/license/sys/\n\
         0444 0:0 var/pkg/license/sys/license.lic_CDDL%2C%20and%20more \"the text\"\n0755 0:0 var/sadm/\n\
         0755 0:2 var/sadm/install/\n0644 0:0 var/sadm/install/contents \"\"\n0755 0:0 var/sadm/pkg/\n\
         0755 0:0 var/sadm/pkg/SUNWcs/\n0644 0:0 var/sadm/pkg/SUNWcs/pkginfo \"ARCH=i386\\nBASEDIR=/\\n\
         CATEGORY=system\\nDESC=core software\\nNAME=A package\\nPKG=SUNWcs\\nPKGINST=SUNWcs\\nVERSION=11.11\\n\
         INSTDATE=Mar 01 2024 01:02\\n\"\n"
    );
    refused(&mut image, &[("a", "legacy pkg=../x")], "the name of a package");
    image.change(&[("sys/3", &manifest.replace("pkg.summary", "info.other"))]).unwrap();
    assert!(image.text("var/sadm/pkg/SUNWcs/pkginfo").contains("\nNAME=none provided\n"));
    image.change(&[]).unwrap();
    assert!(!image.list("").contains("license") && !image.list("").contains("SUNW"), "{}", image.list(""));
}

/// The tables of an image on which no driver was added yet.
fn with_drivers() -> Image {
    let mut image = Image::with_accounts();
    image.put("etc/name_to_major", "# comment\nclone 0\nsd 1\nst 3\n");
    image.put("etc/rem_name_to_major", "old 7\ngone 2\n");
    image.put("etc/driver_aliases", "sd \"scsiclass,00\"\n");
    image.put("etc/driver_classes", "sd\tscsi\n");
    image.put("etc/minor_perm", "sd:* 0640 root sys\nclone:x 0600 root sys\n");
    image.put("etc/devlink.tab", "# links\n");
    image.put("etc/security/device_policy", "*\tread_priv_set=none\twrite_priv_set=none\n");
    image
}

#[test]
fn drivers_are_added_to_the_tables() {
    let mut image = with_drivers();
    let manifest = "driver name=honet alias=pci1,2 alias=pci3,4 class=net perms=\"* 0666 root sys\" privs=sys_net_config \
        clone_perms=\"honet 0666 root sys\" clone_perms=\"0600 root sys\" devlink=\"type=ddi_pseudo;name=honet\\thonet\" \
        policy=\"read_priv_set=net_rawaccess write_priv_set=net_rawaccess\" policy=\"ctl read_priv_set=all\"\n\
        driver name=gone\n";
    image.change(&[("a", manifest)]).unwrap();
    assert_eq!(image.warnings, Vec::<String>::new());
    let tables = [
        ("etc/name_to_major", "# comment\nclone 0\nsd 1\nst 3\ngone 2\nhonet 4\n"),
        ("etc/rem_name_to_major", "old 7\n"),
        ("etc/driver_aliases", "sd \"scsiclass,00\"\nhonet \"pci1,2\"\nhonet \"pci3,4\"\n"),
        ("etc/driver_classes", "sd\tscsi\nhonet\tnet\n"),
        (
            "etc/minor_perm",
            "sd:* 0640 root sys\nclone:x 0600 root sys\nhonet:* 0666 root sys\nclone:honet 0600 root sys\n",
        ),
        ("etc/security/extra_privs", "honet:sys_net_config\n"),
        ("etc/devlink.tab", "# links\ntype=ddi_pseudo;name=honet\thonet\n"),
        (
            "etc/security/device_policy",
            "*\tread_priv_set=none\twrite_priv_set=none\n\
             honet:*\tread_priv_set=net_rawaccess\twrite_priv_set=net_rawaccess\nhonet:ctl\tread_priv_set=all\n",
        ),
        ("reconfigure", ""),
    ];
    for (path, expected) in tables {
        assert_eq!(image.text(path), expected, "{path}");
    }
    // An update takes back what the package said before; an alias may move to another driver.
    image
        .change(&[
            ("a/2", "driver name=honet alias=pci1,2 perms=\"* 0600 root sys\""),
            ("b", "driver name=anet alias=pci3,4"),
        ])
        .unwrap();
    assert_eq!(image.warnings, Vec::<String>::new());
    assert_eq!(image.text("etc/driver_aliases"), "sd \"scsiclass,00\"\nhonet \"pci1,2\"\nanet \"pci3,4\"\n");
    assert_eq!(image.text("etc/minor_perm"), "sd:* 0640 root sys\nclone:x 0600 root sys\nhonet:* 0600 root sys\n");
    assert_eq!(image.text("etc/devlink.tab"), "# links\n");
    image.change(&[]).unwrap();
    assert_eq!(image.text("etc/name_to_major"), "# comment\nclone 0\nsd 1\nst 3\n");
    assert_eq!(image.text("etc/rem_name_to_major"), "old 7\ngone 2\nanet 5\nhonet 4\n");
    assert_eq!(image.text("etc/driver_aliases"), "sd \"scsiclass,00\"\n");
}

#[test]
fn attributes_of_the_file_system_are_told_to_be_left_out() {
    let mut image = Image::with_accounts();
    image.change(&[("a", &format!("file @x@ sysattr=sensitive sysattr=hidden {FILE}f"))]).unwrap();
    assert_eq!(image.text("f"), "x");
    assert_eq!(image.warnings, ["/f is to have the attributes sensitive, hidden, which are left out"]);
}

#[test]
fn drivers_that_are_there_get_what_they_lack() {
    let mut image = with_drivers();
    image
        .change(&[("a", "driver name=sd alias=scsiclass,00 alias=scsiclass,05 perms=\"* 0640 root sys\" class=scsi")])
        .unwrap();
    assert_eq!(image.text("etc/name_to_major"), "# comment\nclone 0\nsd 1\nst 3\n");
    assert_eq!(image.text("etc/driver_aliases"), "sd \"scsiclass,00\"\nsd \"scsiclass,05\"\n");
    assert_eq!(image.text("etc/minor_perm"), "sd:* 0640 root sys\nclone:x 0600 root sys\n");
    assert_eq!(image.text("etc/driver_classes"), "sd\tscsi\n");
    // What somebody gave a driver before it was packaged goes, but for aliases.
    let mut image = with_drivers();
    image.put("etc/driver_classes", "sd\tscsi\nsd\told\n");
    image.put(
        "etc/minor_perm",
        "sd:* 0640 root sys\nsd:x 0600 root sys\nclone:sd 0600 root sys\nclone:x 0600 root sys\n",
    );
    image.put("etc/security/extra_privs", "sd:file_read\nst:file_read\n");
    image.put("etc/security/device_policy", "sd:a\tread_priv_set=x\nsd:*\tread_priv_set=y\nst\tread_priv_set=z\n");
    image.change(&[("a", "driver name=sd perms=\"* 0640 root sys\" class=scsi policy=read_priv_set=y")]).unwrap();
    assert_eq!(image.text("etc/driver_aliases"), "sd \"scsiclass,00\"\n");
    assert_eq!(image.text("etc/driver_classes"), "sd\tscsi\n");
    assert_eq!(image.text("etc/minor_perm"), "sd:* 0640 root sys\nclone:x 0600 root sys\n");
    assert_eq!(image.text("etc/security/extra_privs"), "st:file_read\n");
    assert_eq!(image.text("etc/security/device_policy"), "sd:*\tread_priv_set=y\nst\tread_priv_set=z\n");
}

#[test]
fn drivers_that_are_refused_change_nothing() {
    for (action, expected) in [
        ("driver name=x alias=sd", "`sd` cannot be an alias"),
        ("driver name=scsiclass,00", "its name is an alias of another"),
        ("driver name=x perms=\"* 0666 root\"", "is not a minor name, mode, owner and group"),
        ("driver name=x perms=\"* 0666 root sys,y\"", "is not a minor name, mode, owner and group"),
        ("driver name=\"a b\"", "cannot be the name of a driver"),
        ("driver name=x policy=\"\"", "it has an empty policy"),
    ] {
        let mut image = with_drivers();
        let before = image.tree.clone();
        image.change(&[("a", action)]).unwrap();
        assert!(image.warnings[0].contains(expected), "{:?}", image.warnings);
        assert_eq!(image.tree, before);
    }
    let mut image = Image::with_accounts();
    image.change(&[("a", "driver name=x")]).unwrap();
    assert!(image.warnings[0].contains("there is no /etc/name_to_major"));
    // An unpackaged driver gives way.
    let mut image = with_drivers();
    image.change(&[("a", "driver name=x alias=scsiclass,00")]).unwrap();
    assert_eq!(image.text("etc/driver_aliases"), "# pkg(5): sd \"scsiclass,00\"\nx \"scsiclass,00\"\n");
    // In a zone there are no drivers.
    let mut image = with_drivers();
    image.variants.set("opensolaris.zone", "nonglobal");
    let before = image.tree.clone();
    image.change(&[("a", "driver name=x")]).unwrap();
    assert_eq!(image.tree, before);
}
