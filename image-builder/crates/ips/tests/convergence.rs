//! However an image came to its packages, it is the same image.

#[path = "support/image.rs"]
#[allow(dead_code, reason = "every test binary uses another part of this")]
mod image;

use std::collections::BTreeMap;

use image::Image;
use proptest::prelude::*;

/// What may be at one of a few paths, so that images differ in what is at the same path.
fn action() -> impl Strategy<Value = (&'static str, &'static str)> {
    let path = prop::sample::select(vec!["a", "b", "a/x", "a/y", "b/x", "a/x/deep", "c/x", "c/x/deep", "c"]);
    let what = prop::sample::select(vec![
        "dir mode=0755 owner=root group=root",
        "dir mode=0755 owner=root group=root",
        "file @one@ mode=0644 owner=root group=root",
        "file @two@ mode=0644 owner=root group=root",
        "file @two@ mode=4555 owner=root group=sys preserve=true",
        "file @two@ mode=4555 owner=root group=sys preserve=renamenew overlay=allow",
        "file @three@ mode=4555 owner=root group=sys variant.arch=i386",
        "file @three@ mode=4555 owner=root group=sys variant.arch=sparc",
        "hardlink",
        "hardlink mediator=m mediator-version=1",
        "link target=/a/x",
        "link target=../b mediator=m mediator-version=2",
        "link target=b mediator=n mediator-implementation=i",
    ]);
    (path, what)
}

type Packages = Vec<(&'static str, String)>;

/// Three packages that share the paths; what is below a path that is no directory is left out.
fn packages() -> impl Strategy<Value = Packages> {
    prop::collection::vec((action(), 0..3_usize), 0..8).prop_map(|chosen| {
        let mut by_path = BTreeMap::new();
        for ((path, what), package) in chosen {
            by_path.insert(path, (what, package));
        }
        let is_dir = |path: &str| by_path.get(path).is_none_or(|(what, _)| what.starts_with("dir"));
        let fits = |path: &str| path.match_indices('/').all(|(at, _)| is_dir(&path[..at]));
        let is_file = |(path, (what, _)): &(&&str, &(&str, usize))| {
            what.starts_with("file") && !what.contains("sparc") && fits(path)
        };
        let file = by_path.iter().find(is_file).map_or("etc/passwd", |(path, _)| path);
        let mut packages: Packages = ["p", "q", "r"].map(|name| (name, String::new())).into();
        for (path, (what, package)) in by_path.iter().filter(|(path, _)| fits(path)) {
            let target = if what.starts_with("hardlink") { format!(" target=/{file}") } else { String::new() };
            packages[*package].1 += &format!("{what} path={path}{target}\n");
        }
        packages
    })
}

fn change(image: &mut Image, packages: &Packages) -> bool {
    let packages: Vec<(&str, &str)> = packages.iter().map(|(name, text)| (*name, text.as_str())).collect();
    image.change(&packages).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, ..ProptestConfig::default() })]

    #[test]
    fn the_way_to_the_packages_leaves_no_trace(first in packages(), second in packages(), third in packages()) {
        let mut fresh = Image::with_accounts();
        let is_possible = change(&mut fresh, &third);
        let mut travelled = Image::with_accounts();
        change(&mut travelled, &first);
        change(&mut travelled, &second);
        prop_assert_eq!(change(&mut travelled, &third), is_possible);
        if is_possible {
            let is_same = travelled.tree == fresh.tree;
            prop_assert!(is_same, "{}\ninstead of\n{}", travelled.list(""), fresh.list(""));
            prop_assert!(travelled.warnings.is_empty(), "{:?}", travelled.warnings);
            // Nothing to do is nothing done.
            let before = travelled.tree.clone();
            prop_assert!(change(&mut travelled, &third));
            prop_assert!(travelled.tree == before);
        }
    }
}
