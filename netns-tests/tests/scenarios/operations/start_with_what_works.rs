//! A gateway of whose machine something is missing or taken: it runs with the rest, and says so.
//!
//! ```text
//!   vm --- lan0? berlin           WAN           madrid
//!           gw ------------- [ router ] --------- gw
//! ```
//!
//! Berlin's LAN address is not there yet, its local API's port is another program's, or its state folder
//! cannot be written: its tunnels are up all the same, status names the one thing and exits with 1,
//! and nobody has to restart anything when it is put right.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use zonemesh_lab::gateway::LabGateway;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::wait::{Look, until};

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &["vm"] }, ZonePlan { name: "madrid", vms: &[] }];
const LOCAL_API_PORT: u16 = 51_822;
/// It is tried each second, and told each second.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

#[test]
fn a_lan_address_that_comes_later_stops_no_tunnel() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    let address = IpAddr::from(lab.zone("berlin")?.lan_address);
    let lan = format!("{address}/24");
    lab.zone("berlin")?.gateway.ip(&["address", "del", &lan, "dev", "lan0"])?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    told(
        mesh.gateway("berlin")?,
        "N226",
        &["local_api.listen", "Cannot assign requested address"],
    )?;
    lab.zone("berlin")?.gateway.ip(&["address", "add", &lan, "dev", "lan0"])?;
    over(mesh.gateway("berlin")?, "N226")?;
    answers(&lab, address)?;
    lab.succeeded()
}

#[test]
fn a_port_of_the_local_api_that_is_taken_stops_no_tunnel() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    let address = IpAddr::from(lab.zone("berlin")?.lan_address);
    let at = SocketAddr::new(address, LOCAL_API_PORT);
    let taken = lab.zone("berlin")?.gateway.inside(|| Ok(TcpListener::bind(at)?))?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    told(mesh.gateway("berlin")?, "N226", &["local_api.listen", "Address already in use"])?;
    drop(taken);
    over(mesh.gateway("berlin")?, "N226")?;
    answers(&lab, address)?;
    lab.succeeded()
}

#[test]
fn a_state_folder_that_cannot_be_written_stops_no_tunnel_and_no_start() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    let state = mesh.gateway("berlin")?.folder().join("state");
    mesh.gateway("berlin")?.daemon()?.terminate(TOLD_WITHIN)?;
    mount(&["--bind"], &[&state, &state])?;
    mount(&["-o", "remount,bind,ro"], &[&state])?;
    let ran = started_on_a_full_stop(&lab, &mut mesh);
    ensure!(Command::new("umount").arg("-l").arg(&state).status()?.success());
    ran?;
    mesh.gateway("berlin")?.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    over(mesh.gateway("berlin")?, "C104")?;
    lab.succeeded()
}

fn started_on_a_full_stop(lab: &Lab, mesh: &mut Mesh) -> Result<()> {
    mesh.gateway("berlin")?.start(lab)?;
    mesh.wait_until_connected(patience())?;
    told(mesh.gateway("berlin")?, "C104", &["state", "Read-only file system"])?;
    mesh.gateway("berlin")?.daemon()?.terminate(TOLD_WITHIN)?;
    Ok(())
}

fn mount(options: &[&str], places: &[&Path]) -> Result<()> {
    let done = Command::new("mount").args(options).args(places).status()?;
    ensure!(done.success(), "mount {options:?} ended with {done}");
    Ok(())
}

/// Waits until status tells it, with all of `words`; then exit code 1 goes with it.
fn told(gateway: &LabGateway, code: &str, words: &[&str]) -> Result<()> {
    let tells = |status: &Value| {
        let mut findings = status["findings"].as_array().into_iter().flatten();
        findings.any(|finding| {
            let text = finding.to_string();
            finding["code"] == code && words.iter().all(|word| text.contains(word))
        })
    };
    until(&format!("status to tell {code}"), TOLD_WITHIN, || {
        let status = gateway.ask(&["status"])?;
        Ok(Look::<()>::when(tells(&status), &status["findings"]))
    })?;
    let shown = Command::new(gateway.program("zonemesh")?)
        .arg("--socket")
        .arg(gateway.socket())
        .arg("status")
        .output()?;
    let text = String::from_utf8_lossy(&shown.stdout);
    ensure!(shown.status.code() == Some(1), "exit {:?} beside {code}:\n{text}", shown.status);
    ensure!(text.contains(&format!("! {code}")), "no line of {code}:\n{text}");
    Ok(())
}

fn over(gateway: &LabGateway, code: &str) -> Result<()> {
    until(&format!("{code} to be over"), TOLD_WITHIN, || {
        let status = gateway.ask(&["status"])?;
        let findings = status["findings"].as_array().context("no findings")?;
        let stands = findings.iter().any(|finding| finding["code"] == code);
        Ok(Look::<()>::when(!stands, &status["findings"]))
    })?;
    Ok(())
}

/// The zone's VM reaches the local API.
fn answers(lab: &Lab, gateway: IpAddr) -> Result<()> {
    let at = SocketAddr::new(gateway, LOCAL_API_PORT);
    lab.zone("berlin")?.vm("vm")?.namespace.inside(|| {
        TcpStream::connect_timeout(&at, TOLD_WITHIN).context("the local API does not answer")
    })?;
    Ok(())
}
