//! `image-builder ls`: what is in an image, or in a directory of it.

use super::image::Image;
use super::long::{line, shown, value};
use super::place::Place;
use super::print;
use super::walk::{Found, join, sorted_entries, walk_below};
use crate::arguments::Ls;
use crate::failure::Failure;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use zfs_image::reader::{Directory, File, FileSystem, Pool, ReadError};

/// `image-builder ls`.
pub(crate) fn ls(arguments: &Ls) -> Result<(), Failure> {
    let place = Place::parse(&arguments.image);
    let image = Image::open_in_spite_of_damage(&place)?;
    if arguments.path.is_none() && place.dataset.is_none() && !arguments.recursive {
        return overview(&image, arguments.json);
    }
    let pool = image.pool()?;
    let dataset = image.dataset(&pool, place.dataset.as_deref())?;
    let files = image.file_system(&pool, &dataset)?;
    let path = arguments.path.as_deref().unwrap_or("/");
    let failed = image.inside(&format!("{path} of {}", dataset.name));
    // A path that ends in `/` means what is behind a link.
    let file = files.lookup(path.as_bytes(), path.ends_with('/')).map_err(&failed)?;
    let start = Found { path: join(b"/", path.trim_matches('/').as_bytes()), file };
    print(|output| {
        let mut list = Vec::new();
        let mut tell = |name: &[u8], file: &File| -> Result<(), ListError> {
            let target = if file.is_symlink() { Some(files.read_link(file)?) } else { None };
            if arguments.json {
                list.push(value(name, file, target.as_deref()));
                return Ok(());
            }
            writeln!(output, "{}", line(name, file, target.as_deref())).map_err(ListError::Output)
        };
        list_from(&files, &start, arguments.recursive, &mut tell).map_err(|error| match error {
            ListError::Read(source) => Failure::from(failed(source)),
            ListError::Output(source) => Failure::from_output(source),
        })?;
        if arguments.json { write_json(output, &json!({ "dataset": dataset.name, "files": list })) } else { Ok(()) }
    })
}

/// Reading or writing went wrong.
enum ListError {
    Read(ReadError),
    Output(std::io::Error),
}

impl From<ReadError> for ListError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

/// Takes a file with the name that it is to be listed under.
type Tell<'a> = dyn FnMut(&[u8], &File) -> Result<(), ListError> + 'a;

fn list_from(files: &FileSystem<'_>, start: &Found, recursive: bool, tell: &mut Tell<'_>) -> Result<(), ListError> {
    if !start.file.is_directory() {
        return tell(&start.path, &start.file);
    }
    if recursive {
        tell(&start.path, &start.file)?;
        return walk_below(files, start, &mut |found| tell(&found.path, &found.file));
    }
    for (name, object) in sorted_entries(files, &start.file)? {
        tell(&name, &files.file(object)?)?;
    }
    Ok(())
}

fn write_json(output: &mut dyn Write, value: &Value) -> Result<(), Failure> {
    writeln!(output, "{value}").map_err(Failure::from_output)
}

/// Partitions, pool and datasets.
fn overview(image: &Image, as_json: bool) -> Result<(), Failure> {
    let parts = image.parts();
    // A disk without a pool has partitions still, which is what was asked for.
    let has_table = image.table.is_some();
    let pool = match image.pool() {
        Err(_) if has_table && !parts.iter().any(|part| part.is_pool) => None,
        pool => Some(pool?),
    };
    let failed = image.inside("the list of datasets");
    let datasets = match &pool {
        Some(pool) => described(pool).map_err(&failed)?,
        None => Vec::new(),
    };
    print(|output| {
        if as_json {
            let parts: Vec<Value> = parts
                .iter()
                .filter(|_| has_table)
                .map(|part| json!({ "name": part.title, "purpose": part.purpose, "offset": part.offset, "bytes": part.bytes }))
                .collect();
            let datasets: Vec<Value> = datasets.iter().map(Described::json).collect();
            let pool =
                pool.as_ref().map(|pool| json!({ "name": pool.name(), "guid": pool.guid(), "datasets": datasets }));
            return write_json(output, &json!({ "bytes": image.file.length(), "partitions": parts, "pool": pool }));
        }
        let mut lines = Vec::new();
        for part in parts.iter().filter(|_| has_table) {
            lines.push(format!(
                "{:28} {:>10} KiB at {:>10} KiB  {}",
                part.title,
                part.bytes >> 10,
                part.offset >> 10,
                part.purpose
            ));
        }
        if let Some(pool) = &pool {
            lines.push(format!("pool {}, guid {}", shown(pool.name().as_bytes()), pool.guid()));
            lines.extend(datasets.iter().map(Described::line));
        }
        lines.iter().try_for_each(|line| writeln!(output, "{line}")).map_err(Failure::from_output)
    })
}

/// A dataset or snapshot in the overview.
struct Described {
    name: String,
    used: u64,
    referenced: u64,
    properties: BTreeMap<String, String>,
    boots: bool,
}

impl Described {
    fn line(&self) -> String {
        let properties: Vec<String> = self.properties.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mark = if self.boots { '*' } else { ' ' };
        let name = shown(self.name.as_bytes());
        let line = format!(
            "{mark} {name:40} {:>10} KiB used {:>10} KiB referenced  {}",
            self.used >> 10,
            self.referenced >> 10,
            shown(properties.join(" ").as_bytes())
        );
        line.trim_end().to_owned()
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name, "used": self.used, "referenced": self.referenced,
            "properties": self.properties, "boots": self.boots,
        })
    }
}

fn described(pool: &Pool<'_>) -> Result<Vec<Described>, ReadError> {
    let boots = pool.boot_dataset()?.map(|dataset| dataset.object);
    let mut all = Vec::new();
    let visible = |directory: &Directory| !directory.is_internal();
    for directory in pool.directories()?.into_iter().filter(visible) {
        let properties = pool.properties(&directory)?;
        for (dataset, is_head) in directory
            .head
            .iter()
            .map(|head| (head, true))
            .chain(directory.snapshots.iter().map(|snapshot| (snapshot, false)))
        {
            all.push(Described {
                name: dataset.name.clone(),
                used: if is_head { directory.phys.used_bytes } else { dataset.phys.unique_bytes },
                referenced: dataset.phys.referenced_bytes,
                properties: if is_head { properties.clone() } else { BTreeMap::new() },
                boots: boots == Some(dataset.object),
            });
        }
    }
    Ok(all)
}
