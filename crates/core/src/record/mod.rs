//! The zone record: what a zone says about itself to all others.
//!
//! Valid by construction: a record that was decoded has checked names, addresses and texts, so
//! that what stands in it may go into a certificate, a file or a command line. It refuses to know
//! whether the zone was entitled to say it (`registry`). Encoding is in `wire`, signing in `signed`.

mod admission;
mod ca;
mod certificate;
mod pem;
mod proof;
mod signed;
mod slots;
mod superlink;
mod text;
pub(crate) mod wire;

use std::net::IpAddr;

use ipnet::IpNet;

use crate::gateway::GatewayId;
use crate::key::WireGuardPublicKey;
use crate::name::{FederationName, ZoneName};
use crate::time::UnixMillis;

pub use admission::{
    Admission, AdmissionState, AdmittedNode, MAX_ADMITTED, NodeKeyDigest, node_key_digest,
};
pub use ca::{CaCertificate, CaSet, CaState};
pub use certificate::{GatewayCertificate, SignedGatewayCertificate};
pub use pem::CertificateDer;
pub use proof::KeyProof;
pub use signed::{MAX_RECORD_BYTES, SIGNATURE_BYTES, SignedRecord, SignedRecordError};
pub use slots::{
    CertificateHash, EndpointKind, FurtherEndpoint, HeldCa, MAX_CAS, MAX_FEDERATIONS, MAX_GATEWAYS,
    MAX_PREFIXES, MAX_SUPERLINK_ADDRESSES, MAX_SUPERNODE_KEY, MAX_SUPERNODES, MAX_TUNNEL_IPS,
    TransitOffer, ZoneSuperNode,
};
pub use superlink::{FlowerTransport, Readiness, SuperLink};
pub use text::TextProblem;
pub use wire::{DecodeError, Problem};

/// Most endpoints of one gateway: each name among them is asked for again and again by all others.
pub const MAX_ENDPOINTS: usize = 16;
/// Most lanes of one gateway beside the first.
pub const MAX_LANES: usize = 15;
/// Most proofs of one gateway: a present and a next key for each of its lanes. Each costs a signature
/// to check.
pub const MAX_PROOFS: usize = 2 * (MAX_LANES + 1);

/// Version of a zone record, compared in order of its fields. No clock takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version {
    /// Counts losses of the writer's memory.
    pub incarnation: u64,
    /// Counts the writer's records within an incarnation.
    pub seq: u64,
}

impl Version {
    /// The next version above this one.
    #[must_use]
    pub fn next(self) -> Self {
        match self.seq.checked_add(1) {
            Some(seq) => Self { seq, ..self },
            None => Self { incarnation: self.incarnation.saturating_add(1), seq: 0 },
        }
    }
}

/// Protocol versions that a gateway speaks, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProtocolRange {
    /// Lowest.
    pub min: u32,
    /// Highest.
    pub max: u32,
}

impl ProtocolRange {
    /// What this build speaks. Version 1, of release 0.1.0, knew no proofs of keys: what is said in it
    /// is read from this gateway's own disk, never from others.
    pub const CURRENT: Self = Self { min: 2, max: 2 };

    /// The highest version that both speak.
    #[must_use]
    pub fn common(self, other: Self) -> Option<u32> {
        let highest = self.max.min(other.max);
        (highest >= self.min.max(other.min)).then_some(highest)
    }
}

impl Default for ProtocolRange {
    fn default() -> Self {
        Self::CURRENT
    }
}

/// A gateway of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Name, unique in its zone.
    pub name: String,
    /// WireGuard key.
    pub wireguard_key: WireGuardPublicKey,
    /// The WireGuard key that it is changing to and answers to already, if it is.
    pub next_wireguard_key: Option<WireGuardPublicKey>,
    /// Its lanes beside the one of `wireguard_key`: in order, from the second on.
    pub lanes: Vec<Lane>,
    /// That it has the keys which it names, present and next, those of its lanes too.
    pub proofs: Vec<KeyProof>,
    /// How others reach it from outside: `IP:port`, `[v6]:port` or `name:port`.
    pub endpoints: Vec<String>,
    /// Further ways to reach it.
    pub further_endpoints: Vec<FurtherEndpoint>,
    /// Its addresses inside the tunnels.
    pub tunnel_ips: Vec<IpAddr>,
    /// TCP port of its registry on those addresses.
    pub registry_port: u16,
}

impl Gateway {
    /// All keys that it names.
    pub fn wireguard_keys(&self) -> impl Iterator<Item = WireGuardPublicKey> {
        let first = std::iter::once(self.wireguard_key).chain(self.next_wireguard_key);
        first.chain(self.lanes.iter().flat_map(Lane::wireguard_keys))
    }
}

/// A further lane of a gateway's tunnels: sessions of its own, for another core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    /// Its WireGuard key.
    pub wireguard_key: WireGuardPublicKey,
    /// The key that it is changing to, if the gateway is changing keys.
    pub next_wireguard_key: Option<WireGuardPublicKey>,
    /// How far its UDP port is above the port of the gateway's endpoints.
    pub port_offset: u16,
}

impl Lane {
    /// Its keys, present and next.
    pub fn wireguard_keys(&self) -> impl Iterator<Item = WireGuardPublicKey> {
        std::iter::once(self.wireguard_key).chain(self.next_wireguard_key)
    }
}

/// What a zone says about itself, before it has a version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordContent {
    /// Its gateways.
    pub gateways: Vec<Gateway>,
    /// The prefixes it announces.
    pub prefixes: Vec<IpNet>,
    /// SuperLinks that run in it.
    pub superlinks: Vec<SuperLink>,
    /// CA certificates of the federations that it holds.
    pub ca_sets: Vec<CaSet>,
    /// Protocol versions that its gateways speak.
    pub protocol: ProtocolRange,
    /// The release that its gateway runs, for example `0.2.0`.
    pub release: Option<String>,
    /// That it carries others' packets, if it does.
    pub transit: Option<TransitOffer>,
    /// SuperNodes that run in it.
    pub supernodes: Vec<ZoneSuperNode>,
}

impl RecordContent {
    /// What a zone says that leaves the mesh: nothing. No zone that stays says so little, as it has
    /// a gateway.
    #[must_use]
    pub fn farewell() -> Self {
        Self::default()
    }

    /// True if the zone has left.
    #[must_use]
    pub fn is_farewell(&self) -> bool {
        self.gateways.is_empty()
            && self.prefixes.is_empty()
            && self.superlinks.is_empty()
            && self.ca_sets.is_empty()
    }
}

/// What a gateway says for its zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneRecord {
    /// The zone.
    pub zone: ZoneName,
    /// The name of its gateway that is the only writer of this record.
    pub gateway: String,
    /// Its version.
    pub version: Version,
    /// When it was written, by the writer's clock. For people; orders nothing.
    pub issued_at: UnixMillis,
    /// What the zone says.
    pub content: RecordContent,
    /// That the writer is a gateway of the zone; none before it is signed.
    pub certificate: Option<SignedGatewayCertificate>,
}

impl ZoneRecord {
    /// Which gateway's it is.
    #[must_use]
    pub fn id(&self) -> GatewayId {
        GatewayId::new(self.zone.clone(), self.gateway.as_str())
    }

    /// True if release 0.1.0 wrote it, which signed with the zone's key and proved no keys.
    #[must_use]
    pub fn is_of_the_past(&self) -> bool {
        self.content.protocol.max < ProtocolRange::CURRENT.min
    }

    /// The zone's gateways with their ids, in the order in which the zone names them.
    pub fn gateways(&self) -> impl Iterator<Item = (GatewayId, &Gateway)> {
        let id = |gateway: &Gateway| GatewayId::new(self.zone.clone(), gateway.name.as_str());
        self.content.gateways.iter().map(move |gateway| (id(gateway), gateway))
    }

    /// The SuperLink of `federation` in this zone.
    #[must_use]
    pub fn superlink(&self, federation: &FederationName) -> Option<&SuperLink> {
        let mut superlinks = self.content.superlinks.iter();
        superlinks.find(|superlink| superlink.federation == *federation)
    }

    /// The CA certificates that this zone holds for `federation`.
    #[must_use]
    pub fn ca_set(&self, federation: &FederationName) -> Option<&CaSet> {
        let mut sets = self.content.ca_sets.iter();
        sets.find(|set| set.federation == *federation)
    }
}
