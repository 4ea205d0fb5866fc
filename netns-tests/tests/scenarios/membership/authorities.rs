//! Who may sign. Two authorities must sign, one of them offline: zones come and go by files carried by
//! hand, and so does the owner's change of the authorities. An authority takes another one's place in a
//! running mesh; of two contradicting changes each gateway follows one, says so, and is pinned.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Result, ensure};
use netns_tests::managed::ManagedMesh as _;
use netns_tests::wireguard::traffic::Pinger;
use serde_json::Value;
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::process::Process;
use zonemesh_lab::wait::{Look, until};

use crate::tool::{ZONES, command, invite, joined, owner_key, refused, run, say, without_peer};

/// The longest pause between two dials after a partition, and a digest.
const AGREED: Duration = Duration::from_secs(40);

#[test]
fn a_zone_joins_when_the_offline_authority_has_signed_and_not_before() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..2])?;
    let mut mesh = Mesh::strangers(&lab)?;
    let file = |name: &str| lab.folder().join(name).display().to_string();
    let [key, draft, signed] = ["authority.key", "draft", "signed"].map(file);
    let public = say(&mut mesh, "berlin", &["key", "generate", "authority", "--out", &key])?;
    let init = ["mesh", "init", "--threshold", "2", "--authority", public.trim()];
    let said = say(&mut mesh, "berlin", &init)?;
    ensure!(said.contains("other authorities must sign the first grants"), "{said}");
    let [first, granted] = ["first", "first.signed"].map(file);
    say(&mut mesh, "berlin", &["trust", "export", "--out", &first])?;
    say(&mut mesh, "berlin", &["trust", "sign", &first, "--key", &key, "--out", &granted])?;
    let zones = mesh.gateway("berlin")?.ask(&["zone", "list"])?;
    ensure!(zones["zones"][0]["state"] == "configured", "{zones}");
    say(&mut mesh, "berlin", &["trust", "import", &granted])?;
    let zones = mesh.gateway("berlin")?.ask(&["zone", "list"])?;
    ensure!(zones["zones"][0]["state"] == "member", "{zones}");
    let invitation = invite(&lab, &mut mesh, lab.zone("madrid")?, &[])?;
    let joining = command(&mut mesh, "madrid", &["zone", "join", &invitation])?;
    let mut joining = Process::spawn("madrid-join", joining, lab.folder())?;
    joining.wait_for("waiting until an authority approves", patience())?;
    until("madrid to wait at berlin", patience(), || {
        let zones = mesh.gateway("berlin")?.ask(&["zone", "list"])?;
        Ok(Look::<()>::when(zones["pending"][0]["zone"] == "madrid", &zones))
    })?;

    let approved = run(&mut mesh, "berlin", &["zone", "approve", "madrid", "--out", &draft])?;
    ensure!(approved.status.code() == Some(1), "one signature was enough: {approved:?}");
    let said = say(&mut mesh, "berlin", &["trust", "show", &draft])?;
    ensure!(said.contains("grant") && said.contains("madrid"), "{said}");
    // One signature is not enough: the item may be held, nobody is a member by it.
    let half = run(&mut mesh, "berlin", &["trust", "import", &draft])?;
    let said = String::from_utf8_lossy(&half.stdout);
    ensure!(half.status.code() == Some(1), "{half:?}");
    ensure!(said.contains("the grant of madrid lacks 1 of 2 signatures"), "{said}");
    let zones = mesh.gateway("berlin")?.ask(&["zone", "list"])?;
    ensure!(zones["zones"].as_array().is_some_and(|zones| zones.len() == 1), "{zones}");
    ensure!(zones["pending"][0]["zone"] == "madrid", "{zones}");
    say(&mut mesh, "berlin", &["trust", "sign", &draft, "--key", &key, "--out", &signed])?;
    say(&mut mesh, "berlin", &["trust", "import", &signed])?;
    let (code, said) = joining.wait_for_end(patience())?;
    ensure!(code == 0 && said.ends_with("this zone is a member\n"), "{code}: {said}");
    mesh.wait_until_connected(patience())?;

    third_by_the_owner(&lab, &mut mesh)?;

    // And out again, the same way.
    let [draft, signed] = ["revocation", "revocation.signed"].map(file);
    let revoke = ["zone", "revoke", "madrid", "--confirm", "madrid", "--out", &draft];
    ensure!(run(&mut mesh, "berlin", &revoke)?.status.code() == Some(1));
    say(&mut mesh, "berlin", &["trust", "sign", &draft, "--key", &key, "--out", &signed])?;
    say(&mut mesh, "berlin", &["trust", "import", &signed])?;
    without_peer(&mut mesh, "berlin", "madrid", Duration::from_secs(5))?;
    let said = refused(&mut mesh, "berlin", &["zone", "invite", "madrid"], 2)?;
    ensure!(said.contains("--prefix"), "{said}");
    lab.succeeded()
}

/// A third authority, by the owner and by itself.
fn third_by_the_owner(lab: &Lab, mesh: &mut Mesh) -> Result<()> {
    let file = |name: &str| lab.folder().join(name).display().to_string();
    let names = ["third.key", "change", "change.owner", "change.signed"];
    let [third, draft, owned, signed] = names.map(file);
    let public = say(mesh, "berlin", &["key", "generate", "authority", "--out", &third])?;
    let add = ["authority", "add", public.trim(), "--out", &draft];
    ensure!(run(mesh, "berlin", &add)?.status.code() == Some(1), "no owner has signed");
    let owner = owner_key(mesh, "berlin")?;
    let sign = ["trust", "sign", &draft, "--key", &owner, "--out", &owned];
    let said = refused(mesh, "berlin", &sign, 6)?;
    ensure!(said.contains("changes who may sign"), "{said}");
    say(mesh, "berlin", &[&sign[..], &["--authorities"]].concat())?;
    let half = run(mesh, "berlin", &["trust", "import", &owned])?;
    ensure!(half.status.code() == Some(4), "the key that is added has not signed: {half:?}");
    let sign = ["trust", "sign", &owned, "--key", &third, "--out", &signed, "--authorities"];
    say(mesh, "berlin", &sign)?;
    say(mesh, "berlin", &["trust", "import", &signed])?;
    agree(mesh, &["berlin", "madrid"], 3).map(|_| ())
}

/// Waits until these gateways name the same authorities, `count` of them; returns what they say.
fn agree(mesh: &mut Mesh, zones: &[&str], count: usize) -> Result<Value> {
    let (said, took) = until("the same authorities everywhere", AGREED, || {
        let mut seen = Vec::new();
        for zone in zones {
            let list = mesh.gateway(zone)?.ask(&["authority", "list"])?;
            let keys: Vec<Value> = list["authorities"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|one| one["key"].clone())
                .collect();
            seen.push((keys, list));
        }
        let same = seen.windows(2).all(|pair| pair[0].0 == pair[1].0);
        match seen.iter().all(|(keys, _)| keys.len() == count) && same {
            true => Ok(Look::Done(seen.remove(0).1)),
            false => Ok(Look::Not(format!("{seen:?}"))),
        }
    })?;
    writeln!(std::io::stderr(), "the same authorities everywhere after {took:.2?}")?;
    Ok(said)
}

fn key_file(mesh: &mut Mesh, zone: &str) -> Result<String> {
    Ok(mesh.gateway(zone)?.folder().join("state/authority.key").display().to_string())
}

/// Makes an authority key in a gateway's state folder; returns its public key.
fn authority_of(mesh: &mut Mesh, zone: &str) -> Result<String> {
    let file = key_file(mesh, zone)?;
    let public = say(mesh, zone, &["key", "generate", "authority", "--out", &file])?;
    Ok(public.trim().to_owned())
}

#[test]
fn an_authority_takes_the_place_of_the_first_one_without_a_cut() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..3])?;
    let mut mesh = Mesh::strangers(&lab)?;
    say(&mut mesh, "berlin", &["mesh", "init"])?;
    let invitation = invite(&lab, &mut mesh, lab.zone("madrid")?, &[])?;
    say(&mut mesh, "madrid", &["zone", "join", &invitation])?;
    let target = std::net::IpAddr::from(lab.zone("madrid")?.tunnel_address);
    let pinger = Pinger::start(&lab.zone("berlin")?.gateway, target, 0.02, lab.folder())?;

    let listed = mesh.gateway("berlin")?.ask(&["authority", "list"])?;
    let first = listed["authorities"][0]["key"].as_str().unwrap_or_default().to_owned();
    let remove = ["authority", "remove", &first, "--confirm", &first];
    let said = refused(&mut mesh, "berlin", &remove, 6)?;
    ensure!(said.contains("that is the last key of its kind"), "{said}");
    let second = authority_of(&mut mesh, "madrid")?;
    let [owner, own] = [owner_key(&mut mesh, "berlin")?, key_file(&mut mesh, "madrid")?];
    let add = ["authority", "add", &second, "--key", &owner, "--key", &own];
    say(&mut mesh, "berlin", &add)?;
    agree(&mut mesh, &["berlin", "madrid"], 2)?;
    let said = say(&mut mesh, "madrid", &[&remove[..], &["--key", &owner]].concat())?;
    ensure!(!said.lines().any(|line| line.starts_with("out ")), "{said}");
    let listed = agree(&mut mesh, &["berlin", "madrid"], 1)?;
    ensure!(listed["authorities"][0]["key"] == second.as_str(), "{listed}");

    // The first key admits nobody any more, neither by its gateway nor by a file.
    let invitation = invite(&lab, &mut mesh, lab.zone("paris")?, &[])?;
    let joining = command(&mut mesh, "paris", &["zone", "join", &invitation])?;
    let mut joining = Process::spawn("paris-join", joining, lab.folder())?;
    joining.wait_for("waiting until an authority approves", patience())?;
    let file = |name: &str| lab.folder().join(name).display().to_string();
    let [draft, by_first, by_second] = ["grant", "grant.first", "grant.second"].map(file);
    let approve = ["zone", "approve", "paris", "--out", &draft];
    ensure!(run(&mut mesh, "berlin", &approve)?.status.code() == Some(1), "berlin may still sign");
    for (zone, signed) in [("berlin", &by_first), ("madrid", &by_second)] {
        let key = key_file(&mut mesh, zone)?;
        say(&mut mesh, zone, &["trust", "sign", &draft, "--key", &key, "--out", signed])?;
    }
    let refused = run(&mut mesh, "madrid", &["trust", "import", &by_first])?;
    ensure!(refused.status.code() == Some(4), "{refused:?}");
    let zones = mesh.gateway("madrid")?.ask(&["zone", "list"])?;
    ensure!(zones["zones"].as_array().is_some_and(|zones| zones.len() == 2), "{zones}");
    say(&mut mesh, "madrid", &["trust", "import", &by_second])?;
    let (code, said) = joining.wait_for_end(patience())?;
    ensure!(code == 0, "{code}: {said}");

    let pinged = pinger.finish()?;
    eprintln!("{pinged:?}");
    ensure!(pinged.sent > 50 && pinged.lost() == 0, "{pinged:?}");

    // All of it again from the disk.
    mesh.gateway("madrid")?.kill_9_and_start(&lab)?;
    mesh.wait_until_connected(patience())?;
    agree(&mut mesh, &["berlin", "madrid", "paris"], 1)?;
    lab.succeeded()
}

#[test]
fn of_two_contradicting_changes_each_gateway_follows_one_and_a_pin_mends_it() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..3])?;
    let mut mesh = joined(&lab)?;
    let second = authority_of(&mut mesh, "madrid")?;
    let third = authority_of(&mut mesh, "paris")?;
    let owner = owner_key(&mut mesh, "berlin")?;
    let [of_madrid, of_paris] = [key_file(&mut mesh, "madrid")?, key_file(&mut mesh, "paris")?];
    let listed = mesh.gateway("berlin")?.ask(&["authority", "list"])?;
    let first = listed["authorities"][0]["key"].as_str().unwrap_or_default().to_owned();
    let add = ["authority", "add", &second, "--key", &owner, "--key", &of_madrid];
    say(&mut mesh, "berlin", &add)?;
    agree(&mut mesh, &["berlin", "madrid", "paris"], 2)?;

    lab.cut("madrid")?;
    say(&mut mesh, "berlin", &["authority", "add", &third, "--key", &owner, "--key", &of_paris])?;
    agree(&mut mesh, &["berlin", "paris"], 3)?;
    let remove = ["authority", "remove", &first, "--confirm", &first, "--key", &owner];
    say(&mut mesh, "madrid", &remove)?;
    agree(&mut mesh, &["madrid"], 1)?;
    lab.heal("madrid")?;
    // All are told, at all ends, and nothing is cut.
    for zone in ["berlin", "madrid", "paris"] {
        until(&format!("{zone} to be told"), AGREED, || {
            let status = mesh.gateway(zone)?.ask(&["status"])?;
            Ok(Look::<()>::when(status.to_string().contains("P314"), &status))
        })?;
    }
    mesh.wait_until_connected(patience())?;

    let chosen = mesh.gateway("madrid")?.ask(&["authority", "list"])?;
    let set = chosen["set"].as_str().unwrap_or_default().to_owned();
    let file = lab.folder().join("madrid.trust").display().to_string();
    say(&mut mesh, "madrid", &["trust", "export", "--out", &file])?;
    for zone in ["berlin", "paris", "madrid"] {
        let pin = ["authority", "pin", &set, "--confirm", &set, "--file", &file];
        say(&mut mesh, zone, &pin)?;
    }
    let listed = agree(&mut mesh, &["berlin", "madrid", "paris"], 1)?;
    ensure!(listed["authorities"][0]["key"] == second.as_str(), "{listed}");
    ensure!(listed["pinned"] == true && listed["conflicts"] == serde_json::json!([]), "{listed}");
    mesh.wait_until_connected(patience())?;
    let zones = mesh.gateway("paris")?.ask(&["zone", "list"])?;
    ensure!(zones["zones"].as_array().is_some_and(|zones| zones.len() == 3), "{zones}");
    lab.succeeded()
}
