//! Facets: optional parts of packages, such as documentation or a language, switched on and off for a whole image.

use std::collections::BTreeMap;

use crate::manifest::Action;
use crate::text::{glob_matches, is_glob};
use crate::variant::full_name;

/// What attributes and settings that belong to facets begin with.
pub const PREFIX: &str = "facet.";

/// Facets that are off unless they are switched on.
const OFF_BY_DEFAULT: [&str; 2] = ["facet.debug.", "facet.optional."];

/// The facets of an image, by full name (`facet.doc.man`), which may be a pattern (`facet.doc.*`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facets {
    local: BTreeMap<String, bool>,
    inherited: BTreeMap<String, bool>,
}

impl Facets {
    /// Switches a facet, given with or without `facet.`; `None` takes the setting back.
    pub fn set(&mut self, name: &str, value: Option<bool>) {
        Self::put(&mut self.local, name, value);
    }

    /// As [`set`](Self::set), for what the image has from its parent and cannot change itself.
    pub fn set_inherited(&mut self, name: &str, value: Option<bool>) {
        Self::put(&mut self.inherited, name, value);
    }

    fn put(map: &mut BTreeMap<String, bool>, name: &str, value: Option<bool>) {
        let name = full_name(PREFIX, name);
        match value {
            Some(value) => drop(map.insert(name, value)),
            None => drop(map.remove(&name)),
        }
    }

    /// What is set in the image itself: full names and values, by name.
    pub fn local(&self) -> impl Iterator<Item = (&str, bool)> {
        self.local.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// What the image has from its parent.
    pub fn inherited(&self) -> impl Iterator<Item = (&str, bool)> {
        self.inherited.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// Whether a facet (by full name) is on: its own setting, else that of the longest pattern that matches (of equally
    /// long ones the first in lexical order), else on unless its kind is off by default. Whatever the parent says,
    /// with a pattern of any length, goes before the image's own settings of the same sort.
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        let exact = self.inherited.get(name).or_else(|| self.local.get(name));
        let by_pattern = || {
            let longest = |settings: &'_ BTreeMap<String, bool>| {
                let matching = settings.iter().filter(|(pattern, _)| is_glob(pattern) && glob_matches(pattern, name));
                matching.min_by_key(|(pattern, _)| (std::cmp::Reverse(pattern.len()), *pattern)).map(|(_, on)| *on)
            };
            longest(&self.inherited).or_else(|| longest(&self.local))
        };
        let by_default = !OFF_BY_DEFAULT.iter().any(|prefix| name.starts_with(prefix));
        exact.copied().or_else(by_pattern).unwrap_or(by_default)
    }

    /// Whether an action is wanted: all facets on it with the value `all` are on and, if there are others,
    /// at least one of those.
    #[must_use]
    pub fn allow(&self, action: &Action) -> bool {
        let (mut any_seen, mut any_on) = (false, false);
        for (name, value) in action.attributes().filter(|(name, _)| name.starts_with(PREFIX)) {
            let is_on = self.is_on(name);
            if value == "all" {
                if !is_on {
                    return false;
                }
            } else {
                any_seen = true;
                any_on |= is_on;
            }
        }
        any_on || !any_seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facets(settings: &[(&str, bool)]) -> Facets {
        let mut facets = Facets::default();
        settings.iter().for_each(|(name, value)| facets.set(name, Some(*value)));
        facets
    }

    #[test]
    fn the_most_specific_setting_counts() {
        let mut some = facets(&[("doc.*", false), ("doc.man", true), ("*", true), ("facet.doc.h*", true)]);
        for (name, expected) in [
            ("facet.doc.man", true),
            ("facet.doc.pdf", false),
            ("facet.doc.html", true),
            ("facet.devel", true),
            ("facet.debug.x", true),
        ] {
            assert_eq!(some.is_on(name), expected, "{name}");
        }
        some.set("*", None);
        assert!(!some.is_on("facet.debug.x") && !some.is_on("facet.optional.x") && some.is_on("facet.debugger"));
        some.set_inherited("doc.man", Some(false));
        assert!(!some.is_on("facet.doc.man"));
        // The parent's pattern goes before a longer one of the image's own, but not before an exact name.
        some.set_inherited("doc.*", Some(false));
        assert!(!some.is_on("facet.doc.html"));
        some.set("doc.html", Some(true));
        assert!(some.is_on("facet.doc.html"));
        // Two patterns of the same length: the first in lexical order.
        let tied = facets(&[("facet.a*", true), ("facet.*b", false)]);
        assert!(!tied.is_on("facet.ab"));
    }

    #[test]
    fn which_actions_are_wanted() {
        let facets = facets(&[("locale.*", false), ("locale.en_US", true), ("doc", false)]);
        for (attributes, expected) in [
            ("", true),
            ("facet.locale.en=true", false),
            ("facet.locale.en=true facet.locale.en_US=true", true),
            ("facet.locale.en=true facet.locale.de=true", false),
            ("facet.locale.en_US=all facet.locale.en=all", false),
            ("facet.locale.en_US=all facet.devel=all", true),
            ("facet.locale.en_US=true facet.doc=all", false),
            ("facet.devel=all facet.locale.de=true", false),
        ] {
            let action: Action = format!("dir path=a {attributes}").parse().unwrap();
            assert_eq!(facets.allow(&action), expected, "{attributes}");
        }
    }
}
