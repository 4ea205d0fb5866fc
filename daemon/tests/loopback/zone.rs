//! A zone whose gateway runs in this process, on a loopback address of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tempfile::TempDir;
use tonic::transport::Channel;
use zonemesh_api::clients::admin;
use zonemesh_api::v1;
use zonemesh_api::v1::admin_client::AdminClient;
use zonemesh_api::v1::mesh_client::MeshClient;
use zonemesh_config::Config;
use zonemesh_core::key::{WireGuardPrivateKey, ZoneIdentity};
use zonemesh_daemon::agent::{GivenGround, StartedGateway};

use crate::ground::{SmallNetwork, SmallTunnel, placed};

/// The name of the configuration file, in the state folder.
pub(crate) const FILE: &str = "zonemesh.toml";

/// What differs between two zones of one test.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// Of the test, so that tests run beside each other.
    pub(crate) mesh: u8,
    pub(crate) zone: u8,
}

impl Place {
    pub(crate) fn name(self) -> String {
        format!("z{}", self.zone)
    }

    pub(crate) fn prefix(self) -> IpNet {
        format!("10.20.{}.0/24", self.zone).parse().unwrap()
    }

    /// Where VMs call, if it serves any.
    pub(crate) fn local_api(self) -> SocketAddr {
        (self.loopback(), 28122).into()
    }

    fn tunnel_ip(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 20, 100 + self.mesh, self.zone)
    }

    /// Where its tunnel address is, as there is no tunnel.
    fn loopback(self) -> IpAddr {
        placed(self.tunnel_ip().into())
    }

    /// Where its neighbours call.
    pub(crate) fn registry(self) -> SocketAddr {
        (self.loopback(), 28121).into()
    }

    pub(crate) fn identity(self) -> ZoneIdentity {
        ZoneIdentity::from_seed(&[self.zone; 32])
    }

    fn private_key(self) -> WireGuardPrivateKey {
        WireGuardPrivateKey::from_bytes([100 + self.zone; 32])
    }

    fn as_peer(self) -> String {
        format!(
            "[[peer]]\nzone = \"{}\"\nwireguard_key = \"{}\"\nzone_key = \"{}\"\n\
             endpoints = [\"192.0.2.{}:51820\"]\nprefixes = [\"{}\"]\ntunnel_addresses = [\"{}\"]\n",
            self.name(),
            self.private_key().public_key(),
            self.identity().public_key(),
            self.zone,
            self.prefix(),
            self.tunnel_ip(),
        )
    }
}

pub(crate) struct Zone {
    pub(crate) tunnel: Arc<SmallTunnel>,
    pub(crate) network: Arc<SmallNetwork>,
    gateway: Option<StartedGateway>,
    folder: TempDir,
    place: Place,
    pub(crate) peers: Vec<Place>,
    /// What its configuration says besides.
    pub(crate) more: String,
    /// How much longer each write takes from the next start on.
    pub(crate) write_delay: Duration,
}

impl Zone {
    /// The gateway of `place`, with these peers.
    pub(crate) async fn start(place: Place, peers: &[Place]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        write("wireguard.key", &place.private_key().to_base64());
        write("zone.key", &place.identity().to_base64());
        let tunnel = Arc::new(SmallTunnel::new(place.private_key().public_key()));
        let network = Arc::default();
        let peers = peers.to_vec();
        let (more, write_delay) = (String::new(), Duration::ZERO);
        let mut zone =
            Self { tunnel, network, gateway: None, folder, place, peers, more, write_delay };
        zone.start_again().await;
        zone
    }

    /// The text of its configuration.
    fn text(&self) -> String {
        let folder = self.folder.path().display();
        let peers: String = self.peers.iter().map(|peer| peer.as_peer()).collect();
        format!(
            "[zone]\nname = \"{}\"\nprefixes = [\"{}\"]\n\
             [gateway]\nstate_dir = \"{folder}\"\nadmin_socket = \"{folder}/admin.sock\"\n\
             [tunnel]\naddresses = [\"{}\"]\nprivate_key_file = \"{folder}/wireguard.key\"\n\
             [registry]\nport = 28121\nidentity_key_file = \"{folder}/zone.key\"\n{peers}{}",
            self.place.name(),
            self.place.prefix(),
            self.place.tunnel_ip(),
            self.more,
        )
    }

    /// Writes its configuration file.
    pub(crate) fn write(&self) {
        std::fs::write(self.path(FILE), self.text()).unwrap();
    }

    /// Has the gateway take its file as it is.
    pub(crate) async fn reload(&self) -> v1::ReloadReply {
        self.mesh().await.reload(v1::ReloadRequest {}).await.unwrap().into_inner()
    }

    pub(crate) async fn start_again(&mut self) {
        self.write();
        let config = Config::parse(&self.text(), "test").unwrap();
        let ground = GivenGround {
            tunnel: self.tunnel.clone(),
            network: self.network.clone(),
            write_delay: self.write_delay,
            file: Some(self.path(FILE)),
        };
        self.gateway = Some(StartedGateway::start(config, ground).await.unwrap());
    }

    /// The same gateway, which does not run, with other peers from now on.
    pub(crate) async fn with_peers(mut self, peers: &[Place]) -> Self {
        self.peers = peers.to_vec();
        self.start_again().await;
        self
    }

    pub(crate) async fn stop(&mut self) {
        self.gateway.take().expect("it runs").stop().await;
    }

    /// A file of its state folder.
    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// A connection to the admin socket of another name.
    pub(crate) async fn admin_at(&self, name: &str) -> Option<AdminClient<Channel>> {
        admin::connect(&self.path(name)).await.ok()
    }

    pub(crate) async fn admin(&self) -> AdminClient<Channel> {
        admin::connect(&self.folder.path().join("admin.sock")).await.unwrap()
    }

    pub(crate) async fn mesh(&self) -> MeshClient<Channel> {
        admin::connect_mesh(&self.folder.path().join("admin.sock")).await.unwrap()
    }

    pub(crate) async fn status(&self) -> v1::StatusReply {
        let status = self.admin().await.status(v1::StatusRequest::default()).await.unwrap();
        status.into_inner()
    }

    /// What the gateway finds, the worst first.
    pub(crate) async fn findings(&self) -> Vec<v1::Finding> {
        self.status().await.findings
    }

    /// Registry streams that are open.
    pub(crate) async fn streams(&self) -> u32 {
        self.status().await.registry.map_or(0, |registry| registry.streams)
    }

    /// The same, once nobody has opened or closed one for a while: each of two may dial the other.
    pub(crate) async fn settled_streams(&self) -> u32 {
        let (mut count, mut alike) = (self.streams().await, 0);
        while alike < 10 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = self.streams().await;
            alike = if now == count { alike + 1 } else { 0 };
            count = now;
        }
        count
    }

    /// A file of its state folder; nothing if there is none.
    pub(crate) fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// The zones whose record this gateway holds, with its version.
    pub(crate) async fn records(&self) -> Vec<(String, u64)> {
        let reply = self.admin().await.records(v1::RecordsRequest::default()).await.unwrap();
        let records = reply.into_inner().records.into_iter();
        records.map(|record| (record.zone, record.seq)).collect()
    }
}

/// Waits until `look` is true.
pub(crate) async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !look().await {
        assert!(start.elapsed() < Duration::from_secs(30), "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
