use super::*;

#[test]
fn the_table_is_consistent() {
    for feature in FEATURES {
        assert_eq!(crate::name::check_feature(feature.guid), Ok(()));
        assert!(feature.guid.ends_with(&format!(":{}", feature.name)));
        assert!(feature.depends.iter().all(|name| find(name).is_some()), "{}", feature.name);
        assert!(!feature.per_dataset || feature.depends.contains(&"extensible_dataset"), "{}", feature.name);
        assert!(!(feature.readonly_compatible && feature.needed_for_mos), "{}", feature.name);
        assert_eq!(FEATURES.iter().filter(|other| other.guid == feature.guid).count(), 1);
    }
}

#[test]
fn the_named_set_is_closed_and_boots() {
    let set = FeatureSet::illumos();
    assert_eq!(set.iter().count(), ILLUMOS_SET.len());
    assert!(set.iter().all(|feature| feature.illumos && feature.illumos_loader));
    assert!(set.iter().all(|feature| feature.depends.iter().all(|name| set.contains(name))));
}

#[test]
fn enabling_brings_what_it_needs_and_disabling_takes_what_needs_it() {
    let mut set = FeatureSet::parse("hole_birth, large_blocks").expect("known");
    let names: Vec<&str> = set.iter().map(|feature| feature.name).collect();
    assert_eq!(names, ["enabled_txg", "hole_birth", "extensible_dataset", "large_blocks"]);
    set.disable("com.delphix:enabled_txg");
    assert!(!set.contains("hole_birth") && set.contains("large_blocks"));
    assert!(FeatureSet::parse("none").expect("known").is_empty());
}

#[test]
fn what_the_target_could_not_read_is_refused() {
    assert_eq!(FeatureSet::parse("lz5"), Err(FeatureError::Unknown("lz5".to_owned())));
    assert_eq!(FeatureSet::parse("zstd_compress"), Err(FeatureError::NotOnIllumos("zstd_compress".to_owned())));
    assert_eq!(FeatureSet::parse("encryption"), Err(FeatureError::NotWritten("encryption".to_owned())));
}
