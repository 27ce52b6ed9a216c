//! Every step of every template, in a table.

use super::{duration, escaped};
use crate::terminal::counted;
use image_steps::TemplateRun;
use std::fmt::Write as _;

pub(super) fn table(runs: &[TemplateRun]) -> String {
    let mut text = String::new();
    for run in runs.iter().rev() {
        let done = run.steps.iter().filter(|step| !step.cached).count();
        let open = if done > 0 { " open" } else { "" };
        let (template, steps, seconds) = (escaped(&run.template), counted(run.steps.len()), duration(run.seconds));
        write!(text, "<details{open}><summary>{template}: {done} of {steps} done, {seconds}</summary><table>")
            .expect("writing to a string");
        for (number, step) in run.steps.iter().enumerate() {
            let (class, state) = if step.cached { (" class=\"was-cached\"", "cached") } else { ("", "done") };
            let (title, origin) = (escaped(&step.title), escaped(&step.origin));
            let (number, seconds) = (number + 1, duration(step.seconds));
            write!(
                text,
                "<tr{class}><td class=\"number\">{number}</td><td>{title}</td><td>{state}</td>\
                 <td class=\"number\">{seconds}</td><td><code>{origin}</code></td></tr>"
            )
            .expect("writing to a string");
        }
        text.push_str("</table></details>\n");
    }
    text
}
