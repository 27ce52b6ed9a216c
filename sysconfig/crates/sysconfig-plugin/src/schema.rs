//! Schemas that are texts.

use serde_json::Value;

/// The JSON Schema that a text holds, for [`crate::Description::claim`]. A large one belongs into a file of its own
/// (`include_str!`): written with `json!`, each of its members becomes code of the plugin.
///
/// # Panics
///
/// When the text is no JSON.
pub fn schema(text: &str) -> Value {
    serde_json::from_slice(text.as_bytes()).expect("the schema of a plugin is JSON")
}
