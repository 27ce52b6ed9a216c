//! What plugins, the daemon and clients may send each other by accident or malice: streams of damaged lines, cut where the
//! network cuts them, read as every type of the protocol.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sysconfig_protocol::envelope::LineTooLong;
use sysconfig_protocol::{Call, LineDecoder, Message, Plan, Step, admin, method, shape};

/// Every line of the recorded conversations.
fn recorded() -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let texts = files.iter().map(|file| std::fs::read_to_string(file).unwrap());
    texts.flat_map(|text| text.lines().map(|line| line.as_bytes()[2..].to_vec()).collect::<Vec<_>>()).collect()
}

/// Answers of the admin socket, which the conversations of plugins do not have.
fn reports() -> Vec<Vec<u8>> {
    [
        r#"{"jsonrpc":"2.0","id":1,"result":{"digest":"4f","plugins":[{"plugin":"a","steps":[],"error":{"message":"m","help":"h"}}],"problems":[{"subject":"config","message":"m","place":{"file":"/f","line":7,"column":3},"severity":"error"}]}}"#,
        r#"{"jsonrpc":"2.0","id":2,"result":{"digest":"4f","dry_run":false,"plugins":[{"plugin":"a","steps":[{"step":{"id":"1","action":"write","resource":"r","summary":"s","risk":"safe"},"result":"changed","duration_ms":12}],"diagnostics":[{"key":"","message":"m"}]}],"problems":[]}}"#,
        r#"{"jsonrpc":"2.0","id":3,"result":{"lines":[{"number":1,"at_unix_ms":2,"level":"info","subject":"sysconfig","message":"m"}],"last":1}}"#,
        r#"{"jsonrpc":"2.0","id":4,"result":{"events":[{"number":1,"at_unix_ms":2,"kind":"plugin-started","plugin":"a","message":"m"}],"last":1}}"#,
        r#"{"jsonrpc":"2.0","id":5,"method":"apply","params":{"dry_run":true,"allow_destructive":false,"plan":"4f","confirm_within_ms":60000}}"#,
        r#"{"jsonrpc":"2.0","id":6,"error":{"code":-32700,"message":"no","data":{"causes":["a"],"help":"b"}}}"#,
    ]
    .map(|line| line.as_bytes().to_vec())
    .to_vec()
}

/// Reads `value` as `T` in both ways that this project reads; what is understood can be said again.
fn read_as<T: Serialize + DeserializeOwned>(value: &Value) {
    let theirs = serde_json::from_value::<T>(value.clone()).ok();
    let ours = shape::from_value::<T>(value.clone());
    // Theirs takes a list for a struct.
    let is_refused_list = ours.as_ref().is_err_and(|error| error.to_string().starts_with("invalid type: sequence, "));
    let ours = ours.ok();
    let written = |typed: Option<T>| typed.map(|typed| serde_json::to_value(typed).unwrap());
    let (theirs, ours) = (written(theirs), written(ours));
    assert!(theirs == ours || is_refused_list, "{} of {value}: {theirs:?}, {ours:?}", std::any::type_name::<T>());
    if let Some(written) = ours {
        let again = shape::from_value::<T>(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(again).unwrap(), written);
    }
}

fn read_as_call<C: Call>(value: &Value) {
    read_as::<C>(value);
    read_as::<C::Answer>(value);
}

fn read_as_everything(value: &Value) {
    read_as_call::<method::Hello>(value);
    read_as_call::<method::Configure>(value);
    read_as_call::<method::Validate>(value);
    read_as_call::<method::Observe>(value);
    read_as_call::<method::MakePlan>(value);
    read_as_call::<method::Apply>(value);
    read_as_call::<method::Verify>(value);
    read_as_call::<method::Undo>(value);
    read_as_call::<method::Event>(value);
    read_as_call::<method::Shutdown>(value);
    read_as::<method::Cancel>(value);
    read_as::<method::Log>(value);
    read_as::<method::Progress>(value);
    read_as::<Plan>(value);
    read_as::<Step>(value);
    read_as_call::<admin::Ping>(value);
    read_as_call::<admin::Status>(value);
    read_as_call::<admin::Plugins>(value);
    read_as_call::<admin::Events>(value);
    read_as_call::<admin::Logs>(value);
    read_as_call::<admin::History>(value);
    read_as_call::<admin::Plan>(value);
    read_as_call::<admin::Apply>(value);
    read_as_call::<admin::Confirm>(value);
    read_as_call::<admin::UndoChange>(value);
    read_as_call::<admin::Reload>(value);
    read_as_call::<admin::PluginRestart>(value);
}

/// What the decoder makes of a stream that arrives in pieces of these lengths, the last one repeated.
fn decode(stream: &[u8], limit: usize, mut cut: impl FnMut() -> usize) -> (Vec<Vec<u8>>, Option<LineTooLong>) {
    let mut decoder = LineDecoder::with_limit(limit);
    let (mut lines, mut rest) = (Vec::new(), stream);
    while !rest.is_empty() {
        let (now, later) = rest.split_at(cut().clamp(1, rest.len()));
        rest = later;
        decoder.push(now);
        loop {
            match decoder.next_line() {
                Ok(Some(line)) => lines.push(line),
                Ok(None) => break,
                Err(error) => return (lines, Some(error)),
            }
        }
    }
    (lines, None)
}

#[test]
fn fuzz_streams_and_every_type() {
    let seeds: Vec<_> = recorded().into_iter().chain(reports()).collect();
    assert!(seeds.len() > 20, "the transcripts were found");
    test_judge::fuzz(1000, |random| {
        let mut stream = Vec::new();
        for _ in 0..1 + random.below(4) {
            stream.extend_from_slice(random.pick::<Vec<u8>>(&seeds));
            stream.push(b'\n');
        }
        if random.below(4) > 0 {
            random.damage(&mut stream);
        }
        let limit = [40, 300, 4096, 1 << 20][random.below(4)];
        let (lines, error) = decode(&stream, limit, || 1 + random.below(200));

        // The same lines as in one piece, up to the first that is too long.
        let mut expected: Vec<_> = stream.split(|byte| *byte == b'\n').collect();
        let last = expected.pop().unwrap_or_default();
        let fitting = expected.iter().take_while(|line| line.len() < limit).count();
        assert_eq!(lines, expected[..fitting]);
        assert_eq!(error.is_some(), fitting < expected.len() || last.len() > limit, "{limit}: {stream:?}");

        for line in &lines {
            let Ok(message) = Message::parse(line) else { continue };
            assert_eq!(Message::parse(&message.to_line()).unwrap(), message);
            match message {
                Message::Request(request) => read_as_everything(&request.params),
                Message::Notification(notification) => read_as_everything(&notification.params),
                Message::Response(response) => read_as_everything(&response.result.unwrap_or_default()),
            }
        }
    });
}
