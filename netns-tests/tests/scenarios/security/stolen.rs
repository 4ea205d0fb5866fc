//! A gateway's disk in other hands: what a thief is with it, and what ends that.
//!
//! ```text
//!   berlin ==== madrid (its disk is copied)
//!      \======= rome's place on the WAN: the thief, with the copy
//! ```

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netns_tests::managed::{ManagedGateway as _, ManagedMesh as _, owner};
use netns_tests::updates::{Post, Registering, registration};
use serde_json::Value;
use zonemesh_api::clients::local;
use zonemesh_core::membership::AuthorityIdentity;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{FEDERATION, Mesh, patience, peer_of};
use zonemesh_lab::namespace::run;
use zonemesh_lab::wait::{Look, holds_for, until};

const ZONES: [ZonePlan<'_>; 3] = [
    ZonePlan { name: "berlin", vms: &["superlink"] },
    ZonePlan { name: "madrid", vms: &[] },
    ZonePlan { name: "rome", vms: &[] },
];
const MEMBERS: [&str; 2] = ["berlin", "madrid"];
/// Handshakes are tried anew every 5 s.
const LONG_ENOUGH: Duration = Duration::from_secs(12);

/// A gateway's only peer as it shows it.
fn only_peer(mesh: &mut Mesh, zone: &str) -> Result<Value> {
    let peers = mesh.gateway(zone)?.ask(&["peers"])?;
    let peers = peers["peers"].as_array().context("no list of peers")?;
    ensure!(peers.len() == 1, "{peers:?}");
    Ok(peers[0].clone())
}

/// The thief starts and reaches nobody.
fn comes_in_vain(lab: &Lab, mesh: &mut Mesh) -> Result<()> {
    mesh.start_one(lab, "rome")?;
    holds_for("the thief stays outside", LONG_ENOUGH, || {
        let peer = only_peer(mesh, "rome")?;
        let outside = peer["state"] != "up" && peer["latest_handshake"].is_null();
        Ok(Look::<()>::when(outside, &peer))
    })
}

#[test]
fn a_stolen_disk_is_its_zone_until_the_others_take_out_its_section() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    for (zone, other) in [("berlin", "madrid"), ("madrid", "berlin")] {
        let peer = mesh.gateway(zone)?.peer(other)?.clone();
        mesh.gateway(zone)?.set_peers(vec![peer]);
    }
    for zone in MEMBERS {
        mesh.start_one(&lab, zone)?;
    }
    mesh.gateway("berlin")?.wait_until_connected(patience())?;
    mesh.gateway("madrid")?.daemon()?.kill_9()?;
    mesh.copy_disk("madrid", "rome")?;
    let peers = mesh.gateway("madrid")?.config["peer"].clone();
    mesh.gateway("rome")?.config.insert("peer".to_owned(), peers);
    mesh.start_one(&lab, "rome")?;
    mesh.gateway("rome")?.wait_until_connected(patience())?;
    let thief = lab.zone("rome")?.wan_address.to_string();
    until("berlin to take the thief for madrid", patience(), || {
        let peer = only_peer(&mut mesh, "berlin")?;
        let taken = peer["zone"] == "madrid"
            && peer["stream"] == "up"
            && peer["endpoint"].to_string().contains(&thief);
        Ok(Look::<()>::when(taken, &peer))
    })?;

    let berlin = mesh.gateway("berlin")?;
    berlin.set_peers(Vec::new());
    berlin.kill_9_and_start(&lab)?;
    berlin.wait_until_ready(patience())?;
    mesh.gateway("rome")?.daemon()?.kill_9()?;
    comes_in_vain(&lab, &mut mesh)?;
    lab.succeeded()
}

#[test]
fn a_stolen_wireguard_key_opens_the_tunnels_and_no_more_until_it_is_given_up() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::strangers(&lab)?;
    mesh.gateway("rome")?.daemon()?.kill_9()?;
    mesh.gateway("berlin")?.init_mesh(false)?;
    mesh.invite_and_join(&lab, "madrid")?;
    mesh.gateway("berlin")?.wait_until_connected(patience())?;

    let stolen = mesh.gateway("madrid")?.folder().join("wireguard.key");
    let madrid = mesh.gateway("madrid")?.config.clone();
    let berlin = peer_of(lab.zone("berlin")?, &mesh.gateway("berlin")?.keys);
    let thief = mesh.gateway("rome")?;
    std::fs::copy(stolen, thief.folder().join("wireguard.key"))?;
    thief.config.insert("zone".to_owned(), madrid["zone"].clone());
    let addresses = madrid["tunnel"]["addresses"].clone();
    thief.section("tunnel")?.insert("addresses".to_owned(), addresses);
    thief.config.remove("local_api");
    thief.set_peers(vec![berlin]);
    mesh.gateway("madrid")?.daemon()?.kill_9()?;
    mesh.start_one(&lab, "rome")?;
    until("the thief's tunnel", patience(), || {
        let peer = only_peer(&mut mesh, "rome")?;
        Ok(Look::<()>::when(peer["state"] == "up" && !peer["rtt_ms"].is_null(), &peer))
    })?;
    let inside = lab.zone("berlin")?.tunnel_address.to_string();
    lab.zone("rome")?.gateway.run(&["ping", "-c", "3", "-W", "2", &inside])?;
    holds_for("the registry does not take it for madrid", LONG_ENOUGH, || {
        let peer = only_peer(&mut mesh, "rome")?;
        Ok(Look::<()>::when(peer["stream"] != "up", &peer))
    })?;
    mesh.gateway("rome")?.daemon()?.kill_9()?;

    mesh.start_one(&lab, "madrid")?;
    mesh.gateway("madrid")?.wait_until_connected(patience())?;
    mesh.gateway("madrid")?.ask(&["key", "rotate"])?;
    until("berlin to use the new key", patience(), || {
        let shown = mesh.gateway("madrid")?.ask(&["key", "rotate", "--show"])?;
        let waits = shown["waiting_for"].as_array().is_none_or(|zones| !zones.is_empty());
        Ok(Look::<()>::when(!waits, &shown))
    })?;
    mesh.gateway("madrid")?.ask(&["key", "rotate", "--finish"])?;
    comes_in_vain(&lab, &mut mesh)?;
    mesh.gateway("madrid")?.wait_until_connected(patience())?;
    lab.succeeded()
}

#[test]
fn a_stolen_authority_key_grants_and_revokes_until_its_owner_removes_it() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::joined(&lab)?;
    let draft = mesh.gateway("madrid")?.revoke("rome")?;
    ensure!(draft.signatures_missing == 1 && draft.removed.is_empty(), "no key was needed");
    let [from, to] = ["berlin", "madrid"]
        .map(|zone| -> Result<_> { Ok(mesh.gateway(zone)?.folder().join("state/authority.key")) });
    std::fs::copy(from?, to?)?;
    mesh.gateway("madrid")?.kill_9_and_start(&lab)?;
    mesh.wait_until_connected(patience())?;
    let signed = mesh.gateway("madrid")?.revoke("rome")?;
    ensure!(signed.removed == ["rome"], "{signed:?}");
    until("berlin to let go of rome", patience(), || {
        let peers = mesh.gateway("berlin")?.ask(&["peers"])?;
        let gone = peers["peers"].as_array().is_some_and(|all| all.len() == 1);
        Ok(Look::<()>::when(gone, &peers))
    })?;

    // The owner puts another key in its place: from then on the stolen one does nothing.
    let [owner_file, fresh] = ["owner.key", "fresh.key"].map(|name| lab.folder().join(name));
    secret(&owner_file, &owner())?;
    let new = AuthorityIdentity::from_seed(&[42; 32]);
    secret(&fresh, &new)?;
    let [owner_file, fresh] = [owner_file, fresh].map(|file| file.display().to_string());
    let listed = mesh.gateway("berlin")?.ask(&["authority", "list"])?;
    let stolen = listed["authorities"][0]["key"].as_str().unwrap_or_default().to_owned();
    let added = new.public_key().to_string();
    let remove =
        ["authority", "remove", &stolen, "--confirm", &stolen, "--stolen", "--add", &added];
    let keys = ["--key", &owner_file, "--key", &fresh, "--bring-back", "rome"];
    let changed = mesh.gateway("berlin")?.ask(&[&remove[..], &keys].concat())?;
    ensure!(changed["back"] == serde_json::json!(["rome"]), "{changed}");
    until("madrid to know that its key is removed", patience(), || {
        let list = mesh.gateway("madrid")?.ask(&["authority", "list"])?;
        Ok(Look::<()>::when(!list.to_string().contains(&stolen), &list))
    })?;
    until("rome to be back, as only the thief has revoked it", patience(), || {
        let zones = mesh.gateway("berlin")?.ask(&["zone", "list"])?;
        let all = zones["zones"].as_array().into_iter().flatten();
        let members = all.filter(|zone| zone["state"] == "member").count();
        Ok(Look::<()>::when(members == 3, &zones))
    })?;
    // A member again, and with a tunnel: what rome had said is not forgotten.
    mesh.wait_until_connected(patience())?;
    let draft = mesh.gateway("madrid")?.revoke("berlin")?;
    ensure!(draft.signatures_missing == 1 && draft.removed.is_empty(), "{draft:?}");
    lab.succeeded()
}

fn secret(file: &Path, identity: &AuthorityIdentity) -> Result<()> {
    std::fs::write(file, identity.to_base64().as_str())?;
    Ok(std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600))?)
}

/// Registers from the SuperLink's VM; returns its certificate.
fn register(from: &Post<'_>, request: &Registering) -> Result<String> {
    from.place.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut gateway = local::connect(from.api, from.tls.clone()).await?;
            Ok(request.once(&mut gateway).await?.certificate_pem)
        })
    })
}

/// Waits until madrid's gateway tells VMs another CA than `earlier`; returns it.
fn ca_told_in_madrid(mesh: &mut Mesh, earlier: Option<&str>) -> Result<String> {
    let (pem, _) = until("madrid to be told the federation's CA", patience(), || {
        let known = mesh.gateway("madrid")?.ask(&["superlink", "list"])?;
        let pem = known["superlinks"][0]["cas"][0]["pem"].as_str().map(str::to_owned);
        Ok(match pem {
            Some(pem) if Some(pem.as_str()) != earlier => Look::Done(pem),
            _ => Look::Not(known.to_string()),
        })
    })?;
    Ok(pem)
}

/// Whether somebody who trusts `ca` believes `certificate`.
fn believed(folder: &Path, ca: &str, certificate: &str) -> Result<bool> {
    let (trusted, shown) = (folder.join("trusted.pem"), folder.join("shown.pem"));
    std::fs::write(&trusted, ca)?;
    std::fs::write(&shown, certificate)?;
    let mut openssl = Command::new("openssl");
    openssl.args(["verify", "-x509_strict", "-CAfile"]).arg(trusted).arg(shown);
    Ok(openssl.output()?.status.success())
}

/// A certificate for the SuperLink's address and a thief's key, by a federation's CA in `stolen`.
fn forge(folder: &Path, stolen: &Path, request: &str) -> Result<String> {
    let (csr, extensions) = (folder.join("thief.csr"), folder.join("thief.ext"));
    std::fs::write(&csr, request)?;
    let names = "basicConstraints=critical,CA:false\nsubjectAltName=IP:10.10.10.5\n\
                 subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n";
    std::fs::write(&extensions, names)?;
    let mut openssl = Command::new("openssl");
    openssl.args(["x509", "-req", "-days", "30", "-in"]).arg(csr);
    openssl.arg("-CA").arg(stolen.join("ca.pem")).arg("-CAkey").arg(stolen.join("ca.key"));
    run(openssl.arg("-extfile").arg(extensions))
}

#[test]
fn a_stolen_federation_ca_is_believed_until_it_is_made_anew() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..2])?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    let request = registration(&lab, &mesh, "superlink")?;
    let home = Post::at(&lab, &mut mesh, "berlin", "superlink")?;
    register(&home, &request)?;
    let told = ca_told_in_madrid(&mut mesh, None)?;
    let held = mesh.gateway("berlin")?.folder().join("state/federations").join(FEDERATION);
    let forged = forge(lab.folder(), &held, &request.wanted.csr_pem)?;
    ensure!(believed(lab.folder(), &told, &forged)?, "the thief's certificate:\n{forged}");

    std::fs::rename(&held, lab.folder().join("moved-away"))?;
    mesh.gateway("berlin")?.kill_9_and_start(&lab)?;
    mesh.wait_until_connected(patience())?;
    // The gateway's key for VMs is another file: what they pin stays.
    let certified = register(&home, &request)?;
    let told = ca_told_in_madrid(&mut mesh, Some(&told))?;
    ensure!(believed(lab.folder(), &told, &certified)?, "the SuperLink's:\n{certified}");
    ensure!(!believed(lab.folder(), &told, &forged)?, "the thief is still believed");
    lab.succeeded()
}
