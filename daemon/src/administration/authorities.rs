//! Who may sign for the mesh: changed here, or drafted here and signed elsewhere.
//!
//! Promises: a change takes effect together with the grants that it would leave without signatures, or
//! not at all; it is never applied half signed. Refuses to know which of two changes wins: that is the
//! membership's.

use zonemesh_core::membership::{
    AuthorityEdit, AuthorityIdentity, AuthorityPublicKey, AuthoritySet, Membership,
    SignedTrustItem, TrustItem, add_signatures, sign, signatures_missing,
};
use zonemesh_core::mesh::MeshId;

use super::{Administration, Refusal, SignedChange};
use crate::facts::disk::keys;
use crate::facts::ledger::now;

/// Who may sign for the mesh now.
pub(crate) struct AuthoritiesInForce {
    pub(crate) mesh: MeshId,
    pub(crate) set: AuthoritySet,
    /// The one whose key lies here.
    pub(crate) here: Option<AuthorityPublicKey>,
    /// Changes that lost against others.
    pub(crate) lost_changes: usize,
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
            Ok(AuthoritiesInForce {
                mesh: membership.mesh().clone(),
                set: membership.authority_set().1.clone(),
                here,
                lost_changes: membership.lost_changes(),
            })
        })
    }

    /// Changes who may sign, or hands the change out to be signed elsewhere.
    pub(crate) async fn change_authorities(
        &self,
        edit: &AuthorityEdit,
    ) -> Result<SignedChange, Refusal> {
        let _one_at_a_time = self.state.lock().await;
        let own = self.authority()?;
        let keys: Vec<_> = own.iter().collect();
        let draft = self.ledger.read(|registry| {
            let membership = registry.membership().ok_or(Refusal::Unmanaged)?;
            draft(membership, edit, &keys)
        })?;
        match draft {
            Draft { missing: 0, before: _, items } => self.apply(items).await,
            Draft { missing, before, mut items } => {
                items.splice(0..0, before);
                Ok(SignedChange { unfinished: items, missing, ..SignedChange::default() })
            }
        }
    }

    /// Takes items unless zones would be put out by them that nobody has revoked.
    pub(super) async fn apply(&self, items: Vec<SignedTrustItem>) -> Result<SignedChange, Refusal> {
        let offered = items.clone();
        let nobody_is_put_out = |membership: &Membership, items: &[SignedTrustItem]| {
            let put_out = membership.put_out_by(items);
            if put_out.is_empty() { Ok(()) } else { Err(Refusal::PutsOut(put_out)) }
        };
        let change = self.ledger.accept_trust(items, nobody_is_put_out).await?;
        let lacking = self
            .ledger
            .read(|registry| registry.membership().map(|membership| lacking(membership, &offered)));
        Ok(SignedChange { change, lacking: lacking.unwrap_or_default(), ..SignedChange::default() })
    }
}

/// A change with all that it takes, signed as far as one gateway can.
struct Draft {
    /// The set in force, which says to other signers who may sign the next one.
    before: Option<SignedTrustItem>,
    items: Vec<SignedTrustItem>,
    missing: u32,
}

fn draft(
    membership: &Membership,
    edit: &AuthorityEdit,
    keys: &[&AuthorityIdentity],
) -> Result<Draft, Refusal> {
    let (hash, present) = membership.authority_set();
    let next = membership.draft_change(edit, now())?;
    let set = sign(present, &TrustItem::AuthoritySet(next.clone()), keys);
    let mut missing = signatures_missing(present, &set);
    let mut items = vec![set];
    for mut grant in membership.draft_regrants(&next) {
        add_signatures(&next, &mut grant, keys);
        missing = missing.max(signatures_missing(&next, &grant));
        items.push(grant);
    }
    let before = membership.items().into_iter().find(|item| item.payload_hash() == hash);
    Ok(Draft { before, items, missing })
}

/// What was offered and has no effect, one sentence each.
fn lacking(membership: &Membership, offered: &[SignedTrustItem]) -> Vec<String> {
    let sentence = |item: &SignedTrustItem| {
        let what = match item.decode().ok()? {
            TrustItem::Grant(grant) => format!("the grant of {}", grant.zone),
            TrustItem::Revocation(revocation) => format!("the revocation of {}", revocation.zone),
            TrustItem::AuthoritySet(set) => format!("change {} of the authorities", set.epoch),
        };
        if let Some(lacking) = membership.lacking(item) {
            let (missing, needed) = (lacking.missing, lacking.needed);
            return Some(format!("{what} lacks {missing} of {needed} signatures"));
        }
        let lost = matches!(item.decode(), Ok(TrustItem::AuthoritySet(_)))
            && membership.get(&item.id()).is_some()
            && !membership.follows(&item.payload_hash());
        lost.then(|| format!("{what} contradicts another one, which wins"))
    };
    offered.iter().filter_map(sentence).collect()
}
