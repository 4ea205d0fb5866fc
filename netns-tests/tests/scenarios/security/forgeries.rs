//! A granted member lies: about other zones, beyond its own grant, in broken and in endless records.
//!
//! ```text
//!   berlin (lied to) ==== madrid (its gateway is honest; beside it a liar with the same key)
//!        \\============== paris (lied about)
//! ```

use anyhow::{Context as _, Result, ensure};
use netns_tests::key_holder::KeyHolder;
use serde_json::Value;
use zonemesh_api::v1;
use zonemesh_core::membership::{AuthorityIdentity, Grant, Revocation, SignedTrustItem, TrustItem};
use zonemesh_core::mesh::MeshId;
use zonemesh_core::name::ZoneName;
use zonemesh_core::record::{
    FlowerTransport, MAX_RECORD_BYTES, Readiness, SignedRecord, SuperLink, ZoneRecord,
};
use zonemesh_core::replication::{StreamBody, StreamHello};
use zonemesh_core::time::UnixMillis;
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::wait::{Look, until};

use super::stream::{Stream, block_on, now};
use crate::tool::{ZONES, change_record, in_step, joined, version};

/// How often each lie is told, and how many in one message: the endless ones must fit into it.
const TIMES: usize = 100;
/// How often a stream is opened that must not be.
const TIMES_OF_STREAMS: u64 = 5;
const AT_ONCE: usize = 5;
const TEN_YEARS_MS: u64 = 10 * 365 * 86_400_000;

fn record_of(records: &[SignedRecord], zone: &str) -> Result<(SignedRecord, ZoneRecord)> {
    for signed in records {
        let record = signed.decode()?;
        if record.zone.as_str() == zone {
            return Ok((signed.clone(), record));
        }
    }
    anyhow::bail!("no record of {zone}")
}

/// Records that berlin must refuse, each with the reason. `earlier` is a true one of paris, and old.
fn forgeries(
    liar: &KeyHolder,
    held: &[SignedRecord],
    earlier: &SignedRecord,
) -> Result<Vec<(&'static str, SignedRecord)>> {
    let (signed, paris) = record_of(held, "paris")?;
    let (_, madrid) = record_of(held, "madrid")?;
    let forged = |record: &ZoneRecord, edit: &dyn Fn(&mut ZoneRecord)| {
        let mut record = record.clone();
        record.version = record.version.next();
        edit(&mut record);
        SignedRecord::sign(&record, &liar.identity)
    };
    let lan = "10.10.12.5".parse()?;
    let superlink = SuperLink {
        federation: "health-eu".parse()?,
        addresses: vec![lan],
        fleet_port: 9092,
        control_port: 9093,
        flower_version: "1.25.0".to_owned(),
        transport: FlowerTransport::Grpc,
        readiness: Readiness::Ready,
        tls_name: "superlink.health-eu.zonemesh.internal".to_owned(),
        clock_offset_ms: 0,
        admitted: None,
        dns_name: None,
        cas: Vec::new(),
    };
    ensure!(paris.content.prefixes[0].contains(&lan), "paris has other addresses");
    let atlantis: ZoneName = "atlantis".parse()?;
    let cut = signed.payload().slice(..signed.payload().len() - 1);
    let endless = vec![7; MAX_RECORD_BYTES + 1].into();
    Ok(vec![
        ("bad_signature", forged(&paris, &|_| ())),
        (
            "foreign_prefix",
            forged(&madrid, &|r| r.content.prefixes = paris.content.prefixes.clone()),
        ),
        (
            "foreign_tunnel_ip",
            forged(&madrid, &|r| {
                r.content.gateways[0].tunnel_ips = paris.content.gateways[0].tunnel_ips.clone();
            }),
        ),
        (
            "foreign_superlink_address",
            forged(&madrid, &|r| {
                r.content.superlinks = vec![superlink.clone()];
            }),
        ),
        ("unknown_zone", forged(&madrid, &|r| r.zone = atlantis.clone())),
        ("malformed", SignedRecord::from_parts(cut, signed.signature())?),
        ("too_large", SignedRecord::from_parts(endless, signed.signature())?),
        ("outdated", earlier.clone()),
    ])
}

/// Trust items that no authority has signed.
fn false_trust(liar: &KeyHolder) -> Result<Vec<SignedTrustItem>> {
    let grant = |mesh: &MeshId| {
        Ok::<_, anyhow::Error>(TrustItem::Grant(Grant {
            mesh: mesh.clone(),
            zone: "thief".parse()?,
            zone_key: liar.identity.public_key(),
            prefixes: vec!["10.10.99.0/24".parse()?],
            tunnel_ips: vec!["10.255.0.99".parse()?],
            federations: Vec::new(),
            set: None,
            serial: 1000,
            since: 0,
            issued_at: now(),
        }))
    };
    let revocation = TrustItem::Revocation(Revocation {
        mesh: liar.mesh.clone(),
        zone: "paris".parse()?,
        zone_key: liar.identity.public_key(),
        set: None,
        serial: 1001,
        reason: "a lie".to_owned(),
        issued_at: now(),
    });
    let items = [grant(&liar.mesh)?, grant(&MeshId::new("ab".repeat(32)))?, revocation];
    let identity = AuthorityIdentity::from_seed(&liar.identity.seed());
    let signed = |item| {
        let mut signed = SignedTrustItem::unsigned(item);
        signed.sign(&identity);
        signed
    };
    Ok(items.iter().map(signed).collect())
}

/// Everything at once over one stream, which goes on afterwards. Returns the seq of a record that
/// madrid may well publish, though its clock is ten years ahead.
async fn lie(liar: &KeyHolder, earlier: &SignedRecord) -> Result<u64> {
    let mut client = liar.connect().await?;
    let mut stream = Stream::open(&mut client, liar.hello()).await?;
    let held = stream.records(3).await?;
    let lies = forgeries(liar, &held, earlier)?;
    stream.say(StreamBody::Trust(false_trust(liar)?)).await?;
    for (_, forged) in &lies {
        for _ in 0..TIMES / AT_ONCE {
            stream.say(StreamBody::Items(vec![forged.clone(); AT_ONCE])).await?;
        }
    }
    let after = stream.records(3).await?;
    for zone in ["berlin", "paris"] {
        ensure!(
            record_of(&after, zone)? == record_of(&held, zone)?,
            "{zone}'s record is another one"
        );
    }
    let (_, mut future) = record_of(&after, "madrid")?;
    future.version.seq += 5;
    future.issued_at = UnixMillis(now().0 + TEN_YEARS_MS);
    stream.say(StreamBody::Items(vec![SignedRecord::sign(&future, &liar.identity)])).await?;

    // Streams on which something worse is said end, and only those.
    let other_mesh = StreamHello { mesh: MeshId::new("ab".repeat(32)), ..liar.hello() };
    let other_zone = StreamHello { zone: "paris".parse()?, ..liar.hello() };
    for _ in 0..TIMES_OF_STREAMS {
        let end = Stream::open(&mut client, other_mesh.clone()).await?.end().await?;
        ensure!(end.contains("the neighbour belongs to mesh abab"), "{end}");
        let end = Stream::open(&mut client, other_zone.clone()).await?.end().await?;
        ensure!(end.contains("it is zone paris, its certificate is of zone madrid"), "{end}");
    }
    let mut third = Stream::open(&mut client, liar.hello()).await?;
    third.say_raw(half_a_signature()).await?;
    let end = third.end().await?;
    ensure!(end.contains("malformed message"), "{end}");
    stream.records(3).await.context("the first stream has suffered")?;
    Ok(future.version.seq)
}

fn half_a_signature() -> v1::RegistryMessage {
    let item = v1::SignedItem { payload: vec![1; 100].into(), signature: vec![1; 32] };
    v1::RegistryMessage {
        clock: Some(v1::Clock { sent_at_unix_ms: now().0, echo: None }),
        kind: Some(v1::registry_message::Kind::Items(v1::Items { items: vec![item] })),
    }
}

/// Refusals that berlin shows: of records by `zonemesh status`, of trust items by `zone list`.
struct Refusals {
    records: Value,
    trust: Value,
}

impl Refusals {
    fn at_berlin(mesh: &mut Mesh) -> Result<Self> {
        let berlin = mesh.gateway("berlin")?;
        let records = berlin.ask(&["status"])?["registry"]["rejected"].clone();
        Ok(Self { records, trust: berlin.ask(&["zone", "list"])?["rejected"].clone() })
    }

    fn of_records(&self, reason: &str) -> u64 {
        self.records[reason].as_u64().unwrap_or(0)
    }

    fn of_trust(&self, reason: &str) -> u64 {
        self.trust[reason].as_u64().unwrap_or(0)
    }
}

/// Every lie is counted by its reason, shown, and told in one line.
fn counted_and_told_once(mesh: &mut Mesh, before: &Refusals) -> Result<()> {
    let after = Refusals::at_berlin(mesh)?;
    let more = |reason: &str| after.of_records(reason) - before.of_records(reason);
    let said = mesh.gateway("berlin")?.daemon()?.output()?;
    let screen = mesh.gateway("berlin")?.show(&["status"])?;
    for (reason, extra) in [
        ("bad_signature", 0),
        ("foreign_prefix", 0),
        ("foreign_tunnel_ip", 0),
        ("foreign_superlink_address", 0),
        ("unknown_zone", 0),
        // And half a signature.
        ("malformed", 1),
        ("too_large", 0),
    ] {
        ensure!(more(reason) == TIMES as u64 + extra, "{reason}: {}", more(reason));
        let lines = said.lines().filter(|line| line.contains("refused a zone record"));
        let lines = lines.filter(|line| line.contains(reason)).count();
        ensure!(lines == 1, "{lines} lines about {reason}: {said}");
        ensure!(screen.contains(&format!("{reason} {}", more(reason))), "{screen}");
    }
    for reason in ["other_mesh", "other_zone"] {
        let lines = said.lines().filter(|line| line.contains("refused a registry stream"));
        let lines = lines.filter(|line| line.contains(reason)).count();
        ensure!(
            (more(reason), lines) == (TIMES_OF_STREAMS, 1),
            "{reason}: {}, {said}",
            more(reason)
        );
    }
    // An old one is what honest neighbours send too, now and then: counted, no line.
    ensure!(more("outdated") >= TIMES as u64 && !said.contains("outdated"), "{said}");
    for (reason, count) in [("not_authorised", 2), ("other_mesh", 1)] {
        let more = after.of_trust(reason) - before.of_trust(reason);
        ensure!(more == count, "{reason}: {more}");
    }
    Ok(())
}

#[test]
fn what_a_member_forges_is_refused_by_its_reason_and_harms_nobody() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..3])?;
    let mut mesh = joined(&lab)?;
    let liar = KeyHolder::of(&lab, &mut mesh, "madrid", "berlin")?;
    let madrid = &lab.zone("madrid")?.gateway;
    let earlier = madrid.inside(|| {
        block_on(async {
            let mut stream = Stream::open(&mut liar.connect().await?, liar.hello()).await?;
            Ok(record_of(&stream.records(3).await?, "paris")?.0)
        })
    })?;
    change_record(&mut mesh, "paris", "192.0.2.77:51820")?;
    mesh.gateway("paris")?.kill_9_and_start(&lab)?;
    mesh.wait_until_connected(patience())?;
    in_step(&lab, &mut mesh, patience())?;

    let before = Refusals::at_berlin(&mut mesh)?;
    let future_seq = madrid.inside(|| block_on(lie(&liar, &earlier)))?;
    counted_and_told_once(&mut mesh, &before)?;

    // The true madrid speaks above its future self, and everything else is as it was.
    until("madrid to speak above its future self", patience(), || {
        let (_, seq) = version(&mut mesh, "berlin", "madrid")?;
        Ok(Look::<()>::when(seq > future_seq, format!("{seq}, not above {future_seq}")))
    })?;
    in_step(&lab, &mut mesh, patience())?;
    mesh.wait_until_connected(patience())?;
    ensure!(version(&mut mesh, "berlin", "paris")? == version(&mut mesh, "paris", "paris")?);
    let zones = mesh.gateway("berlin")?.ask(&["zone", "list"])?;
    ensure!(zones["zones"].as_array().is_some_and(|zones| zones.len() == 3), "{zones}");
    lab.succeeded()
}
