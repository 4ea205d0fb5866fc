//! The registry as engineers see it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use zonemesh_core::record::{CaCertificate, CaSet, SuperLink};
use zonemesh_core::registry::{HeldRecord, Registry};

use crate::v1;

/// All records that a registry holds, and the members that it holds none of.
#[must_use]
pub fn records(registry: &Registry) -> v1::RecordsReply {
    let own = registry.id();
    let records = registry.records();
    let missing = registry.members().filter(|m| registry.get(&m.zone).is_none());
    v1::RecordsReply {
        records: records.map(|held| record(held, held.id() == *own)).collect(),
        missing: missing.map(|member| member.zone.to_string()).collect(),
    }
}

fn record(held: &HeldRecord, own: bool) -> v1::RecordView {
    v1::RecordView {
        zone: held.record.zone.to_string(),
        gateway: held.record.gateway.clone(),
        release: held.record.content.release.clone().unwrap_or_default(),
        incarnation: held.record.version.incarnation,
        seq: held.record.version.seq,
        issued_at_unix_ms: held.record.issued_at.0,
        received_at_unix_ms: held.received_at.0,
        size: u32::try_from(held.signed.size()).unwrap_or(u32::MAX),
        // The registry holds nothing else.
        verified: true,
        own,
    }
}

/// A counter with its stable name.
#[must_use]
pub fn counter(name: &'static str, count: u64) -> v1::Counter {
    let name = name.to_owned();
    v1::Counter { name, count }
}

/// The federations that a registry knows; `held_here` says whose CA this gateway holds.
#[must_use]
pub fn federations(
    registry: &Registry,
    held_here: impl Fn(&str) -> bool,
) -> Vec<v1::FederationSummary> {
    let names = registry.federations().into_iter();
    let summary = |name: &zonemesh_core::name::FederationName| {
        let found = registry.find_superlink(name);
        let readiness = found.map_or(0, |f| f.superlink.readiness.number());
        v1::FederationSummary {
            name: name.to_string(),
            zone: found.map(|f| f.zone.to_string()).unwrap_or_default(),
            readiness,
            held_here: held_here(name.as_str()),
            conflict: found.is_some_and(|f| f.conflict),
        }
    };
    names.map(summary).collect()
}

/// All SuperLinks that a registry knows, in the order of federation and zone. `fingerprint` gives
/// the SHA-256 of a CA certificate in PEM as `sha256:<hex>`.
#[must_use]
pub fn superlinks(
    registry: &Registry,
    fingerprint: impl Fn(&str) -> String,
) -> v1::SuperLinksReply {
    let ca = |ca: &CaCertificate| {
        let pem = ca.certificate.pem();
        let fingerprint = fingerprint(&pem);
        v1::CaView { pem, fingerprint, state: ca.state.as_str().to_owned() }
    };
    // Looked up once for each federation: each look goes through all records.
    let mut in_use = BTreeMap::new();
    let mut views = Vec::new();
    for held in registry.records() {
        for superlink in &held.record.content.superlinks {
            let federation = &superlink.federation;
            let in_use = in_use
                .entry(federation)
                .or_insert_with(|| registry.find_superlink(federation).map(|found| found.zone));
            let set = held.record.ca_set(federation);
            let set = set.map_or(&[][..], |set: &CaSet| &set.certificates);
            views.push(v1::SuperLinkView {
                zone: held.record.zone.to_string(),
                cas: set.iter().map(ca).collect(),
                shadowed: in_use.is_some_and(|zone| *zone != held.record.zone),
                ..superlink_view(superlink)
            });
        }
    }
    views.sort_by(|a, b| (&a.federation, &a.zone).cmp(&(&b.federation, &b.zone)));
    v1::SuperLinksReply { superlinks: views }
}

fn superlink_view(superlink: &SuperLink) -> v1::SuperLinkView {
    v1::SuperLinkView {
        federation: superlink.federation.to_string(),
        addresses: superlink.addresses.iter().map(IpAddr::to_string).collect(),
        fleet_port: u32::from(superlink.fleet_port),
        control_port: u32::from(superlink.control_port),
        flower_version: superlink.flower_version.clone(),
        transport: superlink.transport.number(),
        readiness: superlink.readiness.number(),
        tls_name: superlink.tls_name.clone(),
        ..v1::SuperLinkView::default()
    }
}
