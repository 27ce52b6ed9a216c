//! Packages that mean ill, or nothing: each is refused with its name, that of the action, and why, and changes nothing.

use super::refused;
use crate::drivers::with_drivers;
use crate::image::Image;

#[test]
fn what_is_refused_names_package_action_and_reason() {
    let long = "a".repeat(300);
    for (line, expected) in [
        // Paths and targets.
        (
            "file @x@ mode=0644 owner=root group=sys path=\"\"",
            "file  of pkg://p/a@1-1 is unusable: `file` action has `path=`",
        ),
        ("file @x@ mode=0644 owner=root group=sys path=/", "file / of pkg://p/a@1-1 is unusable"),
        ("file @x@ mode=0644 owner=root group=sys path=a/../b", "`file` action has an impossible path"),
        (
            &format!("file @x@ mode=0644 owner=root group=sys path={long}"),
            "of pkg://p/a@1-1 is unusable: `file` action has an impossible path",
        ),
        ("dir mode=0755 owner=root group=sys path=d salvage-from=../../x", "dir d of pkg://p/a@1-1 is unusable"),
        ("link path=l target=\"\"", "/l of pkg://p/a@1-1 cannot be changed: /l cannot get an empty link target"),
        ("link path=up target=/etc\nfile @x@ mode=0644 owner=root group=sys path=up/evil", "/up is a link there"),
        ("hardlink path=h target=h", "/h of pkg://p/a@1-1 cannot be linked to /h, which is not there"),
        ("hardlink path=h target=usr", "/h of pkg://p/a@1-1 cannot be linked to /usr"),
        ("hardlink path=h target=../../../nowhere/hosts", "cannot be linked to /nowhere/hosts, which is not there"),
        ("hardlink path=a target=b\nhardlink path=b target=a", "/a of pkg://p/a@1-1 cannot be linked to /b"),
        // Owners, modes, times.
        (
            "file @x@ mode=77777 owner=root group=sys path=f",
            "file f of pkg://p/a@1-1 is unusable: `file` action has `mode=77777`",
        ),
        ("file @x@ mode=-1 owner=root group=sys path=f", "`mode=-1`, which is not an octal number"),
        ("file @x@ mode=0644 mode=0600 owner=root group=sys path=f", "more than one value for `mode`"),
        ("file @x@ owner=root group=sys path=f", "`file` action has no attribute `mode`"),
        ("file @x@ mode=0644 owner=0 group=sys path=f", "/f of pkg://p/a@1-1 belongs to the user `0`"),
        ("file @x@ mode=0644 owner=root group=sys path=f timestamp=20240230T000000Z", "`timestamp=20240230T000000Z`"),
        // Payloads.
        ("file mode=0644 owner=root group=sys path=f", "/f of pkg://p/a@1-1 has no payload"),
        ("file zz mode=0644 owner=root group=sys path=f", "`zz` is not the name of a payload"),
        // What would stand in tables, and in the configuration of the image.
        (
            "user username=a:0 group=sys",
            "the user `a:0` of pkg://p/a@1-1 cannot be set up: the name cannot stand in a table",
        ),
        ("user username=\"a\u{b}b\" group=sys", "cannot stand in a table"),
        ("user username=u group=nowhere", "there is no group `nowhere`"),
        (
            "user username=u group=sys uid=4294967296",
            "user u of pkg://p/a@1-1 is unusable: `user` action has `uid=4294967296`",
        ),
        ("user username=u group=sys home-dir=/a:b", "`home-dir` has a colon"),
        ("user username=u group=sys gcos-field=\"x\ry\"", "a control character"),
        ("user username=u group=sys password=x:0::::::", "`password` has a colon"),
        ("user username=u group=sys group-list=a:b", "`a:b` in `group-list` cannot be the name of a group"),
        ("user username=u group=sys group-list=\"a b\"", "`a b` in `group-list` cannot be the name of a group"),
        ("group groupname=\"g h\"", "the group `g h` of pkg://p/a@1-1 cannot be set up"),
        ("group groupname=g gid=-1", "group g of pkg://p/a@1-1 is unusable"),
        ("legacy pkg=a/b", "legacy a/b of pkg://p/a@1-1 is unusable"),
        (
            &format!("license @l@ license={long}"),
            "of pkg://p/a@1-1 is unusable: `license` action has an impossible path",
        ),
        ("link path=l target=x mediator=\"a = b\" mediator-version=1", "`mediator=a = b`, which is not of letters"),
        ("link path=l target=x mediator=a.version mediator-version=1", "link l of pkg://p/a@1-1 is unusable"),
        ("link path=l target=x mediator=a mediator-implementation=\"x]\"", "`mediator-implementation=x]`"),
        (
            "link path=l target=x mediator=a mediator-version=one",
            "`mediator-version=one`, which is not a dotted version",
        ),
    ] {
        refused(&mut Image::with_accounts(), &[("a", line)], expected);
    }
}

/// What an earlier package left is no way for a later one.
#[test]
fn links_of_other_packages_lead_nowhere() {
    for (first, second) in [
        ("link path=up target=/etc", "file @evil@ mode=0644 owner=root group=sys path=up/passwd"),
        ("link path=up target=../../..", "dir mode=0755 owner=root group=sys path=up/evil"),
        ("link path=up target=etc", "link path=up/passwd target=/tmp"),
        ("link path=up target=etc", "hardlink path=up/evil target=/etc/passwd"),
    ] {
        let mut image = Image::with_accounts();
        image.change(&[("a", first)]).unwrap();
        refused(&mut image, &[("a", first), ("b", second)], "exclude each other: /up is a link there");
    }
    // A hard link that leads outside stays inside, whatever is on its way.
    let mut image = Image::with_accounts();
    let up = ("a", "link path=up target=../../../../etc");
    image.change(&[up]).unwrap();
    image.change(&[up, ("b", "hardlink path=evil target=../../up/passwd")]).unwrap();
    assert_eq!(image.text("evil"), image.text("etc/passwd"));
}

/// Nothing comes over what the image knows of itself, and nothing leads away from it.
#[test]
fn the_metadata_of_the_image_is_nobodys() {
    for (action, at) in [
        ("link path=var target=/tmp", "/var"),
        ("file @x@ mode=0644 owner=root group=sys path=var", "/var"),
        ("link path=var/pkg target=../etc", "/var/pkg"),
        ("link path=var/pkg/state target=/tmp", "/var/pkg/state"),
        ("link path=var/pkg/license target=/etc", "/var/pkg/license"),
        ("link path=var/pkg/publisher/p/pkg target=/etc", "/var/pkg/publisher/p/pkg"),
        ("hardlink path=var/pkg/pkg5.image target=/etc/passwd", "/var/pkg/pkg5.image"),
        ("hardlink path=var/pkg/modified target=../../etc/passwd", "/var/pkg/modified"),
        ("file @x@ mode=0644 owner=root group=sys path=var/pkg/pkg5.image", "/var/pkg/pkg5.image"),
        ("file @x@ mode=0644 owner=root group=sys path=var/pkg/lost+found/x", "/var/pkg/lost+found/x"),
        ("file @x@ mode=0644 owner=root group=sys path=/var//pkg/./state/avoid_set", "/var/pkg/state/avoid_set"),
        ("dir mode=0755 owner=root group=sys path=var/pkg/pkg5.image", "/var/pkg/pkg5.image"),
        ("dir mode=0755 owner=root group=sys path=var/pkg/state/installed/catalog.base.C", "/var/pkg/state"),
    ] {
        let mut image = Image::with_accounts();
        image.put("var/pkg/pkg5.image", "the image");
        let expected = format!(" of pkg://p/a@1-1 is refused, because {at}");
        refused(&mut image, &[("a", action)], &expected);
        refused(&mut image, &[("a", action)], "is where the image keeps what it knows of itself");
    }
    // Directories that every image has may be delivered, and so may what is nobody's.
    let dir = "dir mode=0755 owner=root group=sys path=";
    let allowed =
        format!("{dir}var\n{dir}var/pkg\n{dir}var/pkg/state\n{dir}var/pkg/mine\nlink path=var/pkg/up target=..");
    Image::with_accounts().change(&[("a", &allowed)]).unwrap();
}

/// What is written by no path of an action, but follows from it, goes through no link either.
#[test]
fn links_lead_neither_tables_nor_entries_into_the_metadata() {
    let mut image = Image::with_accounts();
    image.put("var/pkg/pkg5.image", "the image");
    for directory in ["var/sadm", "var/sadm/pkg", "var/sadm/pkg/S"] {
        let link = format!("link path={directory} target=/var/pkg\nlegacy pkg=S");
        refused(
            &mut image,
            &[("a", &link)],
            &format!(
                "/var/sadm/pkg/S/pkginfo of pkg://p/a@1-1 cannot be installed, because /{directory} is a symbolic link"
            ),
        );
    }
    let link = "link path=etc/driver_aliases target=../var/pkg/pkg5.image";
    image.change(&[("a", link)]).unwrap();
    let expected = "/var/pkg/pkg5.image cannot be edited: a link in the place of a table leads there";
    refused(&mut image, &[("a", link), ("b", "driver name=d alias=x")], expected);
}

#[test]
fn drivers_that_would_not_stand_in_their_tables_are_not_added() {
    for (attributes, expected) in [
        ("name=\"a 5\"", "`a 5` cannot be the name of a driver"),
        ("name=a:b", "`a:b` cannot be the name of a driver"),
        ("name=a alias=\"x y\"", "`x y` cannot be an alias"),
        ("name=a alias=\"\"", "`` cannot be an alias"),
        ("name=a alias=\"x\u{b}y\"", "cannot be an alias"),
        ("name=a alias='x\" \"y'", "cannot be an alias"),
        ("name=a class=\"x y\"", "`x y` is not a class"),
        ("name=a privs=\"x y\"", "`x y` is not a privilege"),
        ("name=a perms=\"* 0666 root\"", "`* 0666 root` is not a minor name, mode, owner and group"),
        ("name=a perms=\"* 0666 root sys,* 0666 root sys\"", "is not a minor name, mode, owner and group"),
        ("name=a perms=\"* 0666 root\rsys\"", "it has control characters"),
        ("name=a clone_perms=x", "`x` is not a minor name, mode, owner and group"),
        ("name=a policy=\" \"", "it has an empty policy"),
        ("name=a devlink=\"\"", "`` is not a line of /etc/devlink.tab"),
        ("name=a devlink=\"type=x\ry\"", "it has control characters"),
    ] {
        let mut image = with_drivers();
        let before = image.tree.clone();
        image.change(&[("a", &format!("driver {attributes}"))]).unwrap();
        assert!(
            image.warnings.len() == 1 && image.warnings[0].contains(expected),
            "{attributes}: {:?}",
            image.warnings
        );
        assert_eq!(image.tree, before, "{attributes}");
    }
}
