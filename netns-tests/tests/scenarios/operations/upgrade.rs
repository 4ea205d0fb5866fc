//! From release 0.1.0 to this one, with what that release has written: a managed mesh is founded, joined
//! and changed by its own programs, stopped, and the same folders are started with the new ones.
//!
//! ```text
//!   0.1.0:   berlin (founds) ==== madrid, paris (invited)        rome (invited, then revoked)
//!   then:    berlin ==== madrid, both of this release            paris (0.1.0): tunnels, no streams
//!   then:    berlin ==== madrid ==== paris, all of this release  rome stays out
//! ```

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netns_tests::wireguard::traffic::ping;
use serde_json::{Value, json};
use zonemesh_lab::binaries;
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::{Mesh, make_keys, patience};
use zonemesh_lab::wait::{Look, until};

use crate::tool::{ZONES, invite, same_records, say, without_peer};

const MEMBERS: [&str; 3] = ["berlin", "madrid", "paris"];
/// For a daemon to end, or for a gateway to hear what another one knows.
const SOON: Duration = Duration::from_secs(10);

/// Gateways of 0.1.0, with keys that it has made.
fn strangers_of_0_1(lab: &Lab) -> Result<Mesh> {
    let programs = binaries::release("0.1.0")?;
    let mut mesh = Mesh::prepare(lab)?;
    for zone in lab.zones() {
        let gateway = mesh.gateway(&zone.name)?;
        gateway.programs = Some(programs.clone());
        gateway.set_peers(Vec::new());
        // Federations and their tokens are another scenario's.
        gateway.config.remove("federation");
        gateway.section("local_api")?.remove("token");
        for file in ["wireguard.key", "zone.key"] {
            std::fs::remove_file(gateway.folder().join(file))?;
        }
        gateway.keys = make_keys(&programs.join("zonemesh"), gateway.folder())?;
    }
    mesh.start(lab)?;
    for zone in lab.zones() {
        mesh.gateway(&zone.name)?.wait_until_ready(patience())?;
    }
    Ok(mesh)
}

/// Berlin's mesh of 0.1.0, from which rome was revoked.
fn mesh_of_0_1(lab: &Lab) -> Result<Mesh> {
    let mut mesh = strangers_of_0_1(lab)?;
    say(&mut mesh, "berlin", &["mesh", "init"])?;
    for zone in &lab.zones()[1..] {
        let invitation = invite(lab, &mut mesh, zone, &[])?;
        say(&mut mesh, &zone.name, &["zone", "join", &invitation])?;
    }
    mesh.wait_until_connected(patience())?;
    all_reach_each_other(lab)?;
    say(&mut mesh, "berlin", &["zone", "revoke", "rome", "--confirm", "rome"])?;
    for zone in MEMBERS {
        without_peer(&mut mesh, zone, "rome", SOON)?;
    }
    same_records(&mut mesh, &MEMBERS, MEMBERS.len(), patience())?;
    Ok(mesh)
}

fn stop(mesh: &mut Mesh, zone: &str) -> Result<()> {
    mesh.gateway(zone)?.daemon()?.terminate(SOON)?;
    Ok(())
}

/// Starts a gateway's folder with the programs of this release.
fn start_upgraded(lab: &Lab, mesh: &mut Mesh, zone: &str) -> Result<()> {
    let gateway = mesh.gateway(zone)?;
    gateway.programs = None;
    gateway.start(lab)?;
    gateway.wait_until_ready(patience())
}

fn reaches(lab: &Lab, from: &str, to: &str) -> Result<bool> {
    let target = IpAddr::from(lab.zone(to)?.tunnel_address);
    Ok(ping(&lab.zone(from)?.gateway, target, 3, 0.1)?.received > 0)
}

fn all_reach_each_other(lab: &Lab) -> Result<()> {
    for from in MEMBERS {
        for to in MEMBERS.into_iter().filter(|to| *to != from) {
            ensure!(reaches(lab, from, to)?, "{to} does not answer {from}");
        }
    }
    Ok(())
}

/// The members as a gateway lists them.
fn members(mesh: &mut Mesh, zone: &str) -> Result<BTreeSet<String>> {
    let listed = mesh.gateway(zone)?.ask(&["zone", "list"])?;
    let zones = listed["zones"].as_array().context("a list of zones")?;
    let members = zones.iter().filter(|zone| zone["state"] == "member");
    Ok(members.map(|zone| zone["zone"].as_str().unwrap_or_default().to_owned()).collect())
}

/// All have tunnels and streams, the same records and the same members; rome is none.
fn is_whole(lab: &Lab, mesh: &mut Mesh) -> Result<()> {
    for zone in MEMBERS {
        mesh.gateway(zone)?.wait_until_connected(patience())?;
    }
    same_records(mesh, &MEMBERS, MEMBERS.len(), patience())?;
    all_reach_each_other(lab)?;
    for zone in MEMBERS {
        let members = members(mesh, zone)?;
        ensure!(members == MEMBERS.map(str::to_owned).into(), "{zone} lists {members:?}");
        without_peer(mesh, zone, "rome", SOON)?;
    }
    ensure!(!reaches(lab, "berlin", "rome")?, "rome is back");
    Ok(())
}

fn authorities(mesh: &mut Mesh, zone: &str) -> Result<Value> {
    mesh.gateway(zone)?.ask(&["authority", "list"])
}

/// The signing key of 0.1.0.
fn old_authority(mesh: &mut Mesh) -> Result<String> {
    let listed = authorities(mesh, "berlin")?;
    let key = listed["authorities"][0]["key"].as_str().context("0.1.0 lists its key")?;
    Ok(key.to_owned())
}

/// Waits until all follow a set with exactly these owners and signing keys.
fn follow(mesh: &mut Mesh, owners: &[&str], signing: &[&str]) -> Result<()> {
    let sorted = |keys: Vec<&str>| keys.into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
    let wanted = (sorted(owners.to_vec()), sorted(signing.to_vec()));
    until("the same authorities everywhere", patience(), || {
        let mut seen = Vec::new();
        for zone in MEMBERS {
            let listed = authorities(mesh, zone)?;
            let texts = |list: &Value, of: fn(&Value) -> &Value| -> BTreeSet<String> {
                let all = list.as_array().into_iter().flatten().map(of);
                all.filter_map(Value::as_str).map(str::to_owned).collect()
            };
            let owners = texts(&listed["owners"], |key| key);
            seen.push((owners, texts(&listed["authorities"], |one| &one["key"])));
        }
        Ok(Look::<()>::when(seen.iter().all(|one| *one == wanted), format!("{seen:?}")))
    })?;
    Ok(())
}

/// Paris is of 0.1.0 still: its tunnels are up, its streams are refused, and berlin says why.
fn the_older_one_is_refused_with_the_reason(lab: &Lab, mesh: &mut Mesh) -> Result<()> {
    until("berlin to say why paris has no stream", patience(), || {
        let status = mesh.gateway("berlin")?.ask(&["status"])?;
        let counted = status["registry"]["rejected"]["no_common_protocol"].as_u64();
        let peers = mesh.gateway("berlin")?.ask(&["peers"])?;
        let is_said = peers.to_string().contains("update the older one");
        Ok(Look::<()>::when(counted > Some(0) && is_said, format!("{status}\n{peers}")))
    })?;
    ensure!(reaches(lab, "berlin", "paris")?, "the tunnel to paris waits for its upgrade");
    Ok(())
}

#[test]
fn a_mesh_of_0_1_0_goes_on_with_this_release_and_its_first_change_is_of_the_new_kind() -> Result<()>
{
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = mesh_of_0_1(&lab)?;
    let old = old_authority(&mut mesh)?;
    for zone in &ZONES {
        stop(&mut mesh, zone.name)?;
    }

    mesh.gateway("paris")?.start(&lab)?;
    for zone in ["berlin", "madrid", "rome"] {
        start_upgraded(&lab, &mut mesh, zone)?;
    }
    the_older_one_is_refused_with_the_reason(&lab, &mut mesh)?;
    stop(&mut mesh, "paris")?;
    start_upgraded(&lab, &mut mesh, "paris")?;
    let start = std::time::Instant::now();
    is_whole(&lab, &mut mesh)?;
    writeln!(std::io::stderr(), "whole {:.2?} after the last one", start.elapsed())?;
    for zone in MEMBERS {
        let main = lab.zone(zone)?.gateway.ip(&["route", "show", "table", "main"])?;
        let is_left = main.contains("proto 90") || main.contains("dev zm0");
        ensure!(!is_left, "routes of 0.1.0 are left in {zone}:\n{main}");
    }
    follow(&mut mesh, &[&old], &[&old])?;
    let listed = authorities(&mut mesh, "madrid")?;
    ensure!(listed["changes"] == 0 && listed["conflicts"] == json!([]), "{listed}");

    // The old key is the owner: it adds another owner, then a signing key.
    let key = mesh.gateway("berlin")?.folder().join("state/authority.key").display().to_string();
    let file = |name: &str| lab.folder().join(name).display().to_string();
    let [owner, signing] = ["owner.key", "signing.key"].map(file);
    let [new_owner, new_signing] = [&owner, &signing]
        .map(|file| say(&mut mesh, "berlin", &["key", "generate", "authority", "--out", file]));
    let (new_owner, new_signing) = (new_owner?.trim().to_owned(), new_signing?.trim().to_owned());
    let add = ["authority", "add", &new_owner, "--owner", "--key", &key, "--key", &owner];
    say(&mut mesh, "berlin", &add)?;
    follow(&mut mesh, &[&old, &new_owner], &[&old])?;
    let keys = ["--key", &key, "--key", &owner, "--key", &signing];
    say(&mut mesh, "berlin", &[&["authority", "add", &new_signing][..], &keys].concat())?;
    follow(&mut mesh, &[&old, &new_owner], &[&old, &new_signing])?;
    is_whole(&lab, &mut mesh)?;

    // And all of it again from the disk.
    for zone in MEMBERS {
        mesh.gateway(zone)?.kill_9_and_start(&lab)?;
        mesh.gateway(zone)?.wait_until_ready(patience())?;
    }
    is_whole(&lab, &mut mesh)?;
    follow(&mut mesh, &[&old, &new_owner], &[&old, &new_signing])?;
    lab.succeeded()
}
