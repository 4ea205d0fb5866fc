//! WireGuard keys that are written by hand and that the zone itself does not name.
//!
//! A zone's records are signed by its key and win: the tunnel is up with theirs. What is written is
//! accepted beside that, and is all that is known where the records are lost.

use zonemesh_config::Config;
use zonemesh_core::finding::{Code, Evidence, Finding, Subject};
use zonemesh_core::record::Gateway;
use zonemesh_core::registry::Registry;

/// Nothing of a zone that has not said anything yet.
pub(crate) fn of_written_keys(registry: &Registry, config: &Config) -> Vec<Finding> {
    let other = |peer: &zonemesh_config::PeerSettings| {
        let held = registry.in_force(&peer.zone);
        let gateways: Vec<&Gateway> =
            held.flat_map(|held| held.record.gateways().map(|(_, gateway)| gateway)).collect();
        let first = gateways.first()?;
        let mut named = gateways.iter().flat_map(|gateway| gateway.wireguard_keys());
        if named.any(|key| key == peer.wireguard_key) {
            return None;
        }
        let found = Finding::new(Code::OtherKeyWritten, Subject::Zone(peer.zone.clone()));
        let found = found.with(Evidence::Key(peer.wireguard_key.to_string()));
        Some(found.with(Evidence::Expected(first.wireguard_key.to_string())))
    };
    config.peers.iter().filter_map(other).collect()
}
