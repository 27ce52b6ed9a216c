//! Files that lie over those of other packages.

use super::{FILE, and_beside, refused};
use crate::image::Image;

#[test]
fn one_package_lays_its_file_over_another() {
    let allow = format!("file @under@ overlay=allow preserve=true {FILE}f");
    let over = format!("file @over@ overlay=true {FILE}f");
    let mut image = Image::with_accounts();
    image.change(&[("a", &allow), ("b", &over)]).unwrap();
    assert_eq!(image.text("f"), "over");
    // What the overlay left is the user's as soon as it goes, and the file below is there already.
    image.change(&[("a", &allow)]).unwrap();
    assert_eq!(image.text("f"), "over");
    for (a, b) in [
        (allow.replace(" preserve=true", ""), over.clone()),
        (allow.clone(), over.replace("0644", "0600")),
        (allow.clone(), allow.clone()),
        (over.clone(), over.clone()),
    ] {
        refused(&mut image, &[("a", &a), ("b", &b)], "exclude each other");
    }
}

/// The file below was never there, so what an overlay leaves counts as an edited one.
#[test]
fn a_file_below_an_overlay_is_updated_while_that_goes() {
    for (preserve, expected) in
        [("true", "f=over"), ("renamenew", "f=over f.new=new"), ("renameold", "f=new f.old=over")]
    {
        let file = |content: &str| format!("file @{content}@ overlay=allow preserve={preserve} {FILE}f");
        let mut image = Image::with_accounts();
        let over = format!("file @over@ overlay=true {FILE}f");
        image.change(&[("a/1", &file("under")), ("b", &over)]).unwrap();
        image.change(&[("a/2", &file("new"))]).unwrap();
        assert_eq!(and_beside(&image, "f"), expected, "{preserve}");
    }
}

#[test]
fn an_overlay_that_comes_later_salvages_what_is_there() {
    const LOST: &str = "var/pkg/lost+found/f-20240301T010203Z";
    for (over, edited, expected, lost) in [
        ("preserve=true", None, "over", Some("under")),
        ("preserve=true", Some("mine"), "over", Some("mine")),
        ("preserve=renamenew", Some("mine"), "over", Some("mine")),
        ("preserve=install-only", Some("mine"), "mine", None),
        ("preserve=abandon", Some("mine"), "mine", None),
        ("", Some("mine"), "over", None),
    ] {
        let under = format!("file @under@ overlay=allow preserve=true {FILE}f");
        let over = format!("file @over@ overlay=true {over} {FILE}f");
        let mut image = Image::with_accounts();
        image.change(&[("a", &under)]).unwrap();
        edited.into_iter().for_each(|text| image.put("f", text));
        image.change(&[("a", &under), ("b", &over)]).unwrap();
        assert_eq!(and_beside(&image, "f"), format!("f={expected}"), "{over} {edited:?}");
        let found = image.list("var/pkg/lost+found").contains(LOST).then(|| image.text(LOST));
        assert_eq!(found.as_deref(), lost, "{over} {edited:?}");
        // An update of the overlay goes on from the overlay.
        image.change(&[("a", &under), ("b/2", &over.replace("over@", "newer@"))]).unwrap();
        assert!(!image.list("var/pkg/lost+found").contains("-1"), "{}", image.list("var"));
    }
}

#[test]
fn a_file_moves_away_from_below_an_overlay() {
    for (preserve, expected) in
        [("renamenew", "g=over g.new=new"), ("true", "g=over"), ("renameold", "g=new g.old=over")]
    {
        let mut image = Image::with_accounts();
        let over = format!("file @over@ overlay=true {FILE}f");
        let under = format!("file @under@ overlay=allow preserve={preserve} {FILE}f");
        image.change(&[("a/1", &under), ("b", &over)]).unwrap();
        let moved = format!("file @new@ preserve={preserve} original_name=a:f {FILE}g");
        image.change(&[("a/2", &moved), ("b", &over)]).unwrap();
        assert_eq!(image.text("f"), "over");
        assert_eq!(and_beside(&image, "g"), expected);
    }
}
