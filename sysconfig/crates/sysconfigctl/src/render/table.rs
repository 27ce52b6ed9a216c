//! Columns aligned with blanks.

use super::clean;

/// The rows below their heads, each column as wide as its widest cell. The last column is not padded.
pub(super) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let heads = heads.iter().map(|head| (*head).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(heads)
        .chain(rows.iter().cloned())
        .map(|row: Vec<String>| row.iter().map(|cell| clean(cell).replace('\n', " ")).collect())
        .collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// A cell for a value that may be missing.
pub(super) fn cell(value: Option<&str>) -> String {
    value.unwrap_or("-").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["a".to_owned(), "bücher".to_owned(), "x".to_owned()],
            vec!["longer".to_owned(), "-".to_owned(), String::new()],
        ];
        assert_eq!(table(&["N", "B", "LAST"], &rows), "N       B       LAST\na       bücher  x\nlonger  -\n");
    }
}
