//! From a repository to an image: a made-up distribution in a directory and in an archive, and repositories that lie.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use image_tree::{ImagePath, Store, StoreOptions, Tree};
use ips::fmri::{PackageId, Publisher};
use ips::image::{Image, ImageConfig, PublisherConfig};
use ips::install::Package;
use ips::lock::Lock;
use ips::manifest::Action;
use ips::resolve::{Request, resolve};
use ips::time::OperationTime;
use ips::variant::Variants;
use ips_client::repository::publish::Publication;
use ips_client::repository::{ArchiveTransport, DirectoryTransport, Payloads, Repository, RepositoryError, Transport};

const PACKAGES: usize = 220;
const TIME: i64 = 1_600_000_000;

fn id(stem: &str, version: &str) -> PackageId {
    format!("pkg://made.up/{stem}@{version},5.11-2024.0:20240101T000000Z").parse().unwrap()
}

fn actions(lines: &str) -> Vec<(Action, Option<Vec<u8>>)> {
    let action = |line: &str| match line.split_once(" <- ") {
        Some((action, payload)) => (action.parse().unwrap(), Some(payload.as_bytes().to_vec())),
        None => (line.parse().unwrap(), None),
    };
    lines.lines().map(str::trim).filter(|line| !line.is_empty()).map(action).collect()
}

fn publish(publication: &mut Publication, id: &PackageId, lines: &str) {
    let actions = actions(lines);
    let actions: Vec<(Action, Option<&[u8]>)> =
        actions.iter().map(|(action, payload)| (action.clone(), payload.as_deref())).collect();
    publication.publish(id, &actions).unwrap();
}

/// A base with users and tables, 220 packages on top of it in two versions, and an incorporation that wants the older.
fn distribution(root: &Path) {
    let mut publication = Publication::new(root);
    let tables = "root:x:0:0::/root:/bin/sh";
    publish(
        &mut publication,
        &id("system/base", "1"),
        &format!(
            "set name=pkg.summary value=\"The base\"
            group groupname=root gid=0
            group groupname=sys gid=3
            group groupname=web gid=80
            user username=root uid=0 group=root password=NP lastchg=1
            user username=web uid=80 group=web
            dir path=etc mode=0755 owner=root group=sys
            file path=etc/passwd mode=0644 owner=root group=sys preserve=true <- {tables}
            file path=etc/shadow mode=0400 owner=root group=sys preserve=true <- root:NP:1::::::
            file path=etc/group mode=0644 owner=root group=sys preserve=true <- root::0:
            file path=etc/name_to_major mode=0644 owner=root group=sys preserve=true <- clone 0
            file path=etc/driver_aliases mode=0644 owner=root group=sys preserve=true <- # aliases
            file path=etc/minor_perm mode=0644 owner=root group=sys preserve=true <- clone:x 0600 root sys
            license license=CDDL <- The text of the licence
            legacy pkg=SUNWcs version=11.11"
        ),
    );
    let mut incorporation = String::new();
    for at in 0..PACKAGES {
        incorporation += &format!("depend type=incorporate fmri=app/p{at}@1\n");
        for version in [1, 2] {
            let mut lines = format!(
                "set name=variant.arch value=i386 value=sparc
                depend type=require fmri=pkg:/system/base@1
                dir path=opt mode=0755 owner=root group=sys
                dir path=opt/p{at} mode=0755 owner=web group=web
                file path=opt/p{at}/data mode=0644 owner=web group=web <- data {at} {version}
                file path=opt/p{at}/su mode=4555 owner=root group=sys variant.arch=i386 <- su {at}
                file path=opt/p{at}/sparc mode=0555 owner=root group=sys variant.arch=sparc <- sparc {at}
                hardlink path=opt/p{at}/link target=data
                link path=opt/newest mediator=app mediator-version={at} target=p{at}\n"
            );
            if at > 0 {
                lines += &format!("depend type=require fmri=app/p{}\n", at - 1);
            }
            publish(&mut publication, &id(&format!("app/p{at}"), &version.to_string()), &lines);
        }
    }
    publish(&mut publication, &id("entire", "1"), &incorporation);
    publication.finish(OperationTime::from_unix_seconds(TIME)).unwrap();
}

/// Counts what is fetched.
struct Counting<T> {
    inner: T,
    fetched: RefCell<Vec<String>>,
}

impl<T: Transport> Transport for Counting<T> {
    fn fetch(&self, path: &str) -> io::Result<Option<Box<dyn Read + Send + '_>>> {
        self.fetched.borrow_mut().push(path.to_owned());
        self.inner.fetch(path)
    }

    fn names(&self, directory: &str) -> io::Result<Option<Vec<String>>> {
        self.inner.names(directory)
    }

    fn address(&self) -> &str {
        self.inner.address()
    }
}

fn store(directory: &Path) -> Store {
    Store::open_with(directory, StoreOptions { sync: false }).unwrap()
}

/// Resolves, fetches, locks and installs `words` into an empty tree.
fn build<T: Transport>(repository: &Repository<T>, store: &Store, words: &[&str]) -> (Tree, Lock) {
    let mut config = ImageConfig::new("i386");
    config.publishers.push(PublisherConfig::new("made.up".parse().unwrap(), &["http://made.up"]));
    let mut image = Image::new(config);
    let mut universe = image.universe();
    let mut catalogs = Vec::new();
    for publisher in repository.publishers().unwrap() {
        let catalog = repository.catalog(&publisher).unwrap();
        universe.add_catalog(&catalog);
        catalogs.push(catalog);
    }
    let request = Request { install: words.iter().map(|word| word.parse().unwrap()).collect(), ..Request::default() };
    let solution = resolve(&universe, &image.resolution_input().state(), &request).unwrap();
    let payloads = Payloads::new(store);
    let (mut lock, mut packages) = (Lock::default(), Vec::new());
    for id in &solution.packages {
        let sha1 = catalogs.iter().find_map(|catalog| catalog.get(id)).and_then(|entry| entry.manifest_sha1.as_deref());
        let text = repository.manifest(id, sha1).unwrap();
        lock.insert(id.clone(), &text);
        let package = Package::new(id.clone(), text).unwrap();
        for payload in payloads.missing(&package, &image.config.variants, &image.config.facets) {
            payloads.fetch(repository, &package, &payload).unwrap();
        }
        packages.push(package);
    }
    let time = OperationTime::from_unix_seconds(TIME);
    let (tree, warnings) = image.change(&Tree::default(), packages, &payloads, time).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    (tree, lock)
}

fn read(tree: &Tree, store: &Store, path: &str) -> String {
    let node = tree.get(&ImagePath::new(path).unwrap()).unwrap_or_else(|| panic!("{path}"));
    String::from_utf8(store.read_blob(node.content().unwrap().blob()).unwrap()).unwrap()
}

fn pack(root: &Path, archive: &Path) {
    let mut builder = tar::Builder::new(File::create(archive).unwrap());
    builder.append_dir_all("", root).unwrap();
    builder.finish().unwrap();
}

#[test]
fn a_distribution_is_installed_from_a_directory_and_from_an_archive() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("repository");
    distribution(&root);
    let last = format!("p{}", PACKAGES - 1);
    let transport = Counting { inner: DirectoryTransport::new(&root), fetched: RefCell::default() };
    let repository = Repository::open(transport).unwrap();
    let first_store = store(&scratch.path().join("first"));
    let (tree, lock) = build(&repository, &first_store, &[&last, "entire"]);
    assert_eq!(lock.packages().count(), PACKAGES + 2);
    assert_eq!(lock.to_string().parse(), Ok(lock.clone()));
    assert_eq!(read(&tree, &first_store, "/opt/p7/data"), "data 7 1");
    assert!(tree.get(&ImagePath::new("/opt/p7/sparc").unwrap()).is_none());
    let su = tree.get(&ImagePath::new("/opt/p7/su").unwrap()).unwrap();
    assert_eq!((su.metadata.uid, su.metadata.gid, su.metadata.mode), (0, 3, 0o4555));
    let data = ImagePath::new("/opt/p7/data").unwrap();
    assert_eq!(tree.get(&data).unwrap().metadata.uid, 80);
    assert_eq!(tree.links(&data).unwrap().count(), 2);
    let newest = tree.get(&ImagePath::new("/opt/newest").unwrap()).unwrap();
    assert_eq!(newest.symlink_target(), Some(last.as_bytes()));
    assert_eq!(read(&tree, &first_store, "/etc/passwd"), "root:x:0:0:& User:/:\nweb:x:80:80:& User:/:\n");

    // No payload twice, and none that variants leave out.
    let fetched = |text: &str| -> Vec<String> {
        let fetched = repository_log(&repository);
        fetched.into_iter().filter(|path| path.contains(text)).collect()
    };
    let files = fetched("/file/");
    assert_eq!(files.iter().collect::<BTreeSet<_>>().len(), files.len());
    let distinct = 2 * PACKAGES + 7;
    assert!(files.len() <= distinct, "{} of {distinct}", files.len());
    // The same again fetches nothing but what says what there is, and is the same to the byte.
    let before = fetched("/file/").len();
    let (again, same_lock) = build(&repository, &first_store, &[&last, "entire"]);
    assert_eq!((again.hash(), same_lock), (tree.hash(), lock.clone()));
    assert_eq!(fetched("/file/").len(), before);

    // Without the incorporation everything is newer.
    let (newer, _) = build(&repository, &first_store, &[&last]);
    assert_eq!(read(&newer, &first_store, "/opt/p7/data"), "data 7 2");

    // An archive of the same files, once with its catalog and once without, into an empty store.
    let archive = scratch.path().join("all.p5p");
    pack(&root, &archive);
    fs::remove_dir_all(root.join("publisher/made.up/catalog")).unwrap();
    let bare = scratch.path().join("bare.p5p");
    pack(&root, &bare);
    for archive in [archive, bare] {
        let repository = Repository::open(ArchiveTransport::open(&archive).unwrap()).unwrap();
        let other_store = store(&scratch.path().join(archive.file_stem().unwrap()));
        let (from_archive, other_lock) = build(&repository, &other_store, &[&last, "entire"]);
        assert_eq!((from_archive.hash(), other_lock), (tree.hash(), lock.clone()));
    }
}

fn repository_log<T: Transport>(repository: &Repository<Counting<T>>) -> Vec<String> {
    repository.transport().fetched.borrow().clone()
}

/// A small repository, and what to do to a file of it.
fn lying(path_part: &str, change: impl Fn(&Path)) -> (Result<(), RepositoryError>, usize) {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("repository");
    let mut publication = Publication::new(&root);
    let package = id("a", "1");
    publish(&mut publication, &package, "file path=x mode=0644 owner=root group=sys <- the right content");
    publication.finish(OperationTime::from_unix_seconds(TIME)).unwrap();
    let mut files = Vec::new();
    list(&root, &mut files);
    let target = files.iter().find(|path| path.to_string_lossy().contains(path_part)).unwrap();
    change(target);
    let store = store(&scratch.path().join("store"));
    (fetch_all(&root, &store, &package), store.len())
}

fn list(directory: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { list(&path, files) } else { files.push(path) }
    }
}

fn fetch_all(root: &Path, store: &Store, id: &PackageId) -> Result<(), RepositoryError> {
    let repository = Repository::open(DirectoryTransport::new(root))?;
    let publisher: Publisher = "made.up".parse().unwrap();
    let catalog = repository.catalog(&publisher)?;
    let entry = catalog.get(id);
    let text = repository.manifest(id, entry.and_then(|entry| entry.manifest_sha1.as_deref()))?;
    let package = Package::new(id.clone(), text).unwrap();
    let payloads = Payloads::new(store);
    for payload in payloads.missing(&package, &Variants::new("i386"), &ips::facet::Facets::default()) {
        payloads.fetch(&repository, &package, &payload)?;
    }
    Ok(())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    flate2::read::GzEncoder::new(bytes, flate2::Compression::fast()).read_to_end(&mut packed).unwrap();
    packed
}

#[test]
fn nothing_that_is_not_what_it_should_be_gets_through() {
    assert!(matches!(lying("/file/", |_| ()), (Ok(()), 1)));
    let with_more =
        "[CONFIGURATION]\nversion = 9\n\n[publisher]\nprefix = made.up\n\n[repository]\ncheck = False\nversion = 4\n";
    assert!(matches!(lying("pkg5.repository", |path| fs::write(path, with_more).unwrap()), (Ok(()), 1)));
    let chain = |error: &dyn std::error::Error| {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text += &format!(": {cause}");
            source = cause.source();
        }
        text
    };
    type Change = fn(&Path);
    let cases: [(&str, Change, &str); 10] = [
        ("/file/", |path| fs::write(path, gzip(b"the wrong content")).unwrap(), "instead of"),
        ("/file/", |path| fs::write(path, gzip(b"the rigth content")).unwrap(), "has the hash"),
        ("/file/", |path| fs::write(path, gzip(&vec![0; 1 << 24])).unwrap(), "longer than 17 bytes"),
        ("/file/", |path| fs::write(path, b"no gzip").unwrap(), "cannot be kept"),
        ("/file/", |path| truncate(path), "cannot be kept"),
        ("/file/", |path| fs::remove_file(path).unwrap(), "there is no such file"),
        ("/pkg/", |path| fs::write(path, "set name=a value=b\n").unwrap(), "its hash differs"),
        ("/pkg/", |path| fs::remove_file(path).unwrap(), "there is no such file"),
        ("catalog.base", |path| fs::write(path, "{}\n").unwrap(), "its signature is"),
        (
            "pkg5.repository",
            |path| fs::write(path, "[repository]\nversion = 5\n").unwrap(),
            "only those up to 4 are known",
        ),
    ];
    for (part, change, expected) in cases {
        let (result, kept) = lying(part, change);
        let error = result.unwrap_err();
        assert!(chain(&error).contains(expected), "{part}: {}", chain(&error));
        assert_eq!(kept, 0, "{part}: something was kept");
    }
}

fn truncate(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() - 9]).unwrap();
}

#[test]
fn archives_that_want_to_escape_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let archive = scratch.path().join("bad.p5p");
    let mut builder = tar::Builder::new(File::create(&archive).unwrap());
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..12].copy_from_slice(b"a/../../evil");
    header.set_size(0);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    builder.append(&header, &b""[..]).unwrap();
    builder.finish().unwrap();
    assert!(ArchiveTransport::open(&archive).is_err());
    let transport = DirectoryTransport::new(scratch.path());
    for path in ["../x", "a/../../x", "/etc/passwd", "a//b", ""] {
        assert!(transport.fetch(path).is_err(), "{path}");
    }
    assert!(Repository::open(transport).is_err());
}
