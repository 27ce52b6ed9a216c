//! Resolution: each rule in a small universe. `oracle.rs` has all of them together.

#[path = "support/universe.rs"]
mod universe;

use std::collections::BTreeMap;

use ips::facet::Facets;
use ips::fmri::{Fmri, PackageId, Stem};
use ips::resolve::{AvoidReason, ImageState, ResolveError, Solution, Universe, resolve};
use ips::variant::Variants;
use ips::version::Version;
use universe::{add, names, package, publishers, request, universe};

/// Resolves `install`, `-reject` and `update` words against installed packages.
fn run(universe: &Universe, installed: &str, words: &str) -> Result<Solution, ResolveError> {
    let installed: Vec<PackageId> = installed.split_whitespace().map(package).collect();
    let publishers = publishers(&["p", "q"]);
    let image = ImageState { publishers: &publishers, installed: &installed, ..ImageState::default() };
    resolve(universe, &image, &request(words))
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

/// Only an image that is linked to a parent has one to compare with, and ours are not.
#[test]
fn dependencies_on_a_parent_image_neither_bring_nor_hold_anything() {
    check(
        "a@1: parent z@9\na@2: parent pkg:/feature/package/dependency/self z@9\nz@9: require y\ny@1\nb@1: require a; parent none@1",
        &[
            ("", "a", "a@2"),
            ("", "b", "a@2 b@1"),
            ("a@1", "UPDATE", "a@2"),
            ("z@9 y@1", "a -z", "a@2 y@1"),
            ("z@9 y@1", "a@1", "a@1 y@1 z@9"),
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
         g@1: group m@1; group n; group old\nold@1: obsolete\nga@1: group-any m n\n\
         lost@1: group gone\nlost@2: group-any gone m\nlost@3: group gone",
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
            ("", "lost", "lost@2 m@2"),
            ("", "lost@1", "ERROR lost@1 has the group member gone: no such package is there"),
        ],
    );
}

/// The newest c is obsolete and cannot be what d requires; that makes the one before it a sound choice, not an old one. But
/// what c brings along is enough without it.
#[test]
fn a_choice_whose_newest_version_is_obsolete_is_met_by_the_one_before() {
    let universe = "d@1: require-any c@1 b\nc@1\nc@2\nc@3: obsolete\nb@1";
    check(universe, &[("", "d", "c@2 d@1"), ("", "d -c", "b@1 d@1"), ("", "d c", "b@1 d@1")]);
    check(&universe.replace("c@2\n", "c@2: require b@1\n"), &[("", "d", "b@1 d@1"), ("", "d c@2", "b@1 c@2 d@1")]);
}

/// Several predicates have to be met together, and their combinations are not without end.
#[test]
fn conditions_of_several_packages() {
    let condition = |count: usize| (0..count).map(|n| format!(" predicate=p{n}")).collect::<String>();
    let packages = |count: usize| (0..count).map(|n| format!("p{n}@1\np{n}@2\np{n}@3\n")).collect::<String>();
    let two = format!("{}a@1: depend type=conditional fmri=x{}\nx@1", packages(2), condition(2));
    check(&two, &[("", "a p0", "a@1 p0@3"), ("", "a p0 p1", "a@1 p0@3 p1@3 x@1")]);
    let many = format!("{}a@1: depend type=conditional fmri=x{}\nx@1", packages(40), condition(40));
    check(&many, &[("", "a", "a@1 x@1")]);
}

#[test]
fn what_is_there_anyway_is_the_choice() {
    check(
        "a@1: require-any m n\nb@1: group-any m n\nm@1\nm@2\nn@1\nn@2\nx@1: require n",
        &[
            ("", "a", "a@1 m@2"),
            ("", "a n", "a@1 n@2"),
            ("", "a x", "a@1 n@2 x@1"),
            ("n@1", "a", "a@1 n@1"),
            ("n@1", "b", "b@1 n@1"),
            ("", "b x", "b@1 n@2 x@1"),
        ],
    );
}

/// A choice that an incorporation made urgent does not keep back what the user asked for, though it is decided later.
#[test]
fn a_name_that_was_asked_for_becomes_obsolete_rather_than_the_choice_of_another() {
    let universe = "d@1\nd@2: obsolete\ne@1\ne@2: require-any d@1 c\nc@1\nc@2: incorporate c@2";
    check(
        universe,
        &[("", "d e", "c@2 e@2"), ("", "d e -c", "d@1 e@2"), ("", "d@1 e", "d@1 e@2"), ("", "e", "d@1 e@2")],
    );
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

/// What is avoided comes if something requires it, and goes with the last that does; it is avoided all along.
#[test]
fn what_is_avoided_is_there_only_while_it_is_required() {
    let universe = universe("g@1: group m\nm@1\nm@2\nx@1: require m\nx@2");
    let publishers = publishers(&["p"]);
    let avoided: [Stem; 1] = ["m".parse().unwrap()];
    for (installed, words, expected) in [
        ("g@1", "x@1", "g@1 m@2 x@1"),
        ("g@1 m@1 x@1", "g", "g@1 m@1 x@1"),
        ("g@1 m@1 x@1", "-x", "g@1"),
        ("g@1 m@1 x@1", "UPDATE", "g@1 x@2"),
    ] {
        let installed: Vec<PackageId> = installed.split(' ').map(package).collect();
        let image = ImageState { publishers: &publishers, installed: &installed, avoided: &avoided, freezes: &[] };
        let solution = resolve(&universe, &image, &request(words)).unwrap();
        assert_eq!(names(&solution), expected, "{words}");
        assert_eq!(solution.avoided, BTreeMap::from([(avoided[0].clone(), AvoidReason::Unwanted)]));
    }
}

#[test]
fn a_member_of_a_group_that_is_not_obsolete_any_more_comes_back() {
    let mut universe = universe("g@1: group m\nm@1: obsolete");
    let first = run(&universe, "", "g").unwrap();
    assert_eq!(first.avoided.len(), 1);
    add(&mut universe, "m@2");
    let second = run(&universe, "g@1", "UPDATE").unwrap();
    assert_eq!((names(&second).as_str(), second.avoided.len()), ("g@1 m@2", 0));
}

#[test]
fn obsolete_and_renamed_packages() {
    check(
        "a@1\na@2: obsolete\nb@1: require a\nc@1: require a@2\ne@1: require a@7\nr@1: renamed; require n@2\nn@1\nn@2\nd@1: require r\n\
         x/multi@1\ny/multi@1: renamed; require x/multi",
        &[
            ("", "a", ""),
            ("", "a@1", "a@1"),
            ("", "b", "a@1 b@1"),
            ("", "c", "ERROR c@1 requires a@2: no such package is there (a@2 is obsolete)"),
            ("", "e", "ERROR e@1 requires a@7: no such package is there (the newest is a@2)"),
            ("a@1", "UPDATE", ""),
            ("a@1 b@1", "UPDATE", "a@1 b@1"),
            ("", "r", "n@2"),
            ("", "d", "d@1 n@2 r@1"),
            ("r@1", "UPDATE", "n@2"),
            ("d@1 n@2 r@1", "-d", "n@2"),
            ("", "multi", "x/multi@1"),
        ],
    );
}

#[test]
fn a_renamed_package_stays_while_something_depends_on_the_old_name() {
    check(
        "one@1: renamed; require two\ntwo@1: renamed; require new\nnew@1\n\
         user@1: require one\nany@1: require-any one other\nother@1\nidle@1: optional one@1; incorporate one@1\n\
         group@1: group one",
        &[
            ("", "one", "new@1"),
            ("", "user", "new@1 one@1 two@1 user@1"),
            ("", "any", "any@1 new@1 one@1 two@1"),
            ("", "group", "group@1 new@1 one@1 two@1"),
            ("", "idle one", "idle@1 new@1"),
            ("new@1 one@1 two@1 user@1", "UPDATE", "new@1 one@1 two@1 user@1"),
            ("new@1 one@1 two@1 user@1", "-user", "new@1"),
        ],
    );
}

#[test]
fn an_install_hold_keeps_an_incorporation_until_it_is_relaxed() {
    let hold = |name: &str| format!("set name=pkg.depend.install-hold value={name}");
    let text = ["1", "2"].map(|n| {
        format!(
            "entire@{n}: {}; require desk@1; require other@1\ndesk@{n}: {}; incorporate app@{n}\n\
             other@{n}: {}; incorporate tool@{n}\napp@{n}\ntool@{n}\n",
            hold("core-os"),
            hold("core-os.desk"),
            hold("core-other"),
        )
    });
    let installed = "app@1 desk@1 entire@1 other@1 tool@1";
    check(
        &text.concat(),
        &[
            // `entire` wants a certain version of both, which without the holds would let them go.
            (installed, "app@2", "ERROR the incorporation desk@1 stays unless it is asked for"),
            (installed, "app@2 desk", "app@2 desk@2 entire@1 other@1 tool@1"),
            (installed, "app@2 entire", "app@2 desk@2 entire@2 other@1 tool@1"),
            (installed, "tool@2 entire", "ERROR the incorporation other@1 stays unless it is asked for"),
            (installed, "UPDATE", "app@2 desk@2 entire@2 other@2 tool@2"),
        ],
    );
}

#[test]
fn the_publisher_in_a_dependency_does_not_choose_one() {
    check("a@1: require pkg://q/b@1\nb@1\npkg://q/b@2", &[("", "a", "a@1 b@1")]);
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
            ("a@2 b@2", "-b", "ERROR b@2 cannot be removed, because a@2 requires it"),
            ("a@2 b@2", "-b UPDATE", "ERROR b@2 cannot be installed: it is to be removed"),
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
        (
            "",
            "c",
            "ERROR requires a@2: no such package is there (pkg://q/a@2 is of a publisher that a is not taken from)",
        ),
        ("", "a@2", "ERROR `a@2` was asked for: no such package is there (pkg://q/a@2 is of a publisher"),
        ("", "c pkg://q/a", "q/a@2 q/c@1"),
        ("pkg://q/a@2", "UPDATE", "q/a@2"),
        ("", "pkg://z/b", "ERROR no package matches"),
    ] {
        match run(&universe, installed, words) {
            Ok(solution) => assert_eq!(names(&solution), expected, "{installed} | {words}"),
            Err(error) => assert!(
                expected.strip_prefix("ERROR ").is_some_and(|expected| error.to_string().contains(expected)),
                "{installed} | {words}: {error}"
            ),
        }
    }
    let mut loose = publishers(&["p", "q"]);
    loose[1].is_sticky = false;
    let installed = [package("pkg://q/a@1")];
    let mut universe = universe;
    add(&mut universe, "pkg://q/a@1");
    let mut image = ImageState { publishers: &loose, installed: &installed, ..ImageState::default() };
    // The same version of the publisher that comes first is not taken, unless it is asked for; a newer one is, an older one not.
    assert_eq!(names(&resolve(&universe, &image, &request("UPDATE")).unwrap()), "q/a@1");
    assert_eq!(names(&resolve(&universe, &image, &request("pkg://p/a")).unwrap()), "a@1");
    add(&mut universe, "a@1.5");
    assert_eq!(names(&resolve(&universe, &image, &request("UPDATE")).unwrap()), "a@1.5");
    let newest = [package("pkg://q/a@2")];
    image.installed = &newest;
    assert_eq!(names(&resolve(&universe, &image, &request("UPDATE")).unwrap()), "q/a@2");
}

#[test]
fn packages_of_a_publisher_that_is_gone_go_to_another() {
    let universe = universe("pkg://z/a@1\npkg://z/a@3\na@2\npkg://z/b@1");
    assert_eq!(names(&run(&universe, "pkg://z/a@1 pkg://z/b@1", "UPDATE").unwrap()), "a@2 z/b@1");
    assert_eq!(names(&run(&universe, "pkg://z/a@1", "").unwrap()), "z/a@1");
}

#[test]
fn what_does_not_support_a_changed_variant_goes() {
    let sparc = "set name=variant.arch value=sparc";
    check(
        &format!("a@1: {sparc}\na@2\nb@1: {sparc}\nc@1: require b\nd@1: require a@1"),
        &[
            ("a@1 b@1", "", ""),
            ("a@1 b@1", "UPDATE", ""),
            ("a@1 d@1", "", "a@2 d@1"),
            ("b@1 c@1", "", "ERROR b@1 cannot be installed: it is for variant.arch sparc"),
        ],
    );
}

#[test]
fn what_has_to_be_asked_for_comes_with_nothing_else() {
    let explicit = "set name=pkg.depend.explicit-install value=true";
    check(
        &format!("a@1: require b\nb@1: {explicit}\nb@2: {explicit}\nc@1: require-any b d\nd@1"),
        &[
            ("", "b", "b@2"),
            ("", "a b", "a@1 b@2"),
            ("", "a", "ERROR b@2 cannot be installed: it is only installed if it is asked for by its name"),
            ("", "c", "c@1 d@1"),
            ("b@1", "a", "a@1 b@1"),
            ("b@1", "UPDATE", "b@1"),
        ],
    );
}

/// Not even if a newer version of the one that requires it does without it.
#[test]
fn a_mere_removal_moves_nothing() {
    check(
        "a@1: require b\na@2\nb@1\nr@1: renamed; require b",
        &[
            ("a@1 b@1", "-b", "ERROR b@1 cannot be removed, because a@1 requires it"),
            ("a@1 b@1", "-a", "b@1"),
            ("a@1 b@1", "-a -b", ""),
            ("a@1 b@1", "-b a", "a@2"),
            ("b@1 r@1", "-b", ""),
        ],
    );
}

/// An incorporation that is free to move does so, rather than hold back what was asked for.
#[test]
fn what_is_asked_for_is_as_new_as_installed_incorporations_can_allow() {
    check(
        "e@1: require i@1\ni@1: incorporate a@1; incorporate b@1\ni@2: incorporate a@2; incorporate b@2\n\
         a@1\na@2\na@3\nb@1\nb@2",
        &[("b@1 e@1 i@1", "a", "a@2 b@2 e@1 i@2")],
    );
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

const STEM_COUNT: usize = 10_000;
const CHOSEN: usize = 1_500;

fn numbered(n: usize) -> String {
    format!("{n},5.11-{n}:20200101T00000{n}Z")
}

/// 10 000 packages of 5 versions, of which a distribution of 1 500 is chosen by an incorporation.
fn large_universe() -> Universe {
    let mut universe = Universe::new(Variants::new("i386"), Facets::default());
    for n in 1..=5 {
        let incorporated: Vec<String> = (0..STEM_COUNT)
            .map(|at| format!("depend type=incorporate fmri=pkg:/lib/p{at}@{},5.11-{}", n.min(4), n.min(4)))
            .collect();
        universe.add_package(package(&format!("entire@{}", numbered(n))), incorporated);
        for at in 0..STEM_COUNT {
            let mut actions = vec!["depend type=require fmri=pkg:/entire".to_owned()];
            for step in [1, 7, 31] {
                let target = (at + step) % CHOSEN;
                actions.push(format!("depend type=require fmri=pkg:/lib/p{target}@{},5.11-{}", n.min(3), n.min(3)));
            }
            actions.push(format!("depend type=optional fmri=pkg:/lib/p{}@2", (at * 13) % STEM_COUNT));
            universe.add_package(package(&format!("lib/p{at}@{}", numbered(n))), actions);
        }
    }
    universe
}

fn all_have(solution: &Solution, version: usize) -> bool {
    let wanted: Version = numbered(version).parse().unwrap();
    solution.packages.iter().filter(|id| id.stem.as_str() != "entire").all(|id| id.version == wanted)
}

#[test]
fn a_large_universe_takes_seconds() {
    let universe = large_universe();
    let begin = std::time::Instant::now();
    let solution = run(&universe, "", "lib/p0").unwrap();
    let took = begin.elapsed();
    assert_eq!(solution.packages.len(), CHOSEN + 1);
    assert!(all_have(&solution, 4));
    assert!(took.as_secs() < 30, "{took:?}");
    assert_eq!(run(&universe, "", "lib/p0").unwrap(), solution);
}

#[test]
fn and_so_does_an_image_that_has_some_of_it() {
    let universe = large_universe();
    let old = run(&universe, "", "lib/p0 entire@2").unwrap();
    assert!(all_have(&old, 2));
    let installed: Vec<String> = old.packages.iter().map(PackageId::to_string).collect();
    let begin = std::time::Instant::now();
    let more = run(&universe, &installed.join(" "), "lib/p9000 lib/p8000 lib/p7000").unwrap();
    assert_eq!(more.packages.len(), CHOSEN + 4);
    assert!(all_have(&more, 2), "the incorporation stays, and so does what it holds");
    let updated = run(&universe, &installed.join(" "), "UPDATE").unwrap();
    assert!(all_have(&updated, 4));
    let took = begin.elapsed();
    assert!(took.as_secs() < 60, "{took:?}");
}
