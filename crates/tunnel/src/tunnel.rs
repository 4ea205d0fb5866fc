//! A tunnel in service: the engine on its Linux edges, driven by its lanes.
//!
//! Starting either gives a tunnel that carries packets or leaves nothing behind. Dropping a tunnel
//! stops it.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime};

use zeroize::Zeroizing;
use zonemesh_core::key::{WireGuardPrivateKey, WireGuardPublicKey};

use crate::carrier::Carrier;
use crate::clock::ClockKeeper;
use crate::config::{LANE_PORTS, MOST_LANES, Peer, PeerLane, TunnelConfig};
use crate::edge::UdpEdge as _;
use crate::engine::slow_path::QUEUE;
use crate::engine::{Edges, Engine, ProbeError};
use crate::error::{PeersError, StartError};
use crate::lanes::{slow_lane, spawn};
use crate::linux::tun::Tun;
use crate::linux::udp::Udp;
use crate::linux::wake::StopSignal;
use crate::offload::{Offload, Wanted};
use crate::peer::{Identities, Identity, Moment, PeerLanes};
use crate::roster::Roster;
use crate::status::{Event, PeerStatus, TunnelStatus};

/// The bounds of an MTU: the least that IPv4 demands, the most that a datagram can carry.
const MTU_BOUNDS: std::ops::RangeInclusive<u16> = 576..=65_456;

/// A tunnel in service. It ends when it is dropped.
pub struct Tunnel {
    engine: Arc<Engine>,
    /// The queues of the TUN device and the sockets, one of each for each lane.
    tuns: Vec<Arc<Tun>>,
    udps: Vec<Arc<Udp>>,
    interface: String,
    fwmark: Option<u32>,
    realtime: bool,
    events: Mutex<Option<Receiver<Event>>>,
    clock: Option<ClockKeeper>,
    stop: StopSignal,
    threads: Vec<JoinHandle<()>>,
}

impl Tunnel {
    /// Creates the TUN device or takes over one that was left ([`Self::leave_device`]), binds the
    /// port, takes the peers and starts to carry packets.
    /// Handshakes with all peers that have an endpoint and keepalive start at once.
    ///
    /// # Errors
    /// [`StartError`], with nothing left behind.
    pub fn start(config: TunnelConfig, peers: Vec<Peer>) -> Result<Self, StartError> {
        check_mtu(config.mtu)?;
        let wanted = Wanted::from_environment();
        let lanes = usize::from(config.lanes.clamp(1, MOST_LANES));
        let tuns: Vec<_> =
            Tun::open(&config.interface, wanted, lanes)?.into_iter().map(Arc::new).collect();
        let udps = bind(&config, tuns.len(), wanted)?;
        let identity = Arc::new(Identity::new(&config.private_key, udps.len() as u8));
        let identities = Arc::new(Identities::one(identity));
        let roster = Arc::new(Roster::empty());
        let (engine, events) = Engine::new(identities, roster, config.mtu, edges(&tuns, &udps));
        engine.set_peers(peers)?;
        let mut tunnel = Self {
            engine: Arc::new(engine),
            tuns,
            udps,
            interface: config.interface,
            fwmark: config.fwmark,
            realtime: config.realtime,
            events: Mutex::new(Some(events)),
            clock: None,
            stop: StopSignal::new().map_err(system("create an eventfd"))?,
            threads: Vec::new(),
        };
        tunnel.start_threads().map_err(system("start a thread"))?;
        Ok(tunnel)
    }

    /// Changes key, port, mark and peers under the same TUN device; its name stays. Sessions
    /// survive unless the private key changes. Under a new key or port, counters start again and
    /// events are handed out anew.
    ///
    /// # Errors
    /// [`StartError`]; the tunnel goes on as it was.
    pub fn reconfigure(
        &mut self,
        config: TunnelConfig,
        peers: Vec<Peer>,
    ) -> Result<(), StartError> {
        check_mtu(config.mtu)?;
        let same_port = [0, self.listen_port()].contains(&config.listen_port);
        let udps = if same_port {
            self.udps.iter().try_for_each(|udp| udp.set_mark(config.fwmark))?;
            self.udps.clone()
        } else {
            bind(&config, self.udps.len(), Wanted::from_environment())?
        };
        let old = &self.engine;
        let present = Arc::clone(&old.identities.load().current);
        let same_key = config.private_key.public_key() == present.key;
        if same_key && same_port {
            old.set_peers(peers)?;
            self.fwmark = config.fwmark;
            return Ok(());
        }
        let (identities, roster) = if same_key && udps.len() == self.udps.len() {
            (old.identities.load_full(), old.roster.load_full())
        } else {
            let lanes = udps.len() as u8;
            let identity = Identity::with_clock(&config.private_key, lanes, &present.clock);
            (Arc::new(Identities::one(Arc::new(identity))), Arc::new(Roster::empty()))
        };
        let lanes = edges(&self.tuns, &udps);
        let (engine, events) = Engine::new(identities, roster, config.mtu, lanes);
        engine.follow_mtu();
        engine.set_peers(peers)?;
        let stop = StopSignal::new().map_err(system("create an eventfd"))?;
        self.halt();
        self.engine = Arc::new(engine);
        (self.udps, self.stop, self.fwmark) = (udps, stop, config.fwmark);
        self.events = Mutex::new(Some(events));
        self.start_threads().map_err(system("start a thread"))
    }

    /// Keeps the time of the last handshakes in `file` from now on, and takes over what stands there:
    /// a clock that went back since then is reported in the log and in [`TunnelStatus`].
    ///
    /// # Errors
    /// When no thread can be started. A file that cannot be used is a warning in the log.
    pub fn keep_clock(&mut self, file: &Path) -> io::Result<()> {
        let clock = Arc::clone(&self.engine.identities.load().current.clock);
        self.clock = Some(ClockKeeper::start(file, clock)?);
        Ok(())
    }

    /// False once a thread has ended because its device or socket is gone for good.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.threads.iter().any(JoinHandle::is_finished)
    }

    fn start_threads(&mut self) -> io::Result<()> {
        let (queue, handshakes) = sync_channel(QUEUE);
        let (engine, stop) = (Arc::clone(&self.engine), self.stop.clone());
        self.threads.push(spawn("zm-slow", move || slow_lane(&engine, &handshakes, &stop))?);
        for (lane, edges) in self.tuns.iter().zip(&self.udps).enumerate() {
            let name = |kind: &str| match lane {
                0 => format!("zm-{kind}"),
                _ => format!("zm-{kind}-{lane}"),
            };
            let carrier = Carrier::new(
                &self.engine,
                lane,
                edges,
                queue.clone(),
                (self.realtime, &self.stop),
            )?;
            let carrier = Arc::new(carrier);
            let second = Arc::clone(&carrier);
            self.threads.push(spawn(&name("in"), move || second.carry_inward())?);
            self.threads.push(spawn(&name("both"), move || carrier.carry_both())?);
        }
        Ok(())
    }

    /// Puts exactly these peers into service. Peers that were there keep their sessions, and the
    /// endpoints they roamed to unless another one is configured now.
    ///
    /// # Errors
    /// [`PeersError`]; the peers that were there stay.
    pub fn set_peers(&self, peers: Vec<Peer>) -> Result<(), PeersError> {
        self.engine.set_peers(peers)
    }

    /// Answers to `next` too from now on. Each peer is spoken to with it as soon as the peer has used
    /// it; sessions and packets are not touched ([`PeerStatus::knows_next_key`]).
    ///
    /// # Errors
    /// [`PeersError`] if it is a peer's key; everything stays as it was.
    pub fn begin_rotation(&self, next: &WireGuardPrivateKey) -> Result<(), PeersError> {
        self.engine.begin_rotation(next)
    }

    /// Answers to the next key alone from now on. Sessions that were made with the old one end.
    ///
    /// # Errors
    /// [`PeersError`]; everything stays as it was.
    pub fn finish_rotation(&self) -> Result<(), PeersError> {
        self.engine.finish_rotation()
    }

    /// Sends to `endpoint` from now on, beginning with a handshake at once. False if there is no such peer.
    pub fn set_endpoint(&self, peer: &WireGuardPublicKey, endpoint: SocketAddr) -> bool {
        let roster = self.engine.roster.load();
        let known = roster.by_key(peer);
        if let Some(known) = known {
            known.set_endpoint(endpoint);
        }
        known.is_some()
    }

    /// Sends `packet`, a whole IP packet, to `peer` in one datagram that nobody on the way may cut
    /// into fragments, whatever MTU the device has.
    ///
    /// # Errors
    /// [`ProbeError`]; nothing waits for a session.
    pub fn probe(&self, peer: &WireGuardPublicKey, packet: &[u8]) -> Result<(), ProbeError> {
        self.engine.probe(peer, packet, Moment::now())
    }

    /// Bounds TCP segments and padding towards `peer` below what the device's MTU leaves; `None`
    /// takes the bound away. Longer packets are the routes' to refuse. False if there is no such
    /// peer.
    pub fn set_peer_mtu(&self, peer: &WireGuardPublicKey, mtu: Option<u16>) -> bool {
        let roster = self.engine.roster.load();
        let known = roster.by_key(peer);
        if let Some(known) = known {
            known.set_mtu(mtu);
        }
        known.is_some()
    }

    /// The tunnel as it is now.
    #[must_use]
    pub fn status(&self) -> TunnelStatus {
        let roster = self.engine.roster.load();
        let identities = self.engine.identities.load();
        let now = Instant::now();
        let status = |peer: &Arc<PeerLanes>| peer.status(&identities, now);
        let mut peers: Vec<_> = roster.peers().map(status).collect();
        peers.sort_by_key(|peer| peer.public_key);
        TunnelStatus {
            interface: self.interface.clone(),
            mtu: self.engine.mtu() as u16,
            listen_port: self.listen_port(),
            public_key: identities.current.key,
            next_key: identities.next.as_ref().map(|next| next.key),
            further_lanes: self.further_lanes(&identities),
            peers,
            dropped: self.engine.dropped.snapshot(),
            clock_behind: identities.current.clock.behind(SystemTime::now()),
            offloads: self.offloads(),
            merging_refused: self.engine.merging.refusals(),
        }
    }

    fn further_lanes(&self, identities: &Identities) -> Vec<PeerLane> {
        let of = |(own, udp): (Identities, &Arc<Udp>)| PeerLane {
            public_key: own.current.key,
            next_key: own.next.as_ref().map(|next| next.key),
            port_offset: udp.port() - self.listen_port(),
        };
        identities.each_lane().zip(&self.udps).skip(1).map(of).collect()
    }

    fn offloads(&self) -> Vec<(&'static str, Offload)> {
        let mut all = [&self.tuns[0].offloads()[..], &self.udps[0].offloads()].concat();
        let merge =
            all.iter_mut().find(|(kind, state)| *kind == "merge" && *state == Offload::InUse);
        if let Some((_, state)) = merge.filter(|_| self.engine.merging.is_on(Instant::now())) {
            *state = Offload::Paused;
        }
        all
    }

    /// True if there is such a peer.
    pub(crate) fn knows(&self, peer: &WireGuardPublicKey) -> bool {
        self.engine.roster.load().by_key(peer).is_some()
    }

    /// The peers with all their settings, ordered by key.
    pub(crate) fn peers(&self) -> Vec<(Peer, PeerStatus)> {
        let roster = self.engine.roster.load();
        let identities = self.engine.identities.load();
        let now = Instant::now();
        let in_full =
            |peer: &Arc<PeerLanes>| (peer.config().clone(), peer.status(&identities, now));
        let mut peers: Vec<_> = roster.peers().map(in_full).collect();
        peers.sort_by_key(|(peer, _)| peer.public_key);
        peers
    }

    pub(crate) fn private_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.engine.identities.load().current.secret.to_bytes())
    }

    pub(crate) fn listen_port(&self) -> u16 {
        self.udps[0].port()
    }

    pub(crate) fn fwmark(&self) -> Option<u32> {
        self.fwmark
    }

    /// The events of this tunnel, handed out once. What is not fetched in time is let go.
    pub fn events(&self) -> Option<Receiver<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The index of the TUN device, for netlink.
    #[must_use]
    pub fn if_index(&self) -> u32 {
        self.tuns[0].index()
    }

    /// The TUN device is to stay when this tunnel ends, with its addresses and routes: packets into
    /// it are lost until the next tunnel of this name takes it over, and no connection is.
    ///
    /// # Errors
    /// When the kernel refuses; the device then goes with the tunnel.
    pub fn leave_device(&self) -> io::Result<()> {
        self.tuns[0].set_persistent(true)
    }

    /// The TUN device is to go with this tunnel, also if it was left by an earlier one.
    ///
    /// # Errors
    /// When the kernel refuses; the device stays as it was.
    pub fn own_device(&self) -> io::Result<()> {
        self.tuns[0].set_persistent(false)
    }

    /// Stops carrying packets and removes the TUN device, unless it is to stay.
    pub fn stop(self) {
        drop(self);
    }

    fn halt(&mut self) {
        self.stop.raise();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a lane of the tunnel ended in a panic");
            }
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.halt();
    }
}

/// The sockets of all lanes. A lane whose port is taken is done without, and those behind it.
fn bind(config: &TunnelConfig, lanes: usize, wanted: Wanted) -> Result<Vec<Arc<Udp>>, StartError> {
    let mut udps = vec![Arc::new(Udp::bind(config.listen_port, config.fwmark, wanted)?)];
    let first = udps[0].port();
    for lane in 1..lanes {
        let port = first.checked_add(LANE_PORTS + lane as u16);
        match port.map(|port| Udp::bind(port, config.fwmark, wanted)) {
            Some(Ok(udp)) => udps.push(Arc::new(udp)),
            Some(Err(error)) => {
                tracing::warn!(lane, %error, "no more lanes than these: a port cannot be bound");
                break;
            }
            None => break,
        }
    }
    Ok(udps)
}

fn edges(tuns: &[Arc<Tun>], udps: &[Arc<Udp>]) -> Vec<Edges> {
    let of = |(tun, udp): (&Arc<Tun>, &Arc<Udp>)| Edges { tun: tun.clone(), udp: udp.clone() };
    tuns.iter().zip(udps).map(of).collect()
}

fn check_mtu(mtu: u16) -> Result<(), StartError> {
    if MTU_BOUNDS.contains(&mtu) { Ok(()) } else { Err(StartError::Mtu { mtu }) }
}

fn system(action: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::System { action, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_mtu_out_of_range_is_refused_before_anything_is_opened() {
        for (mtu, fits) in
            [(575, false), (576, true), (1420, true), (65_456, true), (65_457, false)]
        {
            assert_eq!(check_mtu(mtu).is_ok(), fits, "{mtu}");
        }
    }
}
