//! ZFS pools as data: a writer, a reader and a dumper that need neither root nor a ZFS module.

mod acl;
pub mod dump;
pub mod reader;
pub mod writer;
