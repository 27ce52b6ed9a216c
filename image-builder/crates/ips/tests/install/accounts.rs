//! Users and groups, and the tables that they are in.

use super::refused;
use crate::image::Image;

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
    // Somebody sets a password and an age. An update leaves alone what was changed if the package leaves passwords to
    // the user, and sets everything otherwise. Removal takes the user out of everything.
    let before = (image.tree.clone(), image.packages.clone());
    let changed = "root:$5$x:19000::::::\nbin:NP:6445::::::\nnew:$5$mine:20000:7:90::::\n";
    for (password, expected) in [
        ("UP", "new:$5$mine:20000:8:90::::\n"),
        ("$5$theirs", "new:$5$theirs:19783:8:::::\n"),
        ("*LK*", "new:*LK*:19783:8:::::\n"),
        ("NP", "new:NP:19783:8:::::\n"),
    ] {
        (image.tree, image.packages) = before.clone();
        image.put("etc/shadow", changed);
        let user = format!("user username=new group=auto home-dir=/new min=8 password={password} group-list=bin");
        image.change(&[("a", &format!("group groupname=auto\n{user}"))]).unwrap();
        assert!(image.text("etc/passwd").ends_with("new:x:1:1:& User:/new:\n"), "{}", image.text("etc/passwd"));
        assert_eq!(image.text("etc/shadow"), format!("root:$5$x:19000::::::\n{expected}"), "{password}");
        assert!(image.text("etc/group").contains("bin::2:root,new\n"));
    }
    image.change(&[]).unwrap();
    assert_eq!(image.text("etc/passwd"), "root:x:0:0:Super-User:/root:/bin/sh\n");
    assert_eq!(image.text("etc/group"), "root::0:\nbin::2:root\nsys::3:root\n");
}

#[test]
fn who_changes_a_table_of_accounts_has_locked_it() {
    for action in ["group groupname=g gid=50", "user username=u uid=50 group=staff"] {
        let mut image = Image::with_accounts();
        image.change(&[("p", action)]).unwrap();
        assert!(image.list("etc").contains("0644 0:0 etc/.pwd.lock \"\""), "{}", image.list("etc"));
    }
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
    refused(
        &mut empty,
        &[("a", "group groupname=a gid=1")],
        "there is no /etc/passwd and no /etc/shadow and no /etc/group",
    );
    // Who may not use FTP has to be listed somewhere.
    let mut image = Image::with_accounts();
    let expected = "the user `u` of pkg://p/a@1-1 cannot be set up: there is no /etc/ftpd/ftpusers";
    refused(&mut image, &[("a", "user username=u group=sys ftpuser=false")], expected);
}

#[test]
fn groups_and_users_that_were_changed_by_somebody() {
    let mut image = Image::with_accounts();
    image.put("etc/ftpd/ftpusers", "# comment\nroot\n");
    let user = "user username=u group=staff uid=50 password=UP";
    image.change(&[("a/1", &format!("{user} group-list=none"))]).unwrap();
    assert!(image.text("etc/group").ends_with("staff::10:\nnone:::u\n"), "{}", image.text("etc/group"));
    assert_eq!(image.warnings, ["user u is to be in group none, which is not there"]);
    // Who was shut out by somebody stays so, unless the package says something else, or is the one to say it.
    image.put("etc/ftpd/ftpusers", "# comment\nroot\nu\n");
    image.change(&[("a/2", &format!("{user} home-dir=/u"))]).unwrap();
    assert_eq!(image.text("etc/ftpd/ftpusers"), "# comment\nroot\nu\n");
    let before = (image.tree.clone(), image.packages.clone());
    image.change(&[("a/3", &format!("{} home-dir=/v", user.replace("UP", "NP")))]).unwrap();
    assert_eq!(image.text("etc/ftpd/ftpusers"), "# comment\nroot\n");
    (image.tree, image.packages) = before;
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
