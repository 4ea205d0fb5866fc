//! LaneEdges in memory: a wire that can be cut, tapped and forged, and a local network that counts.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::edge::{
    OwnPort, ReceivedRun, SocketFamily, SocketName, Transmit, TunEdge, UdpEdge, UdpPath,
    VNET_HEADER,
};
use crate::error::StartError;
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
    /// Whose datagrams a translation sends nowhere, as well as those for it.
    pub(super) astray: Mutex<HashSet<SocketAddr>>,
    pub(super) congested: Mutex<bool>,
}

impl Wire {
    pub(super) fn deliver(&self, datagram: Datagram) {
        let mut queues = self.queues.lock().unwrap();
        queues.entry(datagram.to).or_default().push_back(datagram);
    }

    fn carries(&self, datagram: &Datagram) -> bool {
        let (closed, astray) = (self.closed.lock().unwrap(), self.astray.lock().unwrap());
        let is_astray = astray.contains(&datagram.from) || astray.contains(&datagram.to);
        !*self.cut.lock().unwrap() && !closed.contains(&datagram.to) && !is_astray
    }
}

pub(super) struct MemoryUdp {
    pub(super) address: Mutex<SocketAddr>,
    pub(super) wire: Arc<Wire>,
    pub(super) refuses_runs: Mutex<bool>,
    /// Refuses everything with this errno.
    pub(super) refuses: Mutex<Option<i32>>,
    pub(super) sends: AtomicUsize,
    pub(super) wants_fresh: AtomicBool,
    /// 0 while there is none.
    pub(super) fresh: AtomicU16,
    /// How many there were.
    pub(super) opened: AtomicU16,
}

impl MemoryUdp {
    pub(super) fn new(address: SocketAddr, wire: &Arc<Wire>) -> Self {
        Self {
            address: Mutex::new(address),
            wire: Arc::clone(wire),
            refuses_runs: Mutex::new(false),
            refuses: Mutex::new(None),
            sends: AtomicUsize::new(0),
            wants_fresh: AtomicBool::new(false),
            fresh: AtomicU16::new(0),
            opened: AtomicU16::new(0),
        }
    }

    fn address_of(&self, port: OwnPort) -> SocketAddr {
        let mut address = *self.address.lock().unwrap();
        let fresh = self.fresh.load(Ordering::Relaxed);
        if port == OwnPort::Fresh && fresh != 0 {
            address.set_port(fresh);
        }
        address
    }
}

impl UdpEdge for MemoryUdp {
    fn receive(&self, socket: SocketName, buffer: &mut [u8]) -> io::Result<ReceivedRun> {
        if socket.port == OwnPort::Fresh && self.fresh_port(socket.family).is_none() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let address = self.address_of(socket.port);
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
        let (remote, local) = (datagram.from, Some(address.ip()));
        let path = UdpPath { remote, local, from: socket.port };
        Ok(ReceivedRun { path, len, stride, ecn: datagram.ecn })
    }

    fn send_whole(&self, transmit: Transmit<'_>) -> io::Result<()> {
        if transmit.bytes.len() > FIRST_LINK {
            return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
        }
        self.send(transmit)
    }

    fn send(&self, transmit: Transmit<'_>) -> io::Result<()> {
        if let Some(errno) = *self.refuses.lock().unwrap() {
            return Err(io::Error::from_raw_os_error(errno));
        }
        if *self.refuses_runs.lock().unwrap() && transmit.bytes.len() > transmit.stride {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        self.sends.fetch_add(1, Ordering::Relaxed);
        for bytes in transmit.bytes.chunks(transmit.stride) {
            let datagram = Datagram {
                from: self.address_of(transmit.path.from),
                to: transmit.path.remote,
                bytes: bytes.to_vec(),
                ecn: if *self.wire.congested.lock().unwrap() { 0b11 } else { transmit.ecn },
            };
            self.wire.seen.lock().unwrap().push(datagram.clone());
            if self.wire.carries(&datagram) {
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

    fn fresh_port(&self, family: SocketFamily) -> Option<u16> {
        let port = self.fresh.load(Ordering::Relaxed);
        (family == SocketFamily::V4 && port != 0).then_some(port)
    }

    fn open_fresh(&self, family: SocketFamily) -> Result<(), StartError> {
        if self.wants_fresh.load(Ordering::Relaxed) && family == SocketFamily::V4 {
            let number = self.opened.fetch_add(1, Ordering::Relaxed);
            self.fresh.store(40_000 + number, Ordering::Relaxed);
        }
        Ok(())
    }

    fn close_fresh(&self, family: SocketFamily) {
        if family == SocketFamily::V4 {
            self.fresh.store(0, Ordering::Relaxed);
        }
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
