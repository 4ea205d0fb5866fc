//! A federation as the VMs of this zone see it.

use zonemesh_api::v1::FederationView;
use zonemesh_api::wire::local::{AnsweringGateway, federation_view};
use zonemesh_core::name::FederationName;

use crate::serve::observer::Observer;

/// What this gateway knows about `federation` now.
pub(super) fn of(observer: &Observer, federation: &FederationName) -> FederationView {
    let revision = *observer.ledger.revision().borrow();
    observer.ledger.read(|registry| {
        let found = registry.find_superlink(federation);
        let gateway = AnsweringGateway {
            now: observer.now(),
            revision,
            zone_reachable: found.is_some_and(|found| observer.reaches(found.zone)),
            superlink_gateway_offset_ms: found.and_then(|found| observer.clock_offset(found.zone)),
        };
        federation_view(federation, found, gateway)
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
