//! What this zone says of its companions when they come and go.
//!
//! Promises that a SuperLink whose companion is missed is said to be lost, and by no other gateway
//! than the one it has spoken to last; that a SuperLink which was stopped stays so; and that nothing
//! is said anew while nothing has changed. It cuts nothing: who trains goes on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use zonemesh_core::exit::error_line;
use zonemesh_core::name::FederationName;
use zonemesh_core::pace::RecordChange;
use zonemesh_core::record::{Readiness, RecordContent, SuperLink};

use crate::facts::companions::CompanionBoard;
use crate::facts::ledger::{Ledger, NotPublished};

/// How often it is looked who is there: what changes more often is said once.
const LOOK: Duration = Duration::from_secs(2);
/// How long a record that cannot be published waits for the next try.
const AGAIN: Duration = Duration::from_secs(60);

/// Says who is there.
#[derive(Clone)]
pub(super) struct Presence {
    pub(super) ledger: Arc<Ledger>,
    pub(super) companions: Arc<CompanionBoard>,
}

impl Presence {
    /// Until it is dropped.
    pub(super) async fn mind(&self) {
        loop {
            let wait = match self.look(Instant::now()).await {
                Ok(()) | Err(NotPublished::Left) => LOOK,
                Err(error) => {
                    tracing::warn!(error = error_line(&error), "cannot say which companions run");
                    AGAIN
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn look(&self, now: Instant) -> Result<(), NotPublished> {
        let said = self.ledger.draft();
        let lost = self.lost(&said, now);
        if lost.is_empty() && said.supernodes == self.companions.supernodes(now) {
            return Ok(());
        }
        let edit = |draft: &mut RecordContent| {
            for superlink in &mut draft.superlinks {
                // It may have come back, or said goodbye, meanwhile.
                if lost.contains(&superlink.federation) && self.is_missed(superlink, now) {
                    superlink.readiness = Readiness::Lost;
                }
            }
            draft.supernodes = self.companions.supernodes(now);
        };
        self.ledger.edit(RecordChange::Readiness, edit).await?;
        for federation in lost {
            tracing::warn!(%federation, "the SuperLink's VM does not answer: it is said to be lost");
        }
        Ok(())
    }

    /// The federations whose SuperLink is missed here, and has not moved to another gateway.
    fn lost(&self, said: &RecordContent, now: Instant) -> BTreeSet<FederationName> {
        let missed = said.superlinks.iter().filter(|superlink| self.is_missed(superlink, now));
        let missed: Vec<_> = missed.map(|superlink| &superlink.federation).collect();
        if missed.is_empty() {
            return BTreeSet::new();
        }
        self.ledger.read(|registry| {
            let here = missed.into_iter().filter(|federation| !registry.is_spoken_for(federation));
            here.cloned().collect()
        })
    }

    fn is_missed(&self, superlink: &SuperLink, now: Instant) -> bool {
        let is_said_to_run = !matches!(superlink.readiness, Readiness::Stopped | Readiness::Lost);
        is_said_to_run && self.companions.misses(&superlink.federation, &superlink.addresses, now)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use zonemesh_core::companion::{CompanionId, CompanionReport, ReportedState, SuperNodeState};
    use zonemesh_core::key::ZoneIdentity;
    use zonemesh_core::member::Member;
    use zonemesh_core::record::{FlowerTransport, ProtocolRange, Version};
    use zonemesh_core::token::VmRole;

    use super::*;
    use crate::facts::companions::PresentCompanion;
    use crate::facts::disk::writer;
    use crate::facts::ledger::OwnZone;

    fn superlink() -> SuperLink {
        SuperLink {
            federation: "health-eu".parse().unwrap(),
            addresses: vec![[10, 10, 10, 5].into()],
            fleet_port: 9092,
            control_port: 9093,
            flower_version: "1.25.0".to_owned(),
            transport: FlowerTransport::Grpc,
            readiness: Readiness::Ready,
            tls_name: "superlink.health-eu".to_owned(),
            dns_name: None,
            cas: Vec::new(),
            clock_offset_ms: 0,
            admitted: None,
        }
    }

    /// Of a zone that has said that its SuperLink is ready.
    async fn presence(folder: &Path, begun: Instant) -> Presence {
        let identity = ZoneIdentity::from_seed(&[1; 32]);
        let member = Member {
            zone: "berlin".parse().unwrap(),
            key: identity.public_key(),
            prefixes: vec!["10.10.10.0/24".parse().unwrap()],
            tunnel_ips: Vec::new(),
        };
        let (zone, gateway) = (member.zone.clone(), "berlin-gw1".to_owned());
        let own = OwnZone { zone, gateway, identity, members: vec![member] };
        let ledger = Ledger::open(own, folder, writer()).unwrap();
        let said = ledger.edit(RecordChange::Urgent, |draft| {
            draft.protocol = ProtocolRange::CURRENT;
            draft.superlinks = vec![superlink()];
        });
        said.await.unwrap();
        let companions = Arc::new(CompanionBoard::new(Vec::new()));
        companions.begin(begun);
        Presence { ledger, companions }
    }

    impl Presence {
        async fn readiness_at(&self, now: Instant) -> Readiness {
            self.look(now).await.unwrap();
            self.ledger.draft().superlinks[0].readiness
        }

        fn enter(&self, role: VmRole, vm: u8) -> PresentCompanion {
            let federation = "health-eu".parse().unwrap();
            let id = CompanionId { vm: [10, 10, 10, vm].into(), role, federation };
            self.companions.enter(id, "0.2.0".to_owned())
        }

        fn version(&self) -> Version {
            self.ledger.read(|registry| registry.own_record().unwrap().record.version)
        }
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[tokio::test]
    async fn a_superlink_without_a_session_is_lost_after_30_s_and_no_sooner() {
        let (folder, start) = (tempfile::tempdir().unwrap(), Instant::now());
        let presence = presence(folder.path(), start).await;
        assert_eq!(presence.readiness_at(after(start, 29)).await, Readiness::Ready);
        let session = presence.enter(VmRole::SuperLink, 5);
        assert_eq!(presence.readiness_at(after(start, 3600)).await, Readiness::Ready);
        drop(session);
        let gone = Instant::now();
        assert_eq!(presence.readiness_at(after(gone, 29)).await, Readiness::Ready);
        assert_eq!(presence.readiness_at(after(gone, 31)).await, Readiness::Lost);
        // Back again: ready is what it says, and not that it is there.
        let _session = presence.enter(VmRole::SuperLink, 5);
        assert_eq!(presence.readiness_at(after(gone, 32)).await, Readiness::Lost);
    }

    #[tokio::test]
    async fn a_superlink_that_was_stopped_stays_stopped() {
        let (folder, start) = (tempfile::tempdir().unwrap(), Instant::now());
        let presence = presence(folder.path(), start).await;
        let stop = |draft: &mut RecordContent| draft.superlinks[0].readiness = Readiness::Stopped;
        presence.ledger.edit(RecordChange::Urgent, stop).await.unwrap();
        assert_eq!(presence.readiness_at(after(start, 3600)).await, Readiness::Stopped);
    }

    #[tokio::test]
    async fn a_supernode_is_said_once_it_has_a_key_and_no_report_makes_a_record_without_news() {
        let (folder, start) = (tempfile::tempdir().unwrap(), Instant::now());
        let presence = presence(folder.path(), start).await;
        let _superlink = presence.enter(VmRole::SuperLink, 5);
        let node = presence.enter(VmRole::SuperNode, 7);
        let state = ReportedState::SuperNode(SuperNodeState::Running);
        let report = CompanionReport::of(state);
        node.reports(report.clone());
        let before = presence.version();
        presence.look(Instant::now()).await.unwrap();
        assert_eq!(presence.version(), before, "without a key there is nothing to say");
        let with_key = CompanionReport { public_key: vec![4; 91], ..report };
        for flower in ["1.25.0", "1.25.1", "1.25.2"] {
            let flower_version = flower.to_owned();
            node.reports(CompanionReport { flower_version, ..with_key.clone() });
            presence.look(Instant::now()).await.unwrap();
        }
        let said = presence.ledger.draft().supernodes;
        assert_eq!((said.len(), said[0].is_online), (1, true));
        // It waits for its pace: records of this kind go out once in 5 s.
        assert!(presence.version() <= before.next(), "one record at most");
    }
}
