//! The one time that an operation is given, in the forms in which images and catalogs write times.

use crate::version::PublicationTime;

/// A point in time in whole seconds since 1970-01-01 UTC, between the years 1 and 9999.
///
/// Nothing in this crate asks a clock: whoever installs says which time to write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationTime(i64);

/// The first second of the year 1, and the last one of the year 9999.
const RANGE: (i64, i64) = (-62_135_596_800, 253_402_300_799);

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

struct Civil {
    year: i64,
    month: i64,
    day: i64,
    seconds: i64,
}

impl OperationTime {
    /// The time at these seconds; what is before the year 1 or after 9999 becomes the nearest that is not.
    #[must_use]
    pub fn from_unix_seconds(seconds: i64) -> Self {
        Self(seconds.clamp(RANGE.0, RANGE.1))
    }

    /// Seconds since 1970-01-01 UTC.
    #[must_use]
    pub fn unix_seconds(self) -> i64 {
        self.0
    }

    /// Whole days since 1970-01-01, as `/etc/shadow` counts changes of a password.
    #[must_use]
    pub fn days(self) -> i64 {
        self.0.div_euclid(86_400)
    }

    /// `YYYYMMDDTHHMMSSZ`, as in versions.
    #[must_use]
    pub fn compact(self) -> String {
        let Civil { year, month, day, seconds } = self.civil();
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
    }

    /// `YYYYMMDDTHHMMSS.ffffffZ`, as in catalogs.
    #[must_use]
    pub fn with_microseconds(self) -> String {
        format!("{}.000000Z", self.compact().trim_end_matches('Z'))
    }

    /// `Jan 01 1970 00:00`, as in `pkginfo` files.
    #[must_use]
    pub fn svr4(self) -> String {
        let Civil { year, month, day, seconds } = self.civil();
        let name = usize::try_from(month - 1).ok().and_then(|month| MONTHS.get(month)).unwrap_or(&"");
        format!("{name} {day:02} {year:04} {:02}:{:02}", seconds / 3600, seconds / 60 % 60)
    }

    fn civil(self) -> Civil {
        // Days are counted from 0000-03-01, so that the leap day ends a year, in eras of 400 years.
        let days = self.days() + 719_468;
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        Civil { year, month, day, seconds: self.0.rem_euclid(86_400) }
    }
}

impl From<PublicationTime> for OperationTime {
    fn from(time: PublicationTime) -> Self {
        Self::from_unix_seconds(time.unix_seconds())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_forms_of_one_time() {
        let time = OperationTime::from_unix_seconds(1_709_254_923);
        assert_eq!(time.compact(), "20240301T010203Z");
        assert_eq!(time.with_microseconds(), "20240301T010203.000000Z");
        assert_eq!(time.svr4(), "Mar 01 2024 01:02");
        assert_eq!(time.days(), 19_783);
    }

    proptest! {
        #[test]
        fn texts_and_seconds_agree(seconds in RANGE.0..=RANGE.1) {
            let time = OperationTime::from_unix_seconds(seconds);
            let read: PublicationTime = time.compact().parse().unwrap();
            prop_assert_eq!(read.unix_seconds(), seconds);
        }
    }
}
