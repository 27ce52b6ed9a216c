//! Names in JSON, whose texts are Unicode, while those of an image are bytes.

use crate::output::hex;
use serde_json::{Map, Value};

/// What is behind the key of a name in the key of its bytes.
const EXACT: &str = "_hex";

/// Puts a name, a path or the target of a link under `key`. Of one that is no UTF-8, `KEY_hex` has the bytes in hexadecimal,
/// because its text has `U+FFFD` in the place of what is no character, as that of others may have.
pub fn put_name(into: &mut Map<String, Value>, key: &str, name: &[u8]) {
    into.insert(key.to_owned(), Value::from(String::from_utf8_lossy(name)));
    if std::str::from_utf8(name).is_err() {
        into.insert(format!("{key}{EXACT}"), Value::from(hex(name)));
    }
}

/// The name that [`put_name`] has put there; none if it is missing or malformed.
#[must_use]
pub fn name_of(from: &Map<String, Value>, key: &str) -> Option<Vec<u8>> {
    let text = |key: &str| from.get(key).and_then(Value::as_str);
    let Some(hexadecimal) = text(&format!("{key}{EXACT}")) else { return Some(text(key)?.as_bytes().to_vec()) };
    let digits = hexadecimal.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_come_back_and_no_two_are_told_alike() {
        let names: [&[u8]; 6] = [b"plain", "\u{e4}\u{fffd}".as_bytes(), b"f\xff", b"f\xfe", b"\\xff", b""];
        let mut told = Vec::new();
        for name in names {
            let mut line = Map::new();
            put_name(&mut line, "path", name);
            assert_eq!(name_of(&line, "path").as_deref(), Some(name));
            assert!(!told.contains(&line), "{line:?}");
            told.push(line);
        }
        assert_eq!(Value::from(told[2].clone()), json!({ "path": "f\u{fffd}", "path_hex": "66ff" }));
        let malformed = json!({ "path": "f", "path_hex": "6\u{fffd}" });
        assert_eq!(name_of(malformed.as_object().expect("an object"), "path"), None);
    }
}
