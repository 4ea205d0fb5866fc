//! A zone that leaves its mesh, and one that is revoked, tell the companions of their VMs.
//!
//! ```text
//!   berlin (founds, revokes)       WAN            madrid (leaves)        paris (is revoked)
//!   gw ------------------------ [ router ] ------ gw - supernode         gw - supernode
//! ```

use std::time::Duration;

use anyhow::{Result, ensure};
use netns_tests::managed::{ManagedGateway as _, ManagedMesh as _};
use serde_json::Value;
use zonemesh_lab::federation::{HOME, LabFederation, SUPERNODE, TRAINING, ZONES};
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::patience;
use zonemesh_lab::wait::{Look, holds_for, until};

use crate::tool::say;

/// A mesh of three zones that joined by invitation.
fn joined() -> Result<LabFederation> {
    let mut federation = LabFederation::prepare(Lab::new(&ZONES)?)?;
    let LabFederation { mesh, lab, .. } = &mut federation;
    for zone in lab.zones() {
        mesh.gateway(&zone.name)?.set_peers(Vec::new());
    }
    mesh.start(lab)?;
    for zone in lab.zones() {
        mesh.gateway(&zone.name)?.wait_until_ready(patience())?;
    }
    mesh.gateway(HOME)?.init_mesh(false)?;
    for zone in TRAINING {
        mesh.invite_and_join(lab, zone)?;
    }
    mesh.wait_until_connected(patience())?;
    Ok(federation)
}

/// What a SuperNode's companion writes of itself.
fn status(federation: &LabFederation, zone: &str) -> Result<Value> {
    let file = federation.companion_folder(zone, SUPERNODE).join("status.json");
    Ok(serde_json::from_slice(&std::fs::read(file)?)?)
}

/// Waits until the companion tells this reason.
fn told(federation: &LabFederation, zone: &str, code: &str, words: &str) -> Result<()> {
    until(&format!("{zone}'s companion to tell {code}"), patience(), || {
        let status = status(federation, zone);
        let tells = |status: &Value| {
            let text = status["reason"]["text"].as_str().unwrap_or_default();
            status["reason"]["code"] == code && text.contains(words)
        };
        Ok(Look::<()>::when(status.as_ref().is_ok_and(tells), format!("{status:?}")))
    })?;
    Ok(())
}

#[test]
fn companions_are_told_that_their_zone_has_left_and_that_it_was_revoked() -> Result<()> {
    let mut federation = joined()?;
    for zone in TRAINING {
        federation.start_supernode(zone)?;
        told(&federation, zone, "F510", "no zone has registered a SuperLink")?;
    }
    let [leaves, revoked] = TRAINING;
    say(&mut federation.mesh, leaves, &["zone", "leave", "--confirm", leaves])?;
    told(&federation, leaves, "P309", "this zone has left the mesh, at ")?;
    let revoke = ["zone", "revoke", revoked, "--confirm", revoked, "--reason", "stolen"];
    say(&mut federation.mesh, HOME, &revoke)?;
    told(&federation, revoked, "T409", ": stolen")?;
    // Also over a restart of the gateway.
    federation.mesh.gateway(leaves)?.kill_9_and_start(&federation.lab)?;
    federation.mesh.gateway(leaves)?.wait_until_ready(patience())?;
    told(&federation, leaves, "P309", "this zone has left")?;
    holds_for("told, and nothing else", Duration::from_secs(8), || {
        for (zone, code) in [(leaves, "P309"), (revoked, "T409")] {
            let status = status(&federation, zone)?;
            ensure!(status["reason"]["code"] == code, "{zone}: {status}");
        }
        Ok(Look::Done(()))
    })?;
    federation.succeeded()
}
