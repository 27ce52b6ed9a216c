//! Links on the way to what is mirrored.

mod common;

use common::server::T_WALK;
use common::share::Content;
use common::{Bench, RELEASE};

/// A build directory that was put elsewhere. The executables were removed, with no problem told, where the server says that a link is
/// no directory.
#[test]
fn executables_behind_a_link_are_unknown_and_not_gone() {
    for code in [2, 20, 40] {
        let bench = Bench::with_files();
        bench.round();
        let before = bench.files();
        {
            let mut host = bench.share.host();
            host.put("sysconfig/target", Content::Link(b"/scratch/target".to_vec()), 0o777);
            host.quirks.errors = vec![(T_WALK, RELEASE.to_owned(), code)];
        }
        assert!(bench.round().problems > 0, "{code}");
        assert_eq!(bench.files(), before, "{code}");
        let told = bench.log.take();
        let expected = format!("problem {RELEASE}: sysconfig/target is a link, which is not followed");
        assert!(told.iter().any(|line| line.starts_with(&expected)), "{code}: {told:?}");
    }
}

#[test]
fn executables_that_are_gone_are_removed() {
    let bench = Bench::with_files();
    bench.round();
    bench.share.host().nodes.retain(|path, _| !path.starts_with("sysconfig/target"));
    assert_eq!(bench.round().problems, 0);
    assert!(!bench.files().keys().any(|path| path.starts_with(RELEASE)));
}
