//! Who belongs to the mesh, as the ledger keeps it: trust items in and out, and who is admitted.
//!
//! Promises: an item is on disk before it leaves this gateway; whoever is admitted no more loses
//! its streams at once, as each of them watches [`Admitted`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;
use zonemesh_core::key::ZonePublicKey;
use zonemesh_core::membership::{Accepted, Membership, Rejected, SignedTrustItem, TrustKind};
use zonemesh_core::name::ZoneName;
use zonemesh_core::registry::{MembershipChange, Registry, TrustNews};
use zonemesh_core::replication::MeshId;

use super::{Ledger, State};

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
pub(crate) type Outcome = (Vec<Result<Accepted, Rejected>>, MembershipChange);

impl Ledger {
    /// Who is admitted, from now on.
    pub(crate) fn admitted(&self) -> watch::Receiver<Arc<Admitted>> {
        self.admitted.subscribe()
    }

    /// Becomes part of a managed mesh. Everything of it is on disk before this returns.
    pub(crate) fn manage(&self, membership: Membership) -> std::io::Result<MembershipChange> {
        self.trust.adopt(&membership)?;
        let mut state = self.lock();
        let change = state.registry.manage(membership);
        self.readmit(&state);
        drop(state);
        self.wake_watchers();
        Ok(change)
    }

    /// Offers trust items that were signed here or brought by hand.
    pub(crate) fn accept_trust(&self, items: Vec<SignedTrustItem>) -> Outcome {
        let mut state = self.lock();
        let outcomes = state.registry.accept_trust(items);
        let news = self.settle_trust(&mut state);
        (outcomes, news.members)
    }

    /// Offers trust items unless `check` has something against what they would do.
    pub(crate) fn accept_trust_unless<E>(
        &self,
        items: Vec<SignedTrustItem>,
        check: impl FnOnce(&Membership, &[SignedTrustItem]) -> Result<(), E>,
    ) -> Result<Outcome, E> {
        let mut state = self.lock();
        state.registry.membership().map_or(Ok(()), |membership| check(membership, &items))?;
        let outcomes = state.registry.accept_trust(items);
        let news = self.settle_trust(&mut state);
        Ok((outcomes, news.members))
    }

    /// Keeps items that lack signatures.
    pub(crate) fn store_drafts(&self, drafts: &[SignedTrustItem]) -> std::io::Result<()> {
        self.trust.store_drafts(drafts)
    }

    /// Items that lacked signatures when they were kept.
    pub(crate) fn drafts(&self) -> std::io::Result<Vec<SignedTrustItem>> {
        self.trust.read_drafts()
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

    /// Stores what trust items have brought and tells everyone.
    pub(crate) fn settle_trust(&self, state: &mut State) -> TrustNews {
        let Some(news) = state.registry.poll_trust() else { return TrustNews::default() };
        let membership = state.registry.membership();
        let items =
            membership.into_iter().flat_map(|m| news.stored.iter().filter_map(|id| m.get(id)));
        // Authority sets last: one that is on disk without the grants that were signed anew for it
        // would put zones out at the next start.
        let mut items: Vec<_> = items.collect();
        items.sort_by_key(|item| item.kind() == TrustKind::AuthoritySet);
        for item in items {
            if let Err(error) = self.trust.store(item) {
                tracing::error!(id = %item.id(), %error, "cannot store a trust item; is the disk full?");
            }
        }
        for (what, zones) in [
            ("a zone has joined the mesh", &news.members.added),
            ("a zone belongs to the mesh no more", &news.members.removed),
            ("a zone was granted anew", &news.members.changed),
        ] {
            zones.iter().for_each(|zone| tracing::info!(%zone, "{what}"));
        }
        self.readmit(state);
        self.announce_trust(news.stored.clone());
        self.wake_watchers();
        news
    }

    pub(crate) fn complain_of_trust(&self, from: &str, rejected: &[Rejected]) {
        let suspicious = rejected.iter().filter(|reason| reason.is_suspicious());
        self.complaints.tell(from, "trust item", suspicious.map(|reason| reason.as_str()));
    }

    fn readmit(&self, state: &State) {
        let now = Admitted::of(&state.registry);
        self.admitted.send_if_modified(|before| {
            let changed = **before != now;
            if changed {
                *before = Arc::new(now);
            }
            changed
        });
    }
}
