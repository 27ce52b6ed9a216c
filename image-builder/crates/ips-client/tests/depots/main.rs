//! Depots that are old, slow, broken or dishonest: nothing wrong is ever installed, and nothing fetched is lost.

mod faults;
mod scene;

use std::cell::RefCell;

use image_tree::Tree;
use ips::fmri::PackageId;
use ips::image::{Image, ImageConfig};
use ips::manifest::Manifest;
use ips::time::OperationTime;
use ips_client::repository::publish::Publication;
use ips_client::{Wish, all_reasons};
use ips_testing::{Depot, Fault, PublishLines};

use scene::{Scene, TIME, files};

#[test]
fn texts_come_packed_and_payloads_as_they_are() {
    let scene = Scene::new();
    let depot = Depot::serve(&scene.repository());
    scene.install(&[&depot.uri()], &[]).unwrap();
    let packed = depot.packed();
    for text in ["versions/0", "p/catalog/1/catalog.attrs", "p/catalog/1/catalog.base.C", "p/manifest/0/app@1%2C"] {
        assert!(packed.iter().any(|path| path.starts_with(text)), "{text}: {packed:?}");
    }
}

#[test]
fn depots_may_lead_elsewhere() {
    let scene = Scene::new();
    let depot = Depot::serve(&scene.repository());
    let elsewhere = depot.uri();
    let leading = Depot::serve_with(&scene.repository(), move |path, _| {
        let is_led = path.contains("/file/1/") || path.contains("catalog.base.C");
        is_led.then(|| Fault::Redirect(format!("{elsewhere}{path}")))
    });
    let tree = scene.install(&[&leading.uri()], &[]).unwrap();
    assert_eq!(files(&tree), files(&scene.expected()));
    assert_eq!(depot.requests().iter().filter(|path| path.contains("/file/1/")).count(), 24);
}

#[test]
fn new_and_old_depots_give_what_a_directory_gives() {
    let scene = Scene::new();
    let depot = Depot::serve(&scene.repository());
    let tree = scene.install(&[&depot.uri()], &[]).unwrap();
    assert_eq!(files(&tree), files(&scene.expected()));
    assert!(depot.requests().contains(&"p/catalog/1/catalog.attrs".to_owned()), "{:?}", depot.requests());
    assert!(scene.heard("fetching 24 files of 1 packages of p, 3"), "{:?}", scene.heard.0);
    assert!(scene.heard("fetching files: 24 of 24, "));
    drop(depot);
    // Without a network, from the store.
    scene.install_with(&scene.client().offline(true), &["http://127.0.0.1:1/"], &[]).unwrap_err();
    let other = Scene::new();
    let old = Depot::serve_old(&other.repository());
    assert_eq!(files(&other.install(&[&old.uri()], &[]).unwrap()), files(&tree));
    assert!(old.requests().contains(&"catalog/1/catalog.attrs".to_owned()));
}

#[test]
fn mirrors_are_asked_first_and_origins_step_in() {
    let scene = Scene::new();
    let origin = Depot::serve(&scene.repository());
    let mirror = Depot::serve(&scene.repository());
    let lying = Depot::serve_with(&scene.repository(), |path, _| {
        path.contains("/file/1/").then_some(Fault::Wrong(b"not what you wanted".to_vec()))
    });
    let tree = scene.install(&[&origin.uri()], &[&lying.uri(), &mirror.uri()]).unwrap();
    assert_eq!(files(&tree), files(&scene.expected()));
    assert!(!origin.requests().iter().any(|path| path.contains("/file/1/")), "{:?}", origin.requests());
    // Once it has lied, it is asked last.
    assert!(lying.requests().len() < 24, "{:?}", lying.requests());

    let other = Scene::new();
    let second = Depot::serve(&other.repository());
    let tree = other.install(&["http://127.0.0.1:1/", &second.uri()], &["http://127.0.0.1:1/mirror"]).unwrap();
    assert_eq!(files(&tree), files(&scene.expected()));
    assert!(other.heard("an origin is left out: the catalog of p cannot be fetched"), "{:?}", other.heard.0);
}

/// Publishers can be dishonest, too, with hashes that fit.
#[test]
fn what_would_leave_the_image_is_refused_wherever_it_is_from() {
    for (lines, expected) in [
        ("file path=../../evil mode=0644 owner=root group=root <- evil", "impossible path"),
        ("file path=opt/../../evil mode=0644 owner=root group=root <- evil", "impossible path"),
        ("dir path=../evil mode=0755 owner=root group=root", "impossible path"),
        ("link path=../evil target=/", "impossible path"),
        ("hardlink path=opt/evil target=../../../etc/hosts", "cannot be linked to /etc/hosts"),
        ("link path=up target=/etc\nfile path=up/evil mode=0644 owner=root group=root <- evil", "/up is a link there"),
        ("link path=up target=../../..\ndir path=up/evil mode=0755 owner=root group=root", "/up is a link there"),
        ("legacy pkg=../../evil", "which is not the name of a package"),
        ("file ../../../etc/hosts path=evil mode=0644 owner=root group=root", "is not the name of a payload"),
    ] {
        let scene = Scene::new();
        std::fs::remove_dir_all(scene.repository()).unwrap();
        let mut publication = Publication::new(scene.repository());
        let accounts = "group groupname=root gid=0\nuser username=root uid=0 group=root\n";
        publication.lines("pkg://p/app@1,5.11-1:20240101T000000Z", &format!("{accounts}{lines}"));
        publication.finish(OperationTime::from_unix_seconds(TIME)).unwrap();
        let depot = Depot::serve(&scene.repository());
        let text = all_reasons(&scene.install(&[&depot.uri()], &[]).unwrap_err());
        assert!(text.contains(expected), "{lines}: {text}");
        assert!(depot.requests().iter().all(|path| !path.contains("hosts")), "{:?}", depot.requests());
    }
}

/// What a manifest says of a payload is believed of no payload.
#[test]
fn lies_about_payloads_are_told_with_the_way_on() {
    const FAULT: &str = "this is a fault of the package";
    const DAMAGE: &str = "name another origin or mirror";
    let zeros = vec![0; 1 << 24];
    for (payload, attributes, expected, help) in [
        (&b"content"[..], "pkg.size=3", "the content is longer than 3 bytes", DAMAGE),
        (b"content", "pkg.size=99", "the content has 7 bytes instead of 99", DAMAGE),
        (b"content", "pkg.size=-1", "`file` action has `pkg.size=-1`", FAULT),
        (b"content", "pkg.size=18446744073709551616", "which is not a number in range", FAULT),
        (b"content", "pkg.csize=5", "the answer is longer than 5 bytes", ""),
        (b"content", "chash=0000000000000000000000000000000000000000", "it has the hash sha1:", DAMAGE),
        (
            b"content",
            "pkg.content-hash=file:sha256:0000000000000000000000000000000000000000000000000000000000000000",
            "the content has the hash sha256:",
            DAMAGE,
        ),
        (&zeros, "pkg.size=10", "the content is longer than 10 bytes", DAMAGE),
    ] {
        let scene = Scene::new();
        std::fs::remove_dir_all(scene.repository()).unwrap();
        let mut publication = Publication::new(scene.repository());
        let name = publication.keep(&"p".parse().unwrap(), payload).unwrap();
        let line = format!("file {name} path=opt/x mode=0644 owner=root group=root {attributes}");
        publication.lines("pkg://p/app@1,5.11-1:20240101T000000Z", &line);
        publication.finish(OperationTime::from_unix_seconds(TIME)).unwrap();
        let depot = Depot::serve(&scene.repository());
        let error = scene.install(&[&depot.uri()], &[]).unwrap_err();
        let text = all_reasons(&error);
        assert!(text.starts_with("file opt/x of app@1-1 cannot be fetched from p: "), "{attributes}: {text}");
        assert!(text.contains(expected) && text.contains(depot.uri().trim_end_matches('/')), "{attributes}: {text}");
        assert!(error.help().unwrap_or_default().contains(help), "{attributes}: {:?}", error.help());
        assert!(scene.store.records("ips-payload").unwrap().is_empty(), "{attributes}");
    }
}

#[test]
fn faults_of_packages_are_told_with_the_way_on() {
    for (lines, expected) in [
        ("dir path=../x mode=0755 owner=root group=root", "dir ../x of pkg://p/app@1-1 is unusable"),
        ("file path=opt/x mode=0644 owner=who group=root <- x", "/opt/x of pkg://p/app@1-1 belongs to the user `who`"),
        ("user username=a:b group=root", "the user `a:b` of pkg://p/app@1-1 cannot be set up"),
        ("link path=l target=\"\"", "/l of pkg://p/app@1-1 cannot be changed"),
    ] {
        let scene = Scene::new();
        std::fs::remove_dir_all(scene.repository()).unwrap();
        let mut publication = Publication::new(scene.repository());
        publication.lines("pkg://p/app@1,5.11-1:20240101T000000Z", lines);
        publication.finish(OperationTime::from_unix_seconds(TIME)).unwrap();
        let error = scene.install(&[&scene.repository().display().to_string()], &[]).unwrap_err();
        assert!(all_reasons(&error).starts_with(expected), "{}", all_reasons(&error));
        assert!(error.help().is_some_and(|help| help.starts_with("this is a fault of the package")), "{lines}");
    }
}

/// Somebody who waits for a large file sees that it comes.
#[test]
fn what_comes_is_told_while_it_comes() {
    let scene = Scene::new();
    let depot = Depot::serve_with(&scene.repository(), |path, count| {
        (path.contains("/file/1/") && count == 0).then_some(Fault::Truncate(1 << 20))
    });
    let source = scene.client().open(&depot.uri()).unwrap();
    let id: PackageId = "pkg://p/app@1,5.11-1:20240101T000000Z".parse().unwrap();
    let manifest = Manifest::parse(&source.manifest_text(&id).unwrap().unwrap()).unwrap();
    let large =
        manifest.actions.iter().find(|action| action.get("path") == Some("opt/large")).unwrap().payload().unwrap();
    let heard = RefCell::new(Vec::new());
    source.packed(&id.publisher, &large, &|bytes| heard.borrow_mut().push(bytes)).unwrap().unwrap();
    let heard = heard.into_inner();
    assert!(heard.len() > 2 && heard.windows(2).all(|pair| pair[0] < pair[1]), "{heard:?}");
    assert_eq!(heard.last().copied(), large.compressed_size().unwrap());
}

#[test]
fn origins_that_somebody_has_disabled_are_not_asked() {
    let scene = Scene::new();
    let [on, off] = [(); 2].map(|()| Depot::serve(&scene.repository()));
    let (on_uri, off_uri) = (on.uri(), off.uri());
    let text = format!(
        "[image]\nversion = 4\n[authority_p]\nprefix = p\norigins = ['{off_uri}', '{on_uri}']\nmirrors = ['{off_uri}']\n\
         origin_info = [{{'uri': '{off_uri}', 'proxy': '', 'disabled': 'true'}}]\n\
         mirror_info = [{{'uri': '{off_uri}', 'proxy': '', 'disabled': 'true'}}]\n[variant]\nvariant.arch = i386\n"
    );
    let mut image = Image::new(ImageConfig::parse(&text).unwrap());
    let client = scene.client();
    let lock = client.choose(&image, &Wish::install(vec!["app".parse().unwrap()])).unwrap();
    client.install(&Tree::default(), &mut image, &lock, OperationTime::from_unix_seconds(TIME)).unwrap();
    assert_eq!(off.requests(), Vec::<String>::new());
    assert!(on.requests().iter().any(|path| path.contains("/file/1/")));
}

#[test]
fn addresses_with_passwords_are_not_told() {
    let scene = Scene::new();
    let error = scene.install(&["http://me:secret@127.0.0.1:1/"], &[]).unwrap_err();
    let text = format!("{} {error:?} {:?}", all_reasons(&error), scene.heard.0);
    assert!(text.contains("127.0.0.1:1") && !text.contains("secret"), "{text}");
}

/// A manifest without the words that begin so.
fn without(text: &str, attribute: &str) -> String {
    let line = |line: &str| {
        let words: Vec<&str> = line.split(' ').filter(|word| !word.starts_with(attribute)).collect();
        words.join(" ") + "\n"
    };
    text.lines().map(line).collect()
}

/// Old manifests and those of other tools say less of sizes: nobody is told that files are empty.
#[test]
fn what_manifests_do_not_say_of_sizes_is_no_zero() {
    let scene = Scene::new();
    let origin = scene.repository().display().to_string();
    scene.change_manifest(|text| without(text, "pkg.csize="));
    scene.install(&[&origin], &[]).unwrap();
    // 3 MiB, and the small ones.
    assert!(scene.heard("fetching 24 files of 1 packages of p, 3072 KiB, from"), "{:?}", scene.heard.0);
    assert!(scene.heard("fetching files: 24 of 24, 3072 KiB of 3072 KiB, "), "{:?}", scene.heard.0);
    scene.change_manifest(|text| without(text, "pkg.size="));
    let scene = scene.anew();
    scene.install(&[&origin], &[]).unwrap();
    assert!(scene.heard("fetching 24 files of 1 packages of p, size unknown, from"), "{:?}", scene.heard.0);
    assert!(scene.heard.0.lock().unwrap().iter().any(|line| line == "fetching files: 24 of 24"));
}
