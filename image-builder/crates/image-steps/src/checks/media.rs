//! What cannot be on a FAT image, and boot files that a disc will not have, as far as the steps name them.

use super::paths::{Made, NamedPath, brings_more, components, may_go, named};
use crate::target::{FILES_ON_FAT, NAMES_ON_FAT, NOT_ON_FAT};
use disk_image::esp::name_problem;
use std::collections::{BTreeMap, BTreeSet};
use template::{Diagnostic, Iso, Step, Target, Template};

/// What is wrong with the content of an image of a kind that does not take everything.
pub(super) fn problems(template: &Template) -> Vec<Diagnostic> {
    match &template.target {
        Target::Pcfs(_) => not_on_fat(template),
        Target::Iso(iso) => without_boot_files(iso, template),
        _ => Vec::new(),
    }
}

fn not_on_fat(template: &Template) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    // By what FAT tells apart: the path as it is written first.
    let mut taken: BTreeMap<String, (String, NamedPath<'_>)> = BTreeMap::new();
    for path in named(template).filter(|path| !may_go(path, template)) {
        let place = path.located.origin_of(path.key);
        let refused = |message: String, help: &str| {
            Diagnostic::error(NOT_ON_FAT, message).at(&place, "not on this image").help(help)
        };
        if path.made == Made::Link {
            let message = format!("{} cannot be on a FAT image: it is a symbolic link", path.path);
            found.push(refused(message, FILES_ON_FAT));
            continue;
        }
        let components = path.components();
        if let Some(problem) = components.iter().find_map(|name| name_problem(name)) {
            found.push(refused(format!("{} cannot be on a FAT image: {problem}", path.path), NAMES_ON_FAT));
            continue;
        }
        for depth in 1..=components.len() {
            let written = format!("/{}", components[..depth].join("/"));
            match taken.get(&written.to_uppercase()) {
                Some((other, first)) if *other != written => {
                    let message = format!("FAT does not tell {written} from {other}");
                    let first = first.located.origin_of(first.key);
                    found.push(refused(message, &format!("write both alike; the other one stands at {first}")));
                    break;
                }
                Some(_) => {}
                None => drop(taken.insert(written.to_uppercase(), (written, path))),
            }
        }
    }
    found
}

/// Boot files that no step brings, where every file of the image stands in the template.
fn without_boot_files(iso: &Iso, template: &Template) -> Vec<Diagnostic> {
    let leads_elsewhere = |step: &Step| brings_more(step) || matches!(step, Step::EnsureSymlink(_));
    if template.steps.iter().any(|located| leads_elsewhere(&located.step)) {
        return Vec::new();
    }
    let files: BTreeSet<Vec<&str>> =
        named(template).filter(|path| path.made == Made::File).map(|path| components(path.path)).collect();
    let hybrid = iso.hybrid.iter().flat_map(|hybrid| [("hybrid", &hybrid.stage1), ("hybrid", &hybrid.stage2)]);
    let images = [("boot_bios", &iso.boot_bios), ("boot_uefi", &iso.boot_uefi)];
    let images = images.into_iter().filter_map(|(key, path)| Some((key, path.as_ref()?)));
    let missing = images.chain(hybrid).filter(|(_, path)| !files.contains(&components(path)));
    let told = |(key, path): (&str, &String)| {
        let message = format!("no step puts /{path} into the image, which is to boot it");
        let help = "put it there with `ensure_file`, or unpack an archive that has it";
        Diagnostic::error("target::iso", message).at(&template.target_origin_of(key), "named here").help(help)
    };
    missing.map(told).collect()
}
