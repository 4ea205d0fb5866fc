//! A zone may only speak with its own addresses, and to this zone's only: whatever else comes out of
//! its tunnel is dropped.
//!
//! ```text
//!   berlin                      WAN                 madrid (its gateway is the adversary)
//!   vm 10.10.10.5 - gw     [ router ]     gw - vm 10.10.11.5
//!      \ 192.0.2.77, beyond the zone          \ sends as 10.10.12.9, an address of zone paris
//! ```
//!
//! Madrid's own configuration claims paris's prefix, and says that what lies beyond berlin is
//! berlin's, so that its daemon sends what berlin must refuse.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Result, ensure};
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::namespace::Namespace;
use zonemesh_lab::wait::{Look, until};

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &["vm"] }, ZonePlan { name: "madrid", vms: &["vm"] }];
const PORT: u16 = 7000;
const SPOOFED: u32 = 20;
/// An address that berlin's gateway reaches and that is not of its zone.
const BEYOND: &str = "192.0.2.77";

/// How many packets berlin's `zonemesh peers` has counted as dropped for `reason`.
fn refused(mesh: &mut Mesh, reason: &str) -> Result<u64> {
    let answer = mesh.gateway("berlin")?.ask(&["peers"])?;
    Ok(answer["dropped"][reason].as_u64().unwrap_or(0))
}

/// Waits until the tunnel carries packets: the path itself, as madrid's record may be refused.
fn until_carried(from: &Namespace) -> Result<()> {
    until("the tunnel", patience(), || {
        Ok(Look::retry(from.run(&["ping", "-n", "-q", "-c", "1", "-W", "1", "10.10.10.5"])))
    })?;
    Ok(())
}

/// Has datagrams sent from `source` at madrid's gateway, and waits until berlin has counted them.
fn counts_all(mesh: &mut Mesh, from: &Namespace, ends: (&str, &str), reason: &str) -> Result<()> {
    let before = refused(mesh, reason)?;
    from.inside(|| {
        let socket = UdpSocket::bind((ends.0, 0))?;
        for _ in 0..SPOOFED {
            socket.send_to(b"spoofed", (ends.1, PORT))?;
        }
        Ok(())
    })?;
    let all = u64::from(SPOOFED);
    until("all spoofed packets to be counted", patience(), || {
        let counted = refused(mesh, reason)? - before;
        Ok(Look::<()>::when(counted == all, format!("{counted} of {all}")))
    })?;
    Ok(())
}

/// The next datagram comes from `honest`: none of those before came through.
fn hears_only(receiver: &UdpSocket, honest: &Namespace, to: (&str, u16)) -> Result<()> {
    honest.inside(|| Ok(UdpSocket::bind(("0.0.0.0", 0))?.send_to(b"honest", to)?))?;
    let mut buffer = [0; 16];
    let (length, sender) = receiver.recv_from(&mut buffer)?;
    ensure!(&buffer[..length] == b"honest", "a packet from {sender} came through");
    Ok(())
}

#[test]
fn inner_source_of_another_zone_is_dropped_and_counted() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    let both = ["10.10.11.0/24", "10.10.12.0/24"].map(toml::Value::from).to_vec();
    mesh.gateway("madrid")?.section("zone")?.insert("prefixes".to_owned(), both.into());
    mesh.start(&lab)?;
    let (berlin, madrid) = (lab.zone("berlin")?, lab.zone("madrid")?);
    let target = berlin.vm("vm")?;
    let honest = &madrid.vm("vm")?.namespace;
    until_carried(honest)?;
    madrid.gateway.ip(&["addr", "add", "10.10.12.9/32", "dev", "lo"])?;

    let receiver = target.namespace.inside(|| Ok(UdpSocket::bind(("0.0.0.0", PORT))?))?;
    receiver.set_read_timeout(Some(Duration::from_secs(5)))?;
    let address = target.address.to_string();
    counts_all(&mut mesh, &madrid.gateway, ("10.10.12.9", &address), "inner_source")?;
    hears_only(&receiver, honest, (&address, PORT))?;
    lab.succeeded()
}

#[test]
fn inner_destination_beyond_a_zone_is_dropped_and_counted() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    let more = ["10.10.10.0/24", "192.0.2.77/32"].map(toml::Value::from).to_vec();
    mesh.gateway("madrid")?.peer("berlin")?.insert("prefixes".to_owned(), more.into());
    mesh.start(&lab)?;
    let (berlin, madrid) = (lab.zone("berlin")?, lab.zone("madrid")?);
    let vm = &madrid.vm("vm")?.namespace;
    until_carried(vm)?;
    berlin.gateway.ip(&["addr", "add", "192.0.2.77/32", "dev", "lo"])?;

    let receiver = berlin.gateway.inside(|| Ok(UdpSocket::bind(("0.0.0.0", PORT))?))?;
    receiver.set_read_timeout(Some(Duration::from_secs(5)))?;
    let source = madrid.vm("vm")?.address.to_string();
    counts_all(&mut mesh, vm, (&source, BEYOND), "inner_destination")?;
    // What berlin itself sends there arrives: the way beyond was open.
    hears_only(&receiver, &berlin.vm("vm")?.namespace, (BEYOND, PORT))?;
    lab.succeeded()
}
