//! What others have said, on its way to the disk.
//!
//! Promises: an authority set that is followed is on disk after what it needs; what the disk did not
//! take is written as soon as it takes it, and is told until then.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use zonemesh_core::gateway::GatewayId;
use zonemesh_core::membership::Membership;
use zonemesh_core::registry::TrustNews;

use super::Ledger;
use crate::facts::disk::{Disk, Write, write_all};

/// How often a disk is tried that has refused something.
const RETRY: Duration = if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(5) };

impl Ledger {
    /// Stores what others have brought, then tells everyone. What cannot be stored is told too: others
    /// have it as well.
    pub(super) async fn keep(self: &Arc<Self>, gateways: Vec<GatewayId>, trust: TrustNews) {
        if gateways.is_empty() && trust.stored.is_empty() && trust.dropped.is_empty() {
            return self.tell_of_trust(trust);
        }
        let ledger = self.clone();
        let keeping = move |disk: &mut dyn Disk| {
            ledger.store(disk, &gateways, &trust);
            ledger.announce(&gateways);
            ledger.tell_of_trust(trust);
        };
        if let Err(error) = self.disk.run(keeping).await {
            tracing::error!(%error, "cannot store what another zone has said");
        }
    }

    /// Tries a disk again that has refused something, until it is dropped.
    pub(super) async fn keep_what_is_owed(self: &Arc<Self>) {
        loop {
            tokio::time::sleep(RETRY).await;
            if self.is_owed.load(Ordering::Relaxed) {
                let ledger = self.clone();
                let storing = move |disk: &mut dyn Disk| {
                    ledger.store(disk, &[], &TrustNews::default());
                };
                if let Err(error) = self.disk.run(storing).await {
                    tracing::error!(%error, "cannot store what other zones have said");
                }
            }
        }
    }

    /// Stores what is new, or all that is held where the disk has refused something before.
    fn store(&self, disk: &mut dyn Disk, gateways: &[GatewayId], trust: &TrustNews) {
        let is_owed = self.is_owed.load(Ordering::Relaxed);
        let (trust, records) = match is_owed {
            true => self.writes_of_all(trust),
            false => self.writes(gateways, trust),
        };
        let mut stored = write_all(disk, &trust);
        for record in &records {
            let written = disk.write(record);
            stored = stored.and(written);
        }
        self.is_owed.store(stored.is_err(), Ordering::Relaxed);
        self.findings().tell_of_disk(stored.as_ref().err());
        tell(is_owed, &stored);
    }

    /// How what is held of these is kept on disk: trust items, and records.
    fn writes(&self, gateways: &[GatewayId], trust: &TrustNews) -> (Vec<Write>, Vec<Write>) {
        self.read(|registry| {
            let membership = registry.membership();
            let items = trust.stored.iter().filter_map(|id| membership?.get(id)).cloned();
            let mut writes = self.trust.write(&items.collect::<Vec<_>>());
            let head = membership.filter(|_| trust.is_head_moved).map(Membership::stored_head);
            writes.extend(self.trust.follow(head.as_ref(), &trust.dropped));
            let held = gateways.iter().filter_map(|id| Some((id, registry.get_gateway(id)?)));
            (writes, held.map(|(id, held)| self.files.write(id, &held.signed)).collect())
        })
    }

    /// The same of all that is held.
    fn writes_of_all(&self, trust: &TrustNews) -> (Vec<Write>, Vec<Write>) {
        self.read(|registry| {
            let membership = registry.membership();
            let items = membership.map(Membership::items).unwrap_or_default();
            let mut writes = self.trust.write(&items);
            let head = membership.map(Membership::stored_head);
            writes.extend(self.trust.follow(head.as_ref(), &trust.dropped));
            let held = registry.records().map(|held| {
                let id = held.id();
                self.files.write(&id, &held.signed)
            });
            (writes, held.collect())
        })
    }
}

fn tell(was_owed: bool, stored: &io::Result<()>) {
    match stored {
        Ok(()) if was_owed => tracing::info!("what other zones have said is stored now"),
        Err(error) if !was_owed => {
            tracing::error!(%error, "cannot store what another zone has said; is the disk full?");
        }
        _ => {}
    }
}
