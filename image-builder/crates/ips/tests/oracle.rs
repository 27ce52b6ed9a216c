//! Resolution in random small universes, for random images, against trying everything.

#[path = "support/scene.rs"]
mod scene;
#[path = "support/universe.rs"]
#[allow(dead_code, reason = "every test binary uses another part of this")]
mod universe;

use std::collections::BTreeMap;

use ips::facet::Facets;
use ips::fmri::{Fmri, PackageId, Stem};
use ips::resolve::DependencyKind::{self, Conditional, Exclude, Group, GroupAny, Incorporate, Optional, Origin};
use ips::resolve::DependencyKind::{Require, RequireAny};
use ips::resolve::{AvoidReason, ImageState, RankedPublisher, ResolveError, Solution, Universe, resolve};
use ips::variant::Variants;
use scene::{Ask, Choice, Dependency, HOLDS, PUBLISHERS, Package, STEMS, Scene, State};
use test_judge::Random;

const KINDS: [DependencyKind; 12] = [
    Require,
    Require,
    Require,
    RequireAny,
    Optional,
    Incorporate,
    Incorporate,
    Exclude,
    Conditional,
    Group,
    GroupAny,
    Origin,
];
/// Attributes of actions, and whether they let them count in the image.
const TAGS: [(&str, bool); 5] = [
    ("", true),
    (" variant.arch=i386 facet.on=true", true),
    (" variant.arch=sparc", false),
    (" facet.off=true", false),
    (" variant.debug.x=true", false),
];

fn one_in(random: &mut Random, count: usize) -> bool {
    random.below(count) == 0
}

fn dependency(random: &mut Random) -> Dependency {
    let tag = if one_in(random, 5) { *random.pick(&TAGS) } else { TAGS[0] };
    let (first, second) = (random.below(STEMS.len()), random.below(STEMS.len()));
    Dependency { kind: *random.pick(&KINDS), first, second, version: 1 + random.below(3), tag }
}

fn package(random: &mut Random, publisher: usize, version: usize) -> Package {
    let state = match random.below(10) {
        0 => State::Obsolete,
        1 => State::Renamed,
        _ => State::Real,
    };
    let count = if state == State::Obsolete { 0 } else { random.below(4) };
    Package {
        publisher,
        version,
        state,
        dependencies: (0..count).map(|_| dependency(random)).collect(),
        is_foreign: one_in(random, 25),
        is_explicit: one_in(random, 25),
        hold: one_in(random, 8).then(|| random.below(HOLDS.len())),
    }
}

fn packages(random: &mut Random) -> Vec<Package> {
    let mut packages = Vec::new();
    while packages.is_empty() {
        for version in 1..=3 {
            for (publisher, odds) in [(0, 3), (1, 1)] {
                if random.below(4) < odds {
                    packages.push(package(random, publisher, version));
                }
            }
        }
    }
    packages
}

/// An image may be in any state, but most are in one that their packages allow.
fn installed(random: &mut Random, scene: &Scene) -> Choice {
    let nothing = vec![None; STEMS.len()];
    match random.below(6) {
        0 => nothing,
        1 => scene.packages.iter().map(|of| one_in(random, 2).then(|| random.below(of.len()))).collect(),
        _ => {
            let alone = Scene { installed: nothing, ..scene.clone() };
            let possible = alone.choices();
            let chosen: &Choice = random.pick(&possible);
            scene.remaining(chosen)
        }
    }
}

fn scene(random: &mut Random) -> Scene {
    let mut scene = Scene {
        packages: STEMS.map(|_| packages(random)).into(),
        publishers: vec![(0, !one_in(random, 3)), (1, !one_in(random, 3))],
        installed: vec![None; STEMS.len()],
        ..Scene::default()
    };
    if one_in(random, 3) {
        scene.publishers.reverse();
    }
    scene.installed = installed(random, &scene);
    // What was installed may be of a publisher that the image does not ask any more.
    if one_in(random, 8) {
        scene.publishers.remove(random.below(2));
    }
    scene.is_update = one_in(random, 3);
    for stem in 0..STEMS.len() {
        let at = scene.installed[stem].unwrap_or_else(|| random.below(scene.packages[stem].len()));
        if one_in(random, 10) {
            scene.freezes.insert(stem, scene.get(stem, at).version);
        }
        if one_in(random, 6) {
            scene.avoided.insert(stem);
        }
        if one_in(random, 8) {
            scene.rejected.insert(stem);
        }
        let known: Vec<usize> = (0..scene.packages[stem].len())
            .filter(|at| scene.publishers.iter().any(|(publisher, _)| *publisher == scene.get(stem, *at).publisher))
            .collect();
        if !known.is_empty() && one_in(random, 4) {
            let package = scene.get(stem, *random.pick(&known));
            let ask = Ask {
                version: one_in(random, 3).then_some(package.version),
                publisher: one_in(random, 4).then_some(package.publisher),
            };
            scene.asked.insert(stem, ask);
        }
    }
    scene
}

fn solve(scene: &Scene) -> Result<Solution, ResolveError> {
    let mut facets = Facets::default();
    facets.set("off", Some(false));
    let mut all = Universe::new(Variants::new("i386"), facets);
    universe::add(&mut all, &scene.universe());
    let publishers: Vec<RankedPublisher> = scene
        .publishers
        .iter()
        .map(|(publisher, is_sticky)| RankedPublisher {
            name: PUBLISHERS[*publisher].parse().unwrap(),
            is_sticky: *is_sticky,
        })
        .collect();
    let installed = scene.installed.iter().enumerate().filter_map(|(stem, at)| Some(scene.name(stem, (*at)?)));
    let installed: Vec<PackageId> = installed.map(|name| name.parse().unwrap()).collect();
    let freezes = scene.freezes.iter().map(|(stem, version)| format!("{}@{version}", STEMS[*stem]));
    let freezes: Vec<Fmri> = freezes.map(|fmri| fmri.parse().unwrap()).collect();
    let avoided: Vec<Stem> = scene.avoided.iter().map(|stem| STEMS[*stem].parse().unwrap()).collect();
    let image = ImageState { publishers: &publishers, installed: &installed, freezes: &freezes, avoided: &avoided };
    resolve(&all, &image, &universe::request(&scene.request()))
}

fn choice_of(scene: &Scene, solution: &Solution) -> Choice {
    let at = |(stem, packages): (usize, &Vec<Package>)| {
        (0..packages.len()).find(|at| solution.packages.contains(&scene.name(stem, *at).parse::<PackageId>().unwrap()))
    };
    scene.packages.iter().enumerate().map(at).collect()
}

/// The scene in a form that can become a test of its own.
fn shown(scene: &Scene) -> String {
    let installed = scene.installed.iter().enumerate().filter_map(|(stem, at)| Some(scene.name(stem, (*at)?)));
    let installed: Vec<String> = installed.collect();
    format!(
        "{}publishers {:?}, installed {}, frozen {:?}, avoided {:?}, request {:?}",
        scene.universe(),
        scene.publishers,
        installed.join(" "),
        scene.freezes,
        scene.avoided,
        scene.request()
    )
}

fn check_solution(scene: &Scene, solution: &Solution, possible: &[Choice]) {
    // Some packages are chosen and then left out; what was chosen is one of the possible choices.
    let visible = choice_of(scene, solution);
    let mut agreeing: Vec<&Choice> = possible.iter().filter(|choice| scene.remaining(choice) == visible).collect();
    assert!(!agreeing.is_empty(), "{visible:?} breaks a rule\n{}", shown(scene));
    let avoided: BTreeMap<&str, bool> =
        solution.avoided.iter().map(|(stem, why)| (stem.as_str(), *why == AvoidReason::Obsolete)).collect();
    agreeing.retain(|choice| {
        let expected = scene.avoided_after(choice);
        expected.iter().map(|(stem, why)| (STEMS[*stem], *why)).eq(avoided.iter().map(|(stem, why)| (*stem, *why)))
    });
    assert!(!agreeing.is_empty(), "{visible:?} does not lead to avoiding {avoided:?}\n{}", shown(scene));
    let is_reasoned = |choice: &&Choice| {
        let justified = scene.justified(choice);
        visible.iter().enumerate().all(|(stem, at)| at.is_none() || justified.contains(&stem))
    };
    assert!(agreeing.iter().any(is_reasoned), "{visible:?} has more than is needed\n{}", shown(scene));
    let less = possible.iter().find(|choice| agreeing.iter().all(|own| Scene::is_less(own, choice)));
    assert!(less.is_none(), "{visible:?}, but {less:?} is enough\n{}", shown(scene));
    let better = possible.iter().find(|choice| agreeing.iter().all(|own| scene.is_better(own, choice)));
    assert!(better.is_none(), "{visible:?}, but better is {better:?}\n{}", shown(scene));
}

#[test]
fn fuzz_resolution_against_trying_everything() {
    let (mut solved, mut refused) = (0, 0);
    test_judge::fuzz(4000, |random| {
        let scene = scene(random);
        let possible = scene.choices();
        match solve(&scene) {
            Ok(solution) => {
                assert!(!scene.removes_what_is_required(), "that is required\n{}", shown(&scene));
                check_solution(&scene, &solution, &possible);
                solved += 1;
            }
            Err(ResolveError::StillRequired { .. }) => {
                assert!(scene.removes_what_is_required(), "nothing requires that\n{}", shown(&scene));
                refused += 1;
            }
            Err(ResolveError::Conflict { conflict }) => {
                assert!(possible.is_empty(), "{:?} was possible\n{}\n{conflict}", possible[0], shown(&scene));
                assert!(!conflict.statements.is_empty());
                refused += 1;
            }
            Err(other) => panic!("{other}\n{}", shown(&scene)),
        }
    });
    // Both have to be met often, or the scenes say nothing.
    assert!(
        solved > refused / 4 && refused > solved / 20 || solved + refused < 100,
        "{solved} solved, {refused} refused"
    );
}
