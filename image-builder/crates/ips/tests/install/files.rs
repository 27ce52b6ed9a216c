//! Files, and what is kept of those that somebody edited.

use super::{FILE, and_beside};
use crate::image::Image;
use image_tree::ImagePath;

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
fn attributes_of_the_file_system_are_told_to_be_left_out() {
    let mut image = Image::with_accounts();
    image.change(&[("a", &format!("file @x@ sysattr=sensitive sysattr=hidden {FILE}f"))]).unwrap();
    assert_eq!(image.text("f"), "x");
    assert_eq!(image.warnings, ["/f is to have the attributes sensitive, hidden, which are left out"]);
}
