//! The properties of the datasets, and what follows from them, own and inherited, for how their blocks are stored.

use std::collections::BTreeMap;

use zfs_format::checksum::ChecksumKind;
use zfs_format::compress::Compression;
use zfs_format::feature::FeatureSet;
use zfs_format::property::{self, EncodedProperty};

use super::error::SpecError;
use super::object::Policies;
use super::pipeline::Policy;
use super::spec::{DatasetSpec, PoolSpec};

/// `SPA_OLD_MAXBLOCKSIZE`: larger records need the feature `large_blocks`.
pub(super) const RECORD_BYTES_DEFAULT: u32 = 128 << 10;

/// What decides how a dataset's blocks are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Storing {
    pub(super) compression: Compression,
    pub(super) checksum: ChecksumKind,
    /// Copies of data; metadata has one more.
    pub(super) copies: u8,
    /// Bytes of a block of files that have more than one.
    pub(super) record_bytes: u32,
}

/// A dataset's properties.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// Those that are set on it.
    pub(super) own: Vec<EncodedProperty>,
    pub(super) storing: Storing,
}

impl Settings {
    /// The number of a property that is set on the dataset; 0 if it is not.
    pub(super) fn number(&self, property: &str) -> u64 {
        let found = self.own.iter().find(|own| own.name == property);
        found.and_then(EncodedProperty::number).unwrap_or(0)
    }
}

/// The settings of all datasets by name, that of the root included even if it is not described.
pub(super) fn resolve(spec: &PoolSpec) -> Result<BTreeMap<String, Settings>, SpecError> {
    let mut problems = Vec::new();
    let all = resolve_into(spec, &mut problems);
    problems.into_iter().next().map_or(Ok(all), Err)
}

/// The same with everything that is wrong; a property that is wrong is as good as not set.
pub(super) fn resolve_into(spec: &PoolSpec, problems: &mut Vec<SpecError>) -> BTreeMap<String, Settings> {
    let mut all: BTreeMap<String, Settings> = BTreeMap::new();
    let root = Settings { own: Vec::new(), storing: defaults() };
    all.insert(spec.name.clone(), root);
    // The root may stand anywhere in the list, and everybody inherits from it.
    let (roots, others): (Vec<_>, Vec<_>) = spec.datasets.iter().partition(|dataset| dataset.name == spec.name);
    for dataset in roots.into_iter().chain(others) {
        let parent = dataset.name.rsplit_once('/').map_or(spec.name.as_str(), |(parent, _)| parent);
        let inherited = all.get(parent).map_or_else(defaults, |parent| parent.storing);
        all.insert(dataset.name.clone(), settings(dataset, inherited, &spec.features, problems));
    }
    all
}

fn defaults() -> Storing {
    Storing {
        compression: Compression::Off,
        checksum: ChecksumKind::Fletcher4,
        copies: 1,
        record_bytes: RECORD_BYTES_DEFAULT,
    }
}

fn settings(
    dataset: &DatasetSpec,
    inherited: Storing,
    features: &FeatureSet,
    problems: &mut Vec<SpecError>,
) -> Settings {
    let mut settings = Settings { own: Vec::new(), storing: inherited };
    for (name, value) in &dataset.properties {
        let named = || dataset.name.clone();
        let parsed = match property::parse_dataset(name, value) {
            Ok(parsed) => parsed,
            Err(source) => {
                problems.push(SpecError::Property { dataset: named(), property: name.clone(), source });
                continue;
            }
        };
        if settings.own.iter().any(|other| other.name == parsed.name) {
            problems.push(SpecError::Repeated { dataset: named(), property: parsed.name });
            continue;
        }
        let needed = apply(&parsed, &mut settings.storing, features);
        if let Some(feature) = needed.filter(|feature| !features.contains(feature)) {
            let property = format!("{}={value}", parsed.name);
            problems.push(SpecError::NeedsFeature { dataset: named(), property, feature });
        }
        settings.own.push(parsed);
    }
    settings
}

/// Takes over a property that decides how blocks are stored. Answers the feature that it needs.
fn apply(property: &EncodedProperty, storing: &mut Storing, features: &FeatureSet) -> Option<&'static str> {
    let number = property.number()?;
    let small = u8::try_from(number).ok();
    match property.name.as_str() {
        "compression" => {
            storing.compression = match small.and_then(Compression::from_number)? {
                Compression::On | Compression::Inherit | Compression::Empty => automatic(features),
                compression => compression,
            };
            (storing.compression == Compression::Lz4).then_some("lz4_compress")
        }
        "checksum" => {
            storing.checksum = match small.and_then(ChecksumKind::from_number)? {
                ChecksumKind::On | ChecksumKind::Inherit => ChecksumKind::Fletcher4,
                checksum => checksum,
            };
            None
        }
        "copies" => {
            storing.copies = small?.clamp(1, 3);
            None
        }
        "recordsize" => {
            storing.record_bytes = u32::try_from(number).ok()?;
            (storing.record_bytes > RECORD_BYTES_DEFAULT).then_some("large_blocks")
        }
        "special_small_blocks" => (number > u64::from(RECORD_BYTES_DEFAULT)).then_some("large_blocks"),
        _ => None,
    }
}

/// What `on` means, and what all metadata is compressed with.
pub(super) fn automatic(features: &FeatureSet) -> Compression {
    if features.contains("lz4_compress") { Compression::Lz4 } else { Compression::Lzjb }
}

/// How blocks are stored: data as the properties say, metadata as `dmu_write_policy` has it.
pub(super) fn policies(storing: &Storing, features: &FeatureSet, birth: u64) -> Policies {
    let embed = features.contains("embedded_data");
    // Checksums that are good enough for data only are replaced by fletcher4.
    let metadata_checksum = match storing.checksum {
        ChecksumKind::Sha256 => ChecksumKind::Sha256,
        _ => ChecksumKind::Fletcher4,
    };
    Policies {
        data: Policy {
            compression: storing.compression,
            checksum: storing.checksum,
            copies: storing.copies,
            embed,
            birth,
        },
        metadata: Policy {
            compression: automatic(features),
            checksum: metadata_checksum,
            copies: (storing.copies + 1).min(3),
            embed,
            birth,
        },
    }
}

/// How the blocks of the meta object set are stored: three copies of everything.
pub(super) fn pool_policies(features: &FeatureSet, birth: u64) -> Policies {
    policies(&Storing { copies: 3, compression: automatic(features), ..defaults() }, features, birth)
}
