//! Whole collections of templates, of the shapes in which people have them: stages that continue each other, a disk that
//! a thousand removals make small, variants by features, installers of several images, clouds.
//!
//! `tests/collections/NAME` is a template root with external files in `external`. Its `builds.json` says of some
//! templates, with features: in which `order` they are built or why not (`refused`), and what is `not_here`, not possible on this host.

use image_steps::{BuildRequest, Location, Progress, Redo, impossible_here, load, plan};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use template::Features;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Build {
    build: String,
    features: Vec<String>,
    #[serde(default)]
    order: Vec<String>,
    /// What `plan` says instead, when it takes something that is not there and cannot be made here.
    refused: Option<String>,
    #[serde(default)]
    not_here: Vec<String>,
    #[serde(default)]
    svccfg: bool,
}

fn collections() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/collections");
    let entries = fs::read_dir(root).expect("collections").map(|entry| entry.expect("an entry").path());
    entries.filter(|path| path.is_dir()).collect()
}

fn builds(collection: &Path) -> Vec<Build> {
    let text = fs::read_to_string(collection.join("builds.json")).expect("builds.json");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{collection:?}: {error}"))
}

fn request(collection: &Path, build: &Build, workspace: &Path) -> BuildRequest {
    let (group, name) = build.build.split_once('/').expect("group and name");
    let here = collection.to_str().expect("UTF-8");
    let directives = build.features.iter().map(|directive| directive.replace("COLLECTION", here));
    let external = collection.join("external");
    BuildRequest {
        svccfg: build.svccfg.then(|| "/usr/sbin/svccfg".into()),
        location: Location::Directory(workspace.to_owned()),
        roots: vec![collection.to_owned()],
        external: external.is_dir().then_some(external).into_iter().collect(),
        group: group.to_owned(),
        name: name.to_owned(),
        output_name: None,
        features: Features::from_directives(directives.collect::<Vec<_>>()).expect("directives"),
        lenient: false,
        no_deps: false,
        refresh: false,
        redo: Redo::Nothing,
        evidence: false,
        sizes: false,
        wait: false,
        client_keys: Vec::new(),
    }
}

#[test]
fn every_template_loads_and_the_order_is_derived() {
    let workspace = tempfile::tempdir().expect("a directory");
    let silent: Arc<dyn Progress> = Arc::new(image_steps::Silent);
    for collection in collections() {
        for build in builds(&collection) {
            let context = format!("{} {:?} {:?}", build.build, build.features, collection.file_name());
            let request = request(&collection, &build, &workspace.path().join("none"));
            let template =
                load(&request, &request.group, &request.name).unwrap_or_else(|error| panic!("{context}: {error:?}"));
            let not_here = impossible_here(&template, &request);
            let not_here: Vec<&str> = not_here.iter().map(template::Diagnostic::message).collect();
            assert_eq!(not_here, build.not_here, "{context}");
            let planned = match (plan(&request, &silent), &build.refused) {
                (Ok(planned), None) => planned,
                (Err(error), Some(part)) if error.to_string().contains(part) => continue,
                (outcome, _) => panic!("{context}: {outcome:?}"),
            };
            let order: Vec<&str> = planned.iter().map(|template| template.subject.as_str()).collect();
            assert_eq!(order, build.order, "{context}");
        }
    }
    assert!(!workspace.path().join("none").exists(), "a plan makes nothing");
}

/// A template that no build comes to is checked by nobody.
#[test]
fn every_template_is_built_or_taken_by_a_build() {
    for collection in collections() {
        let builds = builds(&collection);
        let reached: BTreeSet<String> =
            builds.into_iter().flat_map(|build| build.order.into_iter().chain([build.build])).collect();
        let all = image_steps::template_names(std::slice::from_ref(&collection)).into_iter();
        let missed: Vec<String> =
            all.map(|(group, name)| format!("{group}/{name}")).filter(|subject| !reached.contains(subject)).collect();
        assert!(missed.is_empty(), "{collection:?}: {missed:?}");
    }
}

/// Whatever the public collections use is used here, too.
#[test]
fn the_collections_use_the_whole_language() {
    let mut text = String::new();
    for collection in collections() {
        read(&collection, &mut text);
    }
    let used = |word: &str| text.contains(word);
    // No public template has the step that the original never took in.
    let ours = ["deb_bootstrap", "systemd_boot", "require_path", "pkg_set_p5p_publisher"];
    let steps = template::step_types().into_iter().map(|step| step.name).filter(|name| !ours.contains(name));
    let missing: BTreeSet<&str> = steps.filter(|name| !used(&format!(r#""t": "{name}""#))).collect();
    assert!(missing.is_empty(), "no collection has a step {missing:?}");
    let targets = template::target_types().into_iter().map(|target| target.name).filter(|name| *name != "disk");
    let missing: BTreeSet<&str> = targets.filter(|name| !used(&format!(r#""{name}": {{"#))).collect();
    assert!(missing.is_empty(), "no collection has a target {missing:?}");
    for form in [
        "${@",
        "${@@",
        "?",
        "\"with\"",
        "\"without\"",
        "\"src\"",
        "\"extsrc\"",
        "\"outputsrc\"",
        "\"imagesrc\"",
        "\"tarsrc\"",
        "\"contents\"",
    ] {
        assert!(used(form), "no collection has {form}");
    }
}

fn read(directory: &Path, text: &mut String) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            text.push_str(&fs::read_to_string(&path).expect("UTF-8"));
        }
    }
}
