//! This gateway at one moment, typed: what status shows is made of it, and later metrics and the page.
//!
//! Promises that what is asked of all peers is asked of a source in one go, so that its figures fit
//! each other; that taking it grows with the peers and no faster; and that the tunnels to one zone can
//! be had alone, which costs the same however many others there are. Keeps nothing: each answer takes
//! its own.

mod companions;
mod counters;
mod registry;
mod screen;
mod tunnels;

use std::sync::Arc;
use std::time::SystemTime;

use zonemesh_config::Config;
use zonemesh_core::finding::StandingFinding;
use zonemesh_core::time::UnixMillis;

pub(crate) use companions::{CompanionsSnapshot, ShownCompanion};
pub(crate) use counters::Count;
pub(crate) use registry::{RegistrySnapshot, fingerprint};
pub(crate) use tunnels::{PeerSnapshot, TunnelsSnapshot};

use crate::facts::etcd::EtcdState;
use crate::facts::reach;
use crate::serve::sources::SnapshotSources;

/// This gateway at one moment.
pub(crate) struct Snapshot {
    pub(crate) config: Arc<Config>,
    pub(crate) started_at: UnixMillis,
    pub(crate) now: UnixMillis,
    /// The tunnels that were asked for.
    pub(crate) tunnels: TunnelsSnapshot,
    pub(crate) peers_total: usize,
    pub(crate) peers_up: usize,
    pub(crate) registry: RegistrySnapshot,
    pub(crate) companions: CompanionsSnapshot,
    /// There if the registry goes through etcd as well.
    pub(crate) etcd: Option<EtcdState>,
    /// What an engineer should know, the worst first: as many as were asked for.
    pub(crate) findings: Vec<StandingFinding>,
    /// How many there are.
    pub(crate) findings_total: usize,
    /// Name and count of what one caller asked for too often.
    refused: Vec<(&'static str, u64)>,
}

impl Snapshot {
    /// Its findings are of this moment; those of a screen that has no room for all peers of the last
    /// look.
    /// About `at_most` peers and findings are in it, those that need a look first.
    pub(crate) fn take(sources: &SnapshotSources, at_most: usize) -> Self {
        let look = sources.lookout.refresh(at_most);
        let (findings, findings_total) = sources.findings.worst(at_most);
        let config = sources.config.now();
        Self {
            started_at: sources.started_at.into(),
            now: SystemTime::now().into(),
            tunnels: TunnelsSnapshot::on_screen(sources, &look, at_most),
            peers_total: look.peers.len(),
            peers_up: look.states.iter().filter(|state| reach::passes(**state)).count(),
            registry: sources
                .ledger
                .read(|registry| RegistrySnapshot::take(registry, &config, at_most)),
            companions: CompanionsSnapshot::take(&sources.companions, at_most),
            etcd: sources.etcd.state(),
            config,
            findings,
            findings_total,
            refused: sources.refusals.counters(),
        }
    }
}
