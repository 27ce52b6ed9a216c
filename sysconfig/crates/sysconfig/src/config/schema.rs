//! JSON Schema of the daemon's own tables, for editors.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Value, json};

/// The schema of each table of the daemon's own.
pub fn own_schema() -> Vec<(&'static str, Value)> {
    vec![("daemon", daemon()), ("plugins", plugins()), ("logging", logging())]
}

/// The daemon's own key, dotted, that is called so in its table, whichever that is.
pub(super) fn own_key(name: &str) -> Option<String> {
    // Half a million keys may be asked for, as in a file that is no configuration.
    static KEYS: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
        let mut keys = BTreeMap::new();
        own_schema().iter().for_each(|(table, schema)| collect(table, schema, &mut keys));
        keys
    });
    KEYS.get(name).cloned()
}

fn collect(table: &str, schema: &Value, keys: &mut BTreeMap<String, String>) {
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let dotted = format!("{table}.{name}");
        collect(&dotted, inner, keys);
        keys.insert(name.clone(), dotted);
    }
}

fn table(description: &str, properties: Value) -> Value {
    let mut schema = json!({ "type": "object", "description": description, "additionalProperties": false });
    schema["properties"] = properties;
    schema
}

fn duration(description: &str) -> Value {
    json!({ "type": "string", "description": description, "pattern": "^0*[1-9][0-9]* *(ms|s|m|h)$" })
}

fn truth(description: &str, default: bool) -> Value {
    json!({ "type": "boolean", "description": description, "default": default })
}

fn daemon() -> Value {
    let properties = json!({
        "watch-configuration": truth("Take over changed configuration files without a request", false),
        "drift-interval": {
            "type": "string",
            "description": "How often the machine is compared with the configuration when nothing else happens",
            "pattern": "^(off|0*[1-9][0-9]* *(ms|s|m|h))$",
            "default": "off",
        },
    });
    table("When the daemon acts by itself", properties)
}

fn plugins() -> Value {
    let path = json!({ "type": "string", "pattern": "^/" });
    let deadlines = json!({
        "start": duration("From the start of a plugin to its answer to hello"),
        "answer": duration("Requests that do not touch the machine"),
        "observe": duration("Looking at the machine"),
        "apply": duration("One step"),
        "stop": duration("From shutdown to SIGTERM, and from there to SIGKILL"),
    });
    let properties = json!({
        "path": {
            "description": "The directories that plugins are looked for in, absolute",
            "anyOf": [path, { "type": "array", "items": path }],
        },
        "hot-reload": truth("Pick up changed plugin files", true),
        "poll-interval": duration("How often the directories are looked at"),
        "reload-applies": truth("Apply what was picked up, instead of only planning it", false),
        "allow-untrusted-owner": truth("Run plugins that belong to others than root; for development only", false),
        "deadlines": table("How long the daemon waits for a plugin", deadlines),
    });
    table("Where plugins are and how they are treated", properties)
}

fn logging() -> Value {
    let properties = json!({
        "level": {
            "description": "The least important lines that are written",
            "enum": ["error", "warn", "info", "debug", "trace"],
            "default": "info",
        },
        "output": {
            "type": "string",
            "description": "console, syslog, or the absolute path of a file",
            "pattern": "^(console|syslog|/.*)$",
            "default": "console",
        },
    });
    table("What is logged, and where to", properties)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::{ConfigError, SourceFile, parse};

    /// Every key of the schema is one that the daemon knows, because a wrong value is all that it complains about.
    #[test]
    fn the_schema_has_the_keys_that_the_daemon_reads() {
        fn lines(prefix: &str, schema: &Value, text: &mut String) -> usize {
            let properties = schema["properties"].as_object().unwrap();
            let mut count = 0;
            for (key, value) in properties {
                let dotted = format!("{prefix}.{key}");
                if value["properties"].is_object() {
                    count += lines(&dotted, value, text);
                } else {
                    text.push_str(&format!("{dotted} = 7.5\n"));
                    count += 1;
                }
            }
            count
        }
        let mut text = String::new();
        let count: usize = own_schema().iter().map(|(table, schema)| lines(table, schema, &mut text)).sum();
        let errors = parse(vec![SourceFile::new(PathBuf::from("x"), text)]).unwrap_err().errors;
        assert!(errors.iter().all(|error| matches!(error, ConfigError::BadValue { .. })), "{errors:?}");
        assert_eq!(errors.len(), count);
    }

    /// And the other way round: what the daemon proposes for a misspelled key is in the schema.
    #[test]
    fn the_daemon_reads_no_key_that_the_schema_does_not_have() {
        for (table, schema) in own_schema() {
            let text = format!("{table}.zzzzzzzzzzzzzzzzzzzz = 1\n");
            let errors = parse(vec![SourceFile::new(PathBuf::from("x"), text)]).unwrap_err().errors;
            let ConfigError::UnknownKey { help: Some(help), .. } = &errors[0] else { panic!("{errors:?}") };
            let known = help.strip_prefix("known are: ").unwrap();
            let mut known: Vec<_> = known.split(", ").collect();
            let mut described: Vec<_> = schema["properties"].as_object().unwrap().keys().collect();
            known.sort_unstable();
            described.sort_unstable();
            assert_eq!(known, described, "{table}");
        }
    }
}
