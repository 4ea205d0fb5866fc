//! Inward: datagrams of the Internet, opened, checked and given to the local network.
//!
//! Data goes from the socket to the TUN here: opened one behind the other in an arena, the inner
//! source checked against the peer that sealed it and the destination against what is this end's,
//! merged by flow and written. Handshakes go to
//! the slow path by a bounded queue, so that a flood of them holds up nothing.

use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;

use super::Engine;
use super::slow_path::HandshakeMessage;
use crate::clamp::clamp_mss;
use crate::destinations::InnerDestinations;
use crate::dropped::Dropped;
use crate::ecn;
use crate::edge::{MAX_PACKET, ReceivedRun, SocketName, UdpPath};
use crate::merge::Merger;
use crate::offload::Mergeable;
use crate::packet::InnerPacket;
use crate::peer::{
    COOKIE, ClockReading, DATA_OVERHEAD, INITIATION, RESPONSE, RemoteLink, TYPE_COOKIE, TYPE_DATA,
    TYPE_INITIATION, TYPE_RESPONSE, receiver_index,
};
use crate::zones::{RemoteZones, SessionOwner};

/// Receives between two looks at the clock, the other socket and the other direction: whoever keeps
/// one socket full, with whatever bytes, is not to starve the rest.
const BATCH: usize = 8;
/// With this many bytes in the arena it is written out: enough for the largest merged packet,
/// little enough to stay in the cache.
const ARENA_FULL: usize = 1 << 16;
/// Behind a full arena there is room for the largest receive.
const ARENA: usize = ARENA_FULL + MAX_PACKET + DATA_OVERHEAD;

/// The inward direction and its buffers.
pub(crate) struct Inbound {
    engine: Arc<Engine>,
    /// The number of the lane: whose sockets it reads and by which queue it writes.
    lane: usize,
    handshakes: SyncSender<HandshakeMessage>,
    received: Box<[u8]>,
    opened: OpenedPackets,
    waiting: Box<[u8]>,
}

/// Packets that were opened and not written yet.
struct OpenedPackets {
    arena: Box<[u8]>,
    used: usize,
    merger: Merger,
}

impl Inbound {
    pub(crate) fn new(
        engine: Arc<Engine>,
        lane: usize,
        handshakes: SyncSender<HandshakeMessage>,
    ) -> Self {
        Self {
            engine,
            lane,
            handshakes,
            received: vec![0; MAX_PACKET].into(),
            opened: OpenedPackets { arena: vec![0; ARENA].into(), used: 0, merger: Merger::new() },
            waiting: vec![0; MAX_PACKET + 16 + DATA_OVERHEAD + INITIATION].into(),
        }
    }

    /// Carries what one socket has. Returns false once it is empty.
    pub(crate) fn drain(&mut self, socket: SocketName, now: ClockReading) -> io::Result<bool> {
        let mut more = true;
        for _ in 0..BATCH {
            match self.engine.lanes[self.lane].udp.receive(socket, &mut self.received) {
                Ok(received) => self.carry_all(received, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    more = false;
                    break;
                }
                // Errors of a datagram socket are those of single datagrams: ICMP, memory. Whoever can
                // forge an ICMP message must not be able to end the thread with it.
                Err(_passing) => self.engine.dropped.count(Dropped::SocketError),
            }
            // Not after each receive: packets of one flow merge across receives too.
            if self.opened.used >= ARENA_FULL {
                self.opened.write(&self.engine, self.lane, now);
            }
        }
        self.opened.write(&self.engine, self.lane, now);
        Ok(more)
    }

    /// Carries the datagrams of one receive, with each peer locked once per run of its datagrams.
    fn carry_all(&mut self, received: ReceivedRun, now: ClockReading) {
        // An empty datagram has no stride, and nobody would get on by 0.
        let received = ReceivedRun { stride: received.stride.max(1), ..received };
        // One table for all: a zone is told from another by its address.
        let engine = Arc::clone(&self.engine);
        let (zones, destinations) = (engine.zones.load(), engine.destinations.load());
        let mut rest = 0..received.len;
        if rest.is_empty() {
            engine.dropped.count(Dropped::NotWireGuard);
        }
        while !rest.is_empty() {
            let message = rest.start..rest.end.min(rest.start + received.stride);
            match self.owner_of(&message, received.path, &zones) {
                Ok(owner) => {
                    let mtu = owner.link.mtu(engine.mtu());
                    let run = InwardRun {
                        owner,
                        zones: &zones,
                        destinations: &destinations,
                        received,
                        mtu,
                        known: None,
                    };
                    rest.start = self.carry_run(run, rest.clone(), now);
                }
                Err(reason) => {
                    if let Some(reason) = reason {
                        engine.dropped.count(reason);
                    }
                    rest.start = message.end;
                }
            }
        }
    }

    /// Whose session a data message is for. Other messages are dealt with here: they went to the slow
    /// path, or nowhere for a reason.
    fn owner_of<'z>(
        &self,
        message: &Range<usize>,
        path: UdpPath,
        zones: &'z RemoteZones,
    ) -> Result<&'z SessionOwner, Option<Dropped>> {
        let message = &self.received[message.clone()];
        if is_data(message) {
            let owner = receiver_index(message).and_then(|session| zones.by_session(session));
            return owner.ok_or(Some(Dropped::UnknownSession));
        }
        if message.first() == Some(&TYPE_DATA) {
            return Err(Some(Dropped::NotWireGuard));
        }
        self.check_handshake(message, zones).map_err(Some)?;
        // Never waited for: a handshake costs hundreds of times what a packet does, and strangers decide
        // how many come (WireGuard paper, section 5.3).
        let message = HandshakeMessage::new(message, path, self.lane);
        let message = message.ok_or(Some(Dropped::NotWireGuard))?;
        let queued = self.handshakes.try_send(message);
        Err(queued.err().map(|_full| Dropped::HandshakeQueue))
    }

    /// Refuses what is not for this gateway before it takes a place in the queue: anybody can fill that
    /// with noise, and what a peer says would find it full.
    fn check_handshake(&self, message: &[u8], zones: &RemoteZones) -> Result<(), Dropped> {
        match (message, message.len()) {
            ([TYPE_INITIATION, 0, 0, 0, ..], INITIATION)
            | ([TYPE_RESPONSE, 0, 0, 0, ..], RESPONSE) => {
                let identities = self.engine.identities.load().of_lane(self.lane);
                let is_meant =
                    identities.is_some_and(|keys| keys.iter().any(|key| key.is_meant(message)));
                if is_meant { Ok(()) } else { Err(Dropped::HandshakeMac) }
            }
            ([TYPE_COOKIE, 0, 0, 0, ..], COOKIE) => {
                let session = receiver_index(message).and_then(|index| zones.by_session(index));
                session.map(drop).ok_or(Dropped::UnknownSession)
            }
            _ => Err(Dropped::NotWireGuard),
        }
    }

    /// Opens data messages as long as they are for one link. Returns where the rest begins.
    fn carry_run(
        &mut self,
        mut run: InwardRun<'_>,
        mut rest: Range<usize>,
        now: ClockReading,
    ) -> usize {
        let (link, received) = (&run.owner.link, run.received);
        let allowed = self.allowed(now);
        // For the whole run: the lock is shared with whoever seals for this link, and boringtun opens
        // with `&mut`.
        let mut state = link.lock();
        let mut bytes = 0;
        while !rest.is_empty() {
            let message = rest.start..rest.end.min(rest.start + received.stride);
            let message = &self.received[message];
            if !is_data(message) || !link.has_session(receiver_index(message)) {
                break;
            }
            rest.start += message.len();
            // Behind the packets before it, where it stays: merging copies nothing.
            let room = &mut self.opened.arena[self.opened.used..];
            let packet = state.open(message, room, received.path, now).and_then(|len| {
                bytes += message.len() as u64;
                run.check(&mut room[..len])
            });
            match packet {
                Ok(len) => self.opened.push(len, allowed),
                Err(reason) => self.engine.dropped.count(reason),
            }
        }
        // Asked under the lock and acted on without it: what follows locks again, and sends.
        let completed = state.take_completed();
        drop(state);
        link.lane.rx_bytes.fetch_add(bytes, Ordering::Relaxed);
        if completed {
            self.engine.announce(link);
            send_waiting(&self.engine, link, &mut self.waiting, now);
        }
        rest.start
    }

    fn allowed(&self, now: ClockReading) -> Mergeable {
        if self.engine.merging.is_on(now.instant) {
            return Mergeable { tcp: false, udp: false };
        }
        self.engine.first().tun.takes_merged()
    }
}

/// The three bytes behind the type are zero (WireGuard paper, section 5.4.6): boringtun reads the four
/// as one number, and would take anything else for another type.
fn is_data(message: &[u8]) -> bool {
    matches!(message, [TYPE_DATA, 0, 0, 0, ..]) && message.len() >= DATA_OVERHEAD
}

/// What the packets of one run have in common.
struct InwardRun<'a> {
    owner: &'a SessionOwner,
    /// The table that `owner` is from: zones of two tables are never the same.
    zones: &'a RemoteZones,
    destinations: &'a InnerDestinations,
    received: ReceivedRun,
    mtu: usize,
    /// The last ends of a packet that were found good.
    known: Option<InnerEnds>,
}

/// Between which inner addresses a packet goes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct InnerEnds {
    source: IpAddr,
    destination: IpAddr,
}

impl InwardRun<'_> {
    /// Checks what was inside a message and readies it for the local network. Returns its length,
    /// 0 for a keepalive.
    fn check(&mut self, packet: &mut [u8]) -> Result<usize, Dropped> {
        if packet.is_empty() {
            return Ok(0);
        }
        let inner = InnerPacket::parse(packet).ok_or(Dropped::InnerMalformed)?;
        // A look costs a hash for each prefix length in use, and a run is of one flow nearly always.
        let ends = InnerEnds { source: inner.source, destination: inner.destination };
        if self.known != Some(ends) {
            self.check_ends(ends)?;
            self.known = Some(ends);
        }
        // What is behind is padding, up to 16 bytes (WireGuard paper, section 5.4.6).
        let packet = &mut packet[..inner.len];
        if self.received.ecn != 0 && !ecn::combine(self.received.ecn, packet) {
            return Err(Dropped::Congested);
        }
        // Here too: the other end may be a WireGuard that does not clamp, or know less of the path.
        clamp_mss(packet, self.mtu, false);
        Ok(inner.len)
    }
}

impl InwardRun<'_> {
    /// Who holds the key may speak for the zone's addresses only (WireGuard paper, section 2), and to
    /// this end's only: it is no router for its peers.
    fn check_ends(&self, ends: InnerEnds) -> Result<(), Dropped> {
        let zone = self.zones.owner_of(ends.source).ok_or(Dropped::InnerSource)?;
        if !Arc::ptr_eq(zone, &self.owner.zone) {
            return Err(Dropped::InnerSource);
        }
        match self.destinations.allow(ends.destination) {
            true => Ok(()),
            false => Err(Dropped::InnerDestination),
        }
    }
}

impl OpenedPackets {
    /// Takes the packet of `len` bytes at the end of the arena.
    fn push(&mut self, len: usize, allowed: Mergeable) {
        if len > 0 {
            let range = self.used..self.used + len;
            self.merger.push(&self.arena, range.clone(), allowed);
            self.used = range.end;
        }
    }

    /// Writes all packets to the TUN.
    fn write(&mut self, engine: &Engine, lane: usize, now: ClockReading) {
        if self.used == 0 {
            return;
        }
        let tun = &engine.lanes[lane].tun;
        let written = self.merger.write(&mut self.arena, |parts| tun.write(parts));
        if written.refused > 0 {
            // EIO while the link is down, EINVAL for what the kernel finds malformed.
            engine.dropped.add(Dropped::TunRefused, written.refused);
        }
        if written.merging_refused {
            tracing::warn!("slow receiving for a minute: the TUN device refuses merged packets");
            engine.merging.start(now.instant);
        }
        self.merger.clear();
        self.used = 0;
    }
}

/// Sends what waited for a session on `link`.
pub(crate) fn send_waiting(
    engine: &Engine,
    link: &RemoteLink,
    buffer: &mut [u8],
    now: ClockReading,
) {
    loop {
        let mut state = link.lock();
        let (next, path) = (state.next_waiting(buffer, now), state.path());
        drop(state);
        match next {
            Some(len) => engine.send(link, path, &buffer[..len]),
            None => return,
        }
    }
}
