//! Repositories and archives that are made as the reference implementation makes them, by none of our code.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use image_tree::{ImagePath, NodeKind, Store, StoreOptions, Tree};
use ips::fmri::Publisher;
use ips::image::{Image, ImageConfig, PublisherConfig};
use ips::time::OperationTime;
use ips_client::repository::{DirectoryTransport, Repository, RepositoryError};
use ips_client::{Client, ClientError, Network, Silent, Wish, all_reasons};
use ips_testing::Depot;
use process_runner::Command;

const TIME: i64 = 1_700_000_000;

/// Makes the repositories; none if there is no Python.
fn make() -> Option<tempfile::TempDir> {
    let python = test_judge::find("python3", "python3")?;
    let scratch = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pkgrepo/make.py");
    Command::new(python).arg("-B").arg(script).arg(scratch.path()).run().unwrap();
    Some(scratch)
}

/// Installs what these words name, each publisher from the same origin.
fn install(origin: &str, publishers: &[&str], words: &[&str]) -> Result<String, ClientError> {
    let scratch = tempfile::tempdir().unwrap();
    let store = Store::open_with(scratch.path(), StoreOptions { sync: false }).unwrap();
    let client = Client::new(&store, Network::default(), Arc::new(Silent));
    let mut config = ImageConfig::new("i386");
    for publisher in publishers {
        config.publishers.push(PublisherConfig::new(publisher.parse().unwrap(), &[origin]));
    }
    let mut image = Image::new(config);
    let patterns = words.iter().map(|word| word.parse().unwrap()).collect();
    let time = OperationTime::from_unix_seconds(TIME);
    let lock = client.choose(&image, &Wish::install(patterns))?;
    let tree = client.install(&Tree::default(), &mut image, &lock, time)?;
    let mut text: String = image.packages().map(|package| format!("{}\n", package.id)).collect();
    for directory in ["/etc", "/usr", "/var/pkg/license", "/var/sadm"] {
        list(&tree, &store, directory, &mut text);
    }
    Ok(text)
}

fn told(result: Result<String, ClientError>) -> String {
    result.unwrap_or_else(|error| all_reasons(&error))
}

/// A line for each thing below a directory, with the beginning of what is in it.
fn list(tree: &Tree, store: &Store, directory: &str, text: &mut String) {
    for entry in tree.walk_from(&ImagePath::new(directory).unwrap()) {
        let metadata = &entry.node.metadata;
        let _ = write!(text, "{} {:o} {}:{}", entry.path, metadata.mode, metadata.uid, metadata.gid);
        if let Some(content) = entry.node.content() {
            let bytes = store.read_blob(content.blob()).unwrap();
            let begin: String = String::from_utf8_lossy(&bytes).chars().take(18).collect();
            let _ = write!(text, " {} {begin:?}", bytes.len());
        }
        if let NodeKind::Symlink(target) = &entry.node.kind {
            let _ = write!(text, " -> {}", String::from_utf8_lossy(target));
        }
        text.push('\n');
    }
}

const EXPECTED: &str = include_str!("pkgrepo/expected.txt");

#[test]
fn what_pkgrepo_leaves_is_installed_from_every_form_of_it() {
    let Some(made) = make() else { return };
    let place = |name: &str| made.path().join(name).display().to_string();
    let depot = Depot::serve(&made.path().join("v4"));
    for origin in [place("v4"), format!("file://{}", place("v4")), place("omnios"), depot.uri(), place("all.p5p")] {
        let installed = install(&origin, &["made.up", "other"], &["tool", "other/doc"]);
        assert_eq!(told(installed), EXPECTED, "{origin}");
    }
    let is_other = |line: &&str| line.starts_with("pkg://other/") || line.starts_with("/usr/other");
    let of_one_publisher: String = EXPECTED.split_inclusive('\n').filter(|line| !is_other(line)).collect();
    for origin in [place("v3"), place("v2")] {
        assert_eq!(told(install(&origin, &["made.up"], &["tool"])), of_one_publisher, "{origin}");
    }
    // Nobody speaks for another publisher.
    let error = install(&place("v3"), &["other"], &["tool"]).unwrap_err();
    assert!(matches!(error, ClientError::Fetch { .. }), "{error:?}");
    fs::write(made.path().join("v3/cfg_cache"), "\n").unwrap();
    let error = install(&place("v3"), &["other"], &["tool"]).unwrap_err();
    assert!(matches!(error, ClientError::Resolve(_)), "{error:?}");
}

/// What people leave beside publishers and packages is not theirs.
#[test]
fn publishers_are_known_and_strays_passed_over() {
    let Some(made) = make() else { return };
    let publishers = |name: &str| -> Vec<String> {
        let repository = Repository::open(DirectoryTransport::new(made.path().join(name))).unwrap();
        repository.publishers().unwrap().iter().map(ToString::to_string).collect()
    };
    let root = made.path().join("v4");
    for stray in
        ["publisher/README", "publisher/.DS_Store", "publisher/made.up/pkg/README", "publisher/other/catalog/x"]
    {
        fs::write(root.join(stray), "stray").unwrap();
    }
    for stray in ["publisher/lost+found", "publisher/made.up/pkg/.snapshots/1", "publisher/made.up/pkg/tool/@x"] {
        fs::create_dir_all(root.join(stray)).unwrap();
    }
    assert_eq!(publishers("v4"), ["made.up", "new-and-empty", "other"]);
    assert_eq!(publishers("v3"), ["made.up"]);
    fs::write(made.path().join("v3/cfg_cache"), "\n").unwrap();
    assert_eq!(publishers("v3"), ["made.up"]);

    // The same packages without the catalog and without what says that this is a repository.
    let repository = Repository::open(DirectoryTransport::new(&root)).unwrap();
    let made_up: Publisher = "made.up".parse().unwrap();
    let catalog = repository.catalog(&made_up).unwrap();
    assert_eq!(catalog.counts(), (5, 6));
    fs::remove_dir_all(root.join("publisher/made.up/catalog")).unwrap();
    fs::remove_file(root.join("pkg5.repository")).unwrap();
    let repository = Repository::open(DirectoryTransport::new(&root)).unwrap();
    assert_eq!(repository.catalog(&made_up).unwrap(), catalog);
    // A repository of one publisher has nothing of another, whether it says whose it is or not.
    let of_another = |config: &str| {
        fs::write(made.path().join("v3/cfg_cache"), config).unwrap();
        let single = Repository::open(DirectoryTransport::new(made.path().join("v3"))).unwrap();
        single.catalog(&"other".parse().unwrap()).map(|catalog| catalog.counts())
    };
    assert_eq!(of_another("\n").unwrap(), (0, 0));
    assert!(matches!(of_another("[publisher]\nprefix = made.up\n"), Err(RepositoryError::NoPublisher { .. })));
}
