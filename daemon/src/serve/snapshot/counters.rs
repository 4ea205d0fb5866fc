//! Everything that is counted, in one shape: name, labels, value.
//!
//! Names and labels are stable: what reads them from outside (status, later metrics) relies on them. A
//! counter only grows until the daemon ends. Who counts what in which form is known here alone.

use super::{RegistrySnapshot, Snapshot, TunnelsSnapshot};

/// How often something has happened since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Count<'a> {
    /// What is counted.
    pub(crate) name: &'static str,
    /// Which of its kind: labels and their values, the one that tells most first.
    pub(crate) labels: Vec<(&'static str, &'a str)>,
    pub(crate) value: u64,
}

impl Snapshot {
    /// Every counter of this gateway.
    #[cfg_attr(not(test), expect(dead_code, reason = "the metrics endpoint is made of it"))]
    pub(crate) fn counters(&self) -> impl Iterator<Item = Count<'_>> {
        let (tunnels, registry) = (&self.tunnels, &self.registry);
        let clones = registry.counters.clone_alarms();
        let etcd = self.etcd.iter().map(|etcd| total("etcd_items_refused", etcd.refused));
        tunnels
            .dropped()
            .chain(tunnels.path_events())
            .chain(tunnels.of_peers())
            .chain([total("merge_refused", tunnels.tunnel.merging_refused)])
            .chain(self.refused())
            .chain(registry.accepted())
            .chain(registry.rejected())
            .chain([total("clone_alarms", clones)])
            .chain(registry.trust_items())
            .chain(etcd)
    }

    /// What one caller asked for too often, by kind.
    pub(crate) fn refused(&self) -> impl Iterator<Item = Count<'_>> {
        each("calls_refused", "kind", self.refused.iter().copied())
    }
}

impl TunnelsSnapshot {
    /// Packets that went nowhere, by reason.
    pub(crate) fn dropped(&self) -> impl Iterator<Item = Count<'_>> {
        each("packets_dropped", "reason", self.tunnel.dropped.iter().copied())
    }

    /// What happened to the paths, by event.
    pub(crate) fn path_events(&self) -> impl Iterator<Item = Count<'_>> {
        each("path_events", "event", self.events.iter().copied())
    }

    /// What each peer has received and sent, and how often sends in bulk to it were refused.
    fn of_peers(&self) -> impl Iterator<Item = Count<'_>> {
        let peers = self.peers().filter_map(|peer| Some((&peer.plan.id, peer.tunnel?)));
        peers.flat_map(|(id, peer)| {
            let labels = || vec![("zone", id.zone.as_str()), ("gateway", id.gateway.as_str())];
            [
                ("peer_bytes_received", peer.rx_bytes),
                ("peer_bytes_sent", peer.tx_bytes),
                ("peer_gso_refused", peer.segmentation_refused),
            ]
            .map(|(name, value)| Count { name, labels: labels(), value })
        })
    }
}

impl RegistrySnapshot {
    /// Records taken, by outcome.
    pub(crate) fn accepted(&self) -> impl Iterator<Item = Count<'_>> {
        each("records_accepted", "outcome", self.counters.accepted())
    }

    /// Records and streams refused, by reason.
    pub(crate) fn rejected(&self) -> impl Iterator<Item = Count<'_>> {
        let rejected = self.counters.rejected();
        each("records_rejected", "reason", rejected.map(|(reason, n)| (reason.as_str(), n)))
    }

    /// Trust items taken and refused, in a managed mesh.
    fn trust_items(&self) -> impl Iterator<Item = Count<'_>> {
        self.trust_counters.iter().flat_map(|counters| {
            let (accepted, rejected) = (counters.accepted(), counters.rejected());
            let rejected = rejected.map(|(reason, n)| (reason.as_str(), n));
            let taken = each("trust_items_accepted", "outcome", accepted);
            taken.chain(each("trust_items_rejected", "reason", rejected))
        })
    }
}

const fn total(name: &'static str, value: u64) -> Count<'static> {
    Count { name, labels: Vec::new(), value }
}

/// One counter for each value of a label.
fn each<'a>(
    name: &'static str,
    label: &'static str,
    counts: impl Iterator<Item = (&'static str, u64)> + 'a,
) -> impl Iterator<Item = Count<'a>> {
    counts.map(move |(which, value)| Count { name, labels: vec![(label, which)], value })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use zonemesh_config::Config;
    use zonemesh_core::key::WireGuardPublicKey;
    use zonemesh_core::time::UnixMillis;
    use zonemesh_tunnel::TunnelStatus;

    use super::super::CompanionsSnapshot;
    use super::super::registry::tests::snapshot as registry;
    use super::*;

    fn snapshot() -> Snapshot {
        let config = include_str!("../../../../configs/berlin.toml");
        let tunnel = TunnelStatus {
            interface: "zm0".to_owned(),
            mtu: 1420,
            listen_port: 51820,
            public_key: WireGuardPublicKey([1; 32]),
            next_key: None,
            further_lanes: Vec::new(),
            dropped: vec![("foreign-source", 3), ("no-session", 0)],
            clock_behind: None,
            offloads: Vec::new(),
            merging_refused: 2,
        };
        Snapshot {
            config: Arc::new(Config::parse(config, "berlin.toml").unwrap()),
            started_at: UnixMillis(1),
            now: UnixMillis(2),
            tunnels: TunnelsSnapshot::without_peers(tunnel),
            registry: registry(),
            companions: CompanionsSnapshot { shown: Vec::new(), total: 0 },
            etcd: None,
            peers_total: 0,
            peers_up: 0,
            findings: Vec::new(),
            findings_total: 0,
            refused: vec![("vm_writes", 4)],
        }
    }

    #[test]
    fn every_counter_has_a_name_and_labels_of_its_own() {
        let snapshot = snapshot();
        let all: Vec<_> = snapshot.counters().collect();
        let names: BTreeSet<_> = all.iter().map(|count| (count.name, &count.labels)).collect();
        assert_eq!(names.len(), all.len(), "{all:?}");
    }

    #[test]
    fn a_source_keeps_its_figures_under_a_stable_name() {
        let snapshot = snapshot();
        let value = |name: &str, label: Option<(&'static str, &str)>| {
            let is =
                |count: &Count<'_>| count.name == name && count.labels.first().copied() == label;
            snapshot.counters().find(is).map(|count| count.value)
        };
        assert_eq!(value("packets_dropped", Some(("reason", "foreign-source"))), Some(3));
        assert_eq!(value("calls_refused", Some(("kind", "vm_writes"))), Some(4));
        assert_eq!(value("merge_refused", None), Some(2));
        assert_eq!(value("records_rejected", Some(("reason", "bad_signature"))), Some(0));
        assert_eq!(value("clone_alarms", None), Some(0));
    }
}
