//! Whoever holds a zone's key: its gateway, or somebody who stole it.
//!
//! Owns the key out of a gateway's files and what it opens: mutual TLS with another gateway's registry.
//! Refuses to know what is said there.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Result;
use tonic::transport::Channel;
use zonemesh_api::clients::registry;
use zonemesh_api::v1::registry_client::RegistryClient;
use zonemesh_core::keepalive::Keepalive;
use zonemesh_core::key::{ZoneIdentity, ZonePublicKey};
use zonemesh_core::mesh::MeshId;
use zonemesh_core::name::ZoneName;
use zonemesh_core::record::ProtocolRange;
use zonemesh_core::replication::{RegistryDigest, StreamHello};
use zonemesh_pki::{CurrentLeaf, ZoneAuthority, ZoneTrust, zone_client_config};

use crate::managed::ManagedGateway as _;
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::{Mesh, REGISTRY_PORT};

/// A zone's key, and the gateway that its holder turns to.
pub struct KeyHolder {
    /// The zone whose key it is.
    pub zone: ZoneName,
    /// The key.
    pub identity: ZoneIdentity,
    /// The mesh of that zone.
    pub mesh: MeshId,
    tls: Arc<rustls::ClientConfig>,
    server: SocketAddr,
}

impl KeyHolder {
    /// Takes the key out of the files of `zone`'s gateway, to use it towards that of `other`.
    ///
    /// # Errors
    /// When the keys cannot be read or the gateway does not say which mesh it is in.
    pub fn of(lab: &Lab, mesh: &mut Mesh, zone: &str, other: &str) -> Result<Self> {
        let file = mesh.gateway(zone)?.folder().join("zone.key");
        let identity = ZoneIdentity::from_base64(std::fs::read_to_string(file)?.trim())?;
        let own_ip = IpAddr::from(lab.zone(zone)?.tunnel_address);
        let authority = ZoneAuthority::from_seed(zone, &identity.seed())?;
        let leaf = CurrentLeaf::new(&authority.issue_leaf(&[own_ip], SystemTime::now())?)?;
        let key: ZonePublicKey = mesh.gateway(other)?.keys.zone.parse()?;
        let trust = ZoneTrust::new(&[(other.to_owned(), *key.as_bytes())])?;
        let server = IpAddr::from(lab.zone(other)?.tunnel_address);
        Ok(Self {
            zone: zone.parse()?,
            identity,
            mesh: MeshId::new(mesh.gateway(zone)?.zones()?.mesh),
            tls: zone_client_config(&trust, &leaf, other)?,
            server: SocketAddr::new(server, REGISTRY_PORT),
        })
    }

    /// A connection to the other gateway's registry. Call this inside a namespace from which it is reached.
    ///
    /// # Errors
    /// When there is no answer, or the other end refuses.
    pub async fn connect(&self) -> Result<RegistryClient<Channel>> {
        Ok(registry::connect(self.server, self.tls.clone(), &Keepalive::DEFAULT).await?)
    }

    /// What an honest gateway of this zone says first.
    #[must_use]
    pub fn hello(&self) -> StreamHello {
        StreamHello {
            mesh: self.mesh.clone(),
            zone: self.zone.clone(),
            protocol: ProtocolRange::CURRENT,
            holds: RegistryDigest { root_hash: [0; 32], trust_hash: Some([0; 32]) },
        }
    }
}
