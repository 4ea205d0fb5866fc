//! Who may take part in a federation, as the companion of its SuperLink is told.
//!
//! Promises that nobody else is told: the VM is the one that is registered here, its zone is the one
//! whose SuperLink all zones use, and the grant of each zone that is named lets it train.

use zonemesh_core::registry::FederationMember;
use zonemesh_core::token::VmRole;

use super::desk::{ProvenVm, VmDesk};

/// Who may take part in the federation of `vm`, if that is its SuperLink.
pub(super) fn of(desk: &VmDesk, vm: &ProvenVm) -> Option<Vec<FederationMember>> {
    if vm.proof.role != VmRole::SuperLink || !is_registered(desk, vm) {
        return None;
    }
    desk.parts.ledger.read(|registry| {
        let found = registry.find_superlink(&vm.federation)?;
        (found.zone == registry.zone()).then(|| registry.members_of(&vm.federation))
    })
}

fn is_registered(desk: &VmDesk, vm: &ProvenVm) -> bool {
    let address = vm.address.ip().to_canonical();
    let registered = desk.registered(&vm.federation);
    registered.is_some_and(|superlink| superlink.addresses.contains(&address))
}
