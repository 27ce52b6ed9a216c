//! What is shown of a source around a place: whole lines, or of a line that no terminal shows, as those of templates without
//! line breaks, a piece.

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use super::SourceFile;

/// Lines with more bytes are cut.
const LONG_LINE: usize = 400;
/// Bytes that are shown of a cut line before and after what is meant.
const AROUND: usize = 60;
/// Bytes that are underlined of a cut line.
pub(super) const UNDERLINED: usize = 80;

impl SourceCode for SourceFile {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let meant = (span.offset(), span.offset() + span.len());
        match self.piece(meant, lines_before, lines_after) {
            Some((start, end)) => {
                let line = self.line_of(start);
                let column = self.text()[self.line_starts[line]..self.boundary(start)].chars().count();
                let text = &self.text().as_bytes()[start..end];
                let lines = self.line_of(end.saturating_sub(1).max(start)) - line + 1;
                let name = self.path().display().to_string();
                let shown = (start, end - start).into();
                Ok(Box::new(MietteSpanContents::new_named(name, text, shown, line, column, lines)))
            }
            None => self.text.read_span(span, lines_before, lines_after),
        }
    }
}

impl SourceFile {
    /// The bytes to show around those that are meant, where a line of theirs or beside them is too long to be shown.
    fn piece(&self, (start, end): (usize, usize), before: usize, after: usize) -> Option<(usize, usize)> {
        if end > self.text().len() {
            return None;
        }
        // Where it stands, for the header. `miette` counts columns in bytes there, and in characters below.
        if (before, after) == (0, 0) {
            return Some((start, end));
        }
        let (first, last) = (self.line_of(start), self.line_of(end.saturating_sub(1).max(start)));
        let lines = first.saturating_sub(before)..=(last + after).min(self.line_starts.len() - 1);
        if lines.clone().all(|line| !self.is_long(line)) {
            return None;
        }
        let from = match self.is_long(first) {
            true => self.boundary(start.saturating_sub(AROUND).max(self.line_starts[first])),
            false => {
                self.line_starts
                    [(*lines.start()..first).rev().take_while(|line| !self.is_long(*line)).last().unwrap_or(first)]
            }
        };
        let to = match self.is_long(last) {
            true => self.boundary((end + AROUND).min(self.line_end(last))),
            false => {
                self.line_end((last + 1..=*lines.end()).take_while(|line| !self.is_long(*line)).last().unwrap_or(last))
            }
        };
        Some((from, to.max(end)))
    }

    /// How many bytes of those that are meant can be underlined.
    pub(super) fn underlined(&self, start: usize, len: usize) -> usize {
        let is_cut = self.is_long(self.line_of(start)) && len > UNDERLINED;
        if is_cut && self.line_of(start) == self.line_of(start + len) {
            self.boundary(start + UNDERLINED).saturating_sub(start).max(1)
        } else {
            len
        }
    }

    /// The line of a byte, from 0.
    fn line_of(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    /// The byte after the last of a line, without what ends it.
    fn line_end(&self, line: usize) -> usize {
        self.line_starts.get(line + 1).map_or(self.text().len(), |next| next - 1)
    }

    fn is_long(&self, line: usize) -> bool {
        self.line_end(line) - self.line_starts[line] > LONG_LINE
    }

    /// The nearest place before which a character ends.
    fn boundary(&self, offset: usize) -> usize {
        (0..=offset).rev().find(|offset| self.text().is_char_boundary(*offset)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is meant is always shown, and at most a little of a line that is too long.
    #[test]
    fn every_place_is_shown_in_a_few_bytes() {
        let long = "é".repeat(LONG_LINE);
        let text = format!("short\n{long}\nlines\n\nof {long}");
        let file = SourceFile::new("t.json", text.clone());
        let places = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect::<Vec<_>>();
        for (index, start) in places.iter().enumerate() {
            for end in places[index..].iter().take(9).chain(places.last()).copied() {
                let len = file.underlined(*start, end - start);
                let contents = file.read_span(&(*start, len).into(), 1, 1).expect("it is in the text");
                let shown = contents.span();
                assert!(shown.offset() <= *start && shown.offset() + shown.len() >= start + len, "{start} {end}");
                assert_eq!(contents.data(), &text.as_bytes()[shown.offset()..shown.offset() + shown.len()]);
                assert_eq!(contents.line() + 1, file.position(shown.offset()).0);
                // Only what goes over several lines is not cut.
                let is_in_one = !text[*start..end].contains('\n');
                assert!(!is_in_one || shown.len() < 2 * (AROUND + UNDERLINED), "{start} {end}: {}", shown.len());
            }
        }
        // In the middle of a character, too.
        let header = file.read_span(&(text.len() - 1, 1).into(), 0, 0).expect("it is in the text");
        assert_eq!((header.line(), header.column()), (4, "of ".len() + LONG_LINE - 1));
    }
}
