//! Where the bytes of the image are: directories and large files as areas, squarified.
//!
//! The algorithm is that of Bruls, Huizing and van Wijk, "Squarified Treemaps" (2000).

use super::{letters, rectangle, words};
use crate::sizes::size;
use image_steps::PathSize;

const WIDTH: f64 = 1140.0;
const HEIGHT: f64 = 460.0;
const COLOURS: usize = 6;
/// Room for the name of a directory above what is in it.
const TITLE: f64 = 18.0;
/// What the files of a directory are called that have no areas of their own.
const OTHERS: &str = "other files";
/// Areas inside areas go down to here, as far as there is room.
const DEPTH: usize = 5;

pub(super) fn draw(sizes: &[PathSize]) -> String {
    let Some(root) = sizes.iter().find(|entry| entry.path == "/").filter(|root| root.bytes > 0) else {
        return "<p>There are no files in it.</p>".to_owned();
    };
    let mut drawing = format!("<p>{} in {} files</p>", size(root.bytes), root.files.unwrap_or_default());
    drawing.push_str(&format!(
        "<div class=\"scroll\"><svg width=\"100%\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"sizes of directories\">"
    ));
    fill(sizes, root, [0.0, 0.0, WIDTH, HEIGHT], 0, None, &mut drawing);
    drawing.push_str("</svg></div>");
    drawing
}

/// Draws what is directly in a directory, and in that.
fn fill(
    sizes: &[PathSize],
    directory: &PathSize,
    place: [f64; 4],
    depth: usize,
    colour: Option<usize>,
    drawing: &mut String,
) {
    let prefix = if directory.path == "/" { "/".to_owned() } else { format!("{}/", directory.path) };
    let is_child = |entry: &&PathSize| {
        entry.path.strip_prefix(&prefix).is_some_and(|rest| !rest.is_empty() && !rest.contains('/'))
    };
    let mut children: Vec<&PathSize> = sizes.iter().filter(is_child).filter(|entry| entry.bytes > 0).collect();
    children.sort_by(|first, second| second.bytes.cmp(&first.bytes).then_with(|| first.path.cmp(&second.path)));
    // A directory of small files alone is one area.
    if children.is_empty() && depth > 0 {
        return;
    }
    let inside: u64 = children.iter().map(|child| child.bytes).sum();
    let path = format!("{OTHERS} in {}", directory.path);
    let own = PathSize { path, bytes: directory.bytes.saturating_sub(inside), files: None };
    if own.bytes > 0 {
        let at = children.iter().position(|child| child.bytes < own.bytes).unwrap_or(children.len());
        children.insert(at, &own);
    }
    let areas: Vec<f64> = children.iter().map(|child| child.bytes as f64).collect();
    for (index, (child, place)) in children.iter().zip(squarified(&areas, place)).enumerate() {
        let colour = colour.unwrap_or(index % COLOURS);
        let class = format!("cell map{}", colour + 1);
        let [x, y, width, height] = place;
        drawing.push_str(&rectangle(place, &class, &format!("{}: {}", child.path, size(child.bytes))));
        let name = if child.path.starts_with('/') { child.path.rsplit('/').next().unwrap_or_default() } else { OTHERS };
        if height > TITLE {
            let whole = format!("{name} {}", size(child.bytes));
            let label = if whole.chars().count() <= letters(width - 8.0, "") { whole.as_str() } else { name };
            drawing.push_str(&words(x + 5.0, y + 13.0, width - 8.0, "", label));
        }
        let room = [x + 2.0, y + TITLE, width - 4.0, height - TITLE - 2.0];
        if depth + 1 < DEPTH && room[2] > 40.0 && room[3] > 30.0 && child.files.is_some() {
            fill(sizes, child, room, depth + 1, Some(colour), drawing);
        }
    }
}

/// Divides a rectangle among areas, the largest first, so that the pieces are as near to squares as they can be.
fn squarified(areas: &[f64], place: [f64; 4]) -> Vec<[f64; 4]> {
    let total: f64 = areas.iter().sum();
    let [mut x, mut y, mut width, mut height] = place;
    let scale = width * height / total.max(f64::MIN_POSITIVE);
    let mut places = Vec::new();
    let mut rest = areas;
    while !rest.is_empty() {
        let side = width.min(height);
        let mut count = 1;
        while count < rest.len() && worst(&rest[..=count], side, scale) <= worst(&rest[..count], side, scale) {
            count += 1;
        }
        let (row, after) = rest.split_at(count);
        let thickness = row.iter().sum::<f64>() * scale / side.max(f64::MIN_POSITIVE);
        let mut along = 0.0;
        for area in row {
            let length = area * scale / thickness.max(f64::MIN_POSITIVE);
            places.push(if width >= height {
                [x, y + along, thickness, length]
            } else {
                [x + along, y, length, thickness]
            });
            along += length;
        }
        if width >= height {
            (x, width) = (x + thickness, width - thickness);
        } else {
            (y, height) = (y + thickness, height - thickness);
        }
        rest = after;
    }
    places
}

/// The worst ratio of sides in a row along a side of this length.
fn worst(row: &[f64], side: f64, scale: f64) -> f64 {
    let sum: f64 = row.iter().sum::<f64>() * scale;
    let (least, most) =
        row.iter().fold((f64::MAX, 0.0_f64), |(least, most), area| (least.min(area * scale), most.max(area * scale)));
    let (side, sum) = (side * side, sum * sum);
    (side * most / sum).max(sum / (side * least))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with small files alone had an area with a name of its own inside, and large files had none.
    #[test]
    fn large_files_have_areas_and_small_ones_share_one() {
        let size = |path: &str, bytes, files| PathSize { path: path.to_owned(), bytes, files };
        let sizes = [
            size("/", 10_000, Some(40)),
            size("/boot", 7000, Some(3)),
            size("/boot/archive.gz", 6000, None),
            size("/etc", 3000, Some(37)),
        ];
        let drawing = draw(&sizes);
        for area in ["/boot: 6.8 KiB", "/boot/archive.gz: 5.9 KiB", "other files in /boot: 1000 B", "/etc: 2.9 KiB"] {
            assert!(drawing.contains(&format!("<title>{area}</title>")), "{area} is not in {drawing}");
        }
        assert_eq!(drawing.matches("<rect").count(), 4, "{drawing}");
        assert!(draw(&[size("/", 10, Some(2))]).contains("other files in /: 10 B"));
        assert!(draw(&[]).contains("no files"));
    }

    /// The example of the paper: the pieces have the right areas, lie inside and are nearly squares.
    #[test]
    fn pieces_fill_the_place_and_are_nearly_squares() {
        let areas = [6.0, 6.0, 4.0, 3.0, 2.0, 2.0, 1.0];
        let places = squarified(&areas, [0.0, 0.0, 6.0, 4.0]);
        for (area, [x, y, width, height]) in areas.iter().zip(&places) {
            assert!((width * height - area).abs() < 1e-9);
            assert!(*x >= 0.0 && *y >= 0.0 && x + width < 6.0 + 1e-9 && y + height < 4.0 + 1e-9);
            assert!((width / height).max(height / width) < 3.0, "{width} × {height}");
        }
    }
}
