//! The objects of an object set: dnodes, what their bonus says, ZAPs, lists and pointers.

use std::io::{self, Write};

use zfs_format::acl::Ace;
use zfs_format::dnode::Dnode;
use zfs_format::dsl::{BpobjPhys, DeadlistPhys, DslDatasetPhys, DslDirPhys, HistoryPhys};
use zfs_format::nvlist;
use zfs_format::object::{ObjectType, ObjsetType};
use zfs_format::space_map::SpaceMapPhys;
use zfs_format::zap::{Value, ZapEntry};

use super::{DumpOptions, indented, pointer, problem};
use crate::reader::{FileSystem, Objset, ReadError, Visit};

/// Lists longer than this are not unpacked.
const NVLIST_BYTES_MAX: usize = 1 << 20;
/// So many numbers of an array are told.
const WORDS_MAX: usize = 64;

/// An object set on its way to text.
pub(super) struct Objects<'a> {
    pub(super) objset: &'a Objset<'a>,
    pub(super) files: Option<&'a FileSystem<'a>>,
    pub(super) options: &'a DumpOptions,
    pub(super) out: &'a mut dyn Write,
}

impl Objects<'_> {
    pub(super) fn dump(mut self) -> io::Result<()> {
        let phys = self.objset.phys();
        let kind = match phys.kind {
            ObjsetType::Meta => "meta",
            ObjsetType::Zfs => "file system",
            ObjsetType::Zvol => "volume",
        };
        writeln!(self.out, "  {kind}, flags {:#x}, root {}", phys.flags, pointer(self.objset.root()))?;
        self.object("meta dnode", &phys.meta_dnode.clone(), 0)?;
        for (name, dnode) in
            [("user used", &phys.user_used), ("group used", &phys.group_used), ("project used", &phys.project_used)]
        {
            if let Some(dnode) = dnode.clone() {
                self.object(name, &dnode, 0)?;
            }
        }
        let mut failed = Ok(());
        let mut left = self.options.objects_max;
        let objset = self.objset;
        let walked = objset.for_each_dnode(|number, dnode| {
            let limit = self.options.objects_max as u64;
            left = left.checked_sub(1).ok_or(ReadError::Limit { what: "objects in the dump", limit })?;
            failed = self.object(&format!("object {number}"), &dnode, number);
            if failed.is_err() { Err(ReadError::Limit { what: "objects in the dump", limit }) } else { Ok(()) }
        });
        failed?;
        walked.or_else(|error| problem(&error, self.out))
    }

    fn object(&mut self, name: &str, dnode: &Dnode, number: u64) -> io::Result<()> {
        writeln!(
            self.out,
            "\n  {name}: {}, levels {}, blocks {:#x}, indirect 2^{}, last block {}, used {:#x}, flags {:#x}, \
             checksum {}, compression {}, bonus {} of {} bytes",
            dnode.kind,
            dnode.levels,
            dnode.data_block_bytes,
            dnode.indirect_shift,
            dnode.max_block,
            dnode.used,
            dnode.flags,
            dnode.checksum.name(),
            dnode.compression,
            dnode.bonus_kind,
            dnode.bonus.len()
        )?;
        self.bonus(dnode, number)?;
        if number != 0 {
            self.content(dnode, number)?;
        }
        if !self.options.pointers {
            return Ok(());
        }
        if let Some(spill) = &dnode.spill {
            writeln!(self.out, "    spill {}", pointer(spill))?;
        }
        let mut failed = Ok(());
        let walked = self.objset.for_each_pointer(dnode, |_, number, found| {
            failed = writeln!(self.out, "    block {number}: {}", pointer(found));
            Ok(if failed.is_err() { Visit::Skip } else { Visit::Descend })
        });
        failed?;
        walked.or_else(|error| problem(&error, self.out))
    }

    fn bonus(&mut self, dnode: &Dnode, number: u64) -> io::Result<()> {
        let bonus = &dnode.bonus;
        match dnode.bonus_kind {
            ObjectType::DSL_DIR => self.debug(DslDirPhys::decode(bonus)),
            ObjectType::DSL_DATASET => match DslDatasetPhys::decode(bonus) {
                Some(dataset) => self.dataset(&dataset),
                None => self.debug(None::<()>),
            },
            ObjectType::BPOBJ_HDR => self.debug(BpobjPhys::decode(bonus)),
            ObjectType::DEADLIST_HDR => self.debug(DeadlistPhys::decode(bonus)),
            ObjectType::SPA_HISTORY_OFFSETS => self.debug(HistoryPhys::decode(bonus)),
            ObjectType::SPACE_MAP_HEADER => self.debug(SpaceMapPhys::decode(bonus).ok()),
            ObjectType::SA | ObjectType::ZNODE => self.znode(number),
            ObjectType::NONE => Ok(()),
            _ => writeln!(self.out, "    bonus {}", hex(bonus)),
        }
    }

    fn debug<T: std::fmt::Debug>(&mut self, decoded: Option<T>) -> io::Result<()> {
        match decoded {
            Some(decoded) => writeln!(self.out, "    {decoded:?}"),
            None => writeln!(self.out, "! the bonus is too short"),
        }
    }

    fn dataset(&mut self, dataset: &DslDatasetPhys) -> io::Result<()> {
        let root = zfs_format::block::BlockPointer::decode(&dataset.block_pointer);
        let root = root.map_or_else(|error| format!("! {error}"), |root| pointer(&root));
        // The pointer is told as such, so its bytes are not.
        let rest = DslDatasetPhys { block_pointer: [0; 128], ..dataset.clone() };
        let rest = format!("{rest:?}");
        let rest = rest.split(", block_pointer: [").next().unwrap_or_default();
        let DslDatasetPhys { next_clones, props, user_references, .. } = dataset;
        writeln!(self.out, "    {rest}, next_clones: {next_clones}, props: {props}, holds: {user_references} }}")?;
        writeln!(self.out, "    root {root}")
    }

    fn znode(&mut self, number: u64) -> io::Result<()> {
        let Some(files) = self.files else { return Ok(()) };
        let file = match files.file(number) {
            Ok(file) => file,
            Err(error) => return problem(&error, self.out),
        };
        let znode = &file.znode;
        writeln!(
            self.out,
            "    mode {:o} size {} links {} uid {} gid {} parent {} generation {} flags {:#x}",
            znode.mode, znode.size, znode.links, znode.uid, znode.gid, znode.parent, znode.generation, znode.flags
        )?;
        for (name, time) in
            [("atime", znode.atime), ("mtime", znode.mtime), ("ctime", znode.ctime), ("crtime", znode.crtime)]
        {
            write!(self.out, "    {name} {}.{:09}", time.secs, time.nanos)?;
        }
        writeln!(self.out)?;
        if let Some(rdev) = znode.rdev {
            writeln!(self.out, "    rdev {rdev:#x}")?;
        }
        if let Some(object) = znode.xattr {
            writeln!(self.out, "    extended attributes in object {object}")?;
        }
        if let Some(target) = &znode.symlink {
            writeln!(self.out, "    target {:?}", String::from_utf8_lossy(target))?;
        }
        match Ace::decode_all(&znode.aces) {
            Some(aces) => aces.iter().try_for_each(|ace| {
                writeln!(self.out, "    ace {:?} {} {:#x} inherit {:#x}", ace.who, ace.kind, ace.mask, ace.inherit)
            }),
            None => writeln!(self.out, "! the access control list ends inside an entry"),
        }
    }

    fn content(&mut self, dnode: &Dnode, number: u64) -> io::Result<()> {
        if dnode.kind.is_zap() {
            return self.zap(number);
        }
        match dnode.kind {
            ObjectType::PACKED_NVLIST => self.packed(dnode),
            ObjectType::OBJECT_ARRAY => self.words(dnode),
            _ => Ok(()),
        }
    }

    fn zap(&mut self, number: u64) -> io::Result<()> {
        let limit = self.options.entries_max as u64;
        let mut entries = Vec::new();
        let walked = self.objset.for_each_zap_entry(number, |entry| {
            entries.push(entry);
            if entries.len() as u64 > limit {
                Err(ReadError::Limit { what: "entries in the dump", limit })
            } else {
                Ok(())
            }
        });
        for ZapEntry { name, value } in entries.iter().take(self.options.entries_max) {
            writeln!(self.out, "    {:?} = {}", String::from_utf8_lossy(name), show(value))?;
        }
        walked.or_else(|error| problem(&error, self.out))
    }

    fn packed(&mut self, dnode: &Dnode) -> io::Result<()> {
        let size = dnode.bonus.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(usize::MAX).min(NVLIST_BYTES_MAX)];
        if let Err(error) = self.objset.read_exact(dnode, &mut bytes, 0) {
            return problem(&error, self.out);
        }
        match nvlist::decode_xdr(&bytes) {
            Ok(list) => indented(&list.to_string(), self.out),
            Err(error) => writeln!(self.out, "! {error}"),
        }
    }

    fn words(&mut self, dnode: &Dnode) -> io::Result<()> {
        let block_bytes = dnode.data_block_bytes as usize;
        let mut bytes = vec![0; block_bytes.min(WORDS_MAX * 8)];
        match self.objset.read_exact(dnode, &mut bytes, 0) {
            Ok(()) => {
                let words =
                    bytes.chunks_exact(8).map(|word| word.iter().rev().fold(0_u64, |sum, b| sum << 8 | u64::from(*b)));
                writeln!(self.out, "    {:?}", words.collect::<Vec<_>>())
            }
            Err(error) => problem(&error, self.out),
        }
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::U64(words) if words.len() == 1 => format!("{:#x}", words[0]),
        Value::U64(words) => format!("{words:x?}"),
        Value::U32(words) => format!("{words:x?} (32 bits)"),
        Value::U16(words) => format!("{words:?} (16 bits)"),
        Value::U8(bytes) => match bytes.strip_suffix(b"\0").map(std::str::from_utf8) {
            Some(Ok(text)) => format!("{text:?}"),
            _ => hex(bytes),
        },
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
