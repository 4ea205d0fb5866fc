//! What is said in the log about refused items: one line for each sender, kind and reason a minute,
//! however many come. The counters have all of them, and a finding says it until the sender brings
//! something that is taken.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use zonemesh_core::finding::{Code, Evidence, Finding, Subject};
use zonemesh_core::name::ZoneName;

use crate::facts::findings::FindingBoard;
use crate::facts::rate_limits::{Rate, RateLimiter};

/// Who sent what kind of item, and why it was refused.
type Complaint = (String, &'static str, &'static str);

/// The sender that is no zone.
const ETCD: &str = "etcd";
/// Kinds that are about a stream and not about what came through it.
const STREAMS: [&str; 2] = ["registry stream", "message"];
/// What is raised and cleared here.
const CODES: [Code; 2] = [Code::InvalidItem, Code::ForeignClaim];

/// What may be said now, and what was raised.
pub(super) struct Complaints {
    log: RateLimiter<Complaint>,
    pub(super) findings: Arc<FindingBoard>,
}

impl Default for Complaints {
    fn default() -> Self {
        Self { log: RateLimiter::new(Rate::LOG), findings: Arc::default() }
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
            self.findings.raise(finding(from, kind, reason));
            if self.is_due((from.to_owned(), kind, reason), Instant::now()) {
                tracing::warn!(from, reason, "refused a {kind}; zonemesh status counts them");
            }
        }
    }

    /// `from` has brought something that was taken.
    pub(super) fn is_honest_again(&self, from: &str) {
        let subject = subject(from);
        CODES.iter().for_each(|code| self.findings.clear(*code, &subject));
    }

    /// `from` has said something that could be read: its stream is in order again.
    pub(super) fn is_heard_again(&self, from: &str) {
        let of_streams = |finding: &Finding| {
            finding.seen("kind").is_some_and(|kind| STREAMS.contains(&kind.as_str()))
        };
        self.findings.clear_if(Code::InvalidItem, &subject(from), of_streams);
    }

    /// What those have sent who are dealt with no more is nobody's trouble.
    pub(super) fn forget_others(&self, is_admitted: impl Fn(&ZoneName) -> bool) {
        for standing in self.findings.all() {
            let Finding { code, subject, .. } = &standing.finding;
            if let Subject::Zone(zone) = subject
                && CODES.contains(code)
                && !is_admitted(zone)
            {
                self.findings.clear(*code, subject);
            }
        }
    }

    fn is_due(&self, complaint: Complaint, now: Instant) -> bool {
        self.log.allow(&complaint, now)
    }
}

fn subject(from: &str) -> Subject {
    match from.parse() {
        Ok(zone) if from != ETCD => Subject::Zone(zone),
        _ => Subject::Here,
    }
}

fn finding(from: &str, kind: &str, reason: &str) -> Finding {
    let code = if reason.starts_with("foreign_") { Code::ForeignClaim } else { Code::InvalidItem };
    let finding = Finding::new(code, subject(from))
        .with(Evidence::Kind(kind.to_owned()))
        .with(Evidence::Reason(reason.to_owned()));
    match finding.subject {
        Subject::Here => finding.with(Evidence::HeardFrom(from.to_owned())),
        _ => finding,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_of_one_reason_is_one_line_a_minute_and_hides_no_other_reason() {
        let (complaints, start) = (Complaints::default(), Instant::now());
        let due = |reason: &'static str, at| {
            complaints.is_due(("madrid".to_owned(), "zone record", reason), at)
        };
        assert_eq!((0..10_000).filter(|_| due("malformed", start)).count(), 1);
        assert!(due("too_large", start));
        let later = start + Duration::from_secs(61);
        assert_eq!((0..10_000).filter(|_| due("malformed", later)).count(), 1);
    }

    #[test]
    fn a_lie_is_a_finding_until_its_sender_brings_something_that_is_taken() {
        let complaints = Complaints::default();
        let lines = || -> Vec<String> {
            complaints.findings.all().iter().map(|one| one.finding.to_string()).collect()
        };
        let reasons = ["bad_signature", "foreign_prefix"];
        complaints.tell("paris", "zone record", reasons.into_iter());
        complaints.tell("etcd", "trust item", std::iter::once("malformed"));
        assert_eq!(
            lines(),
            [
                "P303 paris: its record was refused: foreign_prefix",
                "T412 a trust item was refused: malformed, heard from etcd",
                "T412 paris: a zone record was refused: bad_signature",
            ]
        );
        complaints.is_heard_again("paris");
        assert_eq!(lines().len(), 3, "they were no fault of the stream");
        complaints.is_honest_again("paris");
        assert_eq!(lines().len(), 1);
        complaints.tell("rome", "registry stream", std::iter::once("other_mesh"));
        complaints.is_heard_again("rome");
        complaints.tell("oslo", "zone record", std::iter::once("malformed"));
        complaints.forget_others(|zone| zone.as_str() != "oslo");
        assert_eq!(lines().len(), 1);
    }
}
