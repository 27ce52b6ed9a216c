//! The templates of a run as boxes, each to the right of what it needs, with their steps below each other.

use super::rows::{ROW, rows};
use super::{duration, escaped, rectangle, words};
use crate::terminal::counted;
use image_steps::TemplateRun;

const WIDTH: f64 = 250.0;
/// Of a box, without its steps.
const HEAD: f64 = 48.0;
const FOOT: f64 = 8.0;
const GAP_X: f64 = 44.0;
const GAP_Y: f64 = 20.0;
const MARGIN: f64 = 14.0;
/// Between edges that lead above boxes.
const LANE: f64 = 9.0;
const CORNER: f64 = 6.0;
/// A graph that is wider than the page is drawn smaller, down to this; beyond, the page scrolls.
const SMALLEST: f64 = 0.8;

/// A box: where it is, and how high.
#[derive(Clone, Copy)]
struct Place {
    x: f64,
    y: f64,
    height: f64,
}

impl Place {
    /// Where edges begin and end: beside the head.
    fn middle(self) -> f64 {
        self.y + HEAD / 2.0
    }
}

/// What a template takes from another one.
struct Edge {
    from: usize,
    to: usize,
    hint: String,
    /// Which lane above the boxes it takes, counted from the top; none to the next column, where nothing is in the way.
    lane: Option<usize>,
}

pub(super) fn draw(runs: &[TemplateRun]) -> String {
    let columns = columns(runs);
    let edges = edges(runs, &columns);
    let lanes = edges.iter().filter(|edge| edge.lane.is_some()).count();
    let top = MARGIN + lanes as f64 * LANE;
    let places = places(runs, &columns, top);
    let right = places.iter().map(|place| place.x + WIDTH).fold(0.0, f64::max) + MARGIN;
    let bottom = places.iter().map(|place| place.y + place.height).fold(0.0, f64::max) + MARGIN;
    let mut drawing = format!(
        "<div class=\"key\"><span><i class=\"done\"></i>step done</span><span><i class=\"cached\"></i>cached</span>\
         <span><i class=\"target\"></i>image written</span></div>\
         <div class=\"scroll\"><svg viewBox=\"0 0 {right:.0} {bottom:.0}\" \
         style=\"width:100%;min-width:{:.0}px;max-width:{right:.0}px\" role=\"img\" \
         aria-label=\"graph of templates and steps\">",
        right * SMALLEST
    );
    for edge in &edges {
        drawing.push_str(&draw_edge(edge, places[edge.from], places[edge.to]));
    }
    for (run, place) in runs.iter().zip(&places) {
        draw_box(run, *place, &mut drawing);
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

fn edges(runs: &[TemplateRun], columns: &[usize]) -> Vec<Edge> {
    let mut edges: Vec<Edge> = Vec::new();
    for (to, run) in runs.iter().enumerate() {
        for need in &run.needs {
            let Some(from) = runs.iter().position(|other| other.template == need.template) else { continue };
            let is_long = columns[to] > columns[from] + 1;
            let lane = edges.iter().filter(|edge| edge.lane.is_some()).count();
            edges.push(Edge { from, to, hint: need.takes.join(", "), lane: is_long.then_some(lane) });
        }
    }
    edges
}

fn places(runs: &[TemplateRun], columns: &[usize], top: f64) -> Vec<Place> {
    let mut free = vec![top; runs.len() + 1];
    let place = |(run, column): (&TemplateRun, &usize)| {
        let height = HEAD + rows(run).len() as f64 * ROW + FOOT;
        let place = Place { x: MARGIN + *column as f64 * (WIDTH + GAP_X), y: free[*column], height };
        free[*column] += height + GAP_Y;
        place
    };
    runs.iter().zip(columns).map(place).collect()
}

fn draw_box(run: &TemplateRun, place: Place, drawing: &mut String) {
    let Place { x, y, height } = place;
    let done = run.steps.iter().filter(|step| !step.cached).count();
    let is_busy = done > 0 || run.target_seconds > 0.0;
    let class = if is_busy { "node busy" } else { "node" };
    drawing.push_str(&rectangle([x, y, WIDTH, height], class, &run.template));
    drawing.push_str(&words(x + 12.0, y + 20.0, WIDTH - 24.0, "name", &run.template));
    let below = format!("{}: {done} of {} done, {}", run.target, counted(run.steps.len()), duration(run.seconds));
    drawing.push_str(&words(x + 12.0, y + 37.0, WIDTH - 24.0, "dim", &below));
    let rows = rows(run);
    let middle = |index: usize| y + HEAD + (index as f64 + 0.5) * ROW;
    let rail = x + 17.0;
    if let Some(last) = rows.len().checked_sub(1).filter(|last| *last > 0) {
        let (begin, end) = (middle(0), middle(last));
        drawing.push_str(&format!(
            "<line class=\"rail\" x1=\"{rail:.1}\" x2=\"{rail:.1}\" y1=\"{begin:.1}\" y2=\"{end:.1}\"/>"
        ));
    }
    for (index, row) in rows.iter().enumerate() {
        let (y, hint) = (middle(index), escaped(&row.hint));
        drawing.push_str(&format!(
            "<circle class=\"{}\" cx=\"{rail:.1}\" cy=\"{y:.1}\" r=\"4\"><title>{hint}</title></circle>",
            row.class
        ));
        let room = WIDTH - if row.seconds.is_some() { 72.0 } else { 37.0 };
        let words_class = if row.class == "cached" { "step dim" } else { "step" };
        drawing.push_str(&words(x + 29.0, y + 4.0, room, words_class, &row.words));
        if let Some(seconds) = row.seconds {
            let (x, seconds) = (x + WIDTH - 12.0, duration(seconds));
            drawing.push_str(&format!("<text class=\"dim end\" x=\"{x:.1}\" y=\"{:.1}\">{seconds}</text>", y + 4.0));
        }
    }
}

/// An edge to the next column is direct; a longer one goes above all boxes, so that none hides it.
fn draw_edge(edge: &Edge, from: Place, to: Place) -> String {
    let (x1, y1, x2, y2) = (from.x + WIDTH, from.middle(), to.x, to.middle());
    let line = match edge.lane {
        None => {
            let bend = (x1 + x2) / 2.0;
            format!("M{x1:.1} {y1:.1} C{bend:.1} {y1:.1} {bend:.1} {y2:.1} {x2:.1} {y2:.1}")
        }
        Some(lane) => {
            // Each in its own place beside the boxes, too.
            let aside = GAP_X / 2.0 - (lane % 4) as f64 * 4.0;
            let (a, b, up) = (x1 + aside, x2 - aside, MARGIN + lane as f64 * LANE - 4.0);
            let c = CORNER;
            format!(
                "M{x1:.1} {y1:.1} H{:.1} Q{a:.1} {y1:.1} {a:.1} {:.1} V{:.1} Q{a:.1} {up:.1} {:.1} {up:.1} \
                 H{:.1} Q{b:.1} {up:.1} {b:.1} {:.1} V{:.1} Q{b:.1} {y2:.1} {:.1} {y2:.1} H{x2:.1}",
                a - c,
                y1 - c,
                up + c,
                a + c,
                b - c,
                up + c,
                y2 - c,
                b + c,
            )
        }
    };
    let (head_x, top, low) = (x2 - 7.0, y2 - 4.0, y2 + 4.0);
    format!(
        "<path class=\"edge\" d=\"{line}\"><title>{}</title></path>\
         <path class=\"head\" d=\"M{x2:.1} {y2:.1} L{head_x:.1} {top:.1} L{head_x:.1} {low:.1} Z\"/>",
        escaped(&edge.hint)
    )
}
