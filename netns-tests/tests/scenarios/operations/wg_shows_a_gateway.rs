//! `wg` on a running gateway: it shows everything and changes nothing that the gateway decides.
//!
//! ```text
//!   berlin            WAN            madrid
//!   gw ----------- [ router ] ------- gw
//!    \ wg show, showconf, set
//! ```

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::namespace::run;

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &[] }, ZonePlan { name: "madrid", vms: &[] }];

fn wg(args: &[&str]) -> Result<String> {
    run(Command::new("wg").args(args))
}

#[test]
fn wg_shows_all_of_a_gateway_and_is_refused_what_the_registry_decides() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    // The UAPI sockets of all namespaces share one folder.
    let name = format!("zmwg{}", std::process::id());
    let madrid = mesh.gateway("madrid")?.keys.wireguard.clone();
    let berlin = mesh.gateway("berlin")?;
    berlin.section("tunnel")?.insert("interface".to_owned(), name.clone().into());
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    let berlin = mesh.gateway("berlin")?;
    let secret = std::fs::read_to_string(berlin.folder().join("wireguard.key"))?;

    let dump = wg(&["show", &name, "dump"])?;
    let lines: Vec<Vec<&str>> = dump.lines().map(|line| line.split('\t').collect()).collect();
    let [interface, peer] = &lines[..] else { anyhow::bail!("one peer expected:\n{dump}") };
    ensure!(interface[..] == [secret.trim(), &berlin.keys.wireguard, "51820", "0x7a6d"], "{dump}");
    let madrid_wan = lab.zone("madrid")?.wan_address;
    ensure!(peer[0] == madrid && peer[1] == "(none)", "{dump}");
    ensure!(peer[2] == format!("{madrid_wan}:51820") && peer[7] == "25", "{dump}");
    ensure!(peer[3].contains(&lab.zone("madrid")?.prefix()), "{dump}");
    ensure!(peer[4..7].iter().all(|shown| *shown != "0"), "handshake or bytes are 0:\n{dump}");
    let conf = wg(&["showconf", &name])?;
    for part in ["[Interface]", "ListenPort = 51820", &format!("PublicKey = {madrid}")] {
        ensure!(conf.contains(part), "no {part:?} in\n{conf}");
    }
    let socket = PathBuf::from(format!("/var/run/wireguard/{name}.sock"));
    let mode = std::fs::metadata(&socket)?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "the socket has mode {mode:o}");

    let file = berlin.folder().join("other.conf");
    std::fs::write(&file, "[Interface]\n")?;
    let file = file.display().to_string();
    for change in [
        &["set", &name, "listen-port", "4500"][..],
        &["set", &name, "fwmark", "0x1"],
        &[
            "set",
            &name,
            "private-key",
            &berlin.folder().join("wireguard.key").display().to_string(),
        ],
        &["set", &name, "peer", &madrid, "remove"],
        &["set", &name, "peer", &madrid, "allowed-ips", "0.0.0.0/0"],
        &["set", &name, "peer", &madrid, "persistent-keepalive", "off"],
        &["set", &name, "peer", &berlin.keys.wireguard, "allowed-ips", "10.1.0.0/16"],
        &["setconf", &name, &file],
    ] {
        let refused = wg(change).err().map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(refused.contains("not supported"), "{change:?}: {refused:?}");
    }
    let said = berlin.daemon()?.output()?;
    ensure!(said.contains("change zonemesh.toml and type `zonemesh reload` instead"), "{said}");
    wg(&["set", &name, "peer", &madrid, "endpoint", &format!("{madrid_wan}:51820")])?;
    ensure!(wg(&["show", &name, "dump"])?.lines().count() == 2, "a peer came or went");
    ensure!(wg(&["show", &name, "latest-handshakes"])?.contains(peer[4]), "the session is another");

    berlin.daemon()?.terminate(Duration::from_secs(10))?;
    ensure!(!socket.exists(), "the socket outlived the gateway");
    lab.succeeded()
}
