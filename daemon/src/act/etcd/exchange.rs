//! What is read from etcd and put there, over one connection.
//!
//! Reads before it writes, so that this zone's record is never put over a newer one. Puts this zone's
//! own record and every trust item that etcd lacks, each after those without which it counts for
//! nothing; other zones' records are theirs to put. Promises bounded memory: one record at a time,
//! trust items of [`MAX_BYTES`], keys of members and of at most [`MAX_ITEMS`] trust items. A value is
//! judged once for each change of it, and one that counts for nothing again whenever trust has
//! changed; what somebody puts over ours is put right when everything is looked through, not at
//! once, so that no two writers chase each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use zonemesh_api::clients::etcd::{Changed, Etcd, EtcdError};
use zonemesh_core::gateway::GatewayId;
use zonemesh_core::membership::{ItemId, Membership, SignedTrustItem, TrustRejected};
use zonemesh_core::name::ZoneName;
use zonemesh_core::record::SignedRecord;
use zonemesh_core::registry::{self, RecordAccepted, Registry, Standing};

use super::layout::{self, EtcdKey, EtcdLayout};
use crate::facts::etcd::EtcdBoard;
use crate::facts::ledger::Ledger;

/// Most keys of items that are remembered, and most that are listed at once.
const MAX_ITEMS: usize = 16_384;

/// Bytes of trust items that are read before they are judged in their order: what a mesh may hold.
const MAX_BYTES: usize = 16 << 20;

/// Trust items that are offered together: nobody else waits longer than for these.
const BATCH: usize = 64;

/// A trust item as etcd holds it.
struct FetchedItem {
    id: ItemId,
    revision: i64,
    item: Result<SignedTrustItem, TrustRejected>,
}

impl FetchedItem {
    fn size(&self) -> usize {
        self.item.as_ref().map_or(0, SignedTrustItem::size)
    }

    /// As it was put: each item after those without which it counts for nothing.
    fn turn(&self) -> Option<(u8, u64)> {
        self.item.as_ref().ok().map(SignedTrustItem::turn)
    }
}

/// What was seen of a trust item's key.
struct SeenItem {
    revision: i64,
    /// The right item lies there.
    right: bool,
    /// It may count once trust has changed: what it needs may have come after it.
    early: bool,
}

/// One connection to etcd.
pub(super) struct Exchange<'a> {
    etcd: Etcd,
    ledger: &'a Arc<Ledger>,
    board: &'a EtcdBoard,
    layout: EtcdLayout,
    own: GatewayId,
    /// Revisions of the values that were judged.
    records: BTreeMap<GatewayId, i64>,
    trust: BTreeMap<ItemId, SeenItem>,
    /// The record of this zone for which nothing is left to put.
    settled: Option<SignedRecord>,
    crowded: bool,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(
        etcd: Etcd,
        ledger: &'a Arc<Ledger>,
        board: &'a EtcdBoard,
        layout: EtcdLayout,
    ) -> Self {
        Self {
            etcd,
            ledger,
            board,
            layout,
            own: ledger.read(|registry| registry.id().clone()),
            records: BTreeMap::new(),
            trust: BTreeMap::new(),
            settled: None,
            crowded: false,
        }
    }

    /// Reads what has changed since it was last read, and puts what etcd lacks.
    pub(super) async fn look_through(&mut self) -> Result<(), EtcdError> {
        if self.ledger.read(|registry| registry.membership().is_some()) {
            self.read_trust().await?;
            self.put_trust().await?;
        }
        self.read_records().await?;
        self.put_own().await
    }

    /// Trust has changed: judges anew next time what a zone may say, and what counted for nothing.
    pub(super) fn judge_anew(&mut self) {
        self.records.clear();
        self.trust.retain(|_, seen| !seen.early);
    }

    /// A record is held anew: puts it if it is this zone's.
    pub(super) async fn announce(&mut self, gateway: &GatewayId) -> Result<(), EtcdError> {
        match *gateway == self.own {
            true => self.put_own().await,
            false => Ok(()),
        }
    }

    /// Takes what has just changed in etcd.
    pub(super) async fn take(&mut self, changes: Vec<Changed>) {
        let members = self.members();
        let mut items = Vec::new();
        for Changed { key, revision, value } in changes {
            match (self.layout.place(&key), value) {
                (Some(EtcdKey::Record(id)), Some(value)) if members.contains(&id.zone) => {
                    self.take_record(id, revision, layout::record(&value)).await;
                }
                (Some(EtcdKey::Trust(id)), Some(value)) => {
                    items.push(FetchedItem { id, revision, item: layout::trust_item(&value) });
                }
                (Some(EtcdKey::Record(id)), None) => drop(self.records.remove(&id)),
                (Some(EtcdKey::Trust(id)), None) => drop(self.trust.remove(&id)),
                (Some(EtcdKey::Record(_)) | None, _) => {}
            }
        }
        self.take_trust(items).await;
    }

    async fn read_trust(&mut self) -> Result<(), EtcdError> {
        let id = |key: &[u8]| match self.layout.place(key) {
            Some(EtcdKey::Trust(id)) => Some(id),
            _ => None,
        };
        let (listed, complete) = self.etcd.list(self.layout.trust(), MAX_ITEMS, id).await?;
        self.note_crowd(complete);
        let listed: BTreeMap<_, _> = listed.into_iter().collect();
        self.trust.retain(|id, _| listed.contains_key(id));
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for (id, revision) in listed {
            if self.trust.get(&id).is_some_and(|seen| seen.revision == revision) {
                continue;
            }
            let fetched = match self.etcd.get(&self.layout.key(&EtcdKey::Trust(id))).await {
                Ok(Some((value, revision))) => {
                    FetchedItem { id, revision, item: layout::trust_item(&value) }
                }
                Ok(None) => continue,
                Err(EtcdError::TooLarge(_)) => {
                    FetchedItem { id, revision, item: Err(TrustRejected::TooLarge) }
                }
                Err(error) => return Err(error),
            };
            bytes += fetched.size();
            batch.push(fetched);
            if bytes > MAX_BYTES {
                self.take_trust(std::mem::take(&mut batch)).await;
                bytes = 0;
            }
        }
        self.take_trust(batch).await;
        Ok(())
    }

    async fn take_trust(&mut self, mut fetched: Vec<FetchedItem>) {
        fetched.sort_by_cached_key(FetchedItem::turn);
        let mut fetched = fetched.into_iter().peekable();
        while fetched.peek().is_some() {
            self.judge(fetched.by_ref().take(BATCH).collect()).await;
        }
    }

    async fn judge(&mut self, batch: Vec<FetchedItem>) {
        let right =
            |fetched: &FetchedItem| fetched.item.as_ref().is_ok_and(|i| i.id() == fetched.id);
        let seen: Vec<_> = batch.iter().map(|f| (f.id, f.revision, right(f))).collect();
        let outcomes = self.ledger.offer_trust(batch.into_iter().map(|f| f.item).collect()).await;
        let refused = outcomes.iter().filter(|o| o.as_ref().is_err_and(|r| r.is_suspicious()));
        self.board.refused(refused.count() as u64);
        for ((id, revision, right), outcome) in seen.into_iter().zip(outcomes) {
            let early = matches!(
                outcome,
                Err(TrustRejected::UnknownPredecessor | TrustRejected::NotAuthorised)
            );
            if self.trust.len() < MAX_ITEMS || self.trust.contains_key(&id) {
                self.trust.insert(id, SeenItem { revision, right, early });
            }
        }
    }

    async fn put_trust(&mut self) -> Result<(), EtcdError> {
        let ids = |r: &Registry| r.membership().map(Membership::ids_in_order).unwrap_or_default();
        for id in self.ledger.read(ids) {
            if self.trust.get(&id).is_some_and(|seen| seen.right) {
                continue;
            }
            let item = |registry: &Registry| registry.membership()?.get(&id).cloned();
            let Some(item) = self.ledger.read(item) else { continue };
            let key = self.layout.key(&EtcdKey::Trust(id));
            let revision = self.etcd.put(key, item.to_file_bytes()).await?;
            self.trust.insert(id, SeenItem { revision, right: true, early: false });
        }
        Ok(())
    }

    async fn read_records(&mut self) -> Result<(), EtcdError> {
        let members = self.members();
        let of_member = |key: &[u8]| match self.layout.place(key) {
            Some(EtcdKey::Record(id)) if members.contains(&id.zone) => Some(id),
            _ => None,
        };
        let (listed, complete) =
            self.etcd.list(self.layout.records(), MAX_ITEMS, of_member).await?;
        self.note_crowd(complete);
        if !listed.iter().any(|(id, _)| *id == self.own) {
            self.settled = None;
        }
        for (id, revision) in listed {
            if self.records.get(&id) == Some(&revision) {
                continue;
            }
            match self.etcd.get(&self.layout.key(&EtcdKey::Record(id.clone()))).await {
                Ok(Some((value, revision))) => {
                    self.take_record(id, revision, layout::record(&value)).await;
                }
                Ok(None) => {}
                Err(EtcdError::TooLarge(_)) => {
                    self.take_record(id, revision, Err(registry::RecordRejected::TooLarge)).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn take_record(
        &mut self,
        id: GatewayId,
        revision: i64,
        record: Result<SignedRecord, registry::RecordRejected>,
    ) {
        let is_ours = record.is_ok() && record.as_ref().ok() == self.own_record().as_ref();
        let outcome = self.ledger.offer_record("etcd", record).await;
        if outcome.as_ref().is_err_and(|reason| reason.is_suspicious()) {
            self.board.refused(1);
        }
        if id == self.own {
            // Surpassed: the ledger publishes above it, and that is then put.
            let nothing_to_put = is_ours || outcome == Ok(RecordAccepted::OwnSurpassed);
            self.settled = if nothing_to_put { self.own_record() } else { None };
        }
        self.records.insert(id, revision);
    }

    async fn put_own(&mut self) -> Result<(), EtcdError> {
        let Some(record) = self.own_record() else { return Ok(()) };
        if self.settled.as_ref() == Some(&record) {
            return Ok(());
        }
        let key = self.layout.key(&EtcdKey::Record(self.own.clone()));
        let revision = self.etcd.put(key, record.to_file_bytes()).await?;
        self.records.insert(self.own.clone(), revision);
        self.settled = Some(record);
        Ok(())
    }

    /// This zone's record, if others will take it.
    fn own_record(&self) -> Option<SignedRecord> {
        self.ledger.read(|registry| {
            let is_member = registry.standing() == Standing::Member;
            let held = registry.get_gateway(&self.own).filter(|_| is_member);
            held.map(|held| held.signed.clone())
        })
    }

    fn members(&self) -> BTreeSet<ZoneName> {
        self.ledger.read(|registry| registry.all_members().map(|m| m.zone.clone()).collect())
    }

    fn note_crowd(&mut self, complete: bool) {
        if !complete && !self.crowded {
            tracing::warn!(
                most = MAX_ITEMS,
                "etcd holds more keys than a mesh has: the rest is not read"
            );
            self.crowded = true;
        }
    }
}
