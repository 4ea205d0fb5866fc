//! The text of a file, by line and column.
//!
//! Turns the parser's byte offsets into places that an editor jumps to. Any offset is safe: one past
//! the end, or inside a character, gives the nearest place before it.

/// A place in a file: line and column in characters, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FilePlace {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// A text that knows where its lines begin.
pub(crate) struct SourceText<'t> {
    text: &'t str,
    line_starts: Vec<usize>,
}

impl<'t> SourceText<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        let after_newline = text.match_indices('\n').map(|(offset, _)| offset + 1);
        Self { text, line_starts: std::iter::once(0).chain(after_newline).collect() }
    }

    pub(crate) fn place(&self, offset: usize) -> FilePlace {
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let start = self.line_starts[line - 1];
        let column =
            self.text[start..].char_indices().take_while(|(at, _)| start + at < offset).count();
        FilePlace { line, column: column + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_begin_after_newlines() {
        let source = SourceText::new("a = \"ü\"x\n\nb");
        assert_eq!(source.place(0), FilePlace { line: 1, column: 1 });
        assert_eq!(source.place(8), FilePlace { line: 1, column: 8 });
        assert_eq!(source.place(10), FilePlace { line: 2, column: 1 });
        assert_eq!(source.place(11), FilePlace { line: 3, column: 1 });
    }

    #[test]
    fn every_offset_has_a_place() {
        let text = "ü\r\nü";
        for offset in 0..20 {
            assert!(SourceText::new(text).place(offset).line <= 2);
        }
        assert_eq!(SourceText::new("").place(9), FilePlace { line: 1, column: 1 });
    }
}
