//! The written forms of an assignment, one after the other.
//!
//! It promises to evaluate nothing, and to be done soon with whatever stands there: no part of the
//! text is looked through again for each line. It refuses to know what becomes of a line that is malformed.

use zeroize::Zeroizing;

use super::Malformed;

pub(super) struct ContextScanner<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
    /// Some of its bytes were none, and a replacement character stands for each.
    is_repaired: bool,
    /// Up to where lines are counted, and how many there are.
    counted: usize,
    lines: usize,
    /// The first quote from `searched` on that can end an unescaped value, once it was looked for.
    closing: Option<ClosingQuote>,
}

/// What a search for a closing quote has found.
#[derive(Clone, Copy)]
struct ClosingQuote {
    searched: usize,
    found: Option<usize>,
}

impl<'a> ContextScanner<'a> {
    pub(super) const fn new(text: &'a str, is_repaired: bool) -> Self {
        Self { text, at: 0, is_repaired, counted: 0, lines: 0, closing: None }
    }

    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// The line that it is in, from 1; it never goes back before one that was asked for.
    pub(super) fn line(&mut self) -> usize {
        let since = &self.text.as_bytes()[self.counted..self.at];
        self.lines += since.iter().filter(|byte| **byte == b'\n').count();
        self.counted = self.at;
        1 + self.lines
    }

    pub(super) fn skip_blank(&mut self) {
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

    pub(super) fn assignment(&mut self) -> Result<(String, Zeroizing<String>), Malformed> {
        let rest = self.rest();
        let Some(head) = AssignmentHead::of(rest) else {
            let line = rest.lines().next().unwrap_or_default();
            let found = line.split('=').next().unwrap_or_default().chars().take(40).collect();
            return Err(Malformed::NoAssignment { found });
        };
        let key = head.key;
        self.at += head.before + key.len() + 1;
        let value = if self.rest().starts_with('"') {
            self.double_quoted(key)?
        } else {
            self.shell_word(key)?
        };
        if self.is_repaired && value.contains(char::REPLACEMENT_CHARACTER) {
            return Err(Malformed::NotUtf8 { key: key.to_owned() });
        }
        Ok((key.to_owned(), value))
    }

    /// The unescaped form of `one_env`: the value ends at the first quote that ends a line after
    /// which an assignment, a comment or nothing follows.
    fn double_quoted(&mut self, key: &str) -> Result<Zeroizing<String>, Malformed> {
        let begin = self.at + 1;
        let Some(end) = self.closing_quote(begin) else {
            return Err(Malformed::Unclosed { key: key.to_owned(), quote: '"' });
        };
        self.at = end + 1;
        Ok(Zeroizing::new(self.text[begin..end].to_owned()))
    }

    /// Whether a quote can end a value does not depend on where the value begins: what was found for
    /// an earlier one holds still.
    fn closing_quote(&mut self, from: usize) -> Option<usize> {
        let known = self.closing.filter(|known| {
            known.searched <= from && known.found.is_none_or(|found| found >= from)
        });
        if let Some(known) = known {
            return known.found;
        }
        let mut quotes = self.text[from..].match_indices('"').map(|(at, _)| from + at);
        let found = quotes.find(|at| ends_its_line(&self.text[at + 1..]));
        self.closing = Some(ClosingQuote { searched: from, found });
        found
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

/// The beginning `[export ]KEY=` of an assignment.
struct AssignmentHead<'a> {
    /// How many bytes stand before the key.
    before: usize,
    key: &'a str,
    is_exported: bool,
}

impl<'a> AssignmentHead<'a> {
    /// Also with a key that no shell takes, such as `K8S-TOKEN`: its value may have lines, and none of
    /// them is an assignment.
    fn of(text: &'a str) -> Option<Self> {
        let after = text.strip_prefix("export").filter(|after| after.starts_with([' ', '\t']));
        let body = after.map_or(text, |after| after.trim_start_matches([' ', '\t']));
        let is_word = |c: char| !c.is_whitespace() && !"'\"#=".contains(c);
        let key = &body[..body.find(|c| !is_word(c))?];
        let is_exported = after.is_some();
        let before = text.len() - body.len();
        let is_head = !key.is_empty() && body[key.len()..].starts_with('=');
        is_head.then_some(Self { before, key, is_exported })
    }

    fn is_of_a_shell(&self) -> bool {
        self.key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && self.key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    }
}

/// Whether nothing stands behind a quote on its line, and below it what may follow a value.
fn ends_its_line(after: &str) -> bool {
    let line_end = after.find('\n').unwrap_or(after.len());
    if !after[..line_end].trim().is_empty() {
        return false;
    }
    let below = after[line_end..].trim_start();
    below.is_empty() || below.starts_with('#') || ends_a_value(below)
}

/// Whether what follows an unescaped value is the next assignment: with `export`, as all lines of
/// `one_env` have it, or at least with a key that a shell takes.
fn ends_a_value(below: &str) -> bool {
    AssignmentHead::of(below).is_some_and(|head| head.is_exported || head.is_of_a_shell())
}
