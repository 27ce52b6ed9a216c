//! The field tables of `docs/formats/template.md` are made from the tables that the loader reads by.
//!
//! `UPDATE_DOCS=1 cargo nextest run -p template` writes them anew.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use template::{FieldSpec, Presence, Shape, step_types, target_types};

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/formats/template.md")
}

fn value(shape: &Shape) -> String {
    match shape {
        Shape::Text => "string".to_owned(),
        Shape::Octal => "string of octal digits".to_owned(),
        Shape::Keyword(words) => words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", "),
        Shape::Integer { min, max } => format!("integer, {min} to {max}"),
        Shape::IntegerOrAuto => "integer or `\"auto\"`".to_owned(),
        Shape::Flag => "boolean".to_owned(),
        Shape::TextList => "list of strings".to_owned(),
        Shape::Object(fields) => {
            let names: Vec<String> = fields.iter().map(|field| format!("`{}`", field.name)).collect();
            format!("object with {}", names.join(", "))
        }
    }
}

fn table(fields: &[FieldSpec]) -> String {
    if fields.is_empty() {
        return "No arguments.\n".to_owned();
    }
    let mut table =
        "| field | value | when absent | expanded | meaning |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for field in fields {
        let absent = match &field.presence {
            Presence::Required => "error".to_owned(),
            Presence::Optional => "none".to_owned(),
            Presence::Default(json) => format!("`{json}`"),
        };
        let expanded = match (field.expanded, field.multi_valued) {
            (false, _) => "no",
            (true, false) => "yes",
            (true, true) => "yes, `@` too",
        };
        let meaning: Vec<&str> = field.doc.lines().map(str::trim).collect();
        let meaning = meaning.join(" ");
        writeln!(table, "| `{}` | {} | {absent} | {expanded} | {meaning} |", field.name, value(&field.shape))
            .expect("writing to a string");
    }
    table
}

/// Puts every table between its markers; a step without markers, or markers without a step, is an error.
fn with_tables(text: &str) -> String {
    let targets = target_types().into_iter().map(|target| (target.name, target.fields));
    let steps = step_types().into_iter().map(|step| (step.name, step.fields));
    let mut tables: Vec<(&str, String)> = targets.chain(steps).map(|(name, fields)| (name, table(&fields))).collect();
    let mut out = String::new();
    let mut inside = false;
    for line in text.lines() {
        if line == "<!-- /fields -->" {
            inside = false;
        }
        if !inside {
            out.push_str(line);
            out.push('\n');
        }
        if let Some(name) = line.strip_prefix("<!-- fields: ").and_then(|rest| rest.strip_suffix(" -->")) {
            let found = tables.iter().position(|(known, _)| *known == name);
            let found = found.unwrap_or_else(|| panic!("the document has a table for `{name}`, which does not exist"));
            out.push_str(&tables.remove(found).1);
            inside = true;
        }
    }
    let missing: Vec<&str> = tables.iter().map(|(name, _)| *name).collect();
    assert!(missing.is_empty(), "the document has no table for {missing:?}");
    out
}

#[test]
fn the_tables_of_the_document_are_those_of_the_loader() {
    let text = fs::read_to_string(document()).expect("docs/formats/template.md");
    let expected = with_tables(&text);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(document(), &expected).expect("written");
        return;
    }
    assert!(text == expected, "docs/formats/template.md is out of date; run this test with UPDATE_DOCS=1");
}

#[test]
fn every_field_says_what_it_means() {
    let fields = step_types().into_iter().flat_map(|step| step.fields);
    for field in fields.chain(target_types().into_iter().flat_map(|target| target.fields)) {
        assert!(field.doc.ends_with('.') && field.doc.len() > 8, "`{}` is documented as {:?}", field.name, field.doc);
    }
}
