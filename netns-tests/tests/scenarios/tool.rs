//! A managed mesh, all of it driven by the tool that engineers type.
//!
//! ```text
//!   berlin (founds, invites) ==== madrid, paris, rome (invited)      each with all others
//! ```
//!
//! Owns founding, inviting and waiting until all gateways hold the same. Promises that what the tool
//! refuses is an error here. The scenarios of a managed mesh stand on it, whatever their subject.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netns_tests::managed::ManagedMesh as _;
use serde_json::Value;
use zonemesh_lab::lab::{Lab, LabZone, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::wait::{Look, until};

pub(crate) const ZONES: [ZonePlan<'_>; 4] = [
    ZonePlan { name: "berlin", vms: &[] },
    ZonePlan { name: "madrid", vms: &[] },
    ZonePlan { name: "paris", vms: &[] },
    ZonePlan { name: "rome", vms: &[] },
];

/// Berlin's mesh, which the other zones of the Lab have joined.
pub(crate) fn joined(lab: &Lab) -> Result<Mesh> {
    let mut mesh = Mesh::strangers(lab)?;
    say(&mut mesh, "berlin", &["mesh", "init"])?;
    for zone in &lab.zones()[1..] {
        let invitation = invite(lab, &mut mesh, zone, &[])?;
        say(&mut mesh, &zone.name, &["zone", "join", &invitation])?;
    }
    mesh.wait_until_connected(patience())?;
    in_step(lab, &mut mesh, patience())?;
    Ok(mesh)
}

/// Has berlin invite a zone; returns the invitation's file.
pub(crate) fn invite(lab: &Lab, mesh: &mut Mesh, zone: &LabZone, more: &[&str]) -> Result<String> {
    let file = lab.folder().join(format!("{}.invitation", zone.name)).display().to_string();
    // A zone is invited anew after an invitation was of no use.
    drop(std::fs::remove_file(&file));
    let (prefix, ip) = (zone.prefix(), zone.tunnel_address.to_string());
    let args = ["zone", "invite", &zone.name, "--prefix", &prefix, "--tunnel-ip", &ip];
    say(mesh, "berlin", &[&args[..], &["--out", &file], more].concat())?;
    Ok(file)
}

/// Starts a gateway anew with another zone's name, prefix and tunnel IP.
pub(crate) fn call_itself(lab: &Lab, mesh: &mut Mesh, gateway: &str, zone: &LabZone) -> Result<()> {
    let list = |text: String| toml::Value::Array(vec![text.into()]);
    let thief = mesh.gateway(gateway)?;
    thief.section("zone")?.insert("name".to_owned(), zone.name.clone().into());
    thief.section("zone")?.insert("prefixes".to_owned(), list(zone.prefix()));
    let ip = zone.tunnel_address.to_string();
    thief.section("tunnel")?.insert("addresses".to_owned(), list(ip));
    thief.config.remove("local_api");
    thief.kill_9_and_start(lab)?;
    thief.wait_until_ready(patience())
}

pub(crate) fn command(mesh: &mut Mesh, zone: &str, args: &[&str]) -> Result<Command> {
    let mut command = Command::new(mesh.gateway(zone)?.program("zonemesh")?);
    command.arg("--socket").arg(mesh.gateway(zone)?.socket()).args(args);
    // `mesh init` writes the owner's key where it is typed.
    command.stdin(std::process::Stdio::null()).current_dir(mesh.gateway(zone)?.folder());
    Ok(command)
}

pub(crate) fn run(mesh: &mut Mesh, zone: &str, args: &[&str]) -> Result<Output> {
    Ok(command(mesh, zone, args)?.output()?)
}

/// The owner's key of the mesh that was founded at a gateway by `zonemesh mesh init`.
pub(crate) fn owner_key(mesh: &mut Mesh, zone: &str) -> Result<String> {
    Ok(mesh.gateway(zone)?.folder().join("zonemesh-owner.key").display().to_string())
}

/// What `zonemesh ARGS` prints at a gateway; it must succeed.
pub(crate) fn say(mesh: &mut Mesh, zone: &str, args: &[&str]) -> Result<String> {
    let output = run(mesh, zone, args)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{zone}: zonemesh {}: {said}", args.join(" "));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The message with which `zonemesh ARGS` fails, and nothing else.
pub(crate) fn refused(mesh: &mut Mesh, zone: &str, args: &[&str], code: i32) -> Result<String> {
    let output = run(mesh, zone, args)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let ended = output.status.code();
    ensure!(ended == Some(code), "zonemesh {} ended with {ended:?}: {said}", args.join(" "));
    Ok(said)
}

/// Waits until all gateways of the Lab hold the same records, one of each zone.
pub(crate) fn in_step(lab: &Lab, mesh: &mut Mesh, timeout: Duration) -> Result<Duration> {
    let names: Vec<&str> = lab.zones().iter().map(|zone| zone.name.as_str()).collect();
    same_records(mesh, &names, names.len(), timeout)
}

/// Waits until these gateways hold the same records, `count` of them.
pub(crate) fn same_records(
    mesh: &mut Mesh,
    zones: &[&str],
    count: usize,
    timeout: Duration,
) -> Result<Duration> {
    let (_, took) = until("the same records at all gateways", timeout, || {
        let mut seen = Vec::new();
        for zone in zones {
            let status = mesh.gateway(zone)?.ask(&["status"])?;
            let registry = &status["registry"];
            seen.push((registry["root_hash"].to_string(), registry["records"].as_u64()));
        }
        let same = seen.windows(2).all(|pair| pair[0] == pair[1]);
        let full = seen.first().is_some_and(|first| first.1 == Some(count as u64));
        Ok(Look::<()>::when(same && full, format!("{seen:?}")))
    })?;
    Ok(took)
}

/// Incarnation and sequence of a zone's record as a gateway holds it.
pub(crate) fn version(mesh: &mut Mesh, at: &str, zone: &str) -> Result<(u64, u64)> {
    let records = mesh.gateway(at)?.ask(&["registry", "list"])?;
    let record =
        records["records"].as_array().and_then(|all| all.iter().find(|r| r["zone"] == zone));
    let record = record.with_context(|| format!("{at} holds no record of {zone}: {records}"))?;
    let number = |key: &str| record[key].as_u64().with_context(|| format!("{key} in {record}"));
    Ok((number("incarnation")?, number("seq")?))
}

/// Makes a zone's record another one from its next start: a second endpoint of its gateway.
pub(crate) fn change_record(mesh: &mut Mesh, zone: &str, endpoint: &str) -> Result<()> {
    let gateway = mesh.gateway(zone)?.section("gateway")?;
    let endpoints = gateway.get_mut("endpoints").and_then(toml::Value::as_array_mut);
    let endpoints = endpoints.context("it has endpoints")?;
    endpoints.truncate(1);
    endpoints.push(endpoint.into());
    Ok(())
}

/// A zone's peers as its gateway shows them.
pub(crate) fn peers(mesh: &mut Mesh, zone: &str) -> Result<Vec<Value>> {
    let peers = mesh.gateway(zone)?.ask(&["peers"])?;
    Ok(peers["peers"].as_array().cloned().unwrap_or_default())
}

/// Waits until a gateway has no peer of this name any more.
pub(crate) fn without_peer(
    mesh: &mut Mesh,
    at: &str,
    gone: &str,
    timeout: Duration,
) -> Result<Duration> {
    let (_, took) = until(&format!("{at} to let go of {gone}"), timeout, || {
        let peers = peers(mesh, at)?;
        Ok(Look::<()>::when(peers.iter().all(|peer| peer["zone"] != gone), format!("{peers:?}")))
    })?;
    Ok(took)
}

pub(crate) fn text(path: &Path) -> Result<&str> {
    path.to_str().context("the path is text")
}
