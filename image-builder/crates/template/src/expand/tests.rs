use proptest::prelude::*;

use super::*;

fn features(directives: &[&str]) -> Features {
    Features::from_directives(directives).expect("good directives")
}

fn single(text: &str, directives: &[&str]) -> Result<String, Vec<ExpandError>> {
    Parsed::parse(text).map_err(|error| vec![error])?.single(&features(directives))
}

fn multi(text: &str, directives: &[&str]) -> Result<Vec<String>, Vec<ExpandError>> {
    Parsed::parse(text).map_err(|error| vec![error])?.multi(&features(directives))
}

#[test]
fn every_form_with_one_value() {
    let cases = [
        ("", &[][..], ""),
        ("plain } text { ?!@", &[], "plain } text { ?!@"),
        ("a$$b$$", &[], "a$b$"),
        ("$${x}", &[], "${x}"),
        ("${x}", &["x=1 2"], "1 2"),
        ("a${x}b${y}c", &["x=1", "y"], "a1b1c"),
        ("${x?-onu}", &["x"], "-onu"),
        ("${x?-onu}", &[], ""),
        ("${x!-onu}", &["x"], ""),
        ("${x!-onu}", &[], "-onu"),
        ("${x?}", &["x"], ""),
        ("${x?a?b!c@d{}", &["x"], "a?b!c@d{"),
        ("${x!a?b}", &[], "a?b"),
        // A feature with several values is defined, which is all that `?` asks.
        ("${x?yes}", &["x+=1", "x+=2"], "yes"),
        // The value of a feature is not expanded again.
        ("${x}", &["x=${y}"], "${y}"),
        // Inside the braces a name may begin and end as it likes; it is merely never defined.
        ("${-x-?a}${9!b}", &[], "b"),
    ];
    for (text, directives, expected) in cases {
        assert_eq!(single(text, directives).as_deref(), Ok(expected), "{text} with {directives:?}");
    }
}

#[test]
fn every_form_with_many_values() {
    let cases: [(&str, &[&str], &[&str]); 9] = [
        ("plain", &[], &["plain"]),
        ("${@x}", &[], &[]),
        ("${@x}", &["x=1"], &["1"]),
        // The order of the command line, not of the alphabet.
        ("${@x}", &["x+=b", "x+=a", "x+=b"], &["b", "a"]),
        ("${@@x}", &["x+=b", "x+=a"], &["b", "a"]),
        ("http://${@x}/${y}$$", &["x+=b", "x+=a", "y=z"], &["http://b/z$", "http://a/z$"]),
        ("${@x}", &["x+=b", "x+=a", "x-=b"], &["a"]),
        ("${y?${@x}", &["y"], &["${@x"]),
        ("${y!none}", &["x+=1"], &["none"]),
    ];
    for (text, directives, expected) in cases {
        if text.contains("?$") {
            // `$` cannot stand in the text of a condition.
            assert!(multi(text, directives).is_err());
        } else {
            assert_eq!(multi(text, directives).expect(text), expected, "{text} with {directives:?}");
        }
    }
}

#[test]
fn syntax_errors_say_where() {
    let cases = [
        ("a$", 1..2),
        ("a$b", 1..3),
        ("a$ü", 1..4),
        ("a${", 1..3),
        ("a${x", 1..4),
        ("a${}b", 1..4),
        ("${?x}", 0..5),
        ("${!x}", 0..5),
        ("${@}", 0..4),
        ("${@@}", 0..5),
        ("${@@@x}", 0..7),
        ("${x@}", 0..5),
        ("${x y}", 0..6),
        ("${ü}", 0..5),
        ("${@x?y}", 0..7),
        ("${@@x!y}", 0..8),
        ("${x?a$$b}", 5..6),
        ("${x?${y}}", 4..5),
    ];
    for (text, range) in cases {
        let error = Parsed::parse(text).expect_err(text);
        assert_eq!(error.range, range, "{text}");
        assert!(matches!(error.kind, ExpandErrorKind::Syntax { .. }), "{text}: {error:?}");
    }
}

#[test]
fn all_errors_of_one_text_are_found() {
    let errors = single("${a}-${b}-${@c}", &["b+=1", "b+=2", "c"]).expect_err("three errors");
    let kinds: Vec<ExpandErrorKind> = errors.into_iter().map(|error| error.kind).collect();
    let many = ExpandErrorKind::MultiValued { name: "b".into(), values: 2 };
    assert_eq!(kinds, [ExpandErrorKind::Undefined("a".into()), many, ExpandErrorKind::NotAList]);

    let errors = multi("${@@a}${@c}${@c}${b}", &["c"]).expect_err("three errors");
    let kinds: Vec<ExpandErrorKind> = errors.into_iter().map(|error| error.kind).collect();
    let undefined = |name: &str| ExpandErrorKind::Undefined(name.into());
    assert_eq!(kinds, [undefined("a"), ExpandErrorKind::SecondList, undefined("b")]);
}

proptest! {
    /// Whatever stands in a template, expansion gives a value or an error that points into the text.
    #[test]
    fn arbitrary_text_never_panics(text in "[$${}@?!a-z0-9 ü-]{0,40}|\\PC*") {
        let features = features(&["a=1", "b+=1", "b+=2"]);
        let errors = match Parsed::parse(&text) {
            Err(error) => vec![error],
            Ok(parsed) => {
                let mut errors = parsed.single(&features).err().unwrap_or_default();
                errors.extend(parsed.multi(&features).err().unwrap_or_default());
                errors
            }
        };
        for error in errors {
            prop_assert!(text.get(error.range.clone()).is_some_and(|part| !part.is_empty()), "{:?}", error);
        }
    }

    /// Doubling every dollar makes any text literal.
    #[test]
    fn escaped_text_expands_to_itself(text in "\\PC*") {
        let escaped = text.replace('$', "$$");
        prop_assert_eq!(single(&escaped, &[]), Ok(text));
    }
}
