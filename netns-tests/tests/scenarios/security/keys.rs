//! A granted member names another zone's WireGuard key, with the proof that stands in its record.
//!
//! ```text
//!   berlin (lied to) ==== madrid (granted before paris; beside its gateway a liar with its zone key)
//!        \\============== paris (whose key it is)
//! ```

use anyhow::{Context as _, Result, ensure};
use netns_tests::key_holder::KeyHolder;
use zonemesh_core::record::{SignedRecord, ZoneRecord};
use zonemesh_core::replication::StreamBody;
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::wait::{Look, until};

use super::stream::{Stream, block_on};
use crate::tool::{ZONES, joined};

/// The record of a further gateway of madrid that has paris's key, as it says.
fn thief(records: &[SignedRecord], liar: &KeyHolder) -> Result<SignedRecord> {
    let record_of = |zone: &str| -> Result<ZoneRecord> {
        let records = records.iter().filter_map(|signed| signed.decode().ok());
        let mut of_zone = records.filter(|record| record.zone.as_str() == zone);
        of_zone.next().with_context(|| format!("no record of {zone}"))
    };
    let (mut record, paris) = (record_of("madrid")?, record_of("paris")?);
    let stolen = paris.content.gateways.first().context("paris names no gateway")?;
    record.gateway = "thief".to_owned();
    let gateway = record.content.gateways.first_mut().context("madrid names no gateway")?;
    gateway.name = "thief".to_owned();
    gateway.wireguard_key = stolen.wireguard_key;
    gateway.next_wireguard_key = None;
    gateway.lanes = stolen.lanes.clone();
    gateway.proofs = stolen.proofs.clone();
    gateway.tunnel_ips.clear();
    Ok(SignedRecord::sign(&record, &liar.identity))
}

/// True if berlin's tunnel to each of these is up.
fn are_up(mesh: &mut Mesh, zones: &[&str]) -> Result<bool> {
    let peers = mesh.gateway("berlin")?.ask(&["peers"])?["peers"].clone();
    let peers = peers.as_array().context("no list of peers")?;
    let is_up =
        |zone: &&str| peers.iter().any(|peer| peer["zone"] == **zone && peer["state"] == "up");
    Ok(peers.len() == zones.len() && zones.iter().all(is_up))
}

#[test]
fn a_member_that_names_anothers_wireguard_key_gets_nothing_and_is_told() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..3])?;
    let mut mesh = joined(&lab)?;
    ensure!(are_up(&mut mesh, &["madrid", "paris"])?, "not all tunnels are up");
    let liar = KeyHolder::of(&lab, &mut mesh, "madrid", "berlin")?;
    lab.zone("madrid")?.gateway.inside(|| {
        block_on(async {
            let mut stream = Stream::open(&mut liar.connect().await?, liar.hello()).await?;
            let lie = thief(&stream.records(3).await?, &liar)?;
            stream.say(StreamBody::Items(vec![lie])).await?;
            stream.records(4).await.map(|_| ())
        })
    })?;
    until("berlin to tell of the key", patience(), || {
        let findings = mesh.gateway("berlin")?.ask(&["status"])?["findings"].to_string();
        Ok(Look::<()>::when(findings.contains("T414"), findings))
    })?;
    ensure!(are_up(&mut mesh, &["madrid", "paris"])?, "a tunnel went down");
    mesh.wait_until_connected(patience())?;
    lab.succeeded()
}
