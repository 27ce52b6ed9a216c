//! What a template builds: exactly one target per main template.

use serde::{Serialize, Serializer};
use zfs_format::feature::FeatureSet;
use zfs_format::property;

use crate::diagnostic::Diagnostic;
use crate::field::{
    COMPRESSION, DATASET_NAME, DefaultValue, Empty, FLAG, Fault, FieldSet, FieldSpec, Fields, Integer, Kind, NOT_EMPTY,
    Nested, RELATIVE_PATH, Shape, Text, field_set,
};
use crate::json::{Node, Value};
use crate::load::values::element_span;
use crate::zfs::{self, DATASET_PROPERTY, ENVIRONMENT_NAME, POOL_NAME, POOL_PROPERTY, SNAPSHOT_NAME};

/// The largest size in MiB that is taken as meant; as bytes it fits 64 bits with room to spare.
const MAX_SIZE_MIB: u64 = u32::MAX as u64;

/// What FAT32 holds in the clusters of 4 KiB that ours has.
const MAX_FAT_MIB: u64 = 1 << 20;

const SIZE_MIB: Integer<u64> = Integer { min: 1, max: MAX_SIZE_MIB };

/// What a template builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A file tree, kept between builds and shared by the templates that name it.
    Dataset(Dataset),
    /// A disk image with a ZFS pool.
    Pool(Pool),
    /// A bare UFS image, for boot archives.
    Ufs(Ufs),
    /// A bare FAT image, for El Torito.
    Pcfs(Pcfs),
    /// An ISO 9660 image.
    Iso(Iso),
    /// A disk image with an EFI system partition and a Linux root file system.
    Disk(Disk),
}

impl Target {
    /// The key that stands in the template.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Dataset(_) => "dataset",
            Self::Pool(_) => "pool",
            Self::Ufs(_) => "ufs",
            Self::Pcfs(_) => "pcfs",
            Self::Iso(_) => "iso",
            Self::Disk(_) => "disk",
        }
    }
}

field_set! {
    /// A file tree, kept between builds and shared by the templates that name it.
    pub struct Dataset {
        /// The tree's name in the work area; stages that name the same one continue each other.
        name: String = DATASET_NAME.expanded().required();
        /// The state to save after the last step.
        output_snapshot: Option<String> = SNAPSHOT.expanded().optional();
        /// The saved state to start from.
        input_snapshot: Option<String> = SNAPSHOT.expanded().optional();
    }
}

const SNAPSHOT: Text = Text::with_rule(|name| {
    if name.is_empty() || name.contains(['@', '/']) {
        return Err(Fault::value("must be a snapshot's name alone, without `@` and `/`"));
    }
    Ok(())
});

field_set! {
    /// A disk image with a ZFS pool.
    pub struct Pool {
        /// The pool's name as the booted system sees it.
        name: String = POOL_NAME.required();
        /// The image's size in MiB, or `"auto"` for what the content needs.
        size: ImageSize = SizeOrAuto.required();
        /// Free space in the pool in MiB when `size` is `"auto"`.
        free: u64 = Integer { min: 0, max: MAX_SIZE_MIB }.or(1024_u64);
        /// The boot environment's name; the builder chooses when absent.
        bename: Option<String> = ENVIRONMENT_NAME.optional();
        /// Binary logarithm of the smallest block.
        ashift: u8 = Integer { min: 9_u8, max: 13_u8 }.or(9_u8);
        /// An EFI system partition of 256 MiB before the pool.
        uefi: bool = FLAG.or(false);
        /// A partition table; without one the image is the bare pool.
        label: bool = FLAG.or(true);
        /// Writes the pool's partition as a file of its own, too.
        partition_only: bool = FLAG.or(false);
        /// A pool without any feature flag.
        no_features: bool = FLAG.or(true);
        /// The property `compression` of the root dataset.
        compression: String = COMPRESSION.or("on");
        /// The property `autoexpand`.
        autoexpand: bool = FLAG.or(false);
        /// Leaves free space unallocated in the image, which is so in any case here.
        trim: bool = FLAG.or(true);
        /// Further pool properties, each `name=value`.
        options: Vec<String> = POOL_PROPERTY.expanded().list().or(Empty);
        /// Further properties of the root dataset, each `name=value`.
        fsoptions: Vec<String> = DATASET_PROPERTY.expanded().list().or(Empty);
        /// Names of snapshots of the root dataset, oldest first; all show what the image holds in the end.
        snapshots: Vec<String> = SNAPSHOT_NAME.expanded().list().or(Empty);
        /// What the pool's labels say of its disk.
        vdev: Option<Vdev> = Nested::<Vdev>::new().optional();
        /// Further forms of the finished image, beside the raw one.
        formats: Vec<String> = FORMAT.list().or(Empty);
    }
}

field_set! {
    /// What the labels of a pool say of its disk, where the kernel looks for it first.
    pub struct Vdev {
        /// The device node, absolute.
        path: Option<String> = DEVICE_PATH.expanded().optional();
        /// The path in the device tree, absolute.
        phys_path: Option<String> = DEVICE_PATH.expanded().optional();
        /// The device id.
        devid: Option<String> = NOT_EMPTY.expanded().optional();
    }
}

const DEVICE_PATH: Text = Text::with_rule(|path| match path.starts_with('/') {
    true => Ok(()),
    false => Err(Fault::path("must start with `/`, or the kernel does not open the disk")),
});

const FORMAT: Text = Text::with_rule(|format| {
    if format == "qcow2" {
        return Ok(());
    }
    Err(Fault::value("has an unknown format").help("the only one beside raw is `qcow2`"))
});

impl Pool {
    /// The features that the pool has: none or the named set, changed by `feature@NAME=enabled` or `disabled`.
    #[must_use]
    pub fn features(&self) -> FeatureSet {
        let mut features = if self.no_features { FeatureSet::none() } else { FeatureSet::illumos() };
        for option in &self.options {
            let Some((name, value)) = option.split_once('=') else { continue };
            match property::parse_feature(name, value) {
                // The loader has tried whether it can be enabled.
                Ok((feature, true)) => features.enable(feature.name).unwrap_or_default(),
                Ok((feature, false)) => features.disable(feature.name),
                Err(_) => {}
            }
        }
        features
    }
}

field_set! {
    /// A bare UFS image, for boot archives.
    pub struct Ufs {
        /// The image's size in MiB.
        size: u64 = SIZE_MIB.required();
        /// Bytes of space per inode.
        inode_density: u64 = Integer { min: 1, max: MAX_SIZE_MIB }.required();
    }
}

field_set! {
    /// A bare FAT image, for El Torito.
    pub struct Pcfs {
        /// The volume label.
        label: String = FAT_LABEL.required();
        /// The image's size in MiB.
        size: u64 = Integer { min: 1, max: MAX_FAT_MIB }.required();
    }
}

const FAT_LABEL: Text = Text::with_rule(|label| {
    if label.is_empty() || label.len() > 11 || !label.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(Fault::value("must be 1 to 11 printable ASCII characters"));
    }
    if label.starts_with(' ') || label.contains(|c| "\"*+,./:;<=>?[\\]|".contains(c)) {
        return Err(Fault::value("has a character that FAT does not allow in a label"));
    }
    Ok(())
});

field_set! {
    /// An ISO 9660 image.
    pub struct Iso {
        /// The El Torito image for BIOS, relative to the image root.
        boot_bios: Option<String> = RELATIVE_PATH.optional();
        /// The El Torito image for UEFI, relative to the image root.
        boot_uefi: Option<String> = RELATIVE_PATH.optional();
        /// The volume label.
        volume_id: Option<String> = ISO_LABEL.expanded().optional();
        /// Makes the image bootable from a USB stick as well; needs `boot_uefi`.
        hybrid: Option<Hybrid> = Nested::<Hybrid>::new().optional();
    }
}

const ISO_LABEL: Text = Text::with_rule(|label| {
    if label.is_empty() || label.len() > 32 || !label.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(Fault::value("must be 1 to 32 printable ASCII characters"));
    }
    Ok(())
});

field_set! {
    /// The boot blocks of a hybrid ISO image.
    pub struct Hybrid {
        /// The master boot record's code, relative to the image root.
        stage1: String = RELATIVE_PATH.required();
        /// The partition's boot code, relative to the image root.
        stage2: String = RELATIVE_PATH.required();
    }
}

field_set! {
    /// A disk image with an EFI system partition and a Linux root file system.
    pub struct Disk {
        /// The image's size in MiB, or `"auto"` for what the content needs.
        size: ImageSize = SizeOrAuto.or(ImageSize::Auto);
        /// The EFI system partition's size in MiB.
        esp_size: u64 = Integer { min: 1, max: MAX_FAT_MIB }.or(128_u64);
        /// Free space in the root file system in MiB when `size` is `"auto"`.
        root_free: u64 = Integer { min: 0, max: MAX_SIZE_MIB }.or(1024_u64);
        /// The root file system's label.
        root_label: String = EXT_LABEL.or("root");
        /// Further forms of the finished image, beside the raw one.
        formats: Vec<String> = FORMAT.list().or(Empty);
    }
}

const EXT_LABEL: Text = Text::with_rule(|label| {
    if label.is_empty() || label.len() > 16 || !label.bytes().all(|byte| matches!(byte, b'!'..=b'~')) {
        return Err(Fault::value("must be 1 to 16 printable ASCII characters without spaces"));
    }
    Ok(())
});

/// The size of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageSize {
    /// What the content needs.
    Auto,
    /// So many MiB.
    Mib(u64),
}

/// `"auto"` or a number, as in a template.
impl Serialize for ImageSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Mib(size) => serializer.serialize_u64(*size),
        }
    }
}

#[derive(Debug)]
struct SizeOrAuto;

impl Kind for SizeOrAuto {
    type Value = ImageSize;

    fn shape(&self) -> Shape {
        Shape::IntegerOrAuto
    }

    fn read(&self, fields: &mut Fields<'_, '_, '_>, key: &str, node: &Node) -> Option<ImageSize> {
        match &node.value {
            Value::Text(word) if word == "auto" => Some(ImageSize::Auto),
            Value::Number(_) => SIZE_MIB.read(fields, key, node).map(ImageSize::Mib),
            _ => {
                let message = format!("`{key}` must be a size in MiB, or \"auto\"");
                fields.fail(node.span, "", Diagnostic::error("template::wrong-type", message))
            }
        }
    }
}

impl DefaultValue<Self> for ImageSize {
    fn value(&self) -> Self {
        *self
    }

    fn json(&self) -> String {
        match self {
            Self::Auto => "\"auto\"".to_owned(),
            Self::Mib(size) => size.to_string(),
        }
    }
}

/// A kind of target, for documentation and schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetDescription {
    /// The top-level key.
    pub name: &'static str,
    /// Its fields.
    pub fields: Vec<FieldSpec>,
}

/// One kind of target for the loader.
pub(crate) struct TargetType {
    pub(crate) name: &'static str,
    pub(crate) keys: fn() -> Vec<&'static str>,
    pub(crate) specs: fn() -> Vec<FieldSpec>,
    pub(crate) read: fn(&mut Fields<'_, '_, '_>) -> Option<Target>,
}

macro_rules! target_type {
    ($name:literal, $type:ident) => {
        TargetType {
            name: $name,
            keys: <$type as FieldSet>::keys,
            specs: <$type as FieldSet>::specs,
            read: |fields| <$type as FieldSet>::read(fields).map(Target::$type),
        }
    };
}

/// Every kind of target.
pub(crate) const TARGETS: &[TargetType] = &[
    target_type!("dataset", Dataset),
    TargetType { name: "pool", keys: Pool::keys, specs: Pool::specs, read: read_pool },
    target_type!("ufs", Ufs),
    target_type!("pcfs", Pcfs),
    TargetType { name: "iso", keys: Iso::keys, specs: Iso::specs, read: read_iso },
    target_type!("disk", Disk),
];

/// Every kind of target with its fields.
#[must_use]
pub fn target_types() -> Vec<TargetDescription> {
    TARGETS.iter().map(|target| TargetDescription { name: target.name, fields: (target.specs)() }).collect()
}

fn read_iso(fields: &mut Fields<'_, '_, '_>) -> Option<Target> {
    let iso = Iso::read(fields)?;
    if iso.hybrid.is_some() && iso.boot_uefi.is_none() {
        let span = fields.member("hybrid").map_or(fields.place().span(), |member| member.key_span);
        let error = Diagnostic::error("template::missing-key", "`hybrid` needs `boot_uefi`");
        let error = error.help("a hybrid image starts from a USB stick through its UEFI image");
        return fields.fail(span, "", error);
    }
    Some(Target::Iso(iso))
}

/// MiB of the smallest vdev that ZFS takes (`SPA_MINDEVSIZE`).
const SMALLEST_POOL_MIB: u64 = 64;
/// MiB of the EFI system partition.
const ESP_MIB: u64 = 256;
/// MiB of the reserved partition and the tables.
const LABEL_MIB: u64 = 9;

fn read_pool(fields: &mut Fields<'_, '_, '_>) -> Option<Target> {
    let pool = Pool::read(fields)?;
    let mut good = Some(());
    let place = |fields: &Fields<'_, '_, '_>, key: &str| {
        fields.member(key).map_or(fields.place().span(), |member| member.node.span)
    };
    let table = if pool.label { LABEL_MIB + if pool.uefi { ESP_MIB } else { 0 } } else { 0 };
    if let ImageSize::Mib(size) = pool.size {
        let least = SMALLEST_POOL_MIB + table;
        if size < least {
            let message = format!("`size` is too small for any pool: {size} MiB");
            let error = Diagnostic::error("template::bad-value", message);
            let help = format!("this one needs at least {least} MiB, without any content");
            good = fields.fail(place(fields, "size"), "", error.help(help));
        }
    }
    if pool.compression == "lz4" && !pool.features().contains("lz4_compress") {
        let message = "`compression` is refused by ZFS: a pool without the feature `lz4_compress` has no lz4";
        let error = Diagnostic::error("template::bad-value", message);
        let help = "say `\"no_features\": false`, or use `on`, which is lzjb in such a pool";
        good = fields.fail(place(fields, "compression"), "", error.help(help));
    }
    for (key, options) in [("options", &pool.options), ("fsoptions", &pool.fsoptions)] {
        let by_field = (pool.autoexpand && key == "options").then_some("autoexpand");
        if let Some(name) = zfs::repeated(options, by_field) {
            let message = format!("`{key}` has the property `{name}` twice");
            let error = Diagnostic::error("template::bad-value", message).help("ZFS takes each property once");
            let element = fields.member(key).map(|member| element_span(&member.node, name));
            good = fields.fail(element.unwrap_or(fields.place().span()), "", error);
        }
    }
    good.map(|()| Target::Pool(pool))
}
