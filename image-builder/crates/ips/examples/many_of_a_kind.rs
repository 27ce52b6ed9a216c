//! Measures packages with very many hard links and users, by hand:
//! `cargo run --release --example many_of_a_kind -- LINKS CHAIN USERS`.
#![expect(clippy::print_stdout, reason = "the result of a program run by hand")]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use image_tree::{BlobHash, Content, ImagePath, Metadata, Node, Tree};
use ips::image::{Image, ImageConfig, PublisherConfig};
use ips::install::{ContentError, ContentSource, Package};
use ips::manifest::Payload;
use ips::time::OperationTime;

/// Tables as they are, and files that are nothing but their names.
#[derive(Default)]
struct Kept(Mutex<BTreeMap<BlobHash, Vec<u8>>>);

impl ContentSource for Kept {
    fn payload(&self, payload: &Payload<'_>) -> Result<Content, ContentError> {
        let name = payload.name().map_err(|source| ContentError { what: "?".to_owned(), source: source.into() })?;
        Ok(Content::plain(BlobHash::of(name.as_bytes()), 1))
    }

    fn read(&self, content: &Content) -> Result<Vec<u8>, ContentError> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(kept.get(&content.blob()).cloned().unwrap_or_default())
    }

    fn keep(&self, bytes: &[u8]) -> Result<Content, ContentError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(BlobHash::of(bytes), bytes.to_vec());
        Ok(Content::plain(BlobHash::of(bytes), bytes.len() as u64))
    }
}

/// A package of a kind, whose file is another in each version.
fn manifest(kind: &str, count: usize, version: usize) -> String {
    let file = |path: &str| format!("file {version:040x} path={path} mode=0644 owner=root group=root\n");
    let lines = (0..count).map(|at| match kind {
        "links" => format!("hardlink path=l{at} target=x\n"),
        "chain" => {
            format!("hardlink path=l{at} target={}\n", if at == 0 { "x".to_owned() } else { format!("l{}", at - 1) })
        }
        _ => format!(
            "group groupname=g{at} gid={}\nuser username=u{at} uid={} group=g{at} group-list=root ftpuser=false \
             gcos-field={version}\n",
            1000 + at,
            1000 + at
        ),
    });
    file("x") + &lines.collect::<String>()
}

fn main() -> Result<(), Box<dyn Error>> {
    let counts: Vec<usize> = std::env::args().skip(1).map(|word| word.parse()).collect::<Result<_, _>>()?;
    let [links, chain, users] = counts[..] else { return Err("usage: many_of_a_kind LINKS CHAIN USERS".into()) };
    for (kind, count) in [("links", links), ("chain", chain), ("users", users)] {
        let content = Kept::default();
        let mut config = ImageConfig::new("i386");
        config.publishers.push(PublisherConfig::new("p".parse()?, &["http://p"]));
        let (mut image, mut tree, metadata) = (Image::new(config), Tree::default(), Metadata::new(0, 0, 0o644));
        for (path, text) in [
            ("/etc/passwd", "root:x:0:0::/:\n"),
            ("/etc/shadow", "root:NP:1::::::\n"),
            ("/etc/group", "root::0:\n"),
            ("/etc/ftpd/ftpusers", "root\n"),
        ] {
            let path = ImagePath::new(path)?;
            tree.create_dir(&path.parent().unwrap_or_else(ImagePath::root), metadata.clone(), &metadata)?;
            tree.insert(&path, Node::regular(content.keep(text.as_bytes())?, metadata.clone()))?;
        }
        for (what, version) in [("install", Some(1)), ("update", Some(2)), ("remove", None)] {
            let package = |version| {
                let id = format!("pkg://p/{kind}@{version},5.11-1:20200101T00000{version}Z").parse()?;
                Ok::<_, Box<dyn Error>>(Package::new(id, manifest(kind, count, version).into_bytes())?)
            };
            let packages = version.map(package).transpose()?.into_iter().collect();
            let begin = Instant::now();
            (tree, _) = image.change(&tree, packages, &content, OperationTime::default())?;
            println!("{what:8} {count:6} {kind:8} {:8.3} s", begin.elapsed().as_secs_f64());
        }
    }
    Ok(())
}
