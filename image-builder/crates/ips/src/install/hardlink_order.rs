//! Which hard links have to be made, and in what order. Packages may bring tens of thousands of links to one file, and
//! long chains of them: each is looked at a few times, never once for each other one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use image_tree::ImagePath;

/// Where hard links lead.
pub(super) type Targets<'l> = BTreeMap<&'l ImagePath, &'l ImagePath>;

/// The links among what is `replaced`, and those that lead to something that is, be it over other links. `resolve` finds
/// where a target really is.
pub(super) fn affected<'l>(
    targets: &Targets<'l>,
    replaced: &BTreeSet<&'l ImagePath>,
    resolve: impl Fn(&ImagePath) -> Option<ImagePath>,
) -> BTreeSet<&'l ImagePath> {
    let mut affected: BTreeSet<&ImagePath> = BTreeSet::new();
    let mut leading_to: HashMap<ImagePath, Vec<&ImagePath>> = HashMap::new();
    for (path, target) in targets {
        count();
        if replaced.contains(path) {
            affected.insert(path);
            continue;
        }
        let found = resolve(target).filter(|found| found != *target);
        for place in found.into_iter().chain([(*target).clone()]) {
            leading_to.entry(place).or_default().push(path);
        }
    }
    let mut followed: Vec<&ImagePath> = replaced.iter().copied().collect();
    while let Some(path) = followed.pop() {
        for link in leading_to.remove(path).unwrap_or_default() {
            count();
            if affected.insert(link) {
                followed.push(link);
            }
        }
    }
    affected
}

/// The links `wanted`, each after the one that it leads to; and the first of those that lead to each other in a circle,
/// which have no place in the order.
pub(super) fn in_order<'l>(
    targets: &Targets<'l>,
    wanted: &BTreeSet<&'l ImagePath>,
) -> (Vec<&'l ImagePath>, Option<&'l ImagePath>) {
    let mut order: Vec<&ImagePath> = Vec::new();
    let mut waiting: BTreeMap<&ImagePath, Vec<&ImagePath>> = BTreeMap::new();
    for path in wanted {
        count();
        let target = targets[path];
        if wanted.contains(target) {
            waiting.entry(target).or_default().push(path);
        } else {
            order.push(path);
        }
    }
    let mut next = 0;
    while let Some(path) = order.get(next) {
        count();
        next += 1;
        order.extend(waiting.remove(path).unwrap_or_default());
    }
    let circle = waiting.into_values().flatten().min();
    (order, circle)
}

#[cfg(not(test))]
fn count() {}

#[cfg(test)]
thread_local! {
    /// How often a link was looked at.
    static LOOKS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
fn count() {
    LOOKS.set(LOOKS.get() + 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> ImagePath {
        ImagePath::from_relative(name).unwrap()
    }

    /// What is made of these links after `x` was replaced, as text, and how often links were looked at for it.
    fn made(links: &[(ImagePath, ImagePath)]) -> (Vec<String>, Option<String>, usize) {
        let targets: Targets<'_> = links.iter().map(|(path, target)| (path, target)).collect();
        let x = path("x");
        LOOKS.set(0);
        // `through` is a symbolic link to the root.
        let resolve =
            |target: &ImagePath| Some(target.strip_prefix(&path("through")).unwrap_or_else(|| target.clone()));
        let affected = affected(&targets, &BTreeSet::from([&x]), resolve);
        let (order, circle) = in_order(&targets, &affected);
        let texts = order.iter().map(ToString::to_string).collect();
        (texts, circle.map(ToString::to_string), LOOKS.get())
    }

    #[test]
    fn links_follow_what_they_lead_to_and_others_stay() {
        let links = ["a b", "b x", "c through/b", "d y", "e d", "through/f x"];
        let links = links.map(|link| link.split_once(' ').map(|(from, to)| (path(from), path(to))).unwrap());
        let (order, circle, _) = made(&links);
        assert_eq!((order, circle), (["/b", "/c", "/through/f", "/a"].map(str::to_owned).to_vec(), None));
    }

    #[test]
    fn a_circle_has_no_order() {
        let (a, b, x) = (path("a"), path("b"), path("x"));
        let targets: Targets<'_> = [(&a, &b), (&b, &a), (&x, &x)].into();
        let (order, circle) = in_order(&targets, &BTreeSet::from([&a, &b]));
        assert_eq!((order, circle), (Vec::new(), Some(&a)));
        assert_eq!(in_order(&targets, &BTreeSet::from([&x])).1, Some(&x));
    }

    #[test]
    fn many_links_and_long_chains_cost_as_much_as_they_are_many() {
        const LOOKS_PER_LINK: usize = 5;
        const LINKS: usize = 5000;
        let name = |at: usize| path(&format!("l{at:05}"));
        let star: Vec<_> = (0..LINKS).map(|at| (name(at), path("x"))).collect();
        let chain = |next: fn(usize) -> Option<usize>| -> Vec<_> {
            (0..LINKS).map(|at| (name(at), next(at).map_or_else(|| path("x"), name))).collect()
        };
        let up = chain(|at| at.checked_sub(1));
        let down = chain(|at| (at + 1 < LINKS).then_some(at + 1));
        for links in [star, up, down] {
            let (order, circle, looks) = made(&links);
            assert_eq!((order.len(), circle), (LINKS, None));
            assert!(looks <= LOOKS_PER_LINK * LINKS, "{looks}");
        }
    }
}
