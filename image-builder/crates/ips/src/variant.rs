//! Variants: mutually exclusive flavours of packages, such as the architecture. The image has one value of each.

use std::collections::BTreeMap;

use crate::manifest::Action;

/// What attributes and settings that belong to variants begin with.
pub const PREFIX: &str = "variant.";

/// The values that an image has for variants, by full name (`variant.arch`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variants(BTreeMap<String, String>);

impl Variants {
    /// The variants that every image has: the architecture (`i386` for all of x86), a global zone, a full image.
    #[must_use]
    pub fn new(arch: &str) -> Self {
        let values = [("arch", arch), ("opensolaris.imagetype", "full"), ("opensolaris.zone", "global")];
        Self(values.map(|(name, value)| (format!("{PREFIX}{name}"), value.to_owned())).into())
    }

    /// Sets a variant; the name is given with or without `variant.`.
    pub fn set(&mut self, name: &str, value: &str) {
        self.0.insert(full_name(PREFIX, name), value.to_owned());
    }

    /// The value of a variant; the name is given with or without `variant.`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(&full_name(PREFIX, name)).map(String::as_str)
    }

    /// Full names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether the image is the global zone (and not inside of one), where drivers are installed.
    #[must_use]
    pub fn is_global_zone(&self) -> bool {
        self.get("opensolaris.zone") == Some("global")
    }

    /// Whether an action belongs into the image: every variant on it has the image's value. One that the image does
    /// not know has the value `false`, and a list of values never fits.
    #[must_use]
    pub fn allow(&self, action: &Action) -> bool {
        let mut on_action = action.attributes().filter(|(name, _)| name.starts_with(PREFIX));
        on_action.all(|(name, value)| {
            action.values(name).nth(1).is_none() && self.0.get(name).map_or("false", String::as_str) == value
        })
    }

    /// Whether a package that supports `values` of the variant `name` can be installed; it can where the image
    /// does not know the variant.
    #[must_use]
    pub fn fit<'a>(&self, name: &str, mut values: impl Iterator<Item = &'a str>) -> bool {
        self.0.get(name).is_none_or(|own| values.any(|value| value == own))
    }
}

/// A name with its prefix, whether it was given with it or not.
pub(crate) fn full_name(prefix: &str, name: &str) -> String {
    if name.starts_with(prefix) { name.to_owned() } else { format!("{prefix}{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_actions_belong_into_an_image() {
        let variants = Variants::new("i386");
        for (attributes, expected) in [
            ("", true),
            ("variant.arch=i386", true),
            ("variant.arch=sparc", false),
            ("variant.arch=i386 variant.opensolaris.zone=global", true),
            ("variant.arch=i386 variant.opensolaris.zone=nonglobal", false),
            ("variant.debug.illumos=false", true),
            ("variant.debug.illumos=true", false),
            ("variant.other=i386", false),
            ("variant.arch=i386 variant.arch=sparc", false),
            ("variant.arch=i386 variant.arch=i386", false),
        ] {
            let action: Action = format!("dir path=a {attributes}").parse().unwrap();
            assert_eq!(variants.allow(&action), expected, "{attributes}");
        }
    }

    #[test]
    fn which_packages_can_be_installed() {
        let mut variants = Variants::new("i386");
        assert!(variants.fit("variant.arch", ["sparc", "i386"].into_iter()));
        assert!(!variants.fit("variant.arch", ["sparc"].into_iter()));
        assert!(variants.fit("variant.debug.illumos", ["true"].into_iter()));
        variants.set("debug.illumos", "false");
        assert!(!variants.fit("variant.debug.illumos", ["true"].into_iter()));
    }
}
