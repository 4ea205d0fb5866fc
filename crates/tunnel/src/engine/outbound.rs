//! Outward: packets of the local network, sealed and sent to the peer they belong to.
//!
//! Drains the TUN until it is empty. A super-packet is looked up once, its peer locked once per
//! run, and each of its pieces sealed straight into the run that leaves in one send. Each packet
//! ends in a datagram, in a peer's queue for its next session, or in a counter.

use std::io;
use std::sync::Arc;

use super::Engine;
use super::run::DatagramRun;
use crate::clamp::clamp_mss;
use crate::dropped::Dropped;
use crate::ecn;
use crate::edge::{MAX_PACKET, UdpPath, VNET_HEADER};
use crate::packet::{InnerPacket, padded_len};
use crate::peer::{ClockReading, DATA_OVERHEAD, Departure, INITIATION, QUIET, RemoteLink, Sealed};
use crate::split::Split;
use crate::transport::{IPV6_HEADER, UDP, is_v6};
use crate::vnet::{Gso, Vnet};

/// Reads between two looks at the clock and the other direction: a local sender that never stops is not
/// to keep acknowledgements from being taken in.
const BATCH: usize = 8;
/// What padding adds to a packet at most.
const MAX_PADDING: usize = 15;

/// The outward direction and its buffers.
pub(crate) struct Outbound {
    engine: Arc<Engine>,
    /// The number of the lane, and of the queue that it reads.
    lane: usize,
    /// Header and packet as read, with room for padding.
    packet: Box<[u8]>,
    run: DatagramRun,
}

impl Outbound {
    pub(crate) fn new(engine: Arc<Engine>, lane: usize) -> Self {
        Self {
            engine,
            lane,
            packet: vec![0; VNET_HEADER + MAX_PACKET + MAX_PADDING].into(),
            run: DatagramRun::new(),
        }
    }

    /// Carries what the TUN has. Returns false once it is empty.
    pub(crate) fn drain(&mut self, now: ClockReading) -> io::Result<bool> {
        // Small packets of one flow fill a run over many reads; what is left must not wait for more.
        let result = self.read_batch(now);
        self.run.flush(&self.engine, now);
        result
    }

    fn read_batch(&mut self, now: ClockReading) -> io::Result<bool> {
        for _ in 0..BATCH {
            match self.engine.lanes[self.lane]
                .tun
                .read(&mut self.packet[..VNET_HEADER + MAX_PACKET])
            {
                Ok(len) => {
                    if let Err(reason) = self.carry(len, now) {
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

    fn carry(&mut self, len: usize, now: ClockReading) -> Result<(), Dropped> {
        let (header, packet) = self.packet.split_first_chunk_mut().ok_or(Dropped::NotIp)?;
        let vnet = Vnet::parse(header).ok_or(Dropped::NotIp)?;
        let len = len.saturating_sub(VNET_HEADER);
        let inner = InnerPacket::parse(&packet[..len]).ok_or(Dropped::NotIp)?;
        let zones = self.engine.zones.load();
        let owner = zones.owner_of(inner.destination).ok_or(Dropped::NoPeer)?;
        let Departure { by: link, after_pause } = owner.active().sender(self.lane, now.instant);
        if after_pause {
            // What waits here is for the old lane, and may not come after what takes the new one.
            self.run.flush(&self.engine, now);
            std::thread::sleep(QUIET);
        }
        let is_own_port = |port| self.engine.lanes.iter().any(|lane| lane.udp.sends_from(port));
        // A route to the gateway's own endpoint that leads through the tunnel would seal each datagram
        // again, longer every time, until it is too long to be sent.
        if source_port(&packet[..inner.len]).is_some_and(is_own_port) {
            let path = link.lock().path();
            if path.is_some_and(|path| path.remote.ip() == inner.destination) {
                return Err(Dropped::Loop);
            }
        }
        let tap = self.engine.tap.get().filter(|_| vnet.gso == Gso::None);
        if tap.is_some_and(|tap| tap.takes(&packet[..inner.len])) {
            return Ok(());
        }
        let mtu = link.mtu(self.engine.mtu());
        // A super-packet is data of a connection whose segments are agreed already: no SYN is one.
        if vnet.gso == Gso::None {
            clamp_mss(&mut packet[..inner.len], mtu, vnet.needs_checksum);
        }
        let mut sealing = OutwardPacket {
            engine: &self.engine,
            link,
            // The pieces share it: the kernel makes no super-packet of different marks.
            ecn: ecn::of(packet),
            split: Split::new(vnet, &mut packet[..inner.len])?,
            packet,
            run: &mut self.run,
            mtu,
        };
        sealing.seal_all(now)
    }
}

/// One packet of the TUN on its way into runs.
struct OutwardPacket<'a> {
    engine: &'a Engine,
    link: &'a Arc<RemoteLink>,
    ecn: u8,
    split: Split,
    packet: &'a mut [u8],
    run: &'a mut DatagramRun,
    mtu: usize,
}

impl OutwardPacket<'_> {
    /// Seals all pieces, with the peer locked once per run and never while sending.
    fn seal_all(&mut self, now: ClockReading) -> Result<(), Dropped> {
        while self.split.next_len().is_some() {
            let initiation = self.seal_run(now)?;
            if let Some((path, bytes)) = initiation {
                // What was sealed before it, in the sessions that were there, leaves before it.
                self.run.flush(self.engine, now);
                self.engine.send(self.link, Some(path), &bytes);
            } else if self.split.next_len().is_some() {
                self.run.flush(self.engine, now);
            }
        }
        Ok(())
    }

    /// Seals pieces until the run is full, or until one asks for a session.
    fn seal_run(
        &mut self,
        now: ClockReading,
    ) -> Result<Option<(UdpPath, [u8; INITIATION])>, Dropped> {
        // With one lane there is one thread that seals, and nothing to take turns with.
        if self.engine.lanes.len() > 1 {
            self.run.take_turn(self.link);
        }
        let mut state = self.link.lock();
        let path = state.path().ok_or(Dropped::NoEndpoint)?;
        // The length is asked first: a piece that was formed overwrites the end of the one before, and
        // cannot be given back if the run is full.
        while let Some(len) = self.split.next_len() {
            let sealed_len = padded_len(len, self.mtu) + DATA_OVERHEAD;
            if !self.run.takes(self.link, path, self.ecn, sealed_len) {
                break;
            }
            let Some(piece) = self.split.next(self.packet) else {
                break;
            };
            let padded = piece.start..piece.start + sealed_len - DATA_OVERHEAD;
            // boringtun does not pad (WireGuard paper, section 5.4.6); the bytes after a piece are the
            // next one's, and are put back.
            let behind = take_padding(self.packet, piece.end, padded.end);
            let sealed = state.seal(&self.packet[padded.clone()], self.run.slot(), now);
            self.packet[piece.end..padded.end].copy_from_slice(&behind[..padded.end - piece.end]);
            match sealed? {
                Sealed::Data(len) => self.run.push(self.link, path, self.ecn, len),
                Sealed::Waiting => {}
                Sealed::Initiation => {
                    let initiation = self.run.slot().first_chunk().copied();
                    return Ok(initiation.map(|bytes| (path, bytes)));
                }
            }
        }
        Ok(None)
    }
}

/// The port that `packet` comes from, if it could be a datagram of this tunnel. The first fragment of
/// one is enough: without it the others come to nothing.
fn source_port(packet: &[u8]) -> Option<u16> {
    let (protocol, transport) = if is_v6(packet) {
        (packet[6], IPV6_HEADER)
    } else {
        (packet[9], usize::from(packet[0] & 0xf) * 4)
    };
    let port = packet.get(transport..transport + 2).filter(|_| protocol == UDP)?;
    Some(u16::from_be_bytes([port[0], port[1]]))
}

/// Fills `from..to` with zeros and returns what was there: the next piece begins in it.
fn take_padding(packet: &mut [u8], from: usize, to: usize) -> [u8; MAX_PADDING] {
    let mut behind = [0; MAX_PADDING];
    behind[..to - from].copy_from_slice(&packet[from..to]);
    packet[from..to].fill(0);
    behind
}
