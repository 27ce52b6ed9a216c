//! Properties of the envelope and of the shapes.

use proptest::prelude::*;
use serde_json::{Value, json};
use sysconfig_protocol::envelope::{ErrorData, LineTooLong, code};
use sysconfig_protocol::method::{Configure, Hello};
use sysconfig_protocol::{
    Description, Digest, ErrorObject, FieldChange, Id, LineDecoder, Message, Notification, Plan, ProtocolRange,
    Request, Response, Risk, Secret, Step, admin,
};

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn id() -> impl Strategy<Value = Id> {
    prop_oneof![any::<u64>().prop_map(Id::Number), any::<String>().prop_map(Id::Text)]
}

fn error_object() -> impl Strategy<Value = ErrorObject> {
    let data = (prop::collection::vec(any::<String>(), 0..3), prop::option::of(any::<String>()))
        .prop_map(|(causes, help)| ErrorData { causes, help, problems: Vec::new() });
    (any::<i64>(), any::<String>(), prop::option::of(data)).prop_map(|(code, message, data)| ErrorObject {
        code,
        message,
        data,
    })
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        (id(), any::<String>(), json_value()).prop_map(|(id, method, params)| Message::Request(Request {
            id,
            method,
            params
        })),
        (any::<String>(), json_value())
            .prop_map(|(method, params)| Message::Notification(Notification { method, params })),
        (prop::option::of(id()), json_value())
            .prop_map(|(id, value)| Message::Response(Response { id, result: Ok(value) })),
        (prop::option::of(id()), error_object())
            .prop_map(|(id, error)| Message::Response(Response { id, result: Err(error) })),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let change = (any::<String>(), json_value(), json_value(), any::<bool>())
        .prop_map(|(field, from, to, sensitive)| FieldChange { field, from, to, sensitive });
    let risk = prop_oneof![Just(Risk::Safe), Just(Risk::Disruptive), Just(Risk::Destructive)];
    let words = (any::<String>(), any::<String>(), any::<String>(), any::<String>(), any::<String>());
    (words, prop::collection::vec(change, 0..4), risk, json_value()).prop_map(
        |((id, action, resource, summary, key), changes, risk, data)| Step {
            id,
            action,
            resource,
            summary,
            changes,
            risk,
            key,
            data,
        },
    )
}

proptest! {
    #[test]
    fn messages_survive_the_wire_on_one_line(message in message()) {
        let line = message.to_line();
        prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        prop_assert_eq!(line.last(), Some(&b'\n'));
        prop_assert_eq!(Message::parse(&line).unwrap(), message);
    }

    #[test]
    fn plans_survive_the_wire(steps in prop::collection::vec(step(), 0..4)) {
        let plan = Plan { digest: Digest("ab".to_owned()), steps };
        let json = serde_json::to_string(&plan).unwrap();
        prop_assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
    }

    #[test]
    fn a_redacted_step_holds_no_secret(mut step in step(), secret in "[A-Z]{24}") {
        step.data = json!({ "password": &secret });
        step.changes.push(FieldChange {
            field: "password".to_owned(),
            from: Value::Null,
            to: Value::from(secret.clone()),
            sensitive: true,
        });
        let redacted = step.redacted();
        prop_assert!(!serde_json::to_string(&redacted).unwrap().contains(&secret));
        let debugged = format!("{redacted:?}");
        prop_assert!(!debugged.contains(&secret));
        prop_assert_eq!(&redacted.changes.last().unwrap().from, &Value::Null, "no value is shown as no value");
    }

    #[test]
    fn arbitrary_bytes_never_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        // A line is a message, or an error with one of the two codes for it.
        if let Err(error) = Message::parse(&bytes) {
            prop_assert!([code::PARSE_ERROR, code::INVALID_REQUEST].contains(&error.code()));
        }
    }

    #[test]
    fn lines_do_not_depend_on_how_the_bytes_arrive(
        lines in prop::collection::vec("[a-z]{0,20}", 1..8),
        cuts in prop::collection::vec(1_usize..9, 1..40),
    ) {
        let stream = lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes();
        let mut decoder = LineDecoder::with_limit(64);
        let (mut at, mut found) = (0, Vec::new());
        for cut in cuts.iter().cycle() {
            let end = stream.len().min(at + cut);
            decoder.push(&stream[at..end]);
            while let Some(line) = decoder.next_line().unwrap() {
                found.push(String::from_utf8(line).unwrap());
            }
            at = end;
            if at == stream.len() {
                break;
            }
        }
        prop_assert_eq!(found, lines);
        prop_assert!(!decoder.has_partial_line());
    }
}

#[test]
fn what_is_no_message_is_refused() {
    for line in [
        "",
        "[]",
        "{}",
        "null",
        "\"hello\"",
        r#"{"jsonrpc":"1.0","id":1,"method":"hello"}"#,
        r#"{"id":1,"method":"hello"}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"hello"}"#,
        r#"{"jsonrpc":"2.0","id":1.5,"method":"hello"}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{"code":1,"message":"both"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":1,"params":{}}"#,
        r#"{"jsonrpc":"2.0","result":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"hello","extra":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"hello","id":2}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
        r#"{"jsonrpc":"2.0","id":-1,"method":"hello"}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":"text"}"#,
        r#"[{"jsonrpc":"2.0","id":1,"method":"hello"}]"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"hello"} trailing"#,
    ] {
        assert!(Message::parse(line.as_bytes()).is_err(), "{line}");
    }
}

#[test]
fn absent_and_null_members_are_told_apart() {
    let parse = |line: &str| Message::parse(line.as_bytes()).unwrap();
    assert!(matches!(parse(r#"{"jsonrpc":"2.0","method":"log"}"#), Message::Notification(_)));
    let null_result = parse(r#"{"jsonrpc":"2.0","id":1,"result":null}"#);
    assert_eq!(null_result, Message::Response(Response { id: Some(Id::Number(1)), result: Ok(Value::Null) }));
    let unreadable = parse(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no"}}"#);
    assert!(matches!(unreadable, Message::Response(Response { id: None, result: Err(_) })));
}

/// `problems` is the daemon's, for its own clients; a plugin that was made for another reader may give it any form. And a
/// daemon may have more to say than its client knows.
#[test]
fn an_error_is_read_whatever_else_it_tells() {
    let forms = ["\"text\"", "null", "7", "{\"a\":1}", "[1]", "[{\"subject\":\"x\"}]"];
    let members = forms.map(|form| format!("\"problems\":{form}")).into_iter().chain(["\"later\":[1]".to_owned()]);
    for member in members {
        let line = format!(
            r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":-32000,"message":"no","data":{{"help":"h",{member}}}}}}}"#
        );
        let Message::Response(Response { result: Err(error), .. }) = Message::parse(line.as_bytes()).unwrap() else {
            panic!("{line}");
        };
        assert_eq!(error, ErrorObject::new(code::FAILED, "no").help("h"), "{line}");
    }
}

/// Whoever asks nothing reads calls as everybody does, and looks into no answer.
#[test]
fn a_program_that_asks_nothing_reads_calls_only() {
    for line in [r#"{"jsonrpc":"2.0","id":1,"method":"hello","params":{}}"#, r#"{"jsonrpc":"2.0","method":"cancel"}"#] {
        let call = Message::parse_call(line.as_bytes()).unwrap();
        assert_eq!(call, Some(Message::parse(line.as_bytes()).unwrap()), "{line}");
    }
    for line in [r#"{"jsonrpc":"2.0","id":1,"result":null}"#, r#"{"jsonrpc":"2.0","id":1,"error":{"no":"error"}}"#] {
        assert_eq!(Message::parse_call(line.as_bytes()).unwrap(), None, "{line}");
    }
    for line in ["{}", r#"{"jsonrpc":"2.0","id":1}"#, r#"{"jsonrpc":"2.0","id":1,"method":"hello","result":1}"#] {
        assert!(Message::parse_call(line.as_bytes()).is_err(), "{line}");
    }
}

/// What docs/formats/plugin-protocol.md says about states and steps, which come back to the plugin.
#[test]
fn json_goes_through_as_far_as_is_written() {
    let parse = |result: &str| Message::parse(format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#).as_bytes());
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    // The message is one of them.
    assert!(parse(&nested(126)).is_ok() && parse(&nested(127)).is_err());
    let result = |text: &str| match parse(text).unwrap() {
        Message::Response(Response { result, .. }) => result.unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(result(r#"{"a":1,"a":2}"#), json!({ "a": 2 }));
    assert_eq!(result("18446744073709551615"), json!(u64::MAX));
    assert!(result("18446744073709551616").is_f64());
}

#[test]
fn a_line_beyond_the_limit_is_noticed_before_it_ends() {
    let mut decoder = LineDecoder::with_limit(4);
    decoder.push(b"abc\nabcd");
    assert_eq!(decoder.next_line(), Ok(Some(b"abc".to_vec())));
    assert_eq!(decoder.next_line(), Ok(None));
    decoder.push(b"e");
    assert_eq!(decoder.next_line(), Err(LineTooLong { limit: 4 }));
}

#[test]
fn only_what_precedes_the_version_agreement_may_have_unknown_members() {
    let hello = json!({ "protocol": { "min": 1, "max": 9, "x": 0 }, "daemon": "9.0.0", "colour": "blue" });
    assert!(serde_json::from_value::<Hello>(hello).is_ok());
    let description = json!({
        "name": "x", "version": "1.0.0", "protocol": { "min": 1, "max": 1 }, "claims": [{ "key": "a", "z": 1 }],
        "mood": "good",
    });
    assert!(serde_json::from_value::<Description>(description).is_ok());
    assert!(serde_json::from_value::<Configure>(json!({ "config": {}, "mode": "x" })).is_err());
    assert!(serde_json::from_value::<admin::Apply>(json!({ "dry_run": true, "dry-run": true })).is_err());
    let pong = json!({ "version": "9.0.0", "pid": 1, "uptime": 3 });
    assert!(serde_json::from_value::<admin::Pong>(pong).is_ok());
}

#[test]
fn the_newest_common_version_is_used() {
    let range = |min, max| ProtocolRange { min, max };
    assert_eq!(range(1, 3).common_with(range(2, 5)), Some(3));
    assert_eq!(range(2, 5).common_with(range(1, 3)), Some(3));
    assert_eq!(range(1, 1).common_with(range(2, 5)), None);
    assert_eq!(range(4, 5).common_with(range(1, 3)), None);
    assert_eq!(range(1, 9).common_with(range(2, 2)), Some(2));
}

#[test]
fn a_secret_does_not_show_itself() {
    #[derive(Debug)]
    #[expect(dead_code, reason = "only its Debug is looked at")]
    struct Config {
        password: Secret,
    }
    let secret = Secret::new("hunter2");
    assert_eq!(format!("{:?}", Config { password: secret.clone() }), "Config { password: *** }");
    assert_eq!(format!("{secret:#?}"), "***");
    assert_eq!(secret.expose(), "hunter2");
    assert_eq!(serde_json::to_value(&secret).unwrap(), "hunter2");
    assert_eq!(serde_json::from_str::<Secret>("\"hunter2\"").unwrap(), secret);
    for wrong in ["12345", "-12345", "12345.5", "true", "null", "[12345]", "{\"x\":12345}", "99999999999999999999"] {
        let errors = [
            serde_json::from_str::<Secret>(wrong).unwrap_err().to_string(),
            serde_json::from_value::<Secret>(serde_json::from_str(wrong).unwrap()).unwrap_err().to_string(),
        ];
        for error in errors {
            assert!(!error.contains("12345") && !error.contains("true") && !error.contains("999"), "{error}");
        }
    }
}

/// Nor does a line that is no message: what was sent by mistake may be anything.
#[test]
fn what_is_no_message_is_not_quoted() {
    for line in [
        r#"{"jsonrpc":12345}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":"12345","message":"no"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":12345}"#,
        "12345",
        "{12345}",
        "\"12345\\q\"",
    ] {
        let error = Message::parse(line.as_bytes()).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(!format!("{error}{source}").contains("12345"), "{error}: {source}");
    }
}
