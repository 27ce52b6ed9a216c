//! Every row of every field table of `docs/formats/template.md` has its cases: what a value means, what absence means,
//! what is wrong, and whether features are expanded.
//!
//! The cases are in `tests/conformance/{steps,targets}`, a file for each table. `complete` is an object that is right;
//! for each field there is
//!
//! * `value`: one that is right, and not what absence means;
//! * `means`: what the target or step is with it, as far as it matters; the field with this very value if not given;
//! * `with`, `without`: what else is in the object then, and what is not;
//! * `absent`, `absent_error`: what absence means, where the table's own word is not all: then its columns are compared;
//! * `meant_with`: what `value` and `with` mean together, where both are sources and one wins;
//! * `wrong`: a value, the error's code, and a part of its message.
//!
//! What the table says by itself is tried for every field without a case: other JSON types, every keyword, expansion.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use template::{Features, FieldSpec, MemoryFiles, Presence, Request, Shape, Template, load, step_types, target_types};

type Object = Map<String, Value>;

/// The cases of one table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    complete: Object,
    fields: BTreeMap<String, Case>,
    /// Without these fields the object has this code and message.
    #[serde(default)]
    wrong: Vec<(Vec<String>, String, String)>,
    /// Pairs of fields that exclude each other.
    #[serde(default)]
    conflicts: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    value: Value,
    means: Option<Object>,
    #[serde(default)]
    with: Object,
    #[serde(default)]
    without: Vec<String>,
    absent: Option<Object>,
    absent_error: Option<(String, String)>,
    meant_with: Option<Object>,
    #[serde(default)]
    wrong: Vec<(Value, String, String)>,
}

/// A table, and how an object of it becomes a template.
struct Table {
    name: &'static str,
    is_step: bool,
    target: Option<&'static str>,
    fields: Vec<FieldSpec>,
    cases: Cases,
}

fn tables() -> Vec<Table> {
    let table = |name: &'static str, is_step: bool, target, fields| {
        let directory = if is_step { "steps" } else { "targets" };
        let path = Path::new("tests/conformance").join(directory).join(format!("{name}.json"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("no cases for `{name}`: {path:?}: {error}"));
        let cases = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        Table { name, is_step, target, fields, cases }
    };
    let targets = target_types().into_iter().map(|target| table(target.name, false, None, target.fields));
    let steps = step_types().into_iter().map(|step| table(step.name, true, step.target, step.fields));
    targets.chain(steps).collect()
}

/// What an object becomes: the target or step as the engine sees it, or the errors as code and message.
type Outcome = Result<Value, Vec<(String, String)>>;

impl Table {
    /// The rows, those of objects inside an object under `OUTER.INNER`.
    fn rows(&self) -> Vec<(String, &FieldSpec)> {
        let mut rows = Vec::new();
        for field in &self.fields {
            rows.push((field.name.to_owned(), field));
            if let Shape::Object(inner) = &field.shape {
                rows.extend(inner.iter().map(|below| (format!("{}.{}", field.name, below.name), below)));
            }
        }
        rows
    }

    fn template(&self, object: &Object) -> Value {
        if !self.is_step {
            return json!({ self.name: object, "steps": [] });
        }
        let mut step = object.clone();
        step.insert("t".to_owned(), json!(self.name));
        let target = match self.target {
            Some("disk") => json!({ "disk": {} }),
            _ => json!({ "pool": { "name": "rpool", "size": 2000 } }),
        };
        let mut template = target;
        template["steps"] = json!([step]);
        template
    }

    fn load(&self, object: &Object, features: &[&str]) -> Outcome {
        let included = r#"{ "steps": [ { "t": "devfsadm" } ] }"#;
        let files = MemoryFiles::new()
            .file("t/g/main.json", self.template(object).to_string())
            .file("t/include/common.json", included)
            .file("/host/generated.json", included)
            .file("t/files/hosts", "")
            .file("t/files/ca.pem", "")
            .file("e/program", "");
        let request = Request {
            roots: vec!["t".into()],
            external: vec!["e".into()],
            group: "g".into(),
            name: "main".into(),
            features: Features::from_directives(features).expect("directives"),
            ..Request::default()
        };
        let told = |diagnostics: template::Diagnostics| {
            diagnostics.list().iter().map(|one| (one.code().to_owned(), one.message().to_owned())).collect()
        };
        load(&request, &files).map(|template| self.effective(&template)).map_err(told)
    }

    fn effective(&self, template: &Template) -> Value {
        if !self.is_step {
            return serde_json::to_value(&template.target).expect("JSON")[self.name].clone();
        }
        let step = template.steps.first().map(|located| serde_json::to_value(&located.step).expect("JSON"));
        // What an include means is the steps of the other file.
        step.unwrap_or_default()
    }

    /// `complete` with a field set, and its case's other fields.
    fn object(&self, row: &str, value: Option<Value>, case: &Case) -> Object {
        let mut object = self.cases.complete.clone();
        case.without.iter().for_each(|key| drop(object.remove(key)));
        match (row.split_once('.'), value) {
            (None, Some(value)) => drop(object.insert(row.to_owned(), value)),
            (None, None) => drop(object.remove(row)),
            (Some((outer, inner)), value) => {
                let outer = object.entry(outer).or_insert_with(|| json!({}));
                let outer = outer.as_object_mut().expect("an object");
                match value {
                    Some(value) => drop(outer.insert(inner.to_owned(), value)),
                    None => drop(outer.remove(inner)),
                }
            }
        }
        object
    }

    /// What the object is with this value of the field, as the loader is to see it.
    fn meant(&self, row: &str, value: &Value, case: &Case) -> Value {
        match (&case.means, row.split_once('.')) {
            _ if self.name == "include" => json!({ "t": "devfsadm" }),
            (Some(means), _) => json!(means),
            (None, Some((outer, inner))) => json!({ outer: { inner: value } }),
            (None, None) => json!({ row: value }),
        }
    }
}

/// Whether everything of `part` is in `whole`.
fn has(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, part)| has(whole.get(key).unwrap_or(&Value::Null), part))
        }
        _ => whole == part,
    }
}

#[track_caller]
fn is(outcome: &Outcome, part: &Value, context: &str) {
    match outcome {
        Ok(whole) => assert!(has(whole, part), "{context}: {part} is not in {whole}"),
        Err(errors) => panic!("{context}: {errors:?}"),
    }
}

/// Exactly one error, with this code and a part of the message.
#[track_caller]
fn is_refused(outcome: &Outcome, code: &str, message: &str, context: &str) {
    let Err(errors) = outcome else { panic!("{context}: {outcome:?} instead of {code}") };
    let [(found, said)] = errors.as_slice() else { panic!("{context}: {errors:?} instead of one error {code}") };
    assert!(*found == format!("template::{code}") && said.contains(message), "{context}: {found}: {said}");
}

/// Calls `check` with every row that has a case.
fn for_each_row(check: impl Fn(&Table, &str, &FieldSpec, &Case, &str)) {
    for table in tables() {
        for (row, field) in table.rows() {
            let context = format!("`{row}` of `{}`", table.name);
            let case = table.cases.fields.get(&row).unwrap_or_else(|| panic!("no case for {context}"));
            check(&table, &row, field, case, &context);
        }
    }
}

#[test]
fn every_row_has_a_case_and_every_case_a_row() {
    let mut without = Vec::new();
    for table in tables() {
        let rows: BTreeSet<String> = table.rows().into_iter().map(|(row, _)| row).collect();
        let rowless: Vec<&String> = table.cases.fields.keys().filter(|row| !rows.contains(*row)).collect();
        assert!(rowless.is_empty(), "`{}` has no rows {rowless:?}", table.name);
        for row in rows {
            // An object is wrong where its members are, and they have rows.
            let is_object = matches!(
                table.fields.iter().find(|field| field.name == row),
                Some(FieldSpec { shape: Shape::Object(_), .. })
            );
            match table.cases.fields.get(&row) {
                Some(case) if is_object || !case.wrong.is_empty() => {}
                Some(_) => without.push(format!("`{}`, `{row}`: nothing wrong", table.name)),
                None => without.push(format!("`{}`, `{row}`", table.name)),
            }
        }
    }
    assert!(without.is_empty(), "rows without a case: {without:#?}");
    let names: BTreeSet<String> = tables().iter().map(|table| format!("{}.json", table.name)).collect();
    for directory in ["steps", "targets"] {
        for entry in fs::read_dir(Path::new("tests/conformance").join(directory)).expect("cases") {
            let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
            assert!(names.contains(&name), "{name} has cases for no table");
        }
    }
}

#[test]
fn values_mean_what_the_table_says() {
    for table in tables() {
        assert!(
            table.load(&table.cases.complete, &[]).is_ok(),
            "{}: {:?}",
            table.name,
            table.load(&table.cases.complete, &[])
        );
    }
    for_each_row(|table, row, field, case, context| {
        let mut object = table.object(row, Some(case.value.clone()), case);
        is(&table.load(&object, &[]), &table.meant(row, &case.value, case), context);
        object.extend(case.with.clone());
        if let Some(meant) = &case.meant_with {
            is(&table.load(&object, &[]), &json!(meant), context);
        }
        let Shape::Keyword(words) = &field.shape else { return };
        for word in words {
            let outcome = table.load(&table.object(row, Some(json!(word)), case), &[]);
            assert!(outcome.is_ok(), "{context}: {word}: {outcome:?}");
        }
    });
}

#[test]
fn absence_means_what_the_table_says() {
    for_each_row(|table, row, field, case, context| {
        // Nothing stands in its place but what the case says.
        let place = nothing();
        let load = |value| {
            let mut object = table.object(row, value, &place);
            object.extend(case.with.clone());
            table.load(&object, &[])
        };
        let outcome = load(None);
        let name = row.rsplit('.').next().expect("a name");
        match (&field.presence, &case.absent, &case.absent_error) {
            (Presence::Required, _, _) => is_refused(&outcome, "missing-key", &format!("`{name}`"), context),
            (_, _, Some((code, message))) => is_refused(&outcome, code, message, context),
            (_, Some(absent), _) => is(&outcome, &json!(absent), context),
            (Presence::Default(default), ..) => {
                let default: Value = serde_json::from_str(default).expect("JSON");
                assert_ne!(default, case.value, "{context}: the case shows nothing");
                let part = match row.split_once('.') {
                    Some((outer, inner)) => json!({ outer: { inner: default } }),
                    None => json!({ row: default }),
                };
                is(&outcome, &part, context);
            }
            (Presence::Optional, ..) => is(&outcome, &table.meant(row, &Value::Null, &nothing()), context),
        }
        // `null` is absence where absence is allowed, and means none.
        if matches!(field.presence, Presence::Optional) {
            assert_eq!(load(Some(Value::Null)), outcome, "{context}: null");
        }
    });
}

fn nothing() -> Case {
    serde_json::from_value(json!({ "value": null })).expect("a case")
}

#[test]
fn what_is_wrong_is_refused() {
    for table in tables() {
        for (keys, code, message) in &table.cases.wrong {
            let mut object = table.cases.complete.clone();
            keys.iter().for_each(|key| drop(object.remove(key)));
            is_refused(&table.load(&object, &[]), code, message, &format!("`{}` without {keys:?}", table.name));
        }
        for (one, other) in &table.cases.conflicts {
            let mut object = table.cases.complete.clone();
            object.insert(one.clone(), table.cases.fields[one].value.clone());
            object.insert(other.clone(), table.cases.fields[other].value.clone());
            is_refused(&table.load(&object, &[]), "conflicting-keys", &format!("`{one}`"), table.name);
        }
        let mut unknown = table.cases.complete.clone();
        unknown.insert("qqqq".to_owned(), json!(1));
        is_refused(&table.load(&unknown, &[]), "unknown-key", "`qqqq`", table.name);
    }
    for_each_row(|table, row, _, case, context| {
        for (value, code, message) in &case.wrong {
            let outcome = table.load(&table.object(row, Some(value.clone()), case), &[]);
            is_refused(&outcome, code, message, &format!("{context}, {value}"));
        }
    });
}

/// Every field that is a path, and what it begins with: `/` in the image and on the host, none beside the templates and in
/// the output area.
const PATHS: [(&str, &str, bool); 29] = [
    ("include", "file", true),
    ("include", "name", false),
    ("ensure_file", "file", true),
    ("ensure_file", "imagesrc", true),
    ("ensure_file", "tarsrc", true),
    ("ensure_file", "src", false),
    ("ensure_file", "extsrc", false),
    ("ensure_file", "outputsrc", false),
    ("ensure_dir", "dir", true),
    ("ensure_symlink", "link", true),
    ("ensure_perms", "path", true),
    ("remove_files", "file", true),
    ("remove_files", "dir", true),
    ("require_path", "path", true),
    ("assemble_files", "dir", true),
    ("assemble_files", "output", true),
    ("gzip", "target", true),
    ("gzip", "src", false),
    ("digest", "target", true),
    ("digest", "src", false),
    ("pack_tar", "name", false),
    ("pack_tar", "include", false),
    ("unpack_tar", "name", false),
    ("pkg_approve_ca_cert", "certfile", false),
    ("pkg_set_p5p_publisher", "archive", true),
    ("iso", "boot_bios", false),
    ("iso", "boot_uefi", false),
    ("iso", "hybrid.stage1", false),
    ("iso", "hybrid.stage2", false),
];

/// The original takes `..` everywhere, and an absolute name of an archive for a path of the host.
#[test]
fn no_path_begins_wrongly_or_leads_out_of_its_place() {
    for (table, row, _) in PATHS {
        let found = tables().into_iter().find(|known| known.name == table);
        assert!(found.is_some_and(|found| found.rows().iter().any(|(known, _)| known == row)), "{row} of {table}");
    }
    for_each_row(|table, row, field, case, context| {
        let Some((.., is_absolute)) = PATHS.iter().find(|known| (known.0, known.1) == (table.name, row)) else {
            return;
        };
        let (good, wrong) = if *is_absolute { ("/a", "a") } else { ("a", "/a") };
        for (path, message) in [(wrong.to_owned(), "start with `/`"), (format!("{good}/../../b"), "`..`")] {
            let value = if matches!(field.shape, Shape::TextList) { json!([path]) } else { json!(path) };
            is_refused(&table.load(&table.object(row, Some(value), case), &[]), "bad-path", message, context);
        }
    });
}

#[test]
fn other_types_are_refused() {
    for_each_row(|table, row, field, case, context| {
        let wrong = match field.shape {
            Shape::Text | Shape::Octal | Shape::Keyword(_) => json!(["x"]),
            Shape::Integer { .. } | Shape::IntegerOrAuto | Shape::Flag => json!("x"),
            Shape::TextList => json!("x"),
            Shape::Object(_) => json!([]),
        };
        is_refused(&table.load(&table.object(row, Some(wrong), case), &[]), "wrong-type", "", context);
        if matches!(field.shape, Shape::TextList) {
            is_refused(&table.load(&table.object(row, Some(json!([1])), case), &[]), "wrong-type", "", context);
        }
    });
}

#[test]
fn features_are_expanded_where_the_table_says() {
    for_each_row(|table, row, field, case, context| {
        let load = |value: Value, features: &[&str]| table.load(&table.object(row, Some(value), case), features);
        let meant = |value: &Value| table.meant(row, value, case);
        let directive = |name: &str, value: &Value| format!("{name}={}", value.as_str().expect("a string"));
        match (&case.value, field.expanded) {
            (Value::String(_), true) => {
                let defined = directive("f", &case.value);
                is(&load(json!("${f}"), &[&defined]), &meant(&case.value), context);
                is_refused(&load(json!("${f}"), &[]), "undefined-feature", "`f`", context);
            }
            (Value::Array(list), true) => {
                let defined: Vec<String> =
                    ["f0", "f1"].iter().zip(list).map(|(name, value)| directive(name, value)).collect();
                let defined: Vec<&str> = defined.iter().map(String::as_str).collect();
                let written: Vec<String> = (0..list.len()).map(|index| format!("${{f{index}}}")).collect();
                is(&load(json!(written), &defined), &meant(&case.value), context);
                // An element that only expansion made blank is none.
                let blank: Vec<&str> =
                    std::iter::once("${none?x}").chain(list.iter().filter_map(Value::as_str)).collect();
                is(&load(json!(blank), &[]), &meant(&case.value), context);
                assert_eq!(field.multi_valued, values_multiply(&load, list), "{context}");
            }
            (Value::String(text), false) => {
                // Taken as it stands, or refused for what it is: never expanded.
                match load(json!(format!("{text}${{f}}")), &["f=x"]) {
                    Ok(whole) => assert!(whole.to_string().contains("${f}"), "{context}: {whole}"),
                    Err(errors) => assert!(
                        errors.iter().all(|(code, _)| code != "template::undefined-feature"),
                        "{context}: {errors:?}"
                    ),
                }
            }
            _ => assert!(!field.expanded, "{context}: the case does not show expansion"),
        }
    });
}

/// Whether `${@f}` gives an element for each value, in the order in which they were given.
fn values_multiply(load: &dyn Fn(Value, &[&str]) -> Outcome, list: &[Value]) -> bool {
    let values: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
    let [first, rest @ ..] = values.as_slice() else { return false };
    let mut features = vec![format!("f={first}")];
    features.extend(rest.iter().map(|value| format!("f+={value}")));
    let features: Vec<&str> = features.iter().map(String::as_str).collect();
    let plain = load(json!(list), &[]);
    load(json!(["${@f}"]), &features) == plain
        && load(json!(["${@@f}"]), &features) == plain
        && load(json!(["${@@f}"]), &[]).is_err()
}
