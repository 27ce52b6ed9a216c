use proptest::prelude::*;

use super::*;

/// The same value as another parser sees it.
fn foreign(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Flag(flag) => (*flag).into(),
        Value::Number(digits) => serde_json::from_str(digits).expect("a number"),
        Value::Text(text) => text.clone().into(),
        Value::List(elements) => elements.iter().map(foreign).collect(),
        Value::Object(members) => members.iter().map(|member| (member.key.clone(), foreign(&member.node))).collect(),
    }
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn what_another_writer_writes_is_read(value in json_value(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let node = parse(&text.expect("serializes")).expect("parses");
        prop_assert_eq!(foreign(&node), value);
    }

    /// Strictness has a judge: a text is JSON for us exactly when it is for the other parser.
    #[test]
    fn what_another_parser_refuses_is_refused(text in "[\\[\\]{}\",:0-9eE.+\\- truefalsn\\\\/ud\t\n]{0,24}") {
        let judged = serde_json::from_str::<serde_json::Value>(&text);
        // Numbers beyond a double are JSON, and not ours to interpret.
        let beyond = matches!(&judged, Err(error) if error.to_string().contains("out of range"));
        prop_assert!(beyond || parse(&text).is_ok() == judged.is_ok(), "{:?}: {:?}", parse(&text), judged);
    }

    #[test]
    fn arbitrary_text_never_panics_and_errors_point_into_it(text in "\\PC*|[\\[{\"\\\\u:,0-9 ]*") {
        if let Err(error) = parse(&text) {
            prop_assert!(text.get(error.span.start..error.span.end).is_some(), "{:?}", error);
        }
    }

    /// Any part of a string can be found again in its literal, however it is escaped.
    #[test]
    fn parts_of_literals_are_found(before in any::<String>(), part in any::<String>(), after in any::<String>()) {
        let whole = format!("{before}{part}{after}");
        let text = serde_json::to_string(&whole).expect("serializes");
        let range = before.len()..before.len() + part.len();
        let span = span_in_literal(&text, Span::new(0, text.len()), &range);
        let found: String = serde_json::from_str(&format!("\"{}\"", &text[span.start..span.end])).expect("a string");
        prop_assert_eq!(found, part);
    }
}

#[test]
fn escapes_and_surrogate_pairs_are_measured() {
    let text = r#""\u00e4\ud83d\ude00\n$x""#;
    let node = parse(text).expect("parses");
    assert_eq!(node.value, Value::Text("ä😀\n$x".to_owned()));
    let span = span_in_literal(text, node.span, &(7..9));
    assert_eq!(&text[span.start..span.end], "$x");
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(parse(&nested(MAX_DEPTH + 1)).expect_err("too deep").message, "nested too deeply");
    assert!(parse(&"[".repeat(1_000_000)).is_err());
}
