//! This gateway at one moment, typed: what status shows is made of it, and later metrics and the page.
//!
//! Promises that each source is read once and as a whole, its counters included, so that figures of
//! one source fit each other; that taking it grows with the peers and no faster; and that the
//! tunnels to one zone can be had alone, which costs the same however many others there are. Keeps
//! nothing: each answer takes its own.

mod counters;
mod registry;
mod tunnels;

use std::sync::Arc;
use std::time::SystemTime;

use zonemesh_config::Config;
use zonemesh_core::finding::StandingFinding;
use zonemesh_core::time::UnixMillis;

pub(crate) use counters::Count;
pub(crate) use registry::{RegistrySnapshot, fingerprint};
pub(crate) use tunnels::{PeerSnapshot, TunnelsSnapshot};

use crate::facts::etcd::EtcdState;
use crate::serve::sources::SnapshotSources;

/// This gateway at one moment.
pub(crate) struct Snapshot {
    pub(crate) config: Arc<Config>,
    pub(crate) started_at: UnixMillis,
    pub(crate) now: UnixMillis,
    pub(crate) tunnels: TunnelsSnapshot,
    pub(crate) registry: RegistrySnapshot,
    /// There if the registry goes through etcd as well.
    pub(crate) etcd: Option<EtcdState>,
    /// What an engineer should know, the worst first.
    pub(crate) findings: Vec<StandingFinding>,
    /// Name and count of what one caller asked for too often.
    refused: Vec<(&'static str, u64)>,
}

impl Snapshot {
    /// Looks for findings first, so that these are of the same moment.
    pub(crate) fn take(sources: &SnapshotSources) -> Self {
        sources.lookout.look();
        Self {
            config: sources.config.clone(),
            started_at: sources.started_at.into(),
            now: SystemTime::now().into(),
            tunnels: TunnelsSnapshot::take(sources),
            registry: sources
                .ledger
                .read(|registry| RegistrySnapshot::take(registry, &sources.config)),
            etcd: sources.etcd.as_ref().map(|board| board.state()),
            findings: sources.findings.all(),
            refused: sources.refusals.counters(),
        }
    }
}
