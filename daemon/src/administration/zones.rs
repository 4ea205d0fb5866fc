//! The zones of the mesh, one by one: list, revoke, block, export, import.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use zonemesh_core::finding::Code;
use zonemesh_core::invitation::{IssuedInvitation, RedemptionCounters, Redemptions};
use zonemesh_core::journal::AuditAct;
use zonemesh_core::membership::{
    AuthoritySet, DraftError, Membership, SignedTrustItem, TrustItem, TrustKind,
};
use zonemesh_core::mesh::MeshId;
use zonemesh_core::name::ZoneName;

use super::{Administration, BookState, Joiners, Refusal, SignedChange};
use crate::facts::ledger::now;

/// The zones that were invited and are no members yet.
pub(crate) struct InvitedZones {
    /// They have redeemed.
    pub(crate) joiners: Joiners,
    /// They have not redeemed yet.
    pub(crate) open: Vec<IssuedInvitation>,
    /// What has become of redemptions, in a managed mesh.
    pub(crate) counters: Option<RedemptionCounters>,
}

impl Administration {
    /// The zones that were invited and are no members yet.
    pub(crate) async fn invited(&self) -> InvitedZones {
        let book = self.state.lock().await;
        let now = now();
        let issued = book.book.iter().flat_map(|book| book.issued());
        let open = issued.filter(|issued| issued.used_by.is_none() && issued.expires_at > now);
        InvitedZones {
            joiners: self.joiners(&book),
            open: open.cloned().collect(),
            counters: book.book.as_ref().map(Redemptions::counters),
        }
    }

    /// The zones that wait for approval, for a screen: it does not wait for who changes something now,
    /// and shows what it showed last.
    pub(crate) fn waiting_zones(&self) -> Vec<ZoneName> {
        let mut last = self.last_waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(state) = self.state.try_lock() {
            *last = self.joiners(&state).pending.into_iter().map(|issued| issued.zone).collect();
        }
        last.clone()
    }

    /// Revokes the present key of a zone, for ever. Its unused invitations hold no more; of a zone that
    /// is no member there is nothing else to take.
    pub(crate) async fn revoke(
        &self,
        zone: &ZoneName,
        reason: &str,
    ) -> Result<SignedChange, Refusal> {
        let mut state = self.state.lock().await;
        if *zone == self.config().zone.name {
            return Err(Refusal::OwnZone);
        }
        let drafted = self.ledger.read(|registry| {
            let membership = registry.membership().ok_or(Refusal::Unmanaged)?;
            Ok::<_, Refusal>(membership.draft_revocation(zone, reason, now())?)
        });
        let revocation = match drafted {
            Err(unknown @ Refusal::Draft(DraftError::UnknownZone(_))) => {
                let is_invited = self.give_up_invitations(&mut state, zone).await?;
                let said = format!("zone {zone} is no member: its invitation holds no more");
                let change = SignedChange { notes: vec![said], ..SignedChange::default() };
                return is_invited.then_some(change).ok_or(unknown);
            }
            drafted => drafted?,
        };
        self.void_invitations(&mut state, zone).await?;
        self.sign_and_apply(&[TrustItem::Revocation(revocation)]).await
    }

    /// Before the revocation: with one of them whoever is put out would be back at once.
    pub(super) async fn void_invitations(
        &self,
        state: &mut BookState,
        zone: &ZoneName,
    ) -> Result<(), Refusal> {
        let Some(book) = &mut state.book else { return Ok(()) };
        let voided = book.void(zone, None);
        self.strike_out(book, voided).await
    }

    /// True if there were any.
    async fn give_up_invitations(
        &self,
        state: &mut BookState,
        zone: &ZoneName,
    ) -> Result<bool, Refusal> {
        let Some(book) = &mut state.book else { return Ok(false) };
        let given_up = book.give_up(zone);
        let were_there = !given_up.is_empty();
        self.strike_out(book, given_up).await.map(|()| were_there)
    }

    pub(super) async fn strike_out(
        &self,
        book: &mut Redemptions,
        struck: Vec<IssuedInvitation>,
    ) -> Result<(), Refusal> {
        let writes = struck.iter().map(|issued| self.invitations.remove(&issued.id)).collect();
        let stored = self.disk.write(writes).await;
        Ok(stored.inspect_err(|_| book.restore(struck))?)
    }

    /// Blocks a zone here, or lets it in again; returns all that are blocked now, and whether
    /// anything was changed.
    pub(crate) async fn block(
        &self,
        zone: &ZoneName,
        blocked: bool,
    ) -> Result<(BTreeSet<ZoneName>, bool), Refusal> {
        let _one_at_a_time = self.state.lock().await;
        if *zone == self.config().zone.name {
            return Err(Refusal::OwnZone);
        }
        let (mut all, known) = self.ledger.read(|registry| {
            let known = registry.all_members().any(|member| member.zone == *zone);
            (registry.blocked().clone(), known)
        });
        if !known && !all.contains(zone) {
            return Err(Refusal::UnknownZone(zone.clone()));
        }
        let changed = match blocked {
            true => all.insert(zone.clone()),
            // Both keep the zone out.
            false => self.ledger.lift(zone).await? | all.remove(zone),
        };
        if !changed {
            return Ok((all, false));
        }
        let act = if blocked { AuditAct::Block } else { AuditAct::Unblock };
        let audit = self.ledger.audit(act, zone, String::new());
        self.disk.write(vec![self.blocked.write(&all), audit]).await?;
        self.ledger.set_blocked(&all);
        // Whatever lines it had, now it is as it was written here.
        self.ledger.findings().clear(Code::FileUnusable, &self.blocked.subject());
        tracing::warn!(%zone, blocked, "changed which zones this gateway blocks");
        Ok((all, true))
    }

    /// All trust items that are held, and the first grants while they lack signatures.
    pub(crate) fn export(&self) -> Result<Vec<SignedTrustItem>, Refusal> {
        let items = self.ledger.read(|registry| registry.membership().map(Membership::items));
        let mut items = items.ok_or(Refusal::Unmanaged)?;
        let drafts = self.ledger.drafts()?;
        let says = |item: &SignedTrustItem| (item.kind(), item.payload().clone());
        let held: Vec<_> = items.iter().map(says).collect();
        items.extend(drafts.into_iter().filter(|draft| !held.contains(&says(draft))));
        Ok(items)
    }

    /// Takes items that were signed elsewhere. A gateway whose mesh is written by hand becomes part
    /// of the managed one that the items are of, if that has granted its key.
    pub(crate) async fn import(
        &self,
        items: Vec<SignedTrustItem>,
    ) -> Result<SignedChange, Refusal> {
        let mut state = self.state.lock().await;
        if state.book.is_some() {
            return self.apply(items).await;
        }
        let before = self.ledger.read(|registry| {
            registry.members().map(|member| member.zone.clone()).collect::<BTreeSet<_>>()
        });
        let membership = self.mesh_of(items)?;
        let stored = membership.ids();
        self.adopt(&mut state, membership).await?;
        let mut signed = SignedChange::default();
        let outcomes = stored.into_iter().map(zonemesh_core::membership::TrustAccepted::Stored);
        signed.change.outcomes = outcomes.map(Ok).collect();
        signed.change.members.added = self.ledger.read(|registry| {
            let now = registry.members().map(|member| member.zone.clone());
            now.filter(|zone| !before.contains(zone)).collect()
        });
        Ok(signed)
    }

    /// The mesh among `items` that has granted this zone's key.
    fn mesh_of(&self, items: Vec<SignedTrustItem>) -> Result<Membership, Refusal> {
        let firsts = items.iter().filter(|item| item.kind() == TrustKind::AuthoritySet);
        let meshes: Vec<MeshId> = firsts
            .filter(|item| {
                matches!(
                    item.decode(),
                    Ok(TrustItem::AuthoritySet(AuthoritySet { previous: None, .. }))
                )
            })
            .filter_map(|item| Membership::new(item.clone()).ok())
            .map(|membership| membership.mesh().clone())
            .collect();
        let candidates =
            meshes.iter().filter_map(|mesh| Membership::from_items(mesh, None, items.clone()).ok());
        let mut granted = candidates.filter(|membership| self.is_granted(membership));
        granted.next().ok_or(Refusal::NotGranted)
    }

    /// True if this zone is a member there with this gateway's key.
    pub(crate) fn is_granted(&self, membership: &Membership) -> bool {
        let own = membership.member(&self.config().zone.name);
        own.is_some_and(|own| own.key == self.own_keys.zone_key)
    }
}

#[cfg(test)]
mod tests {
    use crate::administration::tests::{berlin, madrid_redeems};

    #[tokio::test]
    async fn a_screen_shows_who_waits_for_approval_also_while_somebody_changes_something() {
        let berlin = berlin().await;
        let administration = &berlin.administration;
        let invitation = berlin.invite_madrid().await.unwrap();
        assert!(administration.waiting_zones().is_empty());
        std::fs::remove_file(berlin.folder.path().join("authority.key")).unwrap();
        madrid_redeems(administration, &invitation).await;
        assert_eq!(administration.waiting_zones(), ["madrid".parse().unwrap()]);
        let _changing = administration.state.lock().await;
        assert_eq!(administration.waiting_zones(), ["madrid".parse().unwrap()]);
    }
}
