//! `image-builder verify`: everything in an image that can be checked.

use super::image::Image;
use super::place::Place;
use super::print;
use crate::arguments::Verify;
use crate::failure::Failure;
use serde_json::json;

/// What was found.
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
    print(|output| {
        if arguments.json {
            let value = json!({ "good": findings.good, "bad": findings.bad, "unread": findings.unread });
            return writeln!(output, "{value}").map_err(Failure::from_output);
        }
        let lists = [("good", &findings.good), ("bad", &findings.bad), ("not read", &findings.unread)];
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
            "partition table: both copies, {} of {} entries used",
            table.partitions.len(),
            table.entry_count
        )),
        (None, None) => {}
    }
}
