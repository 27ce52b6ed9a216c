//! TOML as a tree in which every key and value knows where it is written.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::SourceFile;
use super::error::ConfigError;

/// Where something is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file, by its index in [`super::Configuration::files`].
    pub file: usize,
    /// The bytes in its text.
    pub span: Range<usize>,
}

/// The keys of a table.
pub type Table = BTreeMap<String, Entry>;

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Where the key is written; the first place, when a table is continued elsewhere.
    pub key: Origin,
    /// The value.
    pub node: Node,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it is written.
    pub origin: Origin,
    /// What it is.
    pub kind: Kind,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A table.
    Table(Table),
    /// A list, or an array of tables.
    List(Vec<Node>),
    /// A string, number or truth value.
    Scalar(Value),
}

impl Node {
    /// The value without places.
    pub fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Table(table) => to_json(table),
            Kind::List(items) => items.iter().map(Self::to_json).collect(),
            Kind::Scalar(value) => value.clone(),
        }
    }

    /// What kind of value it is, for messages.
    pub fn kind_name(&self) -> &'static str {
        match &self.kind {
            Kind::Table(_) => "a table",
            Kind::List(_) => "a list",
            Kind::Scalar(Value::String(_)) => "a string",
            Kind::Scalar(Value::Bool(_)) => "a truth value",
            Kind::Scalar(_) => "a number",
        }
    }
}

/// A table without places.
pub(super) fn to_json(table: &Table) -> Value {
    let members = table.iter().map(|(key, entry)| (key.clone(), entry.node.to_json()));
    Value::Object(members.collect::<Map<_, _>>())
}

/// Parses one file.
pub(super) fn parse(index: usize, file: &SourceFile) -> Result<Table, ConfigError> {
    let document = DeTable::parse(&file.text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        // The parser names no key, and its place is that of the second one.
        let message = match (error.message(), file.text.get(span.clone())) {
            ("duplicate key", Some(key)) => format!("duplicate key {}", key.trim()),
            (message, _) => message.to_owned(),
        };
        ConfigError::syntax(file, span, message)
    })?;
    table(index, file, document.into_inner())
}

fn table(index: usize, file: &SourceFile, table: DeTable<'_>) -> Result<Table, ConfigError> {
    let entries = table.into_iter().map(|(key, value)| {
        let origin = Origin { file: index, span: key.span() };
        Ok((key.into_inner().into_owned(), Entry { key: origin, node: node(index, file, value)? }))
    });
    entries.collect()
}

fn node(index: usize, file: &SourceFile, value: Spanned<DeValue<'_>>) -> Result<Node, ConfigError> {
    let span = value.span();
    let bad_number = || {
        let help = format!("whole numbers are from {} to {}; inf and nan are none", i64::MIN, i64::MAX);
        ConfigError::bad_value(file, span.clone(), "number is out of range".to_owned(), Some(help))
    };
    let kind = match value.into_inner() {
        DeValue::String(text) => Kind::Scalar(Value::from(text.into_owned())),
        DeValue::Boolean(truth) => Kind::Scalar(Value::from(truth)),
        // The protocol has none. As text it would be in force without anybody having said so.
        DeValue::Datetime(_) => {
            let help = "put it into quotes where text is meant".to_owned();
            return Err(ConfigError::bad_value(file, span, "no key takes a date or a time".to_owned(), Some(help)));
        }
        DeValue::Integer(integer) => {
            let number = i64::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| bad_number())?;
            Kind::Scalar(Value::from(number))
        }
        DeValue::Float(float) => {
            let number = float.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            Kind::Scalar(Value::Number(number.ok_or_else(bad_number)?))
        }
        DeValue::Array(items) => {
            Kind::List(items.into_iter().map(|item| node(index, file, item)).collect::<Result<_, _>>()?)
        }
        DeValue::Table(inner) => Kind::Table(table(index, file, inner)?),
    };
    Ok(Node { origin: Origin { file: index, span }, kind })
}

/// The key of an entry of the table at `prefix`, dotted, and quoted where TOML wants it: `a."b.c"` is another key than `a.b.c`.
pub fn dotted(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { quoted(key) } else { format!("{prefix}.{}", quoted(key)) }
}

/// A key as TOML wants it.
pub fn quoted(key: &str) -> String {
    let is_bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if is_bare { key.to_owned() } else { Value::from(key).to_string() }
}

/// Where `key` (dotted, list items as `[0]`) is written, or the nearest key above it that is.
pub(super) fn find_origin(root: &Table, key: &str) -> Option<Origin> {
    let mut table = root;
    let mut found = None;
    for segment in key.split('.') {
        let (name, indices) = split_indices(segment);
        let Some(entry) = table.get(name) else { break };
        let mut node = &entry.node;
        found = Some(entry.key.clone());
        for index in indices {
            let Kind::List(items) = &node.kind else { return found };
            let Some(item) = items.get(index) else { return found };
            found = Some(item.origin.clone());
            node = item;
        }
        let Kind::Table(inner) = &node.kind else { break };
        table = inner;
    }
    found
}

/// `servers[0][1]` → `servers` and 0, 1.
fn split_indices(segment: &str) -> (&str, Vec<usize>) {
    let (name, rest) = segment.split_once('[').unwrap_or((segment, ""));
    let indices = rest.split('[').filter_map(|index| index.strip_suffix(']')?.parse().ok());
    (name, indices.collect())
}
