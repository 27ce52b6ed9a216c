//! A pool as readable text, the same for the same bytes: what a change of the layout changes shows in its diff.

mod objects;
mod pointer;

use std::io::{self, Write};

use zfs_format::uberblock::Uberblock;

use crate::reader::{Pool, ReadError};
use objects::Objects;

pub use pointer::pointer;

/// How much is told.
#[derive(Debug, Clone, Copy)]
pub struct DumpOptions {
    /// Also the pointers of every object, with addresses and checksums.
    pub pointers: bool,
    /// Also the objects of file systems, not only those of the pool itself.
    pub files: bool,
    /// At most so many objects of each object set.
    pub objects_max: usize,
    /// At most so many entries of each ZAP.
    pub entries_max: usize,
}

impl Default for DumpOptions {
    fn default() -> Self {
        Self { pointers: true, files: true, objects_max: 2000, entries_max: 200 }
    }
}

/// Writes the pool as text. What cannot be read becomes a line that begins with `!`.
///
/// # Errors
/// Only writing can fail.
pub fn dump(pool: &Pool<'_>, options: &DumpOptions, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "pool {}", pool.name())?;
    labels(pool, out)?;
    writeln!(out, "\nconfiguration in the meta object set")?;
    match pool.config() {
        Ok(config) => indented(&config.to_string(), out)?,
        Err(error) => problem(&error, out)?,
    }
    writeln!(out, "\nmeta object set")?;
    let mos = pool.mos();
    Objects { objset: &mos, files: None, options, out }.dump()?;
    let directories = match pool.directories() {
        Ok(directories) => directories,
        Err(error) => return problem(&error, out),
    };
    for directory in &directories {
        writeln!(out, "\ndirectory {}", directory.name)?;
        match pool.properties(directory) {
            Ok(properties) => {
                for (name, value) in properties {
                    writeln!(out, "  {name} = {value}")?;
                }
            }
            Err(error) => problem(&error, out)?,
        }
        if directory.is_internal() || !options.files {
            continue;
        }
        for dataset in directory.snapshots.iter().chain(&directory.head) {
            writeln!(out, "\ndataset {}", dataset.name)?;
            match pool.objset(dataset) {
                Ok(objset) => {
                    let files = pool.file_system(dataset).ok();
                    Objects { objset: &objset, files: files.as_ref(), options, out }.dump()?;
                }
                Err(error) => problem(&error, out)?,
            }
        }
    }
    Ok(())
}

fn labels(pool: &Pool<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut last = None;
    let mut last_ring = None;
    for (index, label) in pool.labels().iter().enumerate() {
        writeln!(out, "\nlabel {index} at {:#x}", label.offset)?;
        match &label.config {
            Ok(config) if last == Some(config) => writeln!(out, "  as the label before")?,
            Ok(config) => {
                indented(&config.to_string(), out)?;
                last = Some(config);
            }
            Err(error) => writeln!(out, "! {error}")?,
        }
        if last_ring == Some(&label.uberblocks) {
            writeln!(out, "  uberblocks as in the label before")?;
            continue;
        }
        for (slot, uberblock) in &label.uberblocks {
            uberblock_line(*slot, uberblock, out)?;
        }
        last_ring = Some(&label.uberblocks);
    }
    Ok(())
}

fn uberblock_line(slot: usize, uberblock: &Uberblock, out: &mut dyn Write) -> io::Result<()> {
    let Uberblock { version, txg, guid_sum, timestamp, root, software_version, checkpoint_txg } = uberblock;
    writeln!(
        out,
        "  uberblock in slot {slot}: version {version} txg {txg} guid_sum {guid_sum} timestamp {timestamp} \
         software {software_version} checkpoint {checkpoint_txg}\n    root {}",
        pointer(root)
    )
}

fn indented(text: &str, out: &mut dyn Write) -> io::Result<()> {
    text.lines().try_for_each(|line| writeln!(out, "  {line}"))
}

fn problem(error: &ReadError, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "! {}", error.chain())
}
