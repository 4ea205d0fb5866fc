//! In which order a gateway is looked for that CONTEXT does not name. Pure.
//!
//! One round: the address that has proved itself before; OneGate, if it is time to ask it; each
//! address that it named last. It promises that a false address costs one try and never the round,
//! that OneGate is asked less and less often and for ever, and that no address ends the search. It
//! refuses to know how somebody proves to be the gateway.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::reason::Reason;

/// Between the first two questions to OneGate, at most.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Between two later ones, at most: each makes OneGate look at every VM of the service.
const LAST_WAIT: Duration = Duration::from_secs(60);
/// So many of the addresses that failed are told.
const TOLD: usize = 3;

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SearchStep {
    /// Connect.
    Try(SocketAddr),
    /// Ask OneGate.
    Ask,
    /// Nothing more in this round, for this reason.
    Over(Reason),
}

enum Round {
    Known,
    Ask,
    Named(usize),
}

/// A search, and all that come after it.
pub(super) struct GatewaySearch {
    /// Has proved itself.
    known: Option<SocketAddr>,
    /// What OneGate has named last.
    named: Vec<SocketAddr>,
    round: Round,
    ask_at: Option<Instant>,
    backoff: Backoff,
    /// Why OneGate has named none.
    unnamed: String,
    failed: Vec<Reason>,
}

impl GatewaySearch {
    pub(super) const fn new(known: Option<SocketAddr>) -> Self {
        Self {
            known,
            named: Vec::new(),
            round: Round::Known,
            ask_at: None,
            backoff: Backoff::new(FIRST_WAIT, LAST_WAIT),
            unnamed: String::new(),
            failed: Vec::new(),
        }
    }

    pub(super) const fn known(&self) -> Option<SocketAddr> {
        self.known
    }

    pub(super) fn step(&mut self, now: Instant) -> SearchStep {
        loop {
            match self.round {
                Round::Known => {
                    self.round = Round::Ask;
                    if let Some(known) = self.known {
                        return SearchStep::Try(known);
                    }
                }
                Round::Ask => {
                    self.round = Round::Named(0);
                    if self.ask_at.is_none_or(|at| at <= now) {
                        self.ask_at = Some(now + self.backoff.wait());
                        return SearchStep::Ask;
                    }
                }
                Round::Named(next) => {
                    let Some(address) = self.named.get(next).copied() else { break };
                    self.round = Round::Named(next + 1);
                    if Some(address) != self.known {
                        return SearchStep::Try(address);
                    }
                }
            }
        }
        self.round = Round::Known;
        SearchStep::Over(self.reason())
    }

    /// What OneGate said: addresses, or why there are none. What it named before it fell silent is
    /// tried all the same.
    pub(super) fn answered(&mut self, named: Result<Vec<SocketAddr>, String>) {
        match named {
            Ok(named) => self.named = named,
            Err(problem) => self.unnamed = problem,
        }
    }

    /// True if it is another address than before.
    pub(super) fn proved(&mut self, address: SocketAddr) -> bool {
        self.round = Round::Known;
        self.ask_at = None;
        self.backoff.reset();
        self.failed.clear();
        self.known.replace(address) != Some(address)
    }

    /// Nobody proved to be the gateway there.
    pub(super) fn failed(&mut self, address: SocketAddr, reason: Reason) {
        tracing::debug!(%address, %reason, "not this zone's gateway");
        self.failed.push(reason);
    }

    /// Whoever answers at a named address may be anybody: what is wrong there is a refusal only if
    /// there is nobody else who may yet prove to be the gateway. It is looked for all the same.
    fn reason(&mut self) -> Reason {
        let failed = std::mem::take(&mut self.failed);
        if failed.is_empty() {
            return Reason::GatewayNotFound { problem: self.unnamed.clone() };
        }
        // Where it was before it is most likely again.
        if let [Reason::GatewayUnreachable { gateway, problem }, ..] = failed.as_slice()
            && Some(*gateway) == self.known
        {
            let (gateway, problem) = (*gateway, problem.clone());
            return Reason::FoundGatewayUnreachable { gateway, problem };
        }
        let told: Vec<String> = failed.iter().take(TOLD).map(ToString::to_string).collect();
        let more = failed.len().saturating_sub(TOLD);
        let more = if more == 0 { String::new() } else { format!("; and {more} more") };
        let problem = format!("{}{more}", told.join("; "));
        match failed.iter().map(anothers).collect::<Option<Vec<_>>>().as_deref() {
            Some([gateway, ..]) => {
                let problem = format!("each one that OneGate names is another zone's: {problem}");
                Reason::GatewaysOfOthers { gateway: *gateway, problem }
            }
            _ => Reason::GatewayNotFound { problem },
        }
    }
}

/// The address of one that has shown to be another zone's, and is not only behind.
const fn anothers(reason: &Reason) -> Option<SocketAddr> {
    match reason {
        Reason::GatewayKey { gateway, .. }
        | Reason::GatewayUnproven { gateway, is_other: true, .. } => Some(*gateway),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 10, 10, last], 51822))
    }

    fn other_key(last: u8) -> Reason {
        Reason::GatewayKey { gateway: at(last), problem: "another key".into() }
    }

    fn over(step: SearchStep) -> Reason {
        match step {
            SearchStep::Over(reason) => reason,
            step => panic!("not over: {step:?}"),
        }
    }

    #[test]
    fn a_false_address_costs_one_try_and_keeps_nobody_out() {
        let (mut search, now) = (GatewaySearch::new(None), Instant::now());
        assert_eq!(search.step(now), SearchStep::Ask);
        search.answered(Ok(vec![at(6), at(7), at(1)]));
        for last in [6, 7] {
            assert_eq!(search.step(now), SearchStep::Try(at(last)));
            search.failed(at(last), other_key(last));
        }
        assert_eq!(search.step(now), SearchStep::Try(at(1)));
        assert!(search.proved(at(1)));
        assert_eq!(search.known(), Some(at(1)));
        // From now on it comes first, and is not asked for.
        assert_eq!(search.step(now), SearchStep::Try(at(1)));
        assert!(!search.proved(at(1)));
    }

    #[test]
    fn gateways_of_other_zones_alone_are_told_as_that_and_the_search_goes_on() {
        let (mut search, now) = (GatewaySearch::new(None), Instant::now());
        search.step(now);
        search.answered(Ok((1..=5).map(at).collect()));
        for last in 1..=5 {
            assert_eq!(search.step(now), SearchStep::Try(at(last)));
            search.failed(at(last), other_key(last));
        }
        let reason = over(search.step(now));
        assert_eq!((reason.code(), reason.is_refusal()), ("T405", true), "{reason}");
        assert!(reason.fix().contains("ONEAPP_ZONEMESH_TOKEN of this zone"), "{}", reason.fix());
        let text = reason.to_string();
        assert!(text.contains("each one that OneGate names is another zone's"), "{text}");
        assert!(text.contains("10.10.10.1:51822") && text.ends_with("; and 2 more"), "{text}");
        // Again, before OneGate is asked again.
        assert_eq!(search.step(now), SearchStep::Try(at(1)));
    }

    #[test]
    fn one_that_may_still_prove_itself_keeps_others_from_being_a_refusal() {
        let behind = Reason::GatewayUnproven {
            gateway: at(2),
            problem: "it belongs to no managed mesh yet".into(),
            is_other: false,
        };
        let away = Reason::GatewayUnreachable { gateway: at(2), problem: "refused".into() };
        for hopeful in [behind, away] {
            let (mut search, now) = (GatewaySearch::new(None), Instant::now());
            search.step(now);
            search.answered(Ok(vec![at(1), at(2)]));
            search.step(now);
            search.failed(at(1), other_key(1));
            search.step(now);
            search.failed(at(2), hopeful);
            let reason = over(search.step(now));
            assert_eq!((reason.code(), reason.is_refusal()), ("N236", false), "{reason}");
        }
    }

    #[test]
    fn onegate_is_asked_less_and_less_often_and_for_ever() {
        let (mut search, begun) = (GatewaySearch::new(None), Instant::now());
        let mut asked = Vec::new();
        for second in 0..3600 {
            let now = begun + Duration::from_secs(second);
            if search.step(now) == SearchStep::Ask {
                asked.push(second);
                search.answered(Err("OneGate does not answer".into()));
                search.step(now);
            }
        }
        let first = asked.iter().filter(|second| **second < 60).count();
        assert!((4..=12).contains(&first), "{asked:?}");
        let last = asked.iter().filter(|second| **second >= 3000).count();
        assert!((9..=22).contains(&last), "{asked:?}");
    }

    #[test]
    fn what_onegate_named_is_tried_while_it_is_silent_and_the_old_address_first() {
        let (mut search, now) = (GatewaySearch::new(Some(at(1))), Instant::now());
        assert_eq!(search.step(now), SearchStep::Try(at(1)));
        let away = Reason::GatewayUnreachable { gateway: at(1), problem: "refused".into() };
        search.failed(at(1), away);
        assert_eq!(search.step(now), SearchStep::Ask);
        search.answered(Ok(vec![at(1), at(2)]));
        assert_eq!(search.step(now), SearchStep::Try(at(2)), "at(1) was tried");
        search.failed(at(2), other_key(2));
        let lost = over(search.step(now));
        let found = Reason::FoundGatewayUnreachable { gateway: at(1), problem: "refused".into() };
        assert_eq!(lost, found);
        // CONTEXT does not name it.
        assert!(!lost.fix().contains("ONEAPP_ZONEMESH_GATEWAY"), "{}", lost.fix());
        let later = now + LAST_WAIT;
        assert_eq!(search.step(later), SearchStep::Try(at(1)));
        assert_eq!(search.step(later), SearchStep::Ask);
        search.answered(Err("500".into()));
        assert_eq!(search.step(later), SearchStep::Try(at(2)));
    }
}
