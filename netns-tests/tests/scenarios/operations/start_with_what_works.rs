//! A gateway of whose machine something is missing or taken: it runs with the rest, and says so.
//!
//! ```text
//!   vm --- lan0? berlin           WAN           madrid
//!           gw ------------- [ router ] --------- gw
//! ```
//!
//! Berlin's LAN address is not there yet, its local API's port or its UDP port is another program's,
//! its state folder cannot be written, IPv6 is switched off, or one of its `[[peer]]` sections is wrong:
//! all else is up all the same, status names the one thing and exits with 1, and nobody has to restart
//! anything when it is put right but for the file.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netns_tests::findings;
use serde_json::Value;
use zonemesh_lab::gateway::LabGateway;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, WIREGUARD_PORT, patience};
use zonemesh_lab::process::Process;
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

/// Holds a UDP port of berlin's until it is killed.
const HOLD: &str = "import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('0.0.0.0', int(sys.argv[1])))
print('held', flush=True)
time.sleep(1000)";

/// Another program that has berlin's UDP port.
pub(super) fn hold_udp_port(lab: &Lab) -> Result<Process> {
    let mut command = lab.zone("berlin")?.gateway.command("python3");
    command.args(["-c", HOLD, &WIREGUARD_PORT.to_string()]);
    let mut holder = Process::spawn("holder", command, lab.folder())?;
    holder.wait_for("held", TOLD_WITHIN)?;
    Ok(holder)
}

#[test]
fn a_udp_port_that_is_taken_is_waited_for_and_all_else_is_there_meanwhile() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    let gateway = &lab.zone("berlin")?.gateway;
    let mut holder = hold_udp_port(&lab)?;
    mesh.start(&lab)?;
    let held = format!("held by python3 (process {})", holder.pid());
    let berlin = mesh.gateway("berlin")?;
    berlin.wait_until_ready(patience())?;
    told(berlin, "N226", &["tunnel.listen_port", "Address already in use", &held])?;
    only(berlin, "N226")?;
    answers(&lab, IpAddr::from(lab.zone("berlin")?.lan_address))?;
    ensure!(gateway.run(&["nft", "list", "tables"])?.contains("inet zonemesh"));
    holder.kill_9()?;
    over(mesh.gateway("berlin")?, "N226")?;
    mesh.wait_until_connected(patience())?;
    lab.succeeded()
}

#[test]
fn ipv6_that_is_switched_off_is_one_finding_and_ipv4_goes_on() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    for (zone, other, tail) in [("berlin", "madrid", 1), ("madrid", "berlin", 2)] {
        let addresses = |of: &Value| -> Result<toml::Value> {
            let of: Vec<String> = serde_json::from_value(of.clone())?;
            Ok(toml::Value::Array(of.into_iter().map(toml::Value::String).collect()))
        };
        let own = serde_json::json!([format!("fd00:255::{tail}"), format!("10.255.0.{tail}")]);
        mesh.gateway(zone)?.section("tunnel")?.insert("addresses".to_owned(), addresses(&own)?);
        let peer = mesh.gateway(other)?.peer(zone)?;
        peer.insert("tunnel_addresses".to_owned(), addresses(&own)?);
    }
    let ipv6 = |zone: &str, is_off: u8| -> Result<String> {
        let of = |which: &str| format!("net.ipv6.conf.{which}.disable_ipv6={is_off}");
        lab.zone(zone)?.gateway.run(&["sysctl", "-qw", &of("all"), &of("default")])
    };
    ipv6("berlin", 1)?;
    ipv6("madrid", 1)?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    told(mesh.gateway("berlin")?, "N229", &["net.ipv6.conf.zm0.disable_ipv6", "left out: 2"])?;
    only(mesh.gateway("berlin")?, "N229")?;
    let gateway = &lab.zone("berlin")?.gateway;
    gateway.run(&["ping", "-n", "-c", "1", "-W", "2", "10.255.0.2"])?;
    // Switched on, it is there by itself; and gone again without a word about repairs.
    for zone in ["berlin", "madrid"] {
        ipv6(zone, 0)?;
        over(mesh.gateway(zone)?, "N229")?;
    }
    until("an answer over IPv6", TOLD_WITHIN, || {
        let output =
            gateway.command("ping").args(["-c", "1", "-W", "1", "fd00:255::2"]).output()?;
        Ok(Look::<()>::when(output.status.success(), "none"))
    })?;
    lab.succeeded()
}

const THREE: [ZonePlan<'_>; 3] = [
    ZonePlan { name: "berlin", vms: &[] },
    ZonePlan { name: "madrid", vms: &["vm"] },
    ZonePlan { name: "paris", vms: &["vm"] },
];

#[test]
fn one_bad_peer_section_keeps_no_other_zone_from_running_and_lets_nothing_out() -> Result<()> {
    let mut lab = Lab::new(&THREE)?;
    let mut mesh = Mesh::prepare(&lab)?;
    lab.route_lans_over_wan()?;
    let gateway = &lab.zone("berlin")?.gateway;
    let to_paris = || gateway.command("ping").args(["-c", "2", "-W", "1", "10.10.12.5"]).output();
    ensure!(
        to_paris()?.status.success(),
        "in the clear paris is out of reach: nothing can be seen"
    );
    let berlin = mesh.gateway("berlin")?;
    let key = berlin.peer("paris")?.insert("zone_key".to_owned(), "ed25519:no key".into());
    berlin.peer("madrid")?.insert("preshared_key_file".to_owned(), "/none".into());
    berlin.start(&lab)?;
    let (code, said) = berlin.daemon()?.wait_for_end(TOLD_WITHIN)?;
    ensure!(code == 7, "without one good section it ends with {code}: {said}");
    berlin.peer("madrid")?.remove("preshared_key_file");
    mesh.start_one(&lab, "berlin")?;
    mesh.start_one(&lab, "madrid")?;
    is_reached(&lab, &mut mesh, "10.10.11.5")?;
    let berlin = mesh.gateway("berlin")?;
    let file = berlin.config_file().display().to_string();
    told(berlin, "C113", &[&file, "].zone_key", "zone paris is left out", "config check"])?;
    only(berlin, "C113")?;
    let status = berlin.ask(&["status"])?;
    ensure!(status["peers"].as_array().is_some_and(|peers| peers.len() == 1), "{status}");
    let checked = Command::new(berlin.program("zonemesh")?);
    let checked = { checked }.args(["config", "check", "--wide", &file]).output()?;
    ensure!(checked.status.code() == Some(7), "config check ends with {}", checked.status);
    ensure!(!to_paris()?.status.success(), "packets for paris leave in the clear");
    berlin.peer("paris")?.extend(key.map(|key| ("zone_key".to_owned(), key)));
    berlin.daemon()?.terminate(TOLD_WITHIN)?;
    mesh.start_one(&lab, "berlin")?;
    mesh.start_one(&lab, "paris")?;
    mesh.wait_until_connected(patience())?;
    over(mesh.gateway("berlin")?, "C113")?;
    lab.succeeded()
}

#[test]
fn a_preshared_key_that_is_missing_leaves_out_that_peer_alone() -> Result<()> {
    let mut lab = Lab::new(&THREE)?;
    let mut mesh = Mesh::prepare(&lab)?;
    let berlin = mesh.gateway("berlin")?;
    berlin.peer("paris")?.insert("preshared_key_file".to_owned(), "/none".into());
    mesh.start(&lab)?;
    mesh.gateway("berlin")?.wait_until_ready(patience())?;
    is_reached(&lab, &mut mesh, "10.10.11.5")?;
    let berlin = mesh.gateway("berlin")?;
    told(berlin, "C113", &["].preshared_key_file", "/none", "zone paris is left out"])?;
    only(berlin, "C113")?;
    lab.succeeded()
}

/// Waits until an address of another zone answers berlin's gateway.
fn is_reached(lab: &Lab, mesh: &mut Mesh, address: &str) -> Result<()> {
    let gateway = &lab.zone("berlin")?.gateway;
    until(&format!("an answer of {address}"), patience(), || {
        let output = gateway.command("ping").args(["-c", "1", "-W", "1", address]).output()?;
        let status = mesh.gateway("berlin")?.ask(&["status"])?;
        Ok(Look::<()>::when(output.status.success(), &status["findings"]))
    })?;
    Ok(())
}

/// One thing is wrong, and nothing else is said to be.
fn only(gateway: &LabGateway, code: &str) -> Result<()> {
    let status = gateway.ask(&["status"])?;
    let findings = status["findings"].as_array().context("no findings")?;
    let alarming: Vec<_> = findings.iter().filter(|one| one["severity"] != "note").collect();
    ensure!(matches!(&alarming[..], [one] if one["code"] == code), "{alarming:#?}");
    Ok(())
}

fn mount(options: &[&str], places: &[&Path]) -> Result<()> {
    let done = Command::new("mount").args(options).args(places).status()?;
    ensure!(done.success(), "mount {options:?} ended with {done}");
    Ok(())
}

fn told(gateway: &LabGateway, code: &str, words: &[&str]) -> Result<()> {
    findings::told(gateway, code, words, TOLD_WITHIN)
}

fn over(gateway: &LabGateway, code: &str) -> Result<()> {
    findings::over(gateway, code, TOLD_WITHIN)
}

/// The zone's VM reaches the local API.
fn answers(lab: &Lab, gateway: IpAddr) -> Result<()> {
    let at = SocketAddr::new(gateway, LOCAL_API_PORT);
    lab.zone("berlin")?.vm("vm")?.namespace.inside(|| {
        TcpStream::connect_timeout(&at, TOLD_WITHIN).context("the local API does not answer")
    })?;
    Ok(())
}
