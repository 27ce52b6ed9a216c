//! Measures resolution and installation of a made-up distribution, by hand:
//! `cargo run --release --example install_speed -- NAMES VERSIONS CHOSEN FILES`, where FILES is for each chosen package.
#![expect(clippy::print_stdout, reason = "the result of a program run by hand")]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Mutex;
use std::time::Instant;

use image_tree::{BlobHash, Content, Tree};
use ips::fmri::PackageId;
use ips::image::{Image, ImageConfig, PublisherConfig};
use ips::install::{ContentError, ContentSource, Package};
use ips::manifest::Payload;
use ips::resolve::{Request, resolve};
use ips::time::OperationTime;

/// Payloads that are nothing but their names: the store is measured elsewhere.
#[derive(Default)]
struct Names(Mutex<BTreeMap<BlobHash, Vec<u8>>>);

impl ContentSource for Names {
    fn payload(&self, payload: &Payload<'_>) -> Result<Content, ContentError> {
        let name = payload.name().map_err(|source| ContentError { what: "?".to_owned(), source: source.into() })?;
        Ok(Content::plain(BlobHash::of(name.as_bytes()), 1))
    }

    fn read(&self, content: &Content) -> Result<Vec<u8>, ContentError> {
        let kept = self.0.lock().map_err(|_| ContentError { what: "?".to_owned(), source: "poisoned".into() })?;
        Ok(kept.get(&content.blob()).cloned().unwrap_or_default())
    }

    fn keep(&self, bytes: &[u8]) -> Result<Content, ContentError> {
        let mut kept = self.0.lock().map_err(|_| ContentError { what: "?".to_owned(), source: "poisoned".into() })?;
        kept.insert(BlobHash::of(bytes), bytes.to_vec());
        Ok(Content::plain(BlobHash::of(bytes), bytes.len() as u64))
    }
}

fn id(stem: &str, version: usize) -> Result<PackageId, Box<dyn Error>> {
    Ok(format!("pkg://p/{stem}@{version},5.11-{version}:20200101T00000{version}Z").parse()?)
}

fn manifest(id: &PackageId, actions: &[String], files: usize) -> String {
    let mut text: String = actions.iter().map(|action| format!("{action}\n")).collect();
    text += &format!("dir path=opt/{} mode=0755 owner=root group=root\n", id.stem);
    for file in 0..files {
        let hash = format!("{:040x}", BlobHash::of(format!("{id}{file}").as_bytes()).as_bytes()[0]);
        text += &format!(
            "file {hash} chash={hash} group=root mode=0644 owner=root path=opt/{}/d{}/file{file} pkg.csize=100 \
             pkg.content-hash=file:sha512t_256:{hash}{hash:.24} pkg.size=1\n",
            id.stem,
            file % 7
        );
    }
    text
}

fn main() -> Result<(), Box<dyn Error>> {
    let numbers: Vec<usize> = std::env::args().skip(1).map(|word| word.parse()).collect::<Result<_, _>>()?;
    let [names, versions, chosen, files] = numbers[..] else {
        return Err("usage: install_speed NAMES VERSIONS CHOSEN FILES".into());
    };
    let mut config = ImageConfig::new("i386");
    config.publishers.push(PublisherConfig::new("p".parse()?, &["http://p"]));
    let mut image = Image::new(config);
    let begin = Instant::now();
    let measured = |what: &str, since: Instant| println!("{what:32} {:7.3} s", since.elapsed().as_secs_f64());
    let mut universe = image.universe();
    let mut actions = BTreeMap::new();
    for version in 1..=versions {
        let incorporated = (0..names).map(|at| format!("depend fmri=lib/p{at}@{version} type=incorporate"));
        universe.add_package(id("entire", version)?, incorporated.collect());
        for at in 0..names {
            let mut own = vec!["depend fmri=entire type=require".to_owned()];
            own.extend(
                [1, 7, 31].map(|step| format!("depend fmri=lib/p{}@{version} type=require", (at + step) % chosen)),
            );
            let id = id(&format!("lib/p{at}"), version)?;
            universe.add_package(id.clone(), own.clone());
            actions.insert(id, own);
        }
    }
    measured("make the universe", begin);
    let begin = Instant::now();
    let request = Request { install: vec!["lib/p0".parse()?], ..Request::default() };
    let solution = resolve(&universe, &image.resolution_input().state(), &request)?;
    measured("resolve", begin);
    let begin = Instant::now();
    let mut packages = Vec::new();
    for id in &solution.packages {
        let text = manifest(id, actions.get(id).map_or(&[], Vec::as_slice), files);
        packages.push(Package::new(id.clone(), text.into_bytes())?);
    }
    let all: usize = packages.iter().map(|package| package.manifest.actions.len()).sum();
    measured("write and read the manifests", begin);
    let content = Names::default();
    let mut tree = Tree::default();
    for (path, text) in [("/etc/passwd", "root:x:0:0::/:\n"), ("/etc/group", "root::0:\n")] {
        let path = image_tree::ImagePath::new(path)?;
        let metadata = image_tree::Metadata::new(0, 0, 0o644);
        tree.create_dir(&image_tree::ImagePath::new("/etc")?, metadata.clone(), &metadata)?;
        tree.insert(&path, image_tree::Node::regular(content.keep(text.as_bytes())?, metadata))?;
    }
    let begin = Instant::now();
    let (tree, _) = image.change(&tree, packages.clone(), &content, OperationTime::default())?;
    measured("install", begin);
    let begin = Instant::now();
    packages.pop();
    let (tree, _) = image.change(&tree, packages, &content, OperationTime::default())?;
    measured("remove one package", begin);
    println!("{} packages, {all} actions, {:?}", solution.packages.len(), tree.statistics());
    Ok(())
}
