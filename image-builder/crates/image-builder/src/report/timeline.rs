//! The run from left to right: a row for each template, a bar for each step.

use super::{duration, rectangle, words};
use image_steps::TemplateRun;
use std::fmt::Write as _;

const LABEL: f64 = 200.0;
const WIDTH: f64 = 920.0;
const ROW: f64 = 30.0;
const TOP: f64 = 24.0;
/// A bar that would be thinner is drawn so wide, so that it is seen.
const THINNEST: f64 = 1.0;

pub(super) fn draw(runs: &[TemplateRun], seconds: f64) -> String {
    let scale = WIDTH / seconds.max(1e-6);
    let (width, height) = (LABEL + WIDTH + 50.0, TOP + ROW * runs.len() as f64 + 10.0);
    let mut drawing =
        "<div class=\"key\"><span><i class=\"done\"></i>done</span><span><i class=\"cached\"></i>cached</span>\
                       <span><i class=\"target\"></i>image written</span>\
                       <span><i class=\"evidence\"></i>checksums and manifest</span></div>"
            .to_owned();
    write!(
        drawing,
        "<div class=\"scroll\"><svg width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" aria-label=\"time line\">"
    )
    .expect("writing to a string");
    let step = tick(seconds);
    for index in 0..=(seconds / step + 1e-6) as u32 {
        let at = f64::from(index) * step;
        let x = LABEL + at * scale;
        write!(drawing, "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{height:.0}\"/>")
            .expect("writing to a string");
        drawing.push_str(&words(x - 14.0, 15.0, 80.0, "dim", &duration(at)));
    }
    for (row, run) in runs.iter().enumerate() {
        let y = TOP + ROW * row as f64 + 5.0;
        drawing.push_str(&words(10.0, y + 14.0, LABEL - 20.0, "", &run.template));
        let mut bar = |began: f64, seconds: f64, class: &str, hint: &str| {
            let hint = format!("{hint}: {}", duration(seconds));
            let place = [LABEL + began * scale, y, (seconds * scale).max(THINNEST), ROW - 10.0];
            drawing.push_str(&rectangle(place, class, &hint));
        };
        for step in &run.steps {
            bar(step.began, step.seconds, if step.cached { "cached" } else { "done" }, &step.title);
        }
        if run.target_seconds > 0.0 {
            bar(run.began + run.seconds - run.target_seconds, run.target_seconds, "target", run.target);
        }
        if let Some(seconds) = run.evidence_seconds {
            bar(run.began + run.seconds, seconds, "evidence", "checksums and manifest");
        }
    }
    drawing.push_str("</svg></div>");
    drawing
}

/// Seconds between two lines of the grid: a round number, so that there are five to ten of them.
fn tick(seconds: f64) -> f64 {
    let power = 10_f64.powf((seconds.max(1e-3) / 5.0).log10().floor());
    [5.0, 2.0].map(|factor| factor * power).into_iter().find(|step| seconds / step >= 5.0).unwrap_or(power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_has_round_numbers() {
        for (seconds, step) in
            [(0.006, 0.001), (1.9, 0.2), (1.0, 0.2), (12.0, 2.0), (26.0, 5.0), (49.0, 5.0), (600.0, 100.0)]
        {
            assert!((tick(seconds) - step).abs() < step * 1e-9, "{seconds}: {}", tick(seconds));
            assert!((5.0..=10.0).contains(&(seconds / step)), "{seconds}");
        }
        assert!(tick(0.0) > 0.0);
    }
}
