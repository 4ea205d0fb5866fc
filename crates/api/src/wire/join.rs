//! Redeeming an invitation.

use zonemesh_core::invitation::{Invitation, InvitationId, Joiner, Proof};
use zonemesh_core::key::{WireGuardPublicKey, ZonePublicKey};
use zonemesh_core::membership::SignedTrustItem;
use zonemesh_core::record::ProtocolRange;

use super::trust::trust_items;
use super::{WireError, WireProblem, hash};
use crate::v1;

/// A valid request to redeem an invitation. Nothing is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redeem {
    /// The invitation.
    pub invitation: InvitationId,
    /// Who joins.
    pub joiner: Joiner,
    /// How others reach the joining gateway from outside; each is checked when it is announced.
    pub endpoints: Vec<String>,
    /// That the joiner knows the secret.
    pub proof: Proof,
    /// What the joiner speaks.
    pub protocol: ProtocolRange,
}

/// Most endpoints of a joining gateway.
const MAX_ENDPOINTS: usize = 16;
/// Longest endpoint in characters.
const MAX_ENDPOINT: usize = 264;

/// The request of a joiner that holds `invitation`.
#[must_use]
pub fn redeem_request(
    invitation: &Invitation,
    joiner: &Joiner,
    endpoints: Vec<String>,
) -> v1::RedeemRequest {
    v1::RedeemRequest {
        invitation_id: invitation.id.0.to_vec(),
        zone_key: joiner.zone_key.as_bytes().to_vec(),
        wireguard_key: joiner.wireguard_key.0.to_vec(),
        endpoints,
        proof: invitation.prove(joiner).as_bytes().to_vec(),
        protocol_min: ProtocolRange::CURRENT.min,
        protocol_max: ProtocolRange::CURRENT.max,
    }
}

impl TryFrom<v1::RedeemRequest> for Redeem {
    type Error = WireError;

    fn try_from(wire: v1::RedeemRequest) -> Result<Self, WireError> {
        let id = wire.invitation_id.as_slice();
        let wrong_length = |_: std::array::TryFromSliceError| {
            WireError::new("invitation_id", WireProblem::IdLength(id.len()))
        };
        let not_a_key = |source| WireError::new("zone_key", WireProblem::Key(source));
        let zone_key = hash("zone_key", &wire.zone_key)?;
        if wire.endpoints.len() > MAX_ENDPOINTS
            || wire.endpoints.iter().any(|endpoint| endpoint.len() > MAX_ENDPOINT)
        {
            return Err(WireError::new("endpoints", WireProblem::TooMany));
        }
        Ok(Self {
            invitation: InvitationId(id.try_into().map_err(wrong_length)?),
            joiner: Joiner {
                zone_key: ZonePublicKey::from_bytes(zone_key).map_err(not_a_key)?,
                wireguard_key: WireGuardPublicKey(hash("wireguard_key", &wire.wireguard_key)?),
            },
            endpoints: wire.endpoints,
            proof: Proof::from_bytes(hash("proof", &wire.proof)?),
            protocol: ProtocolRange { min: wire.protocol_min, max: wire.protocol_max },
        })
    }
}

/// The answer to a redemption that holds.
#[must_use]
pub fn redeem_reply(items: &[SignedTrustItem], proof: &Proof, pending: bool) -> v1::RedeemReply {
    v1::RedeemReply {
        pending,
        trust: items.iter().map(v1::TrustItem::from).collect(),
        proof: proof.as_bytes().to_vec(),
    }
}

/// An answer as the joiner reads it. Check it with [`Invitation::verify_answer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// True if an authority must still approve.
    pub pending: bool,
    /// All trust items of the mesh.
    pub trust: Vec<SignedTrustItem>,
    /// That the inviter knows the secret.
    pub proof: Proof,
}

impl TryFrom<v1::RedeemReply> for Answer {
    type Error = WireError;

    fn try_from(wire: v1::RedeemReply) -> Result<Self, WireError> {
        Ok(Self {
            pending: wire.pending,
            trust: trust_items("trust", wire.trust)?,
            proof: Proof::from_bytes(hash("proof", &wire.proof)?),
        })
    }
}
