//! Which names and properties of pools and datasets a template may have: those that ZFS takes, and that no other part
//! of the template decides.

use zfs_format::feature::FeatureSet;
use zfs_format::name::{self, NameError};
use zfs_format::property;
use zfs_format::property::PropertyError;

use crate::field::{Fault, Text};

pub(crate) const POOL_NAME: Text = Text::with_rule(|name| name::check_pool(name).map_err(refused));

pub(crate) const ENVIRONMENT_NAME: Text = Text::with_rule(|name| name::check_boot_environment(name).map_err(refused));

/// A dataset's name without that of its pool.
pub(crate) const BELOW_POOL: Text = Text::with_rule(|text| {
    if text.split('/').count() >= name::NESTING_MAX || text.len() >= name::NAME_BYTES_MAX {
        return Err(Fault::value("is longer, or deeper, than ZFS allows"));
    }
    if text.split('/').any(str::is_empty) {
        return Err(refused(NameError::Empty(text.to_owned())));
    }
    text.split('/').try_for_each(name::check_snapshot_component).map_err(refused)
});

/// A snapshot's name without that of its dataset.
pub(crate) const SNAPSHOT_NAME: Text = Text::with_rule(|name| name::check_snapshot_component(name).map_err(refused));

/// `name=value` of a pool property or a feature.
pub(crate) const POOL_PROPERTY: Text = Text::with_rule(|property| {
    let (name, value) = name_and_value(property)?;
    match name {
        "ashift" => Err(decided_elsewhere(name, "use the field `ashift`")),
        "bootfs" => Err(decided_elsewhere(name, "the step `make_bootable` sets it")),
        "bootsize" => Err(decided_elsewhere(name, "with `uefi` it is 256 MiB, without there is none")),
        _ if name.starts_with("feature@") => {
            let (feature, enabled) = property::parse_feature(name, value).map_err(impossible)?;
            let enable = || FeatureSet::none().enable(feature.name).map_err(|error| impossible(error.into()));
            if enabled { enable() } else { Ok(()) }
        }
        _ => property::parse_pool(name, value).map(drop).map_err(impossible),
    }
});

/// `name=value` of the pool's root dataset.
pub(crate) const DATASET_PROPERTY: Text = Text::with_rule(|property| {
    let (name, value) = name_and_value(property)?;
    match name {
        "compression" | "compress" => Err(decided_elsewhere(name, "use the field `compression`")),
        _ => dataset_property(name, value),
    }
});

/// `name=value` of a dataset whose mountpoint has a field of its own.
pub(crate) const CREATED_PROPERTY: Text = Text::with_rule(|property| {
    let (name, value) = name_and_value(property)?;
    match name {
        "mountpoint" => Err(decided_elsewhere(name, "use the field `mountpoint`")),
        _ => dataset_property(name, value),
    }
});

/// `name=value` of a boot environment, beside what all of them have.
pub(crate) const ENVIRONMENT_PROPERTY: Text = Text::with_rule(|property| {
    let (name, value) = name_and_value(property)?;
    match name {
        "canmount" | "mountpoint" | "org.opensolaris.libbe:uuid" | "org.opensolaris.libbe:policy" => {
            let message = format!("has an element for `{name}`, which every boot environment has already");
            Err(Fault::value(message).help("leave it out"))
        }
        _ => dataset_property(name, value),
    }
});

fn dataset_property(name: &str, value: &str) -> Result<(), Fault> {
    property::parse_dataset(name, value).map(drop).map_err(impossible)
}

/// What ZFS itself says of a property, or why an image cannot have it.
fn impossible(error: PropertyError) -> Fault {
    if error.is_of_images() { Fault::value(format!("is not for images: {error}")) } else { refused(error) }
}

/// What ZFS itself says of a name.
fn refused(error: impl std::fmt::Display) -> Fault {
    Fault::value(format!("is refused by ZFS: {error}"))
}

fn name_and_value(property: &str) -> Result<(&str, &str), Fault> {
    match property.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name, value)),
        _ => Err(Fault::value("has an element that is not `name=value`")),
    }
}

/// A property that another part of the template decides.
fn decided_elsewhere(name: &str, how: &'static str) -> Fault {
    Fault::value(format!("has an element for `{name}`, which the template says elsewhere")).help(how)
}

/// The first property that is set again, if only by its other name; `by_field` is set by a field of the template.
pub(crate) fn repeated<'o>(options: &'o [String], by_field: Option<&str>) -> Option<&'o str> {
    let mut seen: Vec<String> = by_field.map(str::to_owned).into_iter().collect();
    options.iter().find_map(|option| {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let full = full_name(name, value);
        if seen.contains(&full) {
            return Some(name);
        }
        seen.push(full);
        None
    })
}

/// Whether an element of a list is `name` itself, or sets the property `name`, if only by its other name.
pub(crate) fn is_called(element: &str, name: &str) -> bool {
    let (own, value) = element.split_once('=').unwrap_or((element, ""));
    own == name || full_name(own, value) == name
}

/// The one name of a property or feature that may have several.
fn full_name(name: &str, value: &str) -> String {
    if name.starts_with("feature@") {
        return property::parse_feature(name, value)
            .map_or_else(|_| name.to_owned(), |(feature, _)| feature.guid.to_owned());
    }
    let parsed = property::parse_dataset(name, value).or_else(|_| property::parse_pool(name, value));
    parsed.map_or_else(|_| name.to_owned(), |property| property.name)
}
