//! Extended headers: `LENGTH KEYWORD=VALUE\n` records that replace or extend the fields of a header.
//!
//! POSIX.1-2017 `pax`, "pax Extended Header"; the vendors' keywords as GNU tar, star, libarchive and illumos
//! tar write them.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, Engine};

use super::error::{TarErrorKind, TarWarningKind, WarningList};
use super::sparse::SparseKeywords;
use crate::acl::{AclEntry, parse_acl};
use crate::node::{Timestamp, XATTR_BYTES_MAX, XATTRS_MAX};
use crate::path::{self, NAME_BYTES_MAX};

/// What extended headers say about the next entry (or, global ones, about all that follow).
#[derive(Debug, Clone, Default)]
pub(super) struct Overrides {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link_path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Timestamp>,
    pub(super) dev_major: Option<u32>,
    pub(super) dev_minor: Option<u32>,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) acl: Option<Arc<[AclEntry]>>,
    pub(super) sparse: SparseKeywords,
    pub(super) warnings: BTreeMap<TarWarningKind, u64>,
}

/// Keywords that say nothing a tree could hold: names beside ids, times other than that of the
/// modification, and facts about the file system that the archive was made from.
const WITHOUT_EFFECT: [&[u8]; 13] = [
    b"atime",
    b"ctime",
    b"uname",
    b"gname",
    b"comment",
    b"charset",
    b"hdrcharset",
    b"LIBARCHIVE.creationtime",
    b"SCHILY.dev",
    b"SCHILY.ino",
    b"SCHILY.nlink",
    b"SCHILY.filetype",
    b"SCHILY.realsize",
];

/// So much of an unknown keyword is shown.
const SHOWN_BYTES_MAX: usize = 100;

const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";
const LIBARCHIVE_XATTR_PREFIX: &[u8] = b"LIBARCHIVE.xattr.";

/// libarchive leaves the padding out.
const LIBARCHIVE_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Overrides {
    /// Applies the records of one extended header.
    pub(super) fn apply(&mut self, mut records: &[u8]) -> Result<(), TarErrorKind> {
        while !records.is_empty() {
            let (record, rest) = split_record(records)?;
            let equals = record.iter().position(|byte| *byte == b'=');
            let equals = equals.ok_or(TarErrorKind::Extended("no `=`"))?;
            self.set(&record[..equals], &record[equals + 1..])?;
            records = rest;
        }
        // Several headers may belong to one entry, and each is bounded.
        let bytes = self.xattrs.values().map(|value| value.len() as u64).sum();
        match self.xattrs.len() {
            _ if bytes > XATTR_BYTES_MAX => Err(TarErrorKind::XattrsTooLarge(bytes)),
            count if count > XATTRS_MAX => Err(TarErrorKind::TooManyXattrs(count)),
            _ => Ok(()),
        }
    }

    /// About how many bytes a copy takes.
    pub(super) fn weight(&self) -> u64 {
        let names = [&self.path, &self.link_path, &self.sparse.name];
        let names: usize = names.into_iter().flatten().map(Vec::len).sum();
        names as u64 + self.xattr_weight() + self.sparse.weight()
    }

    /// About how many bytes of memory a node takes for the extended attributes.
    pub(super) fn xattr_weight(&self) -> u64 {
        self.xattrs.iter().map(|(name, value)| (size_of_val(name) * 2 + name.len() + value.len()) as u64).sum()
    }

    fn warn(&mut self, kind: TarWarningKind) {
        *self.warnings.entry(self.warnings.kind_of(kind)).or_default() += 1;
    }

    fn warn_of_keyword(&mut self, keyword: &[u8]) {
        let shown = path::display(&keyword[..keyword.len().min(SHOWN_BYTES_MAX)]);
        self.warn(TarWarningKind::UnknownKeyword(shown));
    }

    /// Takes over an extended attribute, unless no file could have its name.
    fn set_attribute(&mut self, name: Vec<u8>, value: Vec<u8>, is_replacing: bool) -> Result<(), TarErrorKind> {
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) || name.contains(&0) {
            return Err(TarErrorKind::Extended("impossible name of an extended attribute"));
        }
        if !is_attribute_name(&name) {
            self.warn(TarWarningKind::AttributeName);
        } else if is_replacing || !self.xattrs.contains_key(&name) {
            self.xattrs.insert(name, value);
        }
        Ok(())
    }

    fn set(&mut self, keyword: &[u8], value: &[u8]) -> Result<(), TarErrorKind> {
        match keyword {
            b"path" => self.path = non_empty(value),
            b"linkpath" => self.link_path = non_empty(value),
            b"size" => self.size = decimal(value, "size")?,
            b"uid" => self.uid = decimal(value, "uid")?,
            b"gid" => self.gid = decimal(value, "gid")?,
            b"mtime" => self.mtime = time(value)?,
            b"SUN.devmajor" | b"SCHILY.devmajor" => self.dev_major = decimal(value, "device number")?,
            b"SUN.devminor" | b"SCHILY.devminor" => self.dev_minor = decimal(value, "device number")?,
            b"SUN.holesdata" => {
                return Err(TarErrorKind::Unsupported("the sparse files of illumos pax"));
            }
            b"SCHILY.acl.ace" if value.is_empty() => self.acl = None,
            b"SCHILY.acl.ace" => self.set_acl(value),
            b"SCHILY.acl.access" | b"SCHILY.acl.default" => self.warn(TarWarningKind::Acl),
            _ if WITHOUT_EFFECT.contains(&keyword) => {}
            _ if keyword.starts_with(XATTR_PREFIX) => {
                let name = decode_xattr_name(&keyword[XATTR_PREFIX.len()..]);
                self.set_attribute(name, value.to_vec(), true)?;
            }
            _ if keyword.starts_with(LIBARCHIVE_XATTR_PREFIX) => self.set_libarchive_attribute(keyword, value)?,
            _ if keyword.starts_with(b"GNU.sparse.") => self.sparse.set(keyword, value)?,
            _ => self.warn_of_keyword(keyword),
        }
        Ok(())
    }

    /// libarchive writes each attribute in its own form first, with the name of a URL and a value in base 64, and then
    /// as star does, whose form counts where there are both.
    fn set_libarchive_attribute(&mut self, keyword: &[u8], value: &[u8]) -> Result<(), TarErrorKind> {
        let encoded = &keyword[LIBARCHIVE_XATTR_PREFIX.len()..];
        let name = percent_encoding::percent_decode(encoded).collect();
        match LIBARCHIVE_BASE64.decode(value) {
            Ok(value) => self.set_attribute(name, value, false),
            Err(_) => {
                self.warn_of_keyword(keyword);
                Ok(())
            }
        }
    }

    /// Takes over a list from its text. One that cannot be kept, as one with names and no numbers, is left out.
    pub(super) fn set_acl(&mut self, text: &[u8]) {
        match parse_acl(text) {
            Ok(entries) => self.acl = Some(entries.into()),
            Err(_) => self.warn(TarWarningKind::Acl),
        }
    }

    /// Applies an ancillary file of illumos tar (`tar.h`, type `A`): records of a type, seven octal digits with a NUL that
    /// count what is in it, and a text that ends with a NUL.
    pub(super) fn apply_ancillary(&mut self, mut records: &[u8]) {
        const ACE_ACL: u8 = b'3';
        while let Some((kind, rest)) = records.split_first() {
            let text = rest.get(7..).unwrap_or_default();
            let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
            match *kind {
                ACE_ACL => self.set_acl(&text[..end]),
                0 => break,
                _ => self.warn(TarWarningKind::Acl),
            }
            records = text.get(end + 1..).unwrap_or_default();
        }
    }
}

/// Appends a record.
pub(super) fn push_record(records: &mut Vec<u8>, keyword: &[u8], value: &[u8]) {
    // The length counts its own digits too; two rounds suffice, since it grows by one digit at most.
    let rest = keyword.len() + value.len() + 3;
    let digits = |number: usize| number.to_string().len();
    let mut length = rest + digits(rest);
    length = rest + digits(length);
    records.extend_from_slice(format!("{length} ").as_bytes());
    records.extend_from_slice(keyword);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// Appends the record of an extended attribute. As GNU tar does, `=` in its name is escaped.
pub(super) fn push_xattr(records: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let mut keyword = XATTR_PREFIX.to_vec();
    for byte in name {
        match byte {
            b'=' => keyword.extend_from_slice(b"%3D"),
            b'%' => keyword.extend_from_slice(b"%25"),
            _ => keyword.push(*byte),
        }
    }
    push_record(records, &keyword, value);
}

/// A time in the notation of `mtime`.
pub(super) fn format_time(time: Timestamp) -> String {
    match (time.secs, time.nanos) {
        (secs, 0) => secs.to_string(),
        (secs, nanos) if secs >= 0 => format!("{secs}.{nanos:09}"),
        // -1.25 is 0.75 s after -2 s. The negation is done in 128 bits, where no second is the least.
        (secs, nanos) => format!("-{}.{:09}", -(i128::from(secs) + 1), 1_000_000_000 - nanos),
    }
}

/// The first record without its length and line end, and what follows it.
fn split_record(records: &[u8]) -> Result<(&[u8], &[u8]), TarErrorKind> {
    let malformed = TarErrorKind::Extended;
    let space = records.iter().position(|byte| *byte == b' ').ok_or(malformed("no length"))?;
    let length: Option<usize> = decimal(&records[..space], "length")?;
    let length = length.filter(|length| *length > space + 1 && *length <= records.len());
    let (record, rest) = records.split_at(length.ok_or(malformed("impossible length"))?);
    let record = record[space + 1..].strip_suffix(b"\n").ok_or(malformed("no line end"))?;
    Ok((record, rest))
}

/// An empty value takes back what a global header said.
fn non_empty(value: &[u8]) -> Option<Vec<u8>> {
    (!value.is_empty()).then(|| value.to_vec())
}

/// A decimal number; none if the value is empty.
pub(super) fn decimal<T: TryFrom<u64>>(value: &[u8], field: &'static str) -> Result<Option<T>, TarErrorKind> {
    if value.is_empty() {
        return Ok(None);
    }
    let number = value.iter().try_fold(0_u64, |number, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    });
    number.and_then(|number| number.try_into().ok()).map(Some).ok_or(TarErrorKind::Field(field))
}

fn time(value: &[u8]) -> Result<Option<Timestamp>, TarErrorKind> {
    if value.is_empty() {
        return Ok(None);
    }
    parse_time(value).map(Some).ok_or(TarErrorKind::Field("time"))
}

fn parse_time(value: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(value).ok()?;
    let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let nine_digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanos: i128 = nine_digits.parse().ok()?;
    // In nanoseconds, 64-bit seconds need 94 bits.
    let total = whole.parse::<u64>().map(i128::from).ok()? * 1_000_000_000 + nanos;
    let total = if is_negative { -total } else { total };
    let secs = total.div_euclid(1_000_000_000).try_into().ok()?;
    let nanos = total.rem_euclid(1_000_000_000).try_into().ok()?;
    Some(Timestamp { secs, nanos })
}

/// Whether a file in a directory could be called so, which an extended attribute is in ZFS.
pub(super) fn is_attribute_name(name: &[u8]) -> bool {
    !name.contains(&b'/') && !matches!(name, b"." | b"..")
}

/// The name that records give an entry, as far as they can be read; for messages.
pub(super) fn announced_name(mut records: &[u8]) -> Option<Vec<u8>> {
    let mut name = None;
    while let Ok((record, rest)) = split_record(records) {
        let found = [&b"path="[..], b"GNU.sparse.name="].into_iter().find_map(|key| record.strip_prefix(key));
        name = found.map(<[u8]>::to_vec).or(name);
        records = rest;
    }
    name
}

fn decode_xattr_name(name: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((byte, tail)) = rest.split_first() {
        let escape = [(&b"%3D"[..], b'='), (&b"%25"[..], b'%')].into_iter().find(|(code, _)| rest.starts_with(code));
        decoded.push(escape.map_or(*byte, |(_, byte)| byte));
        rest = escape.map_or(tail, |(code, _)| &rest[code.len()..]);
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_lengths_count_themselves() {
        for (value, wanted) in [(0, "5 k="), (3, "8 k="), (4, "9 k="), (5, "11 k="), (93, "99 k="), (94, "101 k=")] {
            let mut records = Vec::new();
            push_record(&mut records, b"k", &vec![b'v'; value]);
            assert!(records.starts_with(wanted.as_bytes()), "{}", records.escape_ascii());
            assert!(records.starts_with(records.len().to_string().as_bytes()));
        }
    }

    #[test]
    fn times_round_trip_and_round_down() {
        let cases = [("0", 0, 0), ("1.5", 1, 500_000_000), ("-1.25", -2, 750_000_000), ("-0.5", -1, 500_000_000)];
        for (text, secs, nanos) in cases {
            let time = parse_time(text.as_bytes()).unwrap();
            assert_eq!(time, Timestamp { secs, nanos });
            assert_eq!(parse_time(format_time(time).as_bytes()), Some(time));
        }
        for secs in [i64::MIN, -1, 0, i64::MAX] {
            for nanos in [0, 1, 999_999_999] {
                let time = Timestamp { secs, nanos };
                assert_eq!(parse_time(format_time(time).as_bytes()), Some(time), "{}", format_time(time));
            }
        }
        assert_eq!(parse_time(b"1.0000000019"), Some(Timestamp { secs: 1, nanos: 1 }));
        for bad in ["", "-", ".5", "1e3", "--1", "1.2.3", "9223372036854775808", "99999999999999999999"] {
            assert_eq!(parse_time(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in
            ["x", "99 a=b\n", "0 a=b\n", "3 a=b\n", "5 a=b\n", "7 a=b\nx", "6 abc\n", "18446744073709551616 a=b\n"]
        {
            assert!(Overrides::default().apply(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn attribute_names_survive_their_encoding() {
        for name in [&b"user.a"[..], b"user.a=b", b"user.100%", b"user.%3D", b"=%="] {
            let mut records = Vec::new();
            push_xattr(&mut records, name, b"v=1\n2");
            let mut overrides = Overrides::default();
            overrides.apply(&records).unwrap();
            assert_eq!(overrides.xattrs, BTreeMap::from([(name.to_vec(), b"v=1\n2".to_vec())]));
        }
    }

    /// Several headers may come before one entry.
    #[test]
    fn attributes_of_one_entry_are_bounded() {
        let mut overrides = Overrides::default();
        let value = vec![0; 6 << 20];
        let results = [b"user.a", b"user.b", b"user.c"].map(|name| {
            let mut records = Vec::new();
            push_xattr(&mut records, name, &value);
            overrides.apply(&records)
        });
        assert!(matches!(results, [Ok(()), Ok(()), Err(TarErrorKind::XattrsTooLarge(18_874_368))]), "{results:?}");
        let mut records = Vec::new();
        (0..=XATTRS_MAX).for_each(|number| push_xattr(&mut records, format!("user.{number}").as_bytes(), b""));
        let many = Overrides::default().apply(&records);
        assert!(matches!(many, Err(TarErrorKind::TooManyXattrs(16_385))), "{many:?}");
    }
}
