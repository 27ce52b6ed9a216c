//! What a plugin keeps in a file: JSON, read and written by the same code as what goes over the wire. Code of its own for
//! each format and type would make programs larger by a good part.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sysconfig_protocol::shape;

/// Reads a record; none when it is damaged.
pub fn read<T: DeserializeOwned>(content: &[u8]) -> Option<T> {
    let value = serde_json::from_slice::<Value>(content).ok()?;
    shape::from_value(value).ok()
}

/// Writes a record.
///
/// # Panics
///
/// When a type has a map whose keys are neither texts nor numbers.
pub fn write<T: Serialize>(record: &T) -> Vec<u8> {
    let value = serde_json::to_value(record).expect("a record has text keys only, so it always serialises");
    value.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_damaged_is_none() {
        let record = std::collections::BTreeMap::from([("a".to_owned(), Some(1)), ("b".to_owned(), None)]);
        let written = write(&record);
        assert_eq!(String::from_utf8_lossy(&written), r#"{"a":1,"b":null}"#);
        assert_eq!(read(&written), Some(record));
        assert_eq!(read::<Vec<u8>>(&written), None);
        assert_eq!(read::<Value>(&written[1..]), None);
    }
}
