//! What a record has room for beside what each zone says today: docs/design/formats.md.
//!
//! Promises: all of it is optional and bounded, so that a later release fills it without a new format.
//! Refuses to know who fills it, and what follows from it.

use crate::name::{FederationName, ZoneName};

use super::CaState;

/// Most tunnel addresses of one gateway: four for each family.
pub const MAX_TUNNEL_IPS: usize = 8;
/// Most gateways in a record of release 0.1.0; one of today has one.
pub const MAX_GATEWAYS: usize = 16;
/// Most prefixes of a zone.
pub const MAX_PREFIXES: usize = 1024;
/// Most SuperLinks of a zone, and most sets of CA certificates.
pub const MAX_FEDERATIONS: usize = 64;
/// Most addresses of one SuperLink.
pub const MAX_SUPERLINK_ADDRESSES: usize = 16;
/// Most CA certificates of one federation, and most that a SuperLink holds.
pub const MAX_CAS: usize = 8;
/// Most SuperNodes of a zone.
pub const MAX_SUPERNODES: usize = 64;
/// Longest public key of a SuperNode in bytes: one of P-384 has 120 in DER.
pub const MAX_SUPERNODE_KEY: usize = 160;
/// Most zones that a gateway names as those it offers transit to.
pub(super) const MAX_TRANSIT_ZONES: usize = 64;

/// SHA-256 of a certificate in DER.
pub type CertificateHash = [u8; 32];

/// By what means an endpoint is reached. Others than these are passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndpointKind {
    /// WireGuard on UDP, at another port than the gateway's own.
    Udp,
    /// WireGuard on UDP 443.
    Udp443,
    /// WireGuard inside TLS on TCP 443.
    Tcp443,
    /// Where two other zones have seen this gateway: it may hold for the moment only.
    Observed,
}

/// A way to reach a gateway beside its endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FurtherEndpoint {
    /// By what means.
    pub kind: EndpointKind,
    /// `IP:port`, `[v6]:port` or `name:port`.
    pub endpoint: String,
}

/// That a zone carries others' packets to zones that they do not reach themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransitOffer {
    /// For whom; empty: for every member.
    pub zones: Vec<ZoneName>,
    /// At most this much for each pair of zones, in bytes per second; 0: not said.
    pub bytes_per_second: u64,
}

/// A CA certificate that a SuperLink trusts and is trusted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldCa {
    /// Which one.
    pub certificate: CertificateHash,
    /// Its place in the rotation, as the SuperLink knows it.
    pub state: CaState,
}

/// A SuperNode of the zone, as its companion reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneSuperNode {
    /// Its federation.
    pub federation: FederationName,
    /// The key that Flower knows it by (SubjectPublicKeyInfo in DER).
    pub public_key: Vec<u8>,
    /// The newest CA certificate that it trusts, if that is known.
    pub ca: Option<CertificateHash>,
    /// True if its companion speaks to its gateway.
    pub is_online: bool,
    /// True if its Flower was started and its SuperLink does not say that it has it online.
    pub is_connecting: bool,
}
