//! From a publisher's address to the development image: the repository's own templates, over a made-up distribution
//! that a depot serves.

mod illumos_root;
mod pool_bench;

use image_steps::{BuildRequest, Location, PlannedPackages, PlannedTemplate, Progress, build, plan, plan_asking};
use image_tree::{Follow, ImagePath, ReadTarOptions, Store, Tree, read_tar};
use ips_testing::{Depot, PACKAGES_MIN, PUBLISHER, openindiana};
use pool_bench::{Bench, ask_about_partitions, repository_templates, told};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const OFFICIAL: &str = "https://pkg.openindiana.org/hipster";

fn copy_templates(from: &Path, to: &Path, uri: &str) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_templates(&entry.path(), &target, uri);
        } else {
            let bytes = fs::read(entry.path()).unwrap();
            let text = String::from_utf8(bytes)
                .map(|text| text.replace(OFFICIAL, uri).replace("\"size\": 8192", "\"size\": 1024").into_bytes());
            fs::write(target, text.unwrap_or_else(std::string::FromUtf8Error::into_bytes)).unwrap();
        }
    }
}

struct Scene {
    bench: Bench,
    depot: Depot,
}

impl Scene {
    fn new() -> Self {
        let bench = Bench::empty();
        openindiana(&bench.path("repository"));
        let depot = Depot::serve(&bench.path("repository"));
        copy_templates(&repository_templates(), &bench.path("oi"), depot.uri().trim_end_matches('/'));
        for program in ["sysconfig", "sysconfigctl", "ninep-mirror"] {
            fs::write(bench.path("ext").join(program), illumos_root::elf(2)).unwrap();
        }
        Self { bench, depot }
    }

    fn request(&self, workspace: &str) -> BuildRequest {
        BuildRequest {
            svccfg: None,
            location: Location::Directory(self.bench.path(workspace)),
            roots: vec![self.bench.path("oi")],
            group: "cloudimage".to_owned(),
            name: "ttya-openindiana-hipster-dev".to_owned(),
            ..self.bench.request("")
        }
    }

    /// Builds the development image, and answers where it is and which steps ran.
    fn build(&self, workspace: &str) -> (PathBuf, Vec<String>) {
        self.bench.log.steps.lock().unwrap().clear();
        self.bench.log.messages.lock().unwrap().clear();
        let progress: Arc<dyn Progress> = Arc::clone(&self.bench.log) as Arc<dyn Progress>;
        let built = build(&self.request(workspace), &progress).unwrap_or_else(|error| panic!("{}", told(&error)));
        (built.artifact.unwrap().path, self.bench.ran())
    }
}

struct Base {
    tree: Tree,
    store: Store,
}

impl Base {
    fn of(bench: &Bench, archive: &Path) -> Self {
        let store = Store::open(bench.path("reading")).unwrap();
        let tree = read_tar(fs::File::open(archive).unwrap(), &store, ReadTarOptions::default()).unwrap().tree;
        Self { tree, store }
    }

    fn text(&self, path: &str) -> String {
        let (_, node) = self.tree.lookup(&ImagePath::new(path).unwrap(), Follow::No).unwrap();
        String::from_utf8(self.store.read_blob(node.content().unwrap().blob()).unwrap()).unwrap()
    }

    fn owner_and_mode(&self, path: &str) -> (u32, u32, u16) {
        let metadata = &self.tree.get(&ImagePath::new(path).unwrap()).unwrap_or_else(|| panic!("{path}")).metadata;
        (metadata.uid, metadata.gid, metadata.mode)
    }
}

/// What a plan tells of packages before anything was built.
struct Foreseen {
    packages: BTreeSet<String>,
    files: usize,
}

fn of_packages(planned: Vec<PlannedTemplate>) -> Vec<PlannedPackages> {
    planned.into_iter().flat_map(|template| template.steps).filter_map(|step| step.packages).collect()
}

/// Without asking, a plan of an empty workspace knows that it does not know; and asking fetches no file of a package.
fn foresee(scene: &Scene) -> Foreseen {
    let progress: Arc<dyn Progress> = Arc::clone(&scene.bench.log) as Arc<dyn Progress>;
    let request = scene.request("first");
    let unknown = of_packages(plan(&request, &progress).unwrap());
    assert_eq!(unknown.len(), 2, "two stages install packages");
    let uri = scene.depot.uri().trim_end_matches('/').to_owned();
    let expected = vec![(PUBLISHER.to_owned(), vec![uri])];
    assert!(
        unknown.iter().all(|step| !step.is_known && step.new.is_empty() && step.publishers == expected),
        "{unknown:?}"
    );
    assert_eq!(scene.depot.requests(), Vec::<String>::new());
    assert!(!scene.bench.path("first").exists());

    let planned = of_packages(plan_asking(&request, &progress).unwrap());
    let took = format!("took the catalog of {PUBLISHER} from {}", scene.depot.uri().trim_end_matches('/'));
    assert!(scene.bench.messages().contains(&took), "{}", scene.bench.messages());
    let locks = fs::read_dir(scene.bench.path("first/ips")).map_or(0, Iterator::count);
    assert_eq!(locks, 0, "nothing is locked");
    assert!(scene.depot.requests().iter().all(|path| !path.contains("file/1/")), "{:?}", scene.depot.requests());
    assert!(planned.iter().all(|step| step.is_known && step.unknown == 0 && step.problem.is_none()), "{planned:?}");
    assert!(planned.iter().all(|step| step.fetch_bytes > 0 && step.size_bytes > 0), "{planned:?}");
    // What is in the workspace now is enough for a plan that asks nobody.
    assert_eq!(of_packages(plan(&request, &progress).unwrap()), planned);
    Foreseen {
        files: planned.iter().map(|step| step.fetch_files).sum(),
        packages: planned.into_iter().flat_map(|step| step.new).collect(),
    }
}

#[test]
fn the_development_image_is_made_of_packages_alone() {
    let scene = Scene::new();
    let foreseen = foresee(&scene);
    let (image, ran) = scene.build("first");
    assert!(ran.iter().any(|step| step.starts_with("pkg_install /entire")), "{ran:?}");
    let said = scene.bench.messages();
    assert!(said.contains(&format!("packages of {PUBLISHER}, ")), "{said}");
    assert!(!said.contains("cannot"), "{said}");
    ask_about_partitions(&scene.bench, &image);
    let mut asked = scene.depot.requests();
    // The plan and the build each ask what the depot understands.
    asked.retain(|path| path != "versions/0");
    let mut once = asked.clone();
    once.sort();
    once.dedup();
    assert_eq!(asked.len(), once.len(), "everything is fetched once");
    let files = asked.iter().filter(|path| path.contains("file/1/")).count();
    assert_eq!(files, foreseen.files, "as many files as the plan said");

    let archive = scene.bench.path("first/output/openindiana-hipster.tar.gz");
    let base = Base::of(&scene.bench, &archive);
    let installed = base.text("/var/pkg/state/installed/catalog.base.C");
    let count = installed.matches("\"last-install\"").count();
    assert!(count >= PACKAGES_MIN && !installed.contains("2025.0.0.0"), "{count} packages");
    assert_eq!(count, foreseen.packages.len(), "as many packages as the plan said");
    for name in &foreseen.packages {
        let (stem, _) = name.split_once('@').unwrap();
        assert!(installed.contains(&format!("\"{stem}\":")), "{name} was planned");
    }
    // What is renamed stays as long as something depends on the old name; what is obsolete does not.
    assert!(installed.contains("\"states\":[0,2,7,9]") && installed.contains("library/name-of-old"));
    assert!(!installed.contains("library/gone"));
    for (path, expected) in [
        ("/usr/bin/su", (0, 2, 0o4555)),
        ("/tmp", (0, 3, 0o1777)),
        ("/opt/p7", (80, 80, 0o755)),
        ("/opt/p7/data", (80, 80, 0o644)),
        ("/etc/shadow", (0, 3, 0o400)),
        ("/var/pkg/pkg5.image", (0, 0, 0o644)),
    ] {
        assert_eq!(base.owner_and_mode(path), expected, "{path}");
    }
    assert_eq!(base.text("/opt/p7/tool"), "tool 7");
    assert!(base.text("/etc/driver_aliases").contains("vio9p \"pci1af4,1009\""));
    assert!(base.text("/etc/minor_perm").contains("vio9p:* 0600 root root"));
    assert!(base.text("/var/pkg/pkg5.image").contains("variant.opensolaris.zone = global"));

    // Nothing again, and with the depot gone; and a plan says so.
    scene.depot.forget();
    let (_, ran) = scene.build("first");
    assert_eq!((ran, scene.depot.requests()), (Vec::new(), Vec::new()));
    let progress: Arc<dyn Progress> = Arc::clone(&scene.bench.log) as Arc<dyn Progress>;
    let planned = plan(&scene.request("first"), &progress).unwrap();
    assert_eq!(planned.len(), 4, "three stages and the image");
    assert!(planned.iter().flat_map(|template| &template.steps).all(|step| step.cached == Some(true)));

    // The same bytes in another workspace.
    let (again, _) = scene.build("second");
    let second = scene.bench.path("second/output/openindiana-hipster.tar.gz");
    assert!(fs::read(&archive).unwrap() == fs::read(&second).unwrap(), "the same base");
    assert!(same_content(&image, &again), "the same image");
}

/// Compares two large files of holes without holding them in memory.
fn same_content(a: &Path, b: &Path) -> bool {
    use std::io::Read;
    let (mut a, mut b) = (fs::File::open(a).unwrap(), fs::File::open(b).unwrap());
    if a.metadata().unwrap().len() != b.metadata().unwrap().len() {
        return false;
    }
    let (mut one, mut other) = (vec![0; 4 << 20], vec![0; 4 << 20]);
    loop {
        let count = a.read(&mut one).unwrap();
        if count == 0 {
            return true;
        }
        b.read_exact(&mut other[..count]).unwrap();
        if one[..count] != other[..count] {
            return false;
        }
    }
}
