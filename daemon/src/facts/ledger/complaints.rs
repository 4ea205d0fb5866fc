//! What is said in the log about refused items: one line for each sender, kind and reason a minute,
//! however many come. The counters have all of them, and a finding says it until the sender brings
//! something that is taken.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use zonemesh_core::finding::{Code, Evidence, Finding, Subject};
use zonemesh_core::name::ZoneName;
use zonemesh_core::registry::RecordRejected;
use zonemesh_core::replication::RefusedClaim;

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

/// Why a record of a zone is refused that is no member here.
const STRANGER: &str = "unknown_zone";
/// What helps there: whoever passes it on is not at fault.
const ADD_IT: &str = "it knows a zone that this gateway does not: in a mesh written by hand, add that \
    zone's [[peer]] section here or take it out there, then `zonemesh reload`";

/// What may be said now, and what was raised.
pub(super) struct Complaints {
    log: RateLimiter<Complaint>,
    /// It is known why there are such records.
    expects_strangers: AtomicBool,
    pub(super) findings: Arc<FindingBoard>,
}

impl Default for Complaints {
    fn default() -> Self {
        let expects_strangers = AtomicBool::new(false);
        Self { log: RateLimiter::new(Rate::LOG), expects_strangers, findings: Arc::default() }
    }
}

impl Complaints {
    /// From now on records of zones that are no members here are no fault of those who send them.
    pub(super) fn expect_strangers(&self) {
        self.expects_strangers.store(true, Ordering::Relaxed);
    }

    /// Notes that `from` sent items of this kind that were refused, and says so if it is time.
    pub(super) fn tell(
        &self,
        from: &str,
        kind: &'static str,
        reasons: impl Iterator<Item = &'static str>,
    ) {
        let expects_strangers = self.expects_strangers.load(Ordering::Relaxed);
        let is_told = |reason: &&str| !(expects_strangers && *reason == STRANGER);
        for reason in reasons.filter(is_told).collect::<BTreeSet<_>>() {
            self.findings.raise(finding(from, kind, reason));
            if self.is_due((from.to_owned(), kind, reason), Instant::now()) {
                tracing::warn!(from, reason, "refused a {kind}; zonemesh status counts them");
            }
        }
    }

    /// `from` has brought a record of some zone that claims what is not that zone's: the zone is told of,
    /// and not who passes it on.
    pub(super) fn tell_of_claim(&self, from: &str, refused: &RefusedClaim) {
        let RefusedClaim { zone, claim } = refused;
        let reason = RecordRejected::from(*claim).as_str();
        let about = Finding::new(Code::ForeignClaim, Subject::Zone(zone.clone()));
        let about = about.with(Evidence::Kind("zone record".to_owned()));
        let about = about.with(Evidence::Reason(claim.to_string()));
        self.findings.raise(match zone.as_str() == from {
            true => about,
            false => about.with(Evidence::HeardFrom(from.to_owned())),
        });
        if self.is_due((zone.to_string(), "zone record", reason), Instant::now()) {
            tracing::warn!(%zone, from, reason, %claim, "refused a zone record; zonemesh status counts them");
        }
    }

    /// A record of `zone` was taken.
    pub(super) fn claims_no_more(&self, zone: &ZoneName) {
        self.findings.clear(Code::ForeignClaim, &Subject::Zone(zone.clone()));
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

    /// Other zones are members now: whose records nobody here knew may be among them.
    pub(super) fn forget_strangers(&self) {
        for standing in self.findings.all() {
            let finding = &standing.finding;
            let of_stranger = |one: &Finding| one.seen("reason").as_deref() == Some(STRANGER);
            if finding.code == Code::InvalidItem && of_stranger(finding) {
                self.findings.clear_if(finding.code, &finding.subject, of_stranger);
            }
        }
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
    let finding = match reason {
        STRANGER => finding.fix(ADD_IT),
        _ => finding,
    };
    match finding.subject {
        Subject::Here => finding.with(Evidence::HeardFrom(from.to_owned())),
        _ => finding,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use zonemesh_core::member::OutOfBounds;

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
    fn who_brings_records_of_a_zone_that_is_left_out_here_is_not_blamed() {
        let complaints = Complaints::default();
        complaints.tell("madrid", "zone record", std::iter::once("unknown_zone"));
        assert_eq!(complaints.findings.all().len(), 1);
        complaints.is_honest_again("madrid");
        complaints.expect_strangers();
        complaints.tell("madrid", "zone record", ["unknown_zone", "malformed"].into_iter());
        let standing = complaints.findings.all();
        assert_eq!(standing[0].finding.seen("reason").as_deref(), Some("malformed"));
        assert_eq!(standing.len(), 1);
    }

    #[test]
    fn records_of_a_zone_that_is_not_written_here_are_no_lie_and_over_with_the_members() {
        let complaints = Complaints::default();
        complaints.tell("madrid", "zone record", std::iter::once("unknown_zone"));
        complaints.tell("paris", "zone record", std::iter::once("malformed"));
        let fix = |at: usize| complaints.findings.all()[at].finding.fix.spelled();
        assert!(fix(0).contains("add that") && !fix(0).contains("zone block"), "{}", fix(0));
        assert!(fix(1).contains("zone block"), "{}", fix(1));
        complaints.forget_strangers();
        let left = complaints.findings.all();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].finding.seen("reason").as_deref(), Some("malformed"));
    }

    #[test]
    fn a_claim_is_told_of_the_zone_that_makes_it_until_a_record_of_it_is_taken() {
        let complaints = Complaints::default();
        let zone: ZoneName = "madrid".parse().unwrap();
        let claim = OutOfBounds::Prefix("10.10.11.0/24".parse().unwrap());
        let refused = RefusedClaim { zone: zone.clone(), claim };
        complaints.tell_of_claim("madrid", &refused);
        complaints.tell_of_claim("paris", &refused);
        let lines: Vec<_> =
            complaints.findings.all().iter().map(|one| one.finding.to_string()).collect();
        let line = "P303 madrid: its record was refused: prefix 10.10.11.0/24 lies in none of the \
            zone's prefixes, heard from paris";
        assert_eq!(lines, [line]);
        complaints.claims_no_more(&zone);
        assert!(complaints.findings.all().is_empty());
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
