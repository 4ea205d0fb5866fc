//! A mesh from the values of its zones' CONTEXT, and from nothing else: no configuration is written
//! by hand, and no address is known before OpenNebula gives it.
//!
//! ```text
//!   berlin (founding bundle)       WAN                 madrid (invitation)
//!   client 10.10.10.5 - gw - [ router ] - gw - worker 10.10.11.5
//! ```

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use zonemesh_lab::binaries;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::patience;
use zonemesh_lab::namespace::run;
use zonemesh_lab::process::Process;
use zonemesh_lab::wait::{Look, until};
use zonemesh_standin::{ONEGATE_VM, OneGateFault, base64_word};

use super::gateway_vm::GatewayVm;
use crate::tunnel::plain_wireguard_peer;

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &["client"] }, ZonePlan { name: "madrid", vms: &["worker"] }];

/// Makes the mesh on an administrator's machine; returns its folder.
fn init(lab: &Lab) -> Result<PathBuf> {
    let (berlin, madrid) = (lab.zone("berlin")?, lab.zone("madrid")?);
    let folder = lab.folder().join("founded");
    let founder = format!("berlin={}@{}:51820", berlin.prefix(), berlin.wan_address);
    let zone = format!("madrid={}", madrid.prefix());
    let mut command = Command::new(binaries::find("zonemesh")?);
    command.current_dir(lab.folder()).args(["mesh", "init", "--out"]).arg(&folder);
    command.args(["--founder", &founder, "--zone", &zone]);
    run(command.args(["--federation", "health-eu=berlin:madrid"]))?;
    Ok(folder)
}

/// Packets of a VM in berlin come to one in madrid and back.
fn ping(lab: &Lab) -> Result<()> {
    let worker = lab.zone("madrid")?.vm("worker")?.address.to_string();
    until("a ping from berlin to madrid", patience(), || {
        let client = &lab.zone("berlin")?.vm("client")?.namespace;
        Ok(Look::retry(client.run(&["ping", "-c", "1", "-W", "1", &worker])))
    })?;
    Ok(())
}

fn text(file: &Path) -> Result<String> {
    Ok(std::fs::read_to_string(file)?)
}

#[test]
fn two_zones_come_up_from_the_values_of_their_context_whichever_boots_first() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let folder = init(&lab)?;
    let mut madrid = GatewayVm::new(&lab, lab.zone("madrid")?)?;
    madrid.take(&folder.join("madrid/context"))?;
    madrid.set("ONEAPP_ZONEMESH_LISTEN", "0.0.0.0");
    // What an earlier life of the VM has told.
    madrid.onegate.write(ONEGATE_VM, "READY", Some("YES"));
    madrid.boot(&lab)?;
    let (address, _) = until("madrid's address in OneGate", patience(), || {
        let told = madrid.told("ZONEMESH_GATEWAY");
        Ok(told.map_or_else(|| Look::Not(format!("{:?}", madrid.report())), Look::Done))
    })?;
    let lan = lab.zone("madrid")?.lan_address;
    ensure!(address == base64_word(&format!("{lan}:51822")), "{address}");
    ensure!(madrid.told("READY").is_none(), "nobody has let it in yet");

    let mut berlin = GatewayVm::new(&lab, lab.zone("berlin")?)?;
    berlin.take(&folder.join("berlin/context"))?;
    // Its endpoint follows from its public NIC as well.
    berlin.set("ONEAPP_ZONEMESH_ENDPOINT", "");
    // OneGate is of no use for longer than the boot takes.
    berlin.onegate.fails(Some(OneGateFault::Error));
    berlin.boot(&lab)?;
    ensure!(berlin.told("READY").is_none(), "who has told it?");
    berlin.onegate.fails(None);
    // OneGate is asked again within a minute.
    berlin.wait_until_ready(patience() + Duration::from_secs(60))?;
    madrid.wait_until_ready(patience())?;
    ping(&lab)?;
    let toml = text(&berlin.toml())?;
    let endpoint = format!("endpoints = [\"{}:51820\"]", lab.zone("berlin")?.wan_address);
    ensure!(toml.starts_with("# Source: CONTEXT (") && toml.contains(&endpoint), "{toml}");
    let tokens = berlin.ask(&["token", "list"])?;
    ensure!(tokens["tokens"].as_array().is_some_and(|all| all.len() == 2), "{tokens}");

    an_edit_outlives_a_boot(&lab, &mut madrid)?;
    a_vm_made_anew_is_told_what_to_do(&lab, &mut madrid)?;
    lab.succeeded()
}

fn an_edit_outlives_a_boot(lab: &Lab, madrid: &mut GatewayVm) -> Result<()> {
    let edited = format!("{}\n[log]\nlevel = \"debug\"\n", text(&madrid.toml())?);
    std::fs::write(madrid.toml(), &edited)?;
    let said = madrid.boot(lab)?;
    ensure!(said.contains("edited here since it was written from CONTEXT, and stays"), "{said}");
    ensure!(text(&madrid.toml())? == edited);
    madrid.wait_until_ready(patience())?;
    ping(lab)
}

fn a_vm_made_anew_is_told_what_to_do(lab: &Lab, madrid: &mut GatewayVm) -> Result<()> {
    madrid.shut_down()?;
    for file in std::fs::read_dir(madrid.state())? {
        let path = file?.path();
        if path.is_dir() { std::fs::remove_dir_all(path)? } else { std::fs::remove_file(path)? }
    }
    std::fs::remove_file(madrid.toml())?;
    madrid.boot(lab)?;
    let (report, _) = until("madrid to be told", patience() + Duration::from_secs(30), || {
        let report = madrid.report()?;
        let fix = report["fix"].as_str().unwrap_or_default();
        let is_told = fix.contains("zonemesh state restore") && fix.contains("zone invite madrid");
        Ok(if is_told { Look::Done(report) } else { Look::Not(report.to_string()) })
    })?;
    ensure!(report["ready"] == false && report["missing"].to_string().contains("used"), "{report}");
    ensure!(madrid.told("READY").is_none(), "{report}");
    Ok(())
}

/// A plain WireGuard peer from five values, with its secret in a file; and its end when they are emptied.
#[test]
fn a_plain_wireguard_peer_comes_with_its_keys_and_goes_without_them() -> Result<()> {
    let mut lab = Lab::new(&plain_wireguard_peer::ZONES)?;
    let folder = init(&lab)?;
    let (key_file, keys) = office_key(&lab)?;
    let mut berlin = GatewayVm::new(&lab, lab.zone("berlin")?)?;
    berlin.take(&folder.join("berlin/context"))?;
    let office = lab.zone("office")?;
    let allowed = format!("{}, {}/32", office.prefix(), office.tunnel_address);
    let endpoint = format!("{}:51820", office.wan_address);
    let values = [
        ("ONEAPP_WG_PEER_PUBLIC_KEY", keys.trim()),
        ("ONEAPP_WG_PEER_ALLOWED_IPS", &allowed),
        ("ONEAPP_WG_PEER_ENDPOINT", &endpoint),
        ("ONEAPP_WG_PEER_PRESHARED_KEY", plain_wireguard_peer::SECRET),
        ("ONEAPP_WG_PEER_PERSISTENT_KEEPALIVE", "5"),
    ];
    for (key, value) in values {
        berlin.set(key, value);
    }
    berlin.boot(&lab)?;
    berlin.wait_until_ready(patience())?;
    let secret = berlin.toml().with_file_name("wg-peer.psk");
    ensure!(text(&secret)?.trim() == plain_wireguard_peer::SECRET);
    ensure!(!text(&berlin.toml())?.contains(plain_wireguard_peer::SECRET), "a secret in the file");
    let status = berlin.ask(&["status"])?;
    let own = status["tunnel"]["public_key"].as_str().unwrap_or_default().to_owned();
    let _router = plain_wireguard_peer::router(&lab, &key_file, &own)?;
    let desk = office.vm("desk")?.address.into();
    plain_wireguard_peer::reaches(&lab.zone("berlin")?.vm("vm")?.namespace, desk)?;
    let peers = berlin.ask(&["peers"])?;
    ensure!(peers["peers"][0]["gateway"] == "wireguard_peer", "{peers}");
    for (key, _) in values {
        berlin.set(key, "");
    }
    berlin.boot(&lab)?;
    berlin.wait_until_ready(patience())?;
    let peers = berlin.ask(&["peers"])?;
    ensure!(peers["peers"].as_array().is_some_and(Vec::is_empty), "{peers}");
    ensure!(!secret.exists(), "the secret stays behind");
    let routes = lab.zone("berlin")?.gateway.ip(&["route", "show", "table", "all"])?;
    ensure!(!routes.contains(&office.prefix()), "{routes}");
    lab.succeeded()
}

/// A private key for the office's router, and its public key.
fn office_key(lab: &Lab) -> Result<(PathBuf, String)> {
    let file = lab.folder().join("office.key");
    let make = "umask 077; wg genkey >\"$1\"; wg pubkey <\"$1\"";
    let make = ["sh", "-ec", make, "sh", &file.display().to_string()];
    let public = lab.zone("office")?.gateway.run(&make)?;
    Ok((file, public))
}

#[test]
fn a_plain_peer_takes_nothing_of_a_zone_and_a_wrong_secret_is_told() -> Result<()> {
    let mut lab = Lab::new(&plain_wireguard_peer::ZONES)?;
    let folder = init(&lab)?;
    let (key_file, key) = office_key(&lab)?;
    let mut madrid = GatewayVm::new(&lab, lab.zone("madrid")?)?;
    madrid.take(&folder.join("madrid/context"))?;
    madrid.boot(&lab)?;
    let (mut berlin, office) = (GatewayVm::new(&lab, lab.zone("berlin")?)?, lab.zone("office")?);
    berlin.take(&folder.join("berlin/context"))?;
    // The first half of madrid's, in which its VM is.
    let madrids = lab.zone("madrid")?.prefix().replace("/24", "/25");
    let allowed = format!("{}, {madrids}", office.prefix());
    let endpoint = format!("{}:51820", office.wan_address);
    for (key, value) in [
        ("ONEAPP_WG_PEER_PUBLIC_KEY", key.trim()),
        ("ONEAPP_WG_PEER_ALLOWED_IPS", &allowed),
        ("ONEAPP_WG_PEER_ENDPOINT", &endpoint),
        ("ONEAPP_WG_PEER_PRESHARED_KEY", "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="),
    ] {
        berlin.set(key, value);
    }
    berlin.boot(&lab)?;
    madrid.wait_until_ready(patience() + Duration::from_secs(60))?;
    let (vm, desk) = (&lab.zone("berlin")?.vm("vm")?.namespace, office.vm("desk")?);
    let worker = lab.zone("madrid")?.vm("vm")?.address.into();
    plain_wireguard_peer::reaches(vm, worker)?;
    berlin.tells("N240", &format!("{madrids} of its allowed_ips overlaps zone madrid's"))?;
    let own =
        berlin.ask(&["status"])?["tunnel"]["public_key"].as_str().unwrap_or_default().to_owned();
    let _router = plain_wireguard_peer::router(&lab, &key_file, &own)?;
    let mut calling = desk.namespace.command("ping");
    calling.args(["-n", &lab.zone("berlin")?.vm("vm")?.address.to_string()]);
    let _calling = Process::spawn("ping", calling, lab.folder())?;
    berlin.tells("N241", "times for a session and used none")?;
    plain_wireguard_peer::reaches(vm, worker)?;
    lab.succeeded()
}
