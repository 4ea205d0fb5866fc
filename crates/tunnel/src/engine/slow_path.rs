//! The slow path: handshakes and timers, in one thread of their own.
//!
//! A handshake message is let in by its MACs first (cheap), under load only with a cookie for its
//! source address, and costs a curve operation only then. Timers visit every peer about ten times
//! a second. Specification: WireGuard paper, sections 5.3 (cookies), 5.4 and 6.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use boringtun::noise::Packet;
use boringtun::noise::handshake::parse_handshake_anon;
use zonemesh_core::key::WireGuardPublicKey;

use super::Engine;
use super::fresh::FreshPorts;
use super::gate::{HandshakeGate, NotAdmitted};
use super::inbound::send_waiting;
use crate::dropped::Dropped;
use crate::edge::{MAX_PACKET, Transmit, UdpEdge, UdpPath};
use crate::peer::{
    ClockReading, DATA_OVERHEAD, INITIATION, OwnIdentities, OwnIdentity, RemoteGateway, RemoteLink,
    TYPE_INITIATION,
};

/// How often [`SlowPath::tick`] is to be called.
pub(crate) const TICK: Duration = Duration::from_millis(100);
/// Handshake messages that wait for the slow path; more are dropped.
pub(crate) const QUEUE: usize = 512;
/// How often the count of handshakes starts anew, and the MTU is looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// Handshakes in a second, from all sides together, beyond which a sender has to prove its
/// address with a cookie.
const HANDSHAKES_PER_SECOND: u64 = 100;

/// A handshake message on its way to the slow path.
pub(crate) struct HandshakeMessage {
    bytes: [u8; INITIATION],
    len: usize,
    path: UdpPath,
    /// The lane that it came on.
    lane: usize,
}

impl HandshakeMessage {
    /// `None` if it has no length that a handshake message can have.
    pub(crate) fn new(message: &[u8], path: UdpPath, lane: usize) -> Option<Self> {
        let mut bytes = [0; INITIATION];
        bytes.get_mut(..message.len())?.copy_from_slice(message);
        let len = message.len();
        (len >= 4).then_some(Self { bytes, len, path, lane })
    }
}

/// The slow path and its buffer.
pub(crate) struct SlowPath {
    engine: Arc<Engine>,
    buffer: Box<[u8]>,
    period_since: Option<Instant>,
    has_been_up: bool,
    /// One for each lane: a handshake is for a key of the lane it comes on.
    gates: Vec<HandshakeGate>,
    fresh_ports: FreshPorts,
}

impl SlowPath {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self {
            gates: engine.lanes.iter().map(|_| HandshakeGate::new(HANDSHAKES_PER_SECOND)).collect(),
            engine,
            // A packet that waited may be as long as packets get.
            buffer: vec![0; MAX_PACKET + 16 + DATA_OVERHEAD + INITIATION].into(),
            period_since: None,
            has_been_up: false,
            fresh_ports: FreshPorts::default(),
        }
    }

    /// Lets one handshake message in, or counts why not.
    pub(crate) fn handle(&mut self, message: &HandshakeMessage, now: ClockReading) {
        if let Err(reason) = self.admit(message, now) {
            self.engine.dropped.count(reason);
        }
    }

    fn admit(&mut self, message: &HandshakeMessage, now: ClockReading) -> Result<(), Dropped> {
        let engine = Arc::clone(&self.engine);
        let (bytes, path) = (&message.bytes[..message.len], message.path);
        let mut cookie = [0; INITIATION];
        let identities = engine.identities.load();
        let identities = identities.of_lane(message.lane).ok_or(Dropped::HandshakeMac)?;
        let gate = &mut self.gates[message.lane];
        gate.serve(identities.iter().map(|identity| identity.public));
        let (packet, key) = match gate.admit(path.remote, bytes, &mut cookie) {
            Ok(admitted) => admitted,
            Err(NotAdmitted::Cookie(len)) => {
                return Err(reply(&*engine.lanes[message.lane].udp, path, &cookie[..len]));
            }
            Err(NotAdmitted::Dropped(reason)) => return Err(reason),
        };
        let identity = identities.iter().find(|identity| identity.public == key);
        let identity = identity.ok_or(Dropped::HandshakeMac)?;
        let link = self.link_of(&packet, identity)?;
        let mut state = link.lock();
        let len = state.handshake(bytes, &mut self.buffer, path, now)?;
        let completed = state.take_completed();
        drop(state);
        let received = bytes.len() as u64;
        link.lane.rx_bytes.fetch_add(received, Ordering::Relaxed);
        if len > 0 {
            engine.send(&link, Some(path), &self.buffer[..len]);
        }
        if completed {
            engine.announce(&link);
            send_waiting(&engine, &link, &mut self.buffer, now);
        }
        Ok(())
    }

    /// The link that a message is for; `identity` is whom it was addressed to.
    fn link_of(
        &self,
        packet: &Packet<'_>,
        identity: &OwnIdentity,
    ) -> Result<Arc<RemoteLink>, Dropped> {
        let zones = self.engine.zones.load();
        let of_session = |index| zones.by_session(index).map(|owner| &owner.link);
        let link = match packet {
            Packet::HandshakeInit(initiation) => {
                let half = parse_handshake_anon(&identity.secret, &identity.public, initiation)
                    .map_err(|_wrong_key| Dropped::HandshakeInvalid)?;
                let key = WireGuardPublicKey(half.peer_static_public);
                zones.by_key(&key).and_then(|gateway| gateway.link_of(&identity.key, &key))
            }
            Packet::HandshakeResponse(response) => of_session(response.receiver_idx),
            Packet::PacketCookieReply(cookie) => of_session(cookie.receiver_idx),
            Packet::PacketData(_) => return Err(Dropped::NotWireGuard),
        };
        link.map(Arc::clone).ok_or(Dropped::HandshakeUnknownPeer)
    }

    /// Does what time demands.
    pub(crate) fn tick(&mut self, now: ClockReading) {
        let period_is_over = |since| now.instant.duration_since(since) >= PERIOD;
        if self.period_since.is_none_or(period_is_over) {
            self.gates.iter_mut().for_each(HandshakeGate::reset);
            // Not at the start: whoever made the tunnel is about to set it.
            if self.period_since.is_some() {
                self.engine.follow_mtu();
            }
            self.period_since = Some(now.instant);
            self.follow_routes(now.instant);
            self.fresh_ports.look(&self.engine, now.instant);
        }
        // Whoever asks a peer for an answer wants to be able to hear it.
        self.has_been_up = self.has_been_up || self.engine.first().tun.is_up().unwrap_or(true);
        if !self.has_been_up {
            return;
        }
        let identities = self.engine.identities.load_full();
        for zone in self.engine.zones.load().iter() {
            for gateway in zone.gateways() {
                self.tick_gateway(gateway, &identities, now);
                gateway.look(&zone.name);
            }
        }
    }

    fn tick_gateway(
        &mut self,
        gateway: &RemoteGateway,
        identities: &OwnIdentities,
        now: ClockReading,
    ) {
        for lane in gateway.lanes().iter().filter(|lane| lane.has_several_links()) {
            if let Some(own) = identities.of_lane(lane.state().number) {
                lane.settle(&own);
            }
        }
        for link in gateway.links() {
            self.tick_link(link, now);
        }
    }

    /// Lets peers know what the routes choose as our address towards them now.
    fn follow_routes(&self, now: Instant) {
        for link in self.engine.zones.load().gateways().flat_map(RemoteGateway::links) {
            let Some(remote) = link.lock().path().map(|path| path.remote) else { continue };
            if let Some(chosen) = self.engine.first().udp.source_towards(remote) {
                link.lock().follow_route(remote, chosen, now);
            }
        }
    }

    fn tick_link(&mut self, link: &RemoteLink, now: ClockReading) {
        loop {
            let mut state = link.lock();
            let due = state.poll(&mut self.buffer, now);
            let (path, detour) = (state.path(), state.detour());
            drop(state);
            let Some(len) = due else { return };
            let message = &self.buffer[..len];
            self.engine.send(link, path, message);
            if let Some(detour) = detour.filter(|_| message.first() == Some(&TYPE_INITIATION)) {
                self.engine.send_beside(link, detour, message);
            }
        }
    }
}

/// Answers with a cookie: the sender is to prove that it is where it says.
fn reply(udp: &dyn UdpEdge, path: UdpPath, cookie: &[u8]) -> Dropped {
    let transmit = Transmit { path, bytes: cookie, stride: cookie.len(), ecn: 0 };
    match udp.send(transmit) {
        Ok(()) => Dropped::HandshakeCookie,
        Err(_refused) => Dropped::SendFailed,
    }
}
