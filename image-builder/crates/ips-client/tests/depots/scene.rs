//! A repository with one package, and who installs it.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use image_tree::{ImagePath, Store, StoreOptions, Tree};
use ips::image::{Image, ImageConfig, PublisherConfig};
use ips::time::OperationTime;
use ips_client::repository::publish::Publication;
use ips_client::{Client, ClientError, Listener, Network, Wish};
use ips_testing::{PublishLines, noise};

pub(crate) const TIME: i64 = 1_700_000_000;
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
pub(crate) struct Heard(pub(crate) Mutex<Vec<String>>);

impl Listener for Heard {
    fn message(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
    fn detail(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

pub(crate) struct Scene {
    published: Arc<tempfile::TempDir>,
    _scratch: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) heard: Arc<Heard>,
    /// How long its clients wait for a server: longer than any machine is busy, unless the server is to stall.
    pub(crate) stall: Duration,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let published = tempfile::tempdir().unwrap();
        publish(&published.path().join("repository"));
        Self::of(Arc::new(published))
    }

    fn of(published: Arc<tempfile::TempDir>) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::open_with(scratch.path(), StoreOptions { sync: false }).unwrap();
        Self { published, _scratch: scratch, store, heard: Arc::default(), stall: Duration::from_secs(30) }
    }

    /// The same repository, and a store in which nothing is yet.
    pub(crate) fn anew(&self) -> Self {
        Self::of(Arc::clone(&self.published))
    }

    pub(crate) fn repository(&self) -> std::path::PathBuf {
        self.published.path().join("repository")
    }

    /// The repository with another manifest, of which its catalog is made anew.
    pub(crate) fn change_manifest(&self, change: impl Fn(&str) -> String) {
        let publisher = self.repository().join("publisher/p");
        let path = std::fs::read_dir(publisher.join("pkg/app")).unwrap().next().unwrap().unwrap().path();
        std::fs::write(&path, change(&std::fs::read_to_string(&path).unwrap())).unwrap();
        let catalog = publisher.join("catalog");
        if catalog.exists() {
            std::fs::remove_dir_all(catalog).unwrap();
        }
    }

    pub(crate) fn client(&self) -> Client<'_> {
        self.client_of(3)
    }

    /// One that makes a request so many times.
    pub(crate) fn client_of(&self, attempts: u32) -> Client<'_> {
        let network = Network {
            stall: self.stall,
            backoff: Duration::from_millis(1),
            attempts,
            connections: 4,
            ..Network::default()
        };
        Client::new(&self.store, network, Arc::clone(&self.heard) as Arc<dyn Listener>)
    }

    /// Chooses and installs the package from these origins and mirrors.
    pub(crate) fn install(&self, origins: &[&str], mirrors: &[&str]) -> Result<Tree, ClientError> {
        self.install_with(&self.client(), origins, mirrors)
    }

    pub(crate) fn install_with(
        &self,
        client: &Client<'_>,
        origins: &[&str],
        mirrors: &[&str],
    ) -> Result<Tree, ClientError> {
        let mut config = ImageConfig::new("i386");
        let mut publisher = PublisherConfig::new("p".parse().unwrap(), origins);
        publisher.mirrors = mirrors.iter().map(|mirror| (*mirror).to_owned()).collect();
        config.publishers.push(publisher);
        let mut image = Image::new(config);
        let lock = client.choose(&image, &Wish::install(vec!["app".parse().unwrap()]))?;
        client.install(&Tree::default(), &mut image, &lock, OperationTime::from_unix_seconds(TIME))
    }

    /// The tree that an honest directory gives, in a store of its own.
    pub(crate) fn expected(&self) -> Tree {
        let origin = self.repository().display().to_string();
        self.anew().install(&[&origin], &[]).unwrap()
    }

    pub(crate) fn heard(&self, text: &str) -> bool {
        self.heard.0.lock().unwrap().iter().any(|line| line.contains(text))
    }
}

pub(crate) fn files(tree: &Tree) -> Vec<(String, Option<image_tree::BlobHash>)> {
    let below = ImagePath::new("/opt").unwrap();
    tree.walk_from(&below)
        .map(|entry| (entry.path.to_string(), entry.node.content().map(image_tree::Content::blob)))
        .collect()
}

/// What networks answer where somebody has to log in first.
pub(crate) const PAGE: &[u8] = b"\n<!DOCTYPE html><html><body>Please log in</body></html>";
