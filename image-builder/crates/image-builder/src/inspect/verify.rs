//! `image-builder verify`: everything in an image that can be checked.

use super::image::{Image, Part};
use super::long::shown;
use super::place::Place;
use super::{InspectError, print};
use crate::arguments::Verify;
use crate::failure::Failure;
use disk_image::illumos::{BootBlockState, inspect_boot_blocks};
use serde_json::json;
use zfs_image::reader::{Verification, VerifyOptions};

/// What was found, in words.
#[derive(Default)]
struct Findings {
    good: Vec<String>,
    bad: Vec<String>,
    unread: Vec<String>,
}

/// `image-builder verify`.
pub(crate) fn verify(arguments: &Verify) -> Result<(), Failure> {
    let place = Place { image: arguments.image.clone().into(), dataset: None };
    let image = Image::open(&place)?;
    let mut findings = Findings::default();
    check_table(&image, &mut findings);
    for part in image.parts() {
        // Behind a damaged table there may be anything.
        if image.damage.is_some() {
            findings.unread.push("partitions: nobody knows where they are".to_owned());
        } else if part.is_pool {
            check_boot_blocks(&image, &part, &mut findings)?;
            check_pool(&image, &mut findings)?;
        } else {
            findings.unread.push(format!("{}: {}", part.title, part.purpose));
        }
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
        problems => Err(Failure::Damaged { image: image.path, problems }),
    }
}

fn check_table(image: &Image, findings: &mut Findings) {
    match (&image.table, &image.damage) {
        (_, Some(damage)) => findings.bad.push(format!("partition table: {damage}")),
        (Some(table), None) => findings.good.push(format!(
            "partition table: both copies agree, {} of {} entries are used",
            table.partitions.len(),
            table.entry_count
        )),
        (None, None) => {}
    }
}

fn check_boot_blocks(image: &Image, part: &Part, findings: &mut Findings) -> Result<(), InspectError> {
    let Some(table) = &image.table else { return Ok(()) };
    let read = |buffer: &mut [u8], offset: u64| image.file.read_exact_at(buffer, offset);
    let state = inspect_boot_blocks(&read, part.offset, table.sector_size);
    let failed = |source| InspectError::Read { path: image.path.clone(), source };
    match state.map_err(failed)? {
        BootBlockState::None => {}
        BootBlockState::Good => findings.good.push("boot blocks: each stage leads to the next".to_owned()),
        BootBlockState::Broken(problem) => findings.bad.push(format!("boot blocks: {problem}")),
    }
    Ok(())
}

fn check_pool(image: &Image, findings: &mut Findings) -> Result<(), InspectError> {
    let pool = match image.pool() {
        Ok(pool) => pool,
        // No pool in a partition for one is damage; a file without any pool was not meant to be verified.
        Err(InspectError::Pool { source, .. }) if image.table.is_some() => {
            findings.bad.push(format!("pool: {}", source.chain()));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
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
    Ok(())
}
