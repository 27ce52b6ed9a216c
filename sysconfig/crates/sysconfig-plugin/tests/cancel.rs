//! A plugin that waits for something hears that the answer is no longer wanted, although its thread is busy.

use std::time::{Duration, Instant};

use serde_json::json;
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin::{Context, Description, Outcome, PlannedStep, Plugin, PluginError};

/// Observes until it is cancelled.
struct Patient;

impl Plugin for Patient {
    type Config = serde_json::Value;
    type State = ();
    type Change = ();

    fn describe(&self) -> Description {
        Description::new("patient").claim("test.patient", json!({}))
    }

    fn observe(&mut self, _: &Self::Config, context: &Context) -> Result<(), PluginError> {
        let give_up = Instant::now() + Duration::from_secs(20);
        while !context.is_cancelled() {
            if Instant::now() > give_up {
                return Err(PluginError::new("nobody cancelled"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err(PluginError::cancelled("gave up waiting"))
    }

    fn plan(&self, _: &Self::Config, (): &()) -> Result<Vec<PlannedStep<()>>, PluginError> {
        Ok(Vec::new())
    }

    fn apply(&mut self, (): &(), _: &Context) -> Result<Outcome, PluginError> {
        Ok(Outcome::AlreadySo)
    }
}

#[test]
fn a_cancelled_request_ends_early_and_the_next_one_is_not_cancelled() {
    let mut wire = Harness::start(Patient).into_wire();
    wire.send(br#"{"jsonrpc":"2.0","id":20,"method":"configure","params":{"config":{"test.patient":{}}}}"#);
    assert!(wire.receive().contains(r#""result""#));
    for id in [21, 22] {
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": "observe", "params": { "deadline_ms": 60_000 } });
        let cancel = json!({ "jsonrpc": "2.0", "method": "cancel", "params": { "id": id } });
        wire.send(request.to_string().as_bytes());
        assert!(wire.stays_silent_for(Duration::from_millis(50)), "the plugin is waiting");
        wire.send(cancel.to_string().as_bytes());
        let answer = wire.receive();
        assert!(answer.contains("-32003") && answer.contains("gave up waiting"), "{answer}");
    }
}
