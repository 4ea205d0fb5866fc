//! A Flower that was started: whether its SuperLink has it. Pure.
//!
//! It promises that "ready" is Flower's own list wherever there is one, and that nothing but that list
//! takes it back: not a lost gateway, not a SuperLink that restarts. It refuses to end Flower.

use std::time::Duration;

use tokio::time::Instant;
use zonemesh_api::wire::local::RegisteredSuperLink;
use zonemesh_appliance::gateway::WatchedFederation;
use zonemesh_appliance::reason::Reason;
use zonemesh_core::record::{Admission, AdmissionState, NodeKeyDigest, Readiness};

use crate::decision::FlowerTarget;

/// A Flower that lived this long has connected, or tries to.
const SETTLED: Duration = Duration::from_secs(3);
/// Python needs seconds to start, and Flower's list comes through two gateways; silence until then.
const PATIENCE: Duration = Duration::from_secs(60);

/// The present Flower.
#[derive(Debug, Clone)]
pub(crate) struct StartedFlower {
    /// What it was started for.
    pub(crate) target: FlowerTarget,
    started_at: Instant,
    /// When this node came online last, as it was known at the start: that was another Flower.
    before: Option<u64>,
    /// Its SuperLink has had it online.
    was_ready: bool,
}

/// What is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FlowerStanding {
    /// It has not had the time.
    Connecting,
    /// It works.
    Ready,
    /// It does not, though it has had the time.
    NotOnline(Reason),
    /// Nothing is known that would change what was said.
    AsBefore,
}

impl StartedFlower {
    pub(crate) fn new(superlink: &RegisteredSuperLink, key: NodeKeyDigest, now: Instant) -> Self {
        let before = superlink.admission_of(key).map(|admission| admission.online_since);
        let target = FlowerTarget::of(superlink);
        Self { target, started_at: now, before, was_ready: false }
    }

    /// When to look whether it has settled, if that is still to come.
    pub(crate) fn settles_at(&self, now: Instant) -> Option<Instant> {
        Some(self.started_at + SETTLED).filter(|at| *at > now)
    }

    /// Where it stands now; what was ready stays so for as long as nobody says otherwise.
    pub(crate) fn look(
        &mut self,
        watched: &WatchedFederation,
        key: NodeKeyDigest,
        now: Instant,
    ) -> FlowerStanding {
        let standing = self.standing(watched, key, now);
        match standing {
            FlowerStanding::Ready => self.was_ready = true,
            FlowerStanding::NotOnline(_) => self.was_ready = false,
            FlowerStanding::Connecting | FlowerStanding::AsBefore => {}
        }
        standing
    }

    fn standing(
        &self,
        watched: &WatchedFederation,
        key: NodeKeyDigest,
        now: Instant,
    ) -> FlowerStanding {
        if self.settles_at(now).is_some() {
            return FlowerStanding::Connecting;
        }
        if !self.target.authenticates() {
            return FlowerStanding::Ready;
        }
        let shown = watched.shown.superlink().filter(|_| watched.connected);
        let ready = shown.filter(|superlink| superlink.readiness == Readiness::Ready);
        // Only a SuperLink that serves, seen now, says who is online there.
        let Some(superlink) = ready.filter(|superlink| superlink.authenticates) else {
            return FlowerStanding::AsBefore;
        };
        let admission = superlink.admission_of(key);
        if admission.is_some_and(|admission| self.is_this(admission)) {
            return FlowerStanding::Ready;
        }
        if !self.was_ready && now < self.started_at + PATIENCE {
            return FlowerStanding::Connecting;
        }
        let zone = superlink.zone.clone();
        FlowerStanding::NotOnline(match admission {
            Some(_) => Reason::NodeNotOnline { zone },
            None => Reason::NodeNotRegistered { zone },
        })
    }

    /// It is this Flower that is online, and not one before it that is not missed yet.
    fn is_this(&self, admission: Admission) -> bool {
        let is_another = self.was_ready || self.before != Some(admission.online_since);
        admission.state == AdmissionState::Online && is_another
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::tests::{KEY, listed, superlink, watched};

    fn online(since: u64) -> RegisteredSuperLink {
        listed(AdmissionState::Online, since)
    }

    fn after(started: Instant, seconds: u64) -> Instant {
        started + Duration::from_secs(seconds)
    }

    #[test]
    fn where_no_list_is_asked_for_a_flower_that_lives_for_3_s_is_ready() {
        let start = Instant::now();
        let mut flower = StartedFlower::new(&superlink(), KEY, start);
        let seen = watched(Some(superlink()));
        assert_eq!(flower.look(&seen, KEY, after(start, 2)), FlowerStanding::Connecting);
        assert_eq!(flower.look(&seen, KEY, after(start, 3)), FlowerStanding::Ready);
    }

    #[test]
    fn ready_is_not_said_before_flower_has_it_online() {
        let start = Instant::now();
        let registered = listed(AdmissionState::Registered, 0);
        let mut flower = StartedFlower::new(&registered, KEY, start);
        let mut look =
            |shown, seconds| flower.look(&watched(Some(shown)), KEY, after(start, seconds));
        assert_eq!(look(registered.clone(), 30), FlowerStanding::Connecting);
        assert_eq!(look(online(9), 2), FlowerStanding::Connecting, "it lives for 2 s");
        assert_eq!(look(online(9), 31), FlowerStanding::Ready);
        let FlowerStanding::NotOnline(reason) = look(registered, 32) else { panic!() };
        assert_eq!(reason.code(), "F515");
        assert_eq!(look(online(40), 41), FlowerStanding::Ready, "it is back");
    }

    #[test]
    fn who_was_online_before_this_start_is_not_who_is_online_now() {
        let start = Instant::now();
        let mut flower = StartedFlower::new(&online(9), KEY, start);
        let mut look =
            |shown, seconds| flower.look(&watched(Some(shown)), KEY, after(start, seconds));
        assert_eq!(look(online(9), 59), FlowerStanding::Connecting);
        let FlowerStanding::NotOnline(reason) = look(online(9), 61) else { panic!() };
        assert_eq!(reason.code(), "F515");
        assert_eq!(look(online(70), 71), FlowerStanding::Ready);
    }

    #[test]
    fn a_lost_gateway_or_superlink_takes_no_readiness_back() {
        let start = Instant::now();
        let mut flower = StartedFlower::new(&listed(AdmissionState::Registered, 0), KEY, start);
        assert_eq!(
            flower.look(&watched(Some(online(9))), KEY, after(start, 5)),
            FlowerStanding::Ready
        );
        let away = WatchedFederation { connected: false, ..watched(None) };
        let starting = RegisteredSuperLink {
            readiness: Readiness::Starting,
            ..listed(AdmissionState::Registered, 0)
        };
        for seen in [watched(None), away, watched(Some(starting))] {
            let standing = flower.look(&seen, KEY, after(start, 500));
            assert_eq!(standing, FlowerStanding::AsBefore, "{seen:?}");
        }
        assert_eq!(
            flower.look(&watched(Some(online(9))), KEY, after(start, 501)),
            FlowerStanding::Ready
        );
        let mut unknown = online(9);
        unknown.node = None;
        let standing = flower.look(&watched(Some(unknown)), KEY, after(start, 502));
        let FlowerStanding::NotOnline(reason) = standing else { panic!() };
        assert_eq!(reason.code(), "F514");
    }
}
