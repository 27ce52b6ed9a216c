//! `build --report`: one HTML page about a run, in which everything is inside.

mod graph;
mod rows;
mod steps;
mod timeline;
mod treemap;

use image_steps::{BuildRequest, Built, TemplateRun};
use std::fmt::Write as _;

const STYLE: &str = include_str!("style.css");

/// The page.
pub(crate) fn page(request: &BuildRequest, built: &Built) -> String {
    let title = escaped(&format!("{}/{}", request.group, request.name));
    let end = |run: &TemplateRun| run.began + run.seconds + run.evidence_seconds.unwrap_or(0.0);
    let seconds = built.runs.iter().map(end).fold(0.0, f64::max);
    let steps = || built.runs.iter().flat_map(|run| &run.steps);
    let cached = steps().filter(|step| step.cached).count();
    let image = built.artifact.as_ref().map_or_else(
        || "no image: the target is a dataset".to_owned(),
        |artifact| {
            let state = if artifact.unchanged { "was there already" } else { "written" };
            format!("<code>{}</code>, {state}", escaped(&artifact.path.display().to_string()))
        },
    );
    let mut page = String::new();
    let mut put = |part: &str| page.push_str(part);
    put("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    put("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    put(&format!("<title>{title} – image-builder</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"));
    put(&format!("<header><h1>{title}</h1>\n<p>{image}</p>\n<dl class=\"facts\">"));
    for (name, value) in [
        ("time", duration(seconds)),
        ("templates", built.runs.len().to_string()),
        ("steps done", (steps().count() - cached).to_string()),
        ("steps cached", cached.to_string()),
    ] {
        put(&format!("<div><dt>{name}</dt><dd>{value}</dd></div>"));
    }
    put("</dl></header>\n");
    put(&section("Templates and their steps", &graph::draw(&built.runs)));
    put(&section("When", &timeline::draw(&built.runs, seconds)));
    put(&section("Where the bytes are", &treemap::draw(&built.sizes)));
    put(&section("Steps", &steps::table(&built.runs)));
    put("</body>\n</html>\n");
    page
}

fn section(title: &str, content: &str) -> String {
    format!("<section><h2>{title}</h2>\n{content}\n</section>\n")
}

/// Text as it stands in HTML, also inside attributes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

fn duration(seconds: f64) -> String {
    if seconds >= 90.0 {
        return format!("{} min {:02} s", (seconds / 60.0) as u64, (seconds % 60.0) as u64);
    }
    if seconds >= 1.0 { format!("{seconds:.1} s") } else { format!("{:.0} ms", seconds * 1000.0) }
}

/// A rectangle with words for whoever points at it.
fn rectangle(place: [f64; 4], class: &str, hint: &str) -> String {
    let [x, y, width, height] = place;
    let mut text = String::new();
    write!(
        text,
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"><title>{}</title></rect>",
        escaped(hint)
    )
    .expect("writing to a string");
    text
}

/// How many letters fit into `width`: in a proportional font, so about.
fn letters(width: f64, class: &str) -> usize {
    let letter = match class {
        "name" => 7.6,
        "dim" => 5.9,
        _ => 6.5,
    };
    (width / letter).max(0.0) as usize
}

/// Words at a place, cut to what fits into `width`.
fn words(x: f64, y: f64, width: f64, class: &str, text: &str) -> String {
    let room = letters(width, class);
    if room < 3 {
        return String::new();
    }
    let cut = if text.chars().count() > room {
        format!("{}…", text.chars().take(room - 1).collect::<String>())
    } else {
        text.to_owned()
    };
    format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escaped(&cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_templates_say_cannot_become_markup() {
        assert_eq!(escaped(r#"<b a="x" c='y'>&"#), "&lt;b a=&quot;x&quot; c=&#39;y&#39;&gt;&amp;");
        assert!(words(0.0, 0.0, 100.0, "c", "<script>").contains("&lt;script&gt;"));
    }

    #[test]
    fn numbers_are_for_people() {
        assert_eq!([duration(0.0123), duration(12.34), duration(95.0)], ["12 ms", "12.3 s", "1 min 35 s"]);
    }
}
