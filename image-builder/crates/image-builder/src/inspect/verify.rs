//! `image-builder verify`: everything in an image that can be checked.

use super::archive::is_gzip;
use super::boot::Programs;
use super::boot_walk;
use super::findings::Findings;
use super::image::Image;
use super::long::shown;
use super::place::Place;
use super::{InspectError, archive_files, is_archive};
use crate::arguments::Verify;
use crate::failure::Failure;
use crate::output::print;
use disk_image::gpt::GptError;
use serde_json::json;
use std::path::Path;
use zfs_image::reader::{Pool, Verification, VerifyOptions};

/// `image-builder verify`.
pub(crate) fn verify(arguments: &Verify) -> Result<(), Failure> {
    let mut findings = Findings::default();
    if is_archive(&arguments.image) {
        archive_files::check(&arguments.image, &mut findings)?;
    } else if is_gzip(&arguments.image) {
        return Err(InspectError::Gzip { path: arguments.image.clone() }.into());
    } else {
        check_image(&arguments.image, &mut findings)?;
    }
    print(|output| {
        if arguments.json {
            let value = json!({ "good": findings.good, "bad": findings.bad, "unread": findings.unread });
            return writeln!(output, "{value}").map_err(Failure::from_output);
        }
        let lists = [("good", &findings.good), ("not read", &findings.unread), ("bad", &findings.bad)];
        let mut lines = lists.iter().flat_map(|(word, list)| list.iter().map(move |text| format!("{word}: {text}")));
        lines.try_for_each(|line| writeln!(output, "{line}").map_err(Failure::from_output))
    })?;
    match findings.bad.len() {
        0 => Ok(()),
        problems => Err(Failure::Damaged { image: arguments.image.clone(), problems }),
    }
}

fn check_image(path: &Path, findings: &mut Findings) -> Result<(), InspectError> {
    let image = Image::open(&Place { image: path.to_owned(), dataset: None })?;
    check_table(&image, findings);
    if image.table.is_none() && !image.damage.is_empty() {
        findings.unread.push("partitions: nobody knows where they are".to_owned());
        return Ok(());
    }
    check_parts(&image, findings)
}

fn check_table(image: &Image, findings: &mut Findings) {
    // An image on a larger disk is how it is meant to grow.
    let (grown, damage): (Vec<_>, Vec<_>) =
        image.damage.iter().partition(|damage| matches!(damage, GptError::Grown { .. }));
    findings.good.extend(grown.iter().map(|grown| format!("partition table: {grown}; the system that boots moves it")));
    findings.bad.extend(damage.iter().map(|damage| format!("partition table: {damage}")));
    if let Some(table) = image.table.as_ref().filter(|_| damage.is_empty()) {
        findings.good.push(format!(
            "partition table: both copies agree, {} of {} entries are used",
            table.partitions.len(),
            table.entry_count
        ));
    }
}

fn check_parts(image: &Image, findings: &mut Findings) -> Result<(), InspectError> {
    let parts = image.parts();
    let pool_part = parts.iter().find(|part| part.is_pool);
    let pool = match pool_part.map(|_| image.pool()) {
        None => None,
        Some(Ok(pool)) => Some(pool),
        // No pool in a partition for one is damage; a file without any pool was not meant to be verified.
        Some(Err(InspectError::Pool { source, .. })) if image.table.is_some() => {
            findings.bad.push(format!("pool: {}", source.chain()));
            None
        }
        Some(Err(error)) => return Err(error),
    };
    let programs = match pool.as_ref().map(Programs::of) {
        Some(Ok(programs)) => programs,
        Some(Err(error)) => {
            findings.bad.push(format!("boot programs: {}", error.chain()));
            Programs::default()
        }
        None => Programs::default(),
    };
    for part in &parts {
        match pool_part {
            Some(pool) if pool == part => programs.check_boot_blocks(image, part, findings)?,
            Some(pool) if part.is_esp && programs.check_loaders(image, part, pool, findings) => {
                findings.unread.push(format!("{}: {}, but for the loaders", part.title, part.purpose));
            }
            _ => findings.unread.push(format!("{}: {}", part.title, part.purpose)),
        }
    }
    if let Some(pool) = &pool {
        check_pool(pool, findings);
        if let Err(error) = boot_walk::check(pool, image.table.as_ref(), findings) {
            findings.bad.push(format!("boot: {}", error.chain()));
        }
    }
    Ok(())
}

fn check_pool(pool: &Pool<'_>, findings: &mut Findings) {
    let Verification { problems, truncated, blocks, files } = pool.verify(&VerifyOptions::default());
    findings.good.push(format!(
        "pool {}: {} blocks of {} KiB allocated and {} embedded ones were read, {files} files",
        shown(pool.name().as_bytes()),
        blocks.blocks,
        blocks.allocated_bytes.div_ceil(1024),
        blocks.embedded
    ));
    findings.bad.extend(problems.iter().map(ToString::to_string));
    if truncated {
        findings.unread.push("the rest of the pool, after so many problems".to_owned());
    }
}
