//! Each kind against a small network and a plan that changes.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Mutex;

use futures_util::future::BoxFuture;
use ipnet::IpNet;

use zonemesh_core::gateway::GatewayId;

use super::*;
use crate::act::network::{Network, NetworkChange};
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
        registry_port: 51_821,
        is_neighbour: true,
        keeps_alive: true,
    };
    MeshPlan {
        peers: nets.iter().map(peer).collect(),
        backstops: nets.iter().map(|third| net(*third)).collect(),
        trusted: Vec::new(),
        taken: Vec::new(),
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
