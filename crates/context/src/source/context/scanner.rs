//! The written forms of an assignment, one after the other.
//!
//! It promises to evaluate nothing. It refuses to know what becomes of a line that is malformed.

use zeroize::Zeroizing;

use super::{Malformed, newlines};

pub(super) struct ContextScanner<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
    /// Some of its bytes were none, and a replacement character stands for each.
    pub(super) is_repaired: bool,
}

impl<'a> ContextScanner<'a> {
    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(super) fn line(&self) -> usize {
        1 + newlines(&self.text.as_bytes()[..self.at])
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
        let body = &self.rest()[1..];
        let closing = body.match_indices('"').map(|(at, _)| at).find(|at| {
            let after = &body[at + 1..];
            let (line, below) = after.split_once('\n').unwrap_or((after, ""));
            let below = below.trim_start();
            line.trim().is_empty()
                && (below.is_empty() || below.starts_with('#') || ends_a_value(below))
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
        let key = &body[..body.find('=')?];
        let is_word = |c: char| !c.is_whitespace() && !"'\"#".contains(c);
        let is_exported = after.is_some();
        let before = text.len() - body.len();
        (!key.is_empty() && key.chars().all(is_word)).then_some(Self { before, key, is_exported })
    }

    fn is_of_a_shell(&self) -> bool {
        self.key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && self.key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    }
}

/// Whether what follows an unescaped value is the next assignment: with `export`, as all lines of
/// `one_env` have it, or at least with a key that a shell takes.
fn ends_a_value(below: &str) -> bool {
    AssignmentHead::of(below).is_some_and(|head| head.is_exported || head.is_of_a_shell())
}
