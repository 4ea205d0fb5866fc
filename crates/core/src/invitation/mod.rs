//! How a new zone joins a managed mesh: an invitation, redeemed once.
//!
//! An invitation is one base64 value: who invites, where to call, what the zone will be granted,
//! and a one-time secret. Redeeming proves the secret and the zone's key over the zone's first record
//! and over the connection (`proof`); it is burned by the first key that uses it ([`Redemptions`]) and
//! grants nothing from then on: the grant counts. Secrets have no `Debug` and are wiped on drop.

mod book;
mod invited_as;
mod joiner;
mod proof;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::key::{WireGuardPublicKey, ZoneIdentity, ZonePublicKey};
use crate::membership::{FederationRight, SetHash, SignedTrustItem};
use crate::mesh::MeshId;
use crate::name::ZoneName;
use crate::record::{Gateway, ProtocolRange, SIGNATURE_BYTES, SignedRecord};
use crate::time::UnixMillis;
use crate::token::KnownToken;

pub use book::{
    Burned, IssuedError, IssuedInvitation, Joiner, MAX_ISSUED, RedeemError, Redeemed,
    RedemptionCounters, Redemptions,
};
pub use invited_as::InvitedAs;
pub use joiner::JoinerStanding;
pub use proof::{ChannelBinding, RedeemKey, RedemptionProof};
pub use wire::InvitationError;

/// How long an invitation holds unless its issuer says otherwise: 7 days.
pub const DEFAULT_LIFETIME_MS: u64 = 7 * 24 * 3600 * 1000;

/// Names an invitation; random, not secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvitationId(pub [u8; 16]);

impl fmt::Display for InvitationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for InvitationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The one-time secret of an invitation: 128 random bits. Wiped on drop.
#[derive(Clone)]
pub struct InvitationSecret(Zeroizing<[u8; 16]>);

impl InvitationSecret {
    /// Takes 16 random bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

/// Who invites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inviter {
    /// Its zone.
    pub zone: ZoneName,
    /// Its zone's key: the joiner believes no other certificate. `None` if the zone had none yet when it
    /// was written: then the joiner believes the key that the mesh has granted that zone.
    pub zone_key: Option<ZonePublicKey>,
    /// Its join service, `IP:port` or `name:port`, best first.
    pub join_endpoints: Vec<String>,
    /// Its gateways, for the first tunnel.
    pub gateways: Vec<Gateway>,
    /// Its prefixes.
    pub prefixes: Vec<IpNet>,
}

/// An invitation into a mesh.
#[derive(Clone)]
pub struct Invitation {
    /// Its name.
    pub id: InvitationId,
    /// The mesh.
    pub mesh: MeshId,
    /// Hash of the authority set in force when it was written.
    pub authority_set: SetHash,
    /// Who invites.
    pub inviter: Inviter,
    /// The new zone's name.
    pub zone: ZoneName,
    /// The prefixes that it will be granted.
    pub prefixes: Vec<IpNet>,
    /// The tunnel IPs that it will be granted.
    pub tunnel_ips: Vec<IpAddr>,
    /// What it will be granted to do for which federation; none named: what it may now, at first all.
    pub federations: Vec<FederationRight>,
    /// The tokens of its VMs, which its gateway keeps when it has joined.
    pub tokens: Vec<KnownToken>,
    /// When it expires, by the inviter's clock.
    pub expires_at: UnixMillis,
    /// The one-time secret.
    pub secret: InvitationSecret,
    /// What it was read from, without the secret: a later release may have said more there, which takes
    /// part in the hash. `None` of one that is made here.
    pub read_from: Option<Vec<u8>>,
}

/// What a joiner asks with, as it came from elsewhere: nothing is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redemption {
    /// The invitation.
    pub invitation: InvitationId,
    /// The joining zone's key.
    pub zone_key: ZonePublicKey,
    /// What the zone says of itself: its gateways, their keys, how they are reached.
    pub record: SignedRecord,
    /// That the joiner knows the secret.
    pub proof: RedemptionProof,
    /// By the zone's key, over the proof and what the proof covers.
    pub signature: [u8; SIGNATURE_BYTES],
    /// What the joiner speaks.
    pub protocol: ProtocolRange,
}

/// What the inviter answers. Check it with [`Invitation::verify_answer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedemptionAnswer {
    /// True if an authority must still approve.
    pub pending: bool,
    /// All trust items of the mesh.
    pub trust: Vec<SignedTrustItem>,
    /// What the inviter's zone says of itself, if it has said anything yet.
    pub record: Option<SignedRecord>,
    /// That the inviter knows the secret.
    pub proof: RedemptionProof,
}

/// How a gateway of the inviter is reached while its zone's record has not arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayHint {
    /// Its name.
    pub gateway: String,
    /// Its tunnel IPs.
    pub tunnel_ips: Vec<IpAddr>,
    /// Its WireGuard key.
    pub wireguard_key: WireGuardPublicKey,
    /// Where it is reached, as it says itself.
    pub endpoints: Vec<String>,
}

impl Invitation {
    /// One line of base64: a file's content, or a CONTEXT value. It holds the secret.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        wire::to_text(self)
    }

    /// Reads it back; white space around it and line breaks in it do no harm.
    ///
    /// # Errors
    /// [`InvitationError`] says whether it is something else, cut off, damaged, or of a newer form.
    pub fn from_text(text: &str) -> Result<Self, InvitationError> {
        wire::from_text(text)
    }

    /// SHA-256 over all of it but the secret. It takes part in the proof, so that an invitation in
    /// which anything was changed redeems nothing.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(&*wire::public_bytes(self)).into()
    }

    /// The key of the proofs.
    #[must_use]
    pub fn redeem_key(&self) -> RedeemKey {
        RedeemKey::new(&self.secret)
    }

    /// What the zone of `identity`, which says `record` of itself, asks with on one connection.
    #[must_use]
    pub fn redemption(
        &self,
        identity: &ZoneIdentity,
        record: SignedRecord,
        binding: &ChannelBinding,
    ) -> Redemption {
        let mut asked = Redemption {
            invitation: self.id,
            zone_key: identity.public_key(),
            record,
            proof: RedemptionProof::from_bytes([0; 32]),
            signature: [0; SIGNATURE_BYTES],
            protocol: ProtocolRange::CURRENT,
        };
        let transcript = proof::Transcript::new(&self.mesh, self.hash(), &asked, binding);
        asked.proof = self.redeem_key().joiner_proof(&transcript);
        asked.signature = identity.sign(&transcript.to_be_signed(&asked.proof));
        asked
    }

    /// True if the inviter that answered on this connection knows the secret too.
    #[must_use]
    pub fn verify_answer(
        &self,
        asked: &Redemption,
        binding: &ChannelBinding,
        answer: &RedemptionAnswer,
    ) -> bool {
        let transcript = proof::Transcript::new(&self.mesh, self.hash(), asked, binding);
        self.redeem_key().inviter_proof(&transcript, answer).matches(&answer.proof)
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation")
            .field("id", &self.id)
            .field("zone", &self.zone)
            .field("inviter", &self.inviter.zone)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
