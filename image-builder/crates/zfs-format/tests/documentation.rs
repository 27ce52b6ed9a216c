//! The tables of `docs/formats/zfs.md` are made from the tables of the crate, and its offsets are measured.
//!
//! `UPDATE_DOCS=1 cargo nextest run -p zfs-format` writes the tables anew. Offsets are only compared: what a field
//! means is written by hand.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use zfs_format::block::{BLOCK_POINTER_BYTES, BlockPointer, Embedded};
use zfs_format::checksum::ChecksumKind;
use zfs_format::compress::Compression;
use zfs_format::dnode::Dnode;
use zfs_format::dsl::{BpobjPhys, DeadlistPhys, DslDatasetPhys, DslDirPhys, HistoryPhys, UsedBreakdown};
use zfs_format::feature::FEATURES;
use zfs_format::nvlist::{NvList, NvValue};
use zfs_format::object::{ObjectType, ObjsetType};
use zfs_format::property::{Kind, Property, Storage, dataset_properties, pool_properties};
use zfs_format::sa::Attribute;
use zfs_format::space_map::SpaceMapPhys;
use zfs_format::uberblock::Uberblock;

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/formats/zfs.md")
}

/// Where two encodings differ first: the offset of the one field in which their sources differ.
fn offset(plain: &[u8], changed: &[u8]) -> usize {
    let differ = plain.iter().zip(changed).position(|(one, other)| one != other);
    differ.unwrap_or_else(|| plain.len().min(changed.len()))
}

/// The offsets of fields: each is set to a value that shows in its first byte.
macro_rules! measure {
    ($base:expr, $encode:expr, { $($($field:ident).+ = $value:expr;)* }) => {{
        let base = $base;
        let plain = $encode(&base);
        vec![$({
            let mut changed = base.clone();
            changed.$($field).+ = $value;
            let name = [$(stringify!($field)),+].join(".");
            (name, offset(&plain, &$encode(&changed)))
        }),*]
    }};
}

fn some_pointer() -> BlockPointer {
    let payload = [0xff; 112];
    let embedded = Embedded::new(ObjectType::ZNODE, 0, Compression::Off, 112, &payload, 1);
    BlockPointer::Embedded(embedded.expect("short"))
}

fn uberblock() -> Vec<(String, usize)> {
    let base = Uberblock {
        version: 0,
        txg: 0,
        guid_sum: 0,
        timestamp: 0,
        root: BlockPointer::ABSENT,
        software_version: 0,
        checkpoint_txg: 0,
    };
    measure!(base, |value: &Uberblock| value.encode().to_vec(), {
        version = 1;
        txg = 1;
        guid_sum = 1;
        timestamp = 1;
        root = some_pointer();
        software_version = 1;
        checkpoint_txg = 1;
    })
}

fn dnode() -> Vec<(String, usize)> {
    let base = Dnode {
        kind: ObjectType::ZNODE,
        indirect_shift: 14,
        levels: 1,
        data_block_bytes: 512,
        pointers: vec![BlockPointer::ABSENT],
        ..Dnode::default()
    };
    measure!(base, |value: &Dnode| value.encode().expect("possible"), {
        kind = ObjectType::ACL;
        indirect_shift = 17;
        levels = 2;
        bonus_kind = ObjectType::SA;
        checksum = ChecksumKind::Sha256;
        compression = Compression::Lz4;
        flags = 1;
        data_block_bytes = 1024;
        extra_slots = 1;
        max_block = 1;
        used = 1;
        pointers = vec![some_pointer()];
    })
}

fn dsl_dir() -> Vec<(String, usize)> {
    let base = DslDirPhys { used_breakdown: UsedBreakdown::default(), ..DslDirPhys::default() };
    measure!(base, |value: &DslDirPhys| value.encode().to_vec(), {
        creation_time = 1;
        head_dataset = 1;
        parent = 1;
        origin = 1;
        child_map = 1;
        used_bytes = 1;
        compressed_bytes = 1;
        uncompressed_bytes = 1;
        quota = 1;
        reserved = 1;
        props = 1;
        delegation = 1;
        flags = 1;
        used_breakdown.head = 1;
        used_breakdown.snapshots = 1;
        used_breakdown.children = 1;
        used_breakdown.child_reservations = 1;
        used_breakdown.reference_reservation = 1;
        clones = 1;
    })
}

fn dsl_dataset() -> Vec<(String, usize)> {
    measure!(DslDatasetPhys::default(), |value: &DslDatasetPhys| value.encode().to_vec(), {
        dir = 1;
        previous_snapshot = 1;
        previous_snapshot_txg = 1;
        next_snapshot = 1;
        snapshot_names = 1;
        children = 1;
        creation_time = 1;
        creation_txg = 1;
        deadlist = 1;
        referenced_bytes = 1;
        compressed_bytes = 1;
        uncompressed_bytes = 1;
        unique_bytes = 1;
        fsid_guid = 1;
        guid = 1;
        flags = 1;
        block_pointer = [1; BLOCK_POINTER_BYTES];
        next_clones = 1;
        props = 1;
        user_references = 1;
    })
}

fn bpobj() -> Vec<(String, usize)> {
    measure!(BpobjPhys::default(), |value: &BpobjPhys| value.encode().to_vec(), {
        block_pointers = 1;
        bytes = 1;
        compressed_bytes = 1;
        uncompressed_bytes = 1;
        subobjects = 1;
        subobject_count = 1;
    })
}

fn deadlist() -> Vec<(String, usize)> {
    measure!(DeadlistPhys::default(), |value: &DeadlistPhys| value.encode().to_vec(), {
        used_bytes = 1;
        compressed_bytes = 1;
        uncompressed_bytes = 1;
    })
}

fn history() -> Vec<(String, usize)> {
    measure!(HistoryPhys::default(), |value: &HistoryPhys| value.encode().to_vec(), {
        pool_create_bytes = 1;
        physical_max = 1;
        begin = 1;
        end = 1;
        records_lost = 1;
    })
}

fn space_map() -> Vec<(String, usize)> {
    let base = SpaceMapPhys { object: 0, length: 0, allocated: 0, histogram: Some([0; 32]) };
    measure!(base, |value: &SpaceMapPhys| value.encode(), {
        object = 1;
        length = 1;
        allocated = 1;
        histogram = Some([1; 32]);
    })
}

/// The offsets that the document gives for a structure.
fn documented(text: &str, name: &str) -> Vec<(String, usize)> {
    let begin = format!("<!-- offsets: {name} -->\n");
    let (_, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("the document has no offsets of {name}"));
    let (table, _) = rest.split_once("<!-- /offsets -->").expect("an end");
    let rows = table.lines().skip(2).map(|line| {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let offset = cells.next().and_then(|cell| cell.parse().ok()).unwrap_or_else(|| panic!("{line}: no offset"));
        let field = cells.next().unwrap_or_default().trim_matches('`').to_owned();
        assert!(cells.next().is_some_and(|meaning| !meaning.is_empty()), "{line}: no meaning");
        (field, offset)
    });
    rows.collect()
}

#[test]
fn the_offsets_of_the_document_are_those_of_the_code() {
    let text = fs::read_to_string(document()).expect("docs/formats/zfs.md");
    for (name, mut measured) in [
        ("uberblock", uberblock()),
        ("dnode", dnode()),
        ("dsl-dir", dsl_dir()),
        ("dsl-dataset", dsl_dataset()),
        ("bpobj", bpobj()),
        ("deadlist", deadlist()),
        ("history", history()),
        ("space-map", space_map()),
    ] {
        measured.sort_by_key(|(_, offset)| *offset);
        assert_eq!(documented(&text, name), measured, "{name}");
    }
}

fn nvlist_types() -> String {
    let mut table = "| type | number |\n| --- | --- |\n".to_owned();
    let values = [
        ("flag without a value", NvValue::Flag),
        ("byte", NvValue::Byte(0)),
        ("32-bit integer", NvValue::I32(0)),
        ("32-bit unsigned integer", NvValue::U32(0)),
        ("64-bit integer", NvValue::I64(0)),
        ("64-bit unsigned integer", NvValue::U64(0)),
        ("string", NvValue::String(String::new())),
        ("bytes", NvValue::Bytes(Vec::new())),
        ("array of 64-bit integers", NvValue::I64Array(Vec::new())),
        ("array of 64-bit unsigned integers", NvValue::U64Array(Vec::new())),
        ("array of strings", NvValue::StringArray(Vec::new())),
        ("list", NvValue::List(NvList::new())),
        ("array of lists", NvValue::ListArray(Vec::new())),
        ("boolean", NvValue::Boolean(false)),
    ];
    for (name, value) in values {
        writeln!(table, "| {name} | {} |", value.type_number()).expect("a string");
    }
    table
}

fn objset_types() -> String {
    let mut table = "| number | object set |\n| --- | --- |\n".to_owned();
    for (kind, name) in
        [(ObjsetType::Meta, "meta object set"), (ObjsetType::Zfs, "file system"), (ObjsetType::Zvol, "volume")]
    {
        writeln!(table, "| {} | {name} |", kind.number()).expect("a string");
    }
    table
}

fn object_types() -> String {
    let mut table = "| number | type | metadata | made of |\n| --- | --- | --- | --- |\n".to_owned();
    for number in 1..ObjectType::COUNT {
        let kind = ObjectType(number);
        let shape = match kind {
            _ if kind.is_zap() => "ZAP",
            _ if kind.is_words() => "words",
            _ => "",
        };
        let metadata = if kind.is_metadata() { "yes" } else { "no" };
        writeln!(table, "| {number} | {kind} | {metadata} | {shape} |").expect("a string");
    }
    table
}

fn pool_directory_names() -> String {
    use zfs_format::object::pool_directory as names;
    let rows = [
        (names::CONFIG, "configuration"),
        (names::ROOT_DATASET, "DSL directory of the root dataset"),
        (names::FEATURES_FOR_READ, "features that a reader has to know"),
        (names::FEATURES_FOR_WRITE, "features that a writer has to know"),
        (names::FEATURE_DESCRIPTIONS, "what they are"),
        (names::FEATURE_ENABLED_TXG, "when they were enabled"),
        (names::PROPS, "properties of the pool; `bootfs` is the object of a dataset"),
        (names::SYNC_BPOBJ, "blocks to be freed in the next transaction group"),
        (names::FREE_BPOBJ, "blocks of destroyed datasets"),
        (names::EMPTY_BPOBJ, "the empty list that all deadlists share"),
        (names::DEFLATE, "1: space is counted after RAID-Z parity"),
        (names::CREATION_VERSION, "version of the software that made the pool"),
        (names::HISTORY, "history"),
        (names::CHECKSUM_SALT, "salt of the keyed checksums"),
        (names::VDEV_ZAP_MAP, "ZAPs of the vdevs"),
    ];
    let mut table = "| name | what |\n| --- | --- |\n".to_owned();
    rows.iter().for_each(|(name, what)| writeln!(table, "| `{name}` | {what} |").expect("a string"));
    table
}

fn properties(properties: &[Property]) -> String {
    let mut table = "| property | values | inherited |\n| --- | --- | --- |\n".to_owned();
    let mut read_only = Vec::new();
    for property in properties {
        let values = match (property.storage, property.kind) {
            (Storage::ReadOnly, _) => {
                read_only.push(format!("`{}`", property.name));
                continue;
            }
            (Storage::Refused(reason), _) => format!("refused: {reason}"),
            (_, Kind::Keywords(words)) => {
                words.iter().map(|(word, number)| format!("`{word}` {number}")).collect::<Vec<_>>().join(", ")
            }
            (_, Kind::Bytes { min, max, power_of_two, none }) => {
                let power = if power_of_two { ", a power of two" } else { "" };
                let none = none.map(|number| format!(", `none` {number}")).unwrap_or_default();
                format!("bytes, {min} to {max}{power}{none}")
            }
            (_, Kind::Text(_)) => "text".to_owned(),
        };
        let inherited = if property.inherited { "yes" } else { "no" };
        writeln!(table, "| `{}` | {values} | {inherited} |", property.name).expect("a string");
    }
    writeln!(table, "\nRead-only: {}.", read_only.join(", ")).expect("a string");
    table
}

fn features() -> String {
    let mut table = "| feature | needs | read-only compatible | in the label | active at once | per dataset | illumos \
                     kernel | illumos loader | GRUB |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for feature in FEATURES {
        let yes = |flag: bool| if flag { "yes" } else { "" };
        writeln!(
            table,
            "| `{}` | {} | {} | {} | {} | {} | {} | {} | {} |",
            feature.guid,
            feature.depends.join(", "),
            yes(feature.readonly_compatible),
            yes(feature.needed_for_mos),
            yes(feature.active_when_enabled),
            yes(feature.per_dataset),
            yes(feature.illumos),
            yes(feature.illumos_loader),
            yes(feature.grub)
        )
        .expect("a string");
    }
    table
}

fn attributes() -> String {
    let mut table = "| number | attribute | bytes |\n| --- | --- | --- |\n".to_owned();
    for attribute in Attribute::all() {
        let length = match attribute.length() {
            0 => "variable".to_owned(),
            length => length.to_string(),
        };
        writeln!(table, "| {} | `{}` | {length} |", attribute.number(), attribute.name()).expect("a string");
    }
    table
}

/// Puts every table between its markers; a table without markers, or markers without a table, is an error.
fn with_tables(text: &str) -> String {
    let mut tables = vec![
        ("nvlist-types", nvlist_types()),
        ("objset-types", objset_types()),
        ("object-types", object_types()),
        ("pool-directory", pool_directory_names()),
        ("dataset-properties", properties(dataset_properties())),
        ("pool-properties", properties(pool_properties())),
        ("features", features()),
        ("attributes", attributes()),
    ];
    let mut out = String::new();
    let mut inside = false;
    for line in text.lines() {
        inside &= line != "<!-- /table -->";
        if !inside {
            out.push_str(line);
            out.push('\n');
        }
        if let Some(name) = line.strip_prefix("<!-- table: ").and_then(|rest| rest.strip_suffix(" -->")) {
            let found = tables.iter().position(|(known, _)| *known == name);
            let found = found.unwrap_or_else(|| panic!("the document has a table `{name}`, which does not exist"));
            out.push_str(&tables.remove(found).1);
            inside = true;
        }
    }
    let missing: Vec<&str> = tables.iter().map(|(name, _)| *name).collect();
    assert!(missing.is_empty(), "the document has no table for {missing:?}");
    out
}

#[test]
fn the_tables_of_the_document_are_those_of_the_code() {
    let text = fs::read_to_string(document()).expect("docs/formats/zfs.md");
    let expected = with_tables(&text);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(document(), &expected).expect("written");
        return;
    }
    assert!(text == expected, "docs/formats/zfs.md is out of date; run this test with UPDATE_DOCS=1");
}

/// The numbers that stand in the text itself.
#[test]
fn the_numbers_of_the_text_are_those_of_the_code() {
    use zfs_format::{block, label, sa, zap};
    let text = fs::read_to_string(document()).expect("docs/formats/zfs.md");
    let says = |what: &str| assert!(text.contains(what), "the document does not say {what:?}");
    says(&format!("`{:#x}`", zap::HEADER_MAGIC));
    says(&format!("`{:#x}`", zap::LEAF_MAGIC));
    says(&format!("`{:#x}`", zap::BLOCK_TYPE_MICRO));
    says(&format!("`{:#x}`", zap::BLOCK_TYPE_HEADER));
    says(&format!("`{:#x}`", zap::BLOCK_TYPE_LEAF));
    says(&format!("`{:#x}`", sa::MAGIC));
    says(&format!("`{:#010x}`", zfs_format::uberblock::MAGIC));
    says(&format!("no name is longer than {} bytes", zap::MICRO_NAME_MAX));
    says(&format!("at most {} entries", zap::MICRO_BYTES_MAX / zap::MICRO_ENTRY_BYTES - 1));
    says(&format!("up to {} bytes of content", block::EMBEDDED_BYTES_MAX));
    assert_eq!((label::LABEL_BYTES, label::START_BYTES, label::END_BYTES), (256 << 10, 4 << 20, 512 << 10));
    assert_eq!(label::BOOT_AREA, 512 << 10..4 << 20);
    // Where leaves have their chunks, and how many: the first leaf of a ZAP with one long value.
    let value = zap::Value::U8(vec![0xab; 100]);
    let entry = zap::ZapEntry { name: b"name".to_vec(), value };
    let zap = zap::encode(&[entry], 1, &zap::Options::default()).expect("encodes");
    assert_eq!(zap.blocks.len(), 2);
    assert_eq!((zap.blocks[1][0x430], zap.blocks[1][0x430 + 24]), (252, 251));
    let last = 0x430 + 637 * 24;
    assert_eq!((zap.blocks[1][last], last + 24), (253, zap.block_bytes));
    assert_eq!(zap.blocks[0][0x2000], 1);
}
