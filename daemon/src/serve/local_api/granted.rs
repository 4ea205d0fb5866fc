//! What the grant of this zone lets its VMs do for a federation.
//!
//! It is looked at with each question and while a VM watches, since a grant may change at any time. A
//! grant that names no federation allows all, and so does a mesh that is written by hand.

use zonemesh_core::name::FederationName;
use zonemesh_core::token::VmRole;

use super::authority::Denied;
use crate::facts::ledger::Ledger;

/// May this zone have a VM of this role in `federation`? Who does not say what it is may ask if the
/// zone has any part in it.
pub(crate) fn check(
    ledger: &Ledger,
    role: Option<VmRole>,
    federation: &FederationName,
) -> Result<(), Denied> {
    let (may_host, may_train) = ledger.read(|registry| {
        let zone = registry.zone();
        (registry.may_host(zone, federation), registry.may_train(zone, federation))
    });
    match role {
        Some(VmRole::SuperLink) if !may_host => Err(Denied::MayNotHost(federation.clone())),
        Some(VmRole::SuperNode) if !may_train => Err(Denied::MayNotTrain(federation.clone())),
        None if !may_host && !may_train => Err(Denied::MayNotTrain(federation.clone())),
        _ => Ok(()),
    }
}

/// Whether any zone of the mesh has it: a name that none has was mistyped.
pub(crate) fn is_known(ledger: &Ledger, federation: &FederationName) -> bool {
    ledger.read(|registry| registry.federations().into_iter().any(|known| known == federation))
}

/// The federations of the mesh of which this zone may know by this.
pub(crate) fn federations(ledger: &Ledger) -> Vec<FederationName> {
    ledger.read(|registry| {
        let zone = registry.zone();
        let may = |federation: &&FederationName| {
            registry.may_host(zone, federation) || registry.may_train(zone, federation)
        };
        registry.federations().into_iter().filter(may).cloned().collect()
    })
}
