//! Depots that are old, slow, broken or dishonest: nothing wrong is ever installed, and nothing fetched is lost.

use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use image_tree::{ImagePath, Store, StoreOptions, Tree};
use ips::image::{Image, ImageConfig, PublisherConfig};
use ips::time::OperationTime;
use ips_client::repository::publish::Publication;
use ips_client::{Client, ClientError, Listener, Network, Wish, all_reasons};
use ips_testing::{Depot, Fault, PublishLines, noise};

const TIME: i64 = 1_700_000_000;
const LARGE: usize = 3 << 20;

/// One package with small files and a large one that does not pack.
fn publish(root: &Path) {
    let mut publication = Publication::new(root);
    let lines: String =
        (0..20).map(|at| format!("file path=opt/f{at} mode=0644 owner=root group=root <- content {at}\n")).collect();
    let large = [("file path=opt/large mode=0644 owner=root group=root".to_owned(), noise(LARGE, 1))];
    let base = "group groupname=root gid=0\nuser username=root uid=0 group=root\n\
        file path=etc/passwd mode=0644 owner=root group=root <- root:x:0:0::/:\n\
        file path=etc/shadow mode=0400 owner=root group=root <- root:NP:1::::::\n\
        file path=etc/group mode=0644 owner=root group=root <- root::0:\n";
    publication.lines_and_files("pkg://p/app@1,5.11-1:20240101T000000Z", &format!("{base}{lines}"), &large);
    publication.finish(OperationTime::from_unix_seconds(TIME)).unwrap();
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Listener for Heard {
    fn message(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
    fn detail(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

struct Scene {
    scratch: tempfile::TempDir,
    store: Store,
    heard: Arc<Heard>,
}

impl Scene {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        publish(&scratch.path().join("repository"));
        let store = Store::open_with(scratch.path().join("store"), StoreOptions { sync: false }).unwrap();
        Self { scratch, store, heard: Arc::default() }
    }

    fn repository(&self) -> std::path::PathBuf {
        self.scratch.path().join("repository")
    }

    fn client(&self) -> Client<'_> {
        let network = Network {
            stall: Duration::from_millis(1500),
            backoff: Duration::from_millis(1),
            attempts: 3,
            connections: 4,
            ..Network::default()
        };
        Client::new(&self.store, network, Arc::clone(&self.heard) as Arc<dyn Listener>)
    }

    /// Chooses and installs the package from these origins and mirrors.
    fn install(&self, origins: &[&str], mirrors: &[&str]) -> Result<Tree, ClientError> {
        self.install_with(&self.client(), origins, mirrors)
    }

    fn install_with(&self, client: &Client<'_>, origins: &[&str], mirrors: &[&str]) -> Result<Tree, ClientError> {
        let mut config = ImageConfig::new("i386");
        let mut publisher = PublisherConfig::new("p".parse().unwrap(), origins);
        publisher.mirrors = mirrors.iter().map(|mirror| (*mirror).to_owned()).collect();
        config.publishers.push(publisher);
        let mut image = Image::new(config);
        let lock = client.choose(&image, &Wish::install(vec!["app".parse().unwrap()]))?;
        client.install(&Tree::default(), &mut image, &lock, OperationTime::from_unix_seconds(TIME))
    }

    /// The tree that an honest directory gives, in a store of its own.
    fn expected(&self) -> Tree {
        let honest = Scene::new();
        let origin = self.repository().display().to_string();
        honest.install(&[&origin], &[]).unwrap()
    }

    fn heard(&self, text: &str) -> bool {
        self.heard.0.lock().unwrap().iter().any(|line| line.contains(text))
    }
}

fn files(tree: &Tree) -> Vec<(String, Option<image_tree::BlobHash>)> {
    let below = ImagePath::new("/opt").unwrap();
    tree.walk_from(&below)
        .map(|entry| (entry.path.to_string(), entry.node.content().map(image_tree::Content::blob)))
        .collect()
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
fn faults_that_pass_are_overcome() {
    let large = |path: &str| path.contains("/file/1/");
    type Mischief = Box<dyn Fn(&str, usize) -> Option<Fault> + Send + Sync>;
    let cases: Vec<(&str, Mischief)> = vec![
        ("503 at first, everywhere", Box::new(|_, count| (count == 0).then_some(Fault::Status(503)))),
        ("connections end", Box::new(|_, count| (count == 0).then_some(Fault::Close))),
        (
            "files break off",
            Box::new(move |path, count| (count == 0 && large(path)).then_some(Fault::Truncate(70_000))),
        ),
        (
            "files come in pieces, again and again",
            Box::new(move |path, count| (count < 20 && large(path)).then_some(Fault::Truncate(150_000))),
        ),
        ("a file stalls", Box::new(move |path, count| (count == 0 && large(path)).then_some(Fault::Stall(5)))),
        (
            "the catalog changes meanwhile",
            Box::new(|path, count| {
                let is_part = path.ends_with("catalog.base.C");
                (count == 0 && is_part).then_some(Fault::Wrong(b"{}\n".to_vec()))
            }),
        ),
        (
            "a file comes damaged once",
            Box::new(move |path, count| (count == 0 && large(path)).then_some(Fault::Wrong(b"noise".to_vec()))),
        ),
    ];
    for (what, mischief) in cases {
        let scene = Scene::new();
        let depot = Depot::serve_with(&scene.repository(), mischief);
        let tree = scene.install(&[&depot.uri()], &[]);
        let tree = tree.unwrap_or_else(|error| panic!("{what}: {}", all_reasons(&error)));
        assert_eq!(files(&tree), files(&scene.expected()), "{what}");
    }
}

#[test]
fn what_broke_off_is_gone_on_with() {
    let scene = Scene::new();
    let depot = Depot::serve_with(&scene.repository(), move |path, count| {
        let is_large = path.contains("/file/1/") && count < 3;
        is_large.then_some(Fault::Truncate(1 << 20))
    });
    scene.install(&[&depot.uri()], &[]).unwrap();
    // Twenty-three small files and the large one, which came in four pieces at most: it never began anew.
    let large = depot.requests().into_iter().fold(std::collections::BTreeMap::new(), |mut counts, path| {
        *counts.entry(path).or_insert(0) += 1;
        counts
    });
    assert_eq!(large.values().max(), Some(&4), "{large:?}");
}

#[test]
fn faults_that_stay_stop_it_and_nothing_wrong_is_kept() {
    let is_file = |path: &str| path.contains("/file/1/");
    type Mischief = Box<dyn Fn(&str, usize) -> Option<Fault> + Send + Sync>;
    let cases: Vec<(Mischief, &str)> = vec![
        (Box::new(move |path, _| is_file(path).then_some(Fault::Status(500))), "the server answered 500"),
        (Box::new(move |path, _| is_file(path).then_some(Fault::Status(403))), "access is denied"),
        (Box::new(move |path, _| is_file(path).then_some(Fault::Status(404))), "there is no such file"),
        (Box::new(move |path, _| is_file(path).then_some(Fault::Truncate(3))), "broke off after"),
        (Box::new(move |path, _| is_file(path).then_some(Fault::Stall(3))), "timeout"),
        (Box::new(move |path, _| is_file(path).then_some(Fault::Wrong(vec![7; 20]))), "it has the hash"),
        (Box::new(move |path, _| is_file(path).then_some(Fault::Wrong(noise(8 << 20, 3)))), "longer than"),
        (
            Box::new(|path, _| path.contains("manifest").then_some(Fault::Wrong(b"set name=a value=b\n".to_vec()))),
            "its hash differs",
        ),
        (Box::new(|path, _| path.ends_with(".base.C").then_some(Fault::Wrong(b"{}\n".to_vec()))), "its signature is"),
        (
            Box::new(|path, _| path.ends_with("attrs").then_some(Fault::Wrong(b"<html>".to_vec()))),
            "the text is not a catalog",
        ),
        (Box::new(|_, _| Some(Fault::Close)), "there was no answer"),
    ];
    for (mischief, expected) in cases {
        let scene = Scene::new();
        let depot = Depot::serve_with(&scene.repository(), mischief);
        let error = scene.install(&[&depot.uri()], &[]).unwrap_err();
        let text = all_reasons(&error);
        assert!(text.contains(expected), "{expected}: {text}");
        assert!(scene.store.records("ips-payload").unwrap().is_empty(), "{expected}");
        // Whoever is honest afterwards is believed.
        drop(depot);
        let honest = Depot::serve(&scene.repository());
        assert_eq!(files(&scene.install(&[&honest.uri()], &[]).unwrap()), files(&scene.expected()), "{expected}");
    }
}

/// The name of the largest payload.
fn largest(repository: &Path) -> String {
    let shards = std::fs::read_dir(repository.join("publisher/p/file")).unwrap().flatten();
    let files = shards.flat_map(|shard| std::fs::read_dir(shard.path()).unwrap().flatten());
    let largest = files.max_by_key(|file| file.metadata().unwrap().len()).unwrap();
    largest.file_name().into_string().unwrap()
}

#[test]
fn what_was_fetched_before_a_failure_is_not_fetched_again() {
    let scene = Scene::new();
    let large = largest(&scene.repository());
    let others = AtomicUsize::new(0);
    let depot = Depot::serve_with(&scene.repository(), move |path, _| {
        if path.contains("/file/1/") && !path.ends_with(&large) {
            others.fetch_add(1, Ordering::SeqCst);
        }
        while path.ends_with(&large) && others.load(Ordering::SeqCst) < 5 {
            std::thread::sleep(Duration::from_millis(1));
        }
        path.ends_with(&large).then_some(Fault::Truncate(30_000))
    });
    scene.install(&[&depot.uri()], &[]).unwrap_err();
    let kept = scene.store.records("ips-payload").unwrap().len();
    assert!(kept > 0);
    drop(depot);
    let depot = Depot::serve(&scene.repository());
    scene.install(&[&depot.uri()], &[]).unwrap();
    let fetched = depot.requests();
    assert_eq!(fetched.iter().filter(|path| path.contains("/file/1/")).count(), 24 - kept, "{fetched:?}");
    assert!(!fetched.iter().any(|path| path.contains("manifest/")), "{fetched:?}");
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

#[test]
fn addresses_with_passwords_are_not_told() {
    let scene = Scene::new();
    let error = scene.install(&["http://me:secret@127.0.0.1:1/"], &[]).unwrap_err();
    let text = format!("{} {error:?} {:?}", all_reasons(&error), scene.heard.0);
    assert!(text.contains("127.0.0.1:1") && !text.contains("secret"), "{text}");
}
