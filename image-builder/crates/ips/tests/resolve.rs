//! Resolution: each rule in a small universe, and random universes against trying everything.

use std::collections::{BTreeMap, BTreeSet};

use ips::facet::Facets;
use ips::fmri::{Fmri, PackageId, Stem};
use ips::resolve::{
    AvoidReason, DependencyKind, ImageState, RankedPublisher, Request, ResolveError, Solution, Universe, resolve,
};
use ips::variant::Variants;
use ips::version::Version;
use proptest::prelude::*;

/// A universe from lines `stem@version: action; action`, the publisher `p` unless the line names another.
fn universe(text: &str) -> Universe {
    let mut universe = Universe::new(Variants::new("i386"), Facets::default());
    add(&mut universe, text);
    universe
}

fn add(universe: &mut Universe, text: &str) {
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (id, actions) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
        let actions = actions.split(';').map(str::trim).filter(|action| !action.is_empty()).map(|action| {
            let words: Vec<&str> = action.split(' ').collect();
            match words[..] {
                ["obsolete"] => "set name=pkg.obsolete value=true".to_owned(),
                ["renamed"] => "set name=pkg.renamed value=true".to_owned(),
                ["set", ..] | ["depend", ..] => action.to_owned(),
                ["conditional", predicate, fmri] => {
                    format!("depend type=conditional predicate={predicate} fmri={fmri}")
                }
                [kind, ..] => {
                    let fmris: Vec<String> = words[1..].iter().map(|fmri| format!("fmri={fmri}")).collect();
                    format!("depend type={kind} {}", fmris.join(" "))
                }
                [] => unreachable!("split gives a word"),
            }
        });
        universe.add_package(package(id), actions.collect());
    }
}

fn package(text: &str) -> PackageId {
    let text = if text.starts_with("pkg:") { text.to_owned() } else { format!("pkg://p/{text}") };
    text.parse().unwrap()
}

fn publishers(names: &[&str]) -> Vec<RankedPublisher> {
    names.iter().map(|name| RankedPublisher { name: name.parse().unwrap(), is_sticky: true }).collect()
}

/// Resolves `install`, `-reject` and `update` words against installed packages.
fn run(universe: &Universe, installed: &str, words: &str) -> Result<Solution, ResolveError> {
    let installed: Vec<PackageId> = installed.split_whitespace().map(package).collect();
    let publishers = publishers(&["p", "q"]);
    let image = ImageState { publishers: &publishers, installed: &installed, ..ImageState::default() };
    resolve(universe, &image, &request(words))
}

fn request(words: &str) -> Request {
    let mut request = Request::default();
    for word in words.split_whitespace() {
        match word.strip_prefix('-') {
            Some(reject) => request.reject.push(reject.parse().unwrap()),
            None if word == "UPDATE" => request.update = true,
            None => request.install.push(word.parse().unwrap()),
        }
    }
    request
}

fn names(solution: &Solution) -> String {
    let names: Vec<String> = solution
        .packages
        .iter()
        .map(|id| if id.publisher.as_str() == "p" { id.short() } else { format!("{}/{}", id.publisher, id.short()) })
        .collect();
    names.join(" ")
}

/// One `universe` and several `(installed, request, result)`.
fn check(text: &str, cases: &[(&str, &str, &str)]) {
    let universe = universe(text);
    for (installed, words, expected) in cases {
        match run(&universe, installed, words) {
            Ok(solution) => assert_eq!(names(&solution), *expected, "{installed} | {words}"),
            Err(error) => assert!(
                !expected.is_empty() && error.to_string().contains(expected.trim_start_matches("ERROR ")),
                "{installed} | {words}: {error}"
            ),
        }
    }
}

#[test]
fn the_newest_versions_and_what_they_require() {
    check(
        "a@1.9\na@1.10: require b@2\nb@1\nb@2: require c\nb@10\nc@1-1\nc@1-2\nd@1",
        &[
            ("", "a", "a@1.10 b@10"),
            ("", "a@1.9", "a@1.9"),
            ("", "a@1", "a@1.10 b@10"),
            ("", "b@2", "b@2 c@1-2"),
            ("", "a b@2", "a@1.10 b@2 c@1-2"),
            ("", "a b@1", "a@1.9 b@1"),
            ("", "a@1.10 b@1", "ERROR a@1.10 requires b@2"),
            ("", "a@latest", "a@1.10 b@10"),
        ],
    );
}

#[test]
fn incorporations_constrain_and_install_nothing() {
    check(
        "i@1: incorporate a@1.2; incorporate z@1\na@1.2\na@1.2.3\na@1.3\na@1.20\n\
         meta@1: require i\nj@1: incorporate a@1.3\nj@2: incorporate a@1.2\nbranch@1.1.3-2024.0.2.0\nbranch@1.1.3-2025\n\
         k@1: incorporate branch@1.1,5.11-2024.0.2\n\
         deep@1: require deep2\ndeep2@1: require deep3\ndeep3@1: require j",
        &[
            ("", "a", "a@1.20"),
            ("", "i", "i@1"),
            ("", "a i", "a@1.2.3 i@1"),
            ("", "a meta", "a@1.2.3 i@1 meta@1"),
            ("", "a@1.3 i", "ERROR i@1 incorporates a@1.2: not a@1.3"),
            ("", "a j", "a@1.2.3 j@2"),
            // The incorporation wins although it is found later.
            ("", "a deep", "a@1.2.3 deep@1 deep2@1 deep3@1 j@2"),
            ("", "branch k", "branch@1.1.3-2024.0.2.0 k@1"),
        ],
    );
}

#[test]
fn optional_exclude_and_origin() {
    check(
        "a@1: optional b@2\nb@1\nb@2\nc@1: exclude b\nd@1: exclude b@2\no@2: origin b@2\no@1\n\
         r@1: depend type=origin root-image=true fmri=feature/firmware/x@9",
        &[
            ("", "a", "a@1"),
            ("", "a b", "a@1 b@2"),
            ("", "a b@1", "ERROR needs, if installed, at least b@2: not b@1"),
            ("", "c", "c@1"),
            ("", "c b", "ERROR c@1 excludes b: not b@2"),
            ("", "d b", "b@1 d@1"),
            ("", "o", "o@2"),
            ("b@1", "o", "b@1 o@1"),
            ("b@2", "o", "b@2 o@2"),
            ("", "r", "r@1"),
        ],
    );
}

#[test]
fn conditions_choices_and_groups() {
    check(
        "a@1: conditional p@2 x\np@1\np@2\nx@1\nany@1: require-any m n\nm@1\nm@2\nn@1\n\
         g@1: group m@1; group n; group gone; group old\nold@1: obsolete\nga@1: group-any m n",
        &[
            ("", "a", "a@1"),
            ("", "a p@1", "a@1 p@1"),
            ("", "a p", "a@1 p@2 x@1"),
            ("", "a p -x", "a@1 p@1"),
            ("", "a p@2 -x", "ERROR a@1 with p@2 requires x"),
            ("", "any", "any@1 m@2"),
            ("", "any -m", "any@1 n@1"),
            ("", "any n -m", "any@1 n@1"),
            ("", "g", "g@1 m@2 n@1"),
            ("", "g -m", "g@1 n@1"),
            ("g@1 m@2 n@1", "-n", "g@1 m@2"),
            ("", "ga -m", "ga@1 n@1"),
            ("", "ga -m -n", "ga@1"),
        ],
    );
}

/// The newest c is obsolete and cannot be what d requires; that makes the one before it a sound choice, not an old one.
#[test]
fn a_choice_whose_newest_version_is_obsolete_is_met_by_the_one_before() {
    let universe = "d@1: require-any c@1 b\nc@1\nc@2: require b@1\nc@3: obsolete\nb@1";
    check(universe, &[("", "d", "b@1 c@2 d@1"), ("", "d -c", "b@1 d@1"), ("", "d c", "b@1 d@1")]);
}

#[test]
fn groups_remember_what_is_avoided() {
    let universe = universe("g@1: group m; group n; group old\nm@1\nn@1\nold@1: obsolete");
    let solution = run(&universe, "", "g -m").unwrap();
    let stem = |text: &str| text.parse::<Stem>().unwrap();
    let expected = [(stem("m"), AvoidReason::Unwanted), (stem("old"), AvoidReason::Obsolete)];
    assert_eq!(solution.avoided, BTreeMap::from(expected));
    let publishers = publishers(&["p"]);
    let avoided: Vec<Stem> = solution.avoided.keys().cloned().collect();
    let image = ImageState { publishers: &publishers, avoided: &avoided, ..ImageState::default() };
    assert_eq!(names(&resolve(&universe, &image, &request("g")).unwrap()), "g@1 n@1");
    let named = resolve(&universe, &image, &request("g m")).unwrap();
    assert_eq!(names(&named), "g@1 m@1 n@1");
    assert!(!named.avoided.contains_key(&stem("m")));
}

#[test]
fn obsolete_and_renamed_packages() {
    check(
        "a@1\na@2: obsolete\nb@1: require a\nc@1: require a@2\nr@1: renamed; require n@2\nn@1\nn@2\nd@1: require r\n\
         x/multi@1\ny/multi@1: renamed; require x/multi",
        &[
            ("", "a", ""),
            ("", "a@1", "a@1"),
            ("", "b", "a@1 b@1"),
            ("", "c", "ERROR c@1 requires a@2: no such package is there"),
            ("a@1", "UPDATE", ""),
            ("a@1 b@1", "UPDATE", "a@1 b@1"),
            ("", "r", "n@2"),
            ("", "d", "d@1 n@2"),
            ("r@1", "UPDATE", "n@2"),
            ("", "multi", "x/multi@1"),
        ],
    );
}

#[test]
fn installed_packages_stay_and_move_only_if_they_have_to() {
    check(
        "a@1\na@2: require b@2\nb@1\nb@2\nb@3\nc@1: require b@2\n\
         e@1: incorporate a@1; require i@1; incorporate i@1\n\
         e@2: incorporate a@2; require i@2; incorporate i@2\ni@1: incorporate b@1\ni@2: incorporate b@2",
        &[
            ("b@1", "a@1", "a@1 b@1"),
            ("b@1", "a", "a@2 b@3"),
            ("b@1", "c", "b@3 c@1"),
            ("a@1 b@1", "UPDATE", "a@2 b@3"),
            ("a@2 b@2", "a@1", "a@1 b@2"),
            ("a@1 b@1", "-b", "a@1"),
            ("a@2 b@2", "-b", "ERROR b@2 cannot be installed: it is to be removed"),
            // The incorporation is held by a mere installation.
            ("a@1 e@1 i@1", "b", "a@1 b@1 e@1 i@1"),
            ("a@1 e@1 i@1", "b@2", "ERROR the incorporation e@1 stays unless it is asked for"),
            ("a@1 e@1 i@1", "b@2 e", "a@2 b@2 e@2 i@2"),
            ("a@1 e@1 i@1", "UPDATE", "a@2 b@2 e@2 i@2"),
        ],
    );
}

#[test]
fn publishers_in_their_order() {
    let universe =
        universe("a@1\npkg://q/a@2\npkg://q/b@1\npkg://z/b@9\npkg://q/c@1: require a@2\nd@1\nd@2\npkg://q/d@3");
    for (installed, words, expected) in [
        ("", "a", "a@1"),
        ("", "b", "q/b@1"),
        ("", "pkg://q/a", "q/a@2"),
        ("pkg://q/a@2", "d", "q/a@2 d@2"),
        ("", "c", "ERROR q/c@1 requires a@2"),
        ("", "c pkg://q/a", "q/a@2 q/c@1"),
        ("pkg://q/a@2", "UPDATE", "q/a@2"),
        ("", "pkg://z/b", "ERROR no package matches"),
    ] {
        match run(&universe, installed, words) {
            Ok(solution) => assert_eq!(names(&solution), expected, "{installed} | {words}"),
            Err(error) => assert!(expected.starts_with("ERROR"), "{installed} | {words}: {error}"),
        }
    }
    let mut loose = publishers(&["p", "q"]);
    loose[1].is_sticky = false;
    let installed = [package("pkg://q/a@1")];
    let mut universe = universe;
    add(&mut universe, "pkg://q/a@1");
    let image = ImageState { publishers: &loose, installed: &installed, ..ImageState::default() };
    assert_eq!(names(&resolve(&universe, &image, &request("UPDATE")).unwrap()), "a@1");
}

#[test]
fn freezes_variants_and_facets() {
    let text = "a@1\na@2\nv@1: set name=variant.arch value=sparc\nv@2: set name=variant.arch value=sparc value=arm\n\
        w@1: set name=variant.arch value=i386 value=sparc; depend type=require fmri=a variant.arch=sparc\n\
        i@1: depend type=incorporate fmri=a@1 facet.version-lock.a=true";
    let mut facets = Facets::default();
    facets.set("version-lock.a", Some(false));
    let mut unlocked = Universe::new(Variants::new("i386"), facets);
    add(&mut unlocked, text);
    let universe = universe(text);
    assert_eq!(names(&run(&universe, "", "a i").unwrap()), "a@1 i@1");
    assert_eq!(names(&run(&unlocked, "", "a i").unwrap()), "a@2 i@1");
    assert_eq!(names(&run(&universe, "", "w").unwrap()), "w@1");
    let error = run(&universe, "", "v").unwrap_err().to_string();
    assert!(
        error.contains("v@2 cannot be installed: it is for variant.arch sparc, arm, and the image is i386"),
        "{error}"
    );
    let publishers = publishers(&["p"]);
    let freezes: [Fmri; 1] = ["a@1".parse().unwrap()];
    let image = ImageState { publishers: &publishers, freezes: &freezes, ..ImageState::default() };
    assert_eq!(names(&resolve(&universe, &image, &request("a")).unwrap()), "a@1");
    let error = resolve(&universe, &image, &request("a@2")).unwrap_err().to_string();
    assert!(error.contains("a@2 cannot be installed: the image is frozen at a@1"), "{error}");
}

#[test]
fn patterns_that_mean_nothing_or_too_much() {
    check(
        "web/nginx@1\nweb/nginx@2\nx/multi@1\ny/multi@1\nmulti2@1\ntop@1\na/top@1",
        &[
            ("", "ngin", "ERROR no package matches `ngin`; there is web/nginx"),
            ("", "lib/nginx", "ERROR there is web/nginx"),
            ("", "nginx@3", "ERROR no version of web/nginx matches `nginx@3`; the newest is 2"),
            ("", "multi", "ERROR `multi` means several packages: x/multi, y/multi"),
            ("", "*multi", "x/multi@1 y/multi@1"),
            ("", "top", "top@1"),
            ("", "-nginx", ""),
            ("", "-nothing", "ERROR no installed package matches `nothing`"),
        ],
    );
}

#[test]
fn a_conflict_is_told_from_its_beginning_and_with_nothing_beside_it() {
    let text = "web@2: require ssl@3; require log\nweb@1: require ssl@3\nssl@3.1\nssl@3.0\nssl@1\nlog@1\n\
        entire@1: require inc; require base\ninc@1: incorporate ssl@1\nbase@1";
    let Err(ResolveError::Conflict { conflict }) = run(&universe(text), "", "web entire") else {
        panic!("a conflict");
    };
    assert_eq!(
        conflict.to_string(),
        "  `web` was asked for: that is web@2 or web@1\n  \
         `entire` was asked for: that is entire@1\n  \
         web@2 requires ssl@3: that is ssl@3.1 or ssl@3.0\n  \
         web@1 requires ssl@3: that is ssl@3.1 or ssl@3.0\n  \
         entire@1 requires inc: that is inc@1\n  \
         inc@1 incorporates ssl@1: not ssl@3.1 or ssl@3.0"
    );
    assert_eq!(conflict.packages, ["entire", "inc", "ssl", "web"]);
}

// ---- random universes against trying everything

/// A small universe as data, from which its text and the truth about it are made.
#[derive(Debug, Clone)]
struct Model {
    /// By name: versions 1, 2, … each with its dependencies, and whether it is obsolete.
    packages: Vec<Vec<(Vec<ModelDependency>, bool)>>,
    asked: Vec<usize>,
}

#[derive(Debug, Clone)]
struct ModelDependency {
    kind: DependencyKind,
    first: usize,
    second: usize,
    version: usize,
}

const STEMS: [&str; 5] = ["a", "b", "c", "d", "e"];

impl Model {
    fn text(&self) -> String {
        let mut text = String::new();
        for (stem, versions) in self.packages.iter().enumerate() {
            for (at, (dependencies, is_obsolete)) in versions.iter().enumerate() {
                let mut actions: Vec<String> = dependencies.iter().map(ModelDependency::action).collect();
                actions.extend(is_obsolete.then(|| "obsolete".to_owned()));
                text += &format!("{}@{}: {}\n", STEMS[stem], at + 1, actions.join("; "));
            }
        }
        text
    }

    /// Whether a choice of one version (from 1; 0 for none) of each name breaks no rule.
    fn allows(&self, choice: &[usize]) -> bool {
        let is_there =
            |stem: usize, least: usize| choice[stem] >= least.max(1) && !self.packages[stem][choice[stem] - 1].1;
        self.asked.iter().all(|stem| choice[*stem] > 0)
            && choice.iter().enumerate().filter(|(_, version)| **version > 0).all(|(stem, version)| {
                self.packages[stem][version - 1].0.iter().all(|d| {
                    let chosen = choice[d.first];
                    match d.kind {
                        DependencyKind::Require => is_there(d.first, d.version),
                        DependencyKind::RequireAny => is_there(d.first, d.version) || is_there(d.second, 1),
                        DependencyKind::Optional => chosen == 0 || chosen >= d.version,
                        DependencyKind::Incorporate => chosen == 0 || chosen == d.version,
                        DependencyKind::Exclude => chosen < d.version,
                        DependencyKind::Conditional => !is_there(d.second, 1) || is_there(d.first, d.version),
                        DependencyKind::Group => chosen > 0,
                        _ => true,
                    }
                })
            })
    }

    fn choices(&self) -> Vec<Vec<usize>> {
        let mut choices = vec![Vec::new()];
        for versions in &self.packages {
            let longer = |choice: &Vec<usize>, version| [&choice[..], &[version]].concat();
            choices = choices.iter().flat_map(|choice| (0..=versions.len()).map(|v| longer(choice, v))).collect();
        }
        choices.retain(|choice| self.allows(choice));
        choices
    }

    /// The names that have a reason to be there: asked for, or a possible choice of something that has one.
    fn justified(&self, choice: &[usize]) -> BTreeSet<usize> {
        let mut justified: BTreeSet<usize> = self.asked.iter().copied().collect();
        loop {
            let before = justified.len();
            for stem in justified.clone() {
                for d in &self.packages[stem][choice[stem] - 1].0 {
                    let chosen = |stem: &usize| choice[*stem] > 0;
                    match d.kind {
                        DependencyKind::Require | DependencyKind::Conditional | DependencyKind::Group => {
                            justified.extend([d.first].iter().filter(|stem| chosen(stem)));
                        }
                        DependencyKind::RequireAny => {
                            justified.extend([d.first, d.second].iter().filter(|stem| chosen(stem)));
                        }
                        _ => {}
                    }
                }
            }
            if justified.len() == before {
                return justified;
            }
        }
    }
}

impl ModelDependency {
    fn action(&self) -> String {
        let (first, second) = (STEMS[self.first], STEMS[self.second]);
        match self.kind {
            DependencyKind::RequireAny => format!("require-any {first}@{} {second}", self.version),
            DependencyKind::Conditional => format!("conditional {second} {first}@{}", self.version),
            DependencyKind::Group => format!("group {first}"),
            kind => format!("{kind} {first}@{}", self.version),
        }
    }
}

fn models() -> impl Strategy<Value = Model> {
    let kind = prop::sample::select(vec![
        DependencyKind::Require,
        DependencyKind::Require,
        DependencyKind::RequireAny,
        DependencyKind::Optional,
        DependencyKind::Incorporate,
        DependencyKind::Exclude,
        DependencyKind::Conditional,
        DependencyKind::Group,
    ]);
    let dependency = (kind, 0..STEMS.len(), 0..STEMS.len(), 1..4_usize)
        .prop_map(|(kind, first, second, version)| ModelDependency { kind, first, second, version });
    let version = (prop::collection::vec(dependency, 0..4), prop::bool::weighted(0.1));
    let versions = prop::collection::vec(version, 1..4);
    (prop::collection::vec(versions, STEMS.len()), prop::collection::btree_set(0..STEMS.len(), 1..4)).prop_map(
        |(mut packages, asked)| {
            for (dependencies, is_obsolete) in packages.iter_mut().flatten() {
                if *is_obsolete {
                    dependencies.clear();
                }
            }
            Model { packages, asked: asked.into_iter().collect() }
        },
    )
}

fn choice_of(model: &Model, solution: &Solution) -> Vec<usize> {
    let mut choice = vec![0; model.packages.len()];
    for id in &solution.packages {
        let stem = STEMS.iter().position(|stem| id.stem.as_str() == *stem).unwrap();
        choice[stem] = id.version.release.as_str().parse().unwrap();
    }
    choice
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn the_answer_is_the_truth_about_the_universe(model in models()) {
        let universe = universe(&model.text());
        let words: Vec<&str> = model.asked.iter().map(|stem| STEMS[*stem]).collect();
        let possible = model.choices();
        match run(&universe, "", &words.join(" ")) {
            Ok(solution) => {
                // Obsolete packages are chosen and then left out; what was chosen is one of the possible choices.
                let visible = choice_of(&model, &solution);
                let is_obsolete = |stem: usize, version: usize| version > 0 && model.packages[stem][version - 1].1;
                let seen_as = |choice: &[usize]| -> Vec<usize> {
                    choice.iter().enumerate().map(|(s, v)| if is_obsolete(s, *v) { 0 } else { *v }).collect()
                };
                let agreeing: Vec<&Vec<usize>> = possible.iter().filter(|choice| seen_as(choice) == visible).collect();
                prop_assert!(!agreeing.is_empty(), "{visible:?} breaks a rule\n{}", model.text());
                // Everything there has a reason.
                let reasoned = agreeing.iter().any(|choice| {
                    let justified = model.justified(choice);
                    visible.iter().enumerate().all(|(stem, version)| *version == 0 || justified.contains(&stem))
                });
                prop_assert!(reasoned, "{visible:?} has more than is needed\n{}", model.text());
                // No other possible choice has all of these at least as new, and one newer. That a name became obsolete is
                // not newer, unless the user asked for it: what requires it was content with what it was.
                let gives_up = |own: &[usize], other: &[usize]| (0..own.len()).any(|stem| {
                    other[stem] != own[stem] && is_obsolete(stem, other[stem]) && !model.asked.contains(&stem)
                });
                let better = possible.iter().find(|choice| agreeing.iter().all(|agreeing| {
                    if gives_up(agreeing, choice) {
                        return false;
                    }
                    let common = || agreeing.iter().zip(choice.iter()).filter(|(own, _)| **own > 0);
                    common().all(|(own, other)| other >= own) && common().any(|(own, other)| other > own)
                        && agreeing.iter().zip(choice.iter()).all(|(own, other)| (*own > 0) == (*other > 0))
                }));
                prop_assert!(better.is_none(), "{visible:?}, but better is {better:?}\n{}", model.text());
            }
            Err(ResolveError::Conflict { conflict }) => {
                prop_assert!(possible.is_empty(), "{:?} was possible\n{}\n{conflict}", possible[0], model.text());
                prop_assert!(!conflict.statements.is_empty());
            }
            Err(other) => prop_assert!(false, "{other}\n{}", model.text()),
        }
    }
}

/// 10 000 packages of 5 versions, of which a distribution of 1 500 is chosen by an incorporation.
#[test]
fn a_large_universe_takes_seconds() {
    const STEM_COUNT: usize = 10_000;
    const CHOSEN: usize = 1_500;
    let mut universe = Universe::new(Variants::new("i386"), Facets::default());
    let version = |n: usize| format!("{n},5.11-{n}:20200101T00000{n}Z");
    for n in 1..=5 {
        let incorporated: Vec<String> = (0..STEM_COUNT)
            .map(|at| format!("depend type=incorporate fmri=pkg:/lib/p{at}@{},5.11-{}", n.min(4), n.min(4)))
            .collect();
        universe.add_package(package(&format!("entire@{}", version(n))), incorporated);
        for at in 0..STEM_COUNT {
            let mut actions = vec!["depend type=require fmri=pkg:/entire".to_owned()];
            for step in [1, 7, 31] {
                let target = (at + step) % CHOSEN;
                actions.push(format!("depend type=require fmri=pkg:/lib/p{target}@{},5.11-{}", n.min(3), n.min(3)));
            }
            actions.push(format!("depend type=optional fmri=pkg:/lib/p{}@2", (at * 13) % STEM_COUNT));
            universe.add_package(package(&format!("lib/p{at}@{}", version(n))), actions);
        }
    }
    let begin = std::time::Instant::now();
    let solution = run(&universe, "", "lib/p0").unwrap();
    let took = begin.elapsed();
    assert_eq!(solution.packages.len(), CHOSEN + 1);
    let newest: Version = version(4).parse().unwrap();
    assert!(solution.packages.iter().filter(|id| id.stem.as_str() != "entire").all(|id| id.version == newest));
    assert!(took.as_secs() < 30, "{took:?}");
    assert_eq!(run(&universe, "", "lib/p0").unwrap(), solution);
}
