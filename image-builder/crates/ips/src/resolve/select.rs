//! Which names the patterns of a request mean.

use std::collections::{BTreeMap, BTreeSet};

use super::universe::Universe;
use super::{ImageState, Request, ResolveError};
use crate::fmri::{NamePattern, PackageId, Pattern, Publisher, Stem, VersionPattern};

/// What the patterns of a request selected.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) roots: Vec<Root>,
    pub(super) asked: BTreeMap<Stem, bool>,
    pub(super) rejected: BTreeSet<Stem>,
    pub(super) publishers: BTreeMap<Stem, Publisher>,
}

/// One name that one pattern selected.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) index: usize,
    pub(super) stem: Stem,
    pub(super) pattern: Pattern,
}

pub(super) fn select(universe: &Universe, image: &ImageState<'_>, request: &Request) -> Result<Names, ResolveError> {
    let mut names = Names::default();
    for pattern in &request.reject {
        let installed = image.installed.iter().filter(|id| pattern.matches(id));
        let known = universe.stems().filter(|stem| pattern.matches_stem(stem) && pattern.version.is_none());
        let before = names.rejected.len();
        names.rejected.extend(installed.map(|id| id.stem.clone()).chain(known.cloned()));
        if names.rejected.len() == before {
            return Err(ResolveError::NotInstalled { pattern: pattern.to_string() });
        }
    }
    for (index, pattern) in request.install.iter().enumerate() {
        for stem in stems(universe, image, pattern)? {
            let has_version = matches!(pattern.version, Some(VersionPattern::Within(_)));
            *names.asked.entry(stem.clone()).or_default() |= has_version;
            if let Some(publisher) = &pattern.publisher {
                names.publishers.insert(stem.clone(), publisher.clone());
            }
            names.roots.push(Root { index, stem, pattern: pattern.clone() });
        }
    }
    Ok(names)
}

/// The names that a pattern selects.
fn stems(universe: &Universe, image: &ImageState<'_>, pattern: &Pattern) -> Result<Vec<Stem>, ResolveError> {
    let is_known = |id: &PackageId| {
        image.publishers.iter().any(|ranked| ranked.name == id.publisher) || image.installed.contains(id)
    };
    let of_publisher = |id: &PackageId| pattern.publisher.as_ref().is_none_or(|publisher| *publisher == id.publisher);
    let mut named: Vec<(Stem, Vec<&PackageId>)> = Vec::new();
    for stem in universe.stems().filter(|stem| pattern.matches_stem(stem)) {
        let packages: Vec<&PackageId> =
            universe.packages_of(stem).filter(|id| of_publisher(id) && is_known(id)).collect();
        if !packages.is_empty() {
            named.push((stem.clone(), packages));
        }
    }
    let pattern_text = pattern.to_string();
    let Some((stem, packages)) = named.first() else {
        return Err(ResolveError::NoMatch { pattern: pattern_text, suggestions: similar(universe, pattern) });
    };
    let newest = packages.iter().map(|id| id.version.clone()).max().map(|version| version.short());
    let no_version = ResolveError::NoVersion {
        pattern: pattern_text.clone(),
        stem: stem.clone(),
        newest: newest.unwrap_or_default(),
    };
    named.retain(|(_, packages)| packages.iter().any(|id| pattern.matches(id)));
    let exact = |stem: &Stem| matches!(&pattern.name, NamePattern::Trailing(name) if stem.as_str() == name);
    let mut stems: Vec<Stem> = named.into_iter().map(|(stem, _)| stem).collect();
    if let Some(whole) = stems.iter().find(|stem| exact(stem)) {
        return Ok(vec![whole.clone()]);
    }
    if stems.len() > 1 {
        // What is obsolete or renamed only stands in the way of what is meant.
        let real: Vec<Stem> = stems.iter().filter(|stem| has_real_newest(universe, stem)).cloned().collect();
        stems = if real.is_empty() { stems } else { real };
    }
    match stems.len() {
        0 => Err(no_version),
        1 => Ok(stems),
        _ if !pattern.is_literal() => Ok(stems),
        _ => {
            let stems = stems.iter().map(ToString::to_string).collect();
            Err(ResolveError::Ambiguous { pattern: pattern_text, stems })
        }
    }
}

fn has_real_newest(universe: &Universe, stem: &Stem) -> bool {
    universe.vars_of(stem).last().is_some_and(|var| universe.facts(*var).is_real())
}

/// Names that a pattern without a match may have meant: the same base name elsewhere, or a part of a name.
fn similar(universe: &Universe, pattern: &Pattern) -> Vec<String> {
    const SHOWN_MAX: usize = 5;
    let (NamePattern::Full(name) | NamePattern::Trailing(name) | NamePattern::Glob(name)) = &pattern.name;
    let base = name.rsplit('/').next().unwrap_or_default().trim_matches('*');
    if base.is_empty() {
        return Vec::new();
    }
    let same_base = universe.stems().filter(|stem| stem.base_name() == base);
    let containing = universe.stems().filter(|stem| stem.as_str().contains(base));
    let mut seen = BTreeSet::new();
    let all = same_base.chain(containing).map(ToString::to_string).filter(|name| seen.insert(name.clone()));
    all.take(SHOWN_MAX).collect()
}
