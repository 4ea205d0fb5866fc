//! The findings that last, by code and subject.
//!
//! Promises: whoever raised a finding clears it, no time does; an outage that lasts is one finding
//! with a beginning, and one that comes again starts anew; memory is bounded, whoever calls.

use std::collections::BTreeMap;

use super::{Code, Finding, Subject};
use crate::time::UnixMillis;

/// Most findings at one time: more would be read by nobody.
const MOST: usize = 1024;

/// A finding that lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingFinding {
    /// With the evidence that was seen last.
    pub finding: Finding,
    /// When it was raised first.
    pub since: UnixMillis,
    /// When it was seen last.
    pub seen_at: UnixMillis,
    /// How often it has happened since then.
    pub count: u64,
}

/// What became of a finding that was raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Raised {
    /// It was not there before.
    New,
    /// It is worse, or less bad, than it was.
    Changed,
    /// It lasts.
    Again,
    /// There is no room; it is counted.
    Full,
}

/// What a look of a raiser has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// New, or worse or less bad than before.
    pub came: Vec<StandingFinding>,
    /// Over.
    pub went: Vec<StandingFinding>,
}

/// The findings that last.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    standing: BTreeMap<(Code, Subject), KeptFinding>,
    left_out: u64,
    /// How often raisers have settled.
    round: u64,
}

#[derive(Debug, Clone)]
struct KeptFinding {
    standing: StandingFinding,
    /// When it was seen last, in rounds of settling.
    round: u64,
}

impl Findings {
    /// It has happened, perhaps again.
    pub fn raise(&mut self, finding: Finding, now: UnixMillis) -> Raised {
        let raised = self.hold(finding.clone(), now);
        if matches!(raised, Raised::Changed | Raised::Again)
            && let Some(known) = self.standing.get_mut(&(finding.code, finding.subject))
        {
            known.standing.count = known.standing.count.saturating_add(1);
        }
        raised
    }

    /// It is so, perhaps still: for those who look again and again. Counts only when it is new.
    pub fn hold(&mut self, finding: Finding, now: UnixMillis) -> Raised {
        let key = (finding.code, finding.subject.clone());
        if let Some(known) = self.standing.get_mut(&key) {
            known.round = self.round;
            let known = &mut known.standing;
            let same = known.finding.severity == finding.severity;
            (known.finding, known.seen_at) = (finding, now);
            return if same { Raised::Again } else { Raised::Changed };
        }
        if self.standing.len() >= MOST {
            self.left_out = self.left_out.saturating_add(1);
            return Raised::Full;
        }
        let standing = StandingFinding { finding, since: now, seen_at: now, count: 1 };
        self.standing.insert(key, KeptFinding { standing, round: self.round });
        Raised::New
    }

    /// It is over. Returns what is gone.
    pub fn clear(&mut self, code: Code, subject: &Subject) -> Option<StandingFinding> {
        Some(self.standing.remove(&(code, subject.clone()))?.standing)
    }

    /// The finding of this code about this subject, if it lasts.
    #[must_use]
    pub fn get(&self, code: Code, subject: &Subject) -> Option<&StandingFinding> {
        Some(&self.standing.get(&(code, subject.clone()))?.standing)
    }

    /// All that a raiser of these codes sees now: what it raised before and sees no more is over.
    pub fn settle(
        &mut self,
        codes: &[Code],
        seen: impl IntoIterator<Item = Finding>,
        now: UnixMillis,
    ) -> Settled {
        let mut came = Vec::new();
        self.round = self.round.wrapping_add(1);
        for finding in seen {
            debug_assert!(codes.contains(&finding.code), "{} is not the raiser's", finding.code);
            let (code, subject) = (finding.code, finding.subject.clone());
            if matches!(self.hold(finding, now), Raised::New | Raised::Changed) {
                came.extend(self.get(code, &subject).cloned());
            }
        }
        let round = self.round;
        let is_over = |key: &(Code, Subject), kept: &mut KeptFinding| {
            kept.round != round && codes.contains(&key.0)
        };
        let over = self.standing.extract_if(.., is_over);
        let went = over.map(|(_, kept)| kept.standing).collect();
        Settled { came, went }
    }

    /// The worst first, then by code and subject.
    pub fn all(&self) -> Vec<StandingFinding> {
        self.worst(usize::MAX)
    }

    /// At most so many of [`Self::all`], those about this machine before all others: a hundred zones
    /// that are down are not to hide why. The others are not copied.
    pub fn worst(&self, at_most: usize) -> Vec<StandingFinding> {
        let mut all: Vec<_> = self.standing.values().map(|kept| &kept.standing).collect();
        let badness = |one: &&StandingFinding| std::cmp::Reverse(one.finding.severity);
        if all.len() > at_most {
            all.sort_by_key(|one| (one.finding.subject != Subject::Here, badness(one)));
            all.truncate(at_most);
        }
        all.sort_by_key(|one| badness(one));
        all.into_iter().cloned().collect()
    }

    /// How many last.
    #[must_use]
    pub fn count(&self) -> usize {
        self.standing.len()
    }

    /// How many of them somebody should look at.
    #[must_use]
    pub fn alarming(&self) -> usize {
        let severities = self.standing.values().map(|kept| kept.standing.finding.severity);
        severities.filter(|severity| severity.is_alarming()).count()
    }

    /// How often there was no room for one.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Evidence, Severity};
    use super::*;

    fn silent(zone: &str, count: u64) -> Finding {
        let subject = Subject::Zone(zone.parse().unwrap());
        Finding::new(Code::HandshakesUnanswered, subject).with(Evidence::Count(count))
    }

    #[test]
    fn a_few_of_many_are_the_worst_with_all_about_this_machine() {
        let mut findings = Findings::default();
        let raise = |findings: &mut Findings, code, subject| {
            findings.raise(Finding::new(code, subject), UnixMillis(1));
        };
        for zone in ["a", "b", "c"] {
            let subject = Subject::Zone(zone.parse().unwrap());
            raise(&mut findings, Code::HandshakesUnanswered, subject);
        }
        raise(&mut findings, Code::ForwardingOff, Subject::Here);
        let codes = |few: Vec<StandingFinding>| {
            few.iter().map(|one| one.finding.code.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(codes(findings.worst(2)), ["N206", "N214"]);
        assert_eq!(codes(findings.all()), ["N206", "N206", "N206", "N214"]);
        assert_eq!(findings.worst(4), findings.all());
    }

    #[test]
    fn what_lasts_keeps_its_beginning_and_shows_its_last_evidence() {
        let mut findings = Findings::default();
        assert_eq!(findings.hold(silent("paris", 3), UnixMillis(10)), Raised::New);
        assert_eq!(findings.hold(silent("paris", 9), UnixMillis(70)), Raised::Again);
        assert_eq!(findings.raise(silent("paris", 9), UnixMillis(80)), Raised::Again);
        let [one] = &findings.all()[..] else { panic!("one is kept: {findings:?}") };
        assert_eq!((one.since, one.seen_at, one.count), (UnixMillis(10), UnixMillis(80), 2));
        assert_eq!(one.finding, silent("paris", 9));
    }

    #[test]
    fn only_its_raiser_clears_it_and_it_starts_anew() {
        let mut findings = Findings::default();
        let paris = silent("paris", 1).subject;
        findings.raise(silent("paris", 3), UnixMillis(10));
        assert_eq!(findings.all()[0].since, UnixMillis(10), "a later look ends nothing");
        assert_eq!(findings.clear(Code::LaneUnanswered, &paris), None);
        assert!(findings.clear(Code::HandshakesUnanswered, &paris).is_some());
        assert!(findings.all().is_empty());
        findings.raise(silent("paris", 3), UnixMillis(90));
        assert_eq!((findings.all()[0].since, findings.all()[0].count), (UnixMillis(90), 1));
    }

    #[test]
    fn settling_clears_only_the_codes_of_the_one_who_settles() {
        let mut findings = Findings::default();
        let flood = Finding::new(Code::TooManyRequests, Subject::Here);
        findings.raise(flood.clone(), UnixMillis(1));
        let codes = [Code::HandshakesUnanswered];
        let both = [silent("paris", 1), silent("rome", 1)];
        assert_eq!(findings.settle(&codes, both, UnixMillis(2)).came.len(), 2);
        let Settled { came, went } = findings.settle(&codes, [silent("rome", 2)], UnixMillis(3));
        assert!(came.is_empty() && went.len() == 1);
        assert_eq!(went[0].finding.subject, Subject::Zone("paris".parse().unwrap()));
        let left: Vec<_> = findings.all().into_iter().map(|one| one.finding).collect();
        assert_eq!(left, [silent("rome", 2), flood]);
    }

    #[test]
    fn a_change_of_severity_is_told_and_the_worst_comes_first() {
        let mut findings = Findings::default();
        findings.hold(silent("rome", 1).severity(Severity::Degraded), UnixMillis(1));
        findings.hold(silent("paris", 1).severity(Severity::Note), UnixMillis(1));
        let worse = silent("paris", 1);
        assert_eq!(findings.hold(worse.clone(), UnixMillis(2)), Raised::Changed);
        assert_eq!(findings.all()[0].finding, worse);
    }

    #[test]
    fn made_up_subjects_do_not_fill_the_memory() {
        let mut findings = Findings::default();
        for n in 0..10_000_u32 {
            let caller = Subject::Caller(std::net::Ipv4Addr::from(n).into());
            findings.raise(Finding::new(Code::TooManyRequests, caller), UnixMillis(1));
        }
        assert_eq!(findings.all().len(), MOST);
        assert_eq!(findings.left_out(), 10_000 - MOST as u64);
    }
}
