//! The links to one peer: one for each pair of an own key and a key of the peer's.
//!
//! There is one, except while one of the two gateways changes its key. Each link is a whole WireGuard
//! peer with its own sessions, timers and memory of handshakes, so that nothing of one key leaks into
//! another. All have the same allowed IPs: packets are taken from any, and leave by the one whose
//! handshake was completed last. Handshakes are begun on the newest pair that the peer is known to
//! take, and on every one while no session is up; else the other links rest, they answer and never
//! ask. docs/design/key-rotation.md.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use zonemesh_core::key::WireGuardPublicKey;

use super::{Identities, RemoteLink};
use crate::config::Peer;
use crate::offload::Pause;
use crate::status::PeerStatus;

/// No link has this index: they have 24 bits.
const NONE: u32 = u32::MAX;

/// Index of the link that packets leave by.
pub(super) struct Carrier(AtomicU32);

impl Carrier {
    pub(super) fn nobody() -> Self {
        Self(AtomicU32::new(NONE))
    }
}

/// What all links of one lane to a peer share.
pub(crate) struct LaneState {
    pub(crate) rx_bytes: AtomicU64,
    pub(crate) tx_bytes: AtomicU64,
    /// Sends of many datagrams at once, which the path to this peer may not take.
    pub(crate) segmentation: Pause,
    /// The largest packet that passes to this peer, if less than the tunnel's MTU does.
    pub(super) largest: AtomicUsize,
    carrier: Carrier,
    /// Packets may leave by this lane: it has a session and gets answers.
    pub(super) usable: AtomicBool,
    /// There are packets for this lane, which has no session.
    pub(super) asked: AtomicBool,
    /// It was said that nobody answers on this lane.
    pub(super) reported: AtomicBool,
}

impl LaneState {
    pub(crate) fn new() -> Self {
        Self {
            rx_bytes: AtomicU64::new(0),
            tx_bytes: AtomicU64::new(0),
            segmentation: Pause::new(Instant::now()),
            largest: AtomicUsize::new(usize::MAX),
            carrier: Carrier::nobody(),
            usable: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            reported: AtomicBool::new(false),
        }
    }

    /// Bounds packets to this peer beyond the tunnel's MTU; `None` takes the bound away.
    pub(crate) fn set_mtu(&self, largest: Option<u16>) {
        self.largest.store(largest.map_or(usize::MAX, usize::from), Ordering::Relaxed);
    }
}

/// The links to one peer, at least one.
pub(crate) struct RemoteLane {
    /// The key by which the peer is named.
    pub(crate) key: WireGuardPublicKey,
    config: Peer,
    all: Vec<Arc<RemoteLink>>,
    shared: Arc<LaneState>,
}

impl RemoteLane {
    /// `all` share `shared` and stand in the order of their keys, own and then the peer's, next ones
    /// last.
    pub(crate) fn new(config: Peer, all: Vec<Arc<RemoteLink>>, shared: Arc<LaneState>) -> Self {
        assert!(!all.is_empty(), "each peer has a key");
        Self { key: config.public_key, config, all, shared }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<RemoteLink>> {
        self.all.iter()
    }

    pub(crate) fn shared(&self) -> &Arc<LaneState> {
        &self.shared
    }

    /// The link of a pair of keys.
    pub(crate) fn of(
        &self,
        own: &WireGuardPublicKey,
        peers: &WireGuardPublicKey,
    ) -> Option<&Arc<RemoteLink>> {
        self.all.iter().find(|link| link.own == *own && link.key == *peers)
    }

    /// True if `link` is one to this peer.
    pub(crate) fn has(&self, link: &RemoteLink) -> bool {
        Arc::ptr_eq(&self.shared, &link.shared)
    }

    /// The link that packets leave by.
    pub(crate) fn carrier(&self) -> &Arc<RemoteLink> {
        match &self.all[..] {
            [only] => only,
            all => {
                let index = self.shared.carrier.0.load(Ordering::Relaxed);
                all.iter().find(|link| link.index == index).unwrap_or(&all[0])
            }
        }
    }

    /// The newest pair that the peer is known to take: its own newest key, as it has announced that,
    /// and ours as soon as it has used it.
    fn sought(&self, identities: &Identities) -> &Arc<RemoteLink> {
        let newest = identities.newest().key;
        let own = if self.has_used(&newest) { newest } else { identities.current.key };
        let newest_of_peer = self.all.iter().rev().find(|link| link.own == own);
        newest_of_peer.unwrap_or(&self.all[0])
    }

    /// True once a handshake with this own key was completed.
    fn has_used(&self, own: &WireGuardPublicKey) -> bool {
        let links = self.all.iter().filter(|link| link.own == *own);
        links.into_iter().any(|link| link.lock().latest_handshake().is_some())
    }

    /// Gives each link its role. Call after a change of keys, and at each tick while there are
    /// several.
    pub(crate) fn settle(&self, identities: &Identities) {
        let sought = self.sought(identities);
        let carrier = self.carrier_with_session(sought);
        let (path, is_up) = {
            let core = carrier.lock();
            (core.path(), core.session_is_up())
        };
        for link in &self.all {
            // With no session at all, what was known may be wrong: a gateway set up from a backup
            // has lost its next key.
            let serves = !is_up || Arc::ptr_eq(link, sought) || Arc::ptr_eq(link, carrier);
            let mut core = link.lock();
            core.rest(!serves, self.config.keepalive);
            if !Arc::ptr_eq(link, carrier) && !core.session_is_up() {
                core.follow_path(path);
            }
        }
        // Whatever made packets leave by another link, a lost answer or a race after a restart: only
        // a handshake on the newest pair proves that the peer still has it.
        if is_up && !Arc::ptr_eq(sought, carrier) {
            let mut core = sought.lock();
            if core.path().is_some() {
                core.seek();
            }
        }
    }

    /// True if roles change by themselves.
    pub(crate) fn has_several_links(&self) -> bool {
        self.all.len() > 1
    }

    /// The carrier if it has a session, else whichever has one, else the one that is sought.
    fn carrier_with_session<'a>(&'a self, sought: &'a Arc<RemoteLink>) -> &'a Arc<RemoteLink> {
        let present = self.carrier();
        if present.lock().session_is_up() {
            return present;
        }
        let is_up = |link: &&Arc<RemoteLink>| link.lock().session_is_up();
        let carrier = self.all.iter().rev().find(is_up).unwrap_or(sought);
        self.shared.carrier.0.store(carrier.index, Ordering::Relaxed);
        carrier
    }

    /// Its status; `identities` says which own keys there are.
    pub(crate) fn status(&self, identities: &Identities, now: Instant) -> PeerStatus {
        let current = identities.current.key;
        let on_current = self.all.iter().filter(|link| link.own == current);
        PeerStatus {
            public_key: self.key,
            latest_handshake: self
                .all
                .iter()
                .filter_map(|link| link.lock().latest_handshake())
                .max(),
            knows_next_key: identities.next.as_ref().is_some_and(|next| self.has_used(&next.key)),
            uses_current_key: on_current
                .into_iter()
                .any(|link| link.lock().has_living_session(now)),
            ..self.carrier().status()
        }
    }
}

impl RemoteLink {
    /// A handshake on this link is complete: packets leave by it from now on.
    pub(crate) fn carry(&self) {
        self.shared.carrier.0.store(self.index, Ordering::Relaxed);
        self.shared.usable.store(true, Ordering::Relaxed);
    }
}
