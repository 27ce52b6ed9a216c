//! The time at which a package was published, the last part of its version.

use std::fmt;
use std::str::FromStr;

use super::{VersionError, error};

/// When a package was published: `YYYYMMDDTHHMMSSZ`, a real date and time in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicationTime([u8; 16]);

impl PublicationTime {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let Ok(bytes) = <[u8; 16]>::try_from(text.as_bytes()) else {
            return Err("its timestamp is not of the form YYYYMMDDTHHMMSSZ");
        };
        let is_shaped = bytes.iter().enumerate().all(|(at, byte)| match at {
            8 => *byte == b'T',
            15 => *byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
        if !is_shaped {
            return Err("its timestamp is not of the form YYYYMMDDTHHMMSSZ");
        }
        let number = |from: usize, to: usize| bytes[from..to].iter().fold(0, |n, d| n * 10 + u32::from(d - b'0'));
        let (year, month, day) = (number(0, 4), number(4, 6), number(6, 8));
        let is_real = year > 0
            && (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day)
            && number(9, 11) < 24
            && number(11, 13) < 60
            && number(13, 15) < 60;
        if is_real { Ok(Self(bytes)) } else { Err("its timestamp is no date and time") }
    }

    /// The 16 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only digits, `T` and `Z` get through `parse`.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Seconds since 1970-01-01 UTC, negative before.
    #[must_use]
    pub fn unix_seconds(&self) -> i64 {
        let number = |from: usize, to: usize| self.0[from..to].iter().fold(0, |n, d| n * 10 + i64::from(d - b'0'));
        let (year, month, day) = (number(0, 4), number(4, 6), number(6, 8));
        // Years are counted from March, so that the leap day is the last one of a year.
        let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
        let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468;
        days * 86_400 + number(9, 11) * 3600 + number(11, 13) * 60 + number(13, 15)
    }
}

fn days_in_month(year: u32, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl fmt::Display for PublicationTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for PublicationTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PublicationTime {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        Self::parse(text).map_err(|reason| error(text, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publication_times_are_seconds_since_the_epoch() {
        for (text, seconds) in [
            ("19700101T000000Z", 0),
            ("19691231T235959Z", -1),
            ("20000229T000000Z", 951_782_400),
            ("20240301T010203Z", 1_709_254_923),
            ("00010101T000000Z", -62_135_596_800),
        ] {
            assert_eq!(text.parse::<PublicationTime>().unwrap().unix_seconds(), seconds, "{text}");
        }
    }
}
