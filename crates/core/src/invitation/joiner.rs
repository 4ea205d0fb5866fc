//! What the key that has used an invitation is in its mesh: who waits for approval, and who does
//! not.
//!
//! Promises: a key waits only if nothing was ever decided about it, and if nobody else holds the
//! name. Else whoever steals an invitation, or was put out under a set that is past, is let in by
//! an engineer who only types what the screen says.

use super::{InvitationId, IssuedInvitation, Redemptions};
use crate::key::ZonePublicKey;
use crate::membership::Membership;
use crate::name::ZoneName;

/// What the key that has used an invitation is in its mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinerStanding {
    /// It is granted.
    Granted,
    /// It was never granted, and nobody else has the zone's name.
    Waits,
    /// The zone is granted with this other key.
    HeldByOther(ZonePublicKey),
    /// It was granted or revoked before, and is no member.
    PutOut,
}

impl IssuedInvitation {
    /// What the key that has used it is in the mesh; `None` if it is unused.
    #[must_use]
    pub fn joiner_standing(&self, membership: &Membership) -> Option<JoinerStanding> {
        let key = self.used_by?.zone_key;
        Some(match membership.grant(&self.zone).map(|grant| grant.zone_key) {
            Some(granted) if granted == key => JoinerStanding::Granted,
            _ if membership.was_put_out(&key) => JoinerStanding::PutOut,
            Some(other) => JoinerStanding::HeldByOther(other),
            None if membership.names(&self.zone, &key) => JoinerStanding::PutOut,
            None => JoinerStanding::Waits,
        })
    }
}

impl Redemptions {
    /// Strikes out the invitations of a zone that are unused or that another key than `key` has
    /// used: what that one is was decided. Remove the files of those that are returned, or have
    /// them [restored].
    ///
    /// [restored]: Self::restore
    pub fn keep_only(&mut self, zone: &ZoneName, key: &ZonePublicKey) -> Vec<IssuedInvitation> {
        let is_others = |_: &InvitationId, issued: &mut IssuedInvitation| {
            issued.zone == *zone && issued.used_by.is_none_or(|joiner| joiner.zone_key != *key)
        };
        self.issued.extract_if(.., is_others).map(|(_, issued)| issued).collect()
    }
}
