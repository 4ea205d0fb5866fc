//! The companions in this zone's VMs: who has a session here, and what each has reported last.
//!
//! Promises bounds: so many companions of one VM, and of all; who has gone makes room for who comes,
//! first its own VM's. A companion that comes back within [`MISSED_AFTER`] was never away; one that
//! has told how often it reports and is silent for so long is away whatever its session looks like.
//! Refuses to know who may have a session, and what follows from a report.

mod said;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use zonemesh_core::companion::{CompanionId, CompanionReport};
use zonemesh_core::name::FederationName;
use zonemesh_core::record::{NodeKeyDigest, ZoneSuperNode, node_key_digest};
use zonemesh_core::time::UnixMillis;
use zonemesh_core::token::VmRole;

/// Most companions of one VM.
const OF_ONE_VM: usize = 16;
/// Most companions of all.
const OF_ALL: usize = 4096;
/// How long a companion may be without a session before it is missed: it dials again for ever, and
/// this gateway may have been restarted.
pub(crate) const MISSED_AFTER: Duration = Duration::from_secs(30);
/// How long one that has gone is remembered.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

type Known = BTreeMap<CompanionId, KnownCompanion>;

/// All companions that are known.
pub(crate) struct CompanionBoard {
    known: Mutex<Known>,
    /// Since when companions can call; not yet if it is empty.
    begun: OnceLock<Instant>,
    /// The SuperNodes that this zone said before it was restarted.
    said_before: Vec<ZoneSuperNode>,
}

/// One companion.
#[derive(Debug, Clone)]
pub(crate) struct KnownCompanion {
    /// Its version.
    pub(crate) release: String,
    /// When it came, or went.
    pub(crate) since: UnixMillis,
    /// What it has reported last.
    pub(crate) report: Option<CompanionReport>,
    /// When.
    pub(crate) reported_at: UnixMillis,
    /// Sessions that are open: a second one while the first is not known to be dead.
    sessions: usize,
    gone_at: Instant,
    /// When it has said something last.
    heard_at: Instant,
}

impl KnownCompanion {
    /// True while it has a session.
    pub(crate) fn is_connected(&self) -> bool {
        self.sessions > 0
    }

    /// True while it has a session in which it says what it has told to say.
    pub(crate) fn is_heard(&self, now: Instant) -> bool {
        self.is_connected() && !self.is_silent(now)
    }

    /// True if it may be believed to run: it has a session, or had one a moment ago.
    fn is_there(&self, now: Instant) -> bool {
        let goodbye = self.report.as_ref().is_some_and(|report| report.state.is_goodbye());
        self.is_heard(now) || !goodbye && !self.is_missed(now)
    }

    /// True if it was not there for as long as it takes to come back.
    fn is_missed(&self, now: Instant) -> bool {
        self.is_silent(now) || self.is_gone_for(MISSED_AFTER, now)
    }

    /// True if it has told that it goes on to report, and does not: its VM may have lost its power,
    /// which its session does not know yet.
    fn is_silent(&self, now: Instant) -> bool {
        let again_after = self.report.as_ref().and_then(|report| report.again_after);
        again_after.is_some_and(|again_after| {
            let patience = MISSED_AFTER.max(again_after.saturating_mul(3));
            now.saturating_duration_since(self.heard_at) >= patience
        })
    }

    fn is_gone_for(&self, time: Duration, now: Instant) -> bool {
        !self.is_connected() && now.saturating_duration_since(self.gone_at) >= time
    }
}

impl CompanionBoard {
    pub(crate) fn new(said_before: Vec<ZoneSuperNode>) -> Self {
        Self { known: Mutex::default(), begun: OnceLock::new(), said_before }
    }

    /// Companions can call from now on: who does not is missed after a while.
    pub(crate) fn begin(&self, now: Instant) {
        self.begun.get_or_init(|| now);
    }

    /// How long they could call.
    fn since_begun(&self, now: Instant) -> Duration {
        self.begun.get().map_or(Duration::ZERO, |begun| now.saturating_duration_since(*begun))
    }

    /// `id` has a session, for as long as what is returned lives.
    pub(crate) fn enter(self: &Arc<Self>, id: CompanionId, release: String) -> PresentCompanion {
        let mut known = self.lock();
        make_room(&mut known, &id);
        let companion = known.entry(id.clone()).or_insert_with(|| KnownCompanion {
            release: String::new(),
            since: UnixMillis(0),
            report: None,
            reported_at: UnixMillis(0),
            sessions: 0,
            gone_at: Instant::now(),
            heard_at: Instant::now(),
        });
        if companion.sessions == 0 {
            companion.since = SystemTime::now().into();
        }
        companion.sessions += 1;
        companion.heard_at = Instant::now();
        companion.release = release;
        drop(known);
        PresentCompanion { board: self.clone(), id }
    }

    /// Shows all of them to `look`, who has a session first.
    pub(crate) fn each(&self, mut look: impl FnMut(&CompanionId, &KnownCompanion)) {
        let known = self.lock();
        let of = |connected| known.iter().filter(move |(_, one)| one.is_connected() == connected);
        for (id, companion) in of(true).chain(of(false)) {
            look(id, companion);
        }
    }

    /// True if nobody is heard of the SuperLink of `federation` at one of `addresses`, and nobody was
    /// for as long as it takes to come back.
    pub(crate) fn misses(
        &self,
        federation: &FederationName,
        addresses: &[IpAddr],
        now: Instant,
    ) -> bool {
        let known = self.lock();
        let is_its = |id: &CompanionId| {
            id.role == VmRole::SuperLink
                && id.federation == *federation
                && addresses.contains(&id.vm)
        };
        let mut its = known.iter().filter(|(id, _)| is_its(id));
        let has_had_time = self.since_begun(now) >= MISSED_AFTER;
        has_had_time && its.all(|(_, one)| one.is_missed(now))
    }

    /// What stands for the key that the SuperNode of this VM has reported, if it has.
    pub(crate) fn node_key(&self, id: &CompanionId) -> Option<NodeKeyDigest> {
        let known = self.lock();
        let report = known.get(id)?.report.as_ref()?;
        (!report.public_key.is_empty()).then(|| node_key_digest(&report.public_key))
    }

    /// The SuperNodes whose keys are known, as the zone says them.
    pub(crate) fn supernodes(&self, now: Instant) -> Vec<ZoneSuperNode> {
        let mut known = self.lock();
        known.retain(|_, companion| !companion.is_gone_for(REMEMBERED, now));
        let since_begun = self.since_begun(now);
        let before = self.said_before.iter().filter(|_| since_begun < REMEMBERED);
        let before = before.map(|node| ZoneSuperNode {
            is_online: node.is_online && since_begun < MISSED_AFTER,
            is_connecting: false,
            ..node.clone()
        });
        said::choose(&known, before, now)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room for `id`, if it is not known yet: slots have seen to it that there is somebody who has gone.
fn make_room(known: &mut Known, id: &CompanionId) {
    if known.contains_key(id) {
        return;
    }
    let own = known.keys().filter(|other| other.vm == id.vm).count() >= OF_ONE_VM;
    if !own && known.len() < OF_ALL {
        return;
    }
    let gone = known.iter().filter(|(_, one)| !one.is_connected());
    let gone = gone.filter(|(other, _)| !own || other.vm == id.vm);
    let first = gone.min_by_key(|(_, one)| one.gone_at).map(|(id, _)| id.clone());
    if let Some(first) = first {
        known.remove(&first);
    }
}

/// A companion that has a session.
pub(crate) struct PresentCompanion {
    board: Arc<CompanionBoard>,
    id: CompanionId,
}

impl PresentCompanion {
    /// It has reported this; what it said before is forgotten.
    pub(crate) fn reports(&self, report: CompanionReport) {
        if let Some(companion) = self.board.lock().get_mut(&self.id) {
            companion.report = Some(report);
            (companion.reported_at, companion.heard_at) =
                (SystemTime::now().into(), Instant::now());
        }
    }
}

impl Drop for PresentCompanion {
    fn drop(&mut self) {
        if let Some(companion) = self.board.lock().get_mut(&self.id) {
            companion.sessions = companion.sessions.saturating_sub(1);
            if companion.sessions == 0 {
                (companion.since, companion.gone_at) = (SystemTime::now().into(), Instant::now());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use zonemesh_core::companion::{ReportedState, SuperNodeState};
    use zonemesh_core::record::{CaState, HeldCa, MAX_SUPERNODES, Readiness};

    use super::*;

    fn board() -> Arc<CompanionBoard> {
        let board = Arc::new(CompanionBoard::new(Vec::new()));
        board.begin(Instant::now());
        board
    }

    fn id(vm: u8, role: VmRole, federation: &str) -> CompanionId {
        CompanionId { vm: [10, 10, 10, vm].into(), role, federation: federation.parse().unwrap() }
    }

    fn node(vm: u8, federation: &str) -> CompanionId {
        id(vm, VmRole::SuperNode, federation)
    }

    fn report(state: SuperNodeState, key: u8) -> CompanionReport {
        let state = ReportedState::SuperNode(state);
        CompanionReport { public_key: vec![key; 91], ..CompanionReport::of(state) }
    }

    fn enter(board: &Arc<CompanionBoard>, id: CompanionId) -> PresentCompanion {
        board.enter(id, "0.2.0".to_owned())
    }

    fn count(board: &CompanionBoard) -> usize {
        let mut count = 0;
        board.each(|_, _| count += 1);
        count
    }

    #[test]
    fn a_superlink_is_missed_30_s_after_its_last_session_and_never_while_it_has_one() {
        let (board, start) = (board(), Instant::now());
        let vm = id(5, VmRole::SuperLink, "health-eu");
        let (federation, addresses) = (vm.federation.clone(), [vm.vm]);
        let misses =
            |after| board.misses(&federation, &addresses, start + Duration::from_secs(after));
        assert!(!misses(29), "the gateway has just begun");
        assert!(misses(31), "it has never come");
        let first = enter(&board, vm.clone());
        let second = enter(&board, vm);
        drop(first);
        assert!(!misses(1000), "one session is enough");
        drop(second);
        assert!(!misses(29) && misses(31));
        let other = enter(&board, id(6, VmRole::SuperLink, "health-eu"));
        assert!(misses(31), "another VM is another SuperLink");
        drop(other);
    }

    #[test]
    fn who_has_told_to_report_again_and_is_silent_is_missed_though_its_session_stands() {
        let (board, vm) = (board(), id(5, VmRole::SuperLink, "health-eu"));
        let (federation, addresses) = (vm.federation.clone(), [vm.vm]);
        let present = enter(&board, vm);
        let misses = |after| {
            board.misses(&federation, &addresses, Instant::now() + Duration::from_secs(after))
        };
        let ready = CompanionReport::of(ReportedState::SuperLink(Readiness::Ready));
        present.reports(ready.clone());
        assert!(!misses(1000), "one of an earlier release tells nothing");
        let again = |seconds| CompanionReport {
            again_after: Some(Duration::from_secs(seconds)),
            ..ready.clone()
        };
        present.reports(again(10));
        assert!(!misses(29) && misses(31));
        present.reports(again(60));
        assert!(!misses(179) && misses(181), "it is waited for as it has told");
        let shown = |after| {
            let mut heard = Vec::new();
            let now = Instant::now() + Duration::from_secs(after);
            board.each(|_, one| heard.push(one.is_heard(now)));
            heard
        };
        assert_eq!((shown(1), shown(200)), (vec![true], vec![false]));
    }

    #[test]
    fn a_supernode_is_said_with_its_key_until_it_says_goodbye_or_is_missed() {
        let (board, start) = (board(), Instant::now());
        let online = |after| {
            let said = board.supernodes(start + Duration::from_secs(after));
            said.first().map(|node| node.is_online)
        };
        let present = enter(&board, node(7, "health-eu"));
        present.reports(report(SuperNodeState::Running, 1));
        assert_eq!(online(1000), Some(true));
        drop(present);
        assert_eq!((online(29), online(31)), (Some(true), Some(false)));
        assert_eq!(online(25 * 3600), None, "after a day it is forgotten");
        let present = enter(&board, node(7, "health-eu"));
        present.reports(report(SuperNodeState::Stopped, 1));
        drop(present);
        assert_eq!(online(1), Some(false));
    }

    #[test]
    fn a_supernode_without_a_key_is_not_said_and_the_newest_ca_is_the_next_one() {
        let board = board();
        let present = enter(&board, node(7, "health-eu"));
        present.reports(report(SuperNodeState::Running, 1));
        let ca = |byte, state| HeldCa { certificate: [byte; 32], state };
        let cas = vec![ca(1, CaState::Retiring), ca(3, CaState::Next), ca(2, CaState::Active)];
        present.reports(CompanionReport { cas, ..report(SuperNodeState::Running, 1) });
        assert_eq!(board.supernodes(Instant::now())[0].ca, Some([3; 32]));
        let state = ReportedState::SuperNode(SuperNodeState::Running);
        present.reports(CompanionReport::of(state));
        assert!(board.supernodes(Instant::now()).is_empty());
    }

    #[test]
    fn a_vm_has_no_second_place_before_each_has_its_first() {
        let board = board();
        let mut present = Vec::new();
        let mut takes = |vm, federation: &str, key| {
            let one = enter(&board, node(vm, federation));
            one.reports(report(SuperNodeState::Running, key));
            present.push(one);
        };
        for vm in 1..=4 {
            for n in 0..16 {
                takes(vm, &format!("made-up-{n}"), vm);
            }
        }
        assert_eq!(board.supernodes(Instant::now()).len(), MAX_SUPERNODES);
        takes(200, "health-eu", 200);
        let said = board.supernodes(Instant::now());
        assert_eq!(said.len(), MAX_SUPERNODES);
        assert!(said.iter().any(|node| node.public_key == [200; 91]));
    }

    #[test]
    fn a_new_key_of_a_supernode_takes_the_place_of_the_old_one() {
        let board = board();
        let present = enter(&board, node(7, "health-eu"));
        for key in 1..=200 {
            present.reports(report(SuperNodeState::Running, key));
        }
        let said = board.supernodes(Instant::now());
        assert_eq!((said.len(), said[0].public_key[0]), (1, 200));
    }

    #[test]
    fn who_was_said_before_a_restart_stays_and_is_not_online_until_it_is_back() {
        let start = Instant::now();
        let before = ZoneSuperNode {
            federation: "health-eu".parse().unwrap(),
            public_key: vec![1; 91],
            ca: None,
            is_online: true,
            is_connecting: false,
        };
        let board = Arc::new(CompanionBoard::new(vec![before.clone()]));
        assert_eq!(board.supernodes(start + 2 * REMEMBERED), vec![before.clone()]);
        board.begin(start);
        let said = |after| board.supernodes(start + Duration::from_secs(after));
        assert_eq!(said(29), vec![before.clone()]);
        assert_eq!(said(31), [ZoneSuperNode { is_online: false, ..before.clone() }]);
        let present = enter(&board, node(7, "health-eu"));
        present.reports(report(SuperNodeState::Running, 1));
        assert_eq!(said(31), [before]);
    }

    #[test]
    fn companions_of_one_vm_are_few_and_who_has_gone_makes_room() {
        let board = board();
        for n in 0..1000 {
            drop(enter(&board, node(7, &format!("made-up-{n}"))));
        }
        assert_eq!(count(&board), OF_ONE_VM);
        let stays = enter(&board, id(5, VmRole::SuperLink, "health-eu"));
        stays.reports(CompanionReport::of(ReportedState::SuperLink(Readiness::Ready)));
        assert_eq!(count(&board), OF_ONE_VM + 1);
    }
}
