//! Values are read as `serde_json` reads them, but for tables, and the errors do not quote them.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sysconfig_protocol::{Secret, shape};

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    user: String,
    #[serde(default)]
    password: Option<Secret>,
    #[serde(default)]
    port: u16,
    #[serde(default)]
    kind: Kind,
    #[serde(default)]
    weight: f64,
    #[serde(default)]
    pair: (i8, bool),
}

#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    #[default]
    Plain,
    Named(String),
    Sized {
        size: i64,
    },
    Both(u8, u8),
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
    Table { inner: BTreeMap<u16, Kind> },
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Name(String);

fn same_as_json<T: DeserializeOwned + PartialEq + Debug>(values: &[Value]) {
    for value in values {
        let theirs = serde_json::from_value::<T>(value.clone());
        let ours = shape::from_value::<T>(value.clone());
        match (theirs, ours) {
            (Ok(theirs), Ok(ours)) => assert_eq!(ours, theirs, "{value}"),
            (Err(_), Err(_)) => (),
            (theirs, ours) => panic!("{value}: {theirs:?}, {ours:?}"),
        }
    }
}

#[test]
fn values_are_read_as_serde_json_reads_them() {
    let kinds = [
        json!("plain"),
        json!("named"),
        json!({ "named": "x" }),
        json!({ "sized": { "size": -3 } }),
        json!({ "both": [1, 2] }),
        json!({ "both": [1] }),
        json!({ "both": [1, 2, 3] }),
        json!({ "plain": null }),
        json!({ "plain": 1 }),
        json!({ "plain": null, "named": "x" }),
        json!({}),
        json!(7),
        json!(null),
    ];
    same_as_json::<Kind>(&kinds);
    same_as_json::<Option<Kind>>(&kinds);
    same_as_json::<Value>(&kinds);
    let accounts = kinds.map(|kind| json!({ "user": "a", "kind": kind, "pair": [-1, true], "weight": 2 }));
    same_as_json::<Account>(&accounts);
    same_as_json::<Account>(&[json!({ "user": "a", "more": 1 }), json!({}), json!("a"), json!({ "port": 70_000 })]);
    same_as_json::<OneOrMany>(&[json!("a"), json!(["a"]), json!([1]), json!({ "inner": { "7": "plain" } })]);
    let keys = [json!({ "1": 1, "2": 2 }), json!({ "-1": 1 }), json!({ "plain": 1 }), json!({ "true": 1 }), json!({})];
    same_as_json::<BTreeMap<u16, u8>>(&keys);
    same_as_json::<BTreeMap<i64, u8>>(&keys);
    same_as_json::<BTreeMap<bool, u8>>(&keys);
    same_as_json::<BTreeMap<Kind, u8>>(&keys);
    same_as_json::<BTreeMap<Name, Option<u8>>>(&keys);
    same_as_json::<(f32, char, Option<()>)>(&[json!([1.5, "c", null]), json!([1, "cc", null]), json!([1, "c"])]);
    same_as_json::<u128>(&[json!(1), json!(-1), json!(u64::MAX)]);
}

/// serde takes a list of a struct's members in their order, which nobody means who writes one.
#[test]
fn a_list_is_no_table() {
    for value in [json!(["a"]), json!([]), json!(["a", "b", 1, "plain", 1, [1, true]])] {
        let error = shape::from_value::<Account>(value.clone()).unwrap_err();
        assert_eq!(error.to_string(), "invalid type: sequence, expected struct Account", "{value}");
    }
    let error = shape::from_value::<Kind>(json!({ "sized": [1] })).unwrap_err();
    assert_eq!(
        (error.key(), &*error.to_string()),
        ("sized", "invalid type: sequence, expected struct variant Kind::Sized")
    );
    let error = shape::from_value::<Vec<Account>>(json!([{ "user": "a" }, ["b"]])).unwrap_err();
    assert_eq!((error.key(), &*error.to_string()), ("[1]", "invalid type: sequence, expected struct Account"));
    for (value, is) in [(json!({}), "map"), (json!(null), "null"), (json!(1.5), "floating point number")] {
        let error = shape::from_value::<Vec<u8>>(value).unwrap_err().to_string();
        assert_eq!(error, format!("invalid type: {is}, expected a sequence"));
    }
}

/// The two faults that are in most files of who writes his first one.
#[test]
fn what_to_write_instead_is_said() {
    let help = |value| shape::from_value::<Vec<Account>>(value).unwrap_err().help().map(str::to_owned);
    let list = "a list is meant: [ ] around its values, or [[ ]] around the name of its tables";
    assert_eq!(help(json!({ "user": "a" })).as_deref(), Some(list));
    assert_eq!(help(json!([{ "usre": "a" }])).as_deref(), Some("did you mean user?"));
    assert_eq!(help(json!([{ "User": "a" }])).as_deref(), Some("did you mean user?"));
    assert_eq!(help(json!([{ "colour": "a" }])), None);
    assert_eq!(help(json!([{ "user": 1 }])), None);
}

#[test]
fn errors_do_not_quote_values() {
    for (value, words) in [
        (json!({ "user": 12345 }), "invalid type: integer, expected a string"),
        (json!({ "user": -12345 }), "invalid type: integer, expected a string"),
        (json!({ "user": 12345.5 }), "invalid type: floating point number, expected a string"),
        (json!({ "user": true }), "invalid type: boolean, expected a string"),
        (json!({ "user": null }), "invalid type: null, expected a string"),
        (json!({ "user": ["12345"] }), "invalid type: sequence, expected a string"),
        (json!({ "user": "a", "port": "12345" }), "invalid type: string, expected u16"),
        (json!({ "user": "a", "port": 123_456 }), "invalid value: integer, expected u16"),
        (json!({ "user": "a", "kind": "12345" }), "unknown variant, expected one of `plain`, `named`, `sized`, `both`"),
        (json!({ "user": "a", "kind": { "12345": 1 } }), "unknown variant, expected"),
        (json!({ "user": "a", "kind": 12345 }), "expected the name of a variant"),
        (json!({ "user": "a", "pair": [1] }), "invalid length 1"),
        (json!({ "user": "a", "password": 12345 }), "a secret has to be a string"),
        (json!({ "usr": "12345" }), "unknown field `usr`, expected one of `user`"),
    ] {
        let error = shape::from_value::<Account>(value.clone()).unwrap_err().to_string();
        assert!(error.contains(words), "{value}: {error}");
        assert!(!error.contains("12345") && !error.contains("true"), "{value}: {error}");
    }
    let error = shape::from_value::<BTreeMap<u8, u8>>(json!({ "12345": 1 })).unwrap_err().to_string();
    assert!(!error.contains("12345"), "{error}");
}

/// As `serde_path_to_error` tells it, in the words of configuration files.
fn path_of<T: DeserializeOwned>(value: &Value) -> Option<String> {
    use serde_path_to_error::Segment;
    let error = serde_path_to_error::deserialize::<_, T>(value).err()?;
    let mut text = String::new();
    for segment in error.path() {
        match segment {
            Segment::Seq { index } => text.push_str(&format!("[{index}]")),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                text.push_str(if text.is_empty() { "" } else { "." });
                text.push_str(key);
            }
            Segment::Unknown => (),
        }
    }
    Some(text)
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only read")]
struct Accounts {
    #[serde(rename = "system.account")]
    accounts: Vec<Account>,
    #[serde(default)]
    kinds: BTreeMap<String, Vec<Kind>>,
    #[serde(default)]
    some: Option<OneOrMany>,
}

#[test]
fn errors_name_the_key() {
    for (value, key) in [
        (json!({}), ""),
        (json!([]), ""),
        (json!({ "system.account": 7 }), "system.account"),
        (json!({ "system.account": [{ "user": "a" }, { "user": 7 }] }), "system.account[1].user"),
        (json!({ "system.account": [{ "user": "a", "pair": [1, 2] }] }), "system.account[0].pair[1]"),
        (json!({ "system.account": [{ "user": "a", "pair": [1, true, 2] }] }), "system.account[0].pair"),
        (json!({ "system.account": [{ "user": "a", "usr": "b" }] }), "system.account[0].usr"),
        (json!({ "system.account": [{}] }), "system.account[0]"),
        (json!({ "system.account": [{ "user": "a", "kind": "12345" }] }), "system.account[0].kind"),
        (json!({ "system.account": [], "kinds": { "x": [{ "named": 7 }] } }), "kinds.x[0].named"),
        (
            json!({ "system.account": [], "kinds": { "x": ["plain", { "sized": { "size": "" } }] } }),
            "kinds.x[1].sized.size",
        ),
        (json!({ "system.account": [], "kinds": { "x": [{ "both": [1, ""] }] } }), "kinds.x[0].both[1]"),
        (json!({ "system.account": [], "kinds": { "x": [{ "other": 1 }] } }), "kinds.x[0]"),
        (json!({ "system.account": [], "some": { "inner": { "x": "plain" } } }), "some"),
    ] {
        let error = shape::from_value::<Accounts>(value.clone()).unwrap_err();
        assert_eq!(error.key(), key, "{value}: {error}");
        assert_eq!(path_of::<Accounts>(&value).as_deref(), Some(key), "{value}");
    }
    let keys = json!({ "1": 1, "x": 2 });
    assert_eq!(shape::from_value::<BTreeMap<u8, u8>>(keys).unwrap_err().key(), "x");
}
