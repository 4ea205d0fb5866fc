//! A lane to a gateway: one pair of ports, and a link for each pair of an own key and one of the
//! gateway's.
//!
//! There is one link, except while one of the two gateways changes its key. All have the same allowed
//! IPs: packets are taken from any, and leave by the one whose handshake was completed last.
//! Handshakes are begun on the newest pair that the gateway is known to take, and on every one while
//! no session is up; else the other links rest, they answer and never ask.
//! docs/design/key-rotation.md.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use zonemesh_core::key::{PresharedKey, WireGuardPublicKey};

use super::link::LinkStatus;
use super::{LinkSettings, OwnIdentities, RemoteLink};
use crate::config::{PeerLane, TunnelPeer, shifted};
use crate::offload::OffloadPause;
use crate::status::LaneStatus;

/// No link has this index: they have 24 bits.
const NOBODY: u32 = u32::MAX;
/// Handshakes without an answer after which packets do not wait for a lane any longer.
const PATIENCE: u64 = 3;

/// What one lane is told of a gateway.
pub(crate) struct LaneSettings {
    public_key: WireGuardPublicKey,
    next_key: Option<WireGuardPublicKey>,
    preshared_key: Option<PresharedKey>,
    endpoint: Option<SocketAddr>,
    keepalive: Option<Duration>,
}

impl LaneSettings {
    /// Those of the lane of this number; `None` if the gateway has no such lane.
    pub(crate) fn of(peer: &TunnelPeer, number: usize) -> Option<Self> {
        let first =
            PeerLane { public_key: peer.public_key, next_key: peer.next_key, port_offset: 0 };
        let lane = match number.checked_sub(1) {
            None => first,
            Some(further) => *peer.lanes.get(further)?,
        };
        Some(Self {
            public_key: lane.public_key,
            next_key: lane.next_key,
            preshared_key: peer.preshared_key.clone(),
            endpoint: peer.endpoint.and_then(|first| shifted(first, lane.port_offset)),
            keepalive: peer.keepalive,
        })
    }

    /// The gateway's keys on this lane, the next one last.
    pub(crate) fn keys(&self) -> impl Iterator<Item = WireGuardPublicKey> + use<> {
        let next = self.next_key.filter(|next| *next != self.public_key);
        std::iter::once(self.public_key).chain(next)
    }

    /// What the link to this key of the gateway is told.
    pub(crate) fn of_link(&self, public_key: WireGuardPublicKey) -> LinkSettings {
        LinkSettings {
            public_key,
            preshared_key: self.preshared_key.clone(),
            endpoint: self.endpoint,
            keepalive: self.keepalive,
        }
    }
}

/// What all links of one lane share, over changes of their settings.
pub(crate) struct LaneState {
    /// 0 for the first: whose socket its links use.
    pub(crate) number: usize,
    pub(crate) rx_bytes: AtomicU64,
    pub(crate) tx_bytes: AtomicU64,
    /// The errno that the last send was refused with; 0 if it was not.
    refused: AtomicI32,
    /// Sends of many datagrams at once, which the path to this gateway may not take.
    pub(crate) segmentation: OffloadPause,
    /// The largest packet that passes, if less than the tunnel's MTU does.
    largest: AtomicUsize,
    /// Index of the link that packets leave by.
    sender: AtomicU32,
    /// Packets may leave by this lane: it has a session and gets answers.
    usable: AtomicBool,
    /// There are packets for this lane, which has no session.
    asked: AtomicBool,
    /// It was said that nobody answers on this lane.
    reported: AtomicBool,
}

impl LaneState {
    pub(crate) fn new(number: usize) -> Self {
        Self {
            number,
            rx_bytes: AtomicU64::new(0),
            tx_bytes: AtomicU64::new(0),
            refused: AtomicI32::new(0),
            segmentation: OffloadPause::new(Instant::now()),
            largest: AtomicUsize::new(usize::MAX),
            sender: AtomicU32::new(NOBODY),
            usable: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            reported: AtomicBool::new(false),
        }
    }

    /// The kernel takes datagrams for this lane, or has refused one with this errno.
    pub(super) fn note_refused(&self, errno: Option<i32>) {
        let errno = errno.unwrap_or(0);
        // Most sends are taken, as those before were: nothing is written then.
        if self.refused.load(Ordering::Relaxed) != errno {
            self.refused.store(errno, Ordering::Relaxed);
        }
    }

    /// True if the kernel has refused the last datagram for this lane.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed) != 0
    }

    /// Bounds packets beyond the tunnel's MTU; `None` takes the bound away.
    pub(crate) fn set_mtu(&self, largest: Option<u16>) {
        self.largest.store(largest.map_or(usize::MAX, usize::from), Ordering::Relaxed);
    }

    /// What bounds padding and TCP segments in a tunnel of this MTU.
    pub(super) fn mtu(&self, of_tunnel: usize) -> usize {
        of_tunnel.min(self.largest.load(Ordering::Relaxed))
    }

    pub(super) fn is_usable(&self) -> bool {
        self.usable.load(Ordering::Relaxed)
    }

    /// There are packets for it: a session is sought at the next look.
    pub(super) fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }
}

/// The links of one lane, at least one.
pub(crate) struct RemoteLane {
    keepalive: Option<Duration>,
    links: Vec<Arc<RemoteLink>>,
    state: Arc<LaneState>,
}

impl RemoteLane {
    /// `links` share `state` and stand in the order of their keys, own and then the gateway's, next
    /// ones last.
    pub(crate) fn new(
        settings: &LaneSettings,
        links: Vec<Arc<RemoteLink>>,
        state: Arc<LaneState>,
    ) -> Self {
        assert!(!links.is_empty(), "each gateway has a key");
        Self { keepalive: settings.keepalive, links, state }
    }

    pub(crate) fn links(&self) -> impl Iterator<Item = &Arc<RemoteLink>> {
        self.links.iter()
    }

    pub(crate) fn state(&self) -> &Arc<LaneState> {
        &self.state
    }

    /// The link of a pair of keys.
    pub(crate) fn link_of(
        &self,
        own: &WireGuardPublicKey,
        remote: &WireGuardPublicKey,
    ) -> Option<&Arc<RemoteLink>> {
        self.links.iter().find(|link| link.own == *own && link.key == *remote)
    }

    /// The link that packets leave by.
    pub(crate) fn sender(&self) -> &Arc<RemoteLink> {
        match &self.links[..] {
            [only] => only,
            all => {
                let index = self.state.sender.load(Ordering::Relaxed);
                all.iter().find(|link| link.index == index).unwrap_or(&all[0])
            }
        }
    }

    /// The newest pair that the gateway is known to take: its own newest key, as it has announced
    /// that, and ours as soon as it has used it.
    fn sought(&self, identities: &OwnIdentities) -> &Arc<RemoteLink> {
        let newest = identities.newest().key;
        let own = if self.has_used(&newest) { newest } else { identities.current.key };
        let newest_of_remote = self.links.iter().rev().find(|link| link.own == own);
        newest_of_remote.unwrap_or(&self.links[0])
    }

    /// True once a handshake with this own key was completed.
    fn has_used(&self, own: &WireGuardPublicKey) -> bool {
        let mut links = self.links.iter().filter(|link| link.own == *own);
        links.any(|link| link.lock().latest_handshake().is_some())
    }

    /// Gives each link its role. Call after a change of keys, and at each tick while there are
    /// several.
    pub(crate) fn settle(&self, identities: &OwnIdentities) {
        let sought = self.sought(identities);
        let sender = self.sender_with_session(sought);
        let (path, is_up) = {
            let state = sender.lock();
            (state.path(), state.session_is_up())
        };
        for link in &self.links {
            // With no session at all, what was known may be wrong: a gateway set up from a backup
            // has lost its next key.
            let serves = !is_up || Arc::ptr_eq(link, sought) || Arc::ptr_eq(link, sender);
            let mut state = link.lock();
            state.rest(!serves, self.keepalive);
            if !Arc::ptr_eq(link, sender) && !state.session_is_up() {
                state.follow_path(path);
            }
        }
        // Whatever made packets leave by another link, a lost answer or a race after a restart: only
        // a handshake on the newest pair proves that the gateway still has it.
        if is_up && !Arc::ptr_eq(sought, sender) {
            let mut state = sought.lock();
            if state.path().is_some() {
                state.seek();
            }
        }
    }

    /// True if roles change by themselves.
    pub(crate) fn has_several_links(&self) -> bool {
        self.links.len() > 1
    }

    /// The sender if it has a session, else whichever has one, else the one that is sought.
    fn sender_with_session<'a>(&'a self, sought: &'a Arc<RemoteLink>) -> &'a Arc<RemoteLink> {
        let present = self.sender();
        if present.lock().session_is_up() {
            return present;
        }
        let is_up = |link: &&Arc<RemoteLink>| link.lock().session_is_up();
        let sender = self.links.iter().rev().find(is_up).unwrap_or(sought);
        self.state.sender.store(sender.index, Ordering::Relaxed);
        sender
    }

    /// Packets leave by this lane while it has a session and its handshakes are answered. A lane that
    /// packets wait for is sought.
    pub(super) fn look(&self, zone: &str) {
        let lane = self.state.number;
        let asked = self.state.asked.swap(false, Ordering::Relaxed);
        let mut state = self.sender().lock();
        let unanswered = state.unanswered();
        let is_up = state.session_is_up();
        if asked && !is_up {
            state.seek();
        }
        drop(state);
        self.state.usable.store(is_up && unanswered < PATIENCE, Ordering::Relaxed);
        let is_silent = unanswered >= 2 * PATIENCE;
        if is_silent && !self.state.reported.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                zone,
                lane,
                "nobody answers on this lane: is its UDP port open at both ends? the first lane carries its flows"
            );
        } else if is_up && self.state.reported.swap(false, Ordering::Relaxed) {
            tracing::info!(zone, lane, "this lane is answered again");
        }
    }

    /// `identities` says which own keys this lane has.
    pub(super) fn status(&self, identities: &OwnIdentities, now: Instant) -> LaneStatus {
        let links: Vec<_> = self.links.iter().map(|link| link.status(now)).collect();
        let sender = self.sender().index;
        let sender = links.iter().find(|link| link.index == sender);
        let has_used = |own: &WireGuardPublicKey| {
            links.iter().any(|link| link.own == *own && link.latest_handshake.is_some())
        };
        let is_in_use =
            |link: &LinkStatus| link.own == identities.current.key && link.session_lives;
        LaneStatus {
            endpoint: sender.and_then(|sender| sender.endpoint),
            latest_handshake: links.iter().filter_map(|link| link.latest_handshake).max(),
            rx_bytes: self.state.rx_bytes.load(Ordering::Relaxed),
            tx_bytes: self.state.tx_bytes.load(Ordering::Relaxed),
            send_refused: Some(self.state.refused.load(Ordering::Relaxed)).filter(|no| *no != 0),
            is_usable: self.state.number == 0 || self.state.is_usable(),
            handshake_attempts_unanswered: sender.map_or(0, |sender| sender.unanswered),
            handshakes_unused: links.iter().map(|link| link.unused).max().unwrap_or_default(),
            knows_next_key: identities.next.as_ref().is_some_and(|next| has_used(&next.key)),
            uses_current_key: links.iter().any(is_in_use),
            segmentation_refused: self.state.segmentation.refusals(),
            segmentation_paused: self.state.segmentation.is_on(now),
        }
    }
}

impl RemoteLink {
    /// A handshake on this link is complete: packets leave by it from now on.
    pub(crate) fn become_sender(&self) {
        self.lane.sender.store(self.index, Ordering::Relaxed);
        self.lane.usable.store(true, Ordering::Relaxed);
    }
}
