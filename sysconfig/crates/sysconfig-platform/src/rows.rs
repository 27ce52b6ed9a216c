//! A text file as rows, of which those that are not ours stay as they are, byte for byte.

/// The rows of a file.
///
/// Rows keep their line ends, also a missing one at the end of the file, and
/// need not be UTF-8. Joining the rows of an unedited file gives the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    rows: Vec<Vec<u8>>,
}

impl Rows {
    /// Takes a file apart.
    #[must_use]
    pub fn parse(content: &[u8]) -> Self {
        Self { rows: content.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect() }
    }

    /// The rows as text without line ends; bytes that are not UTF-8 are replaced, so this is for looking only.
    pub fn texts(&self) -> impl Iterator<Item = String> + '_ {
        self.rows.iter().map(|row| text(row))
    }

    /// Replaces the rows for which `ours` holds by `new` ones, at the place of the first of them, or at the end
    /// when there is none. The others are not touched, except that a missing line end before a new row is added.
    pub fn replace(&mut self, ours: impl Fn(&str) -> bool, new: &[String]) {
        self.replace_before(ours, new, |_, _| false);
    }

    /// As [`Rows::replace`], but where none is ours the new ones go before the first row for which `later` holds, which
    /// is told the number and the text of each.
    pub fn replace_before(&mut self, ours: impl Fn(&str) -> bool, new: &[String], later: impl Fn(usize, &str) -> bool) {
        let found = self.rows.iter().position(|row| ours(&text(row)));
        let later = self.rows.iter().enumerate().position(|(at, row)| later(at, &text(row)));
        self.rows.retain(|row| !ours(&text(row)));
        // No row before the first of ours was removed, so its index still stands; and `later` counts where none was.
        let at = found.or(later).unwrap_or(self.rows.len());
        if let (false, Some(before)) = (new.is_empty(), at.checked_sub(1)) {
            let before = &mut self.rows[before];
            if before.last() != Some(&b'\n') {
                before.push(b'\n');
            }
        }
        let new = new.iter().map(|row| format!("{row}\n").into_bytes());
        self.rows.splice(at..at, new);
    }

    /// The file put together again.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.rows.concat()
    }
}

fn text(row: &[u8]) -> String {
    let row = row.strip_suffix(b"\n").unwrap_or(row);
    String::from_utf8_lossy(row).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ours(row: &str) -> bool {
        row.ends_with("# ours")
    }

    fn edited(content: &[u8], new: &[&str]) -> Vec<u8> {
        let mut rows = Rows::parse(content);
        let new: Vec<String> = new.iter().map(|row| (*row).to_owned()).collect();
        rows.replace(ours, &new);
        rows.into_bytes()
    }

    #[test]
    fn new_rows_take_the_place_of_the_old_ones() {
        let cases: [(&[u8], &[&str], &[u8]); 6] = [
            (b"a\nb # ours\nc\n", &["x # ours"], b"a\nx # ours\nc\n"),
            (b"a\nb # ours\nc\nd # ours\n", &["x # ours"], b"a\nx # ours\nc\n"),
            (b"a\nc", &["x # ours"], b"a\nc\nx # ours\n"),
            (b"", &["x # ours"], b"x # ours\n"),
            (b"a\nb # ours\nc", &[], b"a\nc"),
            (b"caf\xe9 \t \r\nb # ours", &["x # ours"], b"caf\xe9 \t \r\nx # ours\n"),
        ];
        for (before, new, after) in cases {
            assert_eq!(edited(before, new), after, "{}", String::from_utf8_lossy(before));
        }
    }

    proptest! {
        #[test]
        fn an_unedited_file_stays_as_it_is(content in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(Rows::parse(&content).into_bytes(), content);
        }

        #[test]
        fn foreign_rows_survive_every_edit(rows in proptest::collection::vec("[ -~]{0,12}( # ours)?", 0..12)) {
            let content = rows.join("\n");
            let after = edited(content.as_bytes(), &["x # ours"]);
            let foreign = |bytes: &[u8]| -> Vec<String> {
                Rows::parse(bytes).texts().filter(|row| !ours(row)).collect()
            };
            prop_assert_eq!(foreign(content.as_bytes()), foreign(&after));
            prop_assert_eq!(edited(&after, &["x # ours"]), after);
        }
    }
}
