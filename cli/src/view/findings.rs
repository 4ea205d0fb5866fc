//! What an engineer should know, as lines.
//!
//! Promises: a line with `!` for each finding that is degraded or down, and for no other; each fits
//! 80 columns. The words are the daemon's.

use zonemesh_api::view::{FindingView, Timestamp};

use crate::quantity::span;
use crate::table::{plain, wrapped};

/// What stands before all lines of a finding but its first.
const INDENT: &str = "  ";

/// Its lines: what it is, since when, and what to do next.
pub(super) fn text(finding: &FindingView, now: Timestamp) -> String {
    let mark = if finding.is_alarming() { '!' } else { ' ' };
    let about = match finding.subject.kind.as_str() {
        "here" => String::new(),
        _ => format!("{}: ", finding.subject.name),
    };
    let lasts = span(std::time::Duration::from_millis(now.0.since(finding.since.0)));
    let often = match finding.count {
        0 | 1 => String::new(),
        count => format!(", {count} times"),
    };
    let what = format!("{mark} {} {about}{}", finding.code, finding.sentence);
    let next = format!("{INDENT}for {lasts}{often}  -> {}", finding.fix);
    wrapped(&plain(&what), INDENT) + &wrapped(&plain(&next), INDENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::WIDTH;
    use zonemesh_api::v1::{Finding, FindingSeverity};

    fn finding(severity: FindingSeverity, sentence: &str) -> FindingView {
        FindingView::from(Finding {
            code: "N206".into(),
            severity: severity.into(),
            subject_kind: "zone".into(),
            subject: "paris".into(),
            sentence: sentence.into(),
            fix: "check the peer's endpoint, its UDP port and both public keys".into(),
            since_unix_ms: 1_000,
            count: 3,
            ..Finding::default()
        })
    }

    #[test]
    fn a_finding_is_what_it_is_since_when_and_what_to_do() {
        let silent = finding(FindingSeverity::Down, "12 handshake initiations unanswered");
        assert_eq!(
            text(&silent, Timestamp::from(42_000)),
            "! N206 paris: 12 handshake initiations unanswered\n  for 41s, 3 times  -> check the peer's endpoint, its UDP port and both public\n  keys\n"
        );
        assert!(silent.is_alarming());
    }

    #[test]
    fn only_what_is_alarming_has_a_mark() {
        let note = finding(FindingSeverity::Note, "uso refused");
        assert!(
            !note.is_alarming()
                && text(&note, Timestamp::from(2_000)).starts_with("  N206 paris: ")
        );
        let later = finding(FindingSeverity::Unspecified, "of a later release");
        assert!(later.is_alarming());
    }

    #[test]
    fn no_line_is_wider_than_a_terminal_but_for_a_word_that_is() {
        let word = "x".repeat(100);
        let sentence = format!("{} {word} end", "long words ".repeat(30));
        let lines = text(&finding(FindingSeverity::Down, &sentence), Timestamp::from(1_000));
        let wide: Vec<_> = lines.lines().filter(|line| line.chars().count() > WIDTH).collect();
        assert_eq!(wide, [format!("  {word}")]);
        assert!(lines.lines().skip(1).all(|line| line.starts_with(INDENT)));
    }

    #[test]
    fn nothing_that_a_zone_says_reaches_the_terminal() {
        let evil = finding(FindingSeverity::Down, "\u{1b}[2J");
        assert!(!text(&evil, Timestamp::from(1_000)).contains('\u{1b}'));
    }
}
