//! What a SuperNode does next, from what its gateway shows. Pure.
//!
//! It promises that nothing but another address, port, CA set or version of the SuperLink touches a
//! Flower that runs: not a lost gateway, not an unreachable zone, not a SuperLink that restarts
//! (Flower connects again by itself, the SuperLink keeps its database). It refuses to check anything.

use std::collections::BTreeSet;
use std::net::IpAddr;

use zonemesh_api::wire::local::RegisteredSuperLink;
use zonemesh_appliance::gateway::{ShownFederation, WatchedFederation};
use zonemesh_appliance::reason::Reason;
use zonemesh_core::name::FederationName;
use zonemesh_core::record::{AdmissionState, FlowerTransport, NodeKeyDigest, Readiness};

/// What a SuperNode's Flower is bound to: if this changes, Flower must be started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FlowerTarget {
    addresses: Vec<IpAddr>,
    fleet_port: u16,
    /// Their order and states are no reason to touch it.
    ca_pems: BTreeSet<String>,
    flower_version: String,
    transport: FlowerTransport,
    authenticates: bool,
}

impl FlowerTarget {
    pub(crate) fn of(superlink: &RegisteredSuperLink) -> Self {
        Self {
            addresses: superlink.addresses.clone(),
            fleet_port: superlink.fleet_port,
            ca_pems: superlink.cas.iter().map(|ca| ca.pem.clone()).collect(),
            flower_version: superlink.flower_version.clone(),
            transport: superlink.transport,
            authenticates: superlink.authenticates,
        }
    }

    /// True if its SuperLink admits by keys.
    pub(crate) fn authenticates(&self) -> bool {
        self.authenticates
    }
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FlowerDecision {
    /// Flower runs and shall go on; or nothing is known yet.
    Keep,
    /// Flower does not run, and cannot: say why.
    Wait(Reason),
    /// Check, then start Flower for this SuperLink; stop the one that runs before.
    Start(Box<RegisteredSuperLink>),
    /// The SuperLink has not registered this VM's key yet: check, and say what is wrong besides.
    Check(Box<RegisteredSuperLink>),
    /// The SuperLink never takes this key again: make another.
    NewKey,
}

/// What is known here before anything is decided.
pub(crate) struct SuperNodeHere<'a> {
    pub(crate) federation: &'a FederationName,
    pub(crate) key: NodeKeyDigest,
    /// What the present Flower was started for.
    pub(crate) running: Option<&'a FlowerTarget>,
}

pub(crate) fn decide(watched: &WatchedFederation, here: &SuperNodeHere<'_>) -> FlowerDecision {
    let superlink = watched.shown.superlink();
    let ready = superlink.filter(|superlink| superlink.readiness == Readiness::Ready);
    if ready.is_some_and(|superlink| has_spent(superlink, here.key)) {
        return FlowerDecision::NewKey;
    }
    if let Some(running) = here.running {
        return match ready {
            Some(superlink)
                if FlowerTarget::of(superlink) != *running && admits(superlink, here.key) =>
            {
                FlowerDecision::Start(Box::new(superlink.clone()))
            }
            _ => FlowerDecision::Keep,
        };
    }
    // Nobody is reached from a zone that is out, whatever it was shown before.
    if let Some(out) = &watched.out {
        return FlowerDecision::Wait(watched.lost.as_ref().unwrap_or(out).clone());
    }
    if let Some(superlink) = ready.filter(|superlink| admits(superlink, here.key)) {
        // The last answer is still the best there is while the gateway is away.
        return FlowerDecision::Start(Box::new(superlink.clone()));
    }
    if let Some(reason) = &watched.lost {
        return FlowerDecision::Wait(reason.clone());
    }
    if let Some(superlink) = ready {
        return FlowerDecision::Check(Box::new(superlink.clone()));
    }
    match &watched.shown {
        ShownFederation::Unknown => FlowerDecision::Keep,
        ShownFederation::NoSuperLink => {
            FlowerDecision::Wait(Reason::NoSuperLink { federation: here.federation.clone() })
        }
        ShownFederation::SuperLink(superlink) => FlowerDecision::Wait(Reason::SuperLinkNotReady {
            zone: superlink.zone.clone(),
            readiness: superlink.readiness,
        }),
    }
}

/// Flower ends at once where its key is not registered.
fn admits(superlink: &RegisteredSuperLink, key: NodeKeyDigest) -> bool {
    let state = superlink.admission_of(key).map(|admission| admission.state);
    let listed = matches!(state, Some(AdmissionState::Registered | AdmissionState::Online));
    listed || !superlink.authenticates
}

fn has_spent(superlink: &RegisteredSuperLink, key: NodeKeyDigest) -> bool {
    let state = superlink.admission_of(key).map(|admission| admission.state);
    superlink.authenticates && state == Some(AdmissionState::Spent)
}

#[cfg(test)]
pub(crate) mod tests {
    use zonemesh_api::wire::local::{ToldRevocation, TrustedCa};
    use zonemesh_core::record::{Admission, AdmittedNode, CaState};
    use zonemesh_core::time::UnixMillis;

    use super::*;

    fn ca(pem: &str, state: CaState) -> TrustedCa {
        TrustedCa { pem: pem.to_owned(), state }
    }

    pub(crate) const KEY: NodeKeyDigest = [7; 16];

    pub(crate) fn superlink() -> RegisteredSuperLink {
        RegisteredSuperLink {
            zone: "berlin".parse().unwrap(),
            addresses: vec![[10, 10, 10, 5].into()],
            fleet_port: 9092,
            control_port: 9093,
            flower_version: "1.25.0".into(),
            transport: FlowerTransport::Grpc,
            readiness: Readiness::Ready,
            tls_name: String::new(),
            cas: vec![ca("CA", CaState::Active), ca("OLD", CaState::Retiring)],
            clock_offset_ms: Some(0),
            zone_reachable: true,
            conflict: false,
            authenticates: false,
            node: None,
        }
    }

    /// One that admits by keys and has this VM's in this state.
    pub(crate) fn listed(state: AdmissionState, online_since: u64) -> RegisteredSuperLink {
        let admission = Admission { state, node_id: 1 << 63, online_since };
        let node = Some(AdmittedNode { key: KEY, admission });
        RegisteredSuperLink { authenticates: true, node, ..superlink() }
    }

    pub(crate) fn watched(shown: Option<RegisteredSuperLink>) -> WatchedFederation {
        WatchedFederation { shown: shown.into(), connected: true, ..WatchedFederation::default() }
    }

    fn with(change: impl FnOnce(&mut RegisteredSuperLink)) -> WatchedFederation {
        let mut changed = superlink();
        change(&mut changed);
        watched(Some(changed))
    }

    fn lost() -> Reason {
        let gateway = "10.10.10.1:51822".parse().unwrap();
        Reason::GatewayUnreachable { gateway, problem: "refused".into() }
    }

    fn away(watched: WatchedFederation) -> WatchedFederation {
        WatchedFederation { lost: Some(lost()), connected: false, ..watched }
    }

    fn decided(watched: &WatchedFederation, running: Option<&FlowerTarget>) -> FlowerDecision {
        let federation = "health-eu".parse().unwrap();
        decide(watched, &SuperNodeHere { federation: &federation, key: KEY, running })
    }

    #[test]
    fn where_keys_are_asked_for_flower_starts_once_its_own_is_registered() {
        let start = |superlink| FlowerDecision::Start(Box::new(superlink));
        let unlisted = with(|superlink| superlink.authenticates = true);
        let mut others = listed(AdmissionState::Online, 9);
        others.node = others.node.map(|node| AdmittedNode { key: [8; 16], ..node });
        for waits in
            [unlisted, watched(Some(others)), watched(Some(listed(AdmissionState::Other(9), 0)))]
        {
            let checks = decided(&waits, None);
            assert!(matches!(checks, FlowerDecision::Check(_)), "{waits:?}: {checks:?}");
            assert_eq!(decided(&away(waits.clone()), None), FlowerDecision::Wait(lost()));
            // Also a Flower of the time before keys were asked for runs on until then.
            let running = FlowerTarget::of(&superlink());
            assert_eq!(decided(&waits, Some(&running)), FlowerDecision::Keep);
        }
        for state in [AdmissionState::Registered, AdmissionState::Online] {
            let shown = listed(state, 9);
            let seen = watched(Some(shown.clone()));
            assert_eq!(decided(&seen, None), start(shown.clone()));
            assert_eq!(decided(&away(seen.clone()), None), start(shown.clone()));
            assert_eq!(decided(&seen, Some(&FlowerTarget::of(&superlink()))), start(shown.clone()));
            assert_eq!(decided(&seen, Some(&FlowerTarget::of(&shown))), FlowerDecision::Keep);
        }
    }

    #[test]
    fn a_key_that_is_spent_is_replaced_and_one_of_before_is_not_meant() {
        let spent = listed(AdmissionState::Spent, 0);
        assert_eq!(decided(&watched(Some(spent.clone())), None), FlowerDecision::NewKey);
        let running = FlowerTarget::of(&spent);
        assert_eq!(decided(&watched(Some(spent.clone())), Some(&running)), FlowerDecision::NewKey);
        let node = spent.node.map(|node| AdmittedNode { key: [8; 16], ..node });
        let before = watched(Some(RegisteredSuperLink { node, ..spent }));
        assert!(matches!(decided(&before, None), FlowerDecision::Check(_)));
    }

    #[test]
    fn flower_is_started_for_a_superlink_that_is_ready_and_for_no_other() {
        let start = FlowerDecision::Start(Box::new(superlink()));
        assert_eq!(decided(&watched(Some(superlink())), None), start);
        for readiness in [Readiness::Starting, Readiness::Stopped, Readiness::Lost] {
            let not_ready = with(|superlink| superlink.readiness = readiness);
            let FlowerDecision::Wait(reason) = decided(&not_ready, None) else { panic!() };
            assert_eq!(reason.code(), "F511");
        }
        let FlowerDecision::Wait(reason) = decided(&watched(None), None) else { panic!() };
        assert_eq!(reason.code(), "F510");
    }

    #[test]
    fn a_zone_that_is_out_is_told_so_and_flower_that_runs_goes_on() {
        let told = ToldRevocation {
            by: "authority:dRvv".to_owned(),
            at: UnixMillis(1_800_000_000_000),
            reason: "stolen".to_owned(),
        };
        let reason = Reason::ZoneRevoked(told);
        for reason in [reason, Reason::ZoneLeft { at: UnixMillis(1) }] {
            for shown in [None, Some(superlink())] {
                let out = WatchedFederation { out: Some(reason.clone()), ..watched(shown) };
                assert_eq!(decided(&out, None), FlowerDecision::Wait(reason.clone()));
                let running = FlowerTarget::of(&superlink());
                assert_eq!(decided(&out, Some(&running)), FlowerDecision::Keep);
                assert_eq!(out.trouble(), Some(reason.clone()));
                assert_eq!(decided(&away(out), None), FlowerDecision::Wait(lost()));
            }
        }
    }

    #[test]
    fn before_the_first_answer_nothing_is_said() {
        assert_eq!(decided(&WatchedFederation::default(), None), FlowerDecision::Keep);
        let first_try_failed = away(WatchedFederation::default());
        assert_eq!(decided(&first_try_failed, None), FlowerDecision::Wait(lost()));
    }

    #[test]
    fn nothing_but_another_target_touches_a_flower_that_runs() {
        let running = FlowerTarget::of(&superlink());
        let harmless = [
            with(|_| {}),
            watched(None),
            with(|superlink| superlink.readiness = Readiness::Starting),
            with(|superlink| superlink.readiness = Readiness::Stopped),
            with(|superlink| superlink.readiness = Readiness::Lost),
            with(|superlink| superlink.readiness = Readiness::Other(9)),
            with(|superlink| superlink.cas.reverse()),
            with(|superlink| superlink.cas[1].state = CaState::Next),
            with(|superlink| superlink.zone_reachable = false),
            with(|superlink| superlink.clock_offset_ms = Some(90_000)),
            with(|superlink| superlink.control_port = 19093),
            away(with(|_| {})),
        ];
        for watched in harmless {
            assert_eq!(decided(&watched, Some(&running)), FlowerDecision::Keep, "{watched:?}");
        }
    }

    #[test]
    fn another_address_port_or_ca_restarts_it_once_that_superlink_is_ready() {
        let running = FlowerTarget::of(&superlink());
        let changes: [fn(&mut RegisteredSuperLink); 3] = [
            |superlink| superlink.addresses = vec![[10, 10, 10, 6].into()],
            |superlink| superlink.fleet_port = 19092,
            |superlink| superlink.cas.push(ca("NEXT", CaState::Next)),
        ];
        for change in changes {
            let mut changed = superlink();
            change(&mut changed);
            let starting =
                RegisteredSuperLink { readiness: Readiness::Starting, ..changed.clone() };
            let kept = decided(&watched(Some(starting)), Some(&running));
            assert_eq!(kept, FlowerDecision::Keep);
            let start = FlowerDecision::Start(Box::new(changed.clone()));
            assert_eq!(decided(&watched(Some(changed)), Some(&running)), start);
        }
    }

    #[test]
    fn with_the_gateway_away_the_last_answer_is_good_enough() {
        let start = FlowerDecision::Start(Box::new(superlink()));
        assert_eq!(decided(&away(with(|_| {})), None), start);
        let starting = away(with(|superlink| superlink.readiness = Readiness::Starting));
        assert_eq!(decided(&starting, None), FlowerDecision::Wait(lost()));
    }
}
