//! `image-builder ls IMAGE`: partitions, the pool, its datasets and snapshots.

use super::about;
use super::image::{Image, Part};
use super::long::shown;
use crate::failure::Failure;
use crate::output::print;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use zfs_image::reader::{Description, Directory, Pool, ReadError};

/// Tells what is in an image.
pub(super) fn overview(image: &Image, as_json: bool) -> Result<(), Failure> {
    let has_table = image.table.is_some();
    let parts = image.parts();
    // A disk without a pool has partitions still, which is what was asked for.
    let pool = match image.pool() {
        Err(_) if has_table && !parts.iter().any(|part| part.is_pool) => None,
        pool => Some(Contents::of(image, &pool?)?),
    };
    let parts = if has_table { parts } else { Vec::new() };
    print(|output| {
        if as_json {
            let parts: Vec<Value> = parts.iter().map(part_json).collect();
            let pool = pool.as_ref().map(Contents::json);
            let value = json!({ "bytes": image.file.length(), "partitions": parts, "pool": pool });
            return writeln!(output, "{value}").map_err(Failure::from_output);
        }
        let pool = pool.iter().flat_map(Contents::lines);
        let mut lines = parts.iter().map(part_line).chain(pool);
        lines.try_for_each(|line| writeln!(output, "{line}")).map_err(Failure::from_output)
    })
}

fn part_line(part: &Part) -> String {
    let (size, offset) = (part.bytes >> 10, part.offset >> 10);
    format!("{:28} {size:>10} KiB at {offset:>10} KiB  {}", part.title, part.purpose)
}

fn part_json(part: &Part) -> Value {
    json!({ "name": part.title, "purpose": part.purpose, "offset": part.offset, "bytes": part.bytes })
}

/// A pool in the overview.
struct Contents {
    name: String,
    guid: u64,
    about: Description,
    datasets: Vec<Described>,
}

impl Contents {
    fn of(image: &Image, pool: &Pool<'_>) -> Result<Self, Failure> {
        Ok(Self {
            name: pool.name().to_owned(),
            guid: pool.guid(),
            about: pool.describe().map_err(image.inside("the properties of the pool"))?,
            datasets: described(pool).map_err(image.inside("the list of datasets"))?,
        })
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("pool {}, guid {}", shown(self.name.as_bytes()), self.guid)];
        lines.extend(about::lines(&self.about));
        lines.extend(self.datasets.iter().map(Described::line));
        lines
    }

    fn json(&self) -> Value {
        let mut value = about::value(&self.about);
        let datasets: Vec<Value> = self.datasets.iter().map(Described::json).collect();
        for (key, one) in [("name", json!(self.name)), ("guid", json!(self.guid)), ("datasets", json!(datasets))] {
            value.insert(key.to_owned(), one);
        }
        Value::Object(value)
    }
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
