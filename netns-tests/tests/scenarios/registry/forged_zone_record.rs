//! A member cannot speak for another: a record that its zone did not sign is dropped and counted.
//!
//! ```text
//!   berlin (victim) ---- madrid (adversary) ---- forger: calls itself "paris", has its own keys
//!          \------------ paris (the true one)
//! ```
//!
//! Madrid is told the forger's keys as those of paris. Its daemon so takes the forged record for good
//! and passes it on over its own, perfectly valid stream to berlin.

use anyhow::{Result, ensure};
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience, peer_of};
use zonemesh_lab::wait::{Look, until};

const ZONES: [ZonePlan<'_>; 4] = [
    ZonePlan { name: "berlin", vms: &[] },
    ZonePlan { name: "madrid", vms: &[] },
    ZonePlan { name: "paris", vms: &[] },
    ZonePlan { name: "forger", vms: &[] },
];

#[test]
fn record_of_paris_cannot_be_published_by_madrid() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    let peer = |mesh: &mut Mesh, zone: &str| -> Result<toml::Table> {
        Ok(peer_of(lab.zone(zone)?, &mesh.gateway(zone)?.keys))
    };
    let [berlin, madrid, paris] =
        [peer(&mut mesh, "berlin")?, peer(&mut mesh, "madrid")?, peer(&mut mesh, "paris")?];
    // The forger at its own place on the WAN, under paris's name and with paris's prefix.
    let mut forged = peer(&mut mesh, "forger")?;
    for key in ["zone", "prefixes", "tunnel_addresses"] {
        forged.insert(key.to_owned(), paris[key].clone());
    }
    mesh.gateway("berlin")?.set_peers(vec![madrid.clone(), paris.clone()]);
    mesh.gateway("madrid")?.set_peers(vec![berlin.clone(), forged]);
    mesh.gateway("paris")?.set_peers(vec![berlin]);
    let stolen_tunnel_address = lab.zone("paris")?.tunnel_address.to_string();
    let forger = mesh.gateway("forger")?;
    // It has no VMs, and its LAN is not paris's.
    forger.config.remove("local_api");
    forger.set_peers(vec![madrid]);
    forger.section("zone")?.insert("name".to_owned(), "paris".into());
    forger.section("zone")?.insert("prefixes".to_owned(), paris["prefixes"].clone());
    forger
        .section("tunnel")?
        .insert("addresses".to_owned(), toml::Value::Array(vec![stolen_tunnel_address.into()]));
    // The forger comes last, so that its record is the newer one and worth passing on.
    for zone in ["berlin", "madrid", "paris"] {
        mesh.gateway(zone)?.start(&lab)?;
    }
    mesh.gateway("paris")?.wait_until_ready(patience())?;
    mesh.gateway("forger")?.start(&lab)?;
    mesh.wait_until_connected(patience())?;

    let true_key = mesh.gateway("paris")?.keys.zone.clone();
    ensure!(true_key != mesh.gateway("forger")?.keys.zone);
    until("madrid to hold the forged record", patience(), || {
        let records = mesh.gateway("madrid")?.ask(&["registry", "list"])?;
        Ok(Look::<()>::when(holds(&records, "paris"), &records))
    })?;
    until("berlin to count the forged record", patience(), || {
        let status = mesh.gateway("berlin")?.ask(&["status"])?;
        let count = status["registry"]["rejected"]["bad_signature"].as_u64().unwrap_or(0);
        Ok(Look::<()>::when(count > 0, &status))
    })?;
    // What berlin holds of paris is still what paris says itself.
    let version = |mesh: &mut Mesh, zone: &str| -> Result<serde_json::Value> {
        let records = mesh.gateway(zone)?.ask(&["registry", "list"])?;
        let mut all = records["records"].as_array().cloned().unwrap_or_default().into_iter();
        let paris = all.find(|record| record["zone"] == "paris").unwrap_or_default();
        Ok(serde_json::json!([paris["incarnation"], paris["seq"], paris["issued_at"]]))
    };
    until("berlin and paris to agree on paris's record", patience(), || {
        let (seen, own) = (version(&mut mesh, "berlin")?, version(&mut mesh, "paris")?);
        Ok(Look::<()>::when(seen == own, format!("{seen} is not {own}")))
    })?;
    lab.succeeded()
}

fn holds(records: &serde_json::Value, zone: &str) -> bool {
    let mut all = records["records"].as_array().into_iter().flatten();
    all.any(|record| record["zone"] == zone)
}
