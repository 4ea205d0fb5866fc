//! A router that runs plain WireGuard as a peer: what passes, what does not, and what is told.
//!
//! ```text
//!   berlin                       WAN                office (no Zonemesh)
//!   vm 10.10.10.5 -- gw ---- [ router: capture ] ---- wireguard-go -- desk 10.10.12.5
//!                                  |
//!                         madrid gw -- vm 10.10.11.5
//! ```

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netns_tests::findings;
use netns_tests::wireguard::implementation::Implementation;
use netns_tests::wireguard::traffic::{ping, transfer};
use serde_json::Value;
use toml::Table;
use zonemesh_lab::capture::Capture;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{LOCAL_API_PORT, Mesh, REGISTRY_PORT, WIREGUARD_PORT, patience};
use zonemesh_lab::namespace::Namespace;
use zonemesh_lab::process::Process;
use zonemesh_lab::wait::{Look, until};

pub(crate) const ZONES: [ZonePlan<'_>; 3] = [
    ZonePlan { name: "berlin", vms: &["vm"] },
    ZonePlan { name: "madrid", vms: &["vm"] },
    ZonePlan { name: "office", vms: &["desk"] },
];
const BYTES: u64 = 4_000_000;
/// What `wg genpsk` has written once.
pub(crate) const SECRET: &str = "FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=";
/// As `zonemesh peers` calls it.
const OFFICE: &str = "office/wireguard_peer";

/// Berlin and madrid as a mesh by hand, in which the office is no zone.
fn prepare(lab: &Lab) -> Result<Mesh> {
    let mut mesh = Mesh::prepare(lab)?;
    let section = office_of(lab, &mut mesh)?;
    for zone in ["berlin", "madrid"] {
        let gateway = mesh.gateway(zone)?;
        let peers = gateway.config.get("peer").and_then(toml::Value::as_array).cloned();
        let peers = peers.unwrap_or_default().into_iter().filter_map(|peer| match peer {
            toml::Value::Table(peer) => Some(peer),
            _ => None,
        });
        let is_zone =
            |peer: &Table| peer.get("zone").and_then(toml::Value::as_str) != Some("office");
        gateway.set_peers(peers.filter(is_zone).collect());
    }
    mesh.gateway("berlin")?.config.insert("wireguard_peer".to_owned(), section);
    Ok(mesh)
}

/// Berlin's `[[wireguard_peer]]`.
fn office_of(lab: &Lab, mesh: &mut Mesh) -> Result<toml::Value> {
    let (office, secret) = (lab.zone("office")?, lab.folder().join("office.psk"));
    std::fs::write(&secret, format!("{SECRET}\n"))?;
    let key = mesh.gateway("office")?.keys.wireguard.clone();
    let allowed = [office.prefix(), format!("{}/32", office.tunnel_address)];
    let mut peer = Table::new();
    for (name, value) in [
        ("name", "office".to_owned()),
        ("public_key", key),
        ("endpoint", format!("{}:{WIREGUARD_PORT}", office.wan_address)),
        ("persistent_keepalive", "5s".to_owned()),
        ("preshared_key_file", secret.display().to_string()),
    ] {
        peer.insert(name.to_owned(), value.into());
    }
    let allowed = allowed.into_iter().map(toml::Value::String).collect();
    peer.insert("allowed_ips".to_owned(), toml::Value::Array(allowed));
    Ok(toml::Value::Array(vec![toml::Value::Table(peer)]))
}

/// wireguard-go on the office's router, as its engineer would set it up, with this private key for the
/// gateway of berlin, whose public key is `berlin`.
pub(crate) fn router(lab: &Lab, key_file: &Path, berlin_key: &str) -> Result<Process> {
    let (office, berlin) = (lab.zone("office")?, lab.zone("berlin")?);
    // The UAPI sockets of all namespaces share one folder.
    let name = format!("zmgo{}", std::process::id());
    let mut command = office.gateway.command(Implementation::WireguardGo.find()?);
    command.args(["-f", &name]);
    let process = Process::spawn("wireguard-go", command, lab.folder())?;
    let secret = lab.folder().join("office.psk");
    std::fs::write(&secret, format!("{SECRET}\n"))?;
    let endpoint = format!("{}:{WIREGUARD_PORT}", berlin.wan_address);
    let allowed = format!("{},{}/32,10.10.11.0/24", berlin.prefix(), berlin.tunnel_address);
    let of_router = format!("{} listen-port {WIREGUARD_PORT}", key_file.display());
    let of_peer = format!("{berlin_key} preshared-key {}", secret.display());
    let settings = format!(
        "wg set {name} private-key {of_router} peer {of_peer} allowed-ips {allowed} endpoint {endpoint}"
    );
    let settings: Vec<&str> = settings.split(' ').collect();
    until("wireguard-go to be configured", patience(), || {
        Ok(Look::retry(office.gateway.run(&settings)))
    })?;
    office.gateway.ip(&["address", "add", &office.tunnel_address.to_string(), "dev", &name])?;
    office.gateway.ip(&["link", "set", &name, "mtu", "1420", "up"])?;
    for net in allowed.split(',') {
        office.gateway.ip(&["route", "add", net, "dev", &name])?;
    }
    Ok(process)
}

/// The same beside a mesh that was prepared.
fn office_router(lab: &Lab, mesh: &mut Mesh) -> Result<Process> {
    let key_file = mesh.gateway("office")?.folder().join("wireguard.key");
    let berlin_key = mesh.gateway("berlin")?.keys.wireguard.clone();
    router(lab, &key_file, &berlin_key)
}

/// What `zonemesh peers` says of the office.
fn office(mesh: &mut Mesh) -> Result<Option<Value>> {
    let peers = mesh.gateway("berlin")?.ask(&["peers"])?;
    let peers = peers["peers"].as_array().context("peers")?;
    Ok(peers.iter().find(|peer| peer["gateway"] == "wireguard_peer").cloned())
}

fn wait_for_state(mesh: &mut Mesh, is_up: bool) -> Result<()> {
    until(&format!("office up: {is_up}"), Duration::from_secs(60), || {
        let office = office(mesh)?.context("the office")?;
        Ok(Look::<()>::when((office["state"] == "up") == is_up, &office))
    })?;
    Ok(())
}

fn address(lab: &Lab, zone: &str, vm: &str) -> Result<IpAddr> {
    Ok(lab.zone(zone)?.vm(vm)?.address.into())
}

pub(crate) fn reaches(from: &Namespace, to: IpAddr) -> Result<()> {
    until(&format!("a ping to {to}"), patience(), || {
        let pinged = ping(from, to, 1, 1.0)?;
        Ok(Look::<()>::when(pinged.lost() == 0, format!("{pinged:?}")))
    })?;
    Ok(())
}

/// Both ways: pings, and TCP whose bytes are compared.
fn carries(lab: &Lab) -> Result<()> {
    let (vm, desk) = (lab.zone("berlin")?.vm("vm")?, lab.zone("office")?.vm("desk")?);
    reaches(&vm.namespace, desk.address.into())?;
    reaches(&desk.namespace, vm.address.into())?;
    let at = |address| SocketAddr::new(address, 7000);
    transfer(&vm.namespace, &desk.namespace, at(desk.address.into()), BYTES)?;
    transfer(&desk.namespace, &vm.namespace, at(vm.address.into()), BYTES)?;
    Ok(())
}

#[test]
fn its_vms_and_ours_reach_each_other_and_it_is_told_as_what_it_is() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = prepare(&lab)?;
    mesh.start_one(&lab, "berlin")?;
    mesh.start_one(&lab, "madrid")?;
    let mut wireguard_go = office_router(&lab, &mut mesh)?;
    carries(&lab)?;
    wait_for_state(&mut mesh, true)?;
    let office = office(&mut mesh)?.context("the office")?;
    ensure!(office["zone"] == "office" && office["stream"] == "none", "{office}");
    ensure!(office["latest_handshake"].is_string() && office["rx_bytes"] != 0, "{office}");
    ensure!(mesh.gateway("berlin")?.show(&["peers"])?.contains(OFFICE));
    mesh.gateway("madrid")?.wait_until_connected(patience())?;
    let status = mesh.gateway("berlin")?.ask(&["status"])?;
    ensure!(status["state"] == "ok", "nothing is missed of it: {}", status["findings"]);
    it_has_no_rights(&lab, &mut mesh)?;
    wireguard_go.kill_9()?;
    wait_for_state(&mut mesh, false)?;
    let unheard = ["handshake initiations unanswered"];
    findings::told(mesh.gateway("berlin")?, "N205", &unheard, Duration::from_secs(60))?;
    let _again = office_router(&lab, &mut mesh)?;
    wait_for_state(&mut mesh, true)?;
    carries(&lab)?;
    lab.succeeded()
}

/// No service of the mesh talks to its addresses, and no other zone is behind this one.
fn it_has_no_rights(lab: &Lab, mesh: &mut Mesh) -> Result<()> {
    let (desk, berlin) = (&lab.zone("office")?.vm("desk")?.namespace, lab.zone("berlin")?);
    for (address, port, counted) in [
        (IpAddr::from(berlin.tunnel_address), REGISTRY_PORT, "strange_connections"),
        (IpAddr::from(berlin.lan_address), LOCAL_API_PORT, "foreign_connections"),
    ] {
        let said = desk.run(&[
            "timeout",
            "20",
            "openssl",
            "s_client",
            "-connect",
            &format!("{address}:{port}"),
        ]);
        let said = format!("{said:?}");
        ensure!(!said.contains("BEGIN CERTIFICATE"), "{address}:{port} answers: {said}");
        let status = mesh.gateway("berlin")?.ask(&["status"])?;
        ensure!(status["refused"][counted].as_u64() >= Some(1), "{counted}: {}", status["refused"]);
    }
    let beyond = ping(desk, address(lab, "madrid", "vm")?, 3, 0.3)?;
    ensure!(beyond.received == 0, "another zone answers: {beyond:?}");
    // What has another source than its own does not come in.
    let office = lab.zone("office")?;
    office.gateway.ip(&["address", "add", "10.99.0.9/32", "dev", "lo"])?;
    let foreign = office.gateway.run(&[
        "ping",
        "-c",
        "3",
        "-i",
        "0.3",
        "-W",
        "1",
        "-I",
        "10.99.0.9",
        &berlin.lan_address.to_string(),
    ]);
    ensure!(foreign.is_err(), "a foreign source is answered: {foreign:?}");
    Ok(())
}

#[test]
fn what_is_for_it_never_leaves_in_the_clear_and_a_reload_takes_it_and_nothing_else() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = prepare(&lab)?;
    let capture = Capture::start(&lab, "wan", &[WIREGUARD_PORT])?;
    mesh.start_one(&lab, "berlin")?;
    mesh.start_one(&lab, "madrid")?;
    let _router = office_router(&lab, &mut mesh)?;
    let desk = address(&lab, "office", "desk")?;
    let berlin = lab.zone("berlin")?;
    reaches(&berlin.vm("vm")?.namespace, desk)?;
    let mut endless = berlin.vm("vm")?.namespace.command("ping");
    endless.args(["-n", "-i", "0.01", &desk.to_string()]);
    let endless = Process::spawn("ping", endless, lab.folder())?;
    for trouble in [
        &["ip", "link", "set", "zm0", "down"][..],
        &["ip", "route", "flush", "table", "9091"],
        &["ip", "link", "del", "zm0"],
        &["nft", "delete", "table", "inet", "zonemesh"],
    ] {
        berlin.gateway.run(trouble)?;
        reaches(&berlin.vm("vm")?.namespace, desk)?;
    }
    let gateway = mesh.gateway("berlin")?;
    gateway.daemon()?.kill_9()?;
    berlin.gateway.run(&["sleep", "1"])?;
    gateway.start(&lab)?;
    reaches(&berlin.vm("vm")?.namespace, desk)?;
    drop(endless);
    let report = capture.finish(&lab)?;
    ensure!(report.is_clean(), "{report}");
    a_reload_takes_it(&lab, &mut mesh)?;
    lab.succeeded()
}

/// The section goes and comes, and a ping between two zones loses nothing.
fn a_reload_takes_it(lab: &Lab, mesh: &mut Mesh) -> Result<()> {
    let (vm, madrid) = (&lab.zone("berlin")?.vm("vm")?.namespace, address(lab, "madrid", "vm")?);
    reaches(vm, madrid)?;
    let between = netns_tests::wireguard::traffic::Pinger::start(vm, madrid, 0.1, lab.folder())?;
    let section = mesh.gateway("berlin")?.config.remove("wireguard_peer").context("the section")?;
    let reloaded = mesh.gateway("berlin")?.reload()?;
    ensure!(reloaded["changed"].to_string().contains("wireguard_peer[office]"), "{reloaded}");
    ensure!(office(mesh)?.is_none());
    let routes = lab.zone("berlin")?.gateway.ip(&["route", "show", "table", "9091"])?;
    ensure!(!routes.contains("10.10.12.0/24"), "a bar outlives its section:\n{routes}");
    mesh.gateway("berlin")?.config.insert("wireguard_peer".to_owned(), section);
    mesh.gateway("berlin")?.reload()?;
    reaches(vm, address(lab, "office", "desk")?)?;
    let pinged = between.finish()?;
    ensure!(pinged.lost() == 0, "{pinged:?}");
    Ok(())
}
