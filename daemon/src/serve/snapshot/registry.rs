//! The registry at one moment: all of it is read under one lock.

use std::collections::BTreeSet;

use zonemesh_api::v1::{FederationSummary, SuperLinkView};
use zonemesh_api::wire::admin as wire;
use zonemesh_config::Config;
use zonemesh_core::member::Member;
use zonemesh_core::membership::{Membership, TrustCounters};
use zonemesh_core::name::ZoneName;
use zonemesh_core::registry::{RecordCounters, Registry};
use zonemesh_core::token::{MeshPin, ZonePin};
use zonemesh_pki::describe;

/// The registry at one moment.
pub(crate) struct RegistrySnapshot {
    /// This zone's public key; empty if the zone is no member.
    pub(crate) zone_key: String,
    /// What tokens of this zone's VMs pin, if the zone is a member.
    pub(crate) vm_pin: Option<ZonePin>,
    /// Zones whose records are held.
    pub(crate) records: usize,
    /// Of all records.
    pub(crate) bytes: u64,
    /// Members whose record is not held: as many as were asked for.
    pub(crate) missing: Vec<ZoneName>,
    /// How many there are.
    pub(crate) missing_total: usize,
    pub(crate) root_hash: [u8; 32],
    pub(crate) counters: RecordCounters,
    /// Of the trust items of a managed mesh.
    pub(super) trust_counters: Option<TrustCounters>,
    pub(crate) superlinks: Vec<SuperLinkView>,
    pub(crate) federations: Vec<FederationSummary>,
}

impl RegistrySnapshot {
    /// At most `missing_at_most` members without a record are named.
    pub(crate) fn take(registry: &Registry, config: &Config, missing_at_most: usize) -> Self {
        let own = registry.members().find(|member| member.zone == *registry.zone());
        let missing = || registry.members().filter(|m| registry.get(&m.zone).is_none());
        let zones: BTreeSet<_> = registry.records().map(|held| &held.record.zone).collect();
        let missing_zones = missing().take(missing_at_most).map(|member| member.zone.clone());
        let holds = |name: &str| config.federations.iter().any(|held| held.name.as_str() == name);
        Self {
            zone_key: own.map(|own| own.key.to_string()).unwrap_or_default(),
            vm_pin: own.map(|own| vm_pin(own, registry.membership())),
            records: zones.len(),
            bytes: registry.records().map(|held| held.signed.size() as u64).sum(),
            missing: missing_zones.collect(),
            missing_total: missing().count(),
            root_hash: registry.root_hash(),
            counters: registry.counters().clone(),
            trust_counters: registry.membership().map(|trust| trust.counters().clone()),
            superlinks: wire::superlinks(registry, fingerprint).superlinks,
            federations: wire::federations(registry, holds),
        }
    }
}

/// In a managed mesh a token outlives the zone's key and its gateways.
fn vm_pin(own: &Member, membership: Option<&Membership>) -> ZonePin {
    match membership {
        None => ZonePin::Key(own.key),
        Some(membership) => ZonePin::Mesh(MeshPin {
            mesh: membership.mesh().clone(),
            zone: own.zone.clone(),
            head: membership.authority_set().0,
        }),
    }
}

/// SHA-256 of a certificate in PEM; empty for something else.
pub(crate) fn fingerprint(pem: &str) -> String {
    describe(pem).map(|summary| summary.sha256).unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests {
    use zonemesh_core::key::ZoneIdentity;
    use zonemesh_core::record::{ProtocolRange, RecordContent};
    use zonemesh_core::time::UnixMillis;

    use super::*;

    /// Of berlin, which holds its own record and not madrid's.
    pub(in crate::serve) fn snapshot() -> RegistrySnapshot {
        let config = include_str!("../../../../configs/berlin.toml");
        let config = Config::parse(config, "berlin.toml").unwrap();
        RegistrySnapshot::take(&berlin(), &config, usize::MAX)
    }

    fn berlin() -> Registry {
        let member = |zone: &str, seed: u8, prefix: &str| Member {
            zone: zone.parse().unwrap(),
            key: ZoneIdentity::from_seed(&[seed; 32]).public_key(),
            prefixes: vec![prefix.parse().unwrap()],
            tunnel_ips: Vec::new(),
        };
        let members =
            vec![member("berlin", 1, "10.10.10.0/24"), member("madrid", 2, "10.10.11.0/24")];
        let identity = ZoneIdentity::from_seed(&[1; 32]);
        let mut registry = Registry::new("berlin".parse().unwrap(), identity, members, 7).unwrap();
        let content = RecordContent {
            gateways: Vec::new(),
            protocol: ProtocolRange::CURRENT,
            prefixes: vec!["10.10.10.0/24".parse().unwrap()],
            superlinks: Vec::new(),
            ca_sets: Vec::new(),
            ..RecordContent::default()
        };
        registry.publish(content, UnixMillis(1_790_000_000_000)).unwrap();
        registry
    }

    #[test]
    fn the_registry_in_numbers_says_what_is_held_and_what_is_missing() {
        let held = berlin();
        let registry = snapshot();
        assert_eq!(registry.records, 1);
        assert_eq!(
            registry.bytes,
            held.get(&"berlin".parse().unwrap()).unwrap().signed.size() as u64
        );
        assert_eq!(registry.missing.iter().map(ZoneName::as_str).collect::<Vec<_>>(), ["madrid"]);
        assert!(registry.zone_key.starts_with("ed25519:"));
        let bad = registry.rejected().find(|count| count.labels == [("reason", "bad_signature")]);
        assert_eq!(bad.map(|count| count.value), Some(0));
    }
}
