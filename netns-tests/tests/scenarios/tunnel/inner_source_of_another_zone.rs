//! A zone may only speak with its own addresses: whatever else comes out of its tunnel is dropped.
//!
//! ```text
//!   berlin                      WAN                 madrid (its gateway is the adversary)
//!   vm 10.10.10.5 - gw     [ router ]     gw - vm 10.10.11.5
//!                                          \ sends as 10.10.12.9, an address of zone paris
//! ```
//!
//! Madrid's own configuration claims paris's prefix, so its daemon sends what berlin must refuse.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Result, ensure};
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::wait::{Look, until};

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &["vm"] }, ZonePlan { name: "madrid", vms: &["vm"] }];
const PORT: u16 = 7000;
const SPOOFED: u32 = 20;

/// The counter in berlin's `zonemesh peers` that counts inner sources outside the peer's prefixes.
fn refused(mesh: &mut Mesh) -> Result<u64> {
    let answer = mesh.gateway("berlin")?.ask(&["peers"])?;
    Ok(answer["dropped"]["inner_source"].as_u64().unwrap_or(0))
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
    // Tunnels only: madrid's record claims paris's prefix and is refused, so look at the path itself.
    let honest = &madrid.vm("vm")?.namespace;
    until("the tunnel", patience(), || {
        Ok(Look::retry(honest.run(&["ping", "-n", "-q", "-c", "1", "-W", "1", "10.10.10.5"])))
    })?;
    madrid.gateway.ip(&["addr", "add", "10.10.12.9/32", "dev", "lo"])?;

    let receiver = target.namespace.inside(|| Ok(UdpSocket::bind(("0.0.0.0", PORT))?))?;
    receiver.set_read_timeout(Some(Duration::from_secs(5)))?;
    let before = refused(&mut mesh)?;
    madrid.gateway.inside(|| {
        let socket = UdpSocket::bind(("10.10.12.9", 0))?;
        for _ in 0..SPOOFED {
            socket.send_to(b"spoofed", (target.address, PORT))?;
        }
        Ok(())
    })?;
    let all = u64::from(SPOOFED);
    until("all spoofed packets to be counted", patience(), || {
        let counted = refused(&mut mesh)? - before;
        Ok(Look::<()>::when(counted == all, format!("{counted} of {all}")))
    })?;
    // An honest datagram sent after them arrives first: none of them came through.
    honest.inside(|| {
        Ok(UdpSocket::bind(("0.0.0.0", 0))?.send_to(b"honest", (target.address, PORT))?)
    })?;
    let mut buffer = [0; 16];
    let (length, sender) = receiver.recv_from(&mut buffer)?;
    ensure!(&buffer[..length] == b"honest", "a spoofed packet from {sender} came through");
    lab.succeeded()
}
