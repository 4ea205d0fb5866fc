//! Zones that have redeemed an invitation and that an authority has not granted: who waits, and
//! approving.
//!
//! Promises: only what nobody has decided about waits and is approved by its name alone. A key that
//! takes the place of another is approved by who names both, and one that was put out not at all:
//! whoever holds a stolen invitation gets nothing from an engineer in a hurry.

use zonemesh_core::invitation::{IssuedInvitation, JoinerStanding};
use zonemesh_core::key::ZonePublicKey;
use zonemesh_core::membership::{SignedTrustItem, TrustItem};
use zonemesh_core::name::ZoneName;

use super::{Administration, BookState, Refusal, SignedChange};

/// Zones that have redeemed and are no members by it.
#[derive(Default)]
pub(crate) struct Joiners {
    /// They wait for an authority.
    pub(crate) pending: Vec<IssuedInvitation>,
    /// Their zone is granted with another key.
    pub(crate) disputed: Vec<DisputedZone>,
}

/// A zone that is a member, and an invitation of it that another key has used.
pub(crate) struct DisputedZone {
    pub(crate) invitation: IssuedInvitation,
    pub(crate) keys: DisputedKeys,
}

/// Two keys of one zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DisputedKeys {
    /// It has used an invitation.
    pub(crate) joiner: ZonePublicKey,
    /// It is granted, and would be revoked for ever.
    pub(crate) granted: ZonePublicKey,
}

impl Administration {
    /// Zones that have redeemed and are no members by it.
    pub(super) fn joiners(&self, state: &BookState) -> Joiners {
        self.ledger.read(|registry| {
            let mut joiners = Joiners::default();
            let Some(membership) = registry.membership() else { return joiners };
            for issued in state.book.iter().flat_map(|book| book.issued()) {
                match (issued.used_by, issued.joiner_standing(membership)) {
                    (Some(_), Some(JoinerStanding::Waits)) => joiners.pending.push(issued.clone()),
                    (Some(joiner), Some(JoinerStanding::HeldByOther(granted))) => {
                        let keys = DisputedKeys { joiner: joiner.zone_key, granted };
                        joiners.disputed.push(DisputedZone { invitation: issued.clone(), keys });
                    }
                    _ => {}
                }
            }
            joiners
        })
    }

    /// Signs the grant of a zone that has redeemed its invitation. Where another key is granted,
    /// only if `confirmed` names both: that other one is revoked.
    pub(crate) async fn approve(
        &self,
        zone: &ZoneName,
        confirmed: Option<DisputedKeys>,
    ) -> Result<SignedChange, Refusal> {
        let state = self.state.lock().await;
        let items = self.draft_pending(&state, zone, confirmed)?;
        self.sign_and_apply(&items).await
    }

    /// The grant that a zone waits for, signed as far as this gateway can.
    pub(crate) async fn export_pending(
        &self,
        zone: &ZoneName,
    ) -> Result<Vec<SignedTrustItem>, Refusal> {
        let state = self.state.lock().await;
        let items = self.draft_pending(&state, zone, None)?;
        self.sign(&items).map(|(signed, _)| signed)
    }

    fn draft_pending(
        &self,
        state: &BookState,
        zone: &ZoneName,
        confirmed: Option<DisputedKeys>,
    ) -> Result<Vec<TrustItem>, Refusal> {
        let book = state.book.as_ref().ok_or(Refusal::Unmanaged)?;
        let Joiners { pending, mut disputed } = self.joiners(state);
        let waits = pending.into_iter().find(|issued| issued.zone == *zone);
        if let Some(request) = waits.and_then(|issued| issued.grant_request()) {
            return self.draft_grant(request);
        }
        disputed.retain(|one| one.invitation.zone == *zone);
        let meant = disputed.iter().find(|one| Some(one.keys) == confirmed);
        if let Some(request) = meant.and_then(|one| one.invitation.grant_request()) {
            return self.draft_grant(request);
        }
        if let Some(one) = disputed.first() {
            let DisputedKeys { joiner, granted } = one.keys;
            return Err(Refusal::HeldByOther { zone: zone.clone(), joiner, granted });
        }
        Err(self.ledger.read(|registry| {
            let put_out = book.issued().filter(|issued| issued.zone == *zone).find(|issued| {
                let standing = registry.membership().and_then(|mesh| issued.joiner_standing(mesh));
                standing == Some(JoinerStanding::PutOut)
            });
            match put_out.and_then(|issued| issued.used_by) {
                Some(joiner) => Refusal::PutOut(zone.clone(), joiner.zone_key),
                None => Refusal::NotPending(zone.clone()),
            }
        }))
    }
}
