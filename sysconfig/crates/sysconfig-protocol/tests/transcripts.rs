//! Recorded conversations, read with the types of this crate. The plugin SDK answers the same conversations in its
//! own tests. A change that breaks one of them is a new version of the protocol.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;
use sysconfig_protocol::method::{
    Apply, Check, Configure, Hello, Log, MakePlan, Notice, Observe, Progress, Shutdown, Undo, Validate, Verify,
};
use sysconfig_protocol::{Call, Event, Message};

/// Reads `value` as `T`, and says what `T` makes of it.
fn through<T: serde::Serialize + serde::de::DeserializeOwned>(value: &Value) -> Value {
    let typed: T = serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{value}: {error}"));
    serde_json::to_value(typed).unwrap()
}

fn params_through(method: &str, params: &Value) -> Option<Value> {
    Some(match method {
        Hello::METHOD => through::<Hello>(params),
        Configure::METHOD => through::<Configure>(params),
        Validate::METHOD => through::<Validate>(params),
        Check::METHOD => through::<Check>(params),
        Observe::METHOD => through::<Observe>(params),
        MakePlan::METHOD => through::<MakePlan>(params),
        Apply::METHOD => through::<Apply>(params),
        Verify::METHOD => through::<Verify>(params),
        Undo::METHOD => through::<Undo>(params),
        <Event as Call>::METHOD => through::<Event>(params),
        Shutdown::METHOD => through::<Shutdown>(params),
        Log::METHOD => through::<Log>(params),
        Progress::METHOD => through::<Progress>(params),
        _ => return None,
    })
}

fn answer_through(method: &str, answer: &Value) -> Value {
    match method {
        Hello::METHOD => through::<<Hello as Call>::Answer>(answer),
        Validate::METHOD | Check::METHOD | Verify::METHOD => through::<<Verify as Call>::Answer>(answer),
        Observe::METHOD => through::<<Observe as Call>::Answer>(answer),
        MakePlan::METHOD => through::<<MakePlan as Call>::Answer>(answer),
        Apply::METHOD | Undo::METHOD => through::<<Apply as Call>::Answer>(answer),
        _ => through::<<Shutdown as Call>::Answer>(answer),
    }
}

#[test]
fn every_recorded_message_is_understood_and_written_the_same() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut messages = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let mut asked = HashMap::new();
        for line in text.lines() {
            messages += 1;
            let json = &line[2..];
            let message = Message::parse(json.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(String::from_utf8(message.to_line()).unwrap().trim_end(), json);
            match message {
                Message::Request(request) => {
                    if let Some(typed) = params_through(&request.method, &request.params) {
                        assert_eq!(typed, request.params, "{line}");
                    }
                    asked.insert(request.id.clone(), request.method);
                }
                Message::Notification(notice) => {
                    assert_eq!(params_through(&notice.method, &notice.params), Some(notice.params), "{line}");
                }
                Message::Response(response) => {
                    let method = asked.remove(response.id.as_ref().unwrap()).expect("answers follow requests");
                    if let Ok(answer) = response.result {
                        assert_eq!(answer_through(&method, &answer), answer, "{line}");
                    }
                }
            }
        }
        assert!(asked.is_empty(), "every request is answered");
    }
    assert!(messages > 20, "the transcripts were found");
}

#[test]
fn the_documented_conversation_is_valid() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/formats/plugin-protocol.md");
    let text = std::fs::read_to_string(file).unwrap();
    let mut asked = HashMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("    > ").or_else(|| line.strip_prefix("    < "))) {
        match Message::parse(line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}")) {
            Message::Request(request) => {
                assert_eq!(params_through(&request.method, &request.params), Some(request.params), "{line}");
                asked.insert(request.id, request.method);
            }
            Message::Notification(notice) => {
                assert_eq!(params_through(&notice.method, &notice.params), Some(notice.params), "{line}");
            }
            Message::Response(response) => {
                // Members with defaults may be left out, so what is written need not be the same.
                answer_through(&asked[response.id.as_ref().unwrap()], &response.result.unwrap());
            }
        }
    }
    assert_eq!(asked.len(), 10, "the conversation was found");
}
