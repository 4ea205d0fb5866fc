//! Each kind against a small network and a plan that changes.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Mutex;

use futures_util::future::BoxFuture;
use ipnet::IpNet;

use zonemesh_core::gateway::GatewayId;
use zonemesh_core::key::{WireGuardPrivateKey, WireGuardPublicKey, ZoneIdentity};
use zonemesh_tunnel::{
    PeerStatus, PeersError, ProbeError, TunnelEvent, TunnelStatus, TunnelZone, ZoneStatus,
};

use super::*;
use crate::act::network::{Network, NetworkChange};
use crate::act::streams::LAST_WORD;
use crate::facts::tunnel::DataPlane;
use crate::plan::peers::GatewayRole;

/// Notes what is changed, and refuses what it is told to.
#[derive(Default)]
struct NotedNetwork {
    made: Mutex<Vec<NetworkChange>>,
    refused: Mutex<Option<NetworkChange>>,
}

impl Network for NotedNetwork {
    fn change(&self, change: NetworkChange) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move {
            anyhow::ensure!(*self.refused.lock().unwrap() != Some(change), "another route exists");
            self.made.lock().unwrap().push(change);
            Ok(())
        })
    }

    fn underlay_mtu(&self, _: IpAddr) -> BoxFuture<'_, anyhow::Result<Option<u16>>> {
        Box::pin(async { Ok(None) })
    }
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
    };
    MeshPlan {
        peers: nets.iter().map(peer).collect(),
        backstops: nets.iter().map(|third| net(*third)).collect(),
        ..MeshPlan::default()
    }
}

#[tokio::test]
async fn only_what_differs_is_touched() {
    let network = Arc::new(NotedNetwork::default());
    let mut routes = TunnelRoutes { network: network.clone(), set: BTreeSet::from([net(1)]) };
    assert!(settle(&mut routes, &plan(&[1, 2])).await.is_empty());
    assert_eq!(*network.made.lock().unwrap(), [NetworkChange::Open(net(2))]);
    assert!(routes.difference(&plan(&[1, 2])).is_empty());
    network.made.lock().unwrap().clear();
    assert!(settle(&mut routes, &plan(&[2, 3])).await.is_empty());
    let swapped = [NetworkChange::Close(net(1)), NetworkChange::Open(net(3))];
    assert_eq!(*network.made.lock().unwrap(), swapped);
}

#[tokio::test]
async fn one_route_that_cannot_be_set_stops_no_other_and_is_tried_again() {
    let network = Arc::new(NotedNetwork::default());
    *network.refused.lock().unwrap() = Some(NetworkChange::Open(net(1)));
    let mut routes = TunnelRoutes { network: network.clone(), set: BTreeSet::new() };
    let failed = settle(&mut routes, &plan(&[1, 2, 3])).await;
    let found = told(&plan(&[1, 2, 3]), failed);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].code, Code::PlanNotApplied);
    assert_eq!(routes.set, BTreeSet::from([net(2), net(3)]));
    *network.refused.lock().unwrap() = None;
    assert!(settle(&mut routes, &plan(&[1, 2, 3])).await.is_empty());
    assert!(told(&plan(&[1, 2, 3]), Vec::new()).is_empty());
    assert_eq!(routes.set.len(), 3);
}

#[tokio::test]
async fn a_backstop_of_a_zone_that_has_gone_goes_too() {
    let network = Arc::new(NotedNetwork::default());
    let mut backstops = Backstops { network: network.clone(), set: BTreeSet::from([net(1)]) };
    assert!(settle(&mut backstops, &plan(&[2])).await.is_empty());
    let made = [NetworkChange::Bar(net(2)), NetworkChange::Unbar(net(1))];
    assert_eq!(*network.made.lock().unwrap(), made);
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
    let keepalives = Keepalives::new(zonemesh_core::keepalive::Keepalive::DEFAULT, Arc::default());
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
