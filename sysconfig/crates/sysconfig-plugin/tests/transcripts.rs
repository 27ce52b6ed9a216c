//! The recorded conversations of the protocol, answered by a plugin of this SDK word by word.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin::{
    Context, Description, Diagnostic, Event, Level, Outcome, PlannedStep, Plugin, PluginError, Risk, describe,
};

/// Keeps a message in memory.
#[derive(Default)]
struct Motd {
    text: String,
}

#[derive(Deserialize)]
struct Config {
    #[serde(rename = "system.motd")]
    motd: Lines,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lines {
    lines: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Text {
    text: String,
}

impl Plugin for Motd {
    type Config = Config;
    type State = Text;
    type Change = Text;

    fn describe(&self) -> Description {
        Description::new("motd")
            .version("1.2.3")
            .claim("system.motd", json!({ "type": "object" }))
            .after("filesystem")
            .capability(describe::capability::UNDO)
            .capability(describe::capability::CHECK)
            .subscribe("user.login")
    }

    fn validate(&self, config: &Config) -> Vec<Diagnostic> {
        let nothing = Diagnostic::warning("system.motd.lines", "there is nothing to say")
            .help("write a line, or leave the key out");
        if config.motd.lines.is_empty() { vec![nothing] } else { Vec::new() }
    }

    fn check(&self, config: &Config, context: &Context) -> Result<Vec<Diagnostic>, PluginError> {
        context.log(Level::Debug, "checking");
        match config.motd.lines.len() {
            0..=24 => Ok(Vec::new()),
            _ => Err(PluginError::new("cannot ask the terminal").help("attach one")),
        }
    }

    fn observe(&mut self, _: &Config, context: &Context) -> Result<Text, PluginError> {
        context.log(Level::Debug, "looking");
        Ok(Text { text: self.text.clone() })
    }

    fn plan(&self, config: &Config, observed: &Text) -> Result<Vec<PlannedStep<Text>>, PluginError> {
        let text = config.motd.lines.join("\n");
        if text == observed.text {
            return Ok(Vec::new());
        }
        let change = Text { text: text.clone() };
        let step = PlannedStep::new("write", "motd", "write the message of the day", Risk::Safe, change);
        Ok(vec![step.field("text", observed.text.clone(), text).sensitive_field("key", Value::Null, "k")])
    }

    fn apply(&mut self, change: &Text, context: &Context) -> Result<Outcome, PluginError> {
        if self.text == change.text {
            return Ok(Outcome::AlreadySo);
        }
        assert!(context.remaining().is_some(), "the request carries a deadline");
        context.progress("writing", Some(50));
        self.text.clone_from(&change.text);
        context.emit("motd.changed", json!({ "text": change.text }));
        Ok(Outcome::Changed)
    }

    fn undo(&mut self, _: &Text, _: &Context) -> Result<Outcome, PluginError> {
        let cause = std::io::Error::other("read-only file system");
        Err(PluginError::new("cannot undo motd").source(cause).help("mount it writable"))
    }

    fn event(&mut self, event: &Event, context: &Context) {
        let source = event.source.as_deref().unwrap_or("nobody");
        context.log(Level::Info, format!("{} from {source}", event.topic));
    }
}

#[test]
fn a_plugin_answers_as_recorded() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sysconfig-protocol/tests/transcripts/motd-v1.jsonl");
    let transcript = std::fs::read_to_string(file).unwrap();
    let mut wire = Harness::start(Motd::default()).into_wire();
    for (number, line) in transcript.lines().enumerate() {
        match line.split_at(2) {
            ("> ", request) => wire.send(request.as_bytes()),
            ("< ", expected) => assert_eq!(wire.receive(), expected, "line {}", number + 1),
            (other, _) => panic!("line {} starts with {other:?}", number + 1),
        }
    }
    assert!(wire.is_closed(), "the plugin ends after shutdown");
}

#[test]
fn the_cycle_converges_and_the_second_plan_is_empty() {
    let mut harness = Harness::start(Motd::default());
    harness.configure(json!({ "system.motd": { "lines": ["a", "b"] } }));
    let converged = harness.converge().unwrap();
    assert_eq!(converged.steps.len(), 1);
    assert_eq!(converged.steps[0].1, Outcome::Changed);
    assert_eq!(converged.diagnostics, []);
    assert_eq!(harness.plan().unwrap(), []);
    assert_eq!(harness.emitted()[0].topic, "motd.changed");
    harness.shutdown();
}

#[test]
fn a_configuration_of_the_wrong_shape_is_a_finding_with_its_key() {
    let mut harness = Harness::start(Motd::default());
    for (config, key, words) in [
        (json!({}), "", "missing field `system.motd`"),
        (json!({ "system.motd": 3 }), "system.motd", "invalid type: integer, expected struct Lines"),
        (json!({ "system.motd": { "line": [] } }), "system.motd.line", "unknown field `line`, expected `lines`"),
        (json!({ "system.motd": { "lines": ["x", {}] } }), "system.motd.lines[1]", "invalid type: map"),
    ] {
        let found = harness.validate(config.clone());
        assert_eq!(found.len(), 1, "{config}");
        assert_eq!(found[0].key, key, "{config}");
        assert!(found[0].message.contains(words), "{config}: {}", found[0].message);
        // The daemon does not go on after such a finding; a plugin that is asked all the same says why it cannot.
        harness.configure(config);
        let error = harness.observe().unwrap_err();
        assert!(error.message.starts_with("the configuration is not valid"), "{}", error.message);
    }
    harness.shutdown();
}

/// What does not fit may be a password without its quotation marks, or one in a step of an earlier build.
#[test]
fn what_has_the_wrong_shape_is_not_quoted() {
    let mut harness = Harness::start(Motd::default());
    for lines in [json!([12345]), json!("12345"), json!({ "x": "12345" }), json!(12345.5)] {
        let config = json!({ "system.motd": { "lines": lines } });
        let found = harness.validate(config.clone());
        assert!(found[0].message.starts_with("invalid type: "), "{found:?}");
        harness.configure(config);
        let error = harness.observe().unwrap_err();
        assert!(!format!("{found:?}{error:?}").contains("12345"), "{found:?}{error:?}");
    }
    let mut wire = harness.into_wire();
    for data in ["12345", r#""12345""#, r#"{"text":12345}"#] {
        let step = format!(r#"{{"id":"1","action":"a","resource":"r","summary":"s","risk":"safe","data":{data}}}"#);
        let params = format!(r#"{{"plan":"00","step":{step},"deadline_ms":1000}}"#);
        wire.send(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"apply","params":{params}}}"#).as_bytes());
        let answer = wire.receive();
        assert!(answer.contains("data of the step: unexpected shape") && !answer.contains("12345"), "{answer}");
    }
}

#[test]
fn a_plugin_survives_lines_that_are_no_requests() {
    let mut wire = Harness::start(Motd::default()).into_wire();
    for (line, code) in [
        ("no json", "-32700"),
        ("{}", "-32600"),
        (r#"{"jsonrpc":"2.0","id":5,"method":"apply","params":{"plan":1}}"#, "-32602"),
        (r#"{"jsonrpc":"2.0","id":6,"method":"observe","params":{"deadline_ms":1}}"#, "-32002"),
        (r#"{"jsonrpc":"2.0","id":7,"method":"observe","params":{"deadline_ms":1,"when":"now"}}"#, "-32602"),
    ] {
        wire.send(line.as_bytes());
        let answer = wire.receive();
        assert!(answer.contains(code), "{line} is answered {answer}");
    }
    // Answers and notifications are not answered, and do not end the conversation either.
    wire.send(br#"{"jsonrpc":"2.0","id":9,"result":{}}"#);
    wire.send(br#"{"jsonrpc":"2.0","method":"cancel","params":{"id":8}}"#);
    wire.send(br#"{"jsonrpc":"2.0","id":10,"method":"shutdown"}"#);
    assert_eq!(wire.receive(), r#"{"jsonrpc":"2.0","id":10,"result":{}}"#);
    assert!(wire.is_closed());
}

#[test]
fn a_daemon_of_another_protocol_is_refused_with_both_ranges() {
    let mut wire = Harness::start(Motd::default()).into_wire();
    wire.send(br#"{"jsonrpc":"2.0","id":2,"method":"hello","params":{"protocol":{"min":7,"max":9},"daemon":"9.0.0","new":1}}"#);
    let answer = wire.receive();
    assert!(answer.contains("-32004") && answer.contains("7 to 9, this plugin 1 to 1"), "{answer}");
}
