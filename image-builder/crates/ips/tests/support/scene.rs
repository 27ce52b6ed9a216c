//! A small universe, an image and a request as data, and the truth about them by trying everything: the rules of
//! `docs/formats/ips.md` written down a second time, as plainly as possible.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use ips::resolve::DependencyKind::{self, Conditional, Exclude, Group, GroupAny, Incorporate, Optional, Origin};
use ips::resolve::DependencyKind::{Require, RequireAny};

pub(crate) const STEMS: [&str; 5] = ["a", "b", "c", "d", "e"];
pub(crate) const PUBLISHERS: [&str; 2] = ["p", "q"];
pub(crate) const HOLDS: [&str; 3] = ["core", "core.desk", "other"];

/// Which package of each name is chosen, by its index.
pub(crate) type Choice = Vec<Option<usize>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Real,
    Obsolete,
    Renamed,
}

#[derive(Debug, Clone)]
pub(crate) struct Dependency {
    pub(crate) kind: DependencyKind,
    pub(crate) first: usize,
    /// The other one of a choice, or the predicate.
    pub(crate) second: usize,
    pub(crate) version: usize,
    /// What the action says of variants and facets, and whether that lets it count.
    pub(crate) tag: (&'static str, bool),
}

#[derive(Debug, Clone)]
pub(crate) struct Package {
    pub(crate) publisher: usize,
    pub(crate) version: usize,
    pub(crate) state: State,
    pub(crate) dependencies: Vec<Dependency>,
    /// Whether it is for another variant than the image has.
    pub(crate) is_foreign: bool,
    /// Whether it is only installed if it is asked for.
    pub(crate) is_explicit: bool,
    pub(crate) hold: Option<usize>,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ask {
    pub(crate) version: Option<usize>,
    pub(crate) publisher: Option<usize>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Scene {
    /// By name, ascending by version.
    pub(crate) packages: Vec<Vec<Package>>,
    /// The publishers that the image knows in their order, and whether they are sticky.
    pub(crate) publishers: Vec<(usize, bool)>,
    pub(crate) installed: Choice,
    pub(crate) freezes: BTreeMap<usize, usize>,
    pub(crate) avoided: BTreeSet<usize>,
    pub(crate) asked: BTreeMap<usize, Ask>,
    pub(crate) rejected: BTreeSet<usize>,
    pub(crate) is_update: bool,
}

impl Dependency {
    /// The names that it is about, without a predicate, and the version of the first.
    pub(crate) fn targets(&self) -> Vec<(usize, Option<usize>)> {
        let version = (!matches!(self.kind, Group | GroupAny)).then_some(self.version);
        let second = matches!(self.kind, RequireAny | GroupAny).then_some((self.second, None));
        [(self.first, version)].into_iter().chain(second).collect()
    }

    fn action(&self) -> String {
        let fmri = |(stem, version): &(usize, Option<usize>)| {
            let version = version.map(|version| format!("@{version}")).unwrap_or_default();
            format!(" fmri={}{version}", STEMS[*stem])
        };
        let fmris: String = self.targets().iter().map(fmri).collect();
        let predicate =
            if self.kind == Conditional { format!(" predicate={}", STEMS[self.second]) } else { String::new() };
        format!("depend type={}{fmris}{predicate}{}", self.kind, self.tag.0)
    }
}

impl Package {
    pub(crate) fn visible(&self) -> impl Iterator<Item = &Dependency> {
        self.dependencies.iter().filter(|d| d.tag.1)
    }

    fn incorporates(&self) -> bool {
        self.visible().any(|d| d.kind == Incorporate)
    }

    fn actions(&self) -> Vec<String> {
        let set = |name: &str, value: &str| format!("set name={name} value={value}");
        let mut actions: Vec<String> = self.dependencies.iter().map(Dependency::action).collect();
        actions.extend((self.state == State::Obsolete).then(|| set("pkg.obsolete", "true")));
        actions.extend((self.state == State::Renamed).then(|| set("pkg.renamed", "true")));
        actions.extend(self.is_foreign.then(|| set("variant.arch", "sparc")));
        actions.extend(self.is_explicit.then(|| set("pkg.depend.explicit-install", "true")));
        actions.extend(self.hold.map(|hold| set("pkg.depend.install-hold", HOLDS[hold])));
        actions
    }
}

impl Scene {
    pub(crate) fn get(&self, stem: usize, at: usize) -> &Package {
        &self.packages[stem][at]
    }

    pub(crate) fn name(&self, stem: usize, at: usize) -> String {
        let package = self.get(stem, at);
        format!("pkg://{}/{}@{}", PUBLISHERS[package.publisher], STEMS[stem], package.version)
    }

    /// The universe in the language of the other tests.
    pub(crate) fn universe(&self) -> String {
        let mut text = String::new();
        for (stem, packages) in self.packages.iter().enumerate() {
            for (at, package) in packages.iter().enumerate() {
                writeln!(text, "{}: {}", self.name(stem, at), package.actions().join("; ")).unwrap();
            }
        }
        text
    }

    /// The request in the language of the other tests.
    pub(crate) fn request(&self) -> String {
        let asked = self.asked.iter().map(|(stem, ask)| {
            let publisher = ask.publisher.map(|publisher| format!("pkg://{}/", PUBLISHERS[publisher]));
            let version = ask.version.map(|version| format!("@{version}"));
            publisher.unwrap_or_default() + STEMS[*stem] + &version.unwrap_or_default()
        });
        let rejected = self.rejected.iter().map(|stem| format!("-{}", STEMS[*stem]));
        let update = self.is_update.then(|| "UPDATE".to_owned());
        asked.chain(rejected).chain(update).collect::<Vec<_>>().join(" ")
    }

    fn is_obsolete(&self, choice: &[Option<usize>], stem: usize) -> bool {
        choice[stem].is_some_and(|at| self.get(stem, at).state == State::Obsolete)
    }

    fn installed(&self, stem: usize) -> Option<&Package> {
        self.installed[stem].map(|at| self.get(stem, at))
    }

    /// Whether nothing is asked for but removals.
    fn is_removal(&self) -> bool {
        self.asked.is_empty() && !self.is_update && !self.rejected.is_empty()
    }

    /// By the user's word, or a renamed package that goes along.
    fn is_rejected(&self, stem: usize) -> bool {
        let is_useless =
            |at| self.get(stem, at).state == State::Renamed && self.remaining(&self.installed)[stem].is_none();
        self.rejected.contains(&stem) || (self.is_removal() && self.installed[stem].is_some_and(is_useless))
    }

    fn is_leaving(&self, stem: usize) -> bool {
        self.is_rejected(stem) || self.installed(stem).is_some_and(|package| package.is_foreign)
    }

    pub(crate) fn is_avoided(&self, stem: usize) -> bool {
        self.is_rejected(stem) || (self.avoided.contains(&stem) && !self.asked.contains_key(&stem))
    }

    pub(crate) fn stays(&self, stem: usize) -> bool {
        self.installed[stem].is_some() && !self.is_leaving(stem) && !self.is_avoided(stem)
    }

    /// Whether an installed incorporation must not move.
    fn is_held(&self, stem: usize) -> bool {
        let Some(package) = self.installed(stem).filter(|package| package.incorporates()) else { return false };
        if self.is_update || self.asked.contains_key(&stem) || self.is_leaving(stem) {
            return false;
        }
        let others =
            (0..STEMS.len()).filter(|other| !self.is_leaving(*other)).filter_map(|other| self.installed(other));
        let is_bound = others
            .flat_map(Package::visible)
            .flat_map(Dependency::targets)
            .any(|(target, version)| target == stem && version.is_some());
        let is_relaxed = |hold: &str| {
            let asked = self.asked.keys().filter(|asked| !self.is_leaving(**asked));
            let mut holds = asked.filter_map(|asked| self.installed(*asked)?.hold).map(|hold| HOLDS[hold]);
            holds.any(|by| hold == by || hold.starts_with(&format!("{by}.")))
        };
        !is_bound || package.hold.is_some_and(|hold| !is_relaxed(HOLDS[hold]))
    }

    fn publisher_of(&self, stem: usize) -> Option<usize> {
        let named = self.asked.get(&stem).and_then(|ask| ask.publisher);
        let sticky = self.installed(stem).map(|package| package.publisher);
        let sticky = sticky.filter(|publisher| self.publishers.contains(&(*publisher, true)));
        let offers = |publisher: usize| self.packages[stem].iter().any(|package| package.publisher == publisher);
        let first = self.publishers.iter().map(|(publisher, _)| *publisher).find(|publisher| offers(*publisher));
        named.or(sticky).or(first)
    }

    /// Whether a package may be chosen at all.
    pub(crate) fn is_candidate(&self, stem: usize, at: usize) -> bool {
        let package = self.get(stem, at);
        let (installed, ask) = (self.installed(stem), self.asked.get(&stem));
        let is_installed = self.installed[stem] == Some(at);
        let names_version = ask.is_some_and(|ask| ask.version.is_some());
        let names_publisher = ask.is_some_and(|ask| ask.publisher.is_some());
        let is_of_publisher = self.publisher_of(stem) == Some(package.publisher)
            && (names_publisher || installed.is_none_or(|installed| installed.version != package.version));
        let is_older = installed.is_some_and(|installed| package.version < installed.version);
        let mut origins = package.visible().filter(|d| d.kind == Origin);
        (is_installed || is_of_publisher)
            && !self.is_rejected(stem)
            && !package.is_foreign
            && (!package.is_explicit || is_installed || ask.is_some())
            && (!is_older || names_version)
            && (is_installed || !self.is_held(stem))
            && self.freezes.get(&stem).is_none_or(|frozen| *frozen == package.version)
            && origins.all(|d| self.installed(d.first).is_none_or(|before| before.version >= d.version))
    }

    /// Whether a choice breaks no rule.
    fn allows(&self, choice: &[Option<usize>]) -> bool {
        let version = |stem: usize| choice[stem].map_or(0, |at| self.get(stem, at).version);
        let is_there = |stem: usize, least: usize| version(stem) >= least.max(1) && !self.is_obsolete(choice, stem);
        let is_met = |d: &Dependency| match d.kind {
            Require => is_there(d.first, d.version),
            RequireAny => is_there(d.first, d.version) || is_there(d.second, 1),
            Optional => version(d.first) == 0 || version(d.first) >= d.version,
            Incorporate => version(d.first) == 0 || version(d.first) == d.version,
            Exclude => version(d.first) < d.version,
            Conditional => !is_there(d.second, 1) || is_there(d.first, d.version),
            Group | GroupAny => {
                let mut wanted = d.targets().into_iter().map(|(stem, _)| stem).filter(|stem| !self.is_avoided(*stem));
                d.targets().iter().all(|(stem, _)| self.is_avoided(*stem)) || wanted.any(|stem| version(stem) > 0)
            }
            _ => true,
        };
        let is_answered = |(stem, ask): (&usize, &Ask)| {
            choice[*stem].map(|at| self.get(*stem, at)).is_some_and(|package| {
                ask.version.is_none_or(|version| version == package.version)
                    && ask.publisher.is_none_or(|publisher| publisher == package.publisher)
            })
        };
        let mut chosen = choice.iter().enumerate().filter_map(|(stem, at)| Some(self.get(stem, (*at)?)));
        self.asked.iter().all(is_answered)
            && (0..STEMS.len()).all(|stem| !self.stays(stem) || choice[stem].is_some())
            && chosen.all(|package| package.visible().all(is_met))
    }

    /// All choices that break no rule.
    pub(crate) fn choices(&self) -> Vec<Choice> {
        let mut choices = vec![Vec::new()];
        for (stem, packages) in self.packages.iter().enumerate() {
            let candidates = (0..packages.len()).filter(|at| self.is_candidate(stem, *at)).map(Some);
            let options: Vec<Option<usize>> = [None].into_iter().chain(candidates).collect();
            let longer = |choice: &Choice| options.iter().map(|at| [&choice[..], &[*at]].concat()).collect::<Vec<_>>();
            choices = choices.iter().flat_map(longer).collect();
        }
        choices.retain(|choice| self.allows(choice));
        choices
    }

    /// What of a choice the image has: nothing obsolete, and of what is renamed only what is depended on.
    pub(crate) fn remaining(&self, choice: &[Option<usize>]) -> Choice {
        let is_real = |stem: &usize| choice[*stem].is_some_and(|at| self.get(*stem, at).state == State::Real);
        let mut seen: BTreeSet<usize> = (0..STEMS.len()).filter(is_real).collect();
        loop {
            let before = seen.len();
            for stem in seen.clone() {
                let package = self.get(stem, choice[stem].unwrap());
                let keeping = package.visible().filter(|d| !matches!(d.kind, Incorporate | Optional | Origin));
                let targets = keeping.flat_map(Dependency::targets).map(|(stem, _)| stem);
                seen.extend(targets.filter(|stem| choice[*stem].is_some() && !self.is_obsolete(choice, *stem)));
            }
            if seen.len() == before {
                return (0..STEMS.len()).map(|stem| choice[stem].filter(|_| seen.contains(&stem))).collect();
            }
        }
    }

    /// The names that have a reason to be there: asked for, installed, or a possible choice of something that has one.
    pub(crate) fn justified(&self, choice: &[Option<usize>]) -> BTreeSet<usize> {
        let mut justified: BTreeSet<usize> = self.asked.keys().copied().collect();
        justified.extend((0..STEMS.len()).filter(|stem| self.stays(*stem)));
        loop {
            let before = justified.len();
            for package in justified.clone().iter().filter_map(|stem| Some(self.get(*stem, choice[*stem]?))) {
                let installing = [Require, RequireAny, Conditional, Group, GroupAny];
                let installing = package.visible().filter(|d| installing.contains(&d.kind));
                let targets = installing.flat_map(Dependency::targets).map(|(stem, _)| stem);
                justified.extend(targets.filter(|stem| choice[*stem].is_some()));
            }
            if justified.len() == before {
                return justified;
            }
        }
    }

    /// How much a package is preferred to the others of its name.
    fn rank(&self, stem: usize, at: Option<usize>) -> usize {
        let Some(at) = at else { return 0 };
        let stays_if_it_can = !self.is_update && !self.asked.contains_key(&stem) && self.installed[stem] == Some(at);
        if stays_if_it_can { usize::MAX } else { self.get(stem, at).version }
    }

    /// Whether `other` has the same names as `own`, none of them less preferred, and one more. That a name became obsolete
    /// is no gain unless the user asked for it: what requires it was content with what it was.
    pub(crate) fn is_better(&self, own: &[Option<usize>], other: &[Option<usize>]) -> bool {
        let mut is_more = false;
        for stem in 0..STEMS.len() {
            let gives_up = own[stem] != other[stem] && self.is_obsolete(other, stem) && !self.asked.contains_key(&stem);
            let (own, other) = (own[stem], other[stem]);
            if gives_up || own.is_some() != other.is_some() || self.rank(stem, other) < self.rank(stem, own) {
                return false;
            }
            is_more |= self.rank(stem, other) > self.rank(stem, own);
        }
        is_more
    }

    /// Whether `other` is `own` without something.
    pub(crate) fn is_less(own: &[Option<usize>], other: &[Option<usize>]) -> bool {
        own != other && own.iter().zip(other).all(|(own, other)| other.is_none() || own == other)
    }

    /// What groups shall not pull in afterwards: by the user's word, and because it is obsolete.
    pub(crate) fn avoided_after(&self, choice: &[Option<usize>]) -> BTreeMap<usize, bool> {
        let unwanted = self.avoided.iter().filter(|stem| !self.asked.contains_key(stem));
        let mut avoided: BTreeMap<usize, bool> = unwanted.map(|stem| (*stem, false)).collect();
        let chosen = choice.iter().enumerate().filter_map(|(stem, at)| Some(self.get(stem, (*at)?)));
        let groups = chosen.flat_map(Package::visible).filter(|d| matches!(d.kind, Group | GroupAny));
        for (stem, _) in groups.flat_map(Dependency::targets) {
            if self.is_obsolete(choice, stem) {
                avoided.insert(stem, true);
            } else if self.is_rejected(stem) {
                avoided.insert(stem, false);
            }
        }
        avoided
    }

    /// Whether the request is nothing but a removal, of what something that stays requires.
    pub(crate) fn removes_what_is_required(&self) -> bool {
        let staying = self.remaining(&self.installed);
        let staying = staying.iter().enumerate().filter(|(stem, _)| !self.is_rejected(*stem));
        let mut staying = staying.filter_map(|(stem, at)| Some(self.get(stem, (*at)?)));
        let is_gone = |stem: usize| self.is_rejected(stem) && self.installed[stem].is_some();
        self.is_removal() && staying.any(|package| package.visible().any(|d| d.kind == Require && is_gone(d.first)))
    }
}
