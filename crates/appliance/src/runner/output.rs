//! A program's output as lines: cut to a length, freed of colours, kept in a log of bounded size.
//!
//! It promises that no output, however long or strange, takes more than a bounded amount of memory
//! and disk. It refuses to know what the lines mean.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use zonemesh_core::visible::is_hidden;

const LONGEST_LINE: usize = 8 * 1024;
const LARGEST_LOG: u64 = 16 * 1024 * 1024;

/// Cuts bytes into lines of text without terminal colours.
#[derive(Debug, Default)]
pub struct LineSplitter {
    pending: Vec<u8>,
}

impl LineSplitter {
    /// Takes bytes and gives the lines that are complete; a very long one is cut in pieces.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for byte in bytes {
            if *byte == b'\n' || self.pending.len() >= LONGEST_LINE {
                lines.extend(self.finish());
            }
            if *byte != b'\n' {
                self.pending.push(*byte);
            }
        }
        lines
    }

    /// What is left after the last line end, if there is anything.
    pub fn finish(&mut self) -> Option<String> {
        let text = plain(&String::from_utf8_lossy(&std::mem::take(&mut self.pending)));
        (!text.is_empty()).then_some(text)
    }
}

/// Without escape sequences (ECMA-48 `ESC [ … letter`) and what else is hidden, but tabs.
fn plain(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' && rest.peek() == Some(&'[') {
            rest.by_ref().skip(1).find(|c| ('@'..='~').contains(c));
        } else if c == '\t' || !is_hidden(c) {
            text.push(c);
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// A log that is appended to, and moved to `NAME.1` when it is large.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    size: u64,
    limit: u64,
}

impl LogFile {
    /// Opens or makes the log, mode 0640.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, size, limit: LARGEST_LOG })
    }

    /// Appends a line. A disk that is full costs lines of this log and nothing else.
    pub fn append(&mut self, line: &str) {
        if self.size >= self.limit {
            self.turn_over();
        }
        if writeln!(self.file, "{line}").is_ok() {
            self.size += line.len() as u64 + 1;
        }
    }

    fn turn_over(&mut self) {
        let mut old = self.path.clone().into_os_string();
        old.push(".1");
        if std::fs::rename(&self.path, old).is_ok()
            && let Ok(fresh) = Self::open(&self.path)
        {
            *self = Self { limit: self.limit, ..fresh };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_whatever_the_pieces() {
        let mut splitter = LineSplitter::default();
        let mut lines = splitter.push(b"one\ntw");
        lines.extend(splitter.push(b"o\n\nthr"));
        lines.extend(splitter.push(b"ee"));
        lines.extend(splitter.finish());
        assert_eq!(lines, ["one", "two", "three"]);
        assert_eq!(splitter.finish(), None);
    }

    #[test]
    fn colours_and_control_characters_are_taken_out() {
        let mut splitter = LineSplitter::default();
        let lines =
            splitter.push(b"\x1b[92mINFO \x1b[0m:\t  Flower \xf0\x9f\x8c\xbc\x07 ok\r\n\x1b[1");
        assert_eq!(lines, ["INFO :\t  Flower 🌼 ok"]);
        assert_eq!(splitter.finish(), None);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let mut splitter = LineSplitter::default();
        let lines = splitter.push(&vec![b'x'; 3 * LONGEST_LINE + 1]);
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.len() == LONGEST_LINE));
        assert!(splitter.pending.len() <= LONGEST_LINE);
    }

    #[test]
    fn a_large_log_is_moved_aside_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flower.log");
        let mut log = LogFile::open(&path).unwrap();
        log.limit = 20;
        for number in 0..9 {
            log.append(&format!("line {number}"));
        }
        let old = std::fs::read_to_string(folder.path().join("flower.log.1")).unwrap();
        let new = std::fs::read_to_string(&path).unwrap();
        assert_eq!(old, "line 3\nline 4\nline 5\n");
        assert_eq!(new, "line 6\nline 7\nline 8\n");
    }
}
