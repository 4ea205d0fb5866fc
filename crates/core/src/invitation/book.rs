//! The inviter's book: which invitations were issued, and which key has used which.
//!
//! Promises: an invitation is used by one key, and grants something once; the same key may ask again,
//! also after the expiry, and changes nothing by it. What is asked on one connection says nothing on
//! another. Bounded; each refusal is counted. A caller that cannot prove the secret learns nothing, not
//! even if the invitation exists.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::proof::{ChannelBinding, RedemptionProof, Transcript};
use super::{Invitation, InvitationId, InvitedAs, RedeemKey, Redemption, RedemptionAnswer};
use crate::key::ZonePublicKey;
use crate::member::{Member, OutOfBounds};
use crate::membership::{FederationRight, GrantRequest, SignedTrustItem};
use crate::mesh::MeshId;
use crate::name::ZoneName;
use crate::record::{MAX_RECORD_BYTES, SignedRecord, ZoneRecord};
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
    /// What it will be granted to do for which federation; none named: what it may now.
    pub federations: Vec<FederationRight>,
    /// When it expires.
    pub expires_at: UnixMillis,
    /// Who has used it.
    pub used_by: Option<Joiner>,
    /// What the zone was when it was invited.
    pub(super) before: InvitedAs,
}

/// Who has used an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joiner {
    /// The joining zone's key.
    pub zone_key: ZonePublicKey,
    /// True once what it brings is stored: it brings nothing again.
    pub(super) is_settled: bool,
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
            federations: invitation.federations.clone(),
            expires_at: invitation.expires_at,
            used_by: None,
            before: InvitedAs::default(),
        }
    }

    /// True if the zone has come or was put out since it was invited, by whatever gateway: then it takes
    /// a newer invitation.
    #[must_use]
    pub fn is_overtaken(&self, zone: InvitedAs) -> bool {
        if zone.key.is_some() && zone.key == self.used_by.map(|joiner| joiner.zone_key) {
            // By itself, before somebody broke off.
            return false;
        }
        let has_come = zone.key.is_some() && zone.key != self.before.key;
        has_come || zone.revoked > self.before.revoked
    }

    /// What a zone with this key may claim by it.
    fn bounds(&self, key: ZonePublicKey) -> Member {
        Member {
            zone: self.zone.clone(),
            key,
            prefixes: self.prefixes.clone(),
            tunnel_ips: self.tunnel_ips.clone(),
        }
    }

    /// What is to be granted to who uses it.
    #[must_use]
    pub fn grant_request(&self) -> Option<GrantRequest> {
        self.used_by.map(|joiner| GrantRequest {
            zone: self.zone.clone(),
            zone_key: joiner.zone_key,
            prefixes: self.prefixes.clone(),
            tunnel_ips: self.tunnel_ips.clone(),
            federations: self.federations.clone(),
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
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
    /// Its zone has come, or was put out, since it was invited.
    #[error("this zone has come or was revoked since it was invited: ask for a new invitation")]
    Overtaken,
    /// The joiner's own record cannot be read, or is not its zone's or not signed by its key.
    #[error("the joining gateway's own record is not valid: is it of another version?")]
    Record,
    /// The joiner's record says more than the invitation grants.
    #[error("the joining gateway announces what the invitation does not grant: {0}")]
    OutOfBounds(OutOfBounds),
}

impl RedeemError {
    /// The names of all reasons, in the order of [`RedeemError::index`].
    const NAMES: [&'static str; 6] =
        ["invalid", "expired", "used", "overtaken", "record", "out_of_bounds"];

    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMES[self.index()]
    }

    fn index(self) -> usize {
        match self {
            Self::Invalid => 0,
            Self::Expired => 1,
            Self::Used => 2,
            Self::Overtaken => 3,
            Self::Record => 4,
            Self::OutOfBounds(_) => 5,
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
    refused: [u64; RedeemError::NAMES.len()],
}

impl RedemptionCounters {
    /// Refusals, by the name of their reason.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        RedeemError::NAMES.into_iter().zip(self.refused)
    }
}

/// A redemption that holds. Nothing has changed by it yet.
#[derive(Clone)]
pub struct Redeemed {
    /// The invitation, used by the joiner: as it is to be stored with the grant that it asks for.
    pub invitation: IssuedInvitation,
    /// False if it has brought what it brings: the grant exists already, or waits for approval.
    pub first: bool,
    /// What the joiner's zone says of itself, signed by its key: judge it like any other.
    pub record: SignedRecord,
    transcript: std::sync::Arc<Transcript>,
}

impl Redeemed {
    /// The answer, with its proof.
    #[must_use]
    pub fn answer(
        &self,
        trust: Vec<SignedTrustItem>,
        record: Option<SignedRecord>,
        pending: bool,
    ) -> RedemptionAnswer {
        let proof = RedemptionProof::from_bytes([0; 32]);
        let mut answer = RedemptionAnswer { pending, trust, record, proof };
        answer.proof = self.invitation.key.inviter_proof(&self.transcript, &answer);
        answer
    }
}

/// An invitation that was burned, and the other unused ones of its zone, which went with it.
pub struct Burned {
    id: InvitationId,
    /// Remove their files.
    pub voided: Vec<IssuedInvitation>,
}

/// The inviter's book.
pub struct Redemptions {
    mesh: MeshId,
    pub(super) issued: BTreeMap<InvitationId, IssuedInvitation>,
    counters: RedemptionCounters,
}

impl Redemptions {
    /// The book of a gateway with what it has stored.
    #[must_use]
    pub fn new(mesh: MeshId, stored: Vec<IssuedInvitation>) -> Self {
        let issued = stored.into_iter().map(|issued| (issued.id, issued)).collect();
        Self { mesh, issued, counters: RedemptionCounters::default() }
    }

    /// Enters an invitation. Unused ones that expired long ago leave the book: remove the files of
    /// those that are returned. False if the book is full.
    pub fn issue(
        &mut self,
        invitation: &Invitation,
        before: InvitedAs,
        now: UnixMillis,
    ) -> (bool, Vec<InvitationId>) {
        let stale = |issued: &&IssuedInvitation| {
            issued.used_by.is_none() && now.since(issued.expires_at) > KEEP_EXPIRED_MS
        };
        let stale: Vec<_> = self.issued.values().filter(stale).map(|issued| issued.id).collect();
        self.issued.retain(|id, _| !stale.contains(id));
        let room = self.issued.len() < MAX_ISSUED;
        if room {
            let issued = IssuedInvitation { before, ..IssuedInvitation::new(invitation) };
            self.issued.insert(invitation.id, issued);
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

    /// Strikes out all invitations of a zone that is no member, used ones too: whoever waits for
    /// approval waits no more. Remove the files of those that are returned, or have them [restored].
    ///
    /// [restored]: Self::restore
    pub fn give_up(&mut self, zone: &ZoneName) -> Vec<IssuedInvitation> {
        let is_its = |_: &InvitationId, issued: &mut IssuedInvitation| issued.zone == *zone;
        self.issued.extract_if(.., is_its).map(|(_, issued)| issued).collect()
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

    /// Judges what a joiner asks on the connection of `binding`. The first time, [burn] it.
    ///
    /// [burn]: Self::burn
    ///
    /// # Errors
    /// [`RedeemError`]; each is counted.
    pub fn redeem(
        &mut self,
        asked: Redemption,
        binding: &ChannelBinding,
        now: UnixMillis,
    ) -> Result<Redeemed, RedeemError> {
        let outcome = self.judge(asked, binding, now);
        match &outcome {
            Ok(redeemed) => self.counters.repeated += u64::from(!redeemed.first),
            Err(reason) => self.counters.refused[reason.index()] += 1,
        }
        outcome
    }

    /// From now on nobody else uses this invitation, and no other one of its zone. Whoever breaks off
    /// behind this leaves it to the same key's next try; [settle] it or [take it back].
    ///
    /// [settle]: Self::settle
    /// [take it back]: Self::take_back
    pub fn burn(&mut self, redeemed: &Redeemed) -> Burned {
        let IssuedInvitation { id, zone, used_by, .. } = &redeemed.invitation;
        if let Some(issued) = self.issued.get_mut(id) {
            issued.used_by = used_by.map(|joiner| Joiner { is_settled: false, ..joiner });
        }
        Burned { id: *id, voided: self.void(zone, Some(id)) }
    }

    /// What was burned is on disk, with what it has brought.
    pub fn settle(&mut self, burned: Burned) {
        let issued = self.issued.get_mut(&burned.id);
        if let Some(joiner) = issued.and_then(|issued| issued.used_by.as_mut()) {
            joiner.is_settled = true;
            self.counters.redeemed += 1;
        }
    }

    /// What was burned could not be stored: it is open again.
    pub fn take_back(&mut self, burned: Burned) {
        if let Some(issued) = self.issued.get_mut(&burned.id) {
            issued.used_by = None;
        }
        self.restore(burned.voided);
    }

    fn judge(
        &self,
        asked: Redemption,
        binding: &ChannelBinding,
        now: UnixMillis,
    ) -> Result<Redeemed, RedeemError> {
        let issued = self.issued.get(&asked.invitation).ok_or(RedeemError::Invalid)?;
        let transcript = Transcript::new(&self.mesh, issued.hash, &asked, binding);
        let signed = transcript.to_be_signed(&asked.proof);
        if !issued.key.joiner_proof(&transcript).matches(&asked.proof)
            || !asked.zone_key.verify_strict(&signed, &asked.signature)
        {
            return Err(RedeemError::Invalid);
        }
        let first = match issued.used_by {
            Some(used) if used.zone_key == asked.zone_key => !used.is_settled,
            Some(_) => return Err(RedeemError::Used),
            None if issued.expires_at <= now => return Err(RedeemError::Expired),
            None => true,
        };
        let record = record_of(&asked, &issued.zone)?;
        if first {
            let bounds = issued.bounds(asked.zone_key);
            bounds.check_bounds(&record).map_err(RedeemError::OutOfBounds)?;
        }
        let used_by = Some(Joiner { zone_key: asked.zone_key, is_settled: true });
        Ok(Redeemed {
            invitation: IssuedInvitation { used_by, ..issued.clone() },
            first,
            record: asked.record,
            transcript: std::sync::Arc::new(transcript),
        })
    }
}

/// What the joiner says of itself, if it is its zone's and signed by its key.
fn record_of(asked: &Redemption, zone: &ZoneName) -> Result<ZoneRecord, RedeemError> {
    let Redemption { record, zone_key, .. } = asked;
    if record.payload().len() > MAX_RECORD_BYTES || !record.verify(zone_key) {
        return Err(RedeemError::Record);
    }
    let decoded = record.decode().ok().filter(|decoded| decoded.zone == *zone);
    decoded.ok_or(RedeemError::Record)
}
