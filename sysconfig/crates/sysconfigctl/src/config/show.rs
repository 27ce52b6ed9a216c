//! `config show`: what all files say together, and where each key is set.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use sysconfig::config::{Entry, Kind, Reading, SourceFile, Sources, Table, dotted, load_merged, quoted};
use sysconfig_protocol::admin::Place;

use crate::command::Failure;

/// A key that is set, with its place.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    value: Value,
    origin: Place,
}

/// Every key that is set to something other than a table, dotted.
pub(super) fn show(sources: &Sources) -> Result<BTreeMap<String, Shown>, Failure> {
    let (files, merged) = load_merged(sources, Reading::LENIENT).map_err(Failure::Config)?;
    let mut keys = BTreeMap::new();
    collect(&merged, "", &files, &mut keys);
    Ok(keys)
}

fn collect(table: &Table, prefix: &str, files: &[SourceFile], keys: &mut BTreeMap<String, Shown>) {
    for (key, Entry { key: origin, node }) in table {
        let dotted = dotted(prefix, key);
        match &node.kind {
            Kind::Table(inner) if !inner.is_empty() => collect(inner, &dotted, files, keys),
            _ => {
                let origin = files[origin.file].place(origin.span.start);
                keys.insert(dotted, Shown { value: node.to_json(), origin });
            }
        }
    }
}

/// The keys as TOML, one a line; their places are comments behind them.
pub(super) fn render(keys: &BTreeMap<String, Shown>, with_origin: bool) -> String {
    let line = |(key, Shown { value, origin }): (&String, &Shown)| {
        let Place { file, line, column } = origin;
        let origin = if with_origin { format!("  # {file}:{line}:{column}") } else { String::new() };
        format!("{key} = {}{origin}\n", toml_value(value))
    };
    crate::render::clean(&keys.iter().map(line).collect::<String>())
}

/// A value in TOML's words. JSON's strings are TOML's basic strings; only tables look different.
fn toml_value(value: &Value) -> String {
    let list = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(", ");
    match value {
        Value::Array(items) => format!("[{}]", list(&mut items.iter().map(toml_value))),
        Value::Object(members) => {
            let mut members = members.iter().map(|(key, value)| format!("{} = {}", quoted(key), toml_value(value)));
            format!("{{ {} }}", list(&mut members))
        }
        scalar => scalar.to_string(),
    }
}
