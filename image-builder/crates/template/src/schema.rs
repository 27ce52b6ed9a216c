//! A JSON Schema of templates, made from the tables that the loader reads by.
//!
//! It is for editors: it knows keys, types, bounds and what excludes what inside one object. What depends on features,
//! on other files or on the target is found by the loader only. Draft 2020-12.

use serde_json::{Map, Value, json};

use crate::field::{FieldSpec, Presence, Shape};
use crate::step::{StepDescription, step_types};
use crate::target::{TargetDescription, target_types};

/// What the fields of one object demand of each other, beside their own rows.
const TOGETHER: [(&str, &str); 6] = [
    (
        "remove_files",
        r#"{ "oneOf": [ { "required": ["file"] }, { "required": ["dir"] }, { "required": ["pattern"] } ] }"#,
    ),
    (
        "ensure_file",
        r#"{ "anyOf": [ { "required": ["src"] }, { "required": ["extsrc"] }, { "required": ["outputsrc"] },
            { "required": ["imagesrc"] }, { "required": ["tarsrc"] }, { "required": ["contents"] } ] }"#,
    ),
    ("pkg_image_create", r#"{ "dependentRequired": { "publisher": ["uri"], "uri": ["publisher"] } }"#),
    (
        "pkg_set_publisher",
        r#"{ "anyOf": [ { "required": ["uri"] }, { "required": ["uris"] }, { "required": ["mirror_uri"] },
            { "required": ["mirror_uris"] } ],
            "not": { "anyOf": [ { "required": ["uri", "uris"] }, { "required": ["mirror_uri", "mirror_uris"] } ] } }"#,
    ),
    ("iso", r#"{ "dependentRequired": { "hybrid": ["boot_uefi"] } }"#),
    (
        "seed_smf",
        r#"{ "not": { "required": ["apply_site", "apply_profiles"], "properties":
        { "apply_site": { "const": true }, "apply_profiles": { "minItems": 1 } } } }"#,
    ),
];

/// The schema of a template file, main or include.
#[must_use]
pub fn schema() -> Value {
    let targets = target_types();
    let steps = step_types();
    let mut properties = Map::new();
    properties.insert("$schema".to_owned(), json!({ "type": "string", "description": "For editors." }));
    properties.insert("features".to_owned(), features());
    for target in &targets {
        properties.insert(target.name.to_owned(), json!({ "$ref": format!("#/$defs/target_{}", target.name) }));
    }
    let list =
        json!({ "type": "array", "items": { "$ref": "#/$defs/step" }, "description": "What is done, in order." });
    properties.insert("steps".to_owned(), list);

    let mut definitions = Map::new();
    definitions.insert("step".to_owned(), step(&steps));
    definitions.extend(targets.iter().map(|target| (format!("target_{}", target.name), target_object(target))));
    definitions.extend(steps.iter().map(|step| (format!("step_{}", step.name), step_object(step))));
    // A main template has one target, an include none.
    let pairs = targets.iter().enumerate().flat_map(|(index, first)| {
        targets[index + 1..].iter().map(move |second| json!({ "required": [first.name, second.name] }))
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "image-builder template",
        "description": "What image to build, and by which steps; docs/formats/template.md says more.",
        "type": "object",
        "required": ["steps"],
        "additionalProperties": false,
        "properties": properties,
        "not": { "anyOf": pairs.collect::<Vec<_>>() },
        "$defs": definitions,
    })
}

fn features() -> Value {
    json!({
        "type": "object",
        "description": "The features that the template knows, with their defaults.",
        "propertyNames": { "pattern": "^[A-Za-z]([A-Za-z0-9_-]*[A-Za-z0-9_])?$" },
        "additionalProperties": {
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "default": { "type": ["string", "null"], "description": "The value when no directive names it." },
                "doc": { "type": ["string", "null"], "description": "What it is for." },
            },
        },
    })
}

/// A step is judged by the definition that its `t` names.
fn step(steps: &[StepDescription]) -> Value {
    let words: Vec<&str> = steps.iter().flat_map(|step| std::iter::once(step.name).chain(step.alias)).collect();
    let choice = |step: &StepDescription| {
        let words: Vec<&str> = std::iter::once(step.name).chain(step.alias).collect();
        json!({
            "if": { "required": ["t"], "properties": { "t": { "enum": words } } },
            "then": { "$ref": format!("#/$defs/step_{}", step.name) },
        })
    };
    json!({
        "type": "object",
        "required": ["t"],
        "properties": { "t": { "enum": words } },
        "allOf": steps.iter().map(choice).collect::<Vec<_>>(),
    })
}

fn step_object(step: &StepDescription) -> Value {
    let guard = |what: &str| json!({ "type": ["string", "null"], "pattern": "^[A-Za-z0-9_-]+$", "description": what });
    let own = [
        ("t", json!({ "description": "What to do." })),
        ("with", guard("Only if this feature is defined.")),
        ("without", guard("Only if this feature is not defined.")),
    ];
    object(step.name, &step.fields, own.map(|(name, value)| (name.to_owned(), value)).into_iter().collect())
}

fn target_object(target: &TargetDescription) -> Value {
    object(target.name, &target.fields, Map::new())
}

fn object(name: &str, fields: &[FieldSpec], mut properties: Map<String, Value>) -> Value {
    properties.extend(fields.iter().map(|field| (field.name.to_owned(), property(field))));
    let required: Vec<&str> =
        fields.iter().filter(|field| field.presence == Presence::Required).map(|field| field.name).collect();
    let mut object = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    let members = object.as_object_mut().expect("it is one");
    if !required.is_empty() {
        members.insert("required".to_owned(), json!(required));
    }
    if let Some((_, text)) = TOGETHER.iter().find(|(known, _)| *known == name) {
        let more: Map<String, Value> = serde_json::from_str(text).expect("a constant");
        members.extend(more);
    }
    object
}

fn property(field: &FieldSpec) -> Value {
    let mut value = shape(&field.shape);
    let members = value.as_object_mut().expect("every shape is an object");
    match &field.presence {
        Presence::Required => {}
        Presence::Optional => allow_null(members),
        Presence::Default(text) => {
            members.insert("default".to_owned(), serde_json::from_str(text).expect("a default is JSON"));
        }
    }
    let meaning: Vec<&str> = field.doc.lines().map(str::trim).collect();
    members.insert("description".to_owned(), json!(meaning.join(" ")));
    value
}

/// `null` is as good as absence.
fn allow_null(members: &mut Map<String, Value>) {
    if let Some(Value::String(kind)) = members.get("type").cloned() {
        members.insert("type".to_owned(), json!([kind, "null"]));
    }
}

fn shape(shape: &Shape) -> Value {
    match shape {
        Shape::Text => json!({ "type": "string" }),
        Shape::Octal => json!({ "type": "string", "pattern": "^0*[0-7]{1,4}$" }),
        Shape::Keyword(words) => json!({ "type": "string", "enum": words }),
        Shape::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::IntegerOrAuto => json!({ "anyOf": [{ "type": "integer", "minimum": 1 }, { "const": "auto" }] }),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::TextList => json!({ "type": "array", "items": { "type": "string" } }),
        Shape::Object(fields) => object("", fields, Map::new()),
    }
}
