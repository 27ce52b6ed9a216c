//! Where a row stood, and how it was written.

use crate::sum;
use serde::{Deserialize, Serialize};

/// A line as somebody has written it, for whoever puts it back: with its spaces, comments, and columns that nobody reads. Rows
/// that say the same are equal, however they are written.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Line {
    /// None where it was never written, or is not UTF-8.
    text: Option<String>,
    /// What the line behind it was, as a hash: it is somebody else's, and may hold a password.
    next: Option<String>,
    /// And that before it.
    #[serde(default)]
    before: Option<String>,
}

impl Line {
    pub(super) fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    pub(super) fn of(lines: &[String], at: usize) -> Self {
        let neighbour = |at: Option<usize>| lines.get(at?).and_then(|line| mark(line));
        // What was no UTF-8 has lost its bytes.
        let text = lines.get(at).filter(|line| !line.contains(char::REPLACEMENT_CHARACTER)).cloned();
        Self { text, next: neighbour(at.checked_add(1)), before: neighbour(at.checked_sub(1)) }
    }

    /// Before which of these lines it stood, where its neighbours tell: each is one line only.
    pub(super) fn place(&self, lines: &[String]) -> Option<usize> {
        let only = |wanted: &Option<String>| {
            let mut found = (0..lines.len()).filter(|at| wanted.is_some() && mark(&lines[*at]) == *wanted);
            found.next().filter(|_| found.next().is_none())
        };
        only(&self.next).or_else(|| only(&self.before).map(|before| before + 1))
    }
}

/// By what a line is known again; blank ones are all alike. It is too short for whoever tries passwords to know the right one.
fn mark(line: &str) -> Option<String> {
    let line = line.trim();
    (!line.is_empty()).then(|| sum::of(line.as_bytes())[..4].to_owned())
}

impl PartialEq for Line {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Line {}

#[cfg(test)]
mod tests {
    use super::super::{Subject, edit, parse};
    use crate::System::Linux;

    #[test]
    fn a_row_comes_back_to_its_place_and_knows_nobodys_line() {
        let secret = "//smb/x /x cifs password=geheim 0 0";
        for text in [
            format!("# a\n/dev/sdb1 /b   ext4 ro\n{secret}\n"),
            format!("{secret}\n/dev/sdb1 /b   ext4 ro\n\n# z\n\n"),
            format!("{secret}\n/dev/sdb1 /b   ext4 ro\n#\n# z\n#\n"),
            format!("{secret}\n/dev/sdb1 /b   ext4 ro\n"),
        ] {
            let row = parse(Linux, text.as_bytes()).into_iter().find(|row| row.device == "/dev/sdb1").unwrap();
            assert!(!serde_json::to_string(&row).unwrap().contains("geheim"));
            let without = edit(Linux, text.as_bytes(), Subject::Mount("/b"), None);
            let with = edit(Linux, &without, Subject::Mount("/b"), Some(&row));
            assert_eq!(String::from_utf8(with).unwrap(), text);
        }
    }
}
