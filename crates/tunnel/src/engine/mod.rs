//! The engine: what its threads share, and how a run of datagrams is sent.
//!
//! Outward ([`outbound`]), inward ([`inbound`]), and the slow path ([`slow_path`]) with handshakes
//! and timers. No lock is held across a system call; no packet can end a thread. Refuses to know
//! what the edges are made of.

mod fresh;
mod gate;
pub(crate) mod inbound;
pub(crate) mod outbound;
mod probe;
mod returned;
mod run;
pub(crate) mod slow_path;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;

use zonemesh_core::key::{WireGuardPrivateKey, WireGuardPublicKey};

use crate::config::TunnelZone;
use crate::destinations::InnerDestinations;
use crate::dropped::{DropCounters, Dropped};
use crate::edge::{SocketFamily, Transmit, TunEdge, UdpEdge, UdpPath};
use crate::error::PeersError;
use crate::offload::OffloadPause;
use crate::peer::{ClockReading, OwnIdentities, OwnIdentity, RemoteGateway, RemoteLink};
use crate::status::TunnelEvent;
use crate::zones::RemoteZones;
use returned::ReturnTap;

pub use probe::ProbeError;
pub(crate) use returned::COOKIE_LENGTH;

/// Events that nobody has fetched yet; more are let go.
const EVENTS: usize = 256;

/// What one lane reads from and writes to: a queue of the TUN device and sockets.
#[derive(Clone)]
pub(crate) struct LaneEdges {
    pub(crate) tun: Arc<dyn TunEdge>,
    pub(crate) udp: Arc<dyn UdpEdge>,
}

/// What the threads of a tunnel share.
pub(crate) struct Engine {
    pub(crate) identities: ArcSwap<OwnIdentities>,
    pub(crate) zones: ArcSwap<RemoteZones>,
    pub(crate) dropped: DropCounters,
    pub(crate) destinations: ArcSwap<InnerDestinations>,
    /// The edges of each lane, at least of one.
    pub(crate) lanes: Vec<LaneEdges>,
    /// Writes of merged packets, which some kernels do not take.
    pub(crate) merging: OffloadPause,
    mtu: AtomicUsize,
    events: SyncSender<TunnelEvent>,
    /// Serialises changes of the zones; readers never take it.
    change: Mutex<()>,
    /// What of the daemon's own is kept from the tunnels, once it asks for that.
    tap: OnceLock<ReturnTap>,
}

impl Engine {
    /// There are edges for each lane of the identities.
    pub(crate) fn new(
        identities: Arc<OwnIdentities>,
        zones: Arc<RemoteZones>,
        destinations: Arc<InnerDestinations>,
        mtu: u16,
        lanes: Vec<LaneEdges>,
    ) -> (Self, Receiver<TunnelEvent>) {
        assert_eq!(identities.lanes(), lanes.len(), "each lane has a key and edges");
        let (events, receiver) = sync_channel(EVENTS);
        let engine = Self {
            identities: ArcSwap::new(identities),
            zones: ArcSwap::new(zones),
            dropped: DropCounters::new(),
            destinations: ArcSwap::new(destinations),
            lanes,
            merging: OffloadPause::new(Instant::now()),
            mtu: AtomicUsize::new(usize::from(mtu)),
            events,
            change: Mutex::new(()),
            tap: OnceLock::new(),
        };
        (engine, receiver)
    }

    /// The MTU of the tunnel, which bounds padding and TCP segments.
    pub(crate) fn mtu(&self) -> usize {
        self.mtu.load(Ordering::Relaxed)
    }

    /// The edges of the first lane, for what is the same on all.
    pub(crate) fn first(&self) -> &LaneEdges {
        &self.lanes[0]
    }

    /// The sockets of a link's lane.
    pub(crate) fn udp_of(&self, link: &RemoteLink) -> &dyn UdpEdge {
        &*self.lanes[link.lane.number].udp
    }

    /// Takes over the MTU that the device has now.
    pub(crate) fn follow_mtu(&self) {
        match self.first().tun.mtu() {
            Ok(mtu) if mtu != self.mtu() => {
                tracing::info!(mtu, "the MTU of the tunnel is now this");
                self.mtu.store(mtu, Ordering::Relaxed);
            }
            Ok(_same) => {}
            Err(error) => tracing::trace!(%error, "the MTU of the device cannot be read"),
        }
    }

    /// Puts exactly these zones into service.
    pub(crate) fn set_zones(&self, zones: Vec<TunnelZone>) -> Result<(), PeersError> {
        let _one_at_a_time = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.zones.load().replace(&self.identities.load(), zones)?;
        self.zones.store(Arc::new(next));
        Ok(())
    }

    /// Begins handshakes where the last [`Self::set_zones`] have changed endpoint or preshared key.
    pub(crate) fn call_those_set_anew(&self) {
        for link in self.zones.load().gateways().flat_map(RemoteGateway::links) {
            link.lock().call_if_set_anew();
        }
    }

    /// Sends to this gateway what is for its zone. False if there is no such gateway.
    pub(crate) fn set_active(&self, gateway: &WireGuardPublicKey) -> bool {
        // A table that is being made takes the choice over, or is there already.
        let _one_at_a_time = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        self.zones.load().set_active(gateway)
    }

    /// Answers to `next` too, and changes to it peer by peer.
    pub(crate) fn begin_rotation(&self, next: &WireGuardPrivateKey) -> Result<(), PeersError> {
        let current = Arc::clone(&self.identities.load().current);
        let lanes = self.lanes.len() as u8;
        let next = OwnIdentity::with_clock(next, lanes, &current.clock);
        let next = (next.key != current.key).then(|| Arc::new(next));
        self.set_identities(OwnIdentities { current, next })
    }

    /// Answers to the next key alone.
    pub(crate) fn finish_rotation(&self) -> Result<(), PeersError> {
        let current = Arc::clone(self.identities.load().newest());
        self.set_identities(OwnIdentities::one(current))
    }

    /// Answers to exactly these keys from now on. The zones stay as they are.
    fn set_identities(&self, identities: OwnIdentities) -> Result<(), PeersError> {
        let _one_at_a_time = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let zones = self.zones.load();
        let same = zones.iter().map(|zone| zone.settings()).collect();
        let next = zones.replace(&identities, same)?;
        // Whoever finds a key among the identities finds its links in the table.
        self.zones.store(Arc::new(next));
        self.identities.store(Arc::new(identities));
        Ok(())
    }

    /// Sends one message to a peer and counts its bytes.
    pub(crate) fn send(&self, link: &RemoteLink, path: Option<UdpPath>, bytes: &[u8]) {
        let Some(path) = path else {
            return self.dropped.count(Dropped::NoEndpoint);
        };
        let stride = bytes.len();
        let result = self.udp_of(link).send(Transmit { path, bytes, stride, ecn: 0 });
        self.account(link, bytes.len(), result);
    }

    /// Sends a message to a peer again by another way, if there is one. That it is refused there says
    /// nothing of the peer.
    fn send_beside(&self, link: &RemoteLink, path: UdpPath, bytes: &[u8]) {
        let udp = self.udp_of(link);
        if udp.fresh_port(SocketFamily::of(path.remote)).is_none() {
            return;
        }
        match udp.send(Transmit { path, bytes, stride: bytes.len(), ecn: 0 }) {
            Ok(()) => {
                link.lane.tx_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
            Err(error) => tracing::trace!(peer = ?link.key, %error, "send beside failed"),
        }
    }

    /// Sends a run of datagrams to a peer, in one piece where the path takes that, and counts
    /// their bytes.
    pub(crate) fn transmit(&self, link: &RemoteLink, transmit: Transmit<'_>, now: ClockReading) {
        let is_run = transmit.bytes.len() > transmit.stride;
        if !is_run {
            return self.account(link, transmit.bytes.len(), self.udp_of(link).send(transmit));
        }
        if self.udp_of(link).takes_runs() && !link.lane.segmentation.is_on(now.instant) {
            match self.udp_of(link).send(transmit) {
                Err(error) if is_about_segmentation(&error) => {
                    tracing::warn!(peer = ?link.key, %error, "slow sending for a minute: no batches on this path");
                    link.lane.segmentation.start(now.instant);
                }
                result => return self.account(link, transmit.bytes.len(), result),
            }
        }
        for bytes in transmit.bytes.chunks(transmit.stride) {
            self.account(link, bytes.len(), self.udp_of(link).send(Transmit { bytes, ..transmit }));
        }
    }

    fn account(&self, link: &RemoteLink, bytes: usize, result: io::Result<()>) {
        match result {
            Ok(()) => link.count_sent(bytes),
            Err(error) => {
                tracing::trace!(peer = ?link.key, %error, "send failed");
                link.note_refused(&error);
                self.dropped.count(Dropped::SendFailed);
            }
        }
    }

    /// A session on `link` is up: packets leave by it from now on, and the daemon is told.
    pub(crate) fn announce(&self, link: &RemoteLink) {
        link.become_sender();
        let lane = link.lane.number;
        tracing::debug!(peer = ?link.key, own = ?link.own, lane, "handshake completed");
        if lane != 0 {
            return;
        }
        let name = self.zones.load().by_key(&link.key).map_or(link.key, |known| known.key);
        if self.events.try_send(TunnelEvent::HandshakeCompleted(name)).is_err() {
            tracing::trace!("an event was let go: nobody fetches them");
        }
    }
}

/// True unless the refusal would be the same for a single datagram.
fn is_about_segmentation(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    matches!(code, Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE | libc::EOPNOTSUPP))
}

#[cfg(any(test, fuzzing))]
pub(crate) use tests::fuzzed;

#[cfg(any(test, fuzzing))]
mod tests;
