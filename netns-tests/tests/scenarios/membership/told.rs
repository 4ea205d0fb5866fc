//! A revoked zone is told by whomever it can reach: when it happens, and when it comes back later.
//!
//! ```text
//!   berlin (founds, revokes) ==== madrid (is revoked), paris
//! ```

use std::time::Duration;

use anyhow::{Result, ensure};
use netns_tests::managed::ManagedMesh as _;
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::wait::{Look, until};

use crate::tool::{ZONES, say};

/// It asks again after 15, 30 and 60 s.
const ASKED: Duration = Duration::from_secs(120);

fn revoke(mesh: &mut Mesh) -> Result<String> {
    let revoke = ["zone", "revoke", "madrid", "--confirm", "madrid", "--reason", "stolen"];
    say(mesh, "berlin", &revoke)
}

/// Waits until madrid's status says who has revoked it and why; returns that.
fn told(mesh: &mut Mesh, within: Duration) -> Result<String> {
    let (said, _) = until("madrid to know that it was revoked", within, || {
        let status = mesh.gateway("madrid")?.ask(&["status"])?;
        let findings = status["findings"].as_array().cloned().unwrap_or_default();
        let revoked = findings.iter().find(|finding| finding["code"] == "T409");
        let sentence = revoked.and_then(|finding| finding["sentence"].as_str());
        let said =
            sentence.filter(|text| text.contains(" by authority:") && text.contains(": stolen"));
        Ok(match said {
            Some(said) => Look::Done(said.to_owned()),
            None => Look::Not(status["findings"].to_string()),
        })
    })?;
    Ok(said)
}

#[test]
fn a_zone_is_told_of_its_revocation_as_its_tunnels_go() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..3])?;
    let mut mesh = Mesh::joined(&lab)?;
    revoke(&mut mesh)?;
    told(&mut mesh, Duration::from_secs(5))?;
    // It keeps what it has: its peers are still there, and nobody answers.
    let peers = mesh.gateway("madrid")?.ask(&["peers"])?;
    ensure!(peers["peers"].as_array().is_some_and(|peers| peers.len() == 2), "{peers}");
    let list = say(&mut mesh, "madrid", &["zone", "list"])?;
    ensure!(list.contains("revoked: madrid by authority:") && list.contains(": stolen"), "{list}");
    lab.succeeded()
}

#[test]
fn a_zone_that_was_away_when_it_was_revoked_asks_and_is_told() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..3])?;
    let mut mesh = Mesh::joined(&lab)?;
    mesh.gateway("madrid")?.daemon()?.kill_9()?;
    revoke(&mut mesh)?;
    until("paris to hear of it", patience(), || {
        let peers = mesh.gateway("paris")?.ask(&["peers"])?;
        let gone = peers["peers"].as_array().is_some_and(|peers| peers.len() == 1);
        Ok(Look::<()>::when(gone, &peers))
    })?;
    // The one that revoked it is out of reach as well: any member will do.
    mesh.gateway("berlin")?.daemon()?.kill_9()?;
    mesh.gateway("madrid")?.start(&lab)?;
    mesh.gateway("madrid")?.wait_until_ready(patience())?;
    let said = told(&mut mesh, ASKED)?;
    // Also over a restart, when nobody is asked any more.
    mesh.gateway("madrid")?.kill_9_and_start(&lab)?;
    mesh.gateway("madrid")?.wait_until_ready(patience())?;
    ensure!(told(&mut mesh, Duration::from_secs(5))? == said);
    lab.succeeded()
}
