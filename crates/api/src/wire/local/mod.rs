//! What VMs ask their gateway, and what it answers.
//!
//! [`FederationQuestion`] is asked once, a companion speaks in a session; [`FederationAnswer`] is what
//! both are shown. Each is written and read here only: a companion's words are the daemon's.

mod admission;
mod networks;
mod session;

use std::fmt;
use std::net::IpAddr;

use zeroize::Zeroizing;
use zonemesh_core::membership::SignedTrustItem;
use zonemesh_core::name::{FederationName, ZoneName};
use zonemesh_core::record::{
    Admission, AdmittedNode, CaCertificate, CaSet, CaState, FlowerTransport, NodeKeyDigest,
    Readiness,
};
use zonemesh_core::registry::{FoundSuperLink, SignedRevocation};
use zonemesh_core::time::UnixMillis;
use zonemesh_core::token::{VmRole, VmToken};

use super::trust::trust_items;
use super::{WireError, WireProblem, addresses, name, port, readiness, transport};
use crate::v1;

pub use admission::{members, named_members};
pub use networks::NetworksBehind;
pub use session::{CompanionHello, Registration, report};

/// Writes what a gateway shows of its zone.
#[must_use]
pub fn attestation(items: &[SignedTrustItem]) -> v1::AttestReply {
    v1::AttestReply { items: items.iter().map(v1::TrustItem::from).collect() }
}

/// What a gateway has shown of its zone; nothing of it is believed yet.
///
/// # Errors
/// [`WireError`] if it has no form.
pub fn shown_items(reply: v1::AttestReply) -> Result<Vec<SignedTrustItem>, WireError> {
    trust_items("items", reply.items)
}

/// What a VM asks about a federation.
pub struct FederationQuestion {
    /// The federation.
    pub federation: FederationName,
    /// Who asks, if that is said.
    pub proof: Option<ShownToken>,
}

/// A token that a VM shows, and for what. Nothing is believed yet.
#[derive(Clone)]
pub struct ShownToken {
    /// The token.
    pub token: Zeroizing<String>,
    /// What runs in the VM.
    pub role: VmRole,
}

impl FederationQuestion {
    /// The question of a companion that says who it is.
    #[must_use]
    pub fn by(federation: &FederationName, token: &VmToken, role: VmRole) -> Self {
        let token = Zeroizing::new(token.reveal().to_owned());
        Self { federation: federation.clone(), proof: Some(ShownToken { token, role }) }
    }

    /// What runs in the VM that asks, if that is said.
    #[must_use]
    pub fn role(&self) -> Option<VmRole> {
        self.proof.as_ref().map(|proof| proof.role)
    }
}

impl TryFrom<v1::VmProof> for ShownToken {
    type Error = WireError;

    fn try_from(wire: v1::VmProof) -> Result<Self, WireError> {
        let token = Zeroizing::new(wire.token);
        required("proof.token", &token)?;
        let role = match v1::VmRole::try_from(wire.role) {
            Ok(v1::VmRole::Superlink) => VmRole::SuperLink,
            Ok(v1::VmRole::Supernode) => VmRole::SuperNode,
            Ok(v1::VmRole::Unspecified) => {
                return Err(WireError::new("proof.role", WireProblem::Missing));
            }
            Err(_) => {
                return Err(WireError::new("proof.role", WireProblem::UnknownValue(wire.role)));
            }
        };
        Ok(Self { token, role })
    }
}

impl From<ShownToken> for v1::VmProof {
    fn from(shown: ShownToken) -> Self {
        let role = match shown.role {
            VmRole::SuperLink => v1::VmRole::Superlink,
            VmRole::SuperNode => v1::VmRole::Supernode,
        };
        Self { token: shown.token.as_str().to_owned(), role: role.into() }
    }
}

impl TryFrom<v1::ResolveRequest> for FederationQuestion {
    type Error = WireError;

    fn try_from(wire: v1::ResolveRequest) -> Result<Self, WireError> {
        let proof = wire.proof.map(ShownToken::try_from).transpose()?;
        Ok(Self { federation: name("federation", &wire.federation)?, proof })
    }
}

impl From<FederationQuestion> for v1::ResolveRequest {
    fn from(asked: FederationQuestion) -> Self {
        let proof = asked.proof.map(v1::VmProof::from);
        Self { federation: asked.federation.to_string(), proof }
    }
}

fn at_most(field: &str, found: usize, most: usize) -> Result<(), WireError> {
    match found > most {
        true => Err(WireError::new(field, WireProblem::TooMany)),
        false => Ok(()),
    }
}

fn required(field: &str, text: &str) -> Result<(), WireError> {
    match text.is_empty() {
        true => Err(WireError::new(field, WireProblem::Missing)),
        false => Ok(()),
    }
}

/// What a gateway adds to the registry's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnsweringGateway {
    /// Its clock.
    pub now: UnixMillis,
    /// Grows with each change that it sees.
    pub revision: u64,
    /// True if it can reach the SuperLink's zone.
    pub zone_reachable: bool,
    /// The clock of the SuperLink's gateway minus its own, if known; 0 if that gateway is itself.
    pub superlink_gateway_offset_ms: Option<i64>,
    /// The key of the SuperNode whose companion asks, if it has reported one.
    pub asks_about: Option<NodeKeyDigest>,
}

/// Writes what a gateway knows about a federation.
#[must_use]
pub fn federation_view(
    federation: &FederationName,
    found: Option<FoundSuperLink<'_>>,
    gateway: AnsweringGateway,
) -> v1::FederationView {
    let mut view = v1::FederationView {
        federation: federation.to_string(),
        gateway_time_unix_ms: gateway.now.0,
        revision: gateway.revision,
        ..v1::FederationView::default()
    };
    let Some(found) = found else { return view };
    let superlink = found.superlink;
    let offset = gateway
        .superlink_gateway_offset_ms
        .map(|offset| offset.saturating_add(superlink.clock_offset_ms));
    view.found = true;
    view.zone = found.zone.to_string();
    view.addresses = superlink.addresses.iter().map(IpAddr::to_string).collect();
    view.fleet_port = u32::from(superlink.fleet_port);
    view.control_port = u32::from(superlink.control_port);
    view.flower_version.clone_from(&superlink.flower_version);
    view.transport = superlink.transport.number();
    view.readiness = superlink.readiness.number();
    view.tls_name.clone_from(&superlink.tls_name);
    view.cas = found.ca_set.map(trusted_cas).unwrap_or_default();
    view.superlink_clock_offset_ms = offset;
    view.zone_reachable = gateway.zone_reachable;
    view.conflict = found.conflict;
    view.authenticates = superlink.admitted.is_some();
    let digest = gateway.asks_about;
    let listed = superlink.admitted.iter().flatten().find(|node| Some(node.key) == digest);
    view.node = listed.map(v1::AdmittedNode::from);
    view
}

/// The certificates to trust: ACTIVE, then NEXT, then RETIRING.
#[must_use]
pub fn trusted_cas(set: &CaSet) -> Vec<v1::FederationCa> {
    let order = [CaState::Active, CaState::Next, CaState::Retiring];
    let in_state = |state| set.certificates.iter().filter(move |ca| ca.state == state);
    let certificates = order.into_iter().flat_map(in_state);
    let written = |ca: &CaCertificate| v1::FederationCa {
        pem: ca.certificate.pem(),
        state: ca.state.number(),
    };
    certificates.map(written).collect()
}

/// What a companion learns about its federation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FederationAnswer {
    /// The federation.
    pub name: FederationName,
    /// Its SuperLink, if one is registered in some zone.
    pub superlink: Option<RegisteredSuperLink>,
    /// The gateway's clock when it answered.
    pub gateway_time: UnixMillis,
    /// Grows with each change; starts anew with the daemon.
    pub revision: u64,
    /// Set if the gateway's own zone was revoked.
    pub zone_revoked: Option<ToldRevocation>,
    /// When the gateway's own zone has left its mesh, if it has.
    pub zone_left: Option<UnixMillis>,
}

/// What a gateway tells its VMs of the revocation of its zone's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldRevocation {
    /// Who has signed it.
    pub by: String,
    /// When, by the signer's clock.
    pub at: UnixMillis,
    /// Why; may be empty.
    pub reason: String,
}

impl From<SignedRevocation> for v1::ZoneRevocation {
    fn from(told: SignedRevocation) -> Self {
        Self {
            signers: told.signers.iter().map(ToString::to_string).collect(),
            at_unix_ms: told.revocation.issued_at.0,
            reason: told.revocation.reason,
        }
    }
}

impl From<v1::ZoneRevocation> for ToldRevocation {
    fn from(wire: v1::ZoneRevocation) -> Self {
        let v1::ZoneRevocation { signers, at_unix_ms, reason } = wire;
        Self { by: signers.join(", "), at: UnixMillis(at_unix_ms), reason }
    }
}

/// A SuperLink as the gateways of all zones show it to their VMs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredSuperLink {
    /// Its zone.
    pub zone: ZoneName,
    /// Its addresses, best first; at least one.
    pub addresses: Vec<IpAddr>,
    /// TCP port for SuperNodes.
    pub fleet_port: u16,
    /// TCP port for `flwr run`.
    pub control_port: u16,
    /// Flower's version.
    pub flower_version: String,
    /// How SuperNodes talk to it.
    pub transport: FlowerTransport,
    /// Whether SuperNodes may connect.
    pub readiness: Readiness,
    /// The mesh DNS name in its certificate.
    pub tls_name: String,
    /// CA certificates to trust.
    pub cas: Vec<TrustedCa>,
    /// Its clock minus the gateway's, if known.
    pub clock_offset_ms: Option<i64>,
    /// True if the gateway can reach its zone.
    pub zone_reachable: bool,
    /// True if more than one zone claims the federation.
    pub conflict: bool,
    /// True if it admits SuperNodes by their keys only.
    pub authenticates: bool,
    /// What it says of this VM's SuperNode, if that was in Flower's list when it was asked.
    pub node: Option<AdmittedNode>,
}

/// A CA certificate of a federation, as Flower is given it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedCa {
    /// The certificate in PEM; never a key.
    pub pem: String,
    /// Its place in the rotation.
    pub state: CaState,
}

impl RegisteredSuperLink {
    /// Where the SuperNode with this key stands in Flower's list, if that is known.
    #[must_use]
    pub fn admission_of(&self, key: NodeKeyDigest) -> Option<Admission> {
        self.node.filter(|node| node.key == key).map(|node| node.admission)
    }

    /// The CA certificates to trust, in PEM.
    #[must_use]
    pub fn ca_pems(&self) -> Vec<&str> {
        self.cas.iter().map(|ca| ca.pem.as_str()).collect()
    }
}

/// None in a state that this build does not know: it cannot say whether to trust it.
fn trusted_ca(wire: v1::FederationCa) -> Option<TrustedCa> {
    CaState::of(wire.state).map(|state| TrustedCa { pem: wire.pem, state })
}

impl TryFrom<v1::FederationView> for FederationAnswer {
    type Error = WireError;

    fn try_from(wire: v1::FederationView) -> Result<Self, WireError> {
        Ok(Self {
            name: name("federation", &wire.federation)?,
            gateway_time: UnixMillis(wire.gateway_time_unix_ms),
            revision: wire.revision,
            zone_revoked: wire.zone_revoked.clone().map(ToldRevocation::from),
            zone_left: Some(wire.zone_left_unix_ms).filter(|at| *at != 0).map(UnixMillis),
            superlink: match wire.found {
                true => Some(wire.try_into()?),
                false => None,
            },
        })
    }
}

impl TryFrom<v1::FederationView> for RegisteredSuperLink {
    type Error = WireError;

    fn try_from(wire: v1::FederationView) -> Result<Self, WireError> {
        let addresses = addresses("addresses", &wire.addresses)?;
        if addresses.is_empty() {
            return Err(WireError::new("addresses", WireProblem::Missing));
        }
        Ok(Self {
            zone: name("zone", &wire.zone)?,
            addresses,
            fleet_port: port("fleet_port", wire.fleet_port)?,
            control_port: port("control_port", wire.control_port)?,
            flower_version: wire.flower_version,
            transport: transport("transport", wire.transport)?,
            readiness: readiness("readiness", wire.readiness)?,
            tls_name: wire.tls_name,
            cas: wire.cas.into_iter().filter_map(trusted_ca).collect(),
            clock_offset_ms: wire.superlink_clock_offset_ms,
            zone_reachable: wire.zone_reachable,
            conflict: wire.conflict,
            authenticates: wire.authenticates,
            node: wire.node.map(AdmittedNode::try_from).transpose()?,
        })
    }
}

// Written by hand: the token must not reach a log.

impl fmt::Debug for v1::VmProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VmProof").field("role", &self.role).finish_non_exhaustive()
    }
}
