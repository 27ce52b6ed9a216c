//! The templates of a run as boxes, each to the right of what it needs.

use super::{escaped, rectangle, words};
use image_steps::TemplateRun;

const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 46.0;
const GAP_X: f64 = 70.0;
const GAP_Y: f64 = 18.0;
const MARGIN: f64 = 14.0;

pub(super) fn draw(runs: &[TemplateRun]) -> String {
    let columns = columns(runs);
    let mut filled = vec![0_usize; runs.len() + 1];
    let mut places = Vec::new();
    for column in &columns {
        let row = filled[*column];
        filled[*column] += 1;
        places.push((MARGIN + *column as f64 * (WIDTH + GAP_X), MARGIN + row as f64 * (HEIGHT + GAP_Y)));
    }
    let right = places.iter().map(|(x, _)| x + WIDTH).fold(0.0, f64::max) + MARGIN;
    let lowest = places.iter().map(|(_, y)| y + HEIGHT).fold(0.0, f64::max);
    let bottom = lowest + MARGIN + HEIGHT;
    let detour = lowest + HEIGHT;
    let mut drawing = format!(
        "<div class=\"scroll\"><svg width=\"{right:.0}\" height=\"{bottom:.0}\" role=\"img\" aria-label=\"graph of templates\">"
    );
    for (run, to) in runs.iter().zip(&places) {
        for need in &run.needs {
            if let Some(from) = runs.iter().position(|other| other.template == need.template) {
                drawing.push_str(&edge(places[from], *to, detour, &need.takes.join(", ")));
            }
        }
    }
    for (run, (x, y)) in runs.iter().zip(&places) {
        let done = run.steps.iter().filter(|step| !step.cached).count();
        let is_busy = done > 0 || run.target_seconds > 0.0;
        let class = if is_busy { "node busy" } else { "node" };
        drawing.push_str(&rectangle([*x, *y, WIDTH, HEIGHT], class, &run.template));
        drawing.push_str(&words(x + 10.0, y + 19.0, WIDTH - 20.0, "", &run.template));
        let below = format!("{}: {done} of {} steps done", run.target, run.steps.len());
        drawing.push_str(&words(x + 10.0, y + 36.0, WIDTH - 20.0, "dim", &below));
    }
    drawing.push_str("</svg></div>");
    drawing
}

/// One column further right than the last of what it needs. Runs come after what they need.
fn columns(runs: &[TemplateRun]) -> Vec<usize> {
    let mut columns: Vec<usize> = Vec::new();
    for run in runs {
        let needed = run.needs.iter().filter_map(|need| runs.iter().position(|other| other.template == need.template));
        let column = needed.filter_map(|index| columns.get(index)).map(|column| column + 1).max().unwrap_or(0);
        columns.push(column);
    }
    columns
}

/// An edge to the next column is direct; a longer one goes below all boxes, so that none hides it.
fn edge(from: (f64, f64), to: (f64, f64), detour: f64, hint: &str) -> String {
    let (x1, y1) = (from.0 + WIDTH, from.1 + HEIGHT / 2.0);
    let (x2, y2) = (to.0, to.1 + HEIGHT / 2.0);
    let bend = (x2 - x1) / 2.0;
    let is_long = x2 - x1 > GAP_X + 1.0;
    let (c1, c2) = if is_long { (x1 + GAP_X, x2 - GAP_X) } else { (x1 + bend, x2 - bend) };
    let (d1, d2) = if is_long { (detour, detour) } else { (y1, y2) };
    let (head_x, top, low) = (x2 - 7.0, y2 - 4.0, y2 + 4.0);
    format!(
        "<path class=\"edge\" d=\"M{x1:.1} {y1:.1} C{c1:.1} {d1:.1} {c2:.1} {d2:.1} {x2:.1} {y2:.1}\"><title>{}</title></path>\
         <path class=\"head\" d=\"M{x2:.1} {y2:.1} L{head_x:.1} {top:.1} L{head_x:.1} {low:.1} Z\"/>",
        escaped(hint)
    )
}
