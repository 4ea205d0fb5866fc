//! Inward: datagrams of the Internet, opened, checked and given to the local network.
//!
//! Data goes from the socket to the TUN here; handshakes go to the slow path by a bounded queue,
//! so that a flood of them holds up nothing. A packet is only carried if its inner source address
//! belongs to the peer that sealed it.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use super::Engine;
use super::slow_path::HandshakeMessage;
use crate::dropped::Dropped;
use crate::edge::{Family, MAX_PACKET, Path, VNET_HEADER};
use crate::packet::Inner;
use crate::peer::{ActivePeer, DATA_OVERHEAD, INITIATION, Moment, TYPE_DATA, receiver_index};

/// Receives between two looks at the clock and at the other socket.
const BATCH: usize = 32;

/// The inward direction and its buffers.
pub(crate) struct Inbound {
    engine: Arc<Engine>,
    handshakes: SyncSender<HandshakeMessage>,
    received: Box<[u8]>,
    opened: Box<[u8]>,
    waiting: Box<[u8]>,
}

impl Inbound {
    pub(crate) fn new(engine: Arc<Engine>, handshakes: SyncSender<HandshakeMessage>) -> Self {
        let room = MAX_PACKET + 16 + DATA_OVERHEAD + INITIATION;
        let buffer = || vec![0; room].into();
        Self { engine, handshakes, received: buffer(), opened: buffer(), waiting: buffer() }
    }

    /// Carries what one socket has. Returns false once it is empty.
    pub(crate) fn drain(&mut self, family: Family, now: Moment) -> io::Result<bool> {
        for _ in 0..BATCH {
            let received = match self.engine.udp.receive(family, &mut self.received) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                // Errors of a datagram socket are those of single datagrams: ICMP, memory.
                Err(_passing) => {
                    self.engine.dropped.count(Dropped::SocketError);
                    continue;
                }
            };
            let mut at = 0;
            while at < received.len {
                let end = received.len.min(at + received.stride.max(1));
                if let Err(reason) = self.carry(at..end, received.path, now) {
                    self.engine.dropped.count(reason);
                }
                at = end;
            }
        }
        Ok(true)
    }

    fn carry(
        &mut self,
        at: std::ops::Range<usize>,
        path: Path,
        now: Moment,
    ) -> Result<(), Dropped> {
        let message = &self.received[at];
        match message {
            [TYPE_DATA, 0, 0, 0, ..] if message.len() >= DATA_OVERHEAD => {}
            [TYPE_DATA, ..] => return Err(Dropped::NotWireGuard),
            _ => {
                let message = HandshakeMessage::new(message, path).ok_or(Dropped::NotWireGuard)?;
                let queued = self.handshakes.try_send(message);
                return queued.map_err(|_full| Dropped::HandshakeQueue);
            }
        }
        let session = receiver_index(message).ok_or(Dropped::NotWireGuard)?;
        let roster = self.engine.roster.load();
        let peer = roster.by_session(session).ok_or(Dropped::UnknownSession)?;
        let mut core = peer.lock();
        let len = core.open(message, &mut self.opened, path, now)?;
        let completed = core.take_completed();
        drop(core);
        let bytes = message.len() as u64;
        peer.rx_bytes.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
        if completed {
            self.engine.announce(peer);
            send_waiting(&self.engine, peer, &mut self.waiting, now);
        }
        if len == 0 {
            return Ok(());
        }
        let packet = &self.opened[..len];
        let inner = Inner::parse(packet).ok_or(Dropped::InnerMalformed)?;
        let owner = roster.owner_of(inner.source).ok_or(Dropped::InnerSource)?;
        if !Arc::ptr_eq(owner, peer) {
            return Err(Dropped::InnerSource);
        }
        let parts = [IoSlice::new(&[0; VNET_HEADER]), IoSlice::new(&packet[..inner.len])];
        // EIO while the link is down, EINVAL for what the kernel finds malformed.
        let written = self.engine.tun.write(&parts);
        written.map_err(|_refused| Dropped::TunRefused)
    }
}

/// Sends what waited for a session with `peer`.
pub(crate) fn send_waiting(engine: &Engine, peer: &ActivePeer, buffer: &mut [u8], now: Moment) {
    loop {
        let mut core = peer.lock();
        let (next, path) = (core.next_waiting(buffer, now), core.path());
        drop(core);
        match next {
            Some(len) => engine.send(peer, path, &buffer[..len]),
            None => return,
        }
    }
}
