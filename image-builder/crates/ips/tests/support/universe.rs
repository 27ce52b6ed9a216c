//! Small universes of packages as texts.

use ips::facet::Facets;
use ips::fmri::PackageId;
use ips::resolve::{RankedPublisher, Request, Solution, Universe};
use ips::variant::Variants;

/// A universe from lines `stem@version: action; action`, the publisher `p` unless the line names another.
pub(crate) fn universe(text: &str) -> Universe {
    let mut universe = Universe::new(Variants::new("i386"), Facets::default());
    add(&mut universe, text);
    universe
}

pub(crate) fn add(universe: &mut Universe, text: &str) {
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

pub(crate) fn package(text: &str) -> PackageId {
    let text = if text.starts_with("pkg:") { text.to_owned() } else { format!("pkg://p/{text}") };
    text.parse().unwrap()
}

pub(crate) fn publishers(names: &[&str]) -> Vec<RankedPublisher> {
    names.iter().map(|name| RankedPublisher { name: name.parse().unwrap(), is_sticky: true }).collect()
}

pub(crate) fn request(words: &str) -> Request {
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

pub(crate) fn names(solution: &Solution) -> String {
    let names: Vec<String> = solution
        .packages
        .iter()
        .map(|id| if id.publisher.as_str() == "p" { id.short() } else { format!("{}/{}", id.publisher, id.short()) })
        .collect();
    names.join(" ")
}
