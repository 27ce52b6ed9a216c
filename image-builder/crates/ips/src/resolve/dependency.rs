//! Dependencies: what `depend` actions say.

use std::fmt;

use crate::fmri::Fmri;
use crate::manifest::{Action, ActionKind, AttributeError, is_true};

/// What a dependency demands of the packages that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DependencyKind {
    /// One has to be installed, at least in this version.
    Require,
    /// One of several has to be installed.
    RequireAny,
    /// If installed, then at least in this version.
    Optional,
    /// If installed, then in a version within this one.
    Incorporate,
    /// Not installed; with a version: only older ones.
    Exclude,
    /// Required if another package is installed.
    Conditional,
    /// Required unless the user does not want it.
    Group,
    /// One of several required unless the user wants none of them.
    GroupAny,
    /// If installed before, then at least in this version.
    Origin,
    /// The same version as in the image that this one is a child of.
    Parent,
}

impl DependencyKind {
    const ALL: [(Self, &'static str); 10] = [
        (Self::Require, "require"),
        (Self::RequireAny, "require-any"),
        (Self::Optional, "optional"),
        (Self::Incorporate, "incorporate"),
        (Self::Exclude, "exclude"),
        (Self::Conditional, "conditional"),
        (Self::Group, "group"),
        (Self::GroupAny, "group-any"),
        (Self::Origin, "origin"),
        (Self::Parent, "parent"),
    ];

    /// Whether a renamed package that such a dependency names stays in the image.
    pub(super) fn keeps_renamed(self) -> bool {
        !matches!(self, Self::Incorporate | Self::Optional | Self::Origin)
    }

    /// The value of `type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }
}

impl fmt::Display for DependencyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A `depend` action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// What is demanded.
    pub kind: DependencyKind,
    /// Of which packages: one, but for the kinds that offer a choice.
    pub targets: Vec<Fmri>,
    /// For conditional dependencies: the packages that all have to be installed for it to matter.
    pub predicates: Vec<Fmri>,
    /// For origins: the running system is meant, not the image.
    pub is_root_image: bool,
}

impl Dependency {
    /// Reads a `depend` action.
    ///
    /// # Errors
    /// An unknown type, a name or version that is none, several packages where there can be one only, or a
    /// conditional dependency without its condition.
    pub fn of(action: &Action) -> Result<Self, AttributeError> {
        let kind = action.required("type")?;
        let kind = DependencyKind::ALL.iter().find(|(_, name)| *name == kind).map(|(kind, _)| *kind);
        let type_name = action.get("type").unwrap_or_default();
        let kind = kind.ok_or_else(|| action.invalid("type", type_name, "a known type of dependency"))?;
        let fmris = |name: &'static str| -> Result<Vec<Fmri>, AttributeError> {
            let parsed = action
                .values(name)
                .map(|text| text.parse().map_err(|_| action.invalid(name, text, "the FMRI of a package")));
            parsed.collect()
        };
        let (targets, predicates) = (fmris("fmri")?, fmris("predicate")?);
        // Several FMRIs in a parent dependency are allowed: each is one of its own.
        let is_choice = matches!(kind, DependencyKind::RequireAny | DependencyKind::GroupAny | DependencyKind::Parent);
        if targets.len() > 1 && !is_choice {
            return Err(AttributeError::Repeated { kind: ActionKind::Depend, name: "fmri" });
        }
        if kind == DependencyKind::Conditional && predicates.is_empty() {
            return Err(AttributeError::Missing { kind: ActionKind::Depend, name: "predicate" });
        }
        let is_root_image = action.get("root-image").is_some_and(is_true);
        Ok(Self { kind, targets, predicates, is_root_image })
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |fmris: &[Fmri]| fmris.iter().map(ToString::to_string).collect::<Vec<_>>();
        match self.kind {
            DependencyKind::Require => write!(f, "requires ")?,
            DependencyKind::RequireAny => write!(f, "requires one of ")?,
            DependencyKind::Optional => write!(f, "needs, if installed, at least ")?,
            DependencyKind::Incorporate => write!(f, "incorporates ")?,
            DependencyKind::Exclude => write!(f, "excludes ")?,
            DependencyKind::Conditional => {
                write!(f, "with {} requires ", list(&self.predicates).join(" and "))?;
            }
            DependencyKind::Group => write!(f, "has the group member ")?,
            DependencyKind::GroupAny => write!(f, "has as group members one of ")?,
            DependencyKind::Origin => write!(f, "can only be installed over ")?,
            DependencyKind::Parent => write!(f, "follows in the parent image ")?,
        }
        f.write_str(&list(&self.targets).join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_and_their_texts() {
        for (text, expected) in [
            ("type=require fmri=pkg:/a@1", "requires a@1"),
            ("type=require-any fmri=a fmri=b@2", "requires one of a, b@2"),
            ("type=conditional predicate=p@1 fmri=a", "with p@1 requires a"),
            ("type=origin fmri=a@1 root-image=true", "can only be installed over a@1"),
            ("type=group-any fmri=a fmri=b", "has as group members one of a, b"),
        ] {
            let action: Action = format!("depend {text}").parse().unwrap();
            assert_eq!(Dependency::of(&action).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn what_is_no_dependency() {
        for text in [
            "type=wish fmri=a",
            "type=require fmri=a fmri=b",
            "type=require fmri=a@01",
            "type=require fmri=''",
            "type=conditional fmri=a",
            "type=conditional fmri=a predicate=-",
        ] {
            let action: Action = format!("depend {text}").parse().unwrap();
            assert!(Dependency::of(&action).is_err(), "{text}");
        }
    }
}
