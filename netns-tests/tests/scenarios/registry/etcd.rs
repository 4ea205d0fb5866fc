//! Signed items through etcd instead of registry streams; etcd away, and etcd full of lies.
//!
//! ```text
//!   berlin, madrid, paris ==== tunnels, no registry streams
//!        \      |      /
//!         etcd (on the WAN's router, without TLS: it is believed in nothing)
//! ```

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use zonemesh_api::clients::etcd::{Access, Etcd};
use zonemesh_core::membership::{SignedTrustItem, TrustKind};
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::process::Process;
use zonemesh_lab::wait::{Look, until};

use crate::tool::{ZONES, change_record, in_step, invite, owner_key, peers, run, say, version};

/// The router's side of berlin's WAN; every gateway has a route to it.
const URL: &str = "http://198.51.100.254:2379";
/// An outage in the middle of the back-off, and a look through everything.
const CAUGHT_UP: Duration = Duration::from_secs(35);

fn start_etcd(lab: &Lab) -> Result<Process> {
    let mut command = lab.router().command("etcd");
    let peer = "http://127.0.0.1:2380";
    command.args(["--listen-client-urls", "http://0.0.0.0:2379", "--advertise-client-urls", URL]);
    command.args(["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]);
    command.args(["--initial-cluster", &format!("default={peer}")]);
    command.arg("--data-dir").arg(lab.folder().join("etcd"));
    let process = Process::spawn("etcd", command, lab.folder())?;
    until("etcd to answer", patience(), || {
        let listed = with_etcd(lab, async |mut etcd| Ok(etcd.list(b"/", 1, |_| Some(())).await?));
        Ok(Look::retry(listed))
    })?;
    Ok(process)
}

/// Asks etcd, as anyone could who reaches it.
fn with_etcd<T: Send>(lab: &Lab, ask: impl AsyncFnOnce(Etcd) -> Result<T> + Send) -> Result<T> {
    lab.router().inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let etcd = Etcd::connect("http://127.0.0.1:2379", &Access::default()).await?;
            ask(etcd).await
        })
    })
}

/// The key of paris's record in the managed mesh, and what lies there.
fn record_of_paris(lab: &Lab) -> Result<(Vec<u8>, Vec<u8>)> {
    let keys = keys(lab)?;
    let key = keys.iter().find(|key| key.ends_with("/records/paris/paris-gw1"));
    let key = key.with_context(|| format!("only {keys:?}"))?.clone().into_bytes();
    let get = async |mut etcd: Etcd| Ok(etcd.get(&key).await?.context("it was deleted")?.0);
    let value = with_etcd(lab, get)?;
    Ok((key, value))
}

/// The keys of the managed mesh.
fn keys(lab: &Lab) -> Result<Vec<String>> {
    let text = |key: &[u8]| Some(String::from_utf8_lossy(key).into_owned());
    let list = async |mut etcd: Etcd| Ok(etcd.list(b"/zonemesh/", 1000, text).await?.0);
    let keys = with_etcd(lab, list)?.into_iter().map(|(key, _)| key);
    Ok(keys.filter(|key| !key.starts_with("/zonemesh/static/")).collect())
}

/// How items get from zone to zone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ways {
    Etcd,
    EtcdAndStreams,
}

/// Zones whose gateways gave their items to etcd.
fn joined_through_etcd(lab: &Lab, ways: Ways) -> Result<Mesh> {
    let mut mesh = Mesh::prepare(lab)?;
    for zone in lab.zones() {
        let gateway = mesh.gateway(&zone.name)?;
        gateway.set_peers(Vec::new());
        let mut etcd = toml::toml! { endpoints = ["http://198.51.100.254:2379"] };
        etcd.insert("streams".to_owned(), (ways == Ways::EtcdAndStreams).into());
        gateway.section("registry")?.insert("etcd".to_owned(), toml::Value::Table(etcd));
    }
    mesh.start(lab)?;
    for zone in lab.zones() {
        mesh.gateway(&zone.name)?.wait_until_ready(patience())?;
    }
    say(&mut mesh, "berlin", &["mesh", "init"])?;
    for zone in &lab.zones()[1..] {
        let invitation = invite(lab, &mut mesh, zone, &[])?;
        say(&mut mesh, &zone.name, &["zone", "join", &invitation])?;
    }
    in_step(lab, &mut mesh, patience())?;
    for zone in lab.zones() {
        wait_for_tunnels(&mut mesh, &zone.name)?;
        if ways == Ways::Etcd {
            let peers = peers(&mut mesh, &zone.name)?;
            ensure!(
                peers.iter().all(|peer| peer["stream"] != "up"),
                "there are streams: {peers:?}"
            );
        }
    }
    if ways == Ways::EtcdAndStreams {
        mesh.wait_until_connected(patience())?;
    }
    Ok(mesh)
}

fn wait_for_tunnels(mesh: &mut Mesh, zone: &str) -> Result<()> {
    until(&format!("both tunnels of {zone}"), patience(), || {
        let peers = peers(mesh, zone)?;
        let up = peers.len() == 2 && peers.iter().all(|peer| peer["state"] == "up");
        Ok(Look::<()>::when(up, format!("{peers:?}")))
    })?;
    Ok(())
}

fn refusals(mesh: &mut Mesh, zone: &str, reason: &str) -> Result<u64> {
    let status = mesh.gateway(zone)?.ask(&["status"])?;
    Ok(status["registry"]["rejected"][reason].as_u64().unwrap_or(0))
}

#[test]
fn records_travel_through_etcd_and_its_outage_stops_no_zone() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..3])?;
    let mut etcd = start_etcd(&lab)?;
    let mut mesh = joined_through_etcd(&lab, Ways::Etcd)?;
    let before = version(&mut mesh, "berlin", "paris")?;

    etcd.terminate(patience())?;
    change_record(&mut mesh, "paris", "192.0.2.77:51820")?;
    mesh.gateway("paris")?.kill_9_and_start(&lab)?;
    mesh.gateway("paris")?.wait_until_ready(patience())?;
    wait_for_tunnels(&mut mesh, "paris")?;
    mesh.gateway("madrid")?.daemon()?.wait_for("etcd is out of reach", patience())?;
    let shown = mesh.gateway("madrid")?.ask(&["status"])?;
    let etcd_shown = &shown["registry"]["etcd"];
    ensure!(shown["state"] == "degraded" && etcd_shown["state"] == "out_of_reach", "{shown}");
    ensure!(etcd_shown["url"] == URL && etcd_shown["error"].is_string(), "{shown}");
    ensure!(version(&mut mesh, "paris", "paris")? > before, "paris has nothing new to say");
    ensure!(version(&mut mesh, "berlin", "paris")? == before, "there is another way than etcd");

    let mut etcd = start_etcd(&lab)?;
    let took = in_step(&lab, &mut mesh, CAUGHT_UP)?;
    eprintln!("in step {:.1} s after etcd was back", took.as_secs_f64());
    ensure!(version(&mut mesh, "berlin", "paris")? > before);
    let said = mesh.gateway("madrid")?.daemon()?.output()?;
    ensure!(said.matches("etcd is out of reach").count() == 1, "the outage is told once: {said}");
    let shown = mesh.gateway("madrid")?.ask(&["status"])?;
    let etcd_shown = &shown["registry"]["etcd"];
    ensure!(etcd_shown["state"] == "in_step" && etcd_shown["error"].is_null(), "{shown}");
    ensure!(etcd_shown["refused"] == 0 && shown["state"] == "ok", "{shown}");
    let before = keys(&lab)?;
    ensure!(before.len() == 7, "three records, three grants, one authority set: {before:?}");

    // Who may sign travels the same way.
    let key = lab.folder().join("second.key").display().to_string();
    let second = say(&mut mesh, "berlin", &["key", "generate", "authority", "--out", &key])?;
    let owner = owner_key(&mut mesh, "berlin")?;
    let add = ["authority", "add", second.trim(), "--key", &owner, "--key", &key];
    say(&mut mesh, "berlin", &add)?;
    until("paris to know the second authority", patience(), || {
        let list = mesh.gateway("paris")?.ask(&["authority", "list"])?;
        let known = list["authorities"].to_string().contains(second.trim());
        Ok(Look::<()>::when(known && list["conflicts"] == serde_json::json!([]), &list))
    })?;
    // All that each gateway has to write for it, also the last one.
    let mut before = Vec::new();
    until("a set and a page of its list in etcd", patience(), || {
        std::thread::sleep(Duration::from_secs(1));
        let earlier = std::mem::replace(&mut before, keys(&lab)?);
        Ok(Look::<()>::when(before.len() > 8 && before == earlier, format!("{before:?}")))
    })?;

    // It comes back with nothing: whatever it held is put there again.
    etcd.terminate(patience())?;
    std::fs::remove_dir_all(lab.folder().join("etcd"))?;
    let _etcd = start_etcd(&lab)?;
    // What counted before the change is held by nobody any more, and not put there again.
    until("all items in the new etcd", CAUGHT_UP, || {
        let now = keys(&lab)?;
        let is_all = now.len() == 9 && now.iter().all(|key| before.contains(key));
        Ok(Look::<()>::when(is_all, format!("3 records, 3 grants, 2 sets, 1 page: {now:?}")))
    })?;
    lab.succeeded()
}

#[test]
fn what_etcd_holds_back_comes_by_the_streams() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..3])?;
    let mut etcd = start_etcd(&lab)?;
    let mut mesh = joined_through_etcd(&lab, Ways::EtcdAndStreams)?;
    etcd.signal(nix::sys::signal::Signal::SIGSTOP)?;
    let before = version(&mut mesh, "berlin", "paris")?;
    change_record(&mut mesh, "paris", "192.0.2.77:51820")?;
    mesh.gateway("paris")?.kill_9_and_start(&lab)?;
    mesh.gateway("paris")?.wait_until_ready(patience())?;
    in_step(&lab, &mut mesh, patience())?;
    ensure!(version(&mut mesh, "berlin", "paris")? > before, "paris has nothing new to say");
    etcd.signal(nix::sys::signal::Signal::SIGCONT)?;
    lab.succeeded()
}

/// What berlin's disk holds of a kind, each under the key at which etcd keeps it.
fn kept_by_berlin(lab: &Lab, mesh: &mut Mesh, kind: TrustKind) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let (record, _) = record_of_paris(lab)?;
    let root = &record[..record.len() - "records/paris/paris-gw1".len()];
    let mut kept = Vec::new();
    for entry in std::fs::read_dir(mesh.gateway("berlin")?.folder().join("state/trust"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|suffix| suffix != "item") {
            continue;
        }
        let value = std::fs::read(path)?;
        let item = SignedTrustItem::from_file_bytes(&value)?;
        if item.kind() == kind {
            let id = item.id().0.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            kept.push(([root, b"trust/", id.as_bytes()].concat(), value));
        }
    }
    ensure!(!kept.is_empty(), "berlin's disk holds no {kind:?}");
    Ok(kept)
}

#[test]
fn what_came_to_etcd_before_what_it_needs_counts_in_the_end() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..3])?;
    let mut etcd = start_etcd(&lab)?;
    let mut mesh = joined_through_etcd(&lab, Ways::Etcd)?;

    // A change that only berlin knows, and berlin is gone.
    etcd.terminate(patience())?;
    let key = lab.folder().join("second.key").display().to_string();
    let second = say(&mut mesh, "berlin", &["key", "generate", "authority", "--out", &key])?;
    let owner = owner_key(&mut mesh, "berlin")?;
    let add = ["authority", "add", second.trim(), "--key", &owner, "--key", &key];
    // It says whom it could not ask.
    run(&mut mesh, "berlin", &add)?;
    mesh.gateway("berlin")?.daemon()?.terminate(patience())?;
    let _etcd = start_etcd(&lab)?;
    let put = |items: Vec<(Vec<u8>, Vec<u8>)>| {
        with_etcd(&lab, async |mut etcd| {
            for (key, value) in items {
                etcd.put(key, value).await?;
            }
            Ok(())
        })
    };

    put(kept_by_berlin(&lab, &mut mesh, TrustKind::GrantPage)?)?;
    for zone in ["madrid", "paris"] {
        until(&format!("{zone} to see a page of no set that it knows"), CAUGHT_UP, || {
            let list = mesh.gateway(zone)?.ask(&["zone", "list"])?;
            let early = list["rejected"]["unknown_predecessor"].as_u64() > Some(0);
            Ok(Look::<()>::when(early, &list["rejected"]))
        })?;
    }
    put(kept_by_berlin(&lab, &mut mesh, TrustKind::AuthoritySet)?)?;
    for zone in ["madrid", "paris"] {
        until(&format!("{zone} to follow the new set"), patience(), || {
            let list = mesh.gateway(zone)?.ask(&["authority", "list"])?;
            let known = list["authorities"].to_string().contains(second.trim());
            Ok(Look::<()>::when(known, &list))
        })?;
    }
    lab.succeeded()
}

/// Has paris say something new; returns what it had said before, as it lay in etcd.
fn change_of_paris(lab: &Lab, mesh: &mut Mesh) -> Result<Vec<u8>> {
    let (_, earlier) = record_of_paris(lab)?;
    change_record(mesh, "paris", "192.0.2.77:51820")?;
    mesh.gateway("paris")?.kill_9_and_start(lab)?;
    mesh.gateway("paris")?.wait_until_ready(patience())?;
    until("paris to say something new", patience(), || {
        let own = version(mesh, "paris", "paris")?;
        let seen = version(mesh, "madrid", "paris")?;
        let new = record_of_paris(lab)?.1 != earlier && own == seen;
        Ok(Look::<()>::when(new, format!("{own:?} {seen:?}")))
    })?;
    Ok(earlier)
}

/// What somebody puts under paris's key, under another zone's, and under one that no item has.
fn lies(lab: &Lab, earlier: Vec<u8>) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let (key, value) = record_of_paris(lab)?;
    let mut forged = value.clone();
    // The signature begins behind the line that says what this is.
    *forged.get_mut("zonemesh-record-1\n".len()).context("a record has a signature")? ^= 1;
    let oversized = vec![0; 1_000_000];
    let (root, id) = (&key[..key.len() - "records/paris/paris-gw1".len()], "ab".repeat(32));
    let trust = [root, b"trust/", id.as_bytes()].concat();
    let other_zone = [root, b"records/berlin/berlin-gw1"].concat();
    Ok(vec![
        // Rightly signed, in the wrong place.
        (other_zone, value),
        (trust, oversized.clone()),
        (key.clone(), forged),
        (key.clone(), oversized),
        (key.clone(), b"nonsense".to_vec()),
        (key, earlier),
    ])
}

#[test]
fn what_anyone_writes_into_etcd_is_refused_counted_and_changes_nothing() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..3])?;
    let _etcd = start_etcd(&lab)?;
    let mut mesh = joined_through_etcd(&lab, Ways::Etcd)?;
    let earlier = change_of_paris(&lab, &mut mesh)?;
    let before = version(&mut mesh, "berlin", "paris")?;
    let lies = lies(&lab, earlier)?;
    let (misplaced, value) = lies[0].clone();
    with_etcd(&lab, async |mut etcd| {
        for (key, value) in lies {
            etcd.put(key, value).await?;
        }
        Ok(())
    })?;
    for reason in ["bad_signature", "too_large", "malformed", "outdated"] {
        until(&format!("madrid to count {reason}"), patience(), || {
            let count = refusals(&mut mesh, "madrid", reason)?;
            Ok(Look::<()>::when(count > 0, count))
        })?;
    }
    let etcd = mesh.gateway("madrid")?.ask(&["status"])?["registry"]["etcd"].clone();
    // Three at paris's key, one at none that any item has; an old record is no crime.
    ensure!(etcd["state"] == "in_step" && etcd["refused"] == 4, "{etcd}");
    ensure!(version(&mut mesh, "berlin", "paris")? == before);
    in_step(&lab, &mut mesh, patience())?;
    for zone in lab.zones() {
        wait_for_tunnels(&mut mesh, &zone.name)?;
    }
    // What was put over a record is put right when everything is looked through.
    mesh.gateway("berlin")?.kill_9_and_start(&lab)?;
    until("berlin's own record in its place", patience(), || {
        let get = async |mut etcd: Etcd| Ok(etcd.get(&misplaced).await?.context("deleted")?.0);
        let lie_is_gone = with_etcd(&lab, get)? != value;
        Ok(Look::<()>::when(lie_is_gone, "paris's record lies there"))
    })?;
    lab.succeeded()
}
