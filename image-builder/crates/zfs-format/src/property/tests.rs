use super::*;

fn dataset(name: &str, value: &str) -> Result<Stored, PropertyError> {
    parse_dataset(name, value).map(|property| property.value)
}

#[test]
fn values_are_stored_as_zfs_stores_them() {
    let number = |name, value| match dataset(name, value) {
        Ok(Stored::Number(number)) => number,
        other => panic!("{name}={value}: {other:?}"),
    };
    for (name, value, expected) in [
        ("compression", "on", 1),
        ("compress", "lz4", 15),
        ("compression", "gzip", 10),
        ("compression", "gzip-9", 13),
        ("checksum", "sha256", 8),
        ("canmount", "noauto", 2),
        ("atime", "off", 0),
        ("aclinherit", "passthrough-x", 5),
        ("sync", "disabled", 2),
        ("recordsize", "128K", 131_072),
        ("recsize", "1m", 1 << 20),
        ("quota", "none", 0),
        ("quota", "1.5G", 3 << 29),
        ("refquota", "10GiB", 10 << 30),
        ("reservation", "512", 512),
    ] {
        assert_eq!(number(name, value), expected, "{name}={value}");
    }
    assert_eq!(dataset("mountpoint", "legacy"), Ok(Stored::Text("legacy".to_owned())));
    let user = parse_dataset("org.opensolaris.libbe:uuid", "b5cd").expect("a user property");
    assert_eq!(user.zap_entry(), ZapEntry::text("org.opensolaris.libbe:uuid", "b5cd"));
    let quota = parse_dataset("quota", "1M").expect("a size");
    assert_eq!((quota.storage, quota.zap_entry()), (Storage::Quota, ZapEntry::integer("quota", 1 << 20)));
}

#[test]
fn what_zfs_would_refuse_is_refused_with_what_was_meant() {
    let message = |name, value| dataset(name, value).expect_err("refused").to_string();
    assert_eq!(message("compresion", "on"), "there is no property `compresion`; did you mean `compression`?");
    assert_eq!(message("colour", "blue"), "there is no property `colour`");
    assert_eq!(
        message("canmount", "no-auto"),
        "`no-auto` is no value of `canmount`; there are off | on | noauto; did you mean `noauto`?"
    );
    assert_eq!(message("used", "1G"), "the property `used` is read-only");
    assert_eq!(
        message("recordsize", "100K"),
        "`100K` is no value of `recordsize`: it is no power of two, or less than 512"
    );
    assert_eq!(message("recordsize", "2M"), "`2M` is no value of `recordsize`: it is not between 512 and 1048576");
    assert_eq!(message("quota", "1X"), "`1X` is no value of `quota`: the unit is not known");
    assert_eq!(message("quota", "1.5"), "`1.5` is no value of `quota`: it does not begin with a number");
    assert_eq!(message("quota", "16E"), "`16E` is no value of `quota`: the number is too large");
    assert_eq!(
        message("mountpoint", "var"),
        "`var` is no value of `mountpoint`: it is neither an absolute path nor `none` nor `legacy`"
    );
    assert!(message("volsize", "1G").ends_with("it belongs to volumes"));
    for (value, is_taken) in [("0", true), ("512", true), ("128K", true), ("1M", true), ("2M", false)] {
        assert_eq!(dataset("special_small_blocks", value).is_ok(), is_taken, "{value}");
    }
    for value in ["1", "256", "513", "1000"] {
        assert!(message("special_small_blocks", value).ends_with("it is no power of two, or less than 512"), "{value}");
    }
    assert!(matches!(dataset("Org.X:y", "1"), Err(PropertyError::Name(_))));
    assert!(dataset("a:b", &"x".repeat(8191)).is_ok() && dataset("a:b", &"x".repeat(8192)).is_err());
}

/// What ZFS takes and we cannot write is not blamed on ZFS.
#[test]
fn what_only_running_systems_have_is_told_from_what_nobody_has() {
    let cases = [
        ("casesensitivity", "mixed", true),
        ("checksum", "skein", true),
        ("checksum", "noparity", true),
        ("userquota@joe", "1G", true),
        ("groupobjquota@100", "5", true),
        ("projectquota@1", "1G", true),
        ("userused@joe", "1G", false),
        ("written@monday", "1G", false),
        ("userquot@joe", "1G", false),
        ("dedup", "sha256,verify", true),
        ("encryption", "aes-256-gcm", true),
        ("dnodesize", "auto", true),
        ("utf8only", "on", true),
        ("keyformat", "raw", true),
        ("casesensitivity", "some", false),
        ("checksum", "crc32", false),
        ("used", "1G", false),
        ("recordsize", "3", false),
    ];
    for (name, value, is_of_images) in cases {
        let error = dataset(name, value).expect_err("refused");
        assert_eq!(error.is_of_images(), is_of_images, "{error}");
    }
    let multihost = parse_pool("multihost", "on").expect_err("refused");
    assert_eq!(multihost.to_string(), "`on` of `multihost` cannot be written; in an image there are off");
    let message = |name, value| dataset(name, value).expect_err("refused").to_string();
    assert_eq!(message("utf8only", "on"), "`on` of `utf8only` cannot be written; in an image there are off");
    assert_eq!(
        message("userquota@joe", "1G"),
        "the property `userquota@joe` cannot be set in an image: ZFS keeps it in a table of the dataset, which is not \
         written; set it on the running system"
    );
    assert_eq!(message("userused@joe", "1G"), "the property `userused@joe` is read-only");
    assert_eq!(message("userquot@joe", "1G"), "there is no property `userquot@joe`");
    assert!(PropertyError::from(FeatureError::NotWritten("encryption".to_owned())).is_of_images());
    assert!(!PropertyError::from(FeatureError::Unknown("lz5".to_owned())).is_of_images());
}

#[test]
fn pool_properties_are_checked_too() {
    let parsed = parse_pool("autoexpand", "on").expect("a switch");
    assert_eq!((parsed.storage, parsed.zap_entry()), (Storage::Zap, ZapEntry::integer("autoexpand", 1)));
    assert_eq!(parse_pool("bootfs", "rpool/ROOT/oi").map(|parsed| parsed.storage), Ok(Storage::BootDataset));
    assert_eq!(parse_pool("comment", "dev image").map(|parsed| parsed.storage), Ok(Storage::Config));
    assert!(parse_pool("comment", &"x".repeat(33)).is_err());
    assert_eq!(parse_pool("failmode", "panic").map(|parsed| parsed.number()), Ok(Some(2)));
    assert!(matches!(parse_pool("altroot", "/a"), Err(PropertyError::NotInImages { .. })));
    let (feature, enabled) = parse_feature("feature@lz4_compress", "enabled").expect("a feature");
    assert_eq!((feature.guid, enabled), ("org.illumos:lz4_compress", true));
    assert!(parse_feature("feature@lz5", "enabled").is_err() && parse_feature("feature@bookmarks", "on").is_err());
}

#[test]
fn stored_values_are_shown_as_their_words() {
    let show = |name, number| display(dataset_properties(), name, &Value::U64(vec![number]));
    assert_eq!(show("compression", 15), "lz4");
    assert_eq!(show("quota", 0), "none");
    assert_eq!(show("quota", 4096), "4096");
    assert_eq!(show("com.example:x", 3), "3");
    assert_eq!(display(dataset_properties(), "mountpoint", &Value::U8(b"/\0".to_vec())), "/");
}

#[test]
fn names_stand_once_in_each_table() {
    for table in [dataset_properties(), pool_properties()] {
        for property in table {
            let same = table.iter().filter(|other| other.name == property.name || other.short == Some(property.name));
            assert_eq!(same.count(), 1, "{}", property.name);
        }
    }
}
