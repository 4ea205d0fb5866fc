//! Redeeming an invitation.

use zonemesh_core::invitation::{InvitationId, Redemption, RedemptionAnswer, RedemptionProof};
use zonemesh_core::key::ZonePublicKey;
use zonemesh_core::record::{ProtocolRange, SIGNATURE_BYTES, SignedRecord};

use super::registry::signed_item;
use super::trust::trust_items;
use super::{WireError, WireProblem, hash};
use crate::v1;

impl From<Redemption> for v1::RedeemRequest {
    fn from(asked: Redemption) -> Self {
        Self {
            invitation_id: asked.invitation.0.to_vec(),
            zone_key: asked.zone_key.as_bytes().to_vec(),
            record: Some(signed_item(&asked.record)),
            signature: asked.signature.to_vec(),
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
        let missing = || WireError::new("record", WireProblem::Missing);
        let zone_key = hash("zone_key", &wire.zone_key)?;
        Ok(Self {
            invitation: InvitationId(id.try_into().map_err(wrong_length)?),
            zone_key: ZonePublicKey::from_bytes(zone_key).map_err(not_a_key)?,
            record: record(wire.record)?.ok_or_else(missing)?,
            proof: RedemptionProof::from_bytes(hash("proof", &wire.proof)?),
            signature: signature(&wire.signature)?,
            protocol: ProtocolRange { min: wire.protocol_min, max: wire.protocol_max },
        })
    }
}

impl From<RedemptionAnswer> for v1::RedeemReply {
    fn from(answer: RedemptionAnswer) -> Self {
        Self {
            pending: answer.pending,
            trust: answer.trust.iter().map(v1::TrustItem::from).collect(),
            record: answer.record.as_ref().map(signed_item),
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
            record: record(wire.record)?,
            proof: RedemptionProof::from_bytes(hash("proof", &wire.proof)?),
        })
    }
}

fn record(wire: Option<v1::SignedItem>) -> Result<Option<SignedRecord>, WireError> {
    let bad = |source| WireError::new("record", WireProblem::Record(source));
    let record = |wire: v1::SignedItem| SignedRecord::from_parts(wire.payload, &wire.signature);
    wire.map(record).transpose().map_err(bad)
}

fn signature(bytes: &[u8]) -> Result<[u8; SIGNATURE_BYTES], WireError> {
    let wrong_length = |_: std::array::TryFromSliceError| {
        WireError::new("signature", WireProblem::SignatureLength(bytes.len()))
    };
    bytes.try_into().map_err(wrong_length)
}
