//! Steps as they are read from the disk.
//!
//! Over the wire a step is read strictly. The disk may hold what an earlier or a later build of the daemon wrote, and a
//! step in doubt or one that is to be undone must not be lost over a member: unknown ones are ignored, missing ones are
//! made up for.

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use sysconfig_protocol::{FieldChange, Risk, Step};

#[derive(Deserialize)]
#[serde(default)]
struct StoredStep {
    id: String,
    action: String,
    resource: String,
    summary: String,
    changes: Vec<StoredChange>,
    #[serde(deserialize_with = "risk")]
    risk: Risk,
    key: String,
    data: Value,
}

/// What a step may do of which this build does not know what it may do: nobody is to take it for harmless.
const UNKNOWN_RISK: Risk = Risk::Disruptive;

fn risk<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Risk, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).unwrap_or(UNKNOWN_RISK))
}

impl Default for StoredStep {
    fn default() -> Self {
        let text = String::new;
        let (id, action, resource, summary, key) = (text(), text(), text(), text(), text());
        Self { id, action, resource, summary, changes: Vec::new(), risk: UNKNOWN_RISK, key, data: Value::Null }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StoredChange {
    field: String,
    from: Value,
    to: Value,
    sensitive: bool,
}

/// For `#[serde(deserialize_with)]`.
pub(super) fn step<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Step, D::Error> {
    let StoredStep { id, action, resource, summary, changes, risk, key, data } = StoredStep::deserialize(deserializer)?;
    let changes = changes.into_iter().map(|change| {
        let StoredChange { field, from, to, sensitive } = change;
        FieldChange { field, from, to, sensitive }
    });
    Ok(Step { id, action, resource, summary, changes: changes.collect(), risk, key, data })
}

/// The same in a box.
pub(super) fn boxed_step<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<Step>, D::Error> {
    step(deserializer).map(Box::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_risk_of_a_later_build_is_read_as_disruptive() {
        let read = |json: &str| step(&mut serde_json::Deserializer::from_str(json)).unwrap();
        for (stored, risk) in [
            (r#"{"id":"1","risk":"safe"}"#, Risk::Safe),
            (r#"{"id":"1","risk":"destructive"}"#, Risk::Destructive),
            (r#"{"id":"1","risk":"irreversible"}"#, Risk::Disruptive),
            (r#"{"id":"1","risk":{"level":7}}"#, Risk::Disruptive),
            (r#"{"id":"1","risk":null}"#, Risk::Disruptive),
            (r#"{"id":"1"}"#, Risk::Disruptive),
        ] {
            let step = read(stored);
            assert_eq!((step.risk, &*step.id), (risk, "1"), "{stored}");
        }
    }
}
