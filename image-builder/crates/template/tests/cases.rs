//! Case directories: every kind of diagnostic as a user sees it, and whole templates as the engine sees them.
//!
//! A case is `tests/cases/NAME/` with template roots in `templates` (and `templates2`), external sources in
//! `external`, and an optional `request.json`. Its snapshot lies beside them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use miette::{GraphicalReportHandler, GraphicalTheme};
use serde_json::{Value, json};
use template::{Features, HostFiles, Request, Template, load};

/// Tests run in the package's directory, so that relative paths keep this machine's out of the snapshots.
const CASES: &str = "tests/cases";

fn request(case: &Path) -> Request {
    let text = fs::read_to_string(case.join("request.json")).unwrap_or_else(|_| "{}".to_owned());
    let given: Value = serde_json::from_str(&text).expect("request.json is JSON");
    let text = |key: &str, default: &str| given[key].as_str().unwrap_or(default).to_owned();
    let texts = |key: &str| -> Vec<String> {
        let list = given[key].as_array().cloned().unwrap_or_default();
        list.iter().map(|value| value.as_str().expect("a list of strings").to_owned()).collect()
    };
    let existing = |names: &[&str]| -> Vec<PathBuf> {
        names.iter().map(|name| case.join(name)).filter(|path| path.is_dir()).collect()
    };
    let mut external = existing(&["external", "external2"]);
    external.extend(texts("missing_external").iter().map(|name| case.join(name)));
    Request {
        roots: if given["no_roots"] == json!(true) { vec![] } else { existing(&["templates", "templates2"]) },
        external,
        group: text("group", "cloud"),
        name: text("name", "main"),
        features: Features::from_directives(texts("features")).expect("good directives"),
        lenient: given["lenient"] == json!(true),
    }
}

fn rendered(diagnostic: &dyn miette::Diagnostic) -> String {
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(100);
    let mut text = String::new();
    handler.render_report(&mut text, diagnostic).expect("writing to a string");
    // Trailing space is how the renderer draws empty lines, and what editors strip.
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

fn described(template: &Template) -> String {
    let steps: Vec<String> = template
        .steps
        .iter()
        .map(|located| {
            let json = serde_json::to_string(&located.step).expect("steps serialize");
            let chain: Vec<String> = located.origin.chain().iter().map(|from| format!(" < {from}")).collect();
            format!("{}{}\n  {json}", located.origin, chain.concat())
        })
        .collect();
    let skipped: Vec<String> =
        template.skipped.iter().map(|step| format!("{} {} {:?}", step.origin, step.name, step.guard)).collect();
    let read: Vec<String> = template.files_read.iter().map(|path| path.display().to_string()).collect();
    let warnings: Vec<String> = template.warnings.iter().map(|warning| rendered(warning)).collect();
    format!(
        "target {} at {}\nread:\n{}\nsteps:\n{}\nskipped:\n{}\nwarnings:\n{}",
        serde_json::to_string(&template.target).expect("targets serialize"),
        template.target_origin,
        read.join("\n"),
        steps.join("\n"),
        skipped.join("\n"),
        warnings.join("\n"),
    )
}

fn cases() -> Vec<String> {
    let entries = fs::read_dir(CASES).expect("the case directory");
    let directories = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir());
    let names: BTreeSet<String> = directories
        .map(|path| path.file_name().and_then(|name| name.to_str()).expect("a UTF-8 name").to_owned())
        .collect();
    names.into_iter().collect()
}

#[test]
fn every_case_gives_its_snapshot() {
    let names = cases();
    assert!(names.len() > 30, "only {} cases were found", names.len());
    for name in names {
        let case = Path::new(CASES).join(&name);
        let text = match load(&request(&case), &HostFiles) {
            Ok(template) => described(&template),
            Err(diagnostics) => rendered(&diagnostics),
        };
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(Path::new("cases").join(&name));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!("rendered", text));
    }
}

/// A new kind of diagnostic comes with a case that shows it.
#[test]
fn every_code_has_a_case() {
    let mut sources = Vec::new();
    collect(Path::new("src"), "rs", &mut sources);
    let mut codes = BTreeSet::new();
    for source in sources {
        let parts: Vec<String> = source.split('"').map(str::to_owned).collect();
        codes.extend(parts.into_iter().filter(|part| part.starts_with("template::")));
    }
    let mut snapshots = Vec::new();
    collect(Path::new("tests"), "snap", &mut snapshots);
    let shown: BTreeSet<&str> = snapshots.iter().flat_map(|text| text.split_whitespace()).collect();
    let unseen: Vec<&String> = codes.iter().filter(|code| !shown.contains(code.as_str())).collect();
    assert!(codes.len() > 25, "the sources name {} codes", codes.len());
    assert!(unseen.is_empty(), "no case shows {unseen:?}");
}

fn collect(directory: &Path, extension: &str, texts: &mut Vec<String>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, extension, texts);
        } else if path.extension().is_some_and(|found| found == extension) {
            texts.push(fs::read_to_string(&path).expect("UTF-8 text"));
        }
    }
}
