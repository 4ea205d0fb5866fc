//! The task that watches: sends what is due, takes the answers, tells and applies what follows.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ipnet::IpNet;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use zonemesh_core::finding::{Code, Evidence, Finding};
use zonemesh_core::gateway::GatewayId;
use zonemesh_core::kernel::Ipv6State;
use zonemesh_core::path::{
    AnswerSeen, HandshakeStatus, MtuChange, PathChange, PathEvent, PathMonitor, PathState,
    PeerSightings, ProbeRequest, SendRefusal,
};
use zonemesh_tunnel::{PeerStatus, ProbeError};

use super::echo::ProbeHeard;
use super::packet::{self, ProbeFields, ProbePacket};
use super::{PathParts, ends};
use crate::act::PeersInService;
use crate::act::network::Network;
use crate::facts::findings::FindingBoard;
use crate::facts::in_force::ConfigInForce;
use crate::facts::kernel::ipv6;
use crate::facts::paths::{Happening, PathBoard, PathView};
use crate::facts::tunnel::DataPlane;
use crate::plan::PeerPlan;
use crate::plan::kernel::WantedMtus;
use crate::plan::mtu;
use crate::plan::punctuality::Punctuality;

/// How often probes that are due are looked for.
const TICK: Duration = Duration::from_millis(50);
/// How often the tunnel is asked for its peers, and the kernel for their paths.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_BELOW: Duration = Duration::from_secs(5);

/// A peer under watch.
struct WatchedPath {
    plan: PeerPlan,
    monitor: PathMonitor,
    session: HandshakeStatus,
    endpoint: Option<SocketAddr>,
    allowed_ips: Vec<IpNet>,
    underlay_mtu: Option<u16>,
    looked_below_at: Option<Duration>,
    since: Option<SystemTime>,
    /// Bytes that have come from it, and when that changed.
    received: u64,
    heard_at: Option<Duration>,
    sightings: PeerSightings,
    two_places: Option<[SocketAddr; 2]>,
    punctuality: Punctuality,
    /// The MTU that the tunnel was told.
    applied: Option<Option<u16>>,
}

/// All peers under watch.
pub(super) struct PathWatcher {
    config: ConfigInForce,
    tunnel: Arc<dyn DataPlane>,
    table: PeersInService,
    board: Arc<PathBoard>,
    findings: Arc<FindingBoard>,
    network: Arc<dyn Network>,
    mtus: Arc<watch::Sender<Arc<WantedMtus>>>,
    peers: BTreeMap<GatewayId, WatchedPath>,
    /// This gateway's tunnel addresses, as far as the machine takes them.
    own: Vec<IpAddr>,
    started: Instant,
    run: u64,
    device_mtu: u16,
    looked_at: Option<Duration>,
}

impl PathWatcher {
    pub(super) fn new(parts: PathParts) -> Self {
        let PathParts { config, tunnel, network, mtus, peers: table, board, findings } = parts;
        let device_mtu = mtu::of_device(config.now().tunnel.mtu, std::iter::empty());
        Self {
            config,
            tunnel,
            table,
            board,
            findings,
            network,
            mtus,
            peers: BTreeMap::new(),
            own: Vec::new(),
            started: Instant::now(),
            run: getrandom::u64().unwrap_or_default(),
            device_mtu,
            looked_at: None,
        }
    }

    /// Watches until it is dropped.
    pub(super) async fn run(mut self, mut heard: mpsc::Receiver<ProbeHeard>) -> anyhow::Result<()> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => self.work().await,
                Some(probe) = heard.recv() => self.take(probe),
            }
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn take(&mut self, heard: ProbeHeard) {
        let ProbeHeard { from, probe, at } = heard;
        let now = at.saturating_duration_since(self.started);
        let mut peers = self.peers.values_mut();
        let sender = peers.find(|peer| peer.plan.tunnel_ips.contains(&from));
        match sender {
            Some(peer) if !probe.is_answer => peer.monitor.handle_request(probe.fields.fits, now),
            Some(peer) if probe.fields.goodbye => peer.monitor.handle_goodbye(now),
            Some(peer) if probe.run == self.run => {
                let answer = AnswerSeen { number: probe.number, heard: probe.fields.heard };
                peer.monitor.handle_answer(answer, now);
            }
            _ => {}
        }
    }

    async fn work(&mut self) {
        let now = self.now();
        let looks = self.looked_at.is_none_or(|at| now.saturating_sub(at) >= LOOK);
        if looks {
            self.looked_at = Some(now);
            self.look(now).await;
        }
        let config = self.config.now();
        for peer in self.peers.values_mut() {
            let (requests, events) = peer.monitor.poll(&peer.session, now);
            for request in requests {
                let ends = ends(&self.own, &peer.plan.tunnel_ips);
                let (run, number) = (self.run, request.number);
                let fits = peer.monitor.mtu_to_tell();
                let fields = ProbeFields { fits, ..ProbeFields::default() };
                let probe = ProbePacket { is_answer: false, run, number, fields };
                let ports = (config.registry.port, peer.plan.registry_port);
                let packet = ends.and_then(|at| packet::whole(probe, at, ports, request.size));
                if let Some(packet) = packet {
                    peer.send(&*self.tunnel, request, &packet, self.started);
                }
            }
            // Figures of a second ago are as good; a change is not to wait.
            let is_news = looks || !events.is_empty();
            for event in events {
                peer.tell(event, &self.board);
            }
            if is_news {
                peer.show(&self.board);
            }
        }
        self.apply();
    }

    /// Takes over which peers there are and what the tunnel and the kernel say of them.
    async fn look(&mut self, now: Duration) {
        let tunnel = &self.config.now().tunnel;
        let takes_ipv6 = ipv6::state(&tunnel.interface) == Ipv6State::On;
        self.own.clone_from(&tunnel.addresses);
        self.own.retain(|ip| ip.is_ipv4() || takes_ipv6);
        // A tunnel that is not kept up is not kept busy either; a plain peer is sent no probes.
        let table = Arc::clone(&self.table.borrow_and_update());
        let watched = || table.iter().filter(|plan| plan.keeps_alive || plan.is_plain());
        let is_watched = |id: &GatewayId| watched().any(|plan| plan.id == *id);
        let (kept, mut left): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.peers).into_iter().partition(|(id, _)| is_watched(id));
        self.peers = kept;
        self.board.keep_only(is_watched);
        let config = self.config.now();
        let (interval, ceiling) = (config.probes.interval, self.device_mtu);
        for plan in watched() {
            let Some(status) = self.tunnel.peer_status(&plan.wireguard_key) else { continue };
            let peer = self.peers.entry(plan.id.clone()).or_insert_with(|| {
                // The same gateway under the name that its record has told since.
                let mut renamed = left.values().filter(|old| old.plan.is_same_gateway(plan));
                let old = renamed.next().map(|old| old.plan.id.clone());
                let known = old.and_then(|old| left.remove(&old));
                known.unwrap_or_else(|| WatchedPath::new(plan.clone(), interval, ceiling))
            });
            peer.plan.clone_from(plan);
            peer.monitor.set_interval(interval);
            peer.look(&status, now);
            // That nothing can be sent is told as that.
            let may_send = status.send_refused.is_none();
            let sent = peer.endpoint.filter(|_| may_send).map(|_| status.tx_bytes);
            let Some(keepalive) = plan.keepalive(config.keepalive.wireguard) else { continue };
            let was_late = peer.punctuality.is_late();
            let subject = || peer.plan.subject();
            if peer.punctuality.observe(sent, keepalive, now) {
                let zone = &peer.plan.id.zone;
                tracing::warn!(%zone, ?keepalive, "nothing was sent for longer than the keepalive");
                self.board.count(Happening::KeepaliveLate);
                let late = Finding::new(Code::KeepaliveMissed, subject());
                self.findings.raise(late.with(Evidence::Seconds(keepalive.as_secs())));
            } else if was_late && !peer.punctuality.is_late() {
                self.findings.clear(Code::KeepaliveMissed, &subject());
            }
        }
        self.look_below(now).await;
    }

    /// Reads the MTU of the paths below, and derives those inside from it.
    async fn look_below(&mut self, now: Duration) {
        for peer in self.peers.values_mut() {
            let Some(endpoint) = peer.endpoint else { continue };
            if peer.looked_below_at.is_some_and(|at| now.saturating_sub(at) < LOOK_BELOW) {
                continue;
            }
            peer.looked_below_at = Some(now);
            match self.network.underlay_mtu(endpoint.ip()).await {
                // Without a route the last one is as good as any.
                Ok(mtu) => peer.underlay_mtu = mtu.or(peer.underlay_mtu),
                Err(error) => {
                    let zone = &peer.plan.id.zone;
                    tracing::debug!(%zone, error = format!("{error:#}"), "no MTU of the underlay");
                }
            }
        }
        let configured = self.config.now().tunnel.mtu;
        let device_mtu =
            mtu::of_device(configured, self.peers.values().filter_map(WatchedPath::inside));
        if device_mtu != self.device_mtu {
            tracing::info!(mtu = device_mtu, "the tunnel follows the MTU of its paths");
            self.device_mtu = device_mtu;
        }
        for peer in self.peers.values_mut() {
            let ceiling = mtu::ceiling(self.device_mtu, peer.inside());
            peer.monitor.set_ceiling(ceiling, now);
        }
    }

    /// Tells how large packets to each peer may be: the tunnel, and who looks after the routes.
    fn apply(&mut self) {
        let mut wanted = WantedMtus { link: self.device_mtu, routes: BTreeMap::new() };
        for peer in self.peers.values_mut() {
            let mtu = Some(peer.monitor.mtu()).filter(|mtu| *mtu < self.device_mtu);
            if peer.applied != Some(mtu) {
                self.tunnel.set_peer_mtu(&peer.plan.wireguard_key, mtu);
                peer.applied = Some(mtu);
            }
            wanted.routes.extend(
                mtu.into_iter().flat_map(|mtu| peer.allowed_ips.iter().map(move |net| (*net, mtu))),
            );
        }
        self.mtus.send_if_modified(|mtus| {
            let is_new = **mtus != wanted;
            if is_new {
                *mtus = Arc::new(wanted);
            }
            is_new
        });
    }
}

impl WatchedPath {
    fn new(plan: PeerPlan, interval: Duration, ceiling: u16) -> Self {
        Self {
            plan,
            monitor: PathMonitor::new(interval, ceiling),
            session: HandshakeStatus::default(),
            endpoint: None,
            allowed_ips: Vec::new(),
            underlay_mtu: None,
            looked_below_at: None,
            since: None,
            received: 0,
            heard_at: None,
            sightings: PeerSightings::default(),
            two_places: None,
            punctuality: Punctuality::default(),
            applied: None,
        }
    }

    /// What the underlay leaves for packets to this peer.
    fn inside(&self) -> Option<u16> {
        self.underlay_mtu.zip(self.endpoint).map(|(mtu, at)| mtu::inside(mtu, at.ip()))
    }

    fn look(&mut self, status: &PeerStatus, now: Duration) {
        if self.received != status.rx_bytes {
            (self.received, self.heard_at) = (status.rx_bytes, Some(now));
            if let Some(endpoint) = status.endpoint {
                self.sightings.heard_from(endpoint, now);
            }
        }
        self.two_places = self.sightings.two_places(now);
        let age = |at: SystemTime| SystemTime::now().duration_since(at).unwrap_or_default();
        self.session = HandshakeStatus {
            handshake_age: status.latest_handshake.map(age),
            unanswered: status.handshake_attempts_unanswered,
            refused: status.send_refused.map(SendRefusal),
            heard_ago: self.heard_at.map(|at| now.saturating_sub(at)),
        };
        if self.endpoint.map(|at| at.ip()) != status.endpoint.map(|at| at.ip()) {
            self.looked_below_at = None;
            self.monitor.handle_moved(now);
        }
        self.endpoint = status.endpoint;
        self.allowed_ips = self.plan.routes().collect();
    }

    fn send(
        &mut self,
        tunnel: &dyn DataPlane,
        request: ProbeRequest,
        packet: &[u8],
        started: Instant,
    ) {
        let sent_at = started.elapsed();
        match tunnel.probe(&self.plan.wireguard_key, packet) {
            Ok(()) => self.monitor.handle_sent(request, sent_at),
            Err(ProbeError::NoSession | ProbeError::NoEndpoint) => {
                self.monitor.handle_no_session(request);
            }
            Err(ProbeError::Refused(error)) => {
                self.session.refused = error.raw_os_error().map(SendRefusal);
                self.monitor.handle_refused(request, sent_at);
            }
            Err(error) => tracing::trace!(zone = %self.plan.id.zone, %error, "no probe"),
        }
    }

    fn tell(&mut self, event: PathEvent, board: &PathBoard) {
        let zone = &self.plan.id.zone;
        match event {
            PathEvent::State(PathChange { from, to, reason }) => {
                self.since = Some(SystemTime::now());
                let from = from.as_str();
                match to {
                    PathState::Up => {
                        board.count(Happening::Up);
                        tracing::info!(%zone, %reason, from, "tunnel up");
                    }
                    PathState::Degraded => {
                        board.count(Happening::Degraded);
                        tracing::warn!(%zone, %reason, from, "tunnel degraded");
                    }
                    PathState::Down => {
                        board.count(Happening::Down);
                        tracing::warn!(%zone, %reason, from, "tunnel down");
                    }
                    PathState::Stopped => {
                        board.count(Happening::Stopped);
                        tracing::info!(%zone, %reason, from, "tunnel stopped");
                    }
                    PathState::Never => {}
                }
            }
            PathEvent::Mtu(MtuChange { from, to }) if to < from => {
                board.count(Happening::MtuLowered);
                tracing::warn!(%zone, from, "black hole: nothing above {to} bytes passes to {zone}");
            }
            PathEvent::Mtu(MtuChange { from, to }) => {
                board.count(Happening::MtuRaised);
                tracing::info!(%zone, from, "packets of up to {to} bytes pass to {zone} again");
            }
        }
    }

    fn show(&self, board: &PathBoard) {
        let summary = self.monitor.summary();
        let (since, underlay_mtu) = (self.since, self.underlay_mtu);
        let view = PathView { summary, since, underlay_mtu, two_places: self.two_places };
        board.show(self.plan.id.clone(), view);
    }
}
