//! Who may sign for the mesh: drafted here, signed by owners elsewhere, pinned here by the operator.
//!
//! Promises: no owner key ever comes near this; a draft holds all that it takes, and changes nothing.
//! Refuses to know which of two changes wins: that is the membership's.

use std::collections::BTreeSet;

use zonemesh_core::membership::{
    AuthorityEdit, AuthorityIdentity, AuthorityPublicKey, AuthoritySet, ChangeSummary, KnownSet,
    SetHash, SignedTrustItem, TrustItem, TrustKind, TrustRejected,
};
use zonemesh_core::mesh::MeshId;
use zonemesh_core::name::ZoneName;

use super::ineffective::{lacking, overtaken, strangers};
use super::{Administration, Refusal, SignedChange};
use crate::facts::disk::keys;
use crate::facts::ledger::now;

/// Who may sign for the mesh now.
pub(crate) struct AuthoritiesInForce {
    pub(crate) mesh: MeshId,
    pub(crate) hash: SetHash,
    pub(crate) set: AuthoritySet,
    pub(crate) is_pinned: bool,
    /// The one whose key lies here.
    pub(crate) here: Option<AuthorityPublicKey>,
    /// Sets that contradict each other, one sentence each.
    pub(crate) conflicts: Vec<String>,
}

/// A change that waits for its owners.
pub(crate) struct DraftedChange {
    /// The sets so far, the new one, its list and what that lists.
    pub(crate) items: Vec<SignedTrustItem>,
    pub(crate) summary: ChangeSummary,
    /// Members that may know of changes which are not known here.
    pub(crate) not_compared: BTreeSet<ZoneName>,
}

impl Administration {
    /// The authority key of this gateway, if it has one. Looked up each time: it may be put into the
    /// state folder while the daemon runs.
    pub(super) fn authority(&self) -> Result<Option<AuthorityIdentity>, Refusal> {
        let own = self.authority_file.exists().then(|| keys::authority(&self.authority_file));
        own.transpose().map_err(|failure| Refusal::KeyFile(failure.into_error()))
    }

    /// The same; a new one if there is none.
    pub(super) async fn authority_or_new(&self) -> Result<AuthorityIdentity, Refusal> {
        if let Some(own) = self.authority()? {
            return Ok(own);
        }
        let (key, write) = keys::new_authority(self.authority_file.clone())?;
        self.disk.write(vec![write]).await?;
        tracing::info!(file = %self.authority_file.display(), "made a new key");
        Ok(key)
    }

    /// Who may sign now.
    pub(crate) fn authorities(&self) -> Result<AuthoritiesInForce, Refusal> {
        let here = self.authority()?.map(|own| own.public_key());
        self.ledger.read(|registry| {
            let membership = registry.membership().ok_or(Refusal::Unmanaged)?;
            let (hash, set) = membership.authority_set();
            let conflicts = membership.conflicts();
            Ok(AuthoritiesInForce {
                mesh: membership.mesh().clone(),
                hash,
                set: set.clone(),
                is_pinned: membership.pinned().head,
                here,
                conflicts: conflicts.map(|(a, b)| KnownSet::contradiction(a, b)).collect(),
            })
        })
    }

    /// Drafts a change of who may sign. Nothing changes before its owners have signed it.
    pub(crate) fn draft_change(
        &self,
        edit: &AuthorityEdit,
        is_heard: impl Fn(&ZoneName) -> bool,
    ) -> Result<DraftedChange, Refusal> {
        self.ledger.read(|registry| {
            let membership = registry.membership().ok_or(Refusal::Unmanaged)?;
            let draft = membership.draft_change(edit, now())?;
            let mut items = membership.items();
            items.retain(|item| item.kind() == TrustKind::AuthoritySet);
            items.push(SignedTrustItem::unsigned(&TrustItem::AuthoritySet(draft.next)));
            items.extend(draft.pages.into_iter().chain(draft.grants));
            let own = registry.zone();
            let others = membership.members().map(|member| &member.zone);
            let not_compared = others.filter(|zone| *zone != own && !is_heard(zone));
            Ok(DraftedChange {
                items,
                summary: draft.summary,
                not_compared: not_compared.cloned().collect(),
            })
        })
    }

    /// Follows an authority set here, whoever has signed it.
    pub(crate) async fn pin(
        &self,
        set: &SetHash,
        items: &[SignedTrustItem],
    ) -> Result<SignedChange, Refusal> {
        let _one_at_a_time = self.state.lock().await;
        let members = self.ledger.pin_trust::<Refusal>(set, items).await?;
        let mut signed = SignedChange::default();
        signed.change.members = members;
        Ok(signed)
    }

    /// Takes items unless zones would be put out by them that nobody has revoked, and that the owners
    /// have not left out either.
    pub(super) async fn apply(&self, items: Vec<SignedTrustItem>) -> Result<SignedChange, Refusal> {
        let offered = items.clone();
        let change = self.accept(items).await?;
        let were_taken = change.outcomes.iter().all(Result::is_ok);
        let judged = offered.iter().zip(&change.outcomes);
        let refused = judged.filter(|(_, how)| **how == Err(TrustRejected::NotAuthorised));
        let refused: Vec<_> = refused.map(|(item, _)| item.clone()).collect();
        let found = self.ledger.read(|registry| {
            let membership = registry.membership()?;
            let open = lacking(membership, &offered);
            let past = (were_taken && open.is_empty()).then(|| overtaken(membership, &offered));
            Some((past.unwrap_or(open), strangers(membership, &refused)))
        });
        let (lacking, warnings) = found.unwrap_or_default();
        Ok(SignedChange { change, lacking, warnings, ..SignedChange::default() })
    }
}
