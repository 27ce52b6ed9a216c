//! Numbers, texts and dates as ECMA-119 writes them.

use image_tree::Timestamp;

/// A number in both byte orders (7.2.3): little-endian first.
pub(crate) fn both_u16(value: u16) -> [u8; 4] {
    let [a, b] = value.to_le_bytes();
    let [c, d] = value.to_be_bytes();
    [a, b, c, d]
}

/// A number in both byte orders (7.3.3): little-endian first.
pub(crate) fn both_u32(value: u32) -> [u8; 8] {
    let mut both = [0; 8];
    both[..4].copy_from_slice(&value.to_le_bytes());
    both[4..].copy_from_slice(&value.to_be_bytes());
    both
}

/// A text in a field of its own width, filled with spaces.
pub(crate) fn text<const WIDTH: usize>(text: &[u8]) -> [u8; WIDTH] {
    let mut field = [b' '; WIDTH];
    let length = text.len().min(WIDTH);
    field[..length].copy_from_slice(&text[..length]);
    field
}

/// Year, month, day, hour, minute, second in Coordinated Universal Time.
type Civil = (i64, u8, u8, u8, u8, u8);

/// Days are turned into a date by counting in eras of 400 years that begin with March, so that the leap day comes
/// last in a year.
fn civil(time: Timestamp) -> Civil {
    const DAY: i64 = 86_400;
    let (days, seconds) = (time.secs.div_euclid(DAY) + 719_468, time.secs.rem_euclid(DAY));
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let clock = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    (year, month as u8, day as u8, clock.0 as u8, clock.1 as u8, clock.2 as u8)
}

/// A date of a directory record (9.1.5). Its years go from 1900 to 2155; what lies outside becomes the nearest.
pub(crate) fn short_date(time: Timestamp) -> [u8; 7] {
    match civil(time) {
        (..=1899, ..) => [0, 1, 1, 0, 0, 0, 0],
        (2156.., ..) => [255, 12, 31, 23, 59, 59, 0],
        (year, month, day, hour, minute, second) => [(year - 1900) as u8, month, day, hour, minute, second, 0],
    }
}

/// A date of a volume descriptor (8.4.26.1), in digits; the hundredths and the offset from UTC are 0.
pub(crate) fn long_date(time: Timestamp) -> [u8; 17] {
    let (year, month, day, hour, minute, second) = civil(time);
    let year = year.clamp(1, 9999);
    let mut date = [0; 17];
    let digits = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}00");
    date[..16].copy_from_slice(digits.as_bytes());
    date
}

/// The date that says nothing.
pub(crate) const NO_DATE: [u8; 17] = *b"0000000000000000\0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (secs, expected) in [
            (0, "1970010100000000"),
            (951_782_399, "2000022823595900"),
            (951_782_400, "2000022900000000"),
            (1_735_689_600, "2025010100000000"),
            (4_107_542_400, "2100030100000000"),
            (-1, "1969123123595900"),
        ] {
            let date = long_date(Timestamp { secs, nanos: 0 });
            assert_eq!((&date[..16], date[16]), (expected.as_bytes(), 0));
        }
    }

    #[test]
    fn years_that_a_record_cannot_hold_become_the_nearest() {
        let at = |secs| short_date(Timestamp { secs, nanos: 0 });
        assert_eq!(at(1_735_689_600), [125, 1, 1, 0, 0, 0, 0]);
        assert_eq!(at(-3_000_000_000), [0, 1, 1, 0, 0, 0, 0]);
        assert_eq!(at(i64::MAX / 2)[0], 255);
    }
}
