//! What is wrong with templates beside each other: outputs of one name, and snapshots that nobody makes.

use super::outputs::collisions;
use crate::wanted::{Wanted, gives, wanted_snapshot};
use std::collections::BTreeSet;
use template::{Diagnostic, Template};

/// A template below the roots, as far as it could be read.
#[derive(Clone, Copy, Debug)]
pub struct Neighbour<'a> {
    /// The template; of one that is wrong, what of it could be read.
    pub template: Option<&'a Template>,
    /// It has no errors.
    pub is_good: bool,
}

/// Finds what is wrong with templates beside each other. `all` has every template below the roots: one of them may make what
/// another one wants. Answers the index of the template that each diagnostic is about.
#[must_use]
pub fn check_together(all: &[Neighbour<'_>]) -> Vec<(usize, Diagnostic)> {
    let numbered = all.iter().enumerate().filter(|(_, one)| one.is_good);
    let good: Vec<(usize, &Template)> = numbered.filter_map(|(index, one)| Some((index, one.template?))).collect();
    let mut found = collisions(&good);
    found.extend(unmade_snapshots(&good, all));
    found
}

/// Snapshots that templates begin with and none makes.
fn unmade_snapshots<'a>(
    good: &'a [(usize, &'a Template)],
    all: &'a [Neighbour<'a>],
) -> impl Iterator<Item = (usize, Diagnostic)> + 'a {
    let of = |template: &Template| gives(template, &template.group, &template.name);
    let given: BTreeSet<Wanted> = all.iter().filter_map(|one| one.template).flat_map(of).collect();
    // Of a template that could not be read nobody knows what it makes.
    let is_known = all.iter().all(|one| one.template.is_some());
    good.iter().filter(move |_| is_known).filter_map(move |(index, template)| {
        let wanted = wanted_snapshot(template, &template.group).filter(|wanted| !given.contains(wanted))?;
        let Wanted::Snapshot(name) = &wanted else { return None };
        let message = format!("no template makes snapshot {name}");
        let help = "the template before this has to name it as its `output_snapshot`, with the same group and `name`";
        let diagnostic = Diagnostic::error("build::missing-input", message);
        Some((*index, diagnostic.at(&template.target_origin_of("input_snapshot"), "begins with it").help(help)))
    })
}
