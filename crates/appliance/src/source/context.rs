//! The text of an OpenNebula context: `context.sh` of the CONTEXT image, or the guest's `one_env`.
//!
//! It promises to read values as they were written and to evaluate nothing: these files are shell
//! scripts, and sourcing them runs whatever stands in a value. A text that is neither of the two
//! written forms is refused with its file and line. It refuses to know what any key means.
//! Specification: oned's `VirtualMachineContext.cc` writes `KEY='value'` with `'` as `'\''`;
//! `loc-16-gen-env` of the guest scripts writes `export KEY="value"` and escapes nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Why a context was not read.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// The file itself could not be read.
    #[error("{}: cannot read the context{}", file.display(), perhaps(source))]
    Unreadable {
        /// The file named by `--context`.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A line is not of one of the written forms.
    #[error("{}:{line}: {problem}", file.display())]
    Malformed {
        /// The file named by `--context`.
        file: PathBuf,
        /// Counted from 1: where the assignment begins.
        line: usize,
        /// What is wrong there.
        #[source]
        problem: Malformed,
    },
}

/// A file that is not there may lie on an image that is not.
fn perhaps(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => "; is the CONTEXT image mounted?",
        _ => "",
    }
}

/// What is wrong with a line. Values never appear in here: they may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// No `KEY=` where one was expected.
    #[error("expected KEY='value', found {found:?}")]
    NoAssignment {
        /// The first characters of the line, up to the first `=`.
        found: String,
    },
    /// A quote is opened and never closed.
    #[error("the value of {key} has no closing {quote}")]
    Unclosed {
        /// Whose value.
        key: String,
        /// Which quote.
        quote: char,
    },
    /// Something follows a value on its line, or an unquoted value needs a shell.
    #[error(
        "the value of {key} needs a shell here: expected {key}='value' with ' written as '\\''"
    )]
    NeedsShell {
        /// Whose value.
        key: String,
    },
    /// One key, two values.
    #[error("{key} was given another value in line {earlier}: remove one of the two")]
    Twice {
        /// Which key.
        key: String,
        /// Where the first value is.
        earlier: usize,
    },
    /// Not text at all.
    #[error("the bytes of this line are not UTF-8")]
    NotUtf8,
}

struct ContextEntry {
    line: usize,
    value: Zeroizing<String>,
}

/// The keys and values of one context. Values may be secret: they are wiped, and `Debug` hides them.
#[derive(Default)]
pub struct ContextFile {
    file: PathBuf,
    entries: BTreeMap<String, ContextEntry>,
}

impl fmt::Debug for ContextFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.entries.keys()).finish()
    }
}

impl ContextFile {
    /// Reads and parses a file.
    ///
    /// # Errors
    /// The file cannot be read, or [`ContextFile::parse`] refuses it.
    pub fn read(file: &Path) -> Result<Self, ContextError> {
        let bytes = std::fs::read(file)
            .map(Zeroizing::new)
            .map_err(|source| ContextError::Unreadable { file: file.to_owned(), source })?;
        Self::parse(&bytes, file)
    }

    /// Parses the bytes of a context; `file` is for messages only.
    ///
    /// # Errors
    /// The first line that is not of a written form.
    pub fn parse(bytes: &[u8], file: &Path) -> Result<Self, ContextError> {
        let malformed =
            |line, problem| ContextError::Malformed { file: file.to_owned(), line, problem };
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let line = 1 + newlines(&bytes[..error.valid_up_to()]);
                return Err(malformed(line, Malformed::NotUtf8));
            }
        };
        let mut context = Self { file: file.to_owned(), ..Self::default() };
        let mut scanner = ContextScanner { text, at: 0 };
        loop {
            scanner.skip_blank();
            if scanner.rest().is_empty() {
                return Ok(context);
            }
            let line = scanner.line();
            let (key, value) = scanner.assignment().map_err(|problem| malformed(line, problem))?;
            context
                .insert(key, ContextEntry { line, value })
                .map_err(|problem| malformed(line, problem))?;
        }
    }

    fn insert(&mut self, key: String, entry: ContextEntry) -> Result<(), Malformed> {
        match self.entries.get(&key) {
            Some(first) if first.value == entry.value => Ok(()),
            Some(first) => Err(Malformed::Twice { key, earlier: first.line }),
            None => {
                self.entries.insert(key, entry);
                Ok(())
            }
        }
    }

    /// The value of a key, if it was given.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(|entry| entry.value.as_str())
    }

    /// The line in which a key stands.
    #[must_use]
    pub fn line_of(&self, key: &str) -> Option<usize> {
        self.entries.get(key).map(|entry| entry.line)
    }

    /// The file that it came from.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// All keys, in alphabetical order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

struct ContextScanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> ContextScanner<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn line(&self) -> usize {
        1 + newlines(&self.text.as_bytes()[..self.at])
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with('#') {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn assignment(&mut self) -> Result<(String, Zeroizing<String>), Malformed> {
        let rest = self.rest();
        let Some((before, key)) = assignment_head(rest) else {
            let line = rest.lines().next().unwrap_or_default();
            let found = line.split('=').next().unwrap_or_default().chars().take(40).collect();
            return Err(Malformed::NoAssignment { found });
        };
        self.at += before + key.len() + 1;
        let value = if self.rest().starts_with('"') {
            self.double_quoted(key)?
        } else {
            self.shell_word(key)?
        };
        Ok((key.to_owned(), value))
    }

    /// The unescaped form of `one_env`: the value ends at the first quote that ends a line after
    /// which an assignment, a comment or nothing follows.
    fn double_quoted(&mut self, key: &str) -> Result<Zeroizing<String>, Malformed> {
        let body = &self.rest()[1..];
        let closing = body.match_indices('"').map(|(at, _)| at).find(|at| {
            let after = &body[at + 1..];
            let (line, below) = after.split_once('\n').unwrap_or((after, ""));
            let below = below.trim_start();
            line.trim().is_empty()
                && (below.is_empty() || below.starts_with('#') || assignment_head(below).is_some())
        });
        let Some(end) = closing else {
            return Err(Malformed::Unclosed { key: key.to_owned(), quote: '"' });
        };
        self.at += end + 2;
        Ok(Zeroizing::new(body[..end].to_owned()))
    }

    /// `'…'` pieces, `\'` between them, and plain characters no shell would touch.
    fn shell_word(&mut self, key: &str) -> Result<Zeroizing<String>, Malformed> {
        let needs_shell = || Malformed::NeedsShell { key: key.to_owned() };
        let mut value = Zeroizing::new(String::new());
        loop {
            let rest = self.rest();
            if let Some(body) = rest.strip_prefix('\'') {
                let end = body
                    .find('\'')
                    .ok_or_else(|| Malformed::Unclosed { key: key.to_owned(), quote: '\'' })?;
                value.push_str(&body[..end]);
                self.at += end + 2;
            } else if rest.starts_with("\\'") {
                value.push('\'');
                self.at += 2;
            } else {
                let plain = rest.find(|c: char| !is_plain(c)).unwrap_or(rest.len());
                if plain == 0 {
                    break;
                }
                value.push_str(&rest[..plain]);
                self.at += plain;
            }
        }
        let line_end = self.rest().split('\n').next().unwrap_or_default().trim();
        if line_end.is_empty() || line_end.starts_with('#') {
            Ok(value)
        } else {
            Err(needs_shell())
        }
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_./:@%+,-=".contains(c)
}

/// How many bytes stand before the key, and the key, if the text begins with `[export ]KEY=`.
fn assignment_head(text: &str) -> Option<(usize, &str)> {
    let after = text.strip_prefix("export").filter(|after| after.starts_with([' ', '\t']));
    let body = after.map_or(text, |after| after.trim_start_matches([' ', '\t']));
    let key = &body[..body.find('=')?];
    let named = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    named.then_some((text.len() - body.len(), key))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<ContextFile, ContextError> {
        ContextFile::parse(text.as_bytes(), Path::new("context.sh"))
    }

    fn problem(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn the_form_that_oned_writes_is_read() {
        let context = parse(
            "# Context variables generated by OpenNebula\nDISK_ID='1'\nETH0_IP='10.10.10.5'\nETH0_IP6=''\n\
             SSH_PUBLIC_KEY='ssh-rsa AAA\nssh-ed25519 BBB'\nTITLE='it'\\''s $(date) \"q\" `x`'\n",
        )
        .unwrap();
        assert_eq!(context.get("ETH0_IP"), Some("10.10.10.5"));
        assert_eq!(context.get("ETH0_IP6"), Some(""));
        assert_eq!(context.get("SSH_PUBLIC_KEY"), Some("ssh-rsa AAA\nssh-ed25519 BBB"));
        assert_eq!(context.get("TITLE"), Some("it's $(date) \"q\" `x`"));
        assert_eq!(context.get("NOT_THERE"), None);
        assert_eq!(context.line_of("TITLE"), Some(7));
    }

    #[test]
    fn the_unescaped_form_of_one_env_is_read_and_not_evaluated() {
        let context = parse(
            "export TOKENTXT=\"bm90IGEgdG9rZW4=\"\nexport VMID=\"7\"\nexport TITLE=\"it's $(echo pwned) \"q\" value\"\n\
             export KEYS=\"one\ntwo \"\nthree\"\nexport VMID=\"7\"\n",
        )
        .unwrap();
        assert_eq!(context.get("TOKENTXT"), Some("bm90IGEgdG9rZW4="));
        assert_eq!(context.get("TITLE"), Some("it's $(echo pwned) \"q\" value"));
        assert_eq!(context.get("KEYS"), Some("one\ntwo \"\nthree"));
    }

    #[test]
    fn each_malformed_line_is_named_with_its_place() {
        let cases = [
            ("A='1'\nhello\n", "context.sh:2: expected KEY='value', found \"hello\""),
            ("A='1'\n\n9X='1'\n", "context.sh:3: expected KEY='value', found \"9X\""),
            ("A='1\nB='2'", "context.sh:1: the value of A has no closing '"),
            ("A='1", "context.sh:1: the value of A has no closing '"),
            ("A=\"1", "context.sh:1: the value of A has no closing \""),
            ("A=$(id)\n", "context.sh:1: the value of A needs a shell here"),
            ("A='1' B='2'\n", "context.sh:1: the value of A needs a shell here"),
            ("A='1'\nA='2'\n", "context.sh:2: A was given another value in line 1"),
        ];
        for (text, expected) in cases {
            assert!(problem(text).starts_with(expected), "{text:?} gave {}", problem(text));
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_named_with_their_line() {
        let error = ContextFile::parse(b"A='1'\nB='\xff'\n", Path::new("c")).unwrap_err();
        assert_eq!(error.to_string(), "c:2: the bytes of this line are not UTF-8");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = ContextFile::read(Path::new("/nonexistent/context.sh")).unwrap_err();
        assert!(error.to_string().starts_with("/nonexistent/context.sh: cannot read the context"));
    }

    #[test]
    fn secrets_are_in_neither_debug_nor_errors() {
        let context = parse("TOKEN='hunter2'\n").unwrap();
        assert!(!format!("{context:?}").contains("hunter2"));
        for text in ["TOKEN='hunter2' x\n", "TOKEN='hunter2", "TOKEN='hunter2'\nTOKEN='hunter3'"] {
            let error = parse(text).unwrap_err();
            assert!(!format!("{error:?} {error}").contains("hunter"), "{error:?}");
        }
    }

    proptest! {
        #[test]
        fn what_oned_writes_is_read_back(values in prop::collection::btree_map("[A-Z_][A-Z0-9_]{0,12}", "(?s).{0,40}", 0..8)) {
            let text: String = values
                .iter()
                .map(|(key, value)| format!("{key}='{}'\n", value.replace('\'', "'\\''")))
                .collect();
            let context = parse(&text).unwrap();
            prop_assert_eq!(context.keys().count(), values.len());
            for (key, value) in &values {
                prop_assert_eq!(context.get(key), Some(value.as_str()));
            }
        }

        #[test]
        fn values_without_a_line_that_looks_like_an_assignment_survive_one_env(value in "[^\n\r]{0,40}") {
            let text = format!("export A=\"{value}\"\nexport B=\"x\"\n");
            let context = parse(&text).unwrap();
            prop_assert_eq!(context.get("A"), Some(value.as_str()));
            prop_assert_eq!(context.get("B"), Some("x"));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = ContextFile::parse(&bytes, Path::new("c"));
        }

        #[test]
        fn nothing_that_resembles_a_context_makes_it_panic(text in "(export )?[A-Z]{0,3}=?['\"\\\\$(x\n# é]{0,30}") {
            let _ = parse(&text);
        }
    }
}
