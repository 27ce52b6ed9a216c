//! Installation: every action and rule in a small image.

#[path = "../support/image.rs"]
#[allow(dead_code, reason = "every test binary uses another part of this")]
mod image;

mod accounts;
mod directories;
mod drivers;
mod files;
mod hostile;
mod links;
mod overlays;

use image::Image;
use image_tree::ImagePath;
use ips::facet::Facets;
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

/// A file, and what is beside it.
fn and_beside(image: &Image, path: &str) -> String {
    let found = ["", ".new", ".old", ".legacy", ".update"].map(|suffix| format!("{path}{suffix}"));
    let found = found.iter().filter(|path| image.tree.get(&ImagePath::from_relative(path).unwrap()).is_some());
    found.map(|path| format!("{path}={}", image.text(path))).collect::<Vec<_>>().join(" ")
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
    // A link that is there already may be on the way to what a hard link means.
    let through = "hardlink path=usr/through target=../bin/ls";
    image.change(&[("a", manifest), ("b", through)]).unwrap();
    assert_eq!(image.list("usr/through"), "4555 0:2 usr/through = /usr/bin/dir\n");
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
fn packages_that_contradict_each_other() {
    let mut image = Image::with_accounts();
    let file = |path: &str| format!("file @x@ {FILE}{path}");
    for (a, b, expected) in [
        (file("f"), file("f"), "pkg://p/a@1-1 and pkg://p/b@1-1 deliver /f in ways that exclude each other"),
        (file("f"), format!("{DIR}f"), "it is a file in one and a dir in the other"),
        (format!("{DIR}d"), "dir mode=0700 owner=root group=sys path=d".to_owned(), "`mode` differs"),
        (format!("{DIR}d"), "dir mode=0755 owner=root group=bin path=d".to_owned(), "`group` differs"),
        (file("f"), file("f/g"), "/f is a file there, and /f/g is below it"),
        ("link path=l target=x".to_owned(), file("l/y"), "/l is a link there"),
        ("link path=l target=x".to_owned(), "link path=l target=y".to_owned(), "`target` differs"),
        (
            "link path=l target=x mediator=m mediator-version=1".to_owned(),
            "link path=l target=y".to_owned(),
            "mediator",
        ),
        (
            "hardlink path=l target=x mediator=m mediator-version=1".to_owned(),
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
    // Of two with one name, the last is kept.
    let mut twice = Image::with_accounts();
    twice.change(&[("a", "license @first@ license=L\nlicense @last@ license=L")]).unwrap();
    assert_eq!(twice.text("var/pkg/license/a/license.L"), "last");
    image.change(&[("sys/3", &manifest.replace("pkg.summary", "info.other"))]).unwrap();
    assert!(image.text("var/sadm/pkg/SUNWcs/pkginfo").contains("\nNAME=none provided\n"));
    image.change(&[]).unwrap();
    assert!(!image.list("").contains("license") && !image.list("").contains("SUNW"), "{}", image.list(""));
}
