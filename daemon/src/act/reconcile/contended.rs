//! Repairs that come again and again: something else on the machine will not have it as it should be.
//!
//! One repair is an event and nobody has to act. Promises: many of the same within seconds are a finding
//! until it has been quiet for [`QUIET`]; many different ones are none. Of a round only the first counts:
//! what goes with an interface or a table is put right with it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use zonemesh_core::finding::{Code, Evidence, Finding, Subject};
use zonemesh_core::kernel::KernelChange;

/// So many of the same within [`WINDOW`] are no accident, nor somebody who tries things out.
const MANY: usize = 8;
const WINDOW: Duration = Duration::from_secs(20);
/// How long it has to be quiet until it is over.
pub(super) const QUIET: Duration = Duration::from_secs(30);

/// What was put right lately.
#[derive(Debug, Default)]
pub(super) struct ContendedRepairs {
    lately: VecDeque<(Instant, String)>,
    /// True once something was put right in this round.
    is_counted: bool,
    /// What comes again and again, and when it came last.
    standing: Option<(Instant, String)>,
}

impl ContendedRepairs {
    /// What follows until the next call belongs together.
    pub(super) fn begin_round(&mut self) {
        self.is_counted = false;
    }

    /// Something was put right.
    pub(super) fn note(&mut self, change: &KernelChange, now: Instant) {
        if std::mem::replace(&mut self.is_counted, true) {
            return;
        }
        let words = change.to_string();
        self.lately.retain(|(at, _)| now.duration_since(*at) < WINDOW);
        self.lately.push_back((now, words.clone()));
        let same = self.lately.iter().filter(|(_, other)| *other == words).count();
        let stands = self.standing.as_ref().is_some_and(|(_, standing)| *standing == words);
        if same >= MANY || stands {
            self.standing = Some((now, words));
        }
    }

    /// What somebody has to know of it now.
    pub(super) fn finding(&mut self, now: Instant) -> Option<Finding> {
        self.standing.take_if(|(last, _)| now.duration_since(*last) >= QUIET);
        let (_, words) = self.standing.as_ref()?;
        let about = Finding::new(Code::ChangedAgain, Subject::Here);
        Some(about.with(Evidence::Found(words.clone())))
    }
}

#[cfg(test)]
mod tests {
    use zonemesh_core::kernel::{PolicyRule, RuleSelector};

    use super::*;

    fn rule() -> KernelChange {
        KernelChange::AddRule(PolicyRule { is_v4: true, selects: RuleSelector::Unmarked })
    }

    /// A round in which these are put right.
    fn round(repairs: &mut ContendedRepairs, changes: &[KernelChange], now: Instant) {
        repairs.begin_round();
        changes.iter().for_each(|change| repairs.note(change, now));
    }

    #[test]
    fn the_same_again_and_again_is_told_until_it_has_been_quiet() {
        let (mut repairs, mut now) = (ContendedRepairs::default(), Instant::now());
        for _ in 1..MANY {
            round(&mut repairs, &[rule()], now);
            assert_eq!(repairs.finding(now), None);
            now += Duration::from_millis(500);
        }
        round(&mut repairs, &[rule()], now);
        let line = "N238 something else on this machine changes it each time that it is put right: \
            rule IPv4 not fwmark 0x7a6d lookup 9091: none -> there";
        assert_eq!(repairs.finding(now).unwrap().to_string(), line);
        now += QUIET - Duration::from_secs(1);
        round(&mut repairs, &[rule()], now);
        now += QUIET - Duration::from_secs(1);
        assert!(repairs.finding(now).is_some(), "it goes on, if more slowly");
        assert_eq!(repairs.finding(now + Duration::from_secs(1)), None);
    }

    #[test]
    fn different_ones_and_what_belongs_together_and_what_comes_seldom_are_none() {
        let (mut repairs, now) = (ContendedRepairs::default(), Instant::now());
        for mtu in 0..20 {
            round(&mut repairs, &[KernelChange::LinkMtu { from: mtu, to: 1420 }, rule()], now);
        }
        round(&mut repairs, &vec![rule(); 20], now);
        assert_eq!(repairs.finding(now), None);
        repairs = ContendedRepairs::default();
        for seconds in 0..20 {
            let at = now + Duration::from_secs(seconds * 3);
            round(&mut repairs, &[rule()], at);
            assert_eq!(repairs.finding(at), None, "{seconds}");
        }
    }
}
