//! Redeeming an invitation.

use zonemesh_core::invitation::{
    InvitationId, JoinerKeys, Redemption, RedemptionAnswer, RedemptionProof,
};
use zonemesh_core::key::{WireGuardPublicKey, ZonePublicKey};
use zonemesh_core::record::{MAX_ENDPOINTS, ProtocolRange};

use super::trust::trust_items;
use super::{WireError, WireProblem, hash};
use crate::v1;

/// Longest endpoint in characters.
const MAX_ENDPOINT: usize = 264;

impl From<Redemption> for v1::RedeemRequest {
    fn from(asked: Redemption) -> Self {
        Self {
            invitation_id: asked.invitation.0.to_vec(),
            zone_key: asked.joiner.zone_key.as_bytes().to_vec(),
            wireguard_key: asked.joiner.wireguard_key.0.to_vec(),
            endpoints: asked.endpoints,
            proof: asked.proof.as_bytes().to_vec(),
            protocol_min: asked.protocol.min,
            protocol_max: asked.protocol.max,
        }
    }
}

impl TryFrom<v1::RedeemRequest> for Redemption {
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
            joiner: JoinerKeys {
                zone_key: ZonePublicKey::from_bytes(zone_key).map_err(not_a_key)?,
                wireguard_key: WireGuardPublicKey(hash("wireguard_key", &wire.wireguard_key)?),
            },
            endpoints: wire.endpoints,
            proof: RedemptionProof::from_bytes(hash("proof", &wire.proof)?),
            protocol: ProtocolRange { min: wire.protocol_min, max: wire.protocol_max },
        })
    }
}

impl From<RedemptionAnswer> for v1::RedeemReply {
    fn from(answer: RedemptionAnswer) -> Self {
        Self {
            pending: answer.pending,
            trust: answer.trust.iter().map(v1::TrustItem::from).collect(),
            proof: answer.proof.as_bytes().to_vec(),
        }
    }
}

impl TryFrom<v1::RedeemReply> for RedemptionAnswer {
    type Error = WireError;

    fn try_from(wire: v1::RedeemReply) -> Result<Self, WireError> {
        Ok(Self {
            pending: wire.pending,
            trust: trust_items("trust", wire.trust)?,
            proof: RedemptionProof::from_bytes(hash("proof", &wire.proof)?),
        })
    }
}
