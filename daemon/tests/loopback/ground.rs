//! A small tunnel and a small network, in place of the kernel's.
//!
//! The tunnel keeps the zones that it is told and says that each has a session; packets of the registry
//! reach the other gateway over loopback. The network notes what it is told and refuses what it shall.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use ipnet::IpNet;
use zonemesh_core::kernel::{GuardState, KernelChange, KernelState, RouteWay};
use zonemesh_core::key::{WireGuardPrivateKey, WireGuardPublicKey};
use zonemesh_daemon::{DataPlane, Network};
use zonemesh_tunnel::{
    PeerStatus, PeersError, ProbeError, StartError, TunnelEvent, TunnelStatus, TunnelZone,
    ZoneStatus,
};

pub(crate) struct SmallTunnel {
    key: WireGuardPublicKey,
    next: Mutex<Option<WireGuardPublicKey>>,
    zones: Mutex<Vec<TunnelZone>>,
    /// What may be reached through it here, if that was told.
    pub(crate) reached: Mutex<Vec<IpNet>>,
}

impl SmallTunnel {
    pub(crate) fn new(key: WireGuardPublicKey) -> Self {
        Self { key, next: Mutex::default(), zones: Mutex::default(), reached: Mutex::default() }
    }

    /// The names of the zones in service.
    pub(crate) fn names(&self) -> Vec<String> {
        self.locked().iter().map(|zone| zone.name.clone()).collect()
    }

    fn locked(&self) -> MutexGuard<'_, Vec<TunnelZone>> {
        self.zones.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn in_session(key: WireGuardPublicKey) -> PeerStatus {
    PeerStatus {
        public_key: key,
        endpoint: "192.0.2.1:51820".parse().ok(),
        source_port: None,
        latest_handshake: Some(SystemTime::now()),
        rx_bytes: 1,
        tx_bytes: 1,
        send_refused: None,
        handshake_attempts_unanswered: 0,
        handshakes_unused: 0,
        knows_next_key: false,
        uses_current_key: true,
        segmentation_refused: 0,
        segmentation_paused: false,
        lanes: Vec::new(),
    }
}

impl DataPlane for SmallTunnel {
    fn status(&self) -> TunnelStatus {
        TunnelStatus {
            interface: "zm0".to_owned(),
            mtu: 1420,
            listen_port: 51820,
            public_key: self.key,
            next_key: *self.next.lock().unwrap(),
            further_lanes: Vec::new(),
            dropped: Vec::new(),
            clock_behind: None,
            offloads: Vec::new(),
            merging_refused: 0,
        }
    }

    fn zones(&self) -> Vec<ZoneStatus> {
        let of = |zone: &TunnelZone| ZoneStatus {
            name: zone.name.clone(),
            allowed_ips: zone.allowed_ips.clone(),
            active: zone.gateways[0].public_key,
            gateways: zone.gateways.iter().map(|peer| in_session(peer.public_key)).collect(),
        };
        self.locked().iter().map(of).collect()
    }

    fn peer_status(&self, key: &WireGuardPublicKey) -> Option<PeerStatus> {
        let zones = self.locked();
        let mut peers = zones.iter().flat_map(|zone| &zone.gateways);
        peers.any(|peer| peer.public_key == *key).then(|| in_session(*key))
    }

    fn is_running(&self) -> bool {
        true
    }

    fn if_index(&self) -> u32 {
        1
    }

    fn events(&self) -> Option<Receiver<TunnelEvent>> {
        None
    }

    /// Like the real one it takes all of them or none.
    fn set_zones(&self, zones: Vec<TunnelZone>) -> Result<(), PeersError> {
        for zone in &zones {
            if zone.gateways.iter().any(|peer| peer.public_key == self.key) {
                return Err(PeersError::OwnKey { name: zone.name.clone() });
            }
        }
        *self.locked() = zones;
        Ok(())
    }

    fn set_inner_destinations(&self, own: &[IpNet]) {
        *self.reached.lock().unwrap() = own.to_vec();
    }

    fn set_endpoint(&self, _: &WireGuardPublicKey, _: SocketAddr) -> bool {
        true
    }

    fn set_peer_mtu(&self, _: &WireGuardPublicKey, _: Option<u16>) -> bool {
        true
    }

    fn probe(&self, _: &WireGuardPublicKey, _: &[u8]) -> Result<(), ProbeError> {
        Err(ProbeError::NoSession)
    }

    fn begin_rotation(&self, next: &WireGuardPrivateKey) -> Result<(), PeersError> {
        *self.next.lock().unwrap() = Some(next.public_key());
        Ok(())
    }

    fn finish_rotation(&self) -> Result<(), PeersError> {
        Ok(())
    }

    fn renew_device(&self) -> Result<(), StartError> {
        Ok(())
    }

    fn leave_device(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Where an address inside the tunnels is found on this machine.
pub(crate) fn placed(tunnel_ip: IpAddr) -> IpAddr {
    match tunnel_ip {
        IpAddr::V4(ip) => {
            let [_, b, c, d] = ip.octets();
            IpAddr::from([127, b, c, d])
        }
        IpAddr::V6(_) => tunnel_ip,
    }
}

#[derive(Default)]
pub(crate) struct SmallNetwork {
    pub(crate) barred: Mutex<BTreeSet<IpNet>>,
    pub(crate) opened: Mutex<BTreeSet<IpNet>>,
    pub(crate) refused: Mutex<BTreeSet<IpNet>>,
    state: Mutex<KernelState>,
}

impl SmallNetwork {
    fn make(&self, change: KernelChange) -> anyhow::Result<()> {
        if let KernelChange::SetRoute { slot, to: RouteWay::Tunnel { .. }, .. } = &change {
            let is_refused = self.refused.lock().unwrap().contains(&slot.prefix);
            anyhow::ensure!(!is_refused, "no route to {}", slot.prefix);
        }
        let mut state = self.state.lock().unwrap();
        let link = state.link.get_or_insert_default();
        match change {
            KernelChange::MakeLink { name } | KernelChange::RenameLink { to: name, .. } => {
                link.name = name;
            }
            KernelChange::MarkLink => link.is_marked = true,
            KernelChange::LinkMtu { to, .. } => link.mtu = to,
            KernelChange::LinkUp => link.is_up = true,
            KernelChange::AddAddress(net) => drop(link.addresses.insert(net)),
            KernelChange::RemoveAddress(net) => drop(link.addresses.remove(&net)),
            KernelChange::SetRoute { slot, to, .. } => drop(state.routes.insert(slot, to)),
            KernelChange::RemoveRoute { slot, .. } => drop(state.routes.remove(&slot)),
            KernelChange::AddRule(rule) => drop(state.rules.insert(rule)),
            KernelChange::RemoveRule(rule) => drop(state.rules.remove(&rule)),
            KernelChange::SetGuard { to, .. } => state.guard = GuardState::Set(to),
        }
        let of = |is_meant: fn(&RouteWay) -> bool| {
            let meant = state.routes.iter().filter(|(_, way)| is_meant(way));
            meant.map(|(slot, _)| slot.prefix).collect()
        };
        *self.opened.lock().unwrap() = of(|way| matches!(way, RouteWay::Tunnel { .. }));
        *self.barred.lock().unwrap() = of(|way| *way == RouteWay::Unreachable);
        Ok(())
    }
}

impl Network for SmallNetwork {
    fn look<'a>(
        &'a self,
        _: &'a BTreeSet<IpNet>,
        _: &'a BTreeSet<IpAddr>,
    ) -> BoxFuture<'a, anyhow::Result<KernelState>> {
        Box::pin(std::future::ready(Ok(self.state.lock().unwrap().clone())))
    }

    fn change(&self, change: KernelChange) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(std::future::ready(self.make(change)))
    }

    fn underlay_mtu(&self, _: IpAddr) -> BoxFuture<'_, anyhow::Result<Option<u16>>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn place(&self, tunnel_ip: IpAddr) -> IpAddr {
        placed(tunnel_ip)
    }
}
