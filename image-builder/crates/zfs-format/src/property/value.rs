//! Reading the text of a value.

use super::table::{Kind, Property, no_keyword};
use super::{PropertyError, Stored};

/// Reads `text` as a value of `property`.
pub(super) fn parse(property: &Property, text: &str) -> Result<Stored, PropertyError> {
    match property.kind {
        Kind::Keywords(words) => {
            let found = words.iter().find(|(word, _)| *word == text);
            found.map(|(_, number)| Stored::Number(*number)).ok_or_else(|| no_keyword(property, words, text))
        }
        Kind::Text(check) => {
            check_text(property.name, text)?;
            check(text).map_err(|reason| error(property.name, text, reason))?;
            Ok(Stored::Text(text.to_owned()))
        }
        Kind::Bytes { none, min, max, power_of_two } => {
            let number = match none {
                Some(number) if text == "none" => number,
                _ => parse_bytes(text).map_err(|reason| error(property.name, text, reason))?,
            };
            if number < min || number > max {
                return Err(error(property.name, text, format!("it is not between {min} and {max}")));
            }
            // `SPA_MINBLOCKSIZE` is 512. A zero has passed `min`.
            if power_of_two && number != 0 && (number < 512 || !number.is_power_of_two()) {
                return Err(error(property.name, text, "it is no power of two, or less than 512"));
            }
            Ok(Stored::Number(number))
        }
    }
}

/// Text with a NUL inside would be cut there.
pub(super) fn check_text(name: &str, text: &str) -> Result<(), PropertyError> {
    if text.contains('\0') { Err(error(name, text, "it contains a NUL")) } else { Ok(()) }
}

pub(super) fn error(name: &str, value: &str, reason: impl Into<Box<str>>) -> PropertyError {
    PropertyError::Value { name: name.into(), value: printable(value).into(), reason: reason.into() }
}

/// The text without what would move a terminal's cursor.
pub(super) fn printable(text: &str) -> String {
    let shown = |character: char| {
        let escaped = character.is_control().then(|| character.escape_default().to_string());
        escaped.unwrap_or_else(|| character.to_string())
    };
    text.chars().map(shown).collect()
}

/// A size as `zfs set` reads it: digits, a fraction if a unit follows, and a unit of 1024s such as `K`, `GB` or
/// `TiB`, in either case.
fn parse_bytes(text: &str) -> Result<u64, &'static str> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = unit_shift(unit).ok_or("the unit is not known")?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') || (number.contains('.') && shift == 0) {
        return Err("it does not begin with a number");
    }
    let whole: u64 = whole.parse().map_err(|_| "the number is too large")?;
    let bytes = u128::from(whole) << shift;
    // Nine digits of fraction are more than any unit up to 2 to the 30 can tell apart, and what ZFS prints.
    let digits: u128 = format!("{fraction:0<9}")[..9].parse().map_err(|_| "the fraction is no number")?;
    let bytes = bytes + (digits << shift) / 1_000_000_000;
    u64::try_from(bytes).map_err(|_| "the number is too large")
}

fn unit_shift(unit: &str) -> Option<u32> {
    let unit = unit.to_ascii_uppercase();
    if unit.is_empty() || unit == "B" {
        return Some(0);
    }
    let letter = unit.strip_suffix("IB").or(unit.strip_suffix('B')).unwrap_or(&unit);
    let index = ["K", "M", "G", "T", "P", "E"].iter().position(|known| *known == letter)?;
    Some((index as u32 + 1) * 10)
}
