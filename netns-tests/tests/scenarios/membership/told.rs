//! A revoked zone is told by whomever it can reach: when it happens, and when it comes back later.
//!
//! ```text
//!   berlin (founds, revokes) ==== madrid (is revoked), paris
//! ```

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netns_tests::managed::ManagedMesh as _;
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::wait::{Look, until};

use crate::tool::{ZONES, run, say, version};

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

/// The sentence of a finding with this code at a gateway, if it is there.
fn finding(mesh: &mut Mesh, zone: &str, code: &str) -> Result<Option<String>> {
    let status = mesh.gateway(zone)?.ask(&["status"])?;
    let mut findings = status["findings"].as_array().into_iter().flatten();
    let found = findings.find(|finding| finding["code"] == code);
    Ok(found.and_then(|finding| finding["sentence"].as_str()).map(ToOwned::to_owned))
}

#[test]
fn a_zone_that_is_granted_less_than_it_has_is_told_and_what_is_granted_works() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..2])?;
    let mut mesh = Mesh::joined(&lab)?;
    let key = mesh.gateway("madrid")?.ask(&["status"])?["zone_key"].clone();
    let key = key.as_str().context("a zone key")?;
    let grant = ["zone", "grant", "madrid", "--zone-key", key, "--prefix"];
    say(&mut mesh, "berlin", &[&grant[..], &["10.66.0.0/24"]].concat())?;
    let own = lab.zone("madrid")?.prefix();
    let (said, _) = until("madrid to tell", patience(), || {
        Ok(match finding(&mut mesh, "madrid", "P319")? {
            Some(said) => Look::Done(said),
            None => Look::Not(String::new()),
        })
    })?;
    ensure!(said.starts_with(&format!("{own} is not granted")), "{said}");
    let status = run(&mut mesh, "madrid", &["status"])?;
    ensure!(status.status.code() == Some(1), "{status:?}");
    // Others take what it says now.
    until("berlin to hold madrid's record", patience(), || {
        let list = mesh.gateway("berlin")?.ask(&["registry", "list"])?;
        let refused = finding(&mut mesh, "berlin", "P303")?;
        let mut records = list["records"].as_array().into_iter().flatten();
        let is_held = records.any(|record| record["zone"] == "madrid");
        Ok(Look::<()>::when(is_held && refused.is_none(), format!("{refused:?}, {list}")))
    })?;
    // The command that it names helps.
    let command = said.split('`').nth(1).context("a command")?.to_owned();
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    say(&mut mesh, "berlin", &words)?;
    until("madrid to be at ease", patience(), || {
        let said = finding(&mut mesh, "madrid", "P319")?;
        let is_said = version(&mut mesh, "berlin", "madrid")?.1 > 2;
        Ok(Look::<()>::when(said.is_none() && is_said, format!("{said:?}, {is_said}")))
    })?;
    lab.succeeded()
}
