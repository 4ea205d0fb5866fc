//! Who may sign for the mesh: drafted here, signed by owners elsewhere, pinned here by the operator.
//!
//! Promises: no owner key ever comes near this; a draft holds all that it takes, and changes nothing.
//! Refuses to know which of two changes wins: that is the membership's.

use std::collections::BTreeSet;

use zonemesh_core::membership::{
    AuthorityEdit, AuthorityIdentity, AuthorityPublicKey, AuthoritySet, ChangeSummary, KnownSet,
    Membership, SetHash, SignedTrustItem, TrustItem, TrustKind,
};
use zonemesh_core::mesh::MeshId;
use zonemesh_core::name::ZoneName;

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
        let lacking = self
            .ledger
            .read(|registry| registry.membership().map(|membership| lacking(membership, &offered)));
        Ok(SignedChange { change, lacking: lacking.unwrap_or_default(), ..SignedChange::default() })
    }
}

/// What was offered and has no effect, one sentence each. Sets before the newest one that was offered
/// are the way to it: one that was given up or pinned among them is nobody's question any more.
fn lacking(membership: &Membership, offered: &[SignedTrustItem]) -> Vec<String> {
    let epoch = |item: &SignedTrustItem| match item.decode() {
        Ok(TrustItem::AuthoritySet(set)) => Some(set.epoch),
        _ => None,
    };
    let newest = offered.iter().filter_map(epoch).max();
    let sentence = |item: &SignedTrustItem| {
        if epoch(item).is_some_and(|epoch| Some(epoch) < newest) {
            return None;
        }
        let decoded = item.decode().ok()?;
        let what = match &decoded {
            TrustItem::Grant(grant) => format!("the grant of {}", grant.zone),
            TrustItem::Revocation(revocation) => format!("the revocation of {}", revocation.zone),
            TrustItem::AuthoritySet(set) => format!("change {} of the authorities", set.epoch),
            TrustItem::GrantPage(_) => return None,
        };
        if let Some(lacking) = membership.lacking(item) {
            let (missing, needed) = (lacking.missing, lacking.needed);
            return Some(format!("{what} lacks {missing} of {needed} signatures"));
        }
        let is_held = membership.get(&item.id()).is_some();
        let is_set = matches!(decoded, TrustItem::AuthoritySet(_));
        let waits = is_set && is_held && !membership.follows(&item.payload_hash());
        waits.then(|| {
            format!("{what} is not followed: it waits for its list, or contradicts another")
        })
    };
    offered.iter().filter_map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use zonemesh_core::membership::{AuthorityIdentity, sign};

    use super::*;

    #[test]
    fn a_change_is_judged_by_its_own_set_and_not_by_one_that_was_given_up() {
        let [owner, fresh] = [3, 4].map(|seed| AuthorityIdentity::from_seed(&[seed; 32]));
        let keys = BTreeSet::from([owner.public_key()]);
        let set = Membership::draft_first(keys.clone(), keys, 1, now()).unwrap();
        let first = sign(&set, &TrustItem::AuthoritySet(set.clone()), &[&owner]);
        let mut membership = Membership::new(first).unwrap();
        let child = |membership: &Membership, edit: &AuthorityEdit| {
            let draft = membership.draft_change(edit, now()).unwrap();
            let mut next = SignedTrustItem::unsigned(&TrustItem::AuthoritySet(draft.next));
            [&owner, &fresh].into_iter().for_each(|key| next.sign(key));
            (next.payload_hash(), [vec![next], draft.pages].concat())
        };
        let renew = AuthorityEdit { renew: true, ..AuthorityEdit::default() };
        let add = AuthorityEdit { add: [fresh.public_key()].into(), ..AuthorityEdit::default() };
        let (given_up, kept) = (child(&membership, &renew).1, child(&membership, &add));
        membership.accept_all(kept.1.clone());
        assert!(membership.follows(&kept.0));
        membership.accept_all(given_up.clone());
        let told = ["change 1 of the authorities is not followed: it waits for its list, \
                     or contradicts another"];
        assert_eq!(lacking(&membership, &given_up), told);
        let (head, last) = child(&membership, &renew);
        membership.accept_all(last.clone());
        assert!(membership.follows(&head));
        let file = [given_up, kept.1, last].concat();
        assert_eq!(lacking(&membership, &file), [""; 0]);
    }
}
