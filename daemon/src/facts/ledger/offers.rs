//! Items that a store brings which is not trusted: the same checks, counters and files as for those of
//! a neighbour.

use std::sync::Arc;

use zonemesh_core::membership::{self, SignedTrustItem};
use zonemesh_core::record::SignedRecord;
use zonemesh_core::registry::{RecordAccepted, RecordRejected, Registry, TrustNews};

use super::{Ledger, now};

impl Ledger {
    /// Offers what lay under the key of a record: the record, or why it is none.
    pub(crate) async fn offer_record(
        self: &Arc<Self>,
        record: Result<SignedRecord, RecordRejected>,
    ) -> Result<RecordAccepted, RecordRejected> {
        let outcome = {
            let mut state = self.lock();
            match record {
                Ok(record) => state.registry.accept(record, now()),
                Err(reason) => {
                    state.registry.refuse(reason);
                    Err(reason)
                }
            }
        };
        match &outcome {
            Ok(RecordAccepted::Stored(id)) => {
                self.keep(vec![id.clone()], TrustNews::default()).await
            }
            Err(reason) if reason.is_suspicious() => {
                self.complaints.tell("etcd", "zone record", std::iter::once(reason.as_str()));
            }
            _ => {}
        }
        // This zone's own record may have to be published anew.
        self.due.notify_one();
        outcome
    }

    /// Offers what lay under the keys of trust items, as [`Ledger::offer_record`] does; the outcomes
    /// are in the order of the items.
    pub(crate) async fn offer_trust(
        self: &Arc<Self>,
        items: Vec<Result<SignedTrustItem, membership::TrustRejected>>,
    ) -> Vec<Result<membership::TrustAccepted, membership::TrustRejected>> {
        let (outcomes, news) = {
            let mut state = self.lock();
            let outcomes = judge(&mut state.registry, items);
            (outcomes, self.take_trust_news(&mut state))
        };
        self.complain_of_trust("etcd", &news.rejected);
        self.keep(Vec::new(), news).await;
        self.due.notify_one();
        outcomes
    }
}

fn judge(
    registry: &mut Registry,
    items: Vec<Result<SignedTrustItem, membership::TrustRejected>>,
) -> Vec<Result<membership::TrustAccepted, membership::TrustRejected>> {
    let (mut readable, mut unreadable) = (Vec::new(), Vec::new());
    for item in items {
        match item {
            Ok(item) => {
                readable.push(item);
                unreadable.push(None);
            }
            Err(reason) => {
                registry.refuse_trust(reason);
                unreadable.push(Some(reason));
            }
        }
    }
    let mut judged = registry.accept_trust(readable).into_iter();
    let outcome = |reason: Option<membership::TrustRejected>| match reason {
        Some(reason) => Some(Err(reason)),
        None => judged.next(),
    };
    unreadable.into_iter().filter_map(outcome).collect()
}

#[cfg(test)]
mod tests {
    use zonemesh_core::key::ZoneIdentity;
    use zonemesh_core::member::Member;
    use zonemesh_core::membership::TrustKind;
    use zonemesh_core::record::{Version, ZoneRecord};

    use super::super::OwnZone;
    use super::*;
    use crate::facts::disk::writer;

    fn identity(zone: u8) -> ZoneIdentity {
        ZoneIdentity::from_seed(&[zone; 32])
    }

    fn ledger(folder: &std::path::Path) -> Arc<Ledger> {
        let member = |zone: u8| Member {
            zone: format!("z{zone}").parse().unwrap(),
            key: identity(zone).public_key(),
            prefixes: vec![format!("10.10.{zone}.0/24").parse().unwrap()],
            tunnel_ips: Vec::new(),
        };
        let zone = "z1".parse().unwrap();
        let members = vec![member(1), member(2)];
        let own = OwnZone { zone, gateway: "z1-gw1".to_owned(), identity: identity(1), members };
        Ledger::open(own, folder, writer()).unwrap()
    }

    fn record(signer: u8) -> SignedRecord {
        let folder = tempfile::tempdir().unwrap();
        let record = ZoneRecord {
            gateway: "z2-gw1".to_owned(),
            certificate: None,
            zone: "z2".parse().unwrap(),
            version: Version { incarnation: 1, seq: 1 },
            issued_at: now(),
            content: ledger(folder.path()).draft(),
        };
        SignedRecord::sign(&record, &identity(signer))
    }

    #[tokio::test]
    async fn a_record_from_outside_is_stored_and_told_like_one_of_a_neighbour() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = ledger(folder.path());
        let mut news = ledger.changes();
        let outcome = ledger.offer_record(Ok(record(2))).await;
        assert_eq!(outcome, Ok(RecordAccepted::Stored("z2/z2-gw1".parse().unwrap())));
        assert!(folder.path().join("records/z2@z2-gw1.record").exists());
        assert!(news.try_recv().is_ok());
        assert!(ledger.read(|registry| registry.get(&"z2".parse().unwrap()).is_some()));
    }

    #[tokio::test]
    async fn forged_and_unreadable_values_are_counted_by_their_reason_and_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = ledger(folder.path());
        assert_eq!(ledger.offer_record(Ok(record(1))).await, Err(RecordRejected::BadSignature));
        for reason in [RecordRejected::Malformed, RecordRejected::TooLarge] {
            assert_eq!(ledger.offer_record(Err(reason)).await, Err(reason));
        }
        ledger.read(|registry| {
            let counted = registry.counters().rejected().filter(|(_, count)| *count == 1);
            let reasons: Vec<_> = counted.map(|(reason, _)| reason).collect();
            assert_eq!(
                reasons,
                [RecordRejected::TooLarge, RecordRejected::Malformed, RecordRejected::BadSignature]
            );
            assert_eq!(registry.records().count(), 0);
        });
    }

    #[tokio::test]
    async fn outcomes_of_trust_items_stay_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = ledger(folder.path());
        let item = SignedTrustItem::from_parts(TrustKind::Grant, vec![1].into(), Vec::new());
        use membership::TrustRejected::{Malformed, TooLarge, Unmanaged};
        let outcomes = ledger.offer_trust(vec![Err(TooLarge), Ok(item), Err(Malformed)]).await;
        assert_eq!(outcomes, [Err(TooLarge), Err(Unmanaged), Err(Malformed)]);
    }
}
