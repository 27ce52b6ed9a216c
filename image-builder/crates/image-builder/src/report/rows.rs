//! The steps of a template as lines that fit into a box: those in a row that are alike are one.

use image_steps::{StepRun, TemplateRun};

/// How high one is.
pub(super) const ROW: f64 = 18.0;
/// How many a box has at most.
const ROWS_MAX: usize = 24;

/// One line.
#[derive(Debug, PartialEq)]
pub(super) struct Row {
    pub(super) words: String,
    /// For whoever points at it.
    pub(super) hint: String,
    /// `done`, `cached` or `target`.
    pub(super) class: &'static str,
    /// How long it took; none for what was cached.
    pub(super) seconds: Option<f64>,
}

/// The steps, and the image if it was written.
pub(super) fn rows(run: &TemplateRun) -> Vec<Row> {
    let kind = |step: &StepRun| step.title.split(' ').next().unwrap_or_default().to_owned();
    let alike = |step: &StepRun, next: &StepRun| kind(step) == kind(next) && step.cached == next.cached;
    let groups: Vec<&[StepRun]> = run.steps.chunk_by(alike).collect();
    let shown = if groups.len() > ROWS_MAX { ROWS_MAX - 1 } else { groups.len() };
    let mut rows: Vec<Row> = groups[..shown].iter().map(|group| row(group)).collect();
    let rest: Vec<StepRun> = groups[shown..].concat();
    if !rest.is_empty() {
        let words =
            if rest.len() == 1 { "and one more step".to_owned() } else { format!("and {} more steps", rest.len()) };
        rows.push(Row { words, ..row(&rest) });
    }
    if run.target_seconds > 0.0 {
        let words = format!("target {}", run.target);
        let hint = run.image.as_ref().map_or_else(String::new, |image| image.display().to_string());
        rows.push(Row { words, hint, class: "target", seconds: Some(run.target_seconds) });
    }
    rows
}

/// Steps in a row.
fn row(steps: &[StepRun]) -> Row {
    const HINTS_MAX: usize = 12;
    let done: Vec<&StepRun> = steps.iter().filter(|step| !step.cached).collect();
    let words = match steps {
        [step] => step.title.clone(),
        [first, ..] => format!("{} × {}", first.title.split(' ').next().unwrap_or_default(), steps.len()),
        [] => String::new(),
    };
    let mut hint: Vec<String> =
        steps.iter().take(HINTS_MAX).map(|step| format!("{}, {}", step.title, step.origin)).collect();
    if steps.len() > HINTS_MAX {
        hint.push(format!("and {} more", steps.len() - HINTS_MAX));
    }
    let seconds = (!done.is_empty()).then(|| done.iter().map(|step| step.seconds).sum());
    Row { words, hint: hint.join("\n"), class: if done.is_empty() { "cached" } else { "done" }, seconds }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(title: &str, cached: bool) -> StepRun {
        StepRun { title: title.to_owned(), origin: "t.json:1:1".to_owned(), cached, began: 0.0, seconds: 0.5 }
    }

    fn run(steps: Vec<StepRun>) -> TemplateRun {
        let (template, needs, image) = ("g/t".to_owned(), Vec::new(), Some("out/g-t.iso".into()));
        let (target, began, seconds, target_seconds, unchanged) = ("iso", 0.0, 1.0, 0.25, false);
        let evidence_seconds = None;
        TemplateRun {
            template,
            target,
            needs,
            began,
            seconds,
            steps,
            target_seconds,
            image,
            unchanged,
            evidence_seconds,
        }
    }

    #[test]
    fn steps_in_a_row_that_are_alike_are_one_line() {
        let steps = vec![
            step("unpack_tar b.tar", true),
            step("remove_files /a", true),
            step("remove_files /b", false),
            step("remove_files /c", false),
            step("ensure_dir /d", false),
        ];
        let rows = rows(&run(steps));
        let told: Vec<_> = rows.iter().map(|row| (row.words.as_str(), row.class, row.seconds)).collect();
        assert_eq!(
            told,
            [
                ("unpack_tar b.tar", "cached", None),
                ("remove_files /a", "cached", None),
                ("remove_files × 2", "done", Some(1.0)),
                ("ensure_dir /d", "done", Some(0.5)),
                ("target iso", "target", Some(0.25)),
            ]
        );
        assert_eq!(rows[2].hint, "remove_files /b, t.json:1:1\nremove_files /c, t.json:1:1");
    }

    #[test]
    fn a_box_has_so_many_lines_and_no_more() {
        let steps = (0..100).map(|number| step(&format!("kind{number} /x"), number < 50)).collect();
        let rows = rows(&run(steps));
        assert_eq!(rows.len(), ROWS_MAX + 1);
        let rest = &rows[ROWS_MAX - 1];
        assert_eq!((rest.words.as_str(), rest.class, rest.seconds), ("and 77 more steps", "done", Some(25.0)));
    }
}
