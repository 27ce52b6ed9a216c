//! Features: every directive, in order, and every directive that is refused.

use template::{FeatureError, Features};

fn values(directives: &[&str], name: &str) -> Vec<String> {
    Features::from_directives(directives).expect("good directives").values(name).to_vec()
}

#[test]
fn directives_apply_in_order() {
    let cases: [(&[&str], &[&str]); 14] = [
        (&[], &[]),
        (&["x"], &["1"]),
        (&["x=a"], &["a"]),
        (&["x=a", "x=b"], &["b"]),
        (&["x=a", "x"], &["a", "1"]),
        (&["x", "x"], &["1"]),
        (&["x+=b", "x+=a", "x+=b"], &["b", "a"]),
        (&["x+=b", "x+=a", "x=c"], &["c"]),
        (&["x+=b", "x+=a", "x-=b"], &["a"]),
        (&["x+=b", "x+=a", "x~=a"], &["b"]),
        (&["x=a", "x-=a"], &[]),
        (&["x-=a"], &[]),
        (&["x=a", "^x"], &[]),
        (&["^x", "x=a=b +-~^"], &["a=b +-~^"]),
    ];
    for (directives, expected) in cases {
        assert_eq!(values(directives, "x"), expected, "{directives:?}");
        let features = Features::from_directives(directives).expect("good directives");
        assert_eq!(features.is_defined("x"), !expected.is_empty(), "{directives:?}");
    }
}

#[test]
fn names_with_digits_and_signs_are_kept_apart_from_operators() {
    assert_eq!(values(&["a-b_9=v"], "a-b_9"), ["v"]);
    assert_eq!(values(&["a-b-=v", "a-b+=w"], "a-b"), ["w"]);
}

#[test]
fn refused_directives_change_nothing_and_say_why() {
    let name = |directive: &str, name: &str| FeatureError::BadName { directive: directive.into(), name: name.into() };
    let empty = |directive: &str, operator| FeatureError::EmptyValue { directive: directive.into(), operator };
    let cases = [
        ("", name("", "")),
        ("=x", name("=x", "")),
        ("9x", name("9x", "9x")),
        ("_x", name("_x", "_x")),
        ("x-", name("x-", "x-")),
        ("x y", name("x y", "x y")),
        ("ü", name("ü", "ü")),
        ("x.y=1", name("x.y=1", "x.y")),
        ("x--=1", name("x--=1", "x-")),
        ("^", name("^", "")),
        ("^9", name("^9", "9")),
        ("x=", empty("x=", "=")),
        // The original dies on an assertion for these three.
        ("x+=", empty("x+=", "+=")),
        ("x-=", empty("x-=", "-=")),
        ("x~=", empty("x~=", "~=")),
        ("x=ü", FeatureError::BadValue { directive: "x=ü".into() }),
        ("x=a\tb", FeatureError::BadValue { directive: "x=a\tb".into() }),
        ("^x=1", FeatureError::RemovalWithValue { directive: "^x=1".into() }),
    ];
    for (directive, expected) in cases {
        let mut features = Features::from_directives(["x=kept"]).expect("a good directive");
        let error = features.apply(directive).expect_err(directive);
        assert_eq!(error, expected);
        assert!(error.to_string().contains(&format!("`{directive}`")), "{error}");
        assert!(!error.hint().is_empty());
        assert_eq!(features.values("x"), ["kept"]);
    }
}

#[test]
fn features_are_listed_by_name() {
    let features = Features::from_directives(["b=2", "a", "c", "^c"]).expect("good directives");
    let listed: Vec<(&str, &[String])> = features.iter().collect();
    assert_eq!(listed, [("a", &["1".to_owned()][..]), ("b", &["2".to_owned()][..])]);
    assert_eq!(features.mentioned().collect::<Vec<_>>(), ["a", "b", "c"]);
}
