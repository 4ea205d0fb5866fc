//! Who belongs to the mesh, as the ledger keeps it: trust items in and out, and who is admitted.
//!
//! Promises: an item is on disk before it leaves this gateway; whoever is admitted no more loses
//! its streams at once, as each of them watches [`Admitted`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use zonemesh_core::journal::AuditAct;
use zonemesh_core::key::ZonePublicKey;
use zonemesh_core::member::{Member, MembershipError};
use zonemesh_core::membership::{
    ItemId, Membership, PinError, SetHash, SignedTrustItem, TrustAccepted, TrustItem, TrustKind,
    TrustPreview, TrustRejected,
};
use zonemesh_core::mesh::MeshId;
use zonemesh_core::name::ZoneName;
use zonemesh_core::registry::{MembershipChange, Registry, TrustNews};

use super::{Ledger, LedgerState, audit};
use crate::facts::disk::{Disk, Write, write_all};

/// How often it is looked whether an item is on disk.
const LOOK: Duration = Duration::from_millis(10);

/// The mesh and the zones that this gateway deals with, with their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Admitted {
    pub(crate) mesh: MeshId,
    pub(crate) zones: BTreeMap<ZoneName, ZonePublicKey>,
}

impl Admitted {
    pub(crate) fn of(registry: &Registry) -> Self {
        let zones = registry.members().map(|member| (member.zone.clone(), member.key));
        Self { mesh: registry.mesh(), zones: zones.collect() }
    }
}

/// What became of items that were offered, and of the members.
#[derive(Debug, Default)]
pub(crate) struct TrustChange {
    /// In the order of the items.
    pub(crate) outcomes: Vec<Result<TrustAccepted, TrustRejected>>,
    pub(crate) members: MembershipChange,
}

impl Ledger {
    /// Who is admitted, from now on.
    pub(crate) fn admitted(&self) -> watch::Receiver<Arc<Admitted>> {
        self.admitted.subscribe()
    }

    /// Becomes part of a managed mesh. Everything of it is on disk before this returns.
    pub(crate) async fn manage(
        self: &Arc<Self>,
        membership: Membership,
    ) -> io::Result<MembershipChange> {
        self.manage_with(membership, Vec::new()).await
    }

    /// The same, and `more` is written with it: all of it or none.
    pub(crate) async fn manage_with(
        self: &Arc<Self>,
        membership: Membership,
        more: Vec<Write>,
    ) -> io::Result<MembershipChange> {
        let turn = self.turn().await;
        let ledger = self.clone();
        let managing = move |disk: &mut dyn Disk| -> io::Result<MembershipChange> {
            let _turn = turn;
            let mut writes = more;
            writes.extend(ledger.trust.adopt(&membership));
            writes.push(ledger.audit.write(audit::joined(membership.mesh())));
            ledger.together.write(disk, &writes)?;
            let mut state = ledger.lock();
            let change = state.registry.manage(membership);
            ledger.readmit(&state);
            drop(state);
            ledger.hear_again(&change);
            ledger.wake_watchers();
            Ok(change)
        };
        self.disk.run(managing).await?
    }

    /// Offers trust items that were signed here or brought by hand, unless `check` has something
    /// against what they would do. They take effect when they are stored, all of them, or not at all.
    pub(crate) async fn accept_trust<E: From<io::Error>>(
        self: &Arc<Self>,
        items: Vec<SignedTrustItem>,
        check: impl FnOnce(&Membership, &[SignedTrustItem]) -> Result<(), E>,
    ) -> Result<TrustChange, E> {
        self.accept_trust_with(items, Vec::new(), check).await
    }

    /// The same, and `more` is written with the items: all of it or none, also when this gateway is
    /// killed meanwhile.
    pub(crate) async fn accept_trust_with<E: From<io::Error>>(
        self: &Arc<Self>,
        items: Vec<SignedTrustItem>,
        more: Vec<Write>,
        check: impl FnOnce(&Membership, &[SignedTrustItem]) -> Result<(), E>,
    ) -> Result<TrustChange, E> {
        let turn = self.turn().await;
        let preview = self.read(|registry| -> Result<_, E> {
            let Some(membership) = registry.membership() else {
                return Ok(TrustPreview::default());
            };
            check(membership, &items)?;
            Ok(membership.preview(&items))
        })?;
        let ledger = self.clone();
        let accepting = move |disk: &mut dyn Disk| -> io::Result<TrustChange> {
            let _turn = turn;
            // A set is nothing without its list.
            let is_alone = more.is_empty() && preview.kept.len() < 2;
            let mut writes = ledger.trust.write_preview(&preview);
            writes.extend(more);
            let taken = preview.kept.iter().filter_map(audit::taken);
            writes.extend(taken.map(|one| ledger.audit.write(one)));
            match is_alone {
                true => write_all(disk, &writes)?,
                false => ledger.together.write(disk, &writes)?,
            }
            let mut state = ledger.lock();
            let outcomes = state.registry.accept_trust(items);
            let news = ledger.take_trust_news(&mut state);
            drop(state);
            let members = news.members.clone();
            ledger.tell_of_trust(news);
            Ok(TrustChange { outcomes, members })
        };
        Ok(self.disk.run(accepting).await??)
    }

    /// Follows an authority set because the operator says so. On disk before it takes effect.
    pub(crate) async fn pin_trust<E: From<io::Error> + From<PinError>>(
        self: &Arc<Self>,
        set: &SetHash,
        items: &[SignedTrustItem],
    ) -> Result<MembershipChange, E> {
        let turn = self.turn().await;
        let Some((before, mut then)) = self.read(|registry| {
            let membership = registry.membership()?;
            Some((membership.ids(), membership.clone()))
        }) else {
            return Err(PinError::Unknown.into());
        };
        then.pin(set, items)?;
        let ledger = self.clone();
        let hash: String = set.iter().map(|byte| format!("{byte:02x}")).collect();
        let pinning = move |disk: &mut dyn Disk| -> io::Result<MembershipChange> {
            let _turn = turn;
            let mut writes = ledger.trust.write(&then.items());
            let dropped = then.take_dropped();
            writes.extend(ledger.trust.follow(Some(&then.stored_head()), &dropped));
            writes.push(ledger.audit(AuditAct::Authorities, &hash, "pinned".to_owned()));
            ledger.together.write(disk, &writes)?;
            let fresh = then.ids().difference(&before).copied().collect();
            let mut state = ledger.lock();
            let change = state.registry.manage(then);
            ledger.readmit(&state);
            drop(state);
            ledger.announce_trust(fresh);
            ledger.hear_again(&change);
            ledger.wake_watchers();
            Ok(change)
        };
        Ok(self.disk.run(pinning).await??)
    }

    /// Lets a zone in again that an overtaken revocation keeps out here. True if there was one.
    pub(crate) async fn lift(self: &Arc<Self>, zone: &ZoneName) -> io::Result<bool> {
        let (lifted, news) = {
            let mut state = self.lock();
            let keeps_out = |mesh: &Membership| {
                mesh.overtaken().any(|overtaken| overtaken.revocation.zone == *zone)
            };
            let lifted = state.registry.membership().is_some_and(keeps_out);
            state.registry.lift(zone);
            (lifted, self.take_trust_news(&mut state))
        };
        self.disk.write(self.trust.follow(None, &news.dropped)).await?;
        self.tell_of_trust(news);
        Ok(lifted)
    }

    /// What revokes `key`, as soon as all of it is on disk: nothing leaves this gateway before. Waits for
    /// that as long as it takes.
    pub(crate) async fn kept_revocations(&self, key: &ZonePublicKey) -> Vec<ItemId> {
        let items = self.read(|registry| {
            let revoking = registry.membership().filter(|membership| membership.is_revoked(key));
            revoking.map(Membership::items).unwrap_or_default()
        });
        let revokes = |item: &SignedTrustItem| {
            let says = (item.kind() == TrustKind::Revocation).then(|| item.decode());
            matches!(says, Some(Ok(TrustItem::Revocation(one))) if one.zone_key == *key)
        };
        let revoking: Vec<_> = items.iter().filter(|item| revokes(item)).collect();
        let ids: Vec<_> = revoking.iter().map(|item| item.id()).collect();
        let contents = revoking.iter().map(|item| item.content_id());
        let files: Vec<_> = contents.map(|content| self.trust.path_of(&content)).collect();
        // In the writer's turn, so that what is there is there for good.
        let mut is_kept = ids.is_empty();
        while !is_kept {
            let files = files.clone();
            let look = self.disk.run(move |_| files.iter().all(|file| file.exists())).await;
            is_kept = look.unwrap_or(false);
            if !is_kept {
                tokio::time::sleep(LOOK).await;
            }
        }
        ids
    }

    /// The line of a change that is no trust item, to be written with it, after everything else.
    pub(crate) fn audit(&self, act: AuditAct, about: &impl Display, detail: String) -> Write {
        self.audit.write(audit::done(act, about, detail))
    }

    /// Keeps items that lack signatures.
    pub(crate) async fn store_drafts(&self, drafts: &[SignedTrustItem]) -> io::Result<()> {
        self.disk.write(self.trust.write_drafts(drafts)).await
    }

    /// Items that lacked signatures when they were kept.
    pub(crate) fn drafts(&self) -> io::Result<Vec<SignedTrustItem>> {
        self.trust.read_drafts()
    }

    /// Takes other members that are written by hand; what differs alone is touched.
    pub(crate) fn set_configured(&self, members: Vec<Member>) -> Result<(), MembershipError> {
        let mut state = self.lock();
        let change = state.registry.set_configured(members)?;
        self.readmit(&state);
        drop(state);
        self.hear_again(&change);
        self.wake_watchers();
        Ok(())
    }

    /// Blocks zones, or lets them in again: exactly `blocked` from now on.
    pub(crate) fn set_blocked(&self, blocked: &BTreeSet<ZoneName>) {
        let mut state = self.lock();
        let before = state.registry.blocked().clone();
        for zone in before.symmetric_difference(blocked) {
            state.registry.set_blocked(zone, blocked.contains(zone));
        }
        self.readmit(&state);
        drop(state);
        self.wake_watchers();
    }

    /// What trust items have brought. Who is admitted no more is so from now on.
    pub(super) fn take_trust_news(&self, state: &mut LedgerState) -> TrustNews {
        let Some(news) = state.registry.poll_trust() else { return TrustNews::default() };
        self.readmit(state);
        news
    }

    /// Tells everyone what trust items have brought.
    pub(super) fn tell_of_trust(&self, news: TrustNews) {
        if news == TrustNews::default() {
            return;
        }
        for (what, zones) in [
            ("a zone has joined the mesh", &news.members.added),
            ("a zone belongs to the mesh no more", &news.members.removed),
            ("a zone was granted anew", &news.members.changed),
        ] {
            zones.iter().for_each(|zone| tracing::info!(%zone, "{what}"));
        }
        self.announce_trust(news.stored);
        self.hear_again(&news.members);
        self.wake_watchers();
    }

    /// Zones that are members again: what they had said is on disk still, and says where they are.
    fn hear_again(&self, change: &MembershipChange) {
        let zones: BTreeSet<_> = change.added.union(&change.changed).collect();
        if zones.is_empty() {
            return;
        }
        let read = self.files.read_of(&zones).inspect_err(|error| {
            tracing::warn!(%error, "cannot read what zones had said that are members again");
        });
        let mut back = Vec::new();
        for record in read.unwrap_or_default() {
            // What is held already, or not in order any more, is refused.
            back.extend(self.lock().registry.restore(record, super::now()).ok());
        }
        self.announce(&back);
    }

    pub(super) fn complain_of_trust(&self, from: &str, rejected: &[TrustRejected]) {
        let suspicious = rejected.iter().filter(|reason| reason.is_suspicious());
        self.complaints.tell(from, "trust item", suspicious.map(|reason| reason.as_str()));
    }

    fn readmit(&self, state: &LedgerState) {
        let now = Admitted::of(&state.registry);
        self.complaints.forget_others(|zone| now.zones.contains_key(zone));
        self.admitted.send_if_modified(|before| {
            let changed = **before != now;
            if changed {
                self.complaints.forget_strangers();
                *before = Arc::new(now);
            }
            changed
        });
    }
}
