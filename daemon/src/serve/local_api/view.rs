//! A federation as the VMs of this zone see it.

use std::net::IpAddr;

use zonemesh_api::v1::{FederationView, ZoneRevocation};
use zonemesh_api::wire::local::{AnsweringGateway, federation_view};
use zonemesh_core::companion::CompanionId;
use zonemesh_core::name::FederationName;
use zonemesh_core::token::VmRole;

use super::LocalParts;
use crate::facts::ledger::now;

/// What this gateway knows about `federation` now, for a VM at this address, if one asks for its own
/// SuperNode.
pub(crate) fn of(
    parts: &LocalParts,
    federation: &FederationName,
    vm: Option<IpAddr>,
) -> FederationView {
    let node = vm.map(|vm| CompanionId {
        vm: vm.to_canonical(),
        role: VmRole::SuperNode,
        federation: federation.clone(),
    });
    let asks_about = node.and_then(|node| parts.companions.node_key(&node));
    let revision = *parts.ledger.revision().borrow();
    parts.ledger.read(|registry| {
        let found = registry.find_superlink(federation);
        let gateway = AnsweringGateway {
            now: now(),
            revision,
            zone_reachable: found.is_some_and(|found| parts.reach.reaches(found.zone)),
            superlink_gateway_offset_ms: found
                .and_then(|found| parts.reach.clock_offset(found.zone)),
            asks_about,
        };
        FederationView {
            zone_revoked: registry.own_revocation().map(ZoneRevocation::from),
            zone_left_unix_ms: registry.left_since(registry.zone()).map_or(0, |since| since.0),
            ..federation_view(federation, found, gateway)
        }
    })
}

/// True if a watcher need not be told: nothing but the times differs.
pub(super) fn is_same(a: &FederationView, b: &FederationView) -> bool {
    let timeless = |view: &FederationView| FederationView {
        gateway_time_unix_ms: 0,
        revision: 0,
        superlink_clock_offset_ms: None,
        ..view.clone()
    };
    timeless(a) == timeless(b)
}
