//! What is wrong with a text that is no TOML, in the words of somebody who writes one.
//!
//! Promises: one complaint, about the first place that is wrong, since what follows is mostly its
//! echo; no value is repeated, as the file may be a key file that was named by mistake. Refuses to know
//! what TOML is (the crate `toml`).

use zonemesh_core::finding::Code;

use crate::complaint::Complaint;
use crate::error::ConfigErrors;
use crate::keys::SECTIONS;
use crate::mistakes::Mistakes;
use crate::schema::{SectionCount, SectionSpec};

/// Longest text of a configuration file.
pub(crate) const MAX_BYTES: usize = 1 << 20;
/// What word processors make of straight quotes.
const CURLY: &str = "\u{201c}\u{201d}\u{201e}\u{2018}\u{2019}\u{201a}\u{ab}\u{bb}";

/// The first of `errors`, explained.
pub(crate) fn report(mistakes: &mut Mistakes<'_>, text: &str, errors: &[toml::de::Error]) {
    let first = errors.iter().min_by_key(|error| error.span().map_or(0, |span| span.start));
    let Some(error) = first else { return };
    let offset = error.span().map_or(0, |span| span.start).min(text.len());
    let complaint = explain(mistakes, text, offset, error.message());
    mistakes.report("(syntax)", offset, complaint.coded(Code::ConfigSyntax));
}

fn explain(mistakes: &Mistakes<'_>, text: &str, offset: usize, message: &str) -> Complaint {
    let line = line_at(text, offset);
    let at = text.get(offset..).unwrap_or_default();
    if message.contains("duplicate key") {
        return duplicate(mistakes, text, offset, line);
    }
    if at.starts_with(|c| CURLY.contains(c)) {
        let fix = "type the quotes anew, in a plain text editor";
        return Complaint::new("found curly quotes", "straight ones (\")", fix);
    }
    if is_yaml(line) {
        let fix = "write [zone] for a section and name = \"berlin\" for a value";
        return Complaint::new("found a ':' as in YAML", "TOML", fix);
    }
    if is_wg_quick(text) {
        let fix = "begin with the example, configs/zonemesh.example.toml";
        return Complaint::new("found a file as wg-quick has it", "zonemesh.toml", fix);
    }
    if message.contains("string values must be quoted") {
        let expected = "a text in double quotes, a number, true, false, or a list of those";
        return Complaint::new("found a value without quotes", expected, "put it in quotes");
    }
    let (found, expected) = message.split_once(", expected ").unwrap_or((message, "valid TOML"));
    Complaint::new(found, expected, "correct this line")
}

/// A key or a section that stands there already: named, with its first line.
fn duplicate(mistakes: &Mistakes<'_>, text: &str, offset: usize, line: &str) -> Complaint {
    let header = line.trim_start().strip_prefix('[').map(|rest| rest.trim_start_matches('['));
    let Some(header) = header else {
        let key = key_of(line).unwrap_or_default();
        let section = text[..offset].rfind("\n[").map_or(0, |at| at + 1);
        let first = start_of(&text[section..], |other| key_of(other) == Some(key));
        let found = format!("{key} stands in line {} already", place(mistakes, first, section));
        return Complaint::new(found, "each key once in a section", "keep one of the two");
    };
    let name = header.split(']').next().unwrap_or_default().trim();
    let many = |section: &SectionSpec| section.count == SectionCount::Many;
    if SECTIONS.iter().any(|section| section.name == name && many(section)) {
        let found = format!("found [{name}] again");
        let fix = format!("write [[{name}]], with two brackets, each time");
        return Complaint::new(found, format!("sections [[{name}]]"), fix);
    }
    let is_same = |other: &str| other.trim_start().trim_start_matches('[').starts_with(header);
    let first = start_of(text, is_same);
    let found = format!("[{name}] stands in line {} already", place(mistakes, first, 0));
    Complaint::new(found, "each section once", "put the keys of both below one of them")
}

fn place(mistakes: &Mistakes<'_>, offset: Option<usize>, base: usize) -> usize {
    mistakes.line_at(base + offset.unwrap_or_default())
}

/// Where the first line begins that is one.
fn start_of(text: &str, is_it: impl Fn(&str) -> bool) -> Option<usize> {
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        if is_it(line.trim_end()) {
            return Some(offset);
        }
        offset += line.len();
    }
    None
}

fn line_at(text: &str, offset: usize) -> &str {
    let before = text.get(..offset).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    text[start..].lines().next().unwrap_or_default()
}

fn key_of(line: &str) -> Option<&str> {
    line.split_once('=').map(|(key, _)| key.trim())
}

/// `name: value`, with a space or nothing behind the colon.
fn is_yaml(line: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    line.trim_start().trim_start_matches("- ").split_once(':').is_some_and(|(key, rest)| {
        !key.is_empty() && key.chars().all(word) && (rest.is_empty() || rest.starts_with(' '))
    })
}

fn is_wg_quick(text: &str) -> bool {
    text.lines().any(|line| matches!(line.trim(), "[Interface]" | "[Peer]"))
}

/// Refuses a file that is longer than any configuration.
///
/// # Errors
/// One mistake, at the beginning.
pub(crate) fn check_size(bytes: &[u8], file_name: &str) -> Result<(), ConfigErrors> {
    if bytes.len() <= MAX_BYTES {
        return Ok(());
    }
    let mut mistakes = Mistakes::new("", file_name);
    let fix = "name the configuration file";
    let complaint = Complaint::new("found more than 1 MiB", "at most 1 MiB", fix);
    mistakes.report("(syntax)", 0, complaint.coded(Code::ConfigSyntax));
    ConfigErrors::unless_empty(None, mistakes.into_parts().0)
}

/// The text of a file.
///
/// # Errors
/// One mistake, with its line, if it is no UTF-8.
pub(crate) fn utf8<'b>(bytes: &'b [u8], file_name: &str) -> Result<&'b str, ConfigErrors> {
    let error = match std::str::from_utf8(bytes) {
        Ok(text) => return Ok(text),
        Err(error) => error,
    };
    let (before, after) = bytes.split_at(error.valid_up_to());
    let readable = String::from_utf8_lossy(before);
    let mut mistakes = Mistakes::new(&readable, file_name);
    let complaint = match (bytes, after.first()) {
        ([0xff, 0xfe, ..] | [0xfe, 0xff, ..], _) => {
            Complaint::new("found UTF-16", "UTF-8", "save the file as UTF-8")
        }
        (_, byte) => Complaint::new(
            format!("found the byte 0x{:02x}", byte.copied().unwrap_or_default()),
            "UTF-8",
            "save the file as UTF-8: `iconv -f latin1 -t utf-8`",
        ),
    };
    mistakes.report("(syntax)", readable.len(), complaint.coded(Code::ConfigSyntax));
    ConfigErrors::unless_empty(None, mistakes.into_parts().0)
}
