//! The parsable output of `ipadm` and `dladm`.
//!
//! One record per line, no header, fields joined with `:`. With two or more
//! fields, `:` and `\` inside a value are written with a backslash before
//! them; with exactly one field nothing is escaped, so such output is taken
//! line by line and never goes through [`fields`]. An empty value is nothing
//! between two colons and stays a column.

/// A row does not have the columns that were asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the row {row:?} has {found} columns instead of {wanted}")]
pub struct RowError {
    /// The row.
    pub row: String,
    /// How many columns it has.
    pub found: usize,
    /// How many were asked for.
    pub wanted: usize,
}

/// Splits one row at the colons that are not escaped, and takes the escapes away.
#[must_use]
pub fn fields(row: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = row.chars();
    while let Some(character) = characters.next() {
        match character {
            ':' => fields.push(String::new()),
            '\\' => last(&mut fields).extend(characters.next()),
            c => last(&mut fields).push(c),
        }
    }
    fields
}

fn last(fields: &mut [String]) -> &mut String {
    fields.last_mut().expect("the list begins with one field and only grows")
}

/// The rows of an output for which `N` fields were asked, `N` being two or more.
///
/// # Errors
/// [`RowError`] for the first row with other columns; columns are never guessed.
pub fn rows<const N: usize>(output: &str) -> Result<Vec<[String; N]>, RowError> {
    let parse = |row: &str| {
        let fields = fields(row);
        let found = fields.len();
        <[String; N]>::try_from(fields).map_err(|_| RowError { row: row.to_owned(), found, wanted: N })
    };
    output.lines().filter(|row| !row.is_empty()).map(parse).collect()
}

/// Writes a row as the programs do, for the simulated machine.
#[cfg(any(test, feature = "fake"))]
#[must_use]
pub(crate) fn row(values: &[String]) -> String {
    let escape = |value: &String| value.replace('\\', "\\\\").replace(':', "\\:");
    match values {
        [only] => only.clone(),
        values => values.iter().map(escape).collect::<Vec<_>>().join(":"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_and_empty_columns() {
        for (row, wanted) in [
            ("lo0/v6:static:ok:\\:\\:1/128", vec!["lo0/v6", "static", "ok", "::1/128"]),
            ("net0:2\\:8\\:20\\:ab\\:1\\:f", vec!["net0", "2:8:20:ab:1:f"]),
            ("net0:::", vec!["net0", "", "", ""]),
            ("a\\\\b:c", vec!["a\\b", "c"]),
            ("", vec![""]),
            ("end\\", vec!["end"]),
        ] {
            assert_eq!(fields(row), wanted, "{row}");
        }
    }

    #[test]
    fn a_row_with_other_columns_is_refused() {
        let error = rows::<3>("a:b:c\nd:e\n").unwrap_err();
        assert_eq!(error, RowError { row: "d:e".into(), found: 2, wanted: 3 });
        assert_eq!(rows::<2>("a:b\n\n").unwrap(), [["a".to_owned(), "b".to_owned()]]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(values in proptest::collection::vec("[a-z:\\\\%/.]{0,6}", 2..6)) {
            prop_assert_eq!(fields(&row(&values)), values);
        }
    }
}
