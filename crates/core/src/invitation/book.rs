//! The inviter's book: which invitations were issued, and which key has used which.
//!
//! Promises: an invitation is used by one key; the same key may ask again and gets the same answer,
//! also after the expiry; whoever asks again changes nothing, as all that it says of itself can be said
//! by a thief. Bounded; each refusal is counted. A caller that cannot prove the secret learns nothing,
//! not even if the invitation exists.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::proof::Transcript;
use super::{Invitation, InvitationId, JoinerKeys, RedeemKey, Redemption, RedemptionAnswer};
use crate::key::ZonePublicKey;
use crate::membership::{GrantRequest, SignedTrustItem};
use crate::mesh::MeshId;
use crate::name::ZoneName;
use crate::time::UnixMillis;

pub use super::wire::IssuedError;

/// Most invitations in the book.
pub const MAX_ISSUED: usize = 4096;
/// An invitation that expired unused this long ago leaves the book.
const KEEP_EXPIRED_MS: u64 = 7 * 24 * 3600 * 1000;

/// An invitation as its issuer keeps it: without the secret.
#[derive(Clone)]
pub struct IssuedInvitation {
    /// Its name.
    pub id: InvitationId,
    /// [`Invitation::hash`].
    pub hash: [u8; 32],
    /// The key of its proofs.
    pub(super) key: RedeemKey,
    /// The zone that is invited.
    pub zone: ZoneName,
    /// The prefixes that it will be granted.
    pub prefixes: Vec<IpNet>,
    /// The tunnel IPs that it will be granted.
    pub tunnel_ips: Vec<IpAddr>,
    /// When it expires.
    pub expires_at: UnixMillis,
    /// Who has used it.
    pub used_by: Option<JoinerKeys>,
    /// Where its gateway is reached from outside, as the joiner said.
    pub endpoints: Vec<String>,
}

impl IssuedInvitation {
    /// What the issuer keeps of an invitation.
    #[must_use]
    pub fn new(invitation: &Invitation) -> Self {
        Self {
            id: invitation.id,
            hash: invitation.hash(),
            key: invitation.redeem_key(),
            zone: invitation.zone.clone(),
            prefixes: invitation.prefixes.clone(),
            tunnel_ips: invitation.tunnel_ips.clone(),
            expires_at: invitation.expires_at,
            used_by: None,
            endpoints: Vec::new(),
        }
    }

    /// What is to be granted to who has used it.
    #[must_use]
    pub fn grant_request(&self) -> Option<GrantRequest> {
        self.used_by.map(|joiner| GrantRequest {
            zone: self.zone.clone(),
            zone_key: joiner.zone_key,
            prefixes: self.prefixes.clone(),
            tunnel_ips: self.tunnel_ips.clone(),
            federations: Vec::new(),
        })
    }

    /// The form in which it is kept on disk, mode 0600.
    #[must_use]
    pub fn to_file_bytes(&self) -> zeroize::Zeroizing<Vec<u8>> {
        super::wire::issued_to_bytes(self)
    }

    /// Reads the form in which it is kept on disk.
    ///
    /// # Errors
    /// [`IssuedError`] if the bytes are something else, cut off or damaged.
    pub fn from_file_bytes(bytes: &[u8]) -> Result<Self, IssuedError> {
        super::wire::issued_from_bytes(bytes)
    }
}

/// Why a redemption is refused. Tell the caller no more than the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RedeemError {
    /// No such invitation, or a proof that does not hold: the invitation was damaged or changed,
    /// or is of another gateway.
    #[error("this invitation is not valid here: ask for a new one")]
    Invalid,
    /// Expired.
    #[error("this invitation has expired: ask for a new one")]
    Expired,
    /// Used by another key.
    #[error("this invitation was used by another gateway: ask for a new one")]
    Used,
}

impl RedeemError {
    /// All reasons, in the order of the checks.
    pub const ALL: [Self; 3] = [Self::Invalid, Self::Expired, Self::Used];

    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Expired => "expired",
            Self::Used => "used",
        }
    }
}

/// How often each outcome has happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RedemptionCounters {
    /// Redeemed for the first time.
    pub redeemed: u64,
    /// Redeemed again by the same key.
    pub repeated: u64,
    refused: [u64; RedeemError::ALL.len()],
}

impl RedemptionCounters {
    /// Refusals, by reason.
    pub fn refused(&self) -> impl Iterator<Item = (RedeemError, u64)> {
        RedeemError::ALL.into_iter().zip(self.refused)
    }
}

/// A redemption that holds.
#[derive(Clone)]
pub struct Redeemed {
    /// The invitation, used by the joiner now: store it, then sign what it asks for.
    pub invitation: IssuedInvitation,
    /// False if the same key had used it before: the grant exists already, or waits for approval.
    pub first: bool,
    transcript: std::sync::Arc<Transcript>,
}

impl Redeemed {
    /// The answer with these trust items, and its proof.
    #[must_use]
    pub fn answer(&self, trust: Vec<SignedTrustItem>, pending: bool) -> RedemptionAnswer {
        let proof = self.invitation.key.inviter_proof(&self.transcript, &trust);
        RedemptionAnswer { pending, trust, proof }
    }
}

/// The inviter's book.
pub struct Redemptions {
    mesh: MeshId,
    inviter: ZonePublicKey,
    issued: BTreeMap<InvitationId, IssuedInvitation>,
    counters: RedemptionCounters,
}

impl Redemptions {
    /// The book of a gateway whose zone has the key `inviter`, with what it has stored.
    #[must_use]
    pub fn new(mesh: MeshId, inviter: ZonePublicKey, stored: Vec<IssuedInvitation>) -> Self {
        let issued = stored.into_iter().map(|issued| (issued.id, issued)).collect();
        Self { mesh, inviter, issued, counters: RedemptionCounters::default() }
    }

    /// Enters an invitation. Unused ones that expired long ago leave the book: remove the files of
    /// those that are returned. False if the book is full.
    pub fn issue(&mut self, invitation: &Invitation, now: UnixMillis) -> (bool, Vec<InvitationId>) {
        let stale = |issued: &&IssuedInvitation| {
            issued.used_by.is_none() && now.since(issued.expires_at) > KEEP_EXPIRED_MS
        };
        let stale: Vec<_> = self.issued.values().filter(stale).map(|issued| issued.id).collect();
        self.issued.retain(|id, _| !stale.contains(id));
        let room = self.issued.len() < MAX_ISSUED;
        if room {
            self.issued.insert(invitation.id, IssuedInvitation::new(invitation));
        }
        (room, stale)
    }

    /// Strikes an invitation out that was not handed out.
    pub fn withdraw(&mut self, id: &InvitationId) {
        self.issued.remove(id);
    }

    /// Strikes out the unused invitations of a zone, all or all but one: it has come, is invited anew or
    /// was put out. Remove the files of those that are returned, or have them [restored].
    ///
    /// [restored]: Self::restore
    pub fn void(&mut self, zone: &ZoneName, but: Option<&InvitationId>) -> Vec<IssuedInvitation> {
        let is_open = |id: &InvitationId, issued: &mut IssuedInvitation| {
            issued.zone == *zone && issued.used_by.is_none() && Some(id) != but
        };
        self.issued.extract_if(.., is_open).map(|(_, issued)| issued).collect()
    }

    /// Takes back that invitations were struck out.
    pub fn restore(&mut self, voided: Vec<IssuedInvitation>) {
        self.issued.extend(voided.into_iter().map(|issued| (issued.id, issued)));
    }

    /// All invitations, in the order of their names.
    pub fn issued(&self) -> impl Iterator<Item = &IssuedInvitation> {
        self.issued.values()
    }

    /// How often each outcome has happened.
    #[must_use]
    pub fn counters(&self) -> RedemptionCounters {
        self.counters
    }

    /// Redeems an invitation for a joiner. It is burned by this: store what is returned before the
    /// answer leaves, or take it back.
    ///
    /// # Errors
    /// [`RedeemError`]; each is counted.
    pub fn redeem(
        &mut self,
        redemption: Redemption,
        now: UnixMillis,
    ) -> Result<Redeemed, RedeemError> {
        let outcome = self.judge(redemption, now);
        match &outcome {
            Ok(redeemed) if redeemed.first => self.counters.redeemed += 1,
            Ok(_) => self.counters.repeated += 1,
            Err(reason) => self.counters.refused[*reason as usize] += 1,
        }
        outcome
    }

    /// Takes a redemption back that could not be stored: the next one is the first.
    pub fn take_back(&mut self, redeemed: &Redeemed) {
        let issued = self.issued.get_mut(&redeemed.invitation.id);
        if let Some(issued) = issued.filter(|_| redeemed.first) {
            (issued.used_by, issued.endpoints) = (None, Vec::new());
            self.counters.redeemed -= 1;
        }
    }

    fn judge(&mut self, asked: Redemption, now: UnixMillis) -> Result<Redeemed, RedeemError> {
        let Redemption { invitation: id, joiner, endpoints, proof, .. } = asked;
        let issued = self.issued.get_mut(&id).ok_or(RedeemError::Invalid)?;
        let transcript = Transcript::new(&self.mesh, id, issued.hash, &joiner, &self.inviter);
        if !issued.key.joiner_proof(&transcript).matches(&proof) {
            return Err(RedeemError::Invalid);
        }
        let first = match issued.used_by {
            Some(used) if used.zone_key == joiner.zone_key => false,
            Some(_) => return Err(RedeemError::Used),
            None if issued.expires_at <= now => return Err(RedeemError::Expired),
            None => true,
        };
        // Of whoever asks again nothing is learned: the zone's key is public, and the secret may be
        // with a thief. A gateway that was set up again takes a new invitation.
        if first {
            issued.used_by = Some(joiner);
            issued.endpoints = endpoints;
        }
        let transcript = std::sync::Arc::new(transcript);
        Ok(Redeemed { invitation: issued.clone(), first, transcript })
    }
}
