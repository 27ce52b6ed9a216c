//! What a plugin says fits into a line of the protocol, or it says that it does not.

use serde_json::{Value, json};
use sysconfig_plugin::testing::Harness;
use sysconfig_plugin::{Context, Description, Level, Outcome, PlannedStep, Plugin, PluginError};
use sysconfig_protocol::MAX_LINE_BYTES;

/// Sees and says so many bytes.
struct Talkative;

impl Plugin for Talkative {
    type Config = Value;
    type State = String;
    type Change = ();

    fn describe(&self) -> Description {
        Description::new("talkative").claim("test.talkative", json!({}))
    }

    fn observe(&mut self, config: &Value, context: &Context) -> Result<String, PluginError> {
        let bytes = config["test.talkative"].as_u64().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or_default();
        let text = "ö".repeat(bytes / 2);
        context.log(Level::Info, text.clone());
        context.progress(text.clone(), None);
        Ok(text)
    }

    fn plan(&self, _: &Value, _: &String) -> Result<Vec<PlannedStep<()>>, PluginError> {
        Ok(Vec::new())
    }

    fn apply(&mut self, (): &(), _: &Context) -> Result<Outcome, PluginError> {
        Ok(Outcome::AlreadySo)
    }
}

/// The daemon took it for broken, ended it five times, and put it into quarantine.
#[test]
fn what_fits_into_no_line_is_answered_with_an_error_and_logged_cut() {
    let mut harness = Harness::start(Talkative);
    harness.configure(json!({ "test.talkative": MAX_LINE_BYTES }));
    let error = harness.observe().unwrap_err();
    assert!(error.message.starts_with("the answer is longer than a line of the protocol may be: "), "{error:?}");
    let logs = harness.logs();
    assert!(logs[0].message.ends_with("ö…") && logs[0].message.len() < MAX_LINE_BYTES / 2, "{}", logs[0].message.len());
    harness.configure(json!({ "test.talkative": 1000 }));
    assert_eq!(harness.observe().unwrap().as_str().map(str::len), Some(1000));
    harness.shutdown();
}
