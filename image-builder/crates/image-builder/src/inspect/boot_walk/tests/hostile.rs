//! Environments that somebody made to keep the walk busy.

use super::super::files::{Entry, Files, Kind};
use super::super::loader::Settings;
use super::super::{cpio, walk};
use super::root::{ARCHIVE, DEFAULTS, Root};
use crate::inspect::findings::Findings;
use std::io::{self, Read};
use test_judge::{Random, fuzz};

/// A directory that holds itself, as only a hostile pool has it: twice, so that each level has twice as many names.
#[test]
fn directories_that_contain_themselves_end() {
    struct Circle(Root);
    impl Files for Circle {
        fn look_at(&self, path: &str, follow: bool) -> io::Result<Option<Entry>> {
            let inside = path.strip_prefix("/kernel/").is_some_and(|rest| rest.starts_with(['a', 'b']));
            let circle = Entry { kind: Kind::Directory, size: 0, mode: 0o755, mtime: 1 };
            if inside { Ok(Some(circle)) } else { self.0.look_at(path, follow) }
        }

        fn open<'a>(&'a self, path: &str) -> io::Result<Box<dyn Read + 'a>> {
            self.0.open(path)
        }

        fn names(&self, directory: &str) -> io::Result<Vec<String>> {
            let names = vec!["a".to_owned(), "b".to_owned()];
            if directory.starts_with("/kernel") { Ok(names) } else { self.0.names(directory) }
        }
    }
    let mut findings = Findings::default();
    let error = walk(&Circle(Root::whole()), "rpool/ROOT/be", &mut findings).expect_err("it does not go on");
    assert!(error.to_string().contains("more than"), "{error}");
}

#[test]
fn a_circle_of_variables_ends() {
    let mut root = Root::whole();
    root.file("/boot/loader.conf", "a=\"${b}\"\nb=\"${a}\"\nkernel=\"${a}\"\nc=\"${unknown}\"\n");
    let settings = Settings::read(&root).expect("read");
    assert!(settings.kernel().contains("${"), "{}", settings.kernel());
    assert_eq!(settings.get("c").as_deref(), Some("${unknown}"));
}

#[test]
fn fuzz_boot_archives_and_loader_configurations() {
    let root = Root::whole();
    let mut archive = Vec::new();
    let packed = root.open(ARCHIVE).expect("there");
    flate2::read::GzDecoder::new(packed).read_to_end(&mut archive).expect("a whole archive");
    let text = root.text(DEFAULTS).expect("read").expect("there");
    fuzz(300, |random: &mut Random| {
        let mut damaged = archive.clone();
        random.damage(&mut damaged);
        let _ = cpio::read(&damaged[..], |_, content| io::copy(content, &mut io::sink()).map(drop));
        let mut lines = text.clone().into_bytes();
        random.damage(&mut lines);
        let mut root = Root::default();
        root.file(DEFAULTS, lines);
        let settings = Settings::read(&root).expect("a root in memory is read");
        let _ = (settings.kernel(), settings.modules(), settings.console());
    });
}
