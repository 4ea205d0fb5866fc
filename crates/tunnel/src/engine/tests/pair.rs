//! Two engines over a wire in memory that can be cut, tapped and forged.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use zonemesh_core::key::{PresharedKey, WireGuardPrivateKey};

pub(super) use super::memory::{Datagram, Wire};
use super::memory::{MemoryTun, MemoryUdp};
use crate::config::{PeerLane, TunnelPeer, TunnelZone};
use crate::destinations::InnerDestinations;
use crate::dropped::Dropped;
use crate::edge::{OwnPort, SocketFamily, SocketName};
use crate::engine::inbound::Inbound;
use crate::engine::outbound::Outbound;
use crate::engine::slow_path::{HandshakeMessage, SlowPath};
use crate::engine::{Engine, LaneEdges};
use crate::packet::samples::ip_packet;
use crate::peer::{ClockReading, OwnIdentities, OwnIdentity, RemoteLink};
use crate::status::{PeerStatus, TunnelEvent};
use crate::vnet::Vnet;
use crate::zones::RemoteZones;

/// One lane of a gateway beside the first.
struct Lane {
    tun: Arc<MemoryTun>,
    udp: Arc<MemoryUdp>,
    outbound: Outbound,
    inbound: Inbound,
}

/// One gateway.
pub(super) struct Side {
    pub(super) engine: Arc<Engine>,
    pub(super) private_key: WireGuardPrivateKey,
    tun: Arc<MemoryTun>,
    udp: Arc<MemoryUdp>,
    lanes: Vec<Lane>,
    slow_path: SlowPath,
    handshakes: Receiver<HandshakeMessage>,
    pub(super) events: Receiver<TunnelEvent>,
}

impl Side {
    /// The only gateway of the zone of this number.
    pub(super) fn new(zone: u8, address: &str, wire: &Arc<Wire>, lanes: u8) -> Self {
        Self::of_zone(zone, zone, address, wire, lanes)
    }

    /// A gateway of that zone whose keys are made of `seed`.
    pub(super) fn of_zone(zone: u8, seed: u8, address: &str, wire: &Arc<Wire>, lanes: u8) -> Self {
        let private_key = WireGuardPrivateKey::from_bytes([seed; 32]);
        let address: SocketAddr = address.parse().unwrap();
        let udp_of = |lane: u8| {
            let mut address = address;
            address.set_port(address.port() + if lane == 0 { 0 } else { 10 + u16::from(lane) });
            Arc::new(MemoryUdp::new(address, wire))
        };
        let memory: Vec<_> =
            (0..lanes).map(|lane| (Arc::new(MemoryTun::default()), udp_of(lane))).collect();
        let identities = OwnIdentities::one(Arc::new(OwnIdentity::new(&private_key, lanes)));
        let edges =
            memory.iter().map(|(tun, udp)| LaneEdges { tun: tun.clone(), udp: udp.clone() });
        let none = Arc::new(RemoteZones::empty());
        let own = InnerDestinations::new(Some(&prefixes(zone))).into();
        let (engine, events) = Engine::new(Arc::new(identities), none, own, 1420, edges.collect());
        let engine = Arc::new(engine);
        let (queue, handshakes) = sync_channel(16);
        let (tun, udp) = memory[0].clone();
        let lane = |(lane, (tun, udp))| Lane {
            tun,
            udp,
            outbound: Outbound::new(Arc::clone(&engine), lane),
            inbound: Inbound::new(Arc::clone(&engine), lane, queue.clone()),
        };
        let lanes = memory.into_iter().enumerate().map(lane).collect();
        let slow_path = SlowPath::new(Arc::clone(&engine));
        Self { lanes, slow_path, engine, private_key, tun, udp, handshakes, events }
    }

    /// A packet of the local network that the kernel puts into this queue.
    pub(super) fn give_to(&self, queue: usize, packet: Vec<u8>) {
        self.lanes[queue].tun.to_engine.lock().unwrap().push_back((Vnet::PLAIN, packet));
    }

    /// The packets that the local network got from this lane since the last call.
    pub(super) fn take_from(&self, lane: usize) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.lanes[lane].tun.from_engine.lock().unwrap())
    }

    /// Lets nothing come in on this lane's port, or everything again.
    pub(super) fn close_port(&self, lane: usize, close: bool) {
        let udp = &self.lanes[lane].udp;
        let address = *udp.address.lock().unwrap();
        let mut closed = udp.wire.closed.lock().unwrap();
        if close {
            closed.insert(address)
        } else {
            closed.remove(&address)
        };
    }

    /// Its only peer, with all lanes.
    pub(super) fn status(&self) -> PeerStatus {
        let identities = self.engine.identities.load();
        self.engine.zones.load().gateways().next().unwrap().status(&identities, Instant::now())
    }

    /// What it tells others of its lanes.
    pub(super) fn further_lanes(&self) -> Vec<PeerLane> {
        let identities = self.engine.identities.load();
        let lane = |(lane, own): (u16, OwnIdentities)| PeerLane {
            public_key: own.current.key,
            next_key: own.next.map(|next| next.key),
            port_offset: 10 + lane,
        };
        (0..).zip(identities.each_lane()).skip(1).map(lane).collect()
    }

    pub(super) fn address(&self) -> SocketAddr {
        *self.udp.address.lock().unwrap()
    }

    pub(super) fn move_to(&self, address: &str) {
        *self.udp.address.lock().unwrap() = address.parse().unwrap();
    }

    /// Lets it try fresh source ports, as a gateway does.
    pub(super) fn want_fresh_ports(&self) {
        self.udp.wants_fresh.store(true, Ordering::Relaxed);
    }

    /// How many fresh source ports it has opened.
    pub(super) fn opened_ports(&self) -> u16 {
        self.udp.opened.load(Ordering::Relaxed)
    }

    /// From now on a translation sends nowhere what goes between this port and others.
    pub(super) fn lead_astray(&self, port: u16) {
        let mut address = self.address();
        address.set_port(port);
        self.udp.wire.astray.lock().unwrap().insert(address);
    }

    /// How many sends there were since the last call.
    pub(super) fn take_sends(&self) -> usize {
        self.udp.sends.swap(0, Ordering::Relaxed)
    }

    /// Has every datagram refused with this errno, or none any more.
    pub(super) fn refuse(&self, errno: Option<i32>) {
        *self.udp.refuses.lock().unwrap() = errno;
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

    /// The link by which packets leave to its only peer.
    pub(super) fn link(&self) -> Arc<RemoteLink> {
        Arc::clone(self.engine.zones.load().gateways().next().unwrap().first())
    }

    /// What it was told of its only zone.
    pub(super) fn told(&self) -> TunnelZone {
        self.engine.zones.load().iter().next().unwrap().settings()
    }

    /// Does what time demands and moves what is there.
    pub(super) fn tick(&mut self, now: ClockReading) {
        self.slow_path.tick(now);
        self.step(now);
    }

    fn step(&mut self, now: ClockReading) {
        for lane in &mut self.lanes {
            while lane.outbound.drain(now).unwrap() {}
            for port in [OwnPort::Listen, OwnPort::Fresh] {
                let socket = SocketName { family: SocketFamily::V4, port };
                while lane.inbound.drain(socket, now).unwrap() {}
            }
        }
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
    pub(super) now: ClockReading,
    /// What berlin was told of madrid.
    pub(super) to_madrid: TunnelZone,
}

/// What a story may change about the usual pair.
pub(super) struct Setting {
    pub(super) preshared: [Option<u8>; 2],
    pub(super) keepalive: Option<Duration>,
    pub(super) lanes: [u8; 2],
}

impl Default for Setting {
    fn default() -> Self {
        Self { preshared: [None, None], keepalive: Some(Duration::from_secs(25)), lanes: [1, 1] }
    }
}

impl Pair {
    pub(super) fn new(setting: &Setting) -> Self {
        let wire = Arc::new(Wire::default());
        let berlin = Side::new(1, "192.0.2.1:51820", &wire, setting.lanes[0]);
        let madrid = Side::new(2, "198.51.100.2:51820", &wire, setting.lanes[1]);
        let to_madrid = zone("madrid", &madrid, 2, setting.preshared[0], setting);
        let to_berlin = zone("berlin", &berlin, 1, setting.preshared[1], setting);
        let pair = Self { wire, berlin, madrid, now: ClockReading::now(), to_madrid };
        pair.berlin.engine.set_zones(vec![pair.to_madrid.clone()]).unwrap();
        pair.madrid.engine.set_zones(vec![to_berlin]).unwrap();
        pair
    }

    /// A pair whose session is up.
    pub(super) fn established(setting: &Setting) -> Self {
        let mut pair = Self::new(setting);
        pair.pass(Duration::from_millis(100));
        assert!(pair.berlin.status().latest_handshake.is_some());
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

/// The prefixes of a zone.
fn prefixes(net: u8) -> [IpNet; 2] {
    [format!("10.{net}.0.0/16"), format!("2001:db8:{net}::/48")].map(|net| net.parse().unwrap())
}

fn zone(name: &str, side: &Side, net: u8, preshared: Option<u8>, setting: &Setting) -> TunnelZone {
    let key = |seed: u8| {
        PresharedKey::from_base64(&WireGuardPrivateKey::from_bytes([seed; 32]).to_base64())
    };
    let gateway = TunnelPeer {
        public_key: side.private_key.public_key(),
        next_key: None,
        lanes: side.further_lanes(),
        preshared_key: preshared.map(|seed| key(seed).unwrap()),
        endpoint: Some(side.address()),
        keepalive: setting.keepalive,
    };
    TunnelZone {
        name: name.to_owned(),
        allowed_ips: prefixes(net).to_vec(),
        gateways: vec![gateway],
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
