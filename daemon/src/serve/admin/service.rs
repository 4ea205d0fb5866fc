//! Answers `zonemesh`: collects what the parts of the gateway know. Rendering is the tool's.

use std::net::SocketAddr;
use std::time::Duration;

use tonic::{Request, Response, Status};
use zonemesh_api::v1::admin_server::Admin;
use zonemesh_api::v1::{
    CertificatesReply, CertificatesRequest, Counter, EtcdView, LaneView, OffloadView, PeerView,
    PeersReply, PeersRequest, RecordsReply, RecordsRequest, StatusReply, StatusRequest,
    StreamState, SuperLinksReply, SuperLinksRequest, TunnelView,
};
use zonemesh_api::wire::admin as wire;
use zonemesh_api::wire::finding::finding;
use zonemesh_core::finding::Spelling;
use zonemesh_core::time::UnixMillis;
use zonemesh_pki::LocalApiKey;
use zonemesh_tunnel::{LaneStatus, Offload, PeerStatus, TunnelStatus};

use super::certificates;
use crate::plan::PeerPlan;
use crate::serve::observer::{Observer, passes, state_of};

pub(super) struct AdminService {
    pub(super) observer: Observer,
    pub(super) local_api: Option<LocalApiKey>,
}

#[tonic::async_trait]
impl Admin for AdminService {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusReply>, Status> {
        Ok(Response::new(self.status_reply()))
    }

    async fn peers(&self, _: Request<PeersRequest>) -> Result<Response<PeersReply>, Status> {
        let dropped = self.observer.tunnel.status().dropped;
        let dropped = dropped.into_iter().map(wire::counter).collect();
        let events = self.observer.paths.counters().into_iter().map(wire::counter).collect();
        Ok(Response::new(PeersReply { peers: self.peer_views(), dropped, events }))
    }

    async fn super_links(
        &self,
        _: Request<SuperLinksRequest>,
    ) -> Result<Response<SuperLinksReply>, Status> {
        let ledger = &self.observer.ledger;
        let reply = ledger.read(|registry| wire::superlinks(registry, certificates::fingerprint));
        Ok(Response::new(reply))
    }

    async fn records(&self, _: Request<RecordsRequest>) -> Result<Response<RecordsReply>, Status> {
        Ok(Response::new(self.observer.ledger.read(wire::records)))
    }

    async fn certificates(
        &self,
        _: Request<CertificatesRequest>,
    ) -> Result<Response<CertificatesReply>, Status> {
        let certificates = certificates::all(&self.observer, self.local_api.as_ref());
        Ok(Response::new(CertificatesReply { certificates }))
    }
}

impl AdminService {
    fn status_reply(&self) -> StatusReply {
        let observer = &self.observer;
        let config = &observer.config;
        observer.lookout.look();
        let findings = observer.findings.all();
        let peers = self.peer_views();
        let up = peers.iter().filter(|peer| passes(peer.state())).count();
        let holds = |name: &str| config.federations.iter().any(|held| held.name.as_str() == name);
        let (registry, federations, zone_key) = observer.ledger.read(|registry| {
            let own = registry.members().find(|member| member.zone == *registry.zone());
            (
                wire::registry(registry, observer.board.open_streams(), self.etcd_view()),
                wire::federations(registry, holds),
                own.map(|own| own.key.to_string()).unwrap_or_default(),
            )
        });
        StatusReply {
            zone: config.zone.name.to_string(),
            gateway: config.gateway.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at_unix_ms: UnixMillis::from(observer.started_at).0,
            now_unix_ms: observer.now().0,
            tunnel: Some(self.tunnel_view()),
            peers_total: count(peers.len()),
            peers_up: count(up),
            registry: Some(registry),
            findings: findings.iter().map(|one| finding(one, Spelling::File)).collect(),
            refused: observer.refusals.counters().into_iter().map(wire::counter).collect(),
            federations,
            prefixes: config.zone.prefixes.iter().map(ToString::to_string).collect(),
            zone_key,
        }
    }

    fn tunnel_view(&self) -> TunnelView {
        let status = self.observer.tunnel.status();
        let addresses = self.observer.config.tunnel.addresses.iter();
        TunnelView {
            interface: status.interface,
            mtu: u32::from(status.mtu),
            listen_port: u32::from(status.listen_port),
            public_key: status.public_key.to_string(),
            addresses: addresses.map(ToString::to_string).collect(),
            offloads: status.offloads.into_iter().map(offload_view).collect(),
        }
    }

    fn etcd_view(&self) -> Option<EtcdView> {
        let state = self.observer.etcd.as_ref()?.state();
        Some(EtcdView {
            url: state.url,
            reached: state.reached,
            since_unix_ms: state.since.0,
            error: state.error,
            refused: state.refused,
        })
    }

    /// One view for each peer, in the order of their zones.
    fn peer_views(&self) -> Vec<PeerView> {
        let status = self.observer.tunnel.status();
        let peers = self.observer.peers.borrow().clone();
        let of = |peer: &PeerPlan| {
            let tunnel = self.observer.tunnel.peer_status(&peer.wireguard_key);
            let mut view = self.peer_view(peer, tunnel.as_ref());
            (view.offloads, view.fallbacks) = bulk_work(&status, tunnel.as_ref());
            view
        };
        peers.iter().map(of).collect()
    }

    fn peer_view(&self, peer: &PeerPlan, tunnel: Option<&PeerStatus>) -> PeerView {
        let entry = self.observer.board.entry(&peer.id);
        let stream = match (entry.open > 0, entry.refused) {
            (true, _) => StreamState::Up,
            (false, _) if !peer.is_neighbour => StreamState::None,
            (false, true) => StreamState::Refused,
            (false, false) => StreamState::Connecting,
        };
        let open = entry.open > 0;
        let handshake = tunnel.and_then(|tunnel| tunnel.latest_handshake);
        let endpoint = tunnel.and_then(|tunnel| tunnel.endpoint);
        let path = self.observer.paths.path(&peer.id);
        let summary = path.map(|path| path.summary).filter(|summary| summary.answers);
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let reason = path.and_then(|path| path.summary.reason);
        let since = path.and_then(|path| path.since);
        let underlay = path.and_then(|path| path.underlay_mtu);
        PeerView {
            zone: peer.id.zone.to_string(),
            state: state_of(path, tunnel).into(),
            endpoint: endpoint.as_ref().map(SocketAddr::to_string).unwrap_or_default(),
            latest_handshake_unix_ms: handshake.map_or(0, |at| UnixMillis::from(at).0),
            rx_bytes: tunnel.map_or(0, |tunnel| tunnel.rx_bytes),
            tx_bytes: tunnel.map_or(0, |tunnel| tunnel.tx_bytes),
            prefixes: peer.prefixes.iter().map(ToString::to_string).collect(),
            tunnel_addresses: peer.tunnel_ips.iter().map(ToString::to_string).collect(),
            unanswered_initiations: tunnel.map_or(0, |t| t.handshake_attempts_unanswered),
            stream: stream.into(),
            clock_offset_ms: entry.clock_offset.map(|offset| offset.millis),
            public_key: peer.wireguard_key.to_string(),
            stream_error: if open { String::new() } else { entry.error },
            reason: reason.map(|reason| reason.to_string()).unwrap_or_default(),
            since_unix_ms: since.map_or(0, |at| UnixMillis::from(at).0),
            rtt_us: summary.and_then(|summary| summary.delay).map(micros),
            jitter_us: summary.and_then(|summary| summary.jitter).map(micros),
            loss_permille: summary.and_then(|summary| summary.loss.permille()),
            mtu: path.map_or(0, |path| u32::from(path.summary.mtu)),
            black_hole: path.is_some_and(|path| path.summary.black_hole),
            underlay_mtu: underlay.map_or(0, u32::from),
            offloads: Vec::new(),
            fallbacks: Vec::new(),
            lanes: tunnel.iter().flat_map(|tunnel| &tunnel.lanes).map(lane_view).collect(),
        }
    }
}

/// Bulk work as it is done for one peer, and how often it was refused: sends to this peer, writes of
/// merged packets to the device.
fn bulk_work(status: &TunnelStatus, peer: Option<&PeerStatus>) -> (Vec<OffloadView>, Vec<Counter>) {
    let is_paused = peer.is_some_and(|peer| peer.segmentation_paused);
    let of = |(kind, state): &(&'static str, Offload)| match (*kind, *state) {
        ("gso", Offload::InUse) if is_paused => offload_view(("gso", Offload::Paused)),
        as_it_is => offload_view(as_it_is),
    };
    let refused = peer.map_or(0, |peer| peer.segmentation_refused);
    let counts = [("gso_refused", refused), ("merge_refused", status.merging_refused)];
    (status.offloads.iter().map(of).collect(), counts.into_iter().map(wire::counter).collect())
}

fn offload_view((kind, state): (&'static str, Offload)) -> OffloadView {
    OffloadView { kind: kind.to_owned(), state: state.as_str().to_owned() }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn lane_view(lane: &LaneStatus) -> LaneView {
    LaneView {
        endpoint: lane.endpoint.map(|endpoint| endpoint.to_string()).unwrap_or_default(),
        latest_handshake_unix_ms: lane.latest_handshake.map_or(0, |at| UnixMillis::from(at).0),
        rx_bytes: lane.rx_bytes,
        tx_bytes: lane.tx_bytes,
        usable: lane.is_usable,
        unanswered_initiations: lane.handshake_attempts_unanswered,
    }
}
