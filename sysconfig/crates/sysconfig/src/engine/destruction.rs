//! Who allows what cannot be brought back: the configuration of the resource, and the administrator each time.

use serde_json::Value;
use sysconfig_protocol::admin::Failure;
use sysconfig_protocol::method::ClaimedConfig;
use sysconfig_protocol::plan::ALLOW_DESTRUCTIVE;
use sysconfig_protocol::{Risk, Step};

use super::Engine;

/// How an administrator allows it.
const REQUEST: &str = "sysconfigctl apply --allow-destructive";

impl Engine {
    /// Why a step of a plugin may not be carried out, when it is destructive and not allowed.
    pub(super) fn forbids(&self, plugin: &str, step: &Step, is_requested: bool) -> Option<Failure> {
        if step.risk != Risk::Destructive {
            return None;
        }
        let refused = |why: &str, help: String| {
            Some(Failure { message: format!("the step is destructive, and {why}"), help: Some(help) })
        };
        if step.key.is_empty() {
            let help = "see to it by hand; the plugin names no key that could allow it".to_owned();
            return refused("nothing in the configuration allows it", help);
        }
        let is_allowed = self.assignment.parts.get(plugin).is_some_and(|part| allows(part, &step.key));
        match (is_allowed, is_requested) {
            (true, true) => None,
            (true, false) => refused("that was not allowed", format!("look at the plan, then: {REQUEST}")),
            (false, _) => {
                let place = self.config.place_of(&step.key).map(|place| format!(" ({}:{})", place.file, place.line));
                let key = format!("{}{}", step.key, place.unwrap_or_default());
                let help = format!("look at the plan, set {ALLOW_DESTRUCTIVE} in {key}, then: {REQUEST}");
                refused("its configuration does not allow that", help)
            }
        }
    }
}

/// Whether a plugin's part allows destructive steps on the resource that is configured at `key`: altogether, or some
/// that it lists, which the plugin holds its steps against.
fn allows(part: &ClaimedConfig, key: &str) -> bool {
    part.iter().any(|(claim, value)| {
        let below = key.strip_prefix(claim.as_str()).and_then(|path| find(value, path));
        below.is_some_and(|resource| match resource.get(ALLOW_DESTRUCTIVE) {
            Some(Value::Bool(is_allowed)) => *is_allowed,
            Some(Value::Array(listed)) => !listed.is_empty(),
            _ => false,
        })
    })
}

/// The value at a path such as `[0].vdevs` below another; the path begins at the end of a key.
fn find<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let mut value = value;
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(index) = rest.strip_prefix('[') {
            let (index, after) = index.split_once(']')?;
            value = value.get(index.parse::<usize>().ok()?)?;
            rest = after;
        } else {
            let name = rest.strip_prefix('.')?;
            let end = name.find(['.', '[']).unwrap_or(name.len());
            value = value.get(&name[..end])?;
            rest = &name[end..];
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_resource_itself_allows() {
        let Value::Object(part) = json!({
            "storage.pool": [
                { "name": "tank", "allow-destructive": true },
                { "name": "rpool" },
                { "name": "odd", "allow-destructive": "yes" },
                { "spare": { "allow-destructive": true } },
                { "name": "disks", "allow-destructive": ["/dev/dsk/c1t0d0"] },
                { "name": "no disks", "allow-destructive": [] },
                { "name": "no", "allow-destructive": false },
            ],
            "storage.all": { "allow-destructive": true },
            "storage.text": "allow-destructive",
        }) else {
            unreachable!("it is an object")
        };
        let allowed = ["storage.pool[0]", "storage.pool[3].spare", "storage.pool[4]", "storage.all"];
        let forbidden = [
            "",
            "storage",
            "storage.pool",
            "storage.pool[1]",
            "storage.pool[2]",
            "storage.pool[3]",
            "storage.pool[5]",
            "storage.pool[6]",
            "storage.pool[7]",
            "storage.pool[0",
            "storage.pool[-1]",
            "storage.pool0]",
            "storage.pool[0].name",
            "storage.pool[0]]",
            "storage.al",
            "storage.all.",
            "storage.all.x",
            "storage.allow",
            "storage.text",
        ];
        for key in allowed {
            assert!(allows(&part, key), "{key}");
        }
        for key in forbidden {
            assert!(!allows(&part, key), "{key}");
        }
    }
}
