//! Each kind against a small network and a plan that changes.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Mutex;

use futures_util::future::BoxFuture;
use ipnet::IpNet;

use zonemesh_core::gateway::GatewayId;
use zonemesh_core::journal::JournalEvent;
use zonemesh_core::kernel::{GuardState, KernelChange, RouteWay, TunnelLink};
use zonemesh_core::key::{WireGuardPrivateKey, WireGuardPublicKey, ZoneIdentity};
use zonemesh_tunnel::{
    PeerStatus, PeersError, ProbeError, StartError, TunnelEvent, TunnelStatus, TunnelZone,
    ZoneStatus,
};

use super::*;
use crate::act::network::Network;
use crate::act::streams::LAST_WORD;
use crate::facts::findings::FindingBoard;
use crate::facts::tunnel::DataPlane;
use crate::plan::kernel::{OwnLink, WantedMtus};
use crate::plan::peers::GatewayRole;

/// A kernel that notes what is changed, and refuses what it is told to.
#[derive(Default)]
struct NotedNetwork {
    state: Mutex<KernelState>,
    made: Mutex<Vec<KernelChange>>,
    refused: Mutex<Option<IpNet>>,
    /// Says that a route is set, and it is not.
    forgets: Mutex<Option<IpNet>>,
}

impl NotedNetwork {
    fn made(&self) -> Vec<KernelChange> {
        std::mem::take(&mut *self.made.lock().unwrap())
    }

    fn ways(&self) -> BTreeSet<IpNet> {
        let state = self.state.lock().unwrap();
        let ways = state.routes.iter().filter(|(_, way)| matches!(way, RouteWay::Tunnel { .. }));
        ways.map(|(slot, _)| slot.prefix).collect()
    }

    fn make(&self, change: KernelChange) -> anyhow::Result<()> {
        let mut state = self.state.lock().unwrap();
        match change.clone() {
            KernelChange::MakeLink { name } => {
                let (mtu, is_up, is_marked) = (1420, true, true);
                let link = TunnelLink { name, mtu, is_up, is_marked, ..TunnelLink::default() };
                state.link = Some(link);
            }
            KernelChange::SetRoute { slot, to, .. } => {
                let is_refused = *self.refused.lock().unwrap() == Some(slot.prefix);
                anyhow::ensure!(!is_refused, "no route to {}", slot.prefix);
                if *self.forgets.lock().unwrap() != Some(slot.prefix) {
                    state.routes.insert(slot, to);
                }
            }
            KernelChange::RemoveRoute { slot, .. } => drop(state.routes.remove(&slot)),
            KernelChange::AddRule(rule) => drop(state.rules.insert(rule)),
            KernelChange::SetGuard { to, .. } => state.guard = GuardState::Set(to),
            other => anyhow::bail!("not expected: {other}"),
        }
        self.made.lock().unwrap().push(change);
        Ok(())
    }
}

impl Network for NotedNetwork {
    fn look<'a>(
        &'a self,
        _: &'a BTreeSet<IpNet>,
        _: &'a BTreeSet<IpAddr>,
    ) -> BoxFuture<'a, anyhow::Result<KernelState>> {
        Box::pin(async { Ok(self.state.lock().unwrap().clone()) })
    }

    fn change(&self, change: KernelChange) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move { self.make(change) })
    }

    fn underlay_mtu(&self, _: IpAddr) -> BoxFuture<'_, anyhow::Result<Option<u16>>> {
        Box::pin(async { Ok(None) })
    }
}

/// What looks after this network.
fn kernel(network: &Arc<NotedNetwork>, findings: &Arc<FindingBoard>) -> Kernel {
    let own = OwnLink { name: "zm0".to_owned(), addresses: Vec::new() };
    let wanted = WantedMtus { link: 1420, ..WantedMtus::default() };
    let mtus = watch::Sender::new(Arc::new(wanted)).subscribe();
    Kernel::new(network.clone(), own, mtus, findings.clone())
}

/// Bars and opens; returns what was refused.
async fn settle_kernel(kernel: &mut Kernel, plan: &MeshPlan) -> Vec<String> {
    let mut failed = tell_refused(kernel.bar(plan).await);
    failed.extend(tell_refused(kernel.open(plan).await));
    failed
}

fn net(third: u8) -> IpNet {
    format!("10.10.{third}.0/24").parse().unwrap()
}

fn plan(nets: &[u8]) -> MeshPlan {
    let peer = |third: &u8| PeerPlan {
        id: GatewayId::assumed(format!("z{third}").parse().unwrap()),
        role: GatewayRole::Active,
        wireguard_key: zonemesh_core::key::WireGuardPublicKey([*third; 32]),
        next_key: None,
        lanes: Vec::new(),
        endpoints: Vec::new(),
        prefixes: vec![net(*third)],
        tunnel_ips: Vec::new(),
        aside: Vec::new(),
        registry_port: 51_821,
        is_neighbour: true,
        keeps_alive: true,
        plain: None,
    };
    MeshPlan {
        peers: nets.iter().map(peer).collect(),
        backstops: nets.iter().map(|third| net(*third)).collect(),
        ..MeshPlan::default()
    }
}

#[tokio::test]
async fn only_what_differs_is_touched() {
    let (network, findings) = (Arc::new(NotedNetwork::default()), Arc::default());
    let mut kernel = kernel(&network, &findings);
    assert!(settle_kernel(&mut kernel, &plan(&[1])).await.is_empty());
    network.made();
    assert!(settle_kernel(&mut kernel, &plan(&[1])).await.is_empty());
    assert_eq!(network.made(), []);
    assert!(settle_kernel(&mut kernel, &plan(&[1, 2])).await.is_empty());
    let touched = |change: &KernelChange| match change {
        KernelChange::SetRoute { slot, .. } => slot.prefix == net(2),
        change => matches!(change, KernelChange::SetGuard { .. }),
    };
    let made = network.made();
    assert_eq!(made.len(), 3, "{made:?}");
    assert!(made.iter().all(touched), "{made:?}");
    assert_eq!(network.ways(), BTreeSet::from([net(1), net(2)]));
}

#[tokio::test]
async fn one_route_that_cannot_be_set_stops_no_other_and_is_tried_again() {
    let (network, findings) = (Arc::new(NotedNetwork::default()), Arc::default());
    *network.refused.lock().unwrap() = Some(net(1));
    let mut kernel = kernel(&network, &findings);
    let failed = settle_kernel(&mut kernel, &plan(&[1, 2, 3])).await;
    let found = told(&plan(&[1, 2, 3]), kernel.seen(), failed);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].code, Code::PlanNotApplied);
    assert_eq!(network.ways(), BTreeSet::from([net(2), net(3)]));
    *network.refused.lock().unwrap() = None;
    assert!(settle_kernel(&mut kernel, &plan(&[1, 2, 3])).await.is_empty());
    assert!(told(&plan(&[1, 2, 3]), kernel.seen(), Vec::new()).is_empty());
    assert_eq!(network.ways().len(), 3);
}

#[tokio::test]
async fn what_somebody_takes_comes_back_and_is_an_event_and_a_zone_that_goes_is_none() {
    let (network, findings) = (Arc::new(NotedNetwork::default()), Arc::<FindingBoard>::default());
    let mut events = findings.events().unwrap();
    let mut kernel = kernel(&network, &findings);
    settle_kernel(&mut kernel, &plan(&[1, 2])).await;
    settle_kernel(&mut kernel, &plan(&[1])).await;
    assert_eq!(network.ways(), BTreeSet::from([net(1)]));
    assert!(events.try_recv().is_err(), "nobody has changed anything");
    network.state.lock().unwrap().routes.clear();
    let wanted = plan(&[1]);
    let taken = tokio::time::timeout(Duration::from_secs(4), kernel.disturbed(&wanted));
    taken.await.unwrap();
    settle_kernel(&mut kernel, &plan(&[1])).await;
    assert_eq!(network.ways(), BTreeSet::from([net(1)]));
    for _ in 0..2 {
        let event = events.try_recv().unwrap();
        let JournalEvent::Repaired { kind, before, .. } = &event else { panic!("{event:?}") };
        assert_eq!((kind.as_str(), before.as_str()), ("route", "none"));
    }
    assert!(events.try_recv().is_err());
}

#[tokio::test]
async fn what_does_not_stay_as_it_was_set_is_a_finding_and_no_reason_to_try_without_end() {
    let (network, findings) = (Arc::new(NotedNetwork::default()), Arc::default());
    *network.forgets.lock().unwrap() = Some(net(1));
    let mut kernel = kernel(&network, &findings);
    let wanted = plan(&[1, 2]);
    let failed = settle_kernel(&mut kernel, &wanted).await;
    assert!(failed.iter().all(|reason| reason.contains("does not stay")), "{failed:?}");
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(network.made().len() < 20);
    let again = tokio::time::timeout(Duration::from_secs(4), kernel.disturbed(&wanted)).await;
    assert!(again.is_err(), "it is tried again now and then, not at each look");
}

/// The streams of a gateway whose neighbours are z2 and z3.
fn streams(folder: &std::path::Path) -> NeighbourStreams {
    use crate::facts::certificates::OwnLeaf;
    use crate::facts::disk::writer;
    use crate::facts::keepalives::Keepalives;
    use crate::facts::ledger::{Ledger, OwnZone};
    use crate::facts::streams::StreamBoard;

    let (zone, identity) = ("z1".parse().unwrap(), ZoneIdentity::from_seed(&[1; 32]));
    let leaf =
        Arc::new(OwnLeaf::issue(&zone, &identity, &["10.255.0.1".parse().unwrap()]).unwrap());
    let member = zonemesh_core::member::Member {
        zone: zone.clone(),
        key: identity.public_key(),
        prefixes: Vec::new(),
        tunnel_ips: Vec::new(),
    };
    let gateway = "berlin-gw1".to_owned();
    let own = OwnZone { zone, gateway, identity, members: vec![member] };
    let ledger = Ledger::open(own, folder, writer()).unwrap();
    let board = Arc::new(StreamBoard::new(Arc::default()));
    let keepalives = Keepalives::new(ConfigInForce::smallest(), Arc::default());
    let context = crate::act::streams::StreamContext {
        ledger,
        board,
        keepalives,
        network: Arc::new(NotedNetwork::default()),
        pairs: Arc::default(),
        tunnel: Arc::new(NoTunnel),
    };
    let trust = zonemesh_pki::ZoneTrust::new(&[]).unwrap();
    NeighbourStreams::new(context, trust, leaf)
}

/// Where no stream ever opens, nobody asks the tunnel.
struct NoTunnel;

impl DataPlane for NoTunnel {
    fn status(&self) -> TunnelStatus {
        unreachable!()
    }

    fn zones(&self) -> Vec<ZoneStatus> {
        unreachable!()
    }

    fn peer_status(&self, _: &WireGuardPublicKey) -> Option<PeerStatus> {
        unreachable!()
    }

    fn is_running(&self) -> bool {
        unreachable!()
    }

    fn if_index(&self) -> u32 {
        unreachable!()
    }

    fn events(&self) -> Option<std::sync::mpsc::Receiver<TunnelEvent>> {
        unreachable!()
    }

    fn set_zones(&self, _: Vec<TunnelZone>) -> Result<(), PeersError> {
        unreachable!()
    }

    fn set_inner_destinations(&self, _: &[IpNet]) {
        unreachable!()
    }

    fn set_endpoint(&self, _: &WireGuardPublicKey, _: std::net::SocketAddr) -> bool {
        unreachable!()
    }

    fn set_peer_mtu(&self, _: &WireGuardPublicKey, _: Option<u16>) -> bool {
        unreachable!()
    }

    fn probe(&self, _: &WireGuardPublicKey, _: &[u8]) -> Result<(), ProbeError> {
        unreachable!()
    }

    fn begin_rotation(&self, _: &WireGuardPrivateKey) -> Result<(), PeersError> {
        unreachable!()
    }

    fn finish_rotation(&self) -> Result<(), PeersError> {
        unreachable!()
    }

    fn renew_device(&self) -> Result<(), StartError> {
        unreachable!()
    }

    fn leave_device(&self) -> std::io::Result<()> {
        unreachable!()
    }
}

#[tokio::test]
async fn a_stream_to_a_zone_that_is_out_holds_its_tunnel_for_a_second_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let streams = streams(folder.path());
    let (trusted, out) = (("z2".to_owned(), [2; 32]), GatewayId::assumed("z3".parse().unwrap()));
    let plan = MeshPlan { trusted: vec![trusted], ..MeshPlan::default() };
    let took = async || {
        let start = std::time::Instant::now();
        streams.last_words(&plan).await;
        start.elapsed()
    };
    streams.board().opened(&GatewayId::assumed("z2".parse().unwrap()));
    assert!(took().await < Duration::from_millis(100), "nobody is out");
    streams.board().opened(&out);
    let waited = took().await;
    assert!(waited >= LAST_WORD && waited < LAST_WORD * 2, "{waited:?}");
    let ends = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        streams.board().closed(&out);
    };
    let (waited, ()) = tokio::join!(took(), ends);
    assert!(waited < Duration::from_millis(500), "it has ended: {waited:?}");
}
