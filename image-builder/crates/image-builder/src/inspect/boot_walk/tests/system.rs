//! Tables and the services' repository, as the system uses them once it runs.

use super::super::files::{Entry, Files};
use super::super::walk;
use super::root::{REPOSITORY, Root};
use crate::inspect::findings::Findings;
use std::io::{self, Read};

#[test]
fn tables_that_the_system_could_not_use_are_told() {
    let majors = Root::whole().text("/etc/name_to_major").expect("read").expect("there");
    let without = |driver: &str| {
        let lines = majors.lines().filter(|line| !line.starts_with(&format!("{driver} ")));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    let cases = [
        ("/etc/name_to_major", format!("{majors}md 201\n"), "/etc/name_to_major:8: md has the number 201 of vioblk"),
        ("/etc/name_to_major", format!("{majors}pci 300\n"), "/etc/name_to_major:8: pci has a number already"),
        ("/etc/name_to_major", format!("{majors}md\n"), "/etc/name_to_major:8: it is not a driver and its number"),
        ("/etc/name_to_major", format!("{majors}md x\n"), "/etc/name_to_major:8: x is no number"),
        (
            "/etc/name_to_major",
            without("blkdev"),
            "/kernel/drv/amd64/blkdev is there, and /etc/name_to_major has no number for it; its package's driver action \
             adds it",
        ),
        (
            "/etc/driver_aliases",
            "vioif \"pci1af4,1\"\n".to_owned(),
            "/etc/driver_aliases names vioif, which has no number",
        ),
        ("/etc/driver_classes", "ghost pci\n".to_owned(), "/etc/driver_classes names ghost, which has no number"),
        (
            "/etc/vfstab",
            "repo - /repo 9pfs - yes tag=repo\n".to_owned(),
            "/etc/vfstab:1: /repo is to be mounted at boot, and nothing in the image mounts the type 9pfs \
             (/usr/lib/fs/9pfs/mount); write no instead of yes",
        ),
        ("/etc/vfstab", "swap - /tmp tmpfs yes\n".to_owned(), "/etc/vfstab:1: it has 5 words instead of 7"),
        ("/etc/svc/repository.db", "SQLite format 3".to_owned(), "/etc/svc/repository.db is no repository"),
    ];
    for (path, content, expected) in cases {
        let mut root = Root::whole();
        root.file(path, content);
        root.archive();
        let bad = root.found().bad;
        assert!(bad.iter().any(|problem| problem.starts_with(&format!("boot: {expected}"))), "{expected}: {bad:?}");
    }
    // A seed wants its profile; a repository that svccfg has made has had it.
    let mut root = Root::whole();
    root.0.remove("/etc/svc/profile/generic.xml");
    assert!(
        root.found().bad[0].starts_with("boot: /etc/svc/profile/generic.xml leads nowhere"),
        "{:?}",
        root.found().bad
    );
    root.file("/etc/svc/repository.db", format!("{REPOSITORY} with services"));
    assert_eq!(root.found().bad, [""; 0]);
    root.file("/reconfigure", "");
    let found = root.found();
    assert_eq!(found.bad, [""; 0]);
    assert!(found.good.iter().any(|said| said.starts_with("boot: /reconfigure is there")), "{:?}", found.good);
}

#[test]
fn a_repository_that_others_can_read_is_told() {
    struct Open(Root);
    impl Files for Open {
        fn look_at(&self, path: &str, follow: bool) -> io::Result<Option<Entry>> {
            Ok(self.0.look_at(path, follow)?.map(|entry| Entry { mode: 0o644, ..entry }))
        }

        fn open<'a>(&'a self, path: &str) -> io::Result<Box<dyn Read + 'a>> {
            self.0.open(path)
        }

        fn names(&self, directory: &str) -> io::Result<Vec<String>> {
            self.0.names(directory)
        }
    }
    let mut findings = Findings::default();
    walk(&Open(Root::whole()), "rpool/ROOT/be", &mut findings).expect("read");
    assert_eq!(findings.bad, ["boot: /etc/svc/repository.db has the mode 644 instead of 600"]);
}
