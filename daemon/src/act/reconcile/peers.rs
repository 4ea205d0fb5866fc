//! The peers of the tunnel.
//!
//! The tunnel takes all of them or none. A zone that it refuses is left out and told, so that it cuts
//! off nobody else.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use ipnet::IpNet;
use zonemesh_config::Config;
use zonemesh_core::record::Lane;
use zonemesh_tunnel::{PeerLane, PeersError, TunnelPeer, TunnelZone};

use super::Reconciler;
use crate::facts::in_force::{ConfigInForce, PresharedKeys};
use crate::facts::tunnel::DataPlane;
use crate::plan::endpoints::Candidates;
use crate::plan::{MeshPlan, PeerPlan};

/// The peers that the tunnel has.
pub(crate) struct TunnelPeers {
    pub(crate) tunnel: Arc<dyn DataPlane>,
    pub(crate) config: ConfigInForce,
    pub(crate) set: ToldPeers,
}

/// What the tunnel is told of its peers.
pub(crate) struct ToldPeers {
    pub(crate) peers: Vec<PeerPlan>,
    pub(crate) preshared: Arc<PresharedKeys>,
    pub(crate) keepalive: Duration,
}

impl ToldPeers {
    /// What the plan and the configuration in force ask for.
    pub(crate) fn of(peers: Vec<PeerPlan>, config: &ConfigInForce) -> Self {
        let keepalive = config.now().keepalive.wireguard;
        Self { peers, preshared: config.preshared(), keepalive }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.peers == other.peers
            && self.keepalive == other.keepalive
            && Arc::ptr_eq(&self.preshared, &other.preshared)
    }
}

impl Reconciler for TunnelPeers {
    type Step = ToldPeers;

    fn difference(&self, plan: &MeshPlan) -> Vec<ToldPeers> {
        let wanted = ToldPeers::of(plan.peers.clone(), &self.config);
        if wanted.is_same(&self.set) { Vec::new() } else { vec![wanted] }
    }

    async fn apply(&mut self, step: ToldPeers) -> anyhow::Result<()> {
        let mut zones = tunnel_zones(&step.peers, &step.preshared, step.keepalive);
        let mut refused = Vec::new();
        while let Err(error) = self.tunnel.set_zones(zones.clone()) {
            if !leave_out(&mut zones, &error) {
                return Err(error).context("cannot set the tunnel's peers");
            }
            refused.push(error.to_string());
        }
        if refused.is_empty() {
            self.set = step;
            return Ok(());
        }
        anyhow::bail!("zones are left out of the tunnel: {}", refused.join("; "))
    }
}

/// What other zones may reach here, as the tunnel was told.
pub(crate) struct InnerNetworks {
    pub(crate) tunnel: Arc<dyn DataPlane>,
    pub(crate) config: ConfigInForce,
    pub(crate) set: Vec<IpNet>,
}

impl Reconciler for InnerNetworks {
    type Step = Vec<IpNet>;

    fn difference(&self, _: &MeshPlan) -> Vec<Vec<IpNet>> {
        let wanted = inner_networks(&self.config.now());
        if wanted == self.set { Vec::new() } else { vec![wanted] }
    }

    async fn apply(&mut self, step: Vec<IpNet>) -> anyhow::Result<()> {
        self.tunnel.set_inner_destinations(&step);
        self.set = step;
        Ok(())
    }
}

/// This zone's prefixes and the tunnel addresses.
pub(crate) fn inner_networks(config: &Config) -> Vec<IpNet> {
    let addresses = config.tunnel.addresses.iter().copied().map(IpNet::from);
    addresses.chain(config.zone.prefixes.iter().copied()).collect()
}

/// False if the zone that is refused is not among them.
fn leave_out(zones: &mut Vec<TunnelZone>, error: &PeersError) -> bool {
    let (PeersError::NoGateway { name }
    | PeersError::OwnKey { name }
    | PeersError::SameKey { second: name, .. }
    | PeersError::SamePrefix { second: name, .. }) = error;
    let before = zones.len();
    zones.retain(|zone| zone.name != *name);
    zones.len() < before
}

/// The other zones, and the plain peers, as the tunnel is told of them.
pub(crate) fn tunnel_zones(
    peers: &[PeerPlan],
    preshared: &PresharedKeys,
    keepalive: Duration,
) -> Vec<TunnelZone> {
    let gateway = |peer: &PeerPlan| TunnelPeer {
        public_key: peer.wireguard_key,
        next_key: peer.next_key,
        lanes: peer.lanes.iter().map(lane).collect(),
        preshared_key: preshared.of(&peer.id.zone, peer.is_plain()).cloned(),
        endpoint: Candidates::new(peer.endpoints.clone()).first_address(),
        keepalive: peer.keepalive(keepalive),
    };
    // The peers of a zone stand together, the active one first.
    let of = |peers: &[PeerPlan]| TunnelZone {
        name: peers.iter().take(1).map(PeerPlan::owner).collect(),
        allowed_ips: peers.iter().flat_map(PeerPlan::allowed_ips).collect(),
        gateways: peers.iter().map(gateway).collect(),
    };
    peers.chunk_by(PeerPlan::is_beside).map(of).collect()
}

fn lane(lane: &Lane) -> PeerLane {
    PeerLane {
        public_key: lane.wireguard_key,
        next_key: lane.next_wireguard_key,
        port_offset: lane.port_offset,
    }
}

#[cfg(test)]
mod tests {
    use zonemesh_core::gateway::GatewayId;
    use zonemesh_core::key::WireGuardPublicKey;

    use super::*;
    use crate::plan::peers::GatewayRole;

    fn peer(id: &str, key: u8, role: GatewayRole, prefixes: &[&str]) -> PeerPlan {
        PeerPlan {
            id: id.parse::<GatewayId>().unwrap(),
            role,
            wireguard_key: WireGuardPublicKey([key; 32]),
            next_key: None,
            lanes: Vec::new(),
            endpoints: Vec::new(),
            prefixes: prefixes.iter().map(|text| text.parse().unwrap()).collect(),
            tunnel_ips: vec![std::net::IpAddr::from([10, 255, 0, key])],
            aside: Vec::new(),
            registry_port: 51_821,
            is_neighbour: true,
            keeps_alive: true,
            plain: None,
        }
    }

    #[test]
    fn the_gateways_of_a_zone_are_one_zone_of_the_tunnel() {
        let peers = [
            peer("madrid/gw1", 2, GatewayRole::Active, &["10.10.11.0/24"]),
            peer("madrid/gw2", 3, GatewayRole::Standby, &[]),
            peer("paris/gw1", 4, GatewayRole::Active, &["10.10.12.0/24"]),
        ];
        let zones = tunnel_zones(&peers, &PresharedKeys::default(), Duration::from_secs(25));
        let names: Vec<_> = zones.iter().map(|zone| zone.name.as_str()).collect();
        assert_eq!(names, ["madrid", "paris"]);
        let keys: Vec<_> = zones[0].gateways.iter().map(|peer| peer.public_key.0[0]).collect();
        assert_eq!(keys, [2, 3]);
        assert_eq!(zones[0].allowed_ips.len(), 3);
    }
}
