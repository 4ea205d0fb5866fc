//! LaneEdges in memory: a wire that can be cut, tapped and forged, and a local network that counts.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::edge::{ReceivedRun, SocketFamily, Transmit, TunEdge, UdpEdge, UdpPath, VNET_HEADER};
use crate::offload::Mergeable;
use crate::split::Split;
use crate::vnet::Vnet;

/// The longest datagram that may not be cut and still fits the first link.
pub(super) const FIRST_LINK: usize = 1472;

/// A datagram on the wire.
#[derive(Clone, Debug)]
pub(super) struct Datagram {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
    pub(super) ecn: u8,
}

#[derive(Default)]
pub(super) struct Wire {
    pub(super) queues: Mutex<HashMap<SocketAddr, VecDeque<Datagram>>>,
    /// Everything that was sent, delivered or not.
    pub(super) seen: Mutex<Vec<Datagram>>,
    pub(super) cut: Mutex<bool>,
    /// Where a firewall lets nothing in.
    pub(super) closed: Mutex<HashSet<SocketAddr>>,
    pub(super) congested: Mutex<bool>,
}

impl Wire {
    pub(super) fn deliver(&self, datagram: Datagram) {
        let mut queues = self.queues.lock().unwrap();
        queues.entry(datagram.to).or_default().push_back(datagram);
    }
}

pub(super) struct MemoryUdp {
    pub(super) address: Mutex<SocketAddr>,
    pub(super) wire: Arc<Wire>,
    pub(super) refuses_runs: Mutex<bool>,
    pub(super) sends: AtomicUsize,
}

impl UdpEdge for MemoryUdp {
    fn receive(&self, _: SocketFamily, buffer: &mut [u8]) -> io::Result<ReceivedRun> {
        let address = *self.address.lock().unwrap();
        let mut queues = self.wire.queues.lock().unwrap();
        let datagram = queues.entry(address).or_default().pop_front();
        let datagram = datagram.ok_or_else(|| io::Error::from(io::ErrorKind::WouldBlock))?;
        let stride = datagram.bytes.len();
        let mut len = stride;
        buffer[..len].copy_from_slice(&datagram.bytes);
        // As GRO does: what follows from the same sender comes along.
        let queue = queues.entry(address).or_default();
        while let Some(next) = queue.pop_front_if(|next| {
            let same = next.from == datagram.from && next.ecn == datagram.ecn;
            let whole = stride > 0 && len % stride == 0;
            same && whole && next.bytes.len() <= stride && len + stride < 65_000
        }) {
            buffer[len..len + next.bytes.len()].copy_from_slice(&next.bytes);
            len += next.bytes.len();
        }
        let path = UdpPath { remote: datagram.from, local: Some(address.ip()) };
        Ok(ReceivedRun { path, len, stride, ecn: datagram.ecn })
    }

    fn send_whole(&self, transmit: Transmit<'_>) -> io::Result<()> {
        if transmit.bytes.len() > FIRST_LINK {
            return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
        }
        self.send(transmit)
    }

    fn send(&self, transmit: Transmit<'_>) -> io::Result<()> {
        if *self.refuses_runs.lock().unwrap() && transmit.bytes.len() > transmit.stride {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        self.sends.fetch_add(1, Ordering::Relaxed);
        for bytes in transmit.bytes.chunks(transmit.stride) {
            let datagram = Datagram {
                from: *self.address.lock().unwrap(),
                to: transmit.path.remote,
                bytes: bytes.to_vec(),
                ecn: if *self.wire.congested.lock().unwrap() { 0b11 } else { transmit.ecn },
            };
            self.wire.seen.lock().unwrap().push(datagram.clone());
            let is_closed = self.wire.closed.lock().unwrap().contains(&datagram.to);
            if !*self.wire.cut.lock().unwrap() && !is_closed {
                self.wire.deliver(datagram);
            }
        }
        Ok(())
    }

    fn source_towards(&self, _: SocketAddr) -> Option<IpAddr> {
        Some(self.address.lock().unwrap().ip())
    }

    fn port(&self) -> u16 {
        self.address.lock().unwrap().port()
    }

    fn takes_runs(&self) -> bool {
        true
    }
}

#[derive(Default)]
pub(super) struct MemoryTun {
    pub(super) to_engine: Mutex<VecDeque<(Vnet, Vec<u8>)>>,
    pub(super) from_engine: Mutex<Vec<Vec<u8>>>,
    pub(super) writes: Mutex<usize>,
}

impl TunEdge for MemoryTun {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let packet = self.to_engine.lock().unwrap().pop_front();
        let (vnet, packet) = packet.ok_or_else(|| io::Error::from(io::ErrorKind::WouldBlock))?;
        buffer[..VNET_HEADER].copy_from_slice(&vnet.to_bytes());
        buffer[VNET_HEADER..VNET_HEADER + packet.len()].copy_from_slice(&packet);
        Ok(VNET_HEADER + packet.len())
    }

    /// Splits what is merged, as the kernel would.
    fn write(&self, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let (vnet, packet) = bytes.split_first_chunk().unwrap();
        let mut packet = packet.to_vec();
        let mut split = Split::new(Vnet::parse(vnet).unwrap(), &mut packet).unwrap();
        while let Some(range) = split.next(&mut packet) {
            self.from_engine.lock().unwrap().push(packet[range].to_vec());
        }
        *self.writes.lock().unwrap() += 1;
        Ok(())
    }

    fn is_up(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn mtu(&self) -> io::Result<usize> {
        Ok(1420)
    }

    fn takes_merged(&self) -> Mergeable {
        Mergeable { tcp: true, udp: true }
    }
}
