//! What the zones of a mesh that is founded do for its federations, and what their VMs are given.
//!
//! Promises: a zone is granted what was said and nothing else; each token is for one zone, role and
//! federation, and stands in one file.

use std::net::IpAddr;
use std::path::Path;

use zeroize::Zeroizing;
use zonemesh_core::membership::FederationRight;
use zonemesh_core::mesh::MeshId;
use zonemesh_core::name::{FederationName, ZoneName};
use zonemesh_core::token::{KnownToken, MeshPin, SECRET_BYTES, VmRole, VmToken, ZonePin};

use super::random;
use crate::arguments::FederationArgument;
use crate::failure::{CommandFailure, Exit, OrFail as _};
use crate::secret_file;

/// The VMs of one role and federation in one zone.
pub(super) struct ZoneVms {
    federation: FederationName,
    role: VmRole,
    token: VmToken,
}

/// What a zone is granted to do. Where federations are named, a zone without a part in any is granted
/// none: a grant that names no federation allows all.
pub(super) fn rights(zone: &ZoneName, federations: &[FederationArgument]) -> Vec<FederationRight> {
    let right = |of: &FederationArgument| FederationRight {
        federation: of.name.clone(),
        host: of.host == *zone,
        train: of.trainers.contains(zone),
    };
    let (parts, none): (Vec<_>, Vec<_>) =
        federations.iter().map(right).partition(|right| right.host || right.train);
    if parts.is_empty() { none } else { parts }
}

/// The VMs that a zone has for its federations: where the SuperLink is there are SuperNodes too.
pub(super) fn vms(
    mesh: &MeshId,
    zone: &ZoneName,
    rights: &[FederationRight],
) -> Result<Vec<ZoneVms>, CommandFailure> {
    let mut vms = Vec::new();
    for right in rights {
        let superlink = right.host.then_some(VmRole::SuperLink);
        let supernode = (right.host || right.train).then_some(VmRole::SuperNode);
        for role in superlink.into_iter().chain(supernode) {
            // Its head is the first set: there is no other yet.
            let pin = MeshPin::written(mesh.as_str(), zone.clone(), None);
            let pin = pin.or_exit(Exit::Negative, || "the mesh has no id".to_owned())?;
            let secret = Zeroizing::new(random::<SECRET_BYTES>()?);
            let token = VmToken::new(ZonePin::Mesh(pin), &secret);
            vms.push(ZoneVms { federation: right.federation.clone(), role, token });
        }
    }
    Ok(vms)
}

impl ZoneVms {
    /// What the gateway of the zone knows of their token.
    pub(super) fn known(&self) -> KnownToken {
        KnownToken {
            hash: self.token.hash(),
            role: self.role,
            federation: Some(self.federation.clone()),
            expires_at: None,
        }
    }

    /// Writes the lines for their CONTEXT. Without a gateway's address they ask OneGate.
    pub(super) fn write(
        &self,
        folder: &Path,
        gateway: Option<IpAddr>,
    ) -> Result<(), CommandFailure> {
        let gateway = gateway.map(|gateway| format!("ONEAPP_ZONEMESH_GATEWAY=\"{gateway}\"\n"));
        let lines = Zeroizing::new(format!(
            "ONEAPP_ZONEMESH_FEDERATION=\"{}\"\n{}ONEAPP_ZONEMESH_TOKEN=\"{}\"",
            self.federation,
            gateway.unwrap_or_default(),
            self.token.reveal()
        ));
        let file = format!("{}-{}.context", self.role.as_str(), self.federation);
        secret_file::create(&folder.join(file), &lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_granted_its_part_and_without_one_none() {
        let federations: Vec<FederationArgument> =
            ["health-eu=berlin:berlin,madrid", "other-eu=madrid:madrid"]
                .map(|text| text.parse().unwrap())
                .into();
        let texts = |zone: &str, of: &[FederationArgument]| -> Vec<String> {
            rights(&zone.parse().unwrap(), of).iter().map(ToString::to_string).collect()
        };
        assert_eq!(texts("berlin", &federations), ["health-eu=host,train"]);
        assert_eq!(texts("madrid", &federations), ["health-eu=train", "other-eu=host,train"]);
        assert_eq!(texts("rome", &federations), ["health-eu=none", "other-eu=none"]);
        assert!(texts("rome", &[]).is_empty(), "everything");
        let mesh = MeshId::new("0f".repeat(32));
        let zone: ZoneName = "madrid".parse().unwrap();
        let vms = vms(&mesh, &zone, &rights(&zone, &federations)).unwrap();
        let names: Vec<_> = vms.iter().map(|vm| vm.known().name()).collect();
        assert_eq!(names, ["supernode-health-eu", "superlink-other-eu", "supernode-other-eu"]);
    }
}
