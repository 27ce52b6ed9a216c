//! Mediators: which of several links that want the same path is made.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};

use crate::manifest::{Action, AttributeError};
use crate::version::DotSequence;

/// What a mediated link belongs to, and what a mediator can be set to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Mediation {
    /// The version, such as `3.9` of Python.
    pub version: Option<DotSequence>,
    /// The implementation with its own version, such as `perl-threads@5.22`.
    pub implementation: Option<Implementation>,
}

/// The name of an implementation, and its version if it has one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Implementation {
    /// The name.
    pub name: String,
    /// What follows the `@`.
    pub version: Option<DotSequence>,
}

impl Implementation {
    /// Reads `name` or `name@version`; none if either is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.rsplit_once('@') {
            Some((name, version)) => Some(Self { name: name.to_owned(), version: Some(version.parse().ok()?) }),
            None => Some(Self { name: text.to_owned(), version: None }),
        }
        .filter(|implementation| is_name(&implementation.name))
    }

    /// Whether both can mean the same: one without a version goes with every version of its name.
    fn match_each_other(a: Option<&Self>, b: Option<&Self>) -> bool {
        let (Some(a), Some(b)) = (a, b) else { return a.is_none() && b.is_none() };
        let is_open = a.version.is_none() || b.version.is_none();
        a.name == b.name && (is_open || a.version == b.version)
    }
}

impl std::fmt::Display for Implementation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        self.version.iter().try_for_each(|version| write!(f, "@{version}"))
    }
}

/// Mediators and implementations have names of these characters alone, by which images can keep them.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Who decided about a mediator, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The user of the image.
    Local,
    /// A package of the site.
    Site,
    /// A package of the distribution that says so.
    Vendor,
    /// The order of versions.
    System,
}

impl Source {
    /// The word in the configuration of an image.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Site => "site",
            Self::Vendor => "vendor",
            Self::System => "system",
        }
    }

    /// The source with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Local, Self::Site, Self::Vendor, Self::System].into_iter().find(|source| source.name() == name)
    }
}

/// What a mediator is set to, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What is chosen.
    pub mediation: Mediation,
    /// Who chose the version.
    pub version_source: Source,
    /// Who chose the implementation.
    pub implementation_source: Source,
    /// Whether the user named an implementation without a version: then the version follows what is offered.
    pub is_version_open: bool,
}

/// The mediators of an image by name.
pub type Mediators = BTreeMap<String, Choice>;

/// A link that is made only if its mediator is set to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediatedLink {
    /// The name of the mediator.
    pub mediator: String,
    /// To what it has to be set.
    pub mediation: Mediation,
    /// How much the package insists.
    pub priority: Source,
}

impl MediatedLink {
    /// What a `link` or `hardlink` action says of mediation; none if it is an ordinary one.
    ///
    /// # Errors
    /// A version is not one, the priority is unknown, or a mediator has neither version nor implementation.
    pub fn of(action: &Action) -> Result<Option<Self>, AttributeError> {
        let Some(mediator) = action.optional("mediator")? else { return Ok(None) };
        if !is_name(mediator) {
            return Err(action.invalid("mediator", mediator, "of letters, digits and `-` alone"));
        }
        let wrong_version = |name, value| action.invalid(name, value, "a dotted version");
        let version = match action.optional("mediator-version")? {
            Some(text) => Some(text.parse().map_err(|_| wrong_version("mediator-version", text))?),
            None => None,
        };
        let implementation = match action.optional("mediator-implementation")? {
            Some(text) => {
                let parsed = Implementation::parse(text);
                Some(parsed.ok_or_else(|| {
                    action.invalid(
                        "mediator-implementation",
                        text,
                        "a name of letters, digits and `-`, with `@` and a version or not",
                    )
                })?)
            }
            None => None,
        };
        let priority = match action.optional("mediator-priority")? {
            None => Source::System,
            Some("vendor") => Source::Vendor,
            Some("site") => Source::Site,
            Some(other) => return Err(action.invalid("mediator-priority", other, "`site` or `vendor`")),
        };
        if version.is_none() && implementation.is_none() {
            return Err(action.invalid("mediator", mediator, "with a `mediator-version` or `mediator-implementation`"));
        }
        let mediation = Mediation { version, implementation };
        Ok(Some(Self { mediator: mediator.to_owned(), mediation, priority }))
    }

    /// The order in which links are preferred, the best first: priority, highest version, implementation by name, of one
    /// implementation the highest version.
    fn cmp_preference(&self, other: &Self) -> Ordering {
        let key = |link: &Self| {
            let implementation = link.mediation.implementation.clone();
            let implementation = implementation.map(|of| (of.name, Reverse(of.version)));
            (link.priority, Reverse(link.mediation.version.clone()), implementation)
        };
        key(self).cmp(&key(other))
    }
}

/// Decides about all mediators: what the user set (source [`Source::Local`] in `configured`) is kept, the rest follows
/// from what the links of installed packages offer. Mediators that nobody offers and the user did not set are dropped.
#[must_use]
pub fn choose<'a>(configured: &Mediators, offers: impl Iterator<Item = &'a MediatedLink>) -> Mediators {
    let mut by_name: BTreeMap<&str, Vec<&MediatedLink>> = BTreeMap::new();
    offers.for_each(|link| by_name.entry(&link.mediator).or_default().push(link));
    let set = configured.iter().filter(|(_, choice)| is_local(choice)).map(|(name, _)| name.as_str());
    let names: BTreeSet<&str> = by_name.keys().copied().chain(set).collect();
    let mut chosen = Mediators::new();
    for name in names {
        let wanted = configured.get(name).filter(|choice| is_local(choice));
        let mut fitting = by_name.remove(name).unwrap_or_default();
        fitting.retain(|link| wanted.is_none_or(|wanted| link.fits(wanted)));
        let best = fitting.into_iter().min_by(|a, b| a.cmp_preference(b));
        let choice = match (wanted, best) {
            (Some(wanted), best) => complete(wanted, best),
            (None, Some(best)) => Choice {
                mediation: best.mediation.clone(),
                version_source: best.priority,
                implementation_source: best.priority,
                is_version_open: false,
            },
            (None, None) => continue,
        };
        chosen.insert(name.to_owned(), choice);
    }
    chosen
}

fn is_local(choice: &Choice) -> bool {
    choice.version_source == Source::Local || choice.implementation_source == Source::Local
}

/// What the user left open is taken from the best link that fits.
fn complete(wanted: &Choice, best: Option<&MediatedLink>) -> Choice {
    let mut choice = wanted.clone();
    let offered = best.map(|link| (link.mediation.clone(), link.priority));
    if choice.version_source != Source::Local {
        choice.mediation.version = offered.as_ref().and_then(|(mediation, _)| mediation.version.clone());
        choice.version_source = offered.as_ref().map_or(Source::System, |(_, priority)| *priority);
    }
    if choice.implementation_source != Source::Local {
        choice.mediation.implementation = offered.as_ref().and_then(|(mediation, _)| mediation.implementation.clone());
        choice.implementation_source = offered.map_or(Source::System, |(_, priority)| priority);
        choice.is_version_open = false;
    } else if let Some(implementation) = choice.mediation.implementation.as_mut().filter(|_| wanted.is_open()) {
        let version = offered.and_then(|(mediation, _)| mediation.implementation?.version);
        implementation.version = version;
        choice.is_version_open = true;
    }
    choice
}

impl Choice {
    /// Whether any version of the implementation that the user named is wanted.
    fn is_open(&self) -> bool {
        let has_no_version = self.mediation.implementation.as_ref().is_some_and(|of| of.version.is_none());
        self.implementation_source == Source::Local && (self.is_version_open || has_no_version)
    }

    /// The implementation as the user named it.
    fn wanted_implementation(&self) -> Option<Implementation> {
        let mut wanted = self.mediation.implementation.clone();
        if let Some(wanted) = wanted.as_mut().filter(|_| self.is_open()) {
            wanted.version = None;
        }
        wanted
    }
}

impl MediatedLink {
    /// Whether the link is one of those that the user wants.
    fn fits(&self, wanted: &Choice) -> bool {
        let version_fits = wanted.version_source != Source::Local || self.mediation.version == wanted.mediation.version;
        let implementation_fits = wanted.implementation_source != Source::Local
            || self.has_implementation(wanted.wanted_implementation().as_ref());
        version_fits && implementation_fits
    }

    fn has_implementation(&self, wanted: Option<&Implementation>) -> bool {
        Implementation::match_each_other(self.mediation.implementation.as_ref(), wanted)
    }

    /// Whether the link is made, as the mediators are set.
    #[must_use]
    pub fn is_chosen(&self, mediators: &Mediators) -> bool {
        mediators.get(&self.mediator).is_some_and(|Choice { mediation, .. }| {
            mediation.version == self.mediation.version && self.has_implementation(mediation.implementation.as_ref())
        })
    }

    /// Whether the link is the very one that the mediators are set to, the version of the implementation included.
    #[must_use]
    pub fn is_exactly_chosen(&self, mediators: &Mediators) -> bool {
        mediators.get(&self.mediator).is_some_and(|choice| choice.mediation == self.mediation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(text: &str) -> MediatedLink {
        let action: Action = format!("link path=a target=b mediator=m {text}").parse().unwrap();
        MediatedLink::of(&action).unwrap().unwrap()
    }

    fn chosen(configured: &[(Option<&str>, Option<&str>)], offers: &[&str]) -> Option<String> {
        let configured = configured.iter().map(|(version, implementation)| {
            let source = |set: bool| if set { Source::Local } else { Source::System };
            let mediation = Mediation {
                version: version.map(|text| text.parse().unwrap()),
                implementation: implementation.and_then(Implementation::parse),
            };
            let (version_source, implementation_source) = (source(version.is_some()), source(implementation.is_some()));
            let choice = Choice { mediation, version_source, implementation_source, is_version_open: false };
            ("m".to_owned(), choice)
        });
        let offers: Vec<MediatedLink> = offers.iter().map(|text| link(text)).collect();
        let chosen = choose(&configured.collect(), offers.iter());
        let made: Vec<usize> = (0..offers.len()).filter(|at| offers[*at].is_chosen(&chosen)).collect();
        chosen.get("m").map(|choice| {
            let version = choice.mediation.version.as_ref().map_or("-".to_owned(), ToString::to_string);
            let implementation = choice.mediation.implementation.as_ref().map_or("-".to_owned(), ToString::to_string);
            let sources = (choice.version_source.name(), choice.implementation_source.name());
            format!("{version} {implementation} {}/{} {made:?}", sources.0, sources.1)
        })
    }

    #[test]
    fn the_best_offer_is_chosen() {
        let v = |version: &str| format!("mediator-version={version}");
        for (offers, expected) in [
            (vec![v("3.4"), v("3.10"), v("2.7")], "3.10 - system/system [1]"),
            (vec![v("3.4"), v("2.7 mediator-priority=vendor")], "2.7 - vendor/vendor [1]"),
            (vec![v("3 mediator-priority=vendor"), v("2 mediator-priority=site"), v("3")], "2 - site/site [1]"),
            (vec![v("1"), v("1")], "1 - system/system [0, 1]"),
            (
                ["b", "a@1", "a@1.2"].map(|name| format!("mediator-implementation={name}")).to_vec(),
                "- a@1.2 system/system [2]",
            ),
            // An implementation without a version goes with every one of its name.
            (
                ["a", "a@1", "a@1.2"].map(|name| format!("mediator-implementation={name}")).to_vec(),
                "- a@1.2 system/system [0, 2]",
            ),
        ] {
            let offers: Vec<&str> = offers.iter().map(String::as_str).collect();
            assert_eq!(chosen(&[], &offers).as_deref(), Some(expected), "{offers:?}");
        }
        assert_eq!(chosen(&[], &[]), None);
    }

    #[test]
    fn what_the_user_set_is_kept() {
        let offers = ["mediator-version=3.9", "mediator-version=2.7"];
        assert_eq!(chosen(&[(Some("2.7"), None)], &offers).as_deref(), Some("2.7 - local/system [1]"));
        assert_eq!(chosen(&[(Some("1"), None)], &offers).as_deref(), Some("1 - local/system []"));
        let offers = ["mediator-implementation=a@1", "mediator-implementation=a@2", "mediator-implementation=b"];
        assert_eq!(chosen(&[(None, Some("a"))], &offers).as_deref(), Some("- a@2 system/local [1]"));
        assert_eq!(chosen(&[(None, Some("a@1"))], &offers).as_deref(), Some("- a@1 system/local [0]"));
        let offers = ["mediator-implementation=a"];
        assert_eq!(chosen(&[(None, Some("a@1"))], &offers).as_deref(), Some("- a@1 system/local [0]"));
    }

    #[test]
    fn a_version_that_the_user_left_open_follows_what_is_offered() {
        let offer = |versions: &[&str]| -> Vec<MediatedLink> {
            versions.iter().map(|version| link(&format!("mediator-implementation=a@{version}"))).collect()
        };
        let mediation = Mediation { version: None, implementation: Implementation::parse("a") };
        let (version_source, implementation_source) = (Source::System, Source::Local);
        let choice = Choice { mediation, version_source, implementation_source, is_version_open: false };
        let mut chosen = Mediators::from([("m".to_owned(), choice)]);
        for (offers, expected) in
            [(&["1"][..], "a@1"), (&["1", "2"], "a@2"), (&["1"], "a@1"), (&[], "a"), (&["3"], "a@3")]
        {
            chosen = choose(&chosen, offer(offers).iter());
            let choice = &chosen["m"];
            assert_eq!(choice.mediation.implementation.as_ref().unwrap().to_string(), expected);
            assert!(choice.is_version_open && choice.implementation_source == Source::Local);
        }
    }

    #[test]
    fn what_is_no_mediation() {
        for text in ["", "mediator-version=x", "mediator-implementation=a@x", "mediator-version=1 mediator-priority=me"]
        {
            let action: Action = format!("link path=a target=b mediator=m {text}").parse().unwrap();
            assert!(MediatedLink::of(&action).is_err(), "{text}");
        }
    }
}
