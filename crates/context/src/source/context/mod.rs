//! The text of an OpenNebula context: `context.sh` of the CONTEXT image, or the guest's `one_env`.
//!
//! It promises to read values as they were written and to evaluate nothing: these files are shell
//! scripts, and sourcing them runs whatever stands in a value. What is neither of the two written
//! forms is passed over and named with its line: it is nearly always somebody else's, and whoever
//! knows which keys are whose refuses the rest. It refuses to know what any key means.
//! Specification: oned's `VirtualMachineContext.cc` writes `KEY='value'` with `'` as `'\''`;
//! `loc-16-gen-env` of the guest scripts writes `export KEY="value"` and escapes nothing.

mod scanner;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use scanner::ContextScanner;
use zeroize::Zeroizing;
use zonemesh_core::visible::brief;

use super::read_regular;

/// More than this is no context: OpenNebula keeps a VM's template in a row of its database.
const MAX_BYTES: u64 = 16 << 20;

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
    /// No byte of it could be taken for what it is.
    #[error("{}: the context is in UTF-16: write it in UTF-8, as OpenNebula does", file.display())]
    Utf16 {
        /// The file named by `--context`.
        file: PathBuf,
    },
    /// Lines that matter are not of one of the written forms.
    #[error("{}", lines(file, passed_over))]
    Malformed {
        /// The file named by `--context`.
        file: PathBuf,
        /// All of them.
        passed_over: Vec<PassedOver>,
    },
}

/// A line of a context that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// Counted from 1: where the assignment begins.
    pub line: usize,
    /// What is wrong there.
    pub problem: Malformed,
}

fn lines(file: &Path, passed_over: &[PassedOver]) -> String {
    let line = |one: &PassedOver| format!("{}:{}: {}", file.display(), one.line, one.problem);
    passed_over.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A file that is not there may lie on an image that is not.
fn perhaps(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => "; is the CONTEXT image mounted?",
        std::io::ErrorKind::InvalidInput => "; name the context.sh of the CONTEXT image",
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
    #[error("the value of {} has no closing {quote}", brief(key))]
    Unclosed {
        /// Whose value.
        key: String,
        /// Which quote.
        quote: char,
    },
    /// Something follows a value on its line, or an unquoted value needs a shell.
    #[error(
        "the value of {0} needs a shell here: expected {0}='value' with ' written as '\\''",
        brief(key)
    )]
    NeedsShell {
        /// Whose value.
        key: String,
    },
    /// One key, two values.
    #[error("{} was given another value in line {earlier}: remove one of the two", brief(key))]
    Twice {
        /// Which key.
        key: String,
        /// Where the first value is.
        earlier: usize,
    },
    /// Not text at all.
    #[error("the bytes of the value of {} are not UTF-8", brief(key))]
    NotUtf8 {
        /// Whose value.
        key: String,
    },
}

impl Malformed {
    /// Whose value it would have been, as far as that can be told.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::NoAssignment { found } => {
                let words = found.strip_prefix("export ").unwrap_or(found);
                words.split([' ', '\t', ':', '\'', '"']).next().unwrap_or_default()
            }
            Self::Unclosed { key, .. }
            | Self::NeedsShell { key }
            | Self::Twice { key, .. }
            | Self::NotUtf8 { key } => key,
        }
    }
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
    passed_over: Vec<PassedOver>,
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
    /// The file cannot be read.
    pub fn read(file: &Path) -> Result<Self, ContextError> {
        let bytes = read_regular(file, MAX_BYTES)
            .map_err(|source| ContextError::Unreadable { file: file.to_owned(), source })?;
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            return Err(ContextError::Utf16 { file: file.to_owned() });
        }
        Ok(Self::parse(&bytes, file))
    }

    /// Parses the bytes of a context; `file` is for messages only.
    #[must_use]
    pub fn parse(bytes: &[u8], file: &Path) -> Self {
        // What is no text has a replacement character in its value, and quotes are where they were.
        let text = Zeroizing::new(String::from_utf8_lossy(bytes).into_owned());
        let is_repaired = text.as_bytes() != bytes;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let mut context = Self { file: file.to_owned(), ..Self::default() };
        let mut scanner = ContextScanner::new(text, is_repaired);
        let mut is_lost = false;
        loop {
            scanner.skip_blank();
            if scanner.rest().is_empty() {
                return context;
            }
            let (line, begin) = (scanner.line(), scanner.at);
            let taken = match scanner.assignment() {
                Ok((key, value)) => context.insert(key, ContextEntry { line, value }),
                // A value that ended as it should is over, whatever it holds.
                Err(problem @ Malformed::NotUtf8 { .. }) => Err(problem),
                Err(problem) => {
                    let rest = &text[begin..];
                    scanner.at = begin + rest.find('\n').unwrap_or(rest.len());
                    Err(problem)
                }
            };
            // What follows a malformed value may be the rest of it, and secret.
            let is_rest = is_lost && matches!(taken, Err(Malformed::NoAssignment { .. }));
            let is_open = |problem: &Malformed| {
                matches!(problem, Malformed::Unclosed { .. } | Malformed::NeedsShell { .. })
            };
            is_lost = is_rest || taken.as_ref().is_err_and(is_open);
            if let (false, Err(problem)) = (is_rest, taken) {
                context.passed_over.push(PassedOver { line, problem });
            }
        }
    }

    /// Takes the first value of a key; another one for the same key is passed over.
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

    /// The lines that were not taken; of those whose key matters, an error is made.
    ///
    /// # Errors
    /// All lines that were not taken and whose key matters.
    pub fn passed_over(
        &self,
        matters: impl Fn(&str) -> bool,
    ) -> Result<&[PassedOver], ContextError> {
        let ours = self.passed_over.iter().filter(|one| matters(one.problem.key()));
        let ours: Vec<PassedOver> = ours.cloned().collect();
        if ours.is_empty() {
            return Ok(&self.passed_over);
        }
        Err(ContextError::Malformed { file: self.file.clone(), passed_over: ours })
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

#[cfg(test)]
mod tests;
