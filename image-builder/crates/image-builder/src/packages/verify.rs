//! `ips verify`: whether a repository has what it says, and an image what its packages deliver.

use super::source::{Known, Place, Source, with_paths};
use crate::arguments::IpsVerify;
use crate::failure::Failure;
use crate::inspect::shown;
use crate::output::print;
use image_tree::{Follow, ImagePath, Node, NodeKind, Tree};
use ips::image::Image;
use ips::install::{Owners, hardlink_target, license_path};
use ips::manifest::{Action, ActionKind, FileHash, Manifest, to_hex};
use ips::mediator::{MediatedLink, Mediators};
use ips_client::repository::{self, Payloads};
use serde_json::json;
use sha1::{Digest, Sha1};
use std::collections::BTreeSet;
use std::io::Read;
use std::path::PathBuf;

/// Something that is not as it should be.
struct Problem {
    package: String,
    what: String,
    reason: String,
}

/// `image-builder ips verify`
pub(super) fn verify(source: &Source, arguments: &IpsVerify) -> Result<(), Failure> {
    let selected = source.select(&arguments.patterns, true)?;
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    let owners = match &source.place {
        Place::Repository(_) => Owners::default(),
        Place::Image { tree, .. } => owners_of(source, tree),
    };
    for known in &selected {
        match &source.place {
            Place::Repository(repository) => {
                in_repository(source, repository.as_ref(), known, &mut seen, &mut problems);
            }
            Place::Image { image, tree, .. } => in_image(source, &owners, image, tree, known, &mut problems),
        }
    }
    print(|output| {
        if arguments.json {
            let list: Vec<_> = problems
                .iter()
                .map(|problem| json!({ "package": problem.package, "what": problem.what, "reason": problem.reason }))
                .collect();
            let text = json!({ "packages": selected.len(), "problems": list });
            return writeln!(output, "{text}").map_err(Failure::from_output);
        }
        for problem in &problems {
            let Problem { package, what, reason } = problem;
            let line = [package, what, reason].map(|text| shown(text.as_bytes()));
            writeln!(output, "{}", line.join(": ")).map_err(Failure::from_output)?;
        }
        writeln!(output, "{} packages, {} problems", selected.len(), problems.len()).map_err(Failure::from_output)
    })?;
    match problems.len() {
        0 => Ok(()),
        problems => {
            let image = match &source.place {
                Place::Repository(repository) => PathBuf::from(repository.address()),
                Place::Image { path, .. } => path.clone(),
            };
            Err(Failure::Damaged { image, problems })
        }
    }
}

/// Each content is read once, however many packages have it.
fn in_repository(
    source: &Source,
    repository: &dyn repository::Source,
    known: &Known,
    seen: &mut BTreeSet<String>,
    problems: &mut Vec<Problem>,
) {
    let mut tell = |what: &str, reason: String| {
        problems.push(Problem { package: known.id.to_string(), what: what.to_owned(), reason });
    };
    let text = match source.manifest_text(known) {
        Ok(text) => text,
        Err(error) => return tell("manifest", ips_client::all_reasons(&error)),
    };
    let sha1 = to_hex(&Sha1::digest(&text));
    if known.manifest_sha1.as_ref().is_some_and(|wanted| !wanted.eq_ignore_ascii_case(&sha1)) {
        tell("manifest", "it is not the one that the catalog names: its hash differs".to_owned());
    }
    let manifest = match Manifest::parse(&text) {
        Ok(manifest) => manifest,
        Err(error) => return tell("manifest", error.to_string()),
    };
    for payload in manifest.actions.iter().filter_map(Action::payload) {
        let name = payload.name().unwrap_or("payload").to_owned();
        if !seen.insert(name.clone()) {
            continue;
        }
        let fail = |error: &dyn std::error::Error| ips_client::all_reasons(error);
        match repository.packed(&known.id.publisher, &payload, &|_| ()) {
            Ok(Some(packed)) => {
                let kept = Payloads::new(&source.store).keep_packed(repository.address(), &payload, packed);
                if let Err(error) = kept {
                    tell(&name, fail(&error));
                }
            }
            Ok(None) => tell(&name, "it is not there".to_owned()),
            Err(error) => tell(&name, fail(&error)),
        }
    }
}

/// The users and groups of an image. Without their tables nobody has a name.
fn owners_of(source: &Source, tree: &Tree) -> Owners {
    let table = |path: &str| -> Option<String> {
        let (_, node) = tree.lookup(&ImagePath::new(path).ok()?, Follow::Yes).ok()?;
        let mut bytes = Vec::new();
        source.store.open_content(node.content()?).ok()?.read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    Owners::of_tables(&table("/etc/passwd").unwrap_or_default(), &table("/etc/group").unwrap_or_default())
}

fn in_image(source: &Source, owners: &Owners, image: &Image, tree: &Tree, known: &Known, problems: &mut Vec<Problem>) {
    let Some(package) = image.package(&known.id.stem) else { return };
    let config = &image.config;
    let is_in_image = |action: &&Action| config.variants.allow(action) && config.facets.allow(action);
    let mut tell = |path: ImagePath, reason| {
        problems.push(Problem { package: known.id.short(), what: path.to_string(), reason });
    };
    for action in with_paths(&package.manifest).filter(is_in_image) {
        // Which of two packages delivers a file with an overlay is the other's business.
        if !is_chosen(action, &config.mediators) || action.get("overlay") == Some("allow") || is_left_out(action) {
            continue;
        }
        let Ok(path) = action.path() else { continue };
        let reason = match tree.get(&path) {
            None => Some("it is not there".to_owned()),
            Some(node) => difference(source, action, node)
                .or_else(|| other_target(tree, &path, action))
                .or_else(|| other_owner(owners, action, node)),
        };
        reason.into_iter().for_each(|reason| tell(path.clone(), reason));
    }
    let licenses = package.manifest.actions.iter().filter(|action| action.kind() == ActionKind::License);
    for action in licenses.filter(is_in_image) {
        let Ok(path) = license_path(&known.id, action) else { continue };
        let wanted = action.payload().and_then(|payload| payload.strongest_hash().ok());
        let reason = match (tree.get(&path).map(Node::content), wanted) {
            (None, _) => Some("it is not there".to_owned()),
            (Some(Some(content)), Some(wanted)) => other_content(source, content, wanted),
            _ => None,
        };
        reason.into_iter().for_each(|reason| tell(path.clone(), reason));
    }
}

/// Whether a hard link is another name of something else than it should be.
fn other_target(tree: &Tree, path: &ImagePath, action: &Action) -> Option<String> {
    if action.kind() != ActionKind::Hardlink {
        return None;
    }
    let target = hardlink_target(path, action).ok()?;
    let is_same = tree.links(path).is_some_and(|links| links.paths().any(|name| *name == target));
    (!is_same).then(|| format!("it is not the same file as {target}"))
}

fn is_chosen(action: &Action, mediators: &Mediators) -> bool {
    match MediatedLink::of(action) {
        Ok(Some(link)) => link.is_chosen(mediators),
        _ => true,
    }
}

/// What is not delivered on the first installation, or may be edited away.
fn is_left_out(action: &Action) -> bool {
    matches!(action.get("preserve"), Some("legacy" | "abandon"))
}

/// In what a node is not what an action delivers, but for its owner.
fn difference(source: &Source, action: &Action, node: &Node) -> Option<String> {
    let kind = match (action.kind(), &node.kind) {
        (ActionKind::Dir, NodeKind::Directory) | (ActionKind::Hardlink, NodeKind::Regular(_)) => None,
        (ActionKind::Link, NodeKind::Symlink(target)) => {
            let wanted = action.get("target").unwrap_or_default();
            return (target.as_slice() != wanted.as_bytes())
                .then(|| format!("it leads to {}, and not to {wanted}", String::from_utf8_lossy(target)));
        }
        (ActionKind::File, NodeKind::Regular(content)) => {
            let wanted = action.payload().and_then(|payload| payload.strongest_hash().ok());
            let is_editable = action.get("preserve").is_some();
            wanted.filter(|_| !is_editable).and_then(|wanted| other_content(source, content, wanted))
        }
        (wanted, found) => return Some(format!("it is a {}, and not a {wanted}", found.name())),
    };
    let mode = action.mode().ok().filter(|mode| *mode != node.metadata.mode);
    let mode = mode.map(|mode| format!("its mode is {:04o}, and not {mode:04o}", node.metadata.mode));
    kind.or(mode.filter(|_| action.kind() != ActionKind::Hardlink))
}

/// Owners are names in actions and numbers in trees, and the image's own tables stand between them.
fn other_owner(owners: &Owners, action: &Action, node: &Node) -> Option<String> {
    if !matches!(action.kind(), ActionKind::Dir | ActionKind::File) {
        return None;
    }
    let other = |what: &str, name: Option<&str>, number: fn(&Owners, &str) -> Option<u32>, found: u32| {
        let name = name?;
        match number(owners, name) {
            Some(wanted) if wanted == found => None,
            Some(wanted) => Some(format!("its {what} is {found}, and not {name} ({wanted})")),
            None => Some(format!("its {what} is to be {name}, and the image has no {what} of this name")),
        }
    };
    let user = other("user", action.get("owner"), Owners::uid, node.metadata.uid);
    user.or_else(|| other("group", action.get("group"), Owners::gid, node.metadata.gid))
}

fn other_content(source: &Source, content: &image_tree::Content, wanted: FileHash) -> Option<String> {
    let mut reader = match source.store.open_content(content) {
        Ok(reader) => reader,
        Err(error) => return Some(error.to_string()),
    };
    let mut hasher = wanted.hasher();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) => return Some(error.to_string()),
        }
    }
    let found = hasher.finish();
    (found != wanted).then(|| format!("its content has the hash {found}, and not {wanted}"))
}
