//! Two engines over a wire in memory that can be cut, tapped and forged.

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use zonemesh_core::key::{PresharedKey, WireGuardPrivateKey};

use crate::config::Peer;
use crate::dropped::Dropped;
use crate::edge::{Family, Path, Received, Transmit, TunEdge, UdpEdge, VNET_HEADER};
use crate::engine::Engine;
use crate::engine::inbound::Inbound;
use crate::engine::outbound::Outbound;
use crate::engine::slow_path::{HandshakeMessage, SlowPath};
use crate::merge::Allowed;
use crate::packet::samples::ip_packet;
use crate::peer::{ActivePeer, Identities, Identity, Moment};
use crate::roster::Roster;
use crate::split::Split;
use crate::status::Event;
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
    queues: Mutex<HashMap<SocketAddr, VecDeque<Datagram>>>,
    /// Everything that was sent, delivered or not.
    pub(super) seen: Mutex<Vec<Datagram>>,
    cut: Mutex<bool>,
    congested: Mutex<bool>,
}

impl Wire {
    pub(super) fn deliver(&self, datagram: Datagram) {
        let mut queues = self.queues.lock().unwrap();
        queues.entry(datagram.to).or_default().push_back(datagram);
    }
}

struct MemoryUdp {
    address: Mutex<SocketAddr>,
    wire: Arc<Wire>,
    refuses_runs: Mutex<bool>,
    sends: AtomicUsize,
}

impl UdpEdge for MemoryUdp {
    fn receive(&self, _: Family, buffer: &mut [u8]) -> io::Result<Received> {
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
        let path = Path { remote: datagram.from, local: Some(address.ip()) };
        Ok(Received { path, len, stride, ecn: datagram.ecn })
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
            if !*self.wire.cut.lock().unwrap() {
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
struct MemoryTun {
    to_engine: Mutex<VecDeque<(Vnet, Vec<u8>)>>,
    from_engine: Mutex<Vec<Vec<u8>>>,
    writes: Mutex<usize>,
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

    fn takes_merged(&self) -> Allowed {
        Allowed { tcp: true, udp: true }
    }
}

/// One gateway.
pub(super) struct Side {
    pub(super) engine: Arc<Engine>,
    pub(super) private_key: WireGuardPrivateKey,
    tun: Arc<MemoryTun>,
    udp: Arc<MemoryUdp>,
    outbound: Outbound,
    inbound: Inbound,
    slow_path: SlowPath,
    handshakes: Receiver<HandshakeMessage>,
    pub(super) events: Receiver<Event>,
}

impl Side {
    pub(super) fn new(seed: u8, address: &str, wire: &Arc<Wire>) -> Self {
        let private_key = WireGuardPrivateKey::from_bytes([seed; 32]);
        let tun = Arc::new(MemoryTun::default());
        let udp = Arc::new(MemoryUdp {
            address: Mutex::new(address.parse().unwrap()),
            wire: Arc::clone(wire),
            refuses_runs: Mutex::new(false),
            sends: AtomicUsize::new(0),
        });
        let identities = Identities::one(Arc::new(Identity::new(&private_key)));
        let edges: (Arc<dyn TunEdge>, Arc<dyn UdpEdge>) = (tun.clone(), udp.clone());
        let (engine, events) =
            Engine::new(Arc::new(identities), Arc::new(Roster::empty()), 1420, edges);
        let engine = Arc::new(engine);
        let (queue, handshakes) = sync_channel(16);
        Self {
            outbound: Outbound::new(Arc::clone(&engine)),
            inbound: Inbound::new(Arc::clone(&engine), queue),
            slow_path: SlowPath::new(Arc::clone(&engine)),
            engine,
            private_key,
            tun,
            udp,
            handshakes,
            events,
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        *self.udp.address.lock().unwrap()
    }

    pub(super) fn move_to(&self, address: &str) {
        *self.udp.address.lock().unwrap() = address.parse().unwrap();
    }

    /// How many sends there were since the last call.
    pub(super) fn take_sends(&self) -> usize {
        self.udp.sends.swap(0, Ordering::Relaxed)
    }

    pub(super) fn refuse_runs(&self, refuse: bool) {
        *self.udp.refuses_runs.lock().unwrap() = refuse;
    }

    /// A packet of the local network.
    pub(super) fn give(&self, packet: Vec<u8>) {
        self.give_with(Vnet::PLAIN, packet);
    }

    /// A packet of the local network with work still to be done to it.
    pub(super) fn give_with(&self, vnet: Vnet, packet: Vec<u8>) {
        self.tun.to_engine.lock().unwrap().push_back((vnet, packet));
    }

    /// How many writes the local network got since the last call.
    pub(super) fn take_writes(&self) -> usize {
        std::mem::take(&mut self.tun.writes.lock().unwrap())
    }

    /// The packets that the local network got since the last call.
    pub(super) fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.tun.from_engine.lock().unwrap())
    }

    pub(super) fn dropped(&self, reason: Dropped) -> u64 {
        self.engine.dropped.get(reason)
    }

    /// Its only peer.
    pub(super) fn peer(&self) -> Arc<ActivePeer> {
        Arc::clone(self.engine.roster.load().peers().next().unwrap().carrier())
    }

    /// Does what time demands and moves what is there.
    pub(super) fn tick(&mut self, now: Moment) {
        self.slow_path.tick(now);
        self.step(now);
    }

    fn step(&mut self, now: Moment) {
        self.outbound.drain(now).unwrap();
        self.inbound.drain(Family::V4, now).unwrap();
        while let Ok(message) = self.handshakes.try_recv() {
            self.slow_path.handle(&message, now);
        }
    }
}

/// Two gateways, `berlin` with 10.1.0.0/16 and 2001:db8:1::/48, `madrid` with the same of 2.
pub(super) struct Pair {
    pub(super) wire: Arc<Wire>,
    pub(super) berlin: Side,
    pub(super) madrid: Side,
    pub(super) now: Moment,
    /// What berlin was told of madrid.
    pub(super) to_madrid: Peer,
}

/// What a story may change about the usual pair.
pub(super) struct Setting {
    pub(super) preshared: [Option<u8>; 2],
    pub(super) keepalive: Option<Duration>,
}

impl Default for Setting {
    fn default() -> Self {
        Self { preshared: [None, None], keepalive: Some(Duration::from_secs(25)) }
    }
}

impl Pair {
    pub(super) fn new(setting: &Setting) -> Self {
        let wire = Arc::new(Wire::default());
        let berlin = Side::new(1, "192.0.2.1:51820", &wire);
        let madrid = Side::new(2, "198.51.100.2:51820", &wire);
        let to_madrid = peer("madrid", &madrid, 2, setting.preshared[0], setting);
        let to_berlin = peer("berlin", &berlin, 1, setting.preshared[1], setting);
        let pair = Self { wire, berlin, madrid, now: Moment::now(), to_madrid };
        pair.berlin.engine.set_peers(vec![pair.to_madrid.clone()]).unwrap();
        pair.madrid.engine.set_peers(vec![to_berlin]).unwrap();
        pair
    }

    /// A pair whose session is up.
    pub(super) fn established(setting: &Setting) -> Self {
        let mut pair = Self::new(setting);
        pair.pass(Duration::from_millis(100));
        assert!(pair.berlin.peer().status().latest_handshake.is_some());
        pair
    }

    /// Moves what is on the way until nothing moves any more.
    pub(super) fn settle(&mut self) {
        for _ in 0..20 {
            self.berlin.step(self.now);
            self.madrid.step(self.now);
        }
    }

    /// Lets time pass, in ticks.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now.instant + time;
        while self.now.instant < end {
            self.now.instant += Duration::from_millis(100);
            self.now.wall += Duration::from_millis(100);
            self.berlin.slow_path.tick(self.now);
            self.madrid.slow_path.tick(self.now);
            self.settle();
        }
    }

    pub(super) fn cut(&self, cut: bool) {
        *self.wire.cut.lock().unwrap() = cut;
    }

    /// Lets a router on the way mark every datagram.
    pub(super) fn mark_congestion(&self, mark: bool) {
        *self.wire.congested.lock().unwrap() = mark;
    }

    pub(super) fn forget_wire(&self) {
        self.wire.seen.lock().unwrap().clear();
    }

    /// What was sent since the wire was forgotten, of one message type.
    pub(super) fn seen(&self, kind: u8) -> Vec<Datagram> {
        let seen = self.wire.seen.lock().unwrap();
        seen.iter().filter(|datagram| datagram.bytes[0] == kind).cloned().collect()
    }
}

fn peer(name: &str, side: &Side, net: u8, preshared: Option<u8>, setting: &Setting) -> Peer {
    let key = |seed: u8| {
        PresharedKey::from_base64(&WireGuardPrivateKey::from_bytes([seed; 32]).to_base64())
    };
    Peer {
        name: name.to_owned(),
        public_key: side.private_key.public_key(),
        next_key: None,
        preshared_key: preshared.map(|seed| key(seed).unwrap()),
        allowed_ips: vec![
            format!("10.{net}.0.0/16").parse().unwrap(),
            format!("2001:db8:{net}::/48").parse().unwrap(),
        ],
        endpoint: Some(side.address()),
        keepalive: setting.keepalive,
    }
}

/// A packet from a host of `berlin` to one of `madrid`.
pub(super) fn berlin_to_madrid(payload: &[u8]) -> Vec<u8> {
    packet("10.1.0.7", "10.2.0.7", payload)
}

pub(super) fn packet(source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
    let parse = |text: &str| -> IpAddr { text.parse().unwrap() };
    ip_packet(parse(source), parse(destination), payload)
}
