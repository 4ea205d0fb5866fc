//! What is said in the log about refused items: one line for each sender, kind and reason a minute,
//! however many come. The counters have all of them.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::facts::flood::{Limits, Rate};

/// Who sent what kind of item, and why it was refused.
type Subject = (String, &'static str, &'static str);

/// What may be said now.
pub(super) struct Complaints(Limits<Subject>);

impl Default for Complaints {
    fn default() -> Self {
        Self(Limits::new(Rate::LOG))
    }
}

impl Complaints {
    /// Notes that `from` sent items of this kind that were refused, and says so if it is time.
    pub(super) fn tell(
        &self,
        from: &str,
        kind: &'static str,
        reasons: impl Iterator<Item = &'static str>,
    ) {
        for reason in reasons.collect::<BTreeSet<_>>() {
            if self.is_due((from.to_owned(), kind, reason), Instant::now()) {
                tracing::warn!(from, reason, "refused a {kind}; zonemesh status counts them");
            }
        }
    }

    fn is_due(&self, subject: Subject, now: Instant) -> bool {
        self.0.allow(&subject, now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_of_one_reason_is_one_line_a_minute_and_hides_no_other_reason() {
        let (complaints, start) = (Complaints::default(), Instant::now());
        let due = |reason, at| complaints.is_due(("madrid".to_owned(), "zone record", reason), at);
        assert_eq!((0..10_000).filter(|_| due("malformed", start)).count(), 1);
        assert!(due("too_large", start));
        let later = start + Duration::from_secs(61);
        assert_eq!((0..10_000).filter(|_| due("malformed", later)).count(), 1);
    }
}
