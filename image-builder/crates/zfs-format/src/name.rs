//! Which names ZFS accepts for pools, datasets, snapshots, features and user properties.
//!
//! Sources: `zfs_namecheck.c`, `zfs_namecheck.h`, `libzfs_pool.c` (`zpool_name_valid`), `zfs_prop.c`
//! (`zfs_prop_user`), `zfeature_common.c` (`zfeature_is_valid_guid`), `libbe` (`be_valid_be_name`).

/// `ZFS_MAX_DATASET_NAME_LEN` without the NUL: the longest name of a dataset or snapshot with its pool, in bytes.
pub const NAME_BYTES_MAX: usize = 255;
/// The longest name of a pool in bytes: with it, the snapshot `POOL/$ORIGIN@$ORIGIN` still has to have a name.
pub const POOL_BYTES_MAX: usize = 239;
/// `zfs_max_dataset_nesting`: how many components a name may have.
pub const NESTING_MAX: usize = 50;
/// The longest name of a boot environment, in bytes: `BE_NAME_MAX_LEN`.
pub const BOOT_ENVIRONMENT_BYTES_MAX: usize = 64;

/// What ZFS would say of a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing, or nothing between two separators.
    #[error("the name {0:?} has an empty component")]
    Empty(String),
    /// Longer than the kernel's buffers.
    #[error("the name {name:?} has {len} bytes, more than {max}")]
    TooLong {
        /// The name.
        name: String,
        /// Its length in bytes.
        len: usize,
        /// What is allowed.
        max: usize,
    },
    /// A character that is not allowed.
    #[error(
        "the name {name:?} contains {character:?}; letters, digits, `-`, `_`, `.`, `:` and inner spaces are allowed"
    )]
    Character {
        /// The name.
        name: String,
        /// The character.
        character: char,
    },
    /// `.` or `..` as a component.
    #[error("the name {0:?} has the component `.` or `..`")]
    Dots(String),
    /// A slash at the beginning or the end.
    #[error("the name {0:?} begins or ends with a slash")]
    Slash(String),
    /// More components than [`NESTING_MAX`].
    #[error("the name {0:?} has more than {NESTING_MAX} components")]
    TooDeep(String),
    /// A pool's name has to begin with a letter.
    #[error("the pool name {0:?} does not begin with a letter")]
    NoLetter(String),
    /// A pool's name that means a kind of vdev.
    #[error("the pool name {0:?} is reserved: it is or begins with the name of a kind of vdev")]
    Reserved(String),
    /// A pool's name that looks like a disk, such as `c0t0d0`.
    #[error("the pool name {0:?} looks like the name of a disk")]
    DiskLike(String),
    /// A snapshot's name without `@`, or with several.
    #[error("the snapshot name {0:?} needs exactly one `@`")]
    At(String),
    /// A user property without a colon.
    #[error("the property {0:?} is neither a native property nor, without a colon, a user property")]
    NoColon(String),
    /// A feature's name that is not `domain:name` in lower case.
    #[error("the feature name {0:?} is not of the form `org.example:name`")]
    Feature(String),
}

fn is_allowed(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.' | ':' | ' ')
}

fn check_component(name: &str, component: &str) -> Result<(), NameError> {
    if component.is_empty() {
        return Err(NameError::Empty(name.to_owned()));
    }
    if component == "." || component == ".." {
        return Err(NameError::Dots(name.to_owned()));
    }
    match component.chars().find(|character| !is_allowed(*character)) {
        Some(character) => Err(NameError::Character { name: name.to_owned(), character }),
        None => Ok(()),
    }
}

fn check_len(name: &str, max: usize) -> Result<(), NameError> {
    if name.len() > max {
        return Err(NameError::TooLong { name: name.to_owned(), len: name.len(), max });
    }
    Ok(())
}

/// Checks the name of a pool.
///
/// # Errors
/// What `zpool create` would say.
pub fn check_pool(name: &str) -> Result<(), NameError> {
    check_len(name, POOL_BYTES_MAX)?;
    check_component(name, name)?;
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return Err(NameError::NoLetter(name.to_owned()));
    }
    // Names that only begin like these are refused too, because vdevs are numbered: mirror-0.
    let kinds = ["mirror", "raidz", "draid", "spare"];
    if kinds.iter().any(|kind| name.starts_with(kind)) || name == "log" {
        return Err(NameError::Reserved(name.to_owned()));
    }
    let mut characters = name.chars();
    if characters.next() == Some('c') && characters.next().is_some_and(|second| second.is_ascii_digit()) {
        return Err(NameError::DiskLike(name.to_owned()));
    }
    Ok(())
}

/// Checks the full name of a dataset, which begins with its pool.
///
/// # Errors
/// What `zfs create` would say.
pub fn check_dataset(name: &str) -> Result<(), NameError> {
    check_len(name, NAME_BYTES_MAX)?;
    if name.starts_with('/') || name.ends_with('/') {
        return Err(NameError::Slash(name.to_owned()));
    }
    if name.split('/').count() > NESTING_MAX {
        return Err(NameError::TooDeep(name.to_owned()));
    }
    check_pool(name.split('/').next().unwrap_or_default())?;
    name.split('/').try_for_each(|component| {
        check_component(name, component)?;
        // The kernel's callers refuse a space at the end, where nobody would see it.
        match component.ends_with(' ') {
            true => Err(NameError::Character { name: name.to_owned(), character: ' ' }),
            false => Ok(()),
        }
    })
}

/// Checks the part of a snapshot's name after the `@`.
///
/// # Errors
/// What `zfs snapshot` would say.
pub fn check_snapshot_component(name: &str) -> Result<(), NameError> {
    check_len(name, NAME_BYTES_MAX)?;
    check_component(name, name)
}

/// Checks the full name of a snapshot, `pool/dataset@name`.
///
/// # Errors
/// What `zfs snapshot` would say.
pub fn check_snapshot(name: &str) -> Result<(), NameError> {
    check_len(name, NAME_BYTES_MAX)?;
    let (dataset, snapshot) = name.split_once('@').ok_or_else(|| NameError::At(name.to_owned()))?;
    if snapshot.contains('@') {
        return Err(NameError::At(name.to_owned()));
    }
    check_dataset(dataset)?;
    check_snapshot_component(snapshot)
}

/// Checks the name of a boot environment: one component of at most 64 bytes without spaces.
///
/// # Errors
/// What `beadm create` would say.
pub fn check_boot_environment(name: &str) -> Result<(), NameError> {
    check_len(name, BOOT_ENVIRONMENT_BYTES_MAX)?;
    check_component(name, name)?;
    match name.contains(' ') {
        true => Err(NameError::Character { name: name.to_owned(), character: ' ' }),
        false => Ok(()),
    }
}

/// Checks the name of a user property: lower-case letters, digits and `-_.:` with at least one colon.
///
/// # Errors
/// What `zfs set` would say.
pub fn check_user_property(name: &str) -> Result<(), NameError> {
    check_len(name, NAME_BYTES_MAX)?;
    if !name.contains(':') {
        return Err(NameError::NoColon(name.to_owned()));
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.' | ':');
    match name.chars().find(|character| !allowed(*character)) {
        Some(character) => Err(NameError::Character { name: name.to_owned(), character }),
        None => Ok(()),
    }
}

/// Checks the full name of a feature: `org.example:name`.
///
/// # Errors
/// What `zpool create` would say.
pub fn check_feature(name: &str) -> Result<(), NameError> {
    let bad = || NameError::Feature(name.to_owned());
    let (domain, short) = name.split_once(':').ok_or_else(bad)?;
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let valid =
        domain.chars().all(|c| lower(c) || matches!(c, '.' | '-')) && short.chars().all(|c| lower(c) || c == '_');
    if valid && !domain.is_empty() && !short.is_empty() { Ok(()) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools() {
        for name in ["rpool", "tank-1", "a", "Z.:_", "cpool", "c", "logs"] {
            assert_eq!(check_pool(name), Ok(()), "{name}");
        }
        assert!(matches!(check_pool("mirror-0"), Err(NameError::Reserved(_))));
        assert!(matches!(check_pool("log"), Err(NameError::Reserved(_))));
        assert!(matches!(check_pool("sparepool"), Err(NameError::Reserved(_))));
        assert!(matches!(check_pool("c0"), Err(NameError::DiskLike(_))));
        assert!(matches!(check_pool("1pool"), Err(NameError::NoLetter(_))));
        assert!(matches!(check_pool("a/b"), Err(NameError::Character { character: '/', .. })));
        assert!(matches!(check_pool(""), Err(NameError::Empty(_))));
        assert_eq!(check_pool(&"p".repeat(239)), Ok(()));
        assert!(matches!(check_pool(&"p".repeat(240)), Err(NameError::TooLong { max: 239, .. })));
    }

    #[test]
    fn datasets() {
        for name in ["rpool", "rpool/ROOT", "rpool/ROOT/open indiana:1", "rpool/a/b/c.d"] {
            assert_eq!(check_dataset(name), Ok(()), "{name}");
        }
        assert_eq!(check_dataset(&format!("p/{}", "x".repeat(253))), Ok(()));
        let long = check_dataset(&format!("p/{}", "x".repeat(254)));
        assert!(matches!(long, Err(NameError::TooLong { len: 256, max: 255, .. })));
        assert!(matches!(check_dataset("/rpool"), Err(NameError::Slash(_))));
        assert!(matches!(check_dataset("rpool/"), Err(NameError::Slash(_))));
        assert!(matches!(check_dataset("rpool//a"), Err(NameError::Empty(_))));
        assert!(matches!(check_dataset("rpool/../a"), Err(NameError::Dots(_))));
        assert!(matches!(check_dataset("rpool/a@b"), Err(NameError::Character { character: '@', .. })));
        assert!(matches!(check_dataset("rpool/$MOS"), Err(NameError::Character { character: '$', .. })));
        assert!(matches!(check_dataset("rpool/a "), Err(NameError::Character { character: ' ', .. })));
        assert!(matches!(check_dataset("rpool/größe"), Err(NameError::Character { character: 'ö', .. })));
        assert!(matches!(check_dataset(&["p"; 51].join("/")), Err(NameError::TooDeep(_))));
    }

    #[test]
    fn snapshots_boot_environments_properties_and_features() {
        assert_eq!(check_snapshot("rpool/ROOT/oi@install"), Ok(()));
        assert!(matches!(check_snapshot("rpool"), Err(NameError::At(_))));
        assert!(matches!(check_snapshot("rpool@a@b"), Err(NameError::At(_))));
        assert_eq!(check_boot_environment("openindiana-2023"), Ok(()));
        assert!(check_boot_environment("a b").is_err() && check_boot_environment("a/b").is_err());
        assert!(check_boot_environment(&"x".repeat(65)).is_err());
        assert_eq!(check_user_property("org.opensolaris.libbe:uuid"), Ok(()));
        assert!(matches!(check_user_property("uuid"), Err(NameError::NoColon(_))));
        assert!(matches!(check_user_property("Org:x"), Err(NameError::Character { character: 'O', .. })));
        assert_eq!(check_feature("org.illumos:lz4_compress"), Ok(()));
        assert!(check_feature("lz4_compress").is_err() && check_feature("a:b:c").is_err());
    }
}
