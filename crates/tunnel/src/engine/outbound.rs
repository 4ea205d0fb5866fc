//! Outward: packets of the local network, sealed and sent to the peer they belong to.
//!
//! Drains the TUN until it is empty. Each packet ends in a datagram, in a peer's queue for its
//! next session, or in a counter.

use std::io;
use std::sync::Arc;

use super::Engine;
use crate::dropped::Dropped;
use crate::edge::{MAX_PACKET, VNET_HEADER};
use crate::packet::{Inner, padded_len};
use crate::peer::{DATA_OVERHEAD, INITIATION, Moment, Sealed};

/// Packets between two looks at the clock.
const BATCH: usize = 64;

/// The outward direction and its buffers.
pub(crate) struct Outbound {
    engine: Arc<Engine>,
    /// Header and packet as read, with room for padding.
    packet: Box<[u8]>,
    sealed: Box<[u8]>,
}

impl Outbound {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        let room = MAX_PACKET + 16;
        Self {
            engine,
            packet: vec![0; VNET_HEADER + room].into(),
            sealed: vec![0; INITIATION + room + DATA_OVERHEAD].into(),
        }
    }

    /// Carries what the TUN has. Returns false once it is empty.
    pub(crate) fn drain(&mut self, now: Moment) -> io::Result<bool> {
        for _ in 0..BATCH {
            match self.engine.tun.read(&mut self.packet[..VNET_HEADER + MAX_PACKET]) {
                Ok(len) => {
                    if let Err(reason) = self.carry(len.saturating_sub(VNET_HEADER), now) {
                        self.engine.dropped.count(reason);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn carry(&mut self, len: usize, now: Moment) -> Result<(), Dropped> {
        let packet = &mut self.packet[VNET_HEADER..];
        let inner = Inner::parse(&packet[..len]).ok_or(Dropped::NotIp)?;
        let roster = self.engine.roster.load();
        let peer = roster.owner_of(inner.destination).ok_or(Dropped::NoPeer)?;
        let padded = padded_len(inner.len, self.engine.mtu());
        packet[inner.len..padded].fill(0);
        let mut core = peer.lock();
        let path = core.path().ok_or(Dropped::NoEndpoint)?;
        let sealed = core.seal(&packet[..padded], &mut self.sealed, now);
        drop(core);
        if let Sealed::Data(len) | Sealed::Initiation(len) = sealed {
            self.engine.send(peer, Some(path), &self.sealed[..len]);
        }
        Ok(())
    }
}
